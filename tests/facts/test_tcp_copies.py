"""A connection that is seen before and after address translation, or by two captures, counts once."""

from __future__ import annotations

from typing import Any

import polars as pl

from analyzer.facts.tcp_connections import TCP_CONNECTIONS
from analyzer.frames import PACKETS
from tests.build import frames_for
from tests.conversations import CLIENT, SERVER, SYN, Row, capture, client, handshake

POD, NODE = "10.244.1.9", "172.16.0.4"


def moved(packets: list[Row], seconds: float, **ends: str) -> list[Row]:
    """The packets a moment later, with other addresses in place of CLIENT and SERVER."""
    names = {CLIENT: ends.get("client", CLIENT), SERVER: ends.get("server", SERVER)}
    return [
        packet | {"time": packet["time"] + seconds, "src": names[packet["src"]], "dst": names[packet["dst"]]}
        for packet in packets
    ]


def covered(*captures: pl.LazyFrame) -> list[tuple[Any, ...]]:
    """Source, client, server and covered of each connection."""
    frames = frames_for((TCP_CONNECTIONS,), {PACKETS: pl.concat(captures)})
    rows = frames[TCP_CONNECTIONS].collect().sort("source", "number")
    return rows.select("source", "client", "server", "covered").rows()


def test_a_service_address_that_is_translated_gives_one_connection() -> None:
    behind = moved(handshake(), 0.0002, server=POD)
    both = sorted([*handshake(), *behind], key=lambda packet: packet["time"])
    assert covered(capture(*both)) == [("node.pcap", CLIENT, SERVER, False), ("node.pcap", CLIENT, POD, True)]


def test_a_client_that_is_masqueraded_gives_one_connection() -> None:
    both = sorted([*handshake(), *moved(handshake(), 0.0002, client=NODE)], key=lambda packet: packet["time"])
    assert [row[-1] for row in covered(capture(*both))] == [False, True]


def test_another_connection_with_numbers_of_its_own_counts() -> None:
    both = sorted([*handshake(), *moved(handshake(isn=777, answer=888), 0.0002, server=POD)], key=lambda p: p["time"])
    assert [row[-1] for row in covered(capture(*both))] == [False, False]


def test_the_same_numbers_after_a_while_are_chance() -> None:
    both = [*handshake(), *moved(handshake(), 0.5, server=POD)]
    assert [row[-1] for row in covered(capture(*both))] == [False, False]


def test_an_unanswered_syn_is_seen_again_only_with_one_end_the_same() -> None:
    ask = client(0, 100, flags=SYN)
    translated, stranger = moved([ask], 0.0002, server=POD), moved([ask], 0.0002, client=NODE, server=POD)
    assert [row[-1] for row in covered(capture(ask, *translated))] == [False, True]
    assert [row[-1] for row in covered(capture(ask, *stranger))] == [False, False]


def test_of_two_captures_the_fuller_one_counts() -> None:
    more = [*handshake(), *moved(handshake(isn=5, answer=6, port=41000), 1)]
    found = covered(capture(*handshake(), source="a.pcap"), capture(*more, source="b.pcap"))
    assert [(row[0], row[-1]) for row in found] == [("a.pcap", True), ("b.pcap", False), ("b.pcap", False)]


def test_connections_whose_handshake_was_not_captured_are_never_covered() -> None:
    rest = [client(0, 101, 901, 10)]
    assert [row[-1] for row in covered(capture(*rest), capture(*rest, source="b.pcap"))] == [False, False]
