"""The kernel that looks for packets which may have a copy misses none, and points at few others."""

from __future__ import annotations

import io
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer import kernels
from analyzer.sources.capture import duplicates
from analyzer.sources.capture.arrays import Flags
from analyzer.sources.capture.decode import Decoder, Opened
from analyzer.sources.capture.reader import frames_of
from analyzer.sources.capture.window import NO_TIME
from analyzer.sources.contract import Ledger
from tests.sources.capture.make import ethernet, icmp, ipv4, ipv6, pcap, tcp, udp

A, B = "10.0.0.7", "203.0.113.9"

pytestmark = pytest.mark.skipif(not kernels.there(), reason="no compiled kernels: rustc was not there at the build")


def _packet(number: int) -> bytes:
    """One of many that differ in one field only, which is another for each eighth of them."""
    kind, rest = number % 8, number // 8
    if kind == 6:
        return ethernet(ipv6(udp(b"%d" % rest, 4000, 53), 17, "fd00::1", "fd00::2"), 0x86DD)
    if kind == 7:
        return ethernet(ipv4(icmp(8, 0, b"%08d" % rest, rest), 1, A, B))
    body = b"%08d" % rest if kind == 0 else b"body"
    values = {key: rest * (kind == place) for place, key in enumerate(("seq", "sport", "dport", "ident"), start=1)}
    src = f"10.1.{rest >> 8}.{rest & 255}" if kind == 5 else A
    segment = tcp(body, values["sport"], values["dport"], seq=values["seq"])
    return ethernet(ipv4(segment, 6, src, B, ident=values["ident"]))


def _opened(packets: list[bytes]) -> Opened:
    [window] = frames_of(io.BytesIO(pcap(packets)), Ledger())
    return Decoder("t").open(window)


def _shared(packets: list[bytes], rows: slice = slice(None)) -> Flags:
    """Nothing is wanted for its time alone, as nothing is so close to the first packet."""
    half = _opened(packets)
    return duplicates._wanted(half.window, half.head, half.rows[rows].copy(), apart=-1)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 32), count=st.integers(1, 1500), copies=st.integers(0, 40))
def test_no_packet_that_has_a_copy_is_missed_and_few_others_are_marked(seed: int, count: int, copies: int) -> None:
    rng = random.Random(seed)
    numbers = list(range(8, count + 8)) + [rng.randrange(8, count + 8) for _ in range(copies)]
    rng.shuffle(numbers)
    shared = _shared([_packet(number) for number in numbers])
    has_copy = np.bincount(numbers)[numbers] > 1
    assert shared[has_copy].all()
    assert (shared & ~has_copy).sum() <= 8 + count // 50


def test_one_packet_many_times_is_marked_each_time() -> None:
    assert _shared([_packet(9)] * 5000).all()


def test_only_the_rows_that_are_asked_for_count() -> None:
    packets = [_packet(number) for number in (*range(8, 40), 8)]
    assert _shared(packets)[[0, -1]].all()
    assert not _shared(packets, np.s_[:-1])[0]
    assert len(_shared(packets, np.s_[:0])) == 0


def test_a_packet_without_a_time_is_no_copy_and_has_none() -> None:
    half = _opened([_packet(number) for number in (8, 9, 8)])
    for unknown in (0, 2):
        time = half.window.time.copy()
        time[unknown] = NO_TIME
        assert not duplicates._wanted(replace(half.window, time=time), half.head, half.rows, apart=-1).any()


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 1 << 32), count=st.integers(1, 150), unknown=st.floats(0, 1), apart=st.integers(0, 60))
def test_those_near_the_border_of_their_window_are_wanted_and_none_without_a_time(
    seed: int, count: int, unknown: float, apart: int
) -> None:
    """Whatever their order, and whether the first and the last have a time."""
    rng = random.Random(seed)
    half = _opened([_packet(number) for number in range(8, count + 8)])
    times = [NO_TIME if rng.random() < unknown else 1000 + rng.randrange(100) for _ in range(count)]
    window = replace(half.window, time=np.array(times))
    wanted = duplicates._wanted(window, half.head, half.rows, apart)
    known = [time for time in times if time != NO_TIME]
    near = [time != NO_TIME and (time <= known[0] + apart or time >= known[-1] - apart) for time in times]
    assert wanted[near].all()
    assert not wanted[window.time == NO_TIME].any()
    assert (wanted & ~np.array(near)).sum() <= 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_library", None)
        assert duplicates._wanted(window, half.head, half.rows, apart).tolist() == near
