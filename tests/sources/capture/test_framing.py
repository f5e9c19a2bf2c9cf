"""The framing of pcap and pcapng: every variant is read alike, and damage is told with its place."""

from __future__ import annotations

import io
import random
import struct
from datetime import UTC, datetime

import polars as pl
import pytest

from analyzer.errors import InputError
from analyzer.sources.capture import identify
from analyzer.sources.capture.arrays import is_constant, padded
from analyzer.sources.capture.framing_pcap import PcapReader
from analyzer.sources.capture.interfaces import micros_of
from analyzer.sources.capture.pcap_format import HEADER, pcap_format
from analyzer.sources.capture.window import Tally
from analyzer.sources.contract import Ledger
from tests.sources.capture.make import (
    EPOCH,
    block,
    dns_frame,
    enhanced,
    interface,
    option,
    pcap,
    query,
    read_all,
    section,
    simple,
)

FRAMES = [dns_frame(query(f"svc{n}.example.com", n), ident=n + 1) for n in range(10)]
START = datetime(2026, 1, 1, tzinfo=UTC)
TICKS = EPOCH * 1_000_000


def _ng(*blocks: bytes) -> bytes:
    return section() + interface() + b"".join(blocks)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34])
def test_every_pcap_variant_gives_the_same_packets(order: str, magic: int) -> None:
    tables, ledger = read_all(pcap(FRAMES, order=order, magic=magic))
    assert tables["dns_messages"]["name"].to_list() == [f"svc{n}.example.com" for n in range(10)]
    assert tables["packets"]["number"].to_list() == list(range(1, 11))
    assert (tables["packets"]["time"] - START).dt.total_microseconds().to_list() == [n * 1000 for n in range(10)]
    assert (ledger.used, ledger.records, ledger.notes) == (10, 10, [])


def test_a_window_keeps_no_memory_beside_its_columns() -> None:
    """Not the heads of all its records, which are as large, nor a value for each packet where all have one."""
    raw = pcap(FRAMES * 50)
    reader = PcapReader(pcap_format(raw), Tally(Ledger()))
    [window], _ = reader.windows(padded(raw), HEADER, len(raw), 0, final=True)
    assert len(window) == 500
    assert all(column.base is None for column in (window.start, window.end, window.wire, window.time, window.number))
    assert is_constant(window.link)
    assert is_constant(window.interface)
    assert [len(part) for part in reader.known] == [0, 0]


def test_sections_of_different_byte_order_are_numbered_through() -> None:
    data = b"".join(
        section(order) + interface(order=order) + b"".join(enhanced(f, TICKS, order) for f in FRAMES[:3])
        for order in ("<", ">", "<")
    )
    tables, ledger = read_all(data)
    assert tables["packets"]["number"].to_list() == list(range(1, 10))
    assert ledger.notes == ["6 exact duplicates within 1 ms were marked"]


def test_each_interface_has_its_own_link_type_and_clock() -> None:
    nano = option(9, b"\x09") + option(14, struct.pack("<q", 3600))
    binary = option(9, b"\x94")
    packet = FRAMES[0][14:]
    data = section() + interface() + interface(101, nano) + interface(101, binary)
    data += enhanced(FRAMES[0], TICKS) + enhanced(packet, EPOCH * 10**9 + 5000, which=1)
    data += enhanced(packet, (EPOCH << 20) + (1 << 19), which=2)
    tables, _ = read_all(data)
    assert tables["packets"]["interface"].to_list() == [0, 1, 2]
    since = (tables["packets"]["time"] - START).dt.total_microseconds().to_list()
    assert since == [0, 3_600_000_005, 500_000]


@pytest.mark.parametrize("resolution", [0, 3, 6, 9, 12, 0x80, 0x8A, 0x94, 0xA0, 0xBF])
def test_ticks_become_microseconds_without_loss(resolution: int) -> None:
    import numpy as np

    rng = random.Random(resolution)
    unit = 2 ** (resolution & 0x7F) if resolution & 0x80 else 10**resolution
    most = min(2**63, 253_402_300_799 * unit)
    ticks = [rng.randrange(most) for _ in range(200)]
    micros, fits = micros_of(np.array(ticks, np.uint64), resolution)
    exact = [tick * 1_000_000 // unit for tick in ticks]
    slack = 1 if resolution > 0xA8 else 0
    assert fits.all()
    assert all(0 <= e - m <= slack for e, m in zip(exact, micros.tolist(), strict=True))


def test_simple_packet_blocks_have_no_time_rather_than_an_invented_one() -> None:
    tables, ledger = read_all(_ng(*map(simple, FRAMES)))
    assert tables["packets"]["time"].null_count() == 10
    assert ledger.used == 10
    assert ledger.first_time is None
    assert "10 packets have no timestamps: time detectors are off for them" in ledger.notes


def test_drop_counters_are_told_and_an_absent_counter_is_not_zero() -> None:
    drops = option(5, struct.pack("<Q", 12345)) + option(7, struct.pack("<Q", 77))
    _, told = read_all(_ng(enhanced(FRAMES[0], TICKS), block(5, struct.pack("<III", 0, 0, 0) + drops)))
    assert told.notes == [
        "12422 packets were dropped at capture time",
        "interface 0: 12,422 packets dropped at capture time",
    ]
    _, silent = read_all(_ng(enhanced(FRAMES[0], TICKS), block(5, struct.pack("<III", 0, 0, 0))))
    assert len(silent.notes) == 1
    assert "unknown" in silent.notes[0]


def test_a_packet_of_an_unknown_interface_is_skipped() -> None:
    _, ledger = read_all(_ng(enhanced(FRAMES[0], TICKS), enhanced(FRAMES[1], TICKS, which=4)))
    report = ledger.report(path="t", kind="pcap", sha256="", size=0)
    assert [(r.reason, r.count, r.places) for r in report.skipped_reasons] == [("unknown interface", 1, ("2",))]


def test_timestamps_beyond_the_calendar_are_null_and_noted() -> None:
    tables, ledger = read_all(_ng(enhanced(FRAMES[0], 2**64 - 1), enhanced(FRAMES[1], TICKS)))
    assert tables["packets"]["time"].is_null().to_list() == [True, False]
    assert "1 timestamps are outside 1970 to 9999 and count as unknown" in ledger.notes


def test_damage_in_the_middle_costs_the_damaged_records_only() -> None:
    data = bytearray(pcap(FRAMES))
    record = 16 + len(FRAMES[0])
    broken = 24 + 4 * record
    data[broken + 8 : broken + 12] = b"\xff\xff\xff\xff"
    tables, ledger = read_all(bytes(data))
    names = tables["dns_messages"]["name"].to_list()
    assert names == [f"svc{n}.example.com" for n in range(10) if n != 4]
    assert (ledger.used, ledger.skipped, ledger.incomplete_tail) == (9, 1, 0)
    assert ledger.notes == [f"{record} bytes at offset {broken} could not be read"]


def test_a_wrong_length_that_points_behind_the_end_does_not_hide_the_records_behind_it() -> None:
    data = bytearray(pcap(FRAMES))
    broken = 24 + 2 * (16 + len(FRAMES[0]))
    struct.pack_into("<I", data, broken + 8, 100_000)
    _, ledger = read_all(bytes(data))
    assert ledger.used == 9
    assert ledger.skipped == 1


def test_a_cut_record_is_an_incomplete_tail_and_no_damage() -> None:
    whole = pcap(FRAMES)
    for cut in (1, 20, len(FRAMES[-1]) + 3):
        _, ledger = read_all(whole[:-cut])
        assert (ledger.used, ledger.skipped, ledger.incomplete_tail) == (9, 0, 1), cut
    ng = _ng(*(enhanced(frame, TICKS + n) for n, frame in enumerate(FRAMES)))
    _, ledger = read_all(ng[:-5])
    assert (ledger.used, ledger.skipped, ledger.incomplete_tail) == (9, 0, 1)


def test_every_prefix_gives_a_prefix_of_the_packets() -> None:
    for whole in (pcap(FRAMES[:4]), _ng(*(enhanced(frame, TICKS + n) for n, frame in enumerate(FRAMES[:4])))):
        full = read_all(whole)[0]["packets"]
        for cut in range(48, len(whole), 7):
            tables, ledger = read_all(whole[:cut])
            count = tables["packets"].height
            assert tables["packets"].equals(full.head(count))
            assert (ledger.used, ledger.skipped) == (count, 0)


def test_zero_bytes_hold_no_packets() -> None:
    tables, ledger = read_all(pcap(FRAMES) + bytes(4096))
    assert tables["packets"].height == ledger.records == 10
    assert ledger.notes == ["zero-filled tail of 4096 bytes"]


def test_a_block_of_length_zero_ends_nothing_but_itself() -> None:
    data = _ng(enhanced(FRAMES[0], TICKS), struct.pack("<II", 6, 0) + bytes(20), enhanced(FRAMES[1], TICKS + 1))
    tables, ledger = read_all(data)
    assert tables["dns_messages"]["name"].to_list() == ["svc0.example.com", "svc1.example.com"]
    assert ledger.skipped == 1


def test_rows_do_not_depend_on_the_window_or_on_how_the_stream_cuts_its_reads() -> None:
    frames = [dns_frame(query(f"n{n}.example.com", n & 0xFFFF), ident=n & 0xFFFF) for n in range(3000)]
    ng = _ng(*(enhanced(frame, TICKS + n * 50) for n, frame in enumerate(frames)))
    for data in (pcap(frames, step=0.00005), ng):
        whole, ledger = read_all(data)
        small, told = read_all(data, size=10_007)
        for name, table in whole.items():
            assert table.equals(small[name]), name
        assert (ledger.used, ledger.notes) == (told.used, told.notes)


def test_damage_on_a_window_border_is_lost_once() -> None:
    frames = [dns_frame(query(f"n{n}.example.com", n), ident=n + 1) for n in range(400)]
    record = 16 + len(frames[200])
    data = pcap(frames)
    rng = random.Random(5)
    for _ in range(20):
        at = rng.randrange(24, len(data) - 4 * record)
        hurt = data[:at] + rng.randbytes(300) + data[at + 300 :]
        big, one = read_all(hurt)
        small, two = read_all(hurt, size=4001)
        assert big["packets"].equals(small["packets"])
        assert (one.records, one.used) == (two.records, two.used)
        assert big["packets"].height >= 390


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty file"),
        (b"\xde\xad\xbe\xef" + bytes(40), "not a capture file (magic deadbeef)"),
        (pcap([])[:20], "pcap file header cut at 20 of 24 bytes"),
        (b"\n\r\r\n\x1c\0\0\0\x11\x22\x33\x44" + bytes(40), "bad pcapng byte-order magic 11223344"),
        (section() + b"\xa5" * 500, "corrupt block at offset 28"),
        (block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 9, 0, -1)), "unsupported pcapng version 9.0"),
        (pcap(FRAMES, link=147), "unsupported link type 147"),
    ],
)
def test_what_cannot_be_read_at_all_is_refused_by_name(data: bytes, words: str) -> None:
    with pytest.raises(InputError) as refused:
        read_all(data)
    assert words in str(refused.value)


def test_captures_are_recognised_by_their_first_bytes() -> None:
    assert identify(pcap([])) is not None
    assert identify(section()) is not None
    assert identify(b"[INFO] 10.0.0.1") is None
    assert identify(b"") is None


def test_mutated_captures_never_raise_and_the_ledger_adds_up() -> None:
    rng = random.Random(11)
    frames = [dns_frame(query(f"n{n}.example.com", n), ident=n) for n in range(60)]
    seeds = [pcap(frames), _ng(*(enhanced(frame, TICKS + n) for n, frame in enumerate(frames)))]
    for turn in range(120):
        data = bytearray(rng.choice(seeds))
        for _ in range(max(1, int(len(data) * rng.choice((0.001, 0.01, 0.05))))):
            data[rng.randrange(28, len(data))] = rng.randrange(256)
        try:
            tables, ledger = read_all(bytes(data), size=rng.choice((3000, 1 << 20)))
        except InputError:
            continue
        assert ledger.records == ledger.used + ledger.skipped + ledger.incomplete_tail
        numbers: pl.Series = tables["packets"]["number"]
        assert numbers.n_unique() == len(numbers), turn
        assert len(numbers) <= ledger.used + ledger.skipped


def test_the_stream_may_give_one_byte_at_a_time() -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(1, size or 0))

    from analyzer.sources.capture.reader import batches, frames_of
    from analyzer.sources.contract import Ledger

    ledger = Ledger()
    list(batches(frames_of(Slow(pcap(FRAMES)), ledger), "t", ledger))
    assert ledger.used == 10


@pytest.mark.parametrize("kind", ["pcap", "pcapng"])
def test_a_window_damaged_at_more_than_a_thousand_places_is_given_up_and_counted(kind: str) -> None:
    frame = FRAMES[0]
    if kind == "pcap":
        good, bad = pcap([frame])[24:], struct.pack("<IIII", 5, 2_000_000, 4, 4) + b"bad!"
        data, count = pcap([]) + (good * 5 + bad) * 1500, 5
    else:
        data, count = _ng(*[enhanced(frame, TICKS) + b"\xff" * 12] * 1500), 1
    tables, ledger = read_all(data)
    assert count * 1000 <= tables["packets"].height <= count * 1001 + 1
    assert 1000 <= ledger.skipped <= 1002
    # The places are not told one by one.
    assert len(ledger.notes) < 15
    assert any("further places could not be read" in note for note in ledger.notes)
