"""The captures of public test suites, where they lie beside the checkout, and a fixed spread of them."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SPREAD = 150
"""Files of the short run."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One capture of the manifest; `path` is relative to the directory of the manifest."""

    path: str
    repo: str
    link: str


def entries(data: Path) -> list[Entry]:
    """Every capture that the manifest names, sorted; none where there is no manifest."""
    manifest = data / "MANIFEST.tsv"
    if not manifest.exists():
        return []
    with manifest.open(newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    found = [Entry(row["path"], row["repo"], row["linktype"]) for row in rows if row["kind"] == "pcap"]
    return sorted(found, key=lambda entry: (entry.repo, entry.link, entry.path))


def spread(every: list[Entry], count: int = SPREAD) -> list[Entry]:
    """The first capture of each repository and link type, then every n-th of the others."""
    firsts = {(entry.repo, entry.link): entry for entry in reversed(every)}
    chosen = set(firsts.values())
    rest = [entry for entry in every if entry not in chosen]
    left = min(max(count - len(chosen), 0), len(rest))
    return [entry for entry in every if entry in chosen] + [rest[n * len(rest) // left] for n in range(left)]
