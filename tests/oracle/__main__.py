"""`python -m tests.oracle`: every capture of the corpus against capinfos and tshark."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.oracle.checks import NEAR, Difference, Totals, examine_and_count
from tests.oracle.corpus import DATA, entries, spread
from tests.oracle.explained import explanations, unexplained
from tests.oracle.theirs import missing_tools

Examined = tuple[list[Difference], dict[str, Totals]]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="directory that holds MANIFEST.tsv")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="worker processes")
    parser.add_argument("--spread", action="store_true", help="only the files that the tests compare")
    chosen = parser.parse_args(arguments)
    every = entries(chosen.data)
    if not every:
        print(f"nothing compared: no captures in {chosen.data}")
        return 0
    if missing := missing_tools():
        print(f"nothing compared: {' and '.join(missing)} not installed")
        return 0
    files = [entry.path for entry in (spread(every) if chosen.spread else every)]
    found: list[Difference] = []
    totals: dict[str, Counter[str]] = {}
    for differences, counted in _progress(_examined(chosen.data, files, chosen.jobs), len(files)):
        found += differences
        add_totals(totals, counted)
    return report(found, totals, files)


def _examined(data: Path, files: list[str], jobs: int) -> Iterator[Examined]:
    # Fresh processes: a fork would copy the locks of other libraries' threads.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(examine_and_count, [data / file for file in files], files, chunksize=4)


def _progress(results: Iterator[Examined], count: int) -> Iterator[Examined]:
    for place, result in enumerate(results, 1):
        if place % 100 == 0 or place == count:
            print(f"{place} of {count} files", file=sys.stderr)
        yield result


def add_totals(totals: dict[str, Counter[str]], counted: dict[str, Totals]) -> None:
    """Add the counts of one file: of each event ours and theirs."""
    for name, events in counted.items():
        for event, (mine, told) in events.items():
            totals.setdefault(f"{name}: {event}", Counter()).update(ours=mine, theirs=told)


def far_totals(totals: dict[str, Counter[str]]) -> list[str]:
    return [
        f"total: {name}: {both['ours']} by us, {both['theirs']} by tshark"
        for name, both in sorted(totals.items())
        if abs(both["ours"] - both["theirs"]) > NEAR * both["theirs"]
    ]


def report(found: list[Difference], totals: dict[str, Counter[str]], files: Iterable[str]) -> int:
    """Print every difference with its explanation; 1 where one has none, or an explanation has no difference."""
    known = {(one.file, one.kind): one.why for one in explanations()}
    for one in sorted(found, key=lambda difference: (difference.file, difference.kind)):
        print(f"{one.file}: {one.kind} ({one.count}): {one.first}\n    {known.get((one.file, one.kind), '?')}")
    for name, both in sorted(totals.items()):
        print(f"{name}: {both['ours']} by us, {both['theirs']} by tshark")
    compared = list(files)
    wrong = unexplained(found, explanations(), compared) + far_totals(totals)
    print(f"{len(compared)} files compared, {len(found)} differences, {len(wrong)} to be looked at")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
