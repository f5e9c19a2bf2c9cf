from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.sources.audit import decode
from analyzer.sources.audit.clock import clocks, moment
from analyzer.sources.audit.columns import without_secrets
from tests.sources.audit_log import event, line, one, read

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJFWEFNUExFIn0.c2lnRVhBTVBMRQ"


@pytest.fixture(params=[0, decode.LONG], ids=["bodies are cut first", "bodies are decoded over"])
def cutting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to get rid of bodies must tell the same."""
    monkeypatch.setattr(decode, "LONG", request.param)


def test_every_field_has_its_column() -> None:
    row = one(
        user={
            "username": "system:serviceaccount:shop:web",
            "extra": {
                "authentication.kubernetes.io/pod-name": ["web-1"],
                "authentication.kubernetes.io/node-name": ["node-1"],
            },
        },
        objectRef={
            "resource": "deployments",
            "namespace": "shop",
            "name": "web",
            "apiGroup": "apps",
            "subresource": "scale",
        },
        responseStatus={"code": 409, "reason": "Conflict", "message": "the object has been modified"},
        annotations={
            "authorization.k8s.io/decision": "allow",
            "apiserver.latency.k8s.io/total": "1m2.5s",
            "apiserver.latency.k8s.io/etcd": "512.25ms",
            "apiserver.latency.k8s.io/apf-queue-wait": "250µs",
            "audit.k8s.io/truncated": "true",
        },
    )
    wanted = {
        "time": datetime(2026, 1, 1, tzinfo=UTC),
        "stage_time": datetime(2026, 1, 1, 0, 0, 0, 100_000, UTC),
        "source": "audit.log",
        "number": 1,
        "audit_id": "id-0",
        "level": "Metadata",
        "stage": "ResponseComplete",
        "verb": "get",
        "uri": "/api/v1/namespaces/shop/pods/p0",
        "user": "system:serviceaccount:shop:web",
        "user_agent": "web/v1.2 (linux/amd64)",
        "agent": "web",
        "source_ip": "192.0.2.7",
        "api_group": "apps",
        "resource": "deployments",
        "subresource": "scale",
        "namespace": "shop",
        "name": "web",
        "code": 409,
        "reason": "Conflict",
        "message": "the object has been modified",
        "decision": "allow",
        "latency_total_seconds": 62.5,
        "latency_etcd_seconds": 0.51225,
        "latency_queue_seconds": 0.00025,
        "caller_pod": "web-1",
        "caller_node": "node-1",
        "truncated": True,
        "request_body_bytes": 0,
        "response_body_bytes": 0,
    }
    assert {name: row[name] for name in wanted} == wanted


def test_absent_fields_are_null_and_the_core_group_is_empty() -> None:
    row = one(user=None, sourceIPs=None, userAgent=None, objectRef=None, responseStatus=None, annotations=None)
    absent = ("user", "source_ip", "user_agent", "agent", "api_group", "resource", "code", "decision", "caller_pod")
    assert [row[name] for name in absent] == [None] * len(absent)
    assert row["truncated"] is False
    assert one()["api_group"] == ""
    assert one(userAgent="curl")["agent"] == "curl"


@pytest.mark.parametrize(
    ("written", "canonical"),
    [("2001:DB8:0::1", "2001:db8::1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("[2001:db8::2]", "2001:db8::2"), ("@", "@")],
)
def test_addresses_are_canonical(written: str, canonical: str) -> None:
    assert one(sourceIPs=[written, "192.0.2.9"])["source_ip"] == canonical


@pytest.mark.usefixtures("cutting")
def test_bodies_are_measured_with_key_and_comma_and_never_kept() -> None:
    bodies: dict[str, Any] = {"requestObject": {"data": "s3cret" * 10}, "responseObject": {"data": ["s3cret"] * 20}}
    row = one(level="RequestResponse", **bodies)
    sizes = {name: len(f',"{name}":') + len(json.dumps(value, separators=(",", ":"))) for name, value in bodies.items()}
    assert row["request_body_bytes"] == sizes["requestObject"]
    assert row["response_body_bytes"] == sizes["responseObject"]
    assert row["event_bytes"] == len(line(level="RequestResponse", **bodies)) + 1
    assert row["event_bytes"] - sum(sizes.values()) == len(line(level="RequestResponse")) + 1
    assert "s3cret" not in str(row)


@pytest.mark.usefixtures("cutting")
@pytest.mark.parametrize("body", [{"requestObject": {"a": 1}}, {"responseObject": {"a": 1}}])
def test_one_body_alone_is_measured(body: dict[str, Any]) -> None:
    row = one(level="RequestResponse", **body)
    [size] = [size for name, size in row.items() if name in ("request_body_bytes", "response_body_bytes") if size]
    assert size == len(line(level="RequestResponse", **body)) - len(line(level="RequestResponse"))


@pytest.mark.usefixtures("cutting")
def test_bodies_of_logs_in_another_order_of_fields_are_measured_too() -> None:
    fields = event(level="RequestResponse", requestObject={"b": [1, {"c": "}"}]}, responseObject={"d": 1})
    sorted_text = json.dumps(dict(sorted(fields.items())), separators=(",", ":")).encode()
    table, _ = read(sorted_text + b"\n")
    plain, _ = read(line(level="RequestResponse", requestObject={"b": [1, {"c": "}"}]}, responseObject={"d": 1}))
    assert table.equals(plain)


@pytest.mark.usefixtures("cutting")
def test_a_body_that_looks_like_an_event_does_not_lie() -> None:
    """A stored object may hold the very marks by which bodies are cut."""
    stolen = {"user": {"username": "evil"}, "requestReceivedTimestamp": "2020-01-01T00:00:00.000000Z"}
    inner = event(7, requestObject={"x": 1}, responseObject={"y": 2}, **stolen)
    outer: dict[str, Any] = {"level": "RequestResponse", "requestObject": inner, "responseObject": {"items": [inner]}}
    row = one(**outer)
    assert row["user"] == "system:serviceaccount:shop:web"
    assert row["time"] == datetime(2026, 1, 1, tzinfo=UTC)
    without_response = line(level="RequestResponse", requestObject=inner)
    assert row["request_body_bytes"] == len(without_response) - len(line(level="RequestResponse"))
    assert row["response_body_bytes"] == len(line(**outer)) - len(without_response)


@pytest.mark.usefixtures("cutting")
def test_a_request_body_that_holds_a_response_is_a_request_body() -> None:
    row = one(level="Request", requestObject={"a": 1, "responseObject": {"b": 2}})
    size = len(line(level="Request", requestObject={"a": 1, "responseObject": {"b": 2}})) - len(line(level="Request"))
    assert (row["request_body_bytes"], row["response_body_bytes"]) == (size, 0)


@pytest.mark.usefixtures("cutting")
def test_fields_between_a_body_and_the_times_are_not_cut_with_it() -> None:
    """Only the apiserver's own order of fields promises that nothing else stands there."""
    fields = event(level="RequestResponse", requestObject={"a": 1})
    moved = {name: fields[name] for name in ("requestObject", "user", "requestReceivedTimestamp")}
    text = json.dumps({"kind": "Event", "level": "Request"} | moved | fields, separators=(",", ":")).encode()
    table, _ = read(text + b"\n")
    assert table["user"].to_list() == ["system:serviceaccount:shop:web"]


@pytest.mark.usefixtures("cutting")
def test_a_marked_string_in_a_field_before_the_bodies_does_not_cut() -> None:
    agent = 'x","requestObject":{"a":1},"requestReceivedTimestamp":"'
    row = one(userAgent=agent)
    assert row["user_agent"] == agent
    assert row["request_body_bytes"] == 0


@pytest.mark.parametrize(
    ("changed", "column", "value"),
    [
        ({"responseStatus": {"code": "429"}}, "code", 429),
        ({"responseStatus": {"code": 4.5}}, "code", None),
        ({"responseStatus": {"code": 10**30}}, "code", None),
        ({"responseStatus": {"code": -1}}, "code", None),
        ({"responseStatus": "Failure"}, "code", None),
        ({"verb": 7}, "verb", "7"),
        ({"verb": {"a": 1}}, "verb", None),
        ({"sourceIPs": "192.0.2.1"}, "source_ip", "192.0.2.1"),
        ({"sourceIPs": []}, "source_ip", None),
        ({"annotations": {"authorization.k8s.io/decision": True}}, "decision", "true"),
        ({"annotations": []}, "decision", None),
        ({"user": "alice"}, "user", None),
        ({"objectRef": {"name": 5, "resource": "pods"}}, "name", "5"),
    ],
)
def test_fields_of_a_wrong_type_cost_nothing_but_themselves(
    changed: dict[str, Any], column: str, value: object
) -> None:
    row = one(**changed)
    assert row[column] == value
    assert row["audit_id"] == "id-0"


def test_invalid_utf_8_is_replaced_and_noted() -> None:
    table, ledger = read(line().replace(b"web/v1.2", b"web\xff/v1.2") + b"\n")
    assert table["agent"].to_list() == ["web\ufffd"]
    assert any("UTF-8" in note for note in ledger.notes)


@pytest.mark.parametrize(
    "name", ["token", "access_token", "ACCESS_TOKEN", "access%5Ftoken", "%74oken", "password", "code"]
)
def test_values_of_token_like_parameters_never_enter_the_table(name: str) -> None:
    row = one(requestURI=f"/api/v1/x?limit=5&{name}=hidden&watch=true")
    assert row["uri"] == f"/api/v1/x?limit=5&{name}=&watch=true"


@pytest.mark.parametrize(
    "secret",
    [
        "/x?a=1#id_token=hidden123",
        "/x;apiKey=hidden123",
        "/x?key=hidden123",
        "/proxy/https://user:hidden123@example.com/",
        "/x/PASSWORD:hidden123",
        "/x/secretAccessKey=hidden123",
        '/x/"token" : "hidden123"',
        "/x/bearer hidden123",
        "/x/AKIAHIDDEN123HIDDEN1",
        "/keys/abc123.hidden123hidden1",
    ],
)
def test_whatever_is_cleared_from_a_uri_never_enters_the_table(secret: str) -> None:
    assert without_secrets(secret) != secret
    assert one(requestURI=secret)["uri"] == without_secrets(secret)


@pytest.mark.parametrize("name", ["secrets/web", "keys/a", "tokenreviews", "pods/keystone-1?watch=true"])
def test_names_that_sound_like_secrets_stay(name: str) -> None:
    assert one(requestURI=f"/api/v1/{name}")["uri"] == f"/api/v1/{name}"


def test_other_parameters_stay() -> None:
    uri = "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1&continue=abc&resourceVersion=0&timeoutSeconds=344"
    assert without_secrets(uri) == uri
    assert one(requestURI=uri)["uri"] == uri


def test_tokens_in_paths_agents_and_messages_are_removed() -> None:
    row = one(
        requestURI=f"/proxy/{TOKEN}/x",
        userAgent=f"agent/{TOKEN}",
        responseStatus={"code": 401, "message": f"invalid bearer {TOKEN}"},
    )
    assert TOKEN[:20] not in str(row)


@pytest.mark.parametrize("resource", ["secrets", "tokenreviews"])
def test_messages_about_secrets_are_not_kept(resource: str) -> None:
    row = one(objectRef={"resource": resource}, responseStatus={"code": 422, "message": "value hunter2 is invalid"})
    assert row["message"] is None


def test_long_messages_are_cut() -> None:
    message = one(responseStatus={"code": 500, "message": "é" * 9999})["message"]
    assert message == "é" * 512


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-01-01T05:30:00.5+05:30", datetime(2026, 1, 1, 0, 0, 0, 500_000, UTC)),
        ("2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T00:00:00.123456789Z", datetime(2026, 1, 1, 0, 0, 0, 123_456, UTC)),
        ("2026-01-01 00:00:00.123456000", datetime(2026, 1, 1, 0, 0, 0, 123_456, UTC)),
        ("2026-02-30T00:00:00.000000Z", None),
        ("2026-01-01T24:00:00.000000Z", None),
        ("2026-01-01T00:00:60.000000Z", None),
        ("yesterday", None),
        ("", None),
        ("9999-12-31T23:59:59.000000Z", None),
        ("0001-01-01T00:00:00Z", None),
        ("２０２６-01-01T00:00:00Z", None),
    ],
)
def test_times_are_utc_or_null(text: str, utc: datetime | None) -> None:
    assert one(requestReceivedTimestamp=text)["time"] == utc


@given(st.lists(st.integers(1_262_304_000_000_000, 4_102_444_799_999_999), min_size=1, max_size=20))
def test_the_fast_way_and_the_slow_way_agree_on_every_time(micros: list[int]) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    texts = [(epoch + timedelta(microseconds=one)).strftime("%Y-%m-%dT%H:%M:%S.%fZ") for one in micros]
    fast = clocks({"received": texts, "staged": texts, "timestamp": [None] * len(texts)}, "UTC")
    assert fast.time.to_list() == [moment(text, "UTC") for text in texts]
    assert fast.unreadable == 0


def test_times_without_a_zone_are_read_in_the_given_one() -> None:
    table, _ = read(line(requestReceivedTimestamp="2026-01-01 01:00:00") + b"\n", tz="Europe/Prague")
    assert table["time"][0] == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changed", "note"),
    [
        ({"requestReceivedTimestamp": "yesterday", "stageTimestamp": ""}, "1 event: a time cannot be read"),
        ({"requestReceivedTimestamp": "9999-12-31T23:59:59Z"}, "1 event: a time lies outside"),
        ({"requestReceivedTimestamp": None, "stageTimestamp": None}, "1 event: there is no time"),
        ({"stageTimestamp": "2025-12-31T23:59:59.000000Z"}, "1 event: the end lies before"),
        ({"apiVersion": "audit.k8s.io/v1beta1"}, "events of the old API version audit.k8s.io/v1beta1"),
        ({"verb": 7}, "1 event: fields have a wrong type"),
        ({"annotations": {"audit.k8s.io/truncated": "true"}}, "1 event: the apiserver had removed the bodies"),
    ],
)
def test_what_was_assumed_or_lost_is_noted(changed: dict[str, Any], note: str) -> None:
    _, ledger = read(line(**changed) + b"\n")
    assert [text for text in ledger.notes if text.startswith(note)]


def test_the_single_time_of_v1alpha1_is_when_the_request_came() -> None:
    old = {"apiVersion": "audit.k8s.io/v1alpha1", "requestReceivedTimestamp": None, "stageTimestamp": None}
    row = one(**old, timestamp="2017-09-11T19:55:05Z")
    assert (row["time"], row["stage_time"]) == (datetime(2017, 9, 11, 19, 55, 5, tzinfo=UTC), None)


def test_a_lone_stage_time_is_no_latency_of_nothing() -> None:
    row = one(requestReceivedTimestamp=None)
    assert (row["time"], row["stage_time"]) == (datetime(2026, 1, 1, 0, 0, 0, 100_000, UTC), None)
