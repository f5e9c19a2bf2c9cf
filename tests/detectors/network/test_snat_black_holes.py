"""An MTU black hole is no loss of address translation, in whatever way its sender gets out of it."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.network.snat_retransmission import DETECTOR
from analyzer.frames import ICMP_ERRORS, PACKETS, Table
from tests.build import remarks, rows, run
from tests.detectors.network.ways import ACK, OUTSIDE, POD, SYN, Row, capture, outward, packet, within

LOSS = range(0, 50, 4)


def given(*parts: list[Row]) -> dict[Table, pl.LazyFrame]:
    return {PACKETS: capture(*parts)}


def stuck(start: float, number: int, sizes: tuple[int, ...], rest: tuple[int, ...] = ()) -> list[Row]:
    """A connection whose segment of 1,448 octets is sent again in `sizes`; once the last is answered comes `rest`, the
    octets of what was sent behind it."""
    near, far, isn = (POD, 31000 + number), (OUTSIDE[number % 3], 443), 1000 * number + 5
    out = [packet(start, near, far, isn, 0, flags=SYN), packet(start + 0.01, far, near, 900, isn + 1, flags=SYN | ACK)]
    seq, sent = isn + 1, start + 0.02
    out.append(packet(sent, near, far, seq, 901, size=200))
    seq += 200
    out += [packet(sent + 0.01 * i, near, far, seq + 1448 * i, 901, size=1448) for i in range(1 + len(rest))]
    for i, size in enumerate(sizes):
        sent = start + 0.3 * 2**i
        out.append(packet(sent, near, far, seq, 901, size=size))
    seq += sizes[-1]
    out.append(packet(sent + 0.04, far, near, 901, seq))
    for size in rest:
        sent += 0.05
        out += [packet(sent, near, far, seq, 901, size=size), packet(sent + 0.04, far, near, 901, seq + size)]
        seq += size
    return out


def test_a_sender_that_finds_the_size_by_itself_meets_an_mtu_black_hole() -> None:
    """net.ipv4.tcp_mtu_probing=1: after three tries it sends segments of 1,024 octets."""
    probing = [row for i in range(15) for row in stuck(i * 10 + 3, i, (1448, 1448, 1448, 1024), (1024,) * 9)]
    whole = given(within(), probing, outward(service=8443))
    assert run(DETECTOR, whole) == []
    [text] = remarks(DETECTOR, whole)
    assert text.startswith("mtu-blackhole: 15 connections in node.pcap to 192.0.2.17, 198.51.100.23, 203.0.113.9 sent")


def test_large_segments_that_a_router_turned_away_are_not_lost_though_smaller_ones_make_up_for_them() -> None:
    packets = [row for i in range(15) for row in stuck(i * 10 + 3, i, (1298,), (150,))]
    told = [
        {"error": "fragmentation needed", "quoted_src": POD, "quoted_src_port": 31000 + i}
        | {"quoted_dst": OUTSIDE[i % 3], "quoted_dst_port": 443}
        for i in range(15)
    ]
    whole = given(within(), packets, outward(service=8443))
    assert run(DETECTOR, whole | {ICMP_ERRORS: rows(ICMP_ERRORS, *told, source="node.pcap")}) == []
    assert len(run(DETECTOR, whole)) == 1  # without the router's word it is loss


def test_pods_behind_a_tunnel_send_smaller_segments_into_an_mtu_black_hole() -> None:
    """1,398 octets: a device of 1,450, less the headers and timestamps."""
    assert run(DETECTOR, given(within(), outward(lost=LOSS, size=1398, times=4), outward(service=8443))) == []
    assert len(run(DETECTOR, given(within(), outward(lost=LOSS, size=1200, times=4), outward(service=8443)))) == 1


def test_two_tries_or_a_few_segments_among_many_are_loss_and_no_black_hole() -> None:
    twice = given(within(), outward(lost=LOSS, size=1448, times=2), outward(service=8443))
    assert len(run(DETECTOR, twice)) == 1
    # One segment three times, and four others once: less than half of what was sent again.
    mixed = [row for i in range(15) for row in stuck(i * 10 + 3, i, (1448, 1448, 1448), (1448,) * 4)]
    assert len(run(DETECTOR, given(within(), mixed, outward(service=8443)))) == 1
