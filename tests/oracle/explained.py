"""The differences that are known, each with its explanation: file, kind, number of rows, one sentence."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.oracle.checks import Difference

TABLE = Path(__file__).with_name("explained.tsv")


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why `count` rows of one kind differ in a file."""

    file: str
    kind: str
    count: int
    why: str


def explanations() -> list[Explanation]:
    with TABLE.open(newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [Explanation(row["file"], row["kind"], int(row["count"]), row["why"]) for row in rows]


def unexplained(found: Iterable[Difference], known: Iterable[Explanation], files: Iterable[str]) -> list[str]:
    """What makes a run over these files fail: differences without explanation, explanations without difference."""
    expected = {(one.file, one.kind): one for one in known}
    out = []
    for difference in found:
        why = expected.pop((difference.file, difference.kind), None)
        if why is None or not why.why.strip():
            out.append(f"unexplained: {difference.file}: {difference.kind} ({difference.count}): {difference.first}")
        elif why.count != difference.count:
            out.append(
                f"changed: {difference.file}: {difference.kind}: {why.count} are explained, {difference.count} differ: "
                f"{difference.first}"
            )
    compared = set(files)
    out += [f"no longer needed: {file}: {kind}" for file, kind in expected if file in compared]
    return sorted(out)
