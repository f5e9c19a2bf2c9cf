"""Connections: how they began, what went each way, how they ended."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.facts.tcp_connections import TCP_CONNECTIONS
from analyzer.frames import PACKETS, empty
from tests.build import at, frames_for
from tests.conversations import (
    ACK,
    CLIENT,
    FIN,
    PORT,
    RST,
    SERVER,
    SERVICE,
    SYN,
    WORD,
    Row,
    capture,
    client,
    handshake,
    server,
)

SYN_ACK = SYN | ACK


def connections(given: pl.LazyFrame) -> list[dict[str, Any]]:
    return frames_for([TCP_CONNECTIONS], {PACKETS: given})[TCP_CONNECTIONS].collect().to_dicts()


def one(*packets: Row) -> dict[str, Any]:
    [row] = connections(capture(*packets))
    return row


def test_a_handshake_is_an_answered_and_established_connection() -> None:
    row = one(client(1, 100, flags=SYN), server(1.25, 900, 101, flags=SYN_ACK), client(1.5, 101, 901))
    assert (row["client"], row["client_port"], row["server"], row["server_port"]) == (CLIENT, PORT, SERVER, SERVICE)
    assert (row["syns"], row["answered"], row["handshake_seconds"], row["established"]) == (1, True, 0.25, True)
    assert (row["time"], row["end"], row["number"], row["source"]) == (at(1), at(1.5), 1, "node.pcap")
    assert (row["refused"], row["closed"], row["reset_by"], row["syn_retries"]) == (False, False, None, [])


def test_an_answer_without_the_last_acknowledgement_establishes_nothing() -> None:
    row = one(client(1, 100, flags=SYN), server(1.25, 900, 101, flags=SYN_ACK))
    assert (row["answered"], row["established"]) == (True, False)


def test_retries_belong_to_their_attempt_and_tell_when_they_came() -> None:
    row = one(*(client(t, 100, flags=SYN) for t in (0, 1, 3, 7)), server(7.5, 900, 101, flags=SYN_ACK))
    assert (row["syns"], row["syn_retries"], row["handshake_seconds"]) == (4, [1.0, 3.0, 7.0], 7.5)


def test_an_attempt_that_nobody_answers_is_neither_answered_nor_refused() -> None:
    row = one(client(0, 100, flags=SYN), client(1, 100, flags=SYN))
    assert (row["answered"], row["refused"], row["established"], row["handshake_seconds"]) == (
        False,
        False,
        False,
        None,
    )
    assert (row["client_packets"], row["server_packets"]) == (2, 0)


def test_a_reset_as_the_first_answer_refuses() -> None:
    row = one(client(0, 100, flags=SYN), server(0.1, 0, 101, flags=RST | ACK))
    assert (row["refused"], row["reset_by"], row["answered"], row["established"]) == (True, "server", False, False)


def test_a_reset_later_does_not_refuse() -> None:
    row = one(*handshake(), server(1, 901, 101, 10), server(2, 911, 101, flags=RST))
    assert (row["refused"], row["reset_by"], row["established"]) == (False, "server", True)


def test_the_first_reset_names_the_side() -> None:
    resets = [client(1, 101, 901, flags=RST), server(1.1, 901, 101, flags=RST)]
    assert one(*handshake(), *resets)["reset_by"] == "client"


def test_a_connection_is_closed_when_both_sides_said_so() -> None:
    half = [*handshake(), client(1, 101, 901, flags=FIN | ACK)]
    assert one(*half)["closed"] is False
    assert one(*half, server(1.1, 901, 102, flags=FIN | ACK))["closed"] is True


def test_a_port_used_again_is_a_new_connection() -> None:
    again = [client(60, 5000, flags=SYN), server(60.1, 300, 5001, flags=SYN_ACK)]
    rows = connections(capture(client(0, 100, flags=SYN), *again))
    assert [(r["number"], r["syns"], r["answered"]) for r in rows] == [(1, 1, False), (2, 1, True)]


def test_a_syn_after_a_captured_rest_is_a_new_connection() -> None:
    rest = [server(0, 901, 101, 100), client(0.1, 101, 1001)]
    rows = connections(capture(*rest, *handshake(5, isn=7000)))
    assert [(r["number"], r["syns"], r["established"]) for r in rows] == [(1, 0, True), (3, 1, True)]


def test_a_syn_that_was_captured_behind_its_answer_begins_no_other() -> None:
    row = one(server(0, 900, 101, flags=SYN_ACK), client(0, 100, flags=SYN), client(0.1, 101, 901))
    assert (row["client"], row["syns"], row["answered"]) == (CLIENT, 1, True)


def test_an_answer_to_another_sequence_number_answers_nothing() -> None:
    assert one(client(0, 100, flags=SYN), server(0.1, 900, 777, flags=SYN_ACK))["answered"] is False


def test_an_answer_may_acknowledge_what_the_syn_carried() -> None:
    opening = client(0, 100, 0, 30, flags=SYN)
    assert one(opening, server(0.1, 900, 131, flags=SYN_ACK))["answered"] is True
    assert one(opening, server(0.1, 900, 132, flags=SYN_ACK))["answered"] is False


def test_the_sequence_number_may_wrap() -> None:
    assert one(client(0, WORD - 1, flags=SYN), server(0.1, 900, 0, flags=SYN_ACK))["answered"] is True


def test_a_clock_that_stepped_back_gives_no_negative_handshake() -> None:
    row = one(client(10, 100, flags=SYN), server(9, 900, 101, flags=SYN_ACK))
    assert (row["answered"], row["handshake_seconds"]) == (True, None)


def test_an_answer_without_its_syn_tells_the_client() -> None:
    row = one(server(0, 900, 101, flags=SYN_ACK) | {"src_port": 50000, "dst_port": 80})
    assert (row["client"], row["client_port"], row["syns"], row["answered"]) == (CLIENT, 80, 0, True)
    assert row["handshake_seconds"] is None


def test_without_a_handshake_the_lower_port_is_the_servers() -> None:
    row = one(server(0, 901, 101, 100), client(0.1, 101, 1001))
    assert (row["client"], row["server_port"], row["syns"]) == (CLIENT, SERVICE, 0)
    assert (row["answered"], row["established"]) == (False, True)


def test_a_bare_acknowledgement_of_a_stale_socket_establishes_nothing() -> None:
    stale = [client(0, 100, flags=SYN), server(0.1, 5000, 3000), client(0.2, 3000, flags=RST)]
    row = one(*stale)
    assert (row["established"], row["refused"], row["reset_by"]) == (False, False, "client")


def test_each_octet_counts_once() -> None:
    talk = [
        server(1, 901, 101, 100),
        server(1, 1101, 101, 100),
        server(1.5, 1001, 101, 100),
        server(2, 951, 101, 100),
        server(3, 1151, 101, 100),
    ]
    row = one(*handshake(), client(0.5, 101, 901, 40), *talk)
    assert (row["client_bytes"], row["client_repeated_bytes"]) == (40, 0)
    assert (row["server_bytes"], row["server_repeated_bytes"]) == (350, 150)
    assert (row["client_packets"], row["server_packets"]) == (3, 6)
    assert (row["client_segments"], row["server_segments"]) == (2, 6)


def test_octets_on_both_sides_of_a_wrap_count_once() -> None:
    talk = [client(0, WORD - 50, 901, 100), client(0.1, 50, 901, 100), client(0.5, WORD - 50, 901, 100)]
    row = one(*talk)
    assert (row["client_bytes"], row["client_repeated_bytes"]) == (200, 100)


@pytest.mark.parametrize(
    ("column", "count", "talk"),
    [
        ("server_retransmissions", 1, [server(1, 901, 101, 10), server(2, 901, 101, 10)]),
        ("server_spurious", 1, [server(1, 901, 101, 10), client(1.1, 101, 911), server(2, 901, 101, 10)]),
        ("server_out_of_order", 1, [server(1, 901, 101, 9), server(1, 930, 101, 9), server(1, 910, 101, 9)]),
        ("server_lost", 1, [server(1, 901, 101, 10), server(2, 950, 101, 10)]),
        ("client_keep_alives", 2, [client(50, 100, 901), client(99, 100, 901)]),
        ("client_duplicate_acks", 2, [client(1, 101, 901), client(2, 101, 901)]),
        ("client_zero_windows", 1, [client(1, 101, 901, window=0)]),
    ],
)
def test_events_are_counted_for_each_side(column: str, count: int, talk: list[Row]) -> None:
    row = one(*handshake(), *talk)
    side, _, name = column.partition("_")
    other = {"client": "server", "server": "client"}[side]
    assert (row[column], row[f"{other}_{name}"]) == (count, 0)


def test_a_spurious_retransmission_is_a_retransmission_too() -> None:
    row = one(*handshake(), server(1, 901, 101, 10), client(1.1, 101, 911), server(2, 901, 101, 10))
    assert (row["server_retransmissions"], row["server_spurious"]) == (1, 1)


def test_copies_of_packets_are_left_out() -> None:
    data = server(1, 901, 101, 10)
    row = one(*handshake(), data, data | {"duplicate": True})
    assert (row["server_packets"], row["server_bytes"], row["server_retransmissions"]) == (2, 10, 0)


def test_two_captures_of_one_connection_have_a_row_each() -> None:
    both = pl.concat([capture(*handshake(), source="a.pcap"), capture(*handshake(), source="b.pcap")])
    assert [(r["source"], r["client_packets"]) for r in connections(both)] == [("a.pcap", 2), ("b.pcap", 2)]


def test_no_rows_give_no_connections() -> None:
    assert connections(empty(PACKETS).lazy()) == []
