"""Read several inputs into tables, in memory, as `analyze postmortem` does before it judges them."""

from __future__ import annotations

import argparse
from pathlib import Path

from analyzer.cli import importing

with importing():
    from analyzer.pipeline.beside import affordable
    from analyzer.pipeline.options import Progress, RunOptions
    from analyzer.pipeline.read import read_all
    from analyzer.pipeline.sink import Sink

YEAR = 2026
"""Of klog times, which name none."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("files", nargs="+", type=Path)
    chosen = parser.parse_args()
    processes = chosen.jobs or affordable(None)
    options = RunOptions(inputs=tuple(chosen.files), jobs=chosen.jobs, processes=processes, year=YEAR)
    with Sink(None) as sink:
        case = read_all(options, Progress(), sink)
    for table, rows in sorted(case.tables.items(), key=lambda pair: pair[0].name):
        print(f"{rows.height} {table.name}")


if __name__ == "__main__":
    main()
