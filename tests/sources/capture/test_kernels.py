"""The compiled kernels do what NumPy does, to the last row, whatever stands in a capture."""

from __future__ import annotations

import gzip
import io
import random
import struct
import subprocess
import sys
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from analyzer import kernels
from analyzer.kernels import build
from analyzer.sources.capture import dns, duplicates, lanes, network
from analyzer.sources.capture.arrays import constant, padded
from analyzer.sources.capture.decode import Decoder
from analyzer.sources.capture.dns_names import Names
from analyzer.sources.capture.dns_records import HEADER
from analyzer.sources.capture.framing_pcapng import BlockChain
from analyzer.sources.capture.packets import taken
from analyzer.sources.capture.pcap_format import CAPTURED_MOST, pcap_format
from analyzer.sources.capture.reader import frames_of
from analyzer.sources.capture.texts import Addresses
from analyzer.sources.contract import Ledger
from tests.cases import CAPTURES, ROOT
from tests.sources.capture.make import (
    answer,
    dns_frame,
    enhanced,
    ethernet,
    interface,
    ipv4,
    pcap,
    query,
    read_all,
    record,
    section,
    tcp,
    udp,
)

A, B = "10.0.0.7", "203.0.113.9"

pytestmark = pytest.mark.skipif(not kernels.there(), reason="no compiled kernels: rustc was not there at the build")


def numpy_only(patch: pytest.MonkeyPatch) -> None:
    """The same package where no kernel was compiled."""
    patch.setattr(kernels, "_library", None)


def test_the_library_is_the_one_of_these_sources() -> None:
    """A stale library would test itself only: run `make kernels`."""
    assert kernels.sources() == build.digest()


def test_they_are_left_alone_where_somebody_says_so() -> None:
    code = "from analyzer import kernels; print(kernels.there(), kernels.call('pcap_walk'))"
    env = {"PYTHONPATH": str(ROOT), "ANALYZE_KERNELS": "off"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "None"]


def test_a_panic_is_a_refusal_and_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    data, offsets, stop = np.zeros(64, np.uint8), np.zeros(1, np.int64), np.zeros(1, np.int64)
    # room for one record of five: the second does not fit
    assert kernels.call("pcap_walk", data, offsets, stop, 0, 64, 1, 0, 0, 12, 100) is None
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("wrong", [np.zeros(64, np.int64), np.zeros(128, np.uint8)[::2]])
def test_memory_of_another_shape_never_reaches_them(wrong: NDArray[Any]) -> None:
    with pytest.raises(TypeError, match="halves_at: an array"):
        kernels.call("halves_at", wrong, np.zeros(3, np.int64), np.zeros(3, np.uint16))
    with pytest.raises(ValueError, match="zip"):
        kernels.call("halves_at", np.zeros(64, np.uint8))


MESSAGES = [
    query("a.example.com", 1),
    answer("b.example.com", 2, records=[record(1, b"\x0a\x00\x00\x01"), record(28, bytes(16)), record(5, b"\xc0\x0c")]),
    answer("c.example.com", 3, records=[record(16, b"\x03abc\x02de"), record(15, b"\x00\x05\xc0\x0c")]),
    answer("d.example.com", 4, records=[record(6, b"\xc0\x0c\xc0\x0c" + bytes(20)), record(33, bytes(6) + b"\x00")]),
]


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 1 << 32), changes=st.integers(0, 12), cut=st.integers(0, 40))
def test_damaged_messages_are_decoded_alike(seed: int, changes: int, cut: int) -> None:
    rng = random.Random(seed)
    bodies = [bytearray(rng.choice(MESSAGES)) for _ in range(40)]
    for body in bodies:
        for _ in range(rng.randint(0, changes)):
            body[rng.randrange(len(body))] = rng.choice((0, 1, 12, 63, 64, 192, 255, rng.randrange(256)))
        if rng.random() < 0.3:
            del body[len(body) - min(cut, len(body)) :]
    ends = np.cumsum([len(body) for body in bodies])
    starts = ends - [len(body) for body in bodies]
    whole = np.array([rng.random() < 0.8 for _ in bodies])
    classes = None if rng.random() < 0.5 else np.full(len(bodies), 0x7FFF)
    data = padded(b"".join(map(bytes, bodies)))
    one = dns.decode(data, starts, ends, whole, classes)
    other = dns.decode_together(data, starts, ends, whole, classes)
    assert one.state.tolist() == other.state.tolist()
    good = np.flatnonzero(one.state == dns.GOOD)
    for name in ("id", "flags", "counts", "qtype", "name_at", "name_length", "behind", "negative_ttl"):
        assert getattr(one, name)[good].tolist() == getattr(other, name)[good].tolist(), name
    for name in one.answers.__struct_fields__:
        assert getattr(one.answers, name).tolist() == getattr(other.answers, name).tolist(), name
    assert one.over.tolist() == other.over.tolist()


def test_messages_shorter_than_their_header_are_told_alike() -> None:
    data = padded(bytes(HEADER))
    for length in range(HEADER + 1):
        at, end = np.array([0]), np.array([length])
        for whole in (np.array([True]), np.array([False])):
            one = dns.decode(data, at, end, whole)
            assert one.state.tolist() == dns.decode_together(data, at, end, whole).state.tolist()


PACKETS = [
    ipv4(udp(MESSAGES[0], 40000, 53), 17, "10.0.0.7", "10.96.0.10"),
    ipv4(tcp(b"GET / HTTP/1.1\r\n", 40000, 80), 6, "10.0.0.7", "10.0.0.8"),
    ipv4(bytes(12) + b"sctp", 132, "10.0.0.7", "10.0.0.8"),
    ipv4(b"\x08\x00\x00\x00\x00\x01\x00\x01ping", 1, "10.0.0.7", "10.0.0.8"),
    ipv4(b"\x06\x01" + bytes(10) + tcp(b"x", 1, 2), 51, "10.0.0.7", "10.0.0.8"),
    b"\x60\x00\x00\x00\x00\x20\x00\x40" + bytes(32) + b"\x11\x00" + bytes(6) + udp(b"0123456789abcdef", 5, 6),
    b"\x60\x00\x00\x00\x00\x18\x2c\x40" + bytes(32) + b"\x06\x00\x00\x01\x00\x00\x00\x09" + bytes(16),
]
TYPES = (0x0800, 0x86DD, 0x0806)


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 1 << 32), changes=st.integers(0, 8))
def test_damaged_packets_are_read_alike(seed: int, changes: int) -> None:
    rng = random.Random(seed)
    bodies = [bytearray(rng.choice(PACKETS)) for _ in range(40)]
    kinds = np.array([0x86DD if body[0] >> 4 == 6 else 0x0800 for body in bodies])
    for row, body in enumerate(bodies):
        for _ in range(rng.randint(0, changes)):
            body[rng.randrange(min(len(body), 60))] = rng.choice((0, 1, 6, 17, 43, 44, 51, 60, 132, rng.randrange(256)))
        kinds[row] = rng.choice(TYPES) if rng.random() < 0.1 else kinds[row]
    ends = np.cumsum([len(body) for body in bodies])
    starts = ends - [len(body) for body in bodies]
    shown = np.array([rng.choice((0, 0, 0, rng.randint(0, 60))) for _ in bodies])
    end = np.maximum(ends - shown, starts)
    data = padded(b"".join(map(bytes, bodies)))
    one = network.network(data, starts, end, ends, kinds, shown > 0)
    other = network.network_together(data, starts, end, ends, kinds, shown > 0)
    for name in one.__struct_fields__:
        assert getattr(one, name).dtype == getattr(other, name).dtype, name
        assert getattr(one, name).tolist() == getattr(other, name).tolist(), name


FRAMES = [dns_frame(query(f"n{number}.example.com", number)) for number in range(3000)]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32), damage=st.integers(0, 40), ng=st.booleans())
def test_chains_are_walked_alike(seed: int, damage: int, ng: bool) -> None:
    """Large enough for lanes, and with records that look like others in their payload."""
    rng = random.Random(seed)
    blocks = (enhanced(frame, number) for number, frame in enumerate(FRAMES))
    file = b"".join([section(), interface(), *blocks]) if ng else pcap(FRAMES)
    raw = bytearray(file if ng else file[24:])
    for _ in range(damage):
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    chain = BlockChain("<") if ng else pcap_format(file[:24])
    data = padded(bytes(raw))
    one = lanes.walk(chain, data, 0, len(raw))
    other = lanes.walk_plain(chain, data.data, 0, len(raw))
    assert one.stop == other.stop
    assert one.offsets.tolist() == other.offsets.tolist()


def test_addresses_are_spelled_alike() -> None:
    rng = np.random.default_rng(3)
    six, low = rng.random(500) < 0.3, rng.integers(0, 40, 500).astype(np.uint64)
    high = low * np.uint64(7)
    known = Addresses()
    told = [known.texts(six, high, low).to_list()]
    # the words of a row lie side by side where addresses are taken out of messages
    words = np.column_stack([high, low])
    told.append(known.texts(six, words[:, 0], words[:, 1]).to_list())
    with pytest.MonkeyPatch.context() as patch:
        numpy_only(patch)
        assert told == [Addresses().texts(six, high, low).to_list()] * 2


def test_packets_that_have_a_copy_share_their_hint_and_few_others_do() -> None:
    packets = [ethernet(ipv4(udp(b"%d" % n, 40000, 53), 17, A, B, ident=n)) for n in range(1000)]
    raw = pcap([*packets, packets[7], packets[900]])
    [window] = frames_of(io.BytesIO(raw), Ledger())
    half = Decoder("t").open(window)
    shared = duplicates._wanted(window, half.head, half.rows, apart=-1)
    assert {7, 900, 1000, 1001} <= set(np.flatnonzero(shared).tolist())
    assert shared.sum() < 20


@pytest.mark.parametrize("case", ["imds-credential-storm", "dns-backend-blackhole", "outage"])
def test_whole_captures_give_the_same_rows(case: str) -> None:
    paths = sorted((CAPTURES / case).rglob("*.pcap*"))
    assert paths
    for path in paths:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        tables, ledger = read_all(raw)
        with pytest.MonkeyPatch.context() as patch:
            numpy_only(patch)
            others, other = read_all(raw)
        assert ledger == other
        assert all(tables[name].equals(others[name]) for name in tables)


@pytest.mark.parametrize(("captured", "met"), [(CAPTURED_MOST, 2), (CAPTURED_MOST + 1, 0)])
def test_a_record_of_more_than_any_has_ends_the_walk_though_it_would_fit(captured: int, met: int) -> None:
    raw = (struct.pack("<4I", 1, 0, captured, captured) + bytes(captured)) * 2
    chain = pcap_format(pcap([])[:24])
    found = lanes.walk(chain, padded(raw), 0, len(raw))
    plain = lanes.walk_plain(chain, padded(raw).data, 0, len(raw))
    assert (len(found.offsets), found.stop) == (len(plain.offsets), plain.stop)
    assert len(found.offsets) == met


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_names_are_the_same_whether_they_are_new_or_known(seed: int) -> None:
    rng = random.Random(seed)

    def wire() -> bytes:
        """A name of up to 255 octets; few letters, so that some come again."""
        labels = [bytes(rng.choices(b"aB.", k=rng.choice((1, 2, 40, 63)))) for _ in range(rng.choice((0, 1, 2, 3, 3)))]
        return b"".join(bytes([len(label)]) + label for label in labels) + b"\x00"

    names = [wire() for _ in range(60)]
    length = np.array([len(name) for name in names])
    at = np.cumsum(length) - length
    at[[rng.randrange(60) for _ in range(5)]] = -1
    data, known = padded(b"".join(names)), Names()
    told = [known.texts(data, at, length).to_list() for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        numpy_only(patch)
        assert told == [Names().texts(data, at, length).to_list()] * 2


def test_names_of_both_lengths_are_known_by_all_of_their_octets() -> None:
    """Names that differ in their last octet only, at the border between the two tables."""
    names = [b"\x3c" + b"a" * 59 + bytes([last]) + tail for tail in (b"\x01b\x00", b"\x02bc\x00") for last in b"xy"]
    length = np.array([len(name) for name in names])
    assert set(length.tolist()) == {64, 65}
    data, known = padded(b"".join(names)), Names()
    told = [known.texts(data, np.cumsum(length) - length, length).to_list() for _ in range(2)]
    texts = ["a" * 59 + rest for rest in ("x.b", "y.b", "x.bc", "y.bc")]
    assert told == [texts] * 2


@pytest.mark.parametrize("dtype", [pl.Int16(), pl.Int32(), pl.Int64()], ids=str)
@pytest.mark.parametrize("value", [-1, 7])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_column_of_one_value_is_taken_as_any_other(dtype: pl.DataType, value: int, count: int) -> None:
    rows = np.arange(count)[::2].copy()
    told, plain = (taken(values, rows, dtype) for values in (constant(value, count), np.full(count, value)))
    assert told.equals(plain, check_dtypes=True)


@pytest.mark.parametrize("dtype", [pl.Int16(), pl.Int32(), pl.Int64()], ids=str)
@pytest.mark.parametrize("absent", [-1, 7, np.iinfo(np.int64).min])
def test_columns_of_some_rows_are_taken_alike(dtype: pl.DataType, absent: int) -> None:
    values = np.array([0, -1, 7, 30_000, absent, 5])
    for rows in ([5, 0, 0, 3], [1, 2, 4], []):
        told = taken(values, np.array(rows, np.int64), dtype, absent)
        assert told.dtype == dtype
        assert told.to_list() == [None if values[row] == absent else values[row] for row in rows]
        with pytest.MonkeyPatch.context() as patch:
            numpy_only(patch)
            assert told.equals(taken(values, np.array(rows, np.int64), dtype, absent), check_dtypes=True)
