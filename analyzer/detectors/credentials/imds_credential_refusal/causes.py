"""Why a call was refused, as far as the moments in the life of its pod tell."""

from __future__ import annotations

import polars as pl

TERMINATING, NO_ADDRESS, WRONG_ROLE, THROTTLED, UNKNOWN = (
    *("terminating pods", "pods without an address yet", "pods with a wrong role", "throttled pods"),
    "pods, cause unknown",
)

REFUSED, FORBIDDEN = 400, 403
THROTTLES = (429, 503)

CLOCK = pl.duration(seconds=1)
"""Logs of proxies tell whole seconds."""

ENDS = pl.duration(hours=1)
"""A pod that was deleted longer ago is gone, and its address is another's: no usual grace period is longer."""


def judged(calls: pl.DataFrame, moments: pl.DataFrame, constant_seconds: float) -> pl.DataFrame:
    """The calls with `refused`, `pod` (namespace/name; null if unknown), `known` (a log tells the cause, not the order
    of answers only) and the `cause` of those that were refused."""
    told = _with_moments(calls.with_columns(refused=pl.col("status") >= REFUSED), moments)
    granted = pl.when(~pl.col("refused")).then(pl.col("time"))
    client = told.with_columns(
        before=granted.min().over("client") < pl.col("time"),
        after=granted.max().over("client") > pl.col("time"),
        never=pl.col("refused").all().over("client"),
        span=(pl.col("end").max() - pl.col("time").min()).over("client").dt.total_microseconds() / 1e6,
    )
    deleted = ((pl.col("deleted") <= pl.col("end") + CLOCK) & (pl.col("end") - pl.col("deleted") <= ENDS)).fill_null(
        False
    )
    early = (pl.col("addressed") > pl.col("time")).fill_null(False)
    first = (pl.col("after") & ~pl.col("before").fill_null(False)).fill_null(False)
    constant = pl.col("never") & (pl.col("span") >= constant_seconds)
    wrong = pl.col("wrong_role") | (pl.col("status") == FORBIDDEN)
    cause = (
        pl.when(pl.col("status").is_in(THROTTLES)).then(pl.lit(THROTTLED))
        .when(wrong).then(pl.lit(WRONG_ROLE))
        .when(deleted).then(pl.lit(TERMINATING))
        .when(early | first).then(pl.lit(NO_ADDRESS))
        .when(constant).then(pl.lit(WRONG_ROLE))
        .otherwise(pl.lit(UNKNOWN))
    )  # fmt: skip
    return client.with_columns(
        cause=pl.when("refused").then(cause), known=pl.col("status").is_in(THROTTLES) | wrong | deleted | early
    )


def _with_moments(calls: pl.DataFrame, moments: pl.DataFrame) -> pl.DataFrame:
    """Adds `pod`, `deleted` and, where the address was told only later, `addressed`: when it was."""
    held = moments.filter(pl.col("what") == "address").select("time", "pod", client="address").sort("time", "pod")
    gone = moments.filter(pl.col("what") == "deleted").select("time", "pod", deleted="time").sort("time", "pod")
    born = moments.filter(pl.col("what") == "started").select("time", "pod", started="time").sort("time", "pod")
    now = calls.sort("time", "source", "number")
    common = {"on": "time", "check_sortedness": False}
    found = now.join_asof(held, by="client", strategy="backward", **common)  # type: ignore[arg-type]  # untyped by polars
    later = held.rename({"pod": "next"}).with_columns(addressed="time")
    found = found.join_asof(later, by="client", strategy="forward", **common)  # type: ignore[arg-type]  # untyped by polars
    # The pod that held the address before may be gone: its successor is on its way.
    ended = found.sort("end").join_asof(
        gone, left_on="end", right_on="time", by="pod", strategy="backward", check_sortedness=False, suffix="_gone"
    )
    fresh = ended.sort("time", "source", "number").join_asof(
        born.rename({"pod": "next"}),
        by="next",
        strategy="backward",
        **common,  # type: ignore[arg-type]  # untyped by polars
    )
    lost = pl.col("pod").is_null() | (pl.col("started") > pl.col("deleted")).fill_null(False)
    return fresh.with_columns(
        addressed=pl.when(lost).then("addressed"),
        deleted=pl.when(~lost).then("deleted"),
        pod=pl.when(lost).then("next").otherwise("pod"),
    ).select(*calls.columns, "pod", "deleted", "addressed")
