from __future__ import annotations

import io
import json

from analyzer.sources.audit import SOURCE
from tests.sources.audit_log import event, line, lines, read

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJFWEFNUExFIn0.c2lnRVhBTVBMRQ"


def quote(data: bytes, *numbers: int) -> dict[int, str]:
    return SOURCE.quote(io.BytesIO(data), frozenset(numbers))


def test_a_line_is_quoted_as_it_was_written() -> None:
    assert quote(lines(0, 1, 2), 2, 3) == {2: line(1).decode(), 3: line(2).decode()}


def test_numbers_that_are_not_there_are_left_out() -> None:
    assert quote(lines(0), 5) == {}
    assert quote(lines(0)) == {}


def test_bodies_and_secrets_are_not_quoted() -> None:
    review = line(
        requestURI="/apis/authentication.k8s.io/v1/tokenreviews?access_token=EXAMPLEQUERYTOKEN",
        level="RequestResponse",
        objectRef={"resource": "tokenreviews"},
        responseStatus={"code": 422, "message": "hunter2 is no token"},
        requestObject={"spec": {"token": TOKEN}},
        responseObject={"status": "hunter3"},
        annotations={
            "patch.webhook.admission.k8s.io/round_0_index_0": "hunter4",
            "authorization.k8s.io/decision": "allow",
        },
    )
    text = quote(review + b"\n", 1)[1]
    assert '"auditID":"id-0"' in text
    assert '"authorization.k8s.io/decision":"allow"' in text
    for secret in ("EXAMPLEQUERYTOKEN", TOKEN, "hunter"):
        assert secret not in text


def test_a_body_too_deep_to_decode_is_not_quoted_either() -> None:
    body = b',"requestObject":' + b'{"password":' * 3000 + b'"hunter2"' + b"}" * 3000
    assert "hunter2" not in quote(line()[:-1] + body + b"}\n", 1)[1]


def test_a_quote_is_at_most_two_kib() -> None:
    text = quote(line(userAgent="é" * 5000) + b"\n", 1)[1]
    assert len(text.encode()) <= 2048


def test_damaged_lines_are_not_quoted() -> None:
    assert quote(b'{"kind":"Event","requestObject":{"password":"hunter2"\n' + lines(1), 1, 2) == {2: line(1).decode()}


def test_every_shape_is_quoted_by_the_numbers_of_its_rows() -> None:
    listed = json.dumps({"kind": "EventList", "items": [event(i) for i in range(3)]}).encode()
    pretty = "\n".join(json.dumps(event(i), indent=2) for i in range(3)).encode()
    cri = b"".join(b"2026-01-01T00:00:01.5Z stdout F " + line(i) + b"\n" for i in range(3))
    two = line(0) + line(1) + b"\n" + lines(2)
    cloud = json.dumps({"records": [{"properties": {"log": line(0).decode()}}]}).encode() + b"\n"
    utf16 = lines(0, 1, 2).decode().encode("utf-16")
    for data in (listed, pretty, cri, two, cloud, utf16):
        table, _ = read(data)
        quoted = quote(data, *table["number"].to_list())
        assert set(quoted) == set(table["number"])
        for number, audit_id in table.select("number", "audit_id").rows():
            assert f'"{audit_id}"' in quoted[number]
