"""What a cache would have had to ask: queries replayed with the life of their answers."""

from __future__ import annotations

import numpy as np
import polars as pl

LIFE = 30
"""Seconds that an answer without a known life is kept: `cache 30` of the Corefile that kubeadm writes."""
LIFE_MOST = 30
"""No answer is kept for longer: CoreDNS hands out no more with that `cache 30`."""

_CACHED = ("NOERROR", "NXDOMAIN")

KEY = ["name", "qtype"]


def lives(queries: pl.DataFrame, answers: pl.DataFrame | None) -> pl.DataFrame:
    """The queries with `life` in microseconds, how long the answer may be used again (0 for a failure), and `known`,
    whether the answer told it.

    `queries` are rows of dns_transactions; `answers` has source, answer_number and ttl, the least of the records of one
    answer.
    """
    if answers is None:
        queries = queries.with_columns(ttl=pl.lit(None, pl.Int64))
    else:
        queries = queries.join(answers, on=["source", "answer_number"], how="left", maintain_order="left")
    known = pl.coalesce("ttl", "negative_ttl", pl.lit(LIFE)).clip(0, LIFE_MOST)
    return queries.with_columns(
        known=pl.coalesce("ttl", "negative_ttl").is_not_null(),
        life=pl.when(pl.col("rcode").is_in(_CACHED)).then(known * 1_000_000).otherwise(0).cast(pl.Int64),
    )


def fetches(queries: pl.DataFrame) -> pl.DataFrame:
    """`name`, `qtype`, `queries` and `asked`: how often each name would still have been asked for.

    `queries` have time, never null, name, qtype and `life`, and are at least one.

    All names are replayed side by side: each step lets every name's cached answer run out once, so that the work grows
    with the queries that are left, not with those that there were; failures in a row, which nobody keeps, are a step.
    """
    group = queries.select(pl.struct(KEY).rank("dense").cast(pl.Int64) - 1).to_series().to_numpy()
    order = np.argsort(group, kind="stable")
    time = queries["time"].to_physical().to_numpy()[order]
    life, group = queries["life"].to_numpy()[order], group[order]
    # One rising axis for all names: each has a span of its own.
    span = int(time.max() - time.min()) + LIFE_MOST * 1_000_000 + 2
    place = group * span + (time - time.min())
    starts = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
    ends = np.append(starts[1:], len(group))
    kept = np.where(life > 0, np.arange(len(life)), len(life))
    kept = np.minimum.accumulate(kept[::-1])[::-1]
    asked, at, which = np.zeros(len(starts), np.int64), starts.copy(), np.arange(len(starts))
    while len(at):
        in_a_row = np.maximum(np.minimum(kept[at], ends[which]) - at, 1)
        asked[which] += in_a_row
        after = np.searchsorted(place, place[at] + life[at], side="left")
        at = np.maximum(after, at + in_a_row)
        left = at < ends[which]
        at, which = at[left], which[left]
    first = queries[order[starts]]
    return first.select(KEY).with_columns(queries=pl.Series(ends - starts), asked=pl.Series(asked))
