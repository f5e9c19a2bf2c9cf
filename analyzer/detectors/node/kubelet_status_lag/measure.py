"""Lags by node."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import polars as pl
from msgspec import Struct

from analyzer.facts.node_names import short_node

UNKNOWN = "a node without a name"

SAME_LEAST, SAME_SPREAD = 3, 1.0
"""So many pods whose lags lie so few seconds apart lag by the clock: what waits in a queue waits longer and longer."""

_REASONS = {
    "address": "the patches with the addresses are in the audit log",
    "patch": "bodies are not in the audit log, so each pod's next status patch is taken for the one with its address",
    "kubelet": "the kubelet alone tells, by its own clock",
}


class Lags(Struct, frozen=True, kw_only=True):
    """One node; `rows` are its lags, the largest first. `over`: pods above the threshold."""

    node: str
    rows: pl.DataFrame
    over: int

    @property
    def pods(self) -> int:
        return self.rows.height

    @property
    def largest(self) -> float:
        return float(self.rows["seconds"].item(0))

    @property
    def median(self) -> float:
        found = self.rows["seconds"].median()
        return float(found) if isinstance(found, float) else 0.0

    @property
    def p95(self) -> float:
        """The smallest lag that at least 95 of 100 pods do not exceed (nearest rank)."""
        return float(self.rows["seconds"].item((self.pods * 5) // 100))

    @property
    def constant(self) -> bool:
        """Whether all are late by the same; a kubelet's own clock cannot differ from itself."""
        least = float(self.rows["seconds"].item(-1))
        return self.audited == self.pods >= SAME_LEAST and self.largest - least < SAME_SPREAD

    @property
    def audited(self) -> int:
        """Pods of which the audit log tells."""
        return self.rows.filter(pl.col("basis") != "kubelet").height

    @property
    def reason(self) -> str:
        return "; ".join(text for basis, text in _REASONS.items() if basis in self.rows["basis"])

    @property
    def start(self) -> datetime:
        found: datetime = self.rows["time"].sort().item(0)
        return found

    @property
    def end(self) -> datetime:
        found: datetime = self.rows["told"].sort().item(-1)
        return found


def by_node(lags: pl.DataFrame, threshold: float) -> Iterator[Lags]:
    """Nodes in their order."""
    named = lags.with_columns(short_node(pl.col("node")).fill_null(UNKNOWN))
    for (node,), rows in sorted(named.partition_by("node", as_dict=True).items()):
        ordered = rows.sort("seconds", "pod", "source", "number", descending=[True, False, False, False])
        yield Lags(node=str(node), rows=ordered, over=rows.filter(pl.col("seconds") > threshold).height)
