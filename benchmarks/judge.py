"""Read a file and let the detectors of API server and workloads judge it: what facts and detectors cost beside reading.

Prints CPU seconds of reading and of every detector, with the facts that it is the first to ask for.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import process_time

import polars as pl

from analyzer.cli import importing

with importing():
    from analyzer import detectors, sources
    from analyzer.case import Rows
    from analyzer.frames import Table
    from analyzer.pipeline.detect import run_all
    from analyzer.pipeline.store import Store
    from analyzer.sources.contract import Item, Ledger, ReadOptions
    from analyzer.sources.stream import open_stream

FAMILIES = ("apiserver", "workload")


def tables(path: Path) -> dict[Table, pl.DataFrame]:
    """All tables of one file."""
    parts: dict[Table, list[pl.DataFrame]] = {}
    ledger, item = Ledger(), Item(id=path.name, path=path)
    with open_stream(item, ledger) as stream:
        found = sources.identify(stream.peek(sources.HEAD))
        if found is None:
            raise SystemExit(f"{path}: not an input")
        for batch in found[0].read(stream, item, ReadOptions(), ledger):
            for table, frame in batch.items():
                parts.setdefault(table, []).append(frame)
    return {table: pl.concat(frames) for table, frames in parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    path = parser.parse_args().file
    read = tables(path)
    spent = process_time()
    print(f"{spent:8.2f} s read {', '.join(f'{frame.height} {table.name}' for table, frame in read.items())}")
    store = Store({table: Rows(frame.lazy(), frame.height) for table, frame in read.items()})
    chosen = [one for one in detectors.load() if one.detect.__module__.split(".")[2] in FAMILIES]
    for one in chosen:
        begun = process_time()
        [run] = run_all([one], store, (), jobs=1)
        print(f"{process_time() - begun:8.2f} s {one.id}: {run.status.value}, {len(run.findings)} findings")
    judged = process_time() - spent
    print(f"{judged:8.2f} s facts and detectors, {judged / spent:.2f} times the reading")


if __name__ == "__main__":
    main()
