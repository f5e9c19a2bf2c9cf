"""Measure whole processes against their peers and print one table."""

from __future__ import annotations

import argparse
import subprocess
import sys
from functools import partial
from pathlib import Path

from benchmarks.measure import ROOT, Pair, Round, measure
from benchmarks.peers import Peers
from benchmarks.rows import GROUPS, Row, Setting
from benchmarks.table import table
from benchmarks.workloads import WORKLOADS

CHUNK = 1 << 20


def main() -> None:
    wanted = _options()
    if wanted.list:
        _list()
        return
    folder = wanted.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    setting = Setting(partial(_ready, folder=folder, scale=wanted.scale), folder, Peers(wanted.python, folder))
    rows = [row for name in wanted.only for row in GROUPS[name](setting)]
    for line in table(_measure(rows, wanted.runs)):
        print(line)
    for name, why in setting.peers.left_out.items():
        print(f"\nLeft out: {name} ({why}).")


def _measure(rows: list[Row], runs: int) -> dict[Row, list[Pair]]:
    """The pairs of each row; whoever interrupts gets those that are complete."""
    measured: dict[Row, list[Pair]] = {}
    try:
        for command in {row.ours for row in rows if not row.ours.slow}:
            measure(command)  # a first run compiles modules and templates and is not counted
        for number in range(runs):
            turn = Round()
            for row in rows:
                _say(f"round {number + 1} of {runs}: {row.name}, {row.other.name}")
                pair = turn.pair(row.ours, row.other)
                measured.setdefault(row, []).append(pair)
    except KeyboardInterrupt:
        _say("stopped")
    return measured


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", type=_groups, default=list(GROUPS), metavar="GROUP,...", help="some groups of rows")
    parser.add_argument("--runs", type=int, default=3, help="pairs per row (default: 3)")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the inputs; goals are meant for 1")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench", help="where the inputs are kept")
    parser.add_argument("--python", default=sys.executable, help="the Python that has dpkt and scapy")
    parser.add_argument("--list", action="store_true", help="name groups and inputs, and measure nothing")
    return parser.parse_args()


def _groups(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in GROUPS:
            raise argparse.ArgumentTypeError(f"there is no group {name}; there are {', '.join(GROUPS)}")
    return names


def _list() -> None:
    for name, group in GROUPS.items():
        print(f"{name:12} {group.__doc__}")
    print()
    for workload in WORKLOADS.values():
        print(f"{workload.name:12} {workload.count:>10,} {workload.about}")


def _ready(name: str, *, folder: Path, scale: float) -> Path:
    """The file of a workload, in the page cache. Another process writes it, so that this one stays small."""
    path = WORKLOADS[name].path(folder, scale)
    if not path.exists():
        _say(f"writing {path.name}")
        subprocess.run((sys.executable, "-m", "benchmarks.workloads", name, folder, str(scale)), cwd=ROOT, check=True)
    with path.open("rb") as file:
        while file.read(CHUNK):
            pass
    return path


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
