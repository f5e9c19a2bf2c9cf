"""Metadata traffic: what was asked, by whom, how long the credential lives; never the credential."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sources.capture.make import EPOCH, ethernet, ipv4, ipv6, pcap, read_all, tcp

POD, IMDS = "10.244.1.17", "169.254.169.254"
SECRET, TOKEN, KEY = "CANARYsecretCANARY", "CANARYtokenCANARY", "ASIACANARYCANARY0001"
BODY = (
    f'{{"Code":"Success","AccessKeyId":"{KEY}","SecretAccessKey":"{SECRET}","Token":"{TOKEN}",'
    '"Expiration":"2026-01-01T06:00:00Z"}'
)
CREDENTIALS = "/latest/meta-data/iam/security-credentials/node-role"


def _ask(text: str, *, seq: int = 1, server: str = IMDS, port: int = 80, client: int = 40000) -> bytes:
    return ethernet(ipv4(tcp(text.encode(), client, port, seq=seq), 6, POD, server))


def _tell(text: str, *, seq: int = 1, server: str = IMDS, port: int = 80, client: int = 40000) -> bytes:
    return ethernet(ipv4(tcp(text.encode(), port, client, seq=seq), 6, server, POD))


def _get(path: str, *headers: str) -> str:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: 169.254.169.254", *headers, "", ""])


def _ok(body: str, *headers: str) -> str:
    return "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers, "", body])


def _rows(*frames: bytes, size: int = 8 << 20) -> list[dict[str, Any]]:
    return read_all(pcap(frames, step=0.01), size=size)[0]["http_messages"].to_dicts()


def _seconds(moment: Any) -> float:
    return float(moment.timestamp()) - EPOCH


def test_a_credential_fetch_is_told_without_the_credential() -> None:
    frames = [
        _ask(_get(CREDENTIALS, "User-Agent: Botocore/1.20.112", f"X-aws-ec2-metadata-token: {TOKEN}")),
        _tell(_ok(BODY)),
    ]
    asked, told = _rows(*frames)
    assert (asked["method"], asked["path"], asked["user_agent"]) == ("GET", CREDENTIALS, "Botocore/1.20.112")
    assert (asked["src"], asked["dst"], asked["response"], asked["status"]) == (POD, IMDS, False, None)
    assert (told["status"], told["response"], _seconds(told["expires_at"])) == (200, True, 6 * 3600)
    tables, ledger = read_all(pcap(frames))
    everything = "".join(table.write_json() for table in tables.values()) + repr(ledger)
    assert "CANARY" not in everything


@pytest.mark.parametrize("cut", range(1, 330, 23))
def test_an_answer_over_two_segments_is_put_together(cut: int) -> None:
    text = _ok(BODY)
    parts = [_tell(text[:cut], seq=1), _tell(text[cut:], seq=1 + cut)]
    for frames in (parts, [*parts, parts[0]]):
        rows = _rows(_ask(_get(CREDENTIALS)), *frames, size=211)
        assert [(r["number"], r["status"], r["expires_at"] is not None) for r in rows if r["response"]] == [
            (2, 200, True)
        ]


def test_segments_out_of_order_are_put_in_order() -> None:
    text = _ok(BODY)
    rows = _rows(_tell(text[:20], seq=1), _tell(text[90:], seq=91), _tell(text[20:90], seq=21))
    assert [(r["status"], _seconds(r["expires_at"])) for r in rows] == [(200, 6 * 3600)]


def test_a_session_token_request_tells_its_life() -> None:
    put = "PUT /latest/api/token HTTP/1.1\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\n\r\n"
    asked, told = _rows(_ask(put), _tell(_ok(TOKEN, "X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600")))
    assert (asked["method"], asked["token_ttl_seconds"], told["token_ttl_seconds"]) == ("PUT", 21600, 21600)


def test_other_clouds_tell_the_expiry_in_their_ways() -> None:
    google = _tell(_ok(f'{{"access_token":"{TOKEN}","expires_in":3599,"token_type":"Bearer"}}'))
    azure = _tell(_ok(f'{{"access_token":"{TOKEN}","expires_on":"{EPOCH + 7200}","resource":"x"}}'))
    assert [_seconds(row["expires_at"]) for row in _rows(google)] == [3599]
    assert [_seconds(row["expires_at"]) for row in _rows(azure)] == [7200]


def test_of_a_query_only_the_resource_stays() -> None:
    path = f"/metadata/identity/oauth2/token?api-version=2018-02-01&client_id={SECRET}&resource=https://vault.azure.net"
    (row,) = _rows(_ask(_get(path)))
    assert row["path"] == "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net"


def test_the_id_of_task_credentials_is_hidden() -> None:
    (row,) = _rows(_ask(_get(f"/v2/credentials/{SECRET}"), server="169.254.170.2"))
    assert row["path"] == "/v2/credentials/*"


def test_requests_on_one_kept_connection_follow_each_other() -> None:
    first, second = _get("/latest/meta-data/"), _get(CREDENTIALS)
    one, two = _ok("iam/"), _ok(BODY)
    rows = _rows(
        _ask(first),
        _tell(one),
        _ask(second, seq=1 + len(first)),
        _tell(two, seq=1 + len(one)),
        _ask(first + second, seq=999),
    )
    assert [r["path"] or r["status"] for r in rows] == [
        *("/latest/meta-data/", 200, CREDENTIALS, 200),
        *("/latest/meta-data/", CREDENTIALS),
    ]


def test_a_long_body_is_forgotten_and_the_next_message_found() -> None:
    long = _ok("x" * 60_000)
    pieces = [_tell(long[at : at + 1400], seq=1 + at) for at in range(0, len(long), 1400)]
    rows = _rows(*pieces, _tell(_ok(BODY), seq=1 + len(long)))
    assert [(r["number"], r["expires_at"] is not None) for r in rows] == [(1, False), (len(pieces) + 1, True)]


def test_other_web_traffic_is_left_alone_but_the_proxy_of_kube2iam_is_known() -> None:
    other = _ask(_get(CREDENTIALS), server="203.0.113.5")
    proxied = _ask(_get(CREDENTIALS), server="10.0.0.1", port=8181)
    answered = _tell(_ok(BODY), server="10.0.0.1", port=8181)
    unrelated = _ask(_get("/api/orders"), server="10.0.0.2", port=8181, client=50000)
    reply = _tell(_ok(BODY), server="10.0.0.2", port=8181, client=50000)
    rows = _rows(other, unrelated, reply, proxied, answered)
    told = [(r["dst"], r["src"], r["number"]) for r in rows if r["metadata"]]
    assert told == [("10.0.0.1", POD, 4), (POD, "10.0.0.1", 5)]
    assert [r["number"] for r in rows if not r["metadata"]] == [1, 2, 3]


def test_the_ipv6_address_is_known() -> None:
    frame = ethernet(ipv6(tcp(_get(CREDENTIALS).encode(), 40000, 80), 6, "fd00::17", "fd00:ec2::254"), 0x86DD)
    assert [row["path"] for row in _rows(frame)] == [CREDENTIALS]


def test_garbage_and_gaps_on_a_metadata_connection_do_no_harm() -> None:
    frames = [_tell("\x00\x01garbage"), _tell(_ok(BODY), seq=4_000_000), _ask("GET / HTTP/1.1\r\n" + "a: b\r\n" * 9000)]
    assert [row["status"] for row in _rows(*frames)] == [200]


def test_an_expiry_that_is_no_date_is_unknown() -> None:
    assert _rows(_tell(_ok('{"Expiration":"2026-99-99T00:00:00Z"}')))[0]["expires_at"] is None
    assert _rows(_tell(_ok('{"expires_on":"999999999999"}')))[0]["expires_at"] is None
