"""Plaintext HTTP/1 at any port: what was asked and answered; never what was in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sources.capture.make import cooked2, ethernet, ipv4, ipv6, pcap, read_all, tcp
from tests.sources.capture.oracle import fields, needs_tshark

CLIENT, SERVER = "10.244.1.17", "10.96.3.4"


def ask(text: str | bytes, *, seq: int = 1, port: int = 8080, client: int = 40000, ident: int = 1) -> bytes:
    data = text if isinstance(text, bytes) else text.encode("latin-1")
    return ethernet(ipv4(tcp(data, client, port, seq=seq), 6, CLIENT, SERVER, ident=ident))


def tell(text: str | bytes, *, seq: int = 1, port: int = 8080, client: int = 40000, ident: int = 1) -> bytes:
    data = text if isinstance(text, bytes) else text.encode("latin-1")
    return ethernet(ipv4(tcp(data, port, client, seq=seq), 6, SERVER, CLIENT, ident=ident))


def get(target: str = "/", *fields: str, method: str = "GET") -> str:
    return "\r\n".join([f"{method} {target} HTTP/1.1", *fields, "", ""])


def ok(body: str = "", *fields: str, status: str = "200 OK") -> str:
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", body])


def rows(*frames: Any, size: int = 8 << 20, **more: Any) -> list[dict[str, Any]]:
    return read_all(pcap(frames, step=0.01, **more), size=size)[0]["http_messages"].to_dicts()


def told(found: list[dict[str, Any]]) -> list[Any]:
    return [row["path"] if row["status"] is None else row["status"] for row in found]


def test_a_request_and_its_answer_at_any_port() -> None:
    request = get("/orders", "Host: shop.default.svc:8080", "User-Agent: curl/8.5.0", method="POST")
    asked, answered = rows(ask(request, port=31337), tell(ok("done", status="503 Busy"), port=31337))
    assert (asked["method"], asked["path"], asked["host"]) == ("POST", "/orders", "shop.default.svc:8080")
    assert (asked["user_agent"], asked["status"], asked["response"]) == ("curl/8.5.0", None, False)
    assert (asked["src"], asked["dst"], asked["dst_port"], asked["number"]) == (CLIENT, SERVER, 31337, 1)
    assert (answered["status"], answered["response"], answered["path"], answered["host"]) == (503, True, None, None)
    assert (asked["metadata"], answered["expires_at"], answered["token_ttl_seconds"]) == (False, None, None)


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "HEAD", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_every_method_is_known(method: str) -> None:
    assert [row["method"] for row in rows(ask(get("/x", method=method)))] == [method]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/a/b?token=CANARY&x=1", "/a/b"),
        ("/a#CANARY", "/a"),
        ("/a;jsessionid=CANARY?x", "/a"),
        ("http://user:CANARY@shop.example.com/a?b=CANARY", "/a"),
        ("/v2/credentials/CANARY", "/v2/credentials/*"),
        ("/token?api-version=1&client_id=CANARY&resource=https://vault", "/token?api-version=1&resource=https://vault"),
        ("//CANARY@host/x", "/x"),
        ("*", "*"),
        ("/caf\xe9", "/caf\\xe9"),
        ("/" + "x" * 3000, "/" + "x" * 511),
    ],
)
def test_of_a_target_only_the_path_stays(target: str, path: str) -> None:
    [row] = rows(ask(get(target)))
    assert row["path"] == path


def test_a_connect_request_names_an_authority() -> None:
    [row] = rows(ask(get("db.example.com:443", method="CONNECT")))
    assert (row["method"], "CANARY" in str(row)) == ("CONNECT", False)


def test_credentials_and_bodies_are_read_into_nothing() -> None:
    secret = "CANARY0x9Zq7Lm2Wv8"
    fields_ = (f"Authorization: Bearer {secret}", f"Cookie: sid={secret}", f"X-Vault-Token: {secret}")
    sly = f"User-Agent: job Authorization: Bearer {secret}"
    frames = [
        ask(get(f"/a?access_token={secret}", *fields_, sly) + f"password={secret}"),
        tell(ok(f'{{"token":"{secret}"}}', f"Set-Cookie: sid={secret}")),
        ask(get(f"/bot/token={secret}"), seq=2000),
    ]
    tables, ledger = read_all(pcap(frames))
    assert tables["http_messages"].height == 3
    assert "CANARY" not in "".join(table.write_json() for table in tables.values()) + repr(ledger)


@pytest.mark.parametrize("size", [100, 8 << 20])
@pytest.mark.parametrize("cut", [8, 20, 30, 44, 60, 70, 90])
def test_a_head_over_two_segments_is_put_together(cut: int, size: int) -> None:
    text = get("/orders/17", "Cookie: a=b", "User-Agent: curl/8.5.0", "Host: shop")
    first, second = ask(text[:cut], seq=1), ask(text[cut:], seq=1 + cut, ident=2)
    expected = [("/orders/17", "curl/8.5.0", "shop", 1)]
    for frames in ([first, second], [first, ask(text[:cut], seq=1, ident=9), second]):
        found = rows(*frames, size=size)
        assert [(row["path"], row["user_agent"], row["host"], row["number"]) for row in found] == expected


def test_a_head_that_never_becomes_whole_tells_its_start_line_and_is_counted() -> None:
    text = get("/orders", "Host: shop", "User-Agent: curl")
    tables, ledger = read_all(pcap([ask(text[:-4])]))
    assert tables["http_messages"]["path"].to_list() == ["/orders"]
    assert "1 HTTP heads never became whole; what was seen of them is told" in ledger.notes


def test_a_head_cut_by_the_snap_length_tells_what_is_there() -> None:
    frame = ask(get("/orders", "Host: shop", "Accept: " + "x" * 200, "User-Agent: curl"))
    [row] = rows(frame, snaplen=54 + 60)
    assert (row["path"], row["host"], row["user_agent"]) == ("/orders", "shop", None)
    assert rows(frame, snaplen=54 + 16) == [], "the start line is not complete"


def test_messages_that_follow_each_other_in_one_segment_are_all_told() -> None:
    asked = get("/a") + get("/b", "Content-Length: 5", method="POST") + "GET /" + get("/c")
    answered = ok("one") + ok("two", status="404 Not Found") + ok("", status="204 No Content")
    assert told(rows(ask(asked), tell(answered))) == ["/a", "/b", "/c", 200, 404, 204]


def test_an_interim_answer_and_the_final_one_share_a_segment() -> None:
    assert told(rows(tell("HTTP/1.1 100 Continue\r\n\r\n" + ok("x")))) == [100, 200]


def test_a_segment_sent_again_is_no_second_message() -> None:
    text = get("/a")
    again = [ask(text), ask(text, ident=2), ask(get("/a"), seq=1 + len(text), ident=3)]
    assert [row["number"] for row in rows(*again)] == [1, 3]
    assert [row["number"] for row in rows(*again, size=100)] == [1, 3]


def test_a_copy_at_another_interface_is_marked() -> None:
    packet = ipv4(tcp(get("/a").encode(), 40000, 80), 6, CLIENT, SERVER)
    found = rows((0.0, cooked2(packet, 3)), (0.0001, cooked2(packet, 5)), link=276)
    assert [(row["interface"], row["duplicate"]) for row in found] == [(3, False), (5, True)]


@pytest.mark.parametrize(
    "payload",
    [
        "GET what you want\r\n\r\n",
        "GET /a b HTTP/1.1\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET / HTTP/1.1 \r\n\r\n",
        "get / HTTP/1.1\r\n\r\n",
        "GETS / HTTP/1.1\r\n\r\n",
        "POST \r\n\r\n and so on",
        "HTTP/1.1 is a protocol\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 600 Odd\r\n\r\n",
        "HTTP/1.12 00 Odd\r\n\r\n",
        "OPTIONS sip:x@example.com SIP/2.0\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "DELETED rows: 17 of 2000\r\n\r\n",
    ],
)
def test_what_only_looks_like_http_is_left_alone(payload: str) -> None:
    assert rows(ask(payload)) == []


def test_a_body_that_looks_like_a_message_is_none() -> None:
    log = "x" * 100 + get("/logged") + ok("y" * 50) + "z" * 50
    answer = ok(log)
    at = answer.index("GET /logged")
    frames = [tell(answer[:at]), tell(answer[at : at + 40], seq=1 + at), tell(answer[at + 40 :], seq=41 + at)]
    after = tell(ok("next"), seq=1 + len(answer))
    assert [row["number"] for row in rows(*frames, after)] == [1, 4]
    assert [row["number"] for row in rows(*frames, after, size=100)] == [1, 4]


def test_the_answer_to_head_states_a_length_without_a_body() -> None:
    first = ok("x" * 500)[:-500]
    assert told(rows(tell(first), tell(ok("y", status="404 No"), seq=1 + len(first)))) == [200, 404]


def test_ipv6_is_read_like_ipv4() -> None:
    frame = ethernet(ipv6(tcp(get("/six").encode(), 40000, 80), 6, "fd00::17", "fd00::9"), 0x86DD)
    assert [(row["path"], row["src"]) for row in rows(frame)] == [("/six", "fd00::17")]


def test_every_cut_of_a_message_and_every_garbled_byte_is_survived() -> None:
    text = (get("/a?b", "Host: h", "User-Agent: u", "Content-Length: 3", method="POST") + "abc" + get("/c")).encode()
    frames = [ask(text[:at], client=1024 + at) for at in range(len(text))]
    for at in range(len(text)):
        for byte in (0, 10, 13, 32, 255):
            garbled = text[:at] + bytes([byte]) + text[at + 1 :]
            frames.append(ask(garbled, client=2000 + at * 5 + (0, 10, 13, 32, 255).index(byte)))
    tables, ledger = read_all(pcap(frames))
    assert ledger.used == len(frames)
    assert set(tables["http_messages"]["method"]) == {"POST", "GET"}


@needs_tshark
def test_rows_equal_those_of_tshark(tmp_path: Path) -> None:
    frames, asked, answered = [], 1, 1
    for number in range(60):
        fields_ = [f"Host: svc-{number % 7}.example.com", "Accept: */*", f"User-Agent: agent/{number % 5}"]
        request = get(f"/items/{number}", *fields_[: number % 4], method=("GET", "DELETE", "OPTIONS")[number % 3])
        half = 25 if number % 10 == 9 else len(request)
        frames.append(ask(request[:half], seq=asked))
        if half < len(request):
            frames.append(ask(request[half:], seq=asked + half))
        answer = ok("x" * number, "Server: s", status=("200 OK", "404 Not Found", "503 Busy")[number % 3])
        frames.append(tell(answer, seq=answered))
        asked, answered = asked + len(request), answered + len(answer)
    path = tmp_path / "t.pcap"
    path.write_bytes(pcap(frames))
    names = ("http.request.method", "http.request.uri", "http.response.code", "http.user_agent", "http.host")
    theirs = fields(path, *names, where="http.request || http.response")
    ours = [
        [row["method"] or "", row["path"] or "", str(row["status"] or ""), row["user_agent"] or "", row["host"] or ""]
        for row in read_all(path.read_bytes())[0]["http_messages"].to_dicts()
    ]
    assert ours == theirs
    assert len(ours) == 120
