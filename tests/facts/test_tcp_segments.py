"""What is said of single segments: every event has its smallest conversation, and what only looks like it."""

from __future__ import annotations

import polars as pl
import pytest

from analyzer.facts import tcp_streams
from analyzer.facts.tcp_segments import TCP_SEGMENTS
from analyzer.frames import PACKETS, empty
from tests.build import frames_for
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

MS = 0.001


def segments(given: pl.LazyFrame) -> pl.DataFrame:
    return frames_for([TCP_SEGMENTS], {PACKETS: given})[TCP_SEGMENTS].collect()


def said(*packets: Row) -> list[tuple[int, str]]:
    """Frame number and event."""
    return segments(capture(*packets)).select("number", "event").rows()


def test_a_quiet_conversation_gives_nothing() -> None:
    talk = [client(0.1, 101, 901, 50), server(0.11, 901, 151, 1000), client(0.12, 151, 1901)]
    assert said(*handshake(), *talk, client(1, 151, 1901, flags=FIN | ACK), server(1.01, 1901, 152)) == []


def test_a_row_says_where_and_between_whom() -> None:
    lost = [server(0.1, 901, 101, 100), server(0.5, 901, 101, 100)]
    [row] = segments(capture(*handshake(), *lost)).to_dicts()
    assert (row["number"], row["source"], row["connection"], row["from_client"]) == (5, "node.pcap", 1, False)
    assert (row["client"], row["client_port"], row["server"], row["server_port"]) == (CLIENT, PORT, SERVER, SERVICE)
    assert (row["seq"], row["payload_bytes"], row["event"]) == (901, 100, "retransmission")


def test_octets_sent_again_are_a_retransmission() -> None:
    assert said(client(0, 101, 901, 100), client(0.3, 101, 901, 100)) == [(2, "retransmission")]


def test_octets_sent_again_behind_a_wrap_of_the_numbers_are_a_retransmission() -> None:
    talk = [client(0, WORD - 50, 901, 100), client(0.1, 50, 901, 100), client(0.5, WORD - 50, 901, 100)]
    assert said(*talk) == [(3, "retransmission")]


def test_the_next_octets_behind_a_wrap_are_none() -> None:
    assert said(client(0, WORD - 50, 901, 100), client(0.5, 50, 901, 100)) == []


def test_a_fin_sent_again_is_a_retransmission() -> None:
    assert said(client(0, 101, 901, flags=FIN | ACK), client(1, 101, 901, flags=FIN | ACK)) == [(2, "retransmission")]


def test_an_acknowledgement_alone_is_never_a_retransmission() -> None:
    assert said(client(0, 101, 901, 100), client(1, 101, 951)) == []


def test_a_retransmission_right_after_two_duplicate_acks_is_fast() -> None:
    gap = [server(0.1, 901, 101, 100), server(0.1, 1101, 101, 100)]
    acks = [client(0.1 + i * MS, 101, 1001) for i in range(3)]
    assert said(*handshake(), *gap, *acks, server(0.12, 1001, 101, 100)) == [
        (5, "lost segment"),
        (7, "duplicate ack"),
        (8, "duplicate ack"),
        (9, "fast retransmission"),
    ]


@pytest.mark.parametrize(("acks", "after"), [(2, 0.018), (3, 0.020)], ids=["one duplicate", "too late"])
def test_with_one_duplicate_ack_or_20_ms_later_it_is_not_fast(acks: int, after: float) -> None:
    gap = [server(0.1, 901, 101, 100), server(0.1, 1101, 101, 100)]
    again = [client(0.1, 101, 1001)] * acks
    assert said(*handshake(), *gap, *again, server(0.1 + after, 1001, 101, 100))[-1][1] == "retransmission"


def test_octets_that_were_acknowledged_are_sent_again_for_nothing() -> None:
    talk = [server(0.1, 901, 101, 100), client(0.11, 101, 1001), server(0.4, 901, 101, 100)]
    assert said(*handshake(), *talk) == [(6, "spurious retransmission")]


def test_octets_that_come_within_the_round_trip_after_later_ones_are_out_of_order() -> None:
    talk = [server(0.1, 901, 101, 100), server(0.1, 1101, 101, 100), server(0.108, 1001, 101, 100)]
    assert said(*handshake(took=0.01), *talk) == [(5, "lost segment"), (6, "out of order")]


def test_after_the_round_trip_they_are_a_retransmission() -> None:
    talk = [server(0.1, 901, 101, 100), server(0.1, 1101, 101, 100), server(0.112, 1001, 101, 100)]
    assert said(*handshake(took=0.01), *talk) == [(5, "lost segment"), (6, "retransmission")]


@pytest.mark.parametrize(("after", "event"), [(2.9 * MS, "out of order"), (3 * MS, "retransmission")])
def test_three_milliseconds_count_where_the_round_trip_is_not_known(after: float, event: str) -> None:
    talk = [server(0.1, 901, 101, 100), server(0.1, 1101, 101, 100), server(0.1 + after, 1001, 101, 100)]
    assert said(*talk) == [(2, "lost segment"), (3, event)]


def test_a_gap_is_told_at_the_segment_behind_it() -> None:
    assert said(server(0, 901, 101, 100), server(1, 1101, 101, 100)) == [(2, "lost segment")]


def test_the_first_segment_of_a_side_and_a_reset_tell_of_no_gap() -> None:
    talk = [server(0, 901, 101, 100), client(0, 5000, 1001, 10), server(1, 7000, 101, flags=RST)]
    assert said(*talk) == [(3, "reset")]


def test_an_old_octet_alone_is_a_keep_alive_and_its_answer_is_no_duplicate_ack() -> None:
    talk = [client(1, 101, 901), server(1.1, 901, 101), client(60, 100, 901), server(60.1, 901, 101)]
    assert said(*talk) == [(3, "keep-alive"), (4, "keep-alive ack")]


@pytest.mark.parametrize("size", [0, 1])
def test_a_keep_alive_may_carry_the_octet(size: int) -> None:
    assert said(client(1, 101, 901), client(60, 100, 901, size)) == [(2, "keep-alive")]


def test_an_acknowledgement_repeated_in_everything_is_a_duplicate() -> None:
    assert said(client(0, 101, 901), client(0.1, 101, 901)) == [(2, "duplicate ack")]


@pytest.mark.parametrize(
    "other", [client(0.1, 101, 951), client(0.1, 101, 901, window=600), client(0.1, 101, 901, 10)], ids=str
)
def test_with_another_number_window_or_with_data_it_is_none(other: Row) -> None:
    assert said(client(0, 101, 901), other) == []


def test_a_closed_window_its_probe_and_the_answer() -> None:
    talk = [
        server(0, 901, 101, 100),
        client(0.1, 101, 1001, window=0),
        server(5, 1001, 101, 1),
        client(5.1, 101, 1001, window=0),
        server(15, 1001, 101, 1),
    ]
    assert said(*talk) == [
        (2, "zero window"),
        (3, "zero window probe"),
        (4, "zero window"),
        (4, "zero window probe ack"),
        (5, "zero window probe"),
    ]


def test_a_reset_or_fin_with_window_zero_closes_no_window() -> None:
    assert said(client(0, 101, 901, flags=RST | ACK, window=0)) == [(1, "reset")]
    assert said(client(0, 101, 901, flags=FIN | ACK, window=0)) == []


def test_a_syn_sent_again_is_a_retry() -> None:
    assert said(client(0, 100, flags=SYN), client(1, 100, flags=SYN), server(1.1, 900, 101, flags=SYN | ACK)) == [
        (2, "retransmission"),
        (2, "syn retry"),
    ]


def test_a_syn_with_another_number_uses_the_port_again() -> None:
    first = [*handshake(), server(0.1, 901, 101, 100)]
    assert said(*first, *handshake(60, isn=7000, answer=300)) == [(5, "port reused")]


def test_a_connection_that_uses_a_port_again_is_analysed_on_its_own() -> None:
    first = [*handshake(), server(0.1, 901, 101, 100)]
    again = [*handshake(60, isn=7000, answer=300), server(60.1, 301, 7001, 10), server(61, 301, 7001, 10)]
    frame = segments(capture(*first, *again))
    assert frame.select("number", "event", "connection").rows() == [(5, "port reused", 5), (9, "retransmission", 5)]


def test_the_number_of_a_refusal_is_not_the_servers() -> None:
    refused = [client(0, 100, flags=SYN), server(0.01, 0, 101, flags=RST | ACK)]
    accepted = [client(1, 100, flags=SYN), server(1.01, 900, 101, flags=SYN | ACK)]
    assert said(*refused, *accepted) == [(2, "reset"), (3, "retransmission"), (3, "syn retry")]


def test_copies_of_a_packet_are_no_retransmissions() -> None:
    data = client(0, 101, 901, 100)
    assert said(data, data | {"duplicate": True}) == []


def test_two_captures_of_one_connection_are_two_connections() -> None:
    talk = [*handshake(), server(0.1, 901, 101, 100)]
    both = pl.concat([capture(*talk, source="a.pcap"), capture(*talk, source="b.pcap")])
    assert segments(both).height == 0


def test_two_connections_that_run_at_once_are_told_apart() -> None:
    talk = [client(0, 101, 901, 100), client(0, 101, 901, 100, port=40001), client(0.1, 201, 901, 100)]
    assert said(*talk, client(0.5, 101, 901, 100, port=40001)) == [(4, "retransmission")]


def test_other_protocols_and_cut_headers_are_left_out() -> None:
    data = client(0, 101, 901, 100)
    assert said(data, data | {"tcp_flags": None}, data | {"protocol": "UDP"}) == []


def test_a_capture_without_times_is_read_in_its_order() -> None:
    talk = [client(None, 101, 901, 100), client(None, 101, 901, 100)]
    assert said(*talk) == [(2, "retransmission")]


def test_a_window_that_was_cut_off_equals_no_other() -> None:
    assert said(client(0, 101, 901, window=None), client(0.1, 101, 901, window=0)) == [(2, "zero window")]


def test_numbers_that_jump_about_spoil_no_other_connection() -> None:
    wild = [client(i, (i * 0x7FFFFFFF) % WORD, 901, 10, port=50000 + j) for i in range(40) for j in (0, 2)]
    tame = [client(50, 101, 901, 100, port=50001), client(51, 101, 901, 100, port=50001)]
    frame = segments(capture(*wild, *tame)).filter(pl.col("client_port") == 50001)
    assert frame["event"].to_list() == ["retransmission"]


def test_the_parts_in_which_packets_are_analysed_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    talks = [
        packet
        for port in range(40000, 40009)
        for packet in (*handshake(port=port), *[server(0.5 * i, 901, 101, 100, port=port) for i in range(1, port % 6)])
    ]
    whole = segments(capture(*talks))
    for size in (1, 4, 7):
        monkeypatch.setattr(tcp_streams, "BUCKET_ROWS", size)
        assert segments(capture(*talks)).equals(whole)
    assert whole.height > 5


def test_the_order_of_the_rows_changes_nothing() -> None:
    talk = capture(*handshake(), server(0.1, 901, 101, 100), server(0.5, 901, 101, 100))
    assert segments(talk.reverse()).equals(segments(talk))


def test_no_rows_give_nothing() -> None:
    assert segments(empty(PACKETS).lazy()).height == 0
