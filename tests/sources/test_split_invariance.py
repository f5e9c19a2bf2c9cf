"""One log is one log: whole, in rotation pieces, compressed, or wrapped, its rows and totals are the same."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.frames import AUDIT_EVENTS, COREDNS_QUERIES, KLOG_LINES, Table, concat
from analyzer.sources.audit import SOURCE as AUDIT
from analyzer.sources.contract import Source
from analyzer.sources.coredns import SOURCE as COREDNS
from analyzer.sources.klog import SOURCE as KLOG
from tests.sources import wrapped
from tests.sources.texts import Reading, read_path, read_text

COUNT = 40
FORMATS: dict[str, tuple[Source, Table, Callable[[int], str]]] = {
    "coredns": (COREDNS, COREDNS_QUERIES, wrapped.coredns),
    "klog": (KLOG, KLOG_LINES, wrapped.klog),
    "audit": (AUDIT, AUDIT_EVENTS, wrapped.audit),
}
PLACE = ["source", "number"]
WRAPPER = ["time", "query_time", "stream", "host", "component", "pod", "line_bytes", "event_bytes"]


def lines_of(name: str) -> list[str]:
    return [FORMATS[name][2](number) for number in range(COUNT)]


def rows_of(table: Table, *readings: Reading, less: list[str] = PLACE) -> pl.DataFrame:
    """The rows of all readings, each in its order, one after the other."""
    parts = [reading.tables[table].sort("number") for reading in readings]
    return concat(table, parts).drop(less, strict=False)


def totals(*readings: Reading) -> tuple[int, int, int]:
    reports = [reading.report for reading in readings]
    return (
        sum(report.records for report in reports),
        sum(report.used for report in reports),
        sum(report.skipped + report.incomplete_tail for report in reports),
    )


@pytest.mark.parametrize("form", ["CRI", "docker", "journalctl json", "plain"])
@pytest.mark.parametrize("name", FORMATS)
@given(cuts=st.sets(st.integers(1, COUNT - 1), max_size=4))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pieces_of_a_rotated_log_are_the_log(name: str, form: str, cuts: set[int]) -> None:
    source, table, _ = FORMATS[name]
    plain = "".join(f"{line}\n" for line in lines_of(name)).encode()
    data = plain if form == "plain" else wrapped.wrap(form, lines_of(name))
    physical = data.splitlines(keepends=True)
    edges = [0, *sorted(cuts), COUNT]
    pieces = [b"".join(physical[start:end]) for start, end in pairwise(edges)]
    whole = read_text(source, data, year=2026)
    parts = [read_text(source, piece, year=2026) for piece in pieces]
    assert rows_of(table, *parts).equals(rows_of(table, whole))
    assert totals(*parts) == totals(whole) == (COUNT, COUNT, 0)


@pytest.mark.parametrize("name", FORMATS)
def test_a_compressed_log_is_the_log(name: str, tmp_path: Path) -> None:
    source, table, _ = FORMATS[name]
    data = "".join(f"{line}\n" for line in lines_of(name)).encode()
    half = data.index(b"\n", len(data) // 2) + 1
    zst = zstandard.ZstdCompressor()
    skipped = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    packed = {
        "a.gz": gzip.compress(data[:half]) + gzip.compress(data[half:]),
        "a.zst": skipped + zst.compress(data[:half]) + skipped + zst.compress(data[half:]),
        "a.bz2": bz2.compress(data[:half]) + bz2.compress(data[half:]),
        "a.xz": lzma.compress(data[:half]) + lzma.compress(data[half:]),
    }
    whole = read_text(source, data, year=2026)
    for file, held in packed.items():
        (tmp_path / file).write_bytes(held)
        reading = read_path(source, tmp_path / file, year=2026)
        assert rows_of(table, reading).equals(rows_of(table, whole)), file
        assert totals(reading) == totals(whole), file


@pytest.mark.parametrize("name", FORMATS)
def test_a_wrapped_log_is_the_log(name: str) -> None:
    source, table, _ = FORMATS[name]
    whole = read_text(source, lines_of(name), year=2026)
    forms = {
        form: read_text(source, wrapped.wrap(form, lines_of(name))) for form in ("CRI", "docker", "journalctl json")
    }
    for form, reading in forms.items():
        assert rows_of(table, reading, less=PLACE + WRAPPER).equals(rows_of(table, whole, less=PLACE + WRAPPER)), form
        assert totals(reading) == totals(whole), form
    times = [reading.tables[table].sort("number")["time"] for reading in forms.values()]
    assert times[0].equals(times[1])
    assert times[0].equals(times[2])


@pytest.mark.parametrize("size", [16, 100, 4096])
@pytest.mark.parametrize("name", FORMATS)
def test_a_line_cut_into_parts_by_the_runtime_is_the_line(name: str, size: int) -> None:
    source, table, _ = FORMATS[name]
    cri: list[str] = []
    docker: list[str] = []
    for number, line in enumerate(lines_of(name)):
        parts = [line[at : at + size] for at in range(0, len(line), size)]
        at = wrapped.iso(number)
        cri += [f"{at} stderr {'F' if part is parts[-1] else 'P'} {part}" for part in parts]
        docker += [
            json.dumps({"log": part + ("\n" if part is parts[-1] else ""), "stream": "stderr", "time": at})
            for part in parts
        ]
        # another stream in between
        cri.insert(-1, f'{at} stdout F time="{at}" level=info msg={number}')
    whole = read_text(source, lines_of(name), year=2026)
    for lines in (cri, docker):
        reading = read_text(source, lines)
        assert rows_of(table, reading, less=PLACE + WRAPPER).equals(rows_of(table, whole, less=PLACE + WRAPPER))
        assert reading.report.used == COUNT
