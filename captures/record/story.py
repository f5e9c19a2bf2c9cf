"""What every case leaves behind beside its evidence: the truth that was counted, and where things go."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from cluster import rfc3339

HOME = Path(__file__).resolve().parent.parent


@dataclass
class Truth:
    """The findings that must come, and no other; counts for the reader.

    `links` are those of cause rules that must be drawn, and no other of the same rules: rule, first end and second end;
    an end is the key of a finding, or `observation`.
    """

    start: int
    end: int
    findings: dict[str, dict[str, int | float]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    links: list[list[str]] = field(default_factory=list)

    def link(self, rule: str, first: str, then: str) -> None:
        self.links.append([rule, first, then])

    def write(self, folder: Path) -> None:
        document: dict[str, object] = {
            "findings": dict(sorted(self.findings.items())),
            "window": {"start": rfc3339(self.start, 0), "end": rfc3339(self.end, 0)},
            "counts": self.counts,
        }
        if self.links:
            document["links"] = sorted(self.links)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "truth.json").write_text(json.dumps(document, indent=2) + "\n")
