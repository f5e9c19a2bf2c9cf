"""The audit policy as a log shows it: levels and stages of its records, and whose bodies it leaves out.

The policy itself is in no log, but what detectors can see rests on it: without bodies no image and no replica count is
known, without RequestReceived no request that was never answered. Levels and stages are those of k8s.io/apiserver
`pkg/apis/audit/types.go`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

LEVELS = ("None", "Metadata", "Request", "RequestResponse")
STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")
BODIES = ("Request", "RequestResponse")
WRITES = ("create", "update", "patch")

EXPECTED = ("RequestReceived", "ResponseComplete")
"""Stages that every request has where the policy omits none; ResponseStarted is of long-running ones alone."""

SHOWN = 3
"""Groups of inputs told apart, inputs named of one, and resources named."""

_Counts = Mapping[str, int]


def policy_of(events: pl.LazyFrame) -> str:
    """One clause for each group of inputs and servers that have the same levels and stages; empty without rows.

    Stages that some requests never have tell nothing of the policy, and do not tell inputs apart.

    `events` are rows of AUDIT_EVENTS. The cost is one pass over seven columns.
    """
    counted = (
        events.with_columns(
            resource=pl.when(pl.col("verb").is_in(WRITES), pl.col("subresource").is_null()).then("resource")
        )
        .group_by("source", "server", "level", "stage", "resource")
        .len("count")
        .sort("source", "server", "level", "stage", "resource", nulls_last=False)
        .collect()
    )
    if not counted.height:
        return ""
    groups: dict[tuple[frozenset[str], frozenset[str]], list[pl.DataFrame]] = {}
    for part in counted.partition_by("source", "server", maintain_order=True):
        seen = frozenset(part["level"].drop_nulls()), frozenset(part["stage"].drop_nulls()).intersection(EXPECTED)
        groups.setdefault(seen, []).append(part)
    each = list(groups.values())
    told = [
        f"policy as logged{f' in {_names(parts)}' if len(each) > 1 else ''}: {_clause(pl.concat(parts))}"
        for parts in each[:SHOWN]
    ]
    more = sum(len(parts) for parts in each[SHOWN:])
    return "; ".join([*told, *([f"{more:,} more inputs or servers with other levels or stages"] if more else [])])


def _names(parts: Sequence[pl.DataFrame]) -> str:
    named = [part.select("source", "server").row(0) for part in parts]
    texts = [source if server is None else f"{source} ({server})" for source, server in named[:SHOWN]]
    more = len(named) - SHOWN
    return ", ".join(texts) + (f" and {more:,} more" if more > 0 else "")


def _clause(rows: pl.DataFrame) -> str:
    stages = _counts(rows, "stage")
    parts = [_told("levels", _counts(rows, "level"), LEVELS), _told("stages", stages, STAGES)]
    parts += [f"no {stage}" for stage in EXPECTED if stage not in stages]
    return ", ".join(filter(None, (*parts, _bodies(rows))))


def _counts(rows: pl.DataFrame, name: str) -> _Counts:
    return dict(rows.drop_nulls(name).group_by(name).agg(pl.col("count").sum()).iter_rows())


def _told(head: str, counts: _Counts, order: Sequence[str]) -> str:
    words = [f"{name} {counts[name]:,}" for name in order if name in counts]
    return f"{head} {', '.join(words)}" if words else ""


def _bodies(rows: pl.DataFrame) -> str:
    """Which written resources are logged without bodies while others have them; the most written first."""
    held = rows.filter(pl.col("level").is_in(BODIES))
    if not held.height:
        return "no bodies"
    bare = (
        rows.filter(pl.col("resource").is_not_null(), ~pl.col("resource").is_in(held["resource"].drop_nulls()))
        .group_by("resource")
        .agg(pl.col("count").sum())
        .sort("count", "resource", descending=[True, False])["resource"]
        .to_list()
    )
    more = len(bare) - SHOWN
    names = ", ".join(bare[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")
    return f"no bodies of writes to {names}" if bare else ""
