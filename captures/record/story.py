"""What every case leaves behind beside its evidence: the truth that was counted, and where things go."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from cluster import rfc3339

HOME = Path(__file__).resolve().parent.parent


@dataclass
class Truth:
    """The findings that must come, and no other; counts for the reader."""

    start: int
    end: int
    findings: dict[str, dict[str, int | float]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        document = {
            "findings": dict(sorted(self.findings.items())),
            "window": {"start": rfc3339(self.start, 0), "end": rfc3339(self.end, 0)},
            "counts": self.counts,
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "truth.json").write_text(json.dumps(document, indent=2) + "\n")
