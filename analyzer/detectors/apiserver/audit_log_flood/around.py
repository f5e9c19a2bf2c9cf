"""What is said beside the findings: what the log cannot show, and what a steady volume costs."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.detector import NotObservable, Remark
from analyzer.detectors.apiserver.audit_log_flood.remedy import steady
from analyzer.facts.observable_requests import blind_to


def around(events: pl.LazyFrame, *, found: bool) -> Iterator[Remark]:
    """Raises NotObservable where nothing was `found` in a log of writes only: what floods one is mostly reads."""
    partly = blind_to(events.filter(pl.col("verb").is_not_null()))
    if partly and not found:
        raise NotObservable(f"{partly}, and what floods a log is mostly reads; writes alone do not")
    if partly:
        yield Remark(f"Seen in part only, by writes: {partly}. What reads add to the whole log is not told.")
    if not found:
        yield from steady(events)
