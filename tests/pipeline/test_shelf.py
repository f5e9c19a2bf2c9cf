"""Rows that another process read arrive as they were."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from analyzer.frames import COREDNS_QUERIES, KLOG_LINES, Table
from analyzer.model import InputReport
from analyzer.pipeline import shelf as shelf_
from analyzer.pipeline.shelf import Laid, Shelf, pour
from tests.build import rows

REPORT = InputReport(path="a.log", kind="coredns", sha256="", bytes=0)


class Taken:
    """Rows by table."""

    def __init__(self) -> None:
        self.frames: dict[Table, list[pl.DataFrame]] = {}
        self.ended = 0

    def add(self, table: Table, frame: pl.DataFrame | None = None) -> None:
        self.frames.setdefault(table, [])
        if frame is not None:
            self.frames[table].append(frame)

    def end_input(self) -> None:
        self.ended += 1


def handed_over(folder: Path, table: Table, *frames: pl.DataFrame | None) -> tuple[Taken, Shelf]:
    shelf, taken = Shelf(folder, "a", [], {}, {}), Taken()
    for frame in frames:
        shelf.add(table, frame)
    shelf.end_input()
    pour(Laid((REPORT, None), tuple(shelf.parts)), taken)
    return taken, shelf


def test_columns_that_say_the_same_everywhere_come_back(tmp_path: Path) -> None:
    given = rows(KLOG_LINES, *({"text": f"{n}", "error": "late" if n == 5 else None} for n in range(20)), severity="I")
    taken, shelf = handed_over(tmp_path, KLOG_LINES, given.collect())
    assert_frame_equal(pl.concat(taken.frames[KLOG_LINES]), given.collect())
    [part] = shelf.parts
    nothing = dict.fromkeys(("host", "stream", "component", "caller", "message", "pod"))
    assert part.same == {**nothing, "source": "t", "severity": "I"}


def test_a_text_that_is_the_same_in_most_rows_is_no_text_of_all(tmp_path: Path) -> None:
    given = rows(KLOG_LINES, *({"severity": "W" if n == 13 else "I", "caller": None if n else "a"} for n in range(40)))
    taken, shelf = handed_over(tmp_path, KLOG_LINES, given.collect())
    assert_frame_equal(pl.concat(taken.frames[KLOG_LINES]), given.collect())
    assert {"severity", "caller"}.isdisjoint(shelf.parts[0].same)


def test_numbers_and_long_texts_come_back(tmp_path: Path) -> None:
    given = rows(
        COREDNS_QUERIES,
        *({"name": f"{'n' * n}.example", "client_port": 40_000 + n, "duration_seconds": n / 7} for n in range(30)),
    ).collect()
    taken, _ = handed_over(tmp_path, COREDNS_QUERIES, given[:11], given[11:])
    assert_frame_equal(pl.concat(taken.frames[COREDNS_QUERIES]), given)


def test_a_table_without_rows_was_read_all_the_same(tmp_path: Path) -> None:
    taken, _ = handed_over(tmp_path, KLOG_LINES, None)
    assert taken.frames == {KLOG_LINES: []}
    assert taken.ended == 1


def test_the_shelf_is_empty_afterwards_and_the_rows_are_still_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf_, "SHELF_BYTES", 1)
    given = [rows(KLOG_LINES, {"number": n, "text": "long enough to lie in a buffer"}).collect() for n in range(3)]
    taken, shelf = handed_over(tmp_path, KLOG_LINES, *given)
    assert len(shelf.parts) == 3
    assert list(tmp_path.iterdir()) == []
    assert_frame_equal(pl.concat(taken.frames[KLOG_LINES]), pl.concat(given))
