"""Segments that were sent again, with what they repeat; and packets that were captured twice."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.facts.tcp_retransmissions import TCP_RETRANSMISSIONS
from analyzer.frames import PACKETS, empty
from tests.build import frames_for
from tests.conversations import ACK, CLIENT, SERVER, SYN, Row, capture, client, handshake, server


def again(*packets: Row) -> list[dict[str, Any]]:
    given = {PACKETS: capture(*packets)}
    return frames_for([TCP_RETRANSMISSIONS], given)[TCP_RETRANSMISSIONS].collect().to_dicts()


def test_a_row_tells_what_it_repeats_and_since_when() -> None:
    [row] = again(*handshake(), client(0.1, 101, 901, 100, ip_id=7), client(0.4, 101, 901, 100, ip_id=8))
    assert (row["number"], row["connection"], row["first_number"], row["seen"]) == (5, 1, 4, True)
    assert (row["client"], row["server"], row["from_client"]) == (CLIENT, SERVER, True)
    assert (row["kind"], row["syn"], row["payload_bytes"], row["turn"]) == ("retransmission", False, 100, 1)
    assert row["delay_seconds"] == pytest.approx(0.3)
    assert row["copy"] is False


def test_what_is_sent_a_third_time_has_its_turn_and_the_whole_delay() -> None:
    rows = again(*handshake(), *(client(at, 101, 901, 100) for at in (0.1, 0.4, 1.0)))
    assert [(row["turn"], round(row["delay_seconds"], 6)) for row in rows] == [(1, 0.3), (2, 0.9)]


def test_part_of_a_longer_segment_is_held_against_it() -> None:
    [row] = again(*handshake(), client(0.1, 101, 901, 3000), client(0.5, 1101, 901, 1000))
    assert (row["first_number"], row["seen"], row["delay_seconds"]) == (4, True, pytest.approx(0.4))
    assert (row["first_bytes"], row["payload_bytes"]) == (3000, 1000)


def test_what_was_lost_before_the_capture_counts_from_the_segment_that_shows_the_gap() -> None:
    talk = [server(0.1, 901, 101, 100), server(0.2, 1101, 101, 100), server(0.6, 1001, 101, 100)]
    [row] = again(*handshake(), *talk)
    assert (row["number"], row["first_number"], row["seen"], row["from_client"]) == (6, 5, False, False)
    assert row["first_bytes"] is None
    assert row["delay_seconds"] == pytest.approx(0.4)


def test_syns_that_follow_a_second_later_are_retries_and_those_at_once_are_copies() -> None:
    rows = again(*(client(at, 100, flags=SYN) for at in (0, 0.15, 1.0)))
    assert [(row["syn"], row["copy"]) for row in rows] == [(True, True), (True, False)]


def test_a_server_answers_each_syn_that_reaches_it() -> None:
    talk = [client(0, 100, flags=SYN), client(1, 100, flags=SYN)]
    talk += [server(at, 900, 101, flags=SYN | ACK) for at in (1.02, 1.026)]
    assert [(row["from_client"], row["copy"]) for row in again(*talk)] == [(True, False), (False, False)]


@pytest.mark.parametrize(
    ("first", "second", "after", "copy"),
    [
        (7, 7, 0.5, True),  # the same packet
        (7, 8, 0.5, False),
        (0, 0, 0.5, False),  # no identification at all
        (7, 8, 0.004, True),  # sooner than half a round trip of 10 ms
        (None, None, 0.006, False),
    ],
)
def test_the_same_packet_again_is_a_copy(first: int | None, second: int | None, after: float, copy: bool) -> None:
    [row] = again(
        *handshake(took=0.01), client(0.1, 101, 901, 9, ip_id=first), client(0.1 + after, 101, 901, 9, ip_id=second)
    )
    assert row["copy"] is copy


def test_a_copy_of_a_retransmission_is_compared_with_that() -> None:
    numbers = ((0.1, 7), (0.5, 8), (0.52, 8))
    rows = again(*handshake(), *(client(at, 101, 901, 9, ip_id=number) for at, number in numbers))
    assert [row["copy"] for row in rows] == [False, True]


def test_a_handshake_of_several_syns_is_no_round_trip() -> None:
    opened = [client(0, 100, flags=SYN), *handshake(1.0, took=0.01)]
    [_, row] = again(*opened, client(1.1, 101, 901, 9), client(1.3, 101, 901, 9))
    assert row["copy"] is False


def test_connections_that_are_seen_twice_count_once() -> None:
    pod = [*handshake(), client(0.1, 101, 901, 9), client(0.5, 101, 901, 9)]
    node = [
        row | {"time": row["time"] + 0.0002} | ({"src": "10.9.9.9"} if row["src"] == CLIENT else {"dst": "10.9.9.9"})
        for row in pod
    ]
    rows = again(*sorted([*pod, *node], key=lambda row: row["time"]))
    assert [row["client"] for row in rows] == [CLIENT]


def test_no_rows_and_quiet_conversations_give_nothing() -> None:
    assert again(*handshake(), client(0.1, 101, 901, 9), server(0.11, 901, 110)) == []
    given = {PACKETS: empty(PACKETS).lazy()}
    assert frames_for([TCP_RETRANSMISSIONS], given)[TCP_RETRANSMISSIONS].collect().is_empty()


def test_packets_without_a_time_or_of_a_clock_that_stepped_back_have_no_delay() -> None:
    [row] = again(*handshake(), client(5.1, 101, 901, 9), client(2.0, 101, 901, 9))
    assert row["delay_seconds"] is None
    frame = capture(*handshake(), client(5.1, 101, 901, 9), client(7.0, 101, 901, 9))
    timeless = {PACKETS: frame.with_columns(time=pl.lit(None, PACKETS.schema["time"]))}
    assert frames_for([TCP_RETRANSMISSIONS], timeless)[TCP_RETRANSMISSIONS].collect().height <= 1
