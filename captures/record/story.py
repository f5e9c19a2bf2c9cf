"""What every case leaves behind beside its evidence: the truth that was counted, and where things go."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from cluster import rfc3339

HOME = Path(__file__).resolve().parent.parent
DETECTORS = (
    *("dns-search-chain", "dns-query-flood", "dns-client-timeout", "dns-backend-blackhole", "dns-upstream-throttle"),
    *("imds-credential-storm", "imds-credential-refusal", "imds-hop-limit", "kubelet-status-lag"),
    *("apiserver-throttle-storm", "audit-log-flood", "watch-list-amplification", "apiserver-overload"),
    *("discovery-burst", "admission-denial-loop", "unschedulable-backlog", "replica-collapse"),
)


@dataclass
class Truth:
    """Findings that must come, detectors that must stay quiet, and counts for the reader."""

    start: int
    end: int
    findings: dict[str, dict[str, int | float]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        fired = {key.split(":", 1)[0] for key in self.findings}
        document = {
            "findings": dict(sorted(self.findings.items())),
            "quiet": [one for one in DETECTORS if one not in fired],
            "window": {"start": rfc3339(self.start, 0), "end": rfc3339(self.end, 0)},
            "counts": self.counts,
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "truth.json").write_text(json.dumps(document, indent=2) + "\n")
