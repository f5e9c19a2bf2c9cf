"""The kernels that find DNS messages and make columns of them do what NumPy does, to the last row."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer import kernels
from analyzer.sources.capture import dns, dns_ports, dns_tables
from analyzer.sources.capture.arrays import I64, no_offsets, padded
from analyzer.sources.capture.dns_places import Places, places, places_together
from analyzer.sources.capture.dns_records import RECORDS_MOST, Answers
from analyzer.sources.capture.network import ABSENT, FIRST, ICMP, LATER, TCP, UDP, WHOLE, Headers
from analyzer.sources.capture.packets import Packets
from analyzer.sources.capture.texts import NO_TEXTS
from analyzer.sources.capture.window import Window
from tests.sources.capture.make import answer, query, record

pytestmark = pytest.mark.skipif(not kernels.there(), reason="no compiled kernels: rustc was not there at the build")

PORTS = (ABSENT, 0, 53, 53, 5353, 5353, 5355, 8600, 15053, 40000, 65535)
HIGH, LOW = (0, 0, 1, 0xFF02 << 48), (0xE00000FB, 0xE00000FC, 0xFB, 7)
"""Words of the groups of multicast DNS, which make others where they are put together otherwise."""


def _packets(rng: np.random.Generator, count: int) -> Packets:
    """Headers of frames that lie at the border of every rule: no one else would make most of them."""

    def some(*values: int) -> I64:
        return rng.choice(np.array(values, np.int64), count)

    size, start = some(0, 60, 90), np.arange(count) * 100
    end = start + size
    window = Window(
        data=padded(bytes(100 * count)),
        start=start,
        end=end,
        wire=size + some(-1, 0, 0, 1, 400),
        time=start,
        link=start,
        interface=start,
        number=start,
    )
    words: dict[str, Any] = {
        name: rng.choice(np.array(HIGH if "high" in name else LOW, np.uint64), count) for name in _WORDS
    }
    numbers: dict[str, Any] = {
        name: some(ABSENT, 7) for name in ("seq", "ack", "window", "ttl", "ip_id", "fragment_id")
    }
    head = Headers(
        version=some(4, 6).astype(np.uint8),
        reason=np.zeros(count, np.uint8),
        protocol=some(ICMP, TCP, TCP, UDP, UDP, UDP).astype(np.uint8),
        src_port=some(*PORTS),
        dst_port=some(*PORTS),
        flags=some(ABSENT, 0, 2, 16, 18, 255),
        payload=start + some(20, 42),
        payload_end=end + some(-1, 0, 0, 1, 300),
        payload_bytes=some(ABSENT, 0, 1, 12),
        fragment=some(WHOLE, WHOLE, FIRST, LATER).astype(np.uint8),
        no_udp_length=np.zeros(count, bool),
        wraps=np.zeros(count, bool),
        **words,
        **numbers,
    )
    rows = np.flatnonzero(rng.random(count) < 0.9)
    return Packets(window, head, rows, start, start, NO_TEXTS, NO_TEXTS)


_WORDS = ("src_high", "src_low", "dst_high", "dst_low")


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 1 << 32), count=st.integers(0, 300))
def test_messages_are_looked_for_in_the_same_places(seed: int, count: int) -> None:
    packets = _packets(np.random.default_rng(seed), count)
    one, other = places(packets), places_together(packets)
    assert one.cut == other.cut
    for name in ("segments", "protocol", "fragments", "named"):
        assert getattr(one, name).dtype == getattr(other, name).dtype, name
        assert getattr(one, name).tolist() == getattr(other, name).tolist(), name
    for name in Places.__struct_fields__:
        mine, its = getattr(one.datagrams, name), getattr(other.datagrams, name)
        assert mine.dtype == its.dtype, name
        assert mine.tolist() == its.tolist(), name


def test_the_drawn_headers_lead_to_every_kind_of_place() -> None:
    """What the test above compares must not be nothing on both sides."""
    found = places(_packets(np.random.default_rng(1), 5000))
    assert set(found.datagrams.protocol.tolist()) == set(range(dns_ports.DNS, dns_ports.MAYBE + 1))
    assert set(found.protocol.tolist()) == set(range(dns_ports.DNS, dns_ports.MAYBE + 1))
    for flags in (found.datagrams.whole, found.datagrams.to_server, found.datagrams.from_server, found.named):
        assert 0 < flags.sum() < len(flags)
    assert found.cut > 0
    assert len(found.segments) > 0


def test_a_port_beyond_all_is_refused_by_both() -> None:
    packets = _packets(np.random.default_rng(1), 20)
    packets.headers.src_port[packets.rows[3]] = 1 << 17
    with pytest.raises(IndexError):
        places(packets)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 1 << 32), count=st.integers(0, 100), lives=st.booleans())
def test_headers_of_messages_tell_the_same_columns(seed: int, count: int, lives: bool) -> None:
    rng = np.random.default_rng(seed)
    flags = rng.integers(0, 1 << 16, count)
    made = dns.Messages(
        state=np.zeros(count, np.uint8),
        id=rng.integers(0, 1 << 16, count),
        # an rcode of every kind, but mostly those that have a life
        flags=np.where(rng.random(count) < 0.6, flags & ~15 | rng.choice([0, 3], count), flags),
        counts=rng.integers(0, 1 << 16, (4, count)).T,
        qtype=flags,
        name_at=flags,
        name_length=flags,
        behind=flags,
        negative_ttl=np.where(lives & (rng.random(count) < 0.5), rng.integers(0, 1 << 32, count), -1),
        answers=Answers(*(no_offsets() for _ in range(7))),
        over=no_offsets(),
    )
    good = np.flatnonzero(rng.random(count) < 0.8)
    one, other = dns_tables._header(made, good), dns_tables._header_together(made, good)
    for name in one.__struct_fields__:
        mine, its = getattr(one, name), getattr(other, name)
        assert isinstance(mine, pl.Series)
        assert mine.equals(its, check_dtypes=True), name


def test_more_records_than_there_was_room_for_are_all_told() -> None:
    """Dozens in each message, and some messages that are refused behind their last good record."""
    full = answer("a.b", records=[record(1, bytes([10, 0, 0, place])) for place in range(RECORDS_MOST)])
    broken = bytearray(full)
    broken[-5] = 3  # an address of three octets
    bodies = [query("c.d"), full, bytes(broken), full, full, query("e.f")] * 20
    assert len(bodies) + dns._RECORDS_LEAST < 60 * RECORDS_MOST
    end = np.cumsum([len(body) for body in bodies])
    start, whole = end - [len(body) for body in bodies], np.ones(len(bodies), bool)
    data = padded(b"".join(bodies))
    one, other = dns.decode(data, start, end, whole), dns.decode_together(data, start, end, whole)
    assert one.state.tolist() == other.state.tolist() == [0, 0, 1, 0, 0, 0] * 20
    assert len(one.answers.row) == 60 * RECORDS_MOST
    for name in one.answers.__struct_fields__:
        assert getattr(one.answers, name).tolist() == getattr(other.answers, name).tolist(), name
