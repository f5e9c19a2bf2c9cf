"""Put queries into walks: which query follows which, where lookups of one name repeat, overlap or lose packets."""

from __future__ import annotations

import polars as pl

from analyzer.frames import NO_REPLY

ABSOLUTE = 1 << 20
"""Position of the name as it stands: after every search domain."""

STEP_GAP = 0.25
"""Seconds from an answer to the next step of the walk, or three times what the answer took, if that is more. An
engineering default: a resolver goes on at once, a loaded node may take some scheduling periods."""

UNANSWERED_GAP = 10.25
"""The same after a query without an answer: two tries of 5 s (RES_DFLRETRY and RES_TIMEOUT, glibc resolv.h)."""


def chained(tries: pl.DataFrame, candidates: pl.DataFrame) -> pl.DataFrame:
    """The queries that belong to a walk, with `walk` (client and base), `position`, `inside`, `chain` and `turn`.

    `tries` are queries, `candidates` say what each name may mean to its client (client, name, walk, position, inside).
    A name may be read in several ways: `payments.shop.svc.cluster.local` is where `payments`, `payments.shop` and
    `payments.shop.svc` end. The reading in the longest walk wins, then the one with the most labels in its suffix.
    """
    steps = tries.with_row_index("row").join(candidates, on=["client", "name"])
    steps = _numbered(steps)
    if steps["row"].is_duplicated().any():
        size = pl.len().over("chain")
        steps = (
            steps.with_columns(size=size)
            .sort("row", "size", "position", "walk", descending=[False, True, False, False])
            .unique("row", keep="first", maintain_order=True)
        )
        steps = _numbered(steps.drop("size", "chain", "turn", "group"))
    return steps


def _numbered(steps: pl.DataFrame) -> pl.DataFrame:
    """Add `group` (client, base and type), `chain` (one walk) and `turn` (0, 1 ... within it), in order.

    Within one group a pause ends all walks. Between pauses, the n-th query of each position belongs to the n-th walk,
    which holds for lookups one after another and for lookups that overlap; where all open walks have ended and a new
    one begins, counting starts again, so that a lost packet spoils no more than its neighbours.
    """
    timed = pl.col("time").is_not_null()
    lasted = pl.col("duration_seconds").fill_null(0)
    silent = (pl.col("rcode") == NO_REPLY).fill_null(True)
    patience = pl.when(silent).then(UNANSWERED_GAP).otherwise(pl.max_horizontal(STEP_GAP, 3 * lasted))
    until = pl.col("clock") + pl.duration(microseconds=(patience * 1e6).cast(pl.Int64))
    pause = (pl.col("time") > until.cum_max().shift(1).over("group")).fill_null(False)
    closes = (pl.col("position") == ABSOLUTE) | (pl.col("rcode") == "NOERROR").fill_null(False)
    burst = ["group", "burst"]
    return (
        # By the answer, not by the query: a log line is written with the answer, and its number is the finer clock.
        steps.with_columns(
            lane=pl.when(timed).then(pl.lit("")).otherwise("source"), clock=pl.coalesce("answered", "asked")
        )
        .sort("walk", "qtype", "lane", "clock", "source", "number", nulls_last=True)
        .with_columns(group=pl.struct("walk", "qtype", "lane").rle_id())
        .with_columns(burst=pause.cum_sum().over("group"), opens=pl.col("position") == 0, closes=closes)
        .with_columns(after=(pl.col("opens").cast(pl.Int64) - pl.col("closes").cast(pl.Int64)).cum_sum().over(burst))
        .with_columns(
            depth=pl.col("after").shift(1).over(burst).fill_null(0),
            fresh=pl.col("opens") & pl.col("closes").shift(1).over(burst).fill_null(False),
        )
        .with_columns(round=_begins(burst).cum_sum().over(burst))
        .with_columns(nth=pl.int_range(pl.len()).over(*burst, "round", "position"))
        .with_columns(chain=pl.struct(*burst, "round", "nth").rank("dense").cast(pl.Int64))
        .with_columns(turn=pl.int_range(pl.len()).over("chain"))
        .drop("lane", "clock", "burst", "opens", "closes", "after", "depth", "fresh", "round", "nth")
    )


def _begins(burst: list[str]) -> pl.Expr:
    """True where a first step comes after a last one while no walk is open.

    `depth` is walks opened less walks closed. Losses shift it for good, so no walk is open where it is at its least
    so far or from here on. Where it dips below its neighbours for this one step alone, the step is no beginning but
    came late: CoreDNS writes lines of queries that it serves at once in no fixed order.
    """
    depth = pl.col("depth")
    least = (depth == depth.cum_min().over(burst)) | (depth == depth.cum_min(reverse=True).over(burst))
    level = pl.when("fresh").then(depth)
    before = level.shift(1).forward_fill().over(burst).fill_null(0)
    later = level.shift(-1).backward_fill().over(burst).fill_null(pl.col("after").last().over(burst))
    return pl.col("fresh") & least & ~((depth < before) & (depth < later))
