"""Connection attempts: the first SYN, its retries, its answer."""

from __future__ import annotations

from typing import Any

from tests.sources.capture.make import ethernet, ipv4, pcap, read_all, tcp

A, B = "10.0.0.7", "203.0.113.9"
_ident = iter(range(1, 60_000))


def _syn(when: float, port: int = 40000, seq: int = 100) -> tuple[float, bytes]:
    return when, ethernet(ipv4(tcp(b"", port, 443, seq=seq, flags=0x02), 6, A, B, ident=next(_ident)))


def _syn_ack(when: float, port: int = 40000, ack: int = 101) -> tuple[float, bytes]:
    body = tcp(b"", 443, port, seq=900, ack=ack, flags=0x12)
    return when, ethernet(ipv4(body, 6, B, A, ident=next(_ident)))


def _rows(*frames: tuple[float, bytes], size: int = 8 << 20) -> list[dict[str, Any]]:
    return read_all(pcap(frames), size=size)[0]["tcp_connections"].to_dicts()


def test_a_handshake_is_one_answered_attempt() -> None:
    row = _rows(_syn(1.0), _syn_ack(1.25))[0]
    assert (row["client"], row["client_port"], row["server"], row["server_port"]) == (A, 40000, B, 443)
    assert (row["syns"], row["answered"], row["handshake_seconds"], row["number"]) == (1, True, 0.25, 1)


def test_retries_belong_to_their_attempt_over_window_borders_too() -> None:
    rows = _rows(_syn(0), _syn(1), _syn(3), _syn_ack(3.1), size=61)
    assert [(r["syns"], r["answered"], round(r["handshake_seconds"], 3)) for r in rows] == [(3, True, 3.1)]


def test_a_port_used_again_is_a_new_attempt() -> None:
    rows = _rows(_syn(0, seq=100), _syn(60, seq=5000), _syn_ack(60.1, ack=5001))
    assert [(r["number"], r["syns"], r["answered"]) for r in rows] == [(1, 1, False), (2, 1, True)]
    assert rows[0]["handshake_seconds"] is None


def test_an_answer_to_another_sequence_number_answers_nothing() -> None:
    assert _rows(_syn(0), _syn_ack(0.1, ack=777))[0]["answered"] is False


def test_the_sequence_number_may_wrap() -> None:
    assert _rows(_syn(0, seq=2**32 - 1), _syn_ack(0.1, ack=0))[0]["answered"] is True


def test_a_clock_that_stepped_back_gives_no_negative_handshake() -> None:
    row = _rows(_syn(10.0), _syn_ack(9.0))[0]
    assert (row["answered"], row["handshake_seconds"]) == (True, None)


def test_an_answer_without_its_syn_is_no_attempt() -> None:
    assert _rows(_syn_ack(0)) == []
