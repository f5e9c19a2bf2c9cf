"""What an evidence directory is: its files, and how one is known that this tool wrote."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
from msgspec import Struct, field

SCHEMA = "analyzer-evidence/1"
INDEX, RESULT = "index.json", "findings.json"

OURS = r"index\.json|findings\.json|F\d+\.pcapng|F\d+\.[a-z-]+\.(?:log|jsonl)"
"""Every name that a file of an evidence directory may have."""


class Slices(Struct):
    """What the evidence directory shall hold, by file name; a run fills it in."""

    files: dict[str, bytes] = field(default_factory=dict)

    def names(self) -> dict[str, tuple[str, ...]]:
        """The slices of each finding, by its number (F1)."""
        found: dict[str, tuple[str, ...]] = {}
        for name in self.files:
            if name not in (INDEX, RESULT):
                number = name.partition(".")[0]
                found[number] = (*found.get(number, ()), name)
        return found

    def left_out(self) -> dict[str, int]:
        """Why quoted records are in no slice, and how many for each reason; what the index says."""
        counts: Counter[str] = Counter()
        for finding in msgspec.json.decode(self.files[INDEX], type=_Index).findings if INDEX in self.files else ():
            for group in finding.left_out:
                counts[group.reason] += len(group.numbers)
        return dict(sorted(counts.items()))


class _Left(Struct):
    reason: str
    numbers: list[int]


class _Entry(Struct):
    left_out: list[_Left]


class _Index(Struct):
    """Of an index, what is in no slice."""

    findings: list[_Entry]


def is_slices(folder: Path) -> bool:
    """Whether the folder was written as an evidence directory. Nothing is told of one that cannot be read."""
    try:
        index = folder / INDEX
        if not index.is_file():  # a pipe of that name would be waited for
            return False
        with index.open("rb") as file:
            return f'"schema": "{SCHEMA}"'.encode() in file.read(64)
    except OSError:
        return False
