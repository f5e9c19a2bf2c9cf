"""Read files into tables and drop the tables: what reading costs, without storing, detecting or writing anything."""

from __future__ import annotations

import argparse
from collections import deque
from functools import partial
from pathlib import Path

from analyzer.cli import importing

with importing():
    from analyzer import sources
    from analyzer.sources.contract import Batch, Item, Ledger, ReadOptions
    from analyzer.sources.stream import open_stream

YEAR = 2026
"""Of klog times, which name none."""


def drain(path: Path, jobs: int | None = None) -> tuple[Ledger, dict[str, int]]:
    """The ledger of one file, and the rows of each table."""
    ledger, rows = Ledger(), dict[str, int]()
    item = Item(id=path.name, path=path)
    with open_stream(item, ledger) as stream:
        found = sources.identify(stream.peek(sources.HEAD))
        if found is None:
            raise SystemExit(f"{path}: not an input")
        read = found[0].read(stream, item, ReadOptions(year=YEAR, jobs=jobs), ledger)
        deque(map(partial(_count, rows), read), maxlen=0)
    return ledger, rows


def _count(rows: dict[str, int], batch: Batch) -> None:
    for table, frame in batch.items():
        rows[table.name] = rows.get(table.name, 0) + frame.height


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("files", nargs="+", type=Path)
    chosen = parser.parse_args()
    for name in chosen.files:
        ledger, rows = drain(name, chosen.jobs)
        counts = ", ".join(f"{count} {table}" for table, count in rows.items())
        print(f"{name}: {ledger.records} records, {ledger.used} used; {counts}")


if __name__ == "__main__":
    main()
