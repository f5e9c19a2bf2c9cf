"""How long answers took, as empirical distributions: of DNS answers to clients and of API requests."""

from __future__ import annotations

import math

import polars as pl
from msgspec import Struct

from analyzer.facts.contract import Fact
from analyzer.facts.dns import DNS_TRANSACTIONS
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import NO_REPLY
from analyzer.model import Curve, CurveLane
from analyzer.story.series import Get

SHARES = tuple(percent / 100 for percent in range(101))
"""From the least value to the greatest in steps of a hundredth: the median and the 99th percentile are among them."""

MOST_LANES = 6
"""Lanes per curve; the rest is counted together as `other`."""

LEAST = 10
"""Values below which a distribution says nothing [an engineering default]."""

_DIGITS = 3
"""Significant digits that are kept: they bound what is counted to 900 values a decade, however many answers there are,
and nobody reads more off a chart."""


class _Curve(Struct, frozen=True, kw_only=True):
    """Which values of a fact are one distribution a lane; the lane is told by the columns `by`."""

    id: str
    title: str
    counted: str
    fact: Fact
    value: str
    by: tuple[str, ...]
    lane: pl.Expr
    where: pl.Expr
    remark: str


def _answer() -> pl.Expr:
    known = pl.col("rcode").is_in(["NOERROR", "NXDOMAIN"])
    origin = pl.when(pl.col("origin") == "log").then(pl.lit("CoreDNS log")).otherwise("origin")
    return pl.concat_str(pl.when(known).then("rcode").otherwise(pl.lit("other codes")), pl.lit(", "), origin)


CURVES = (
    _Curve(
        id="dns-latency",
        title="Latency of DNS answers to clients, by code",
        counted="answers",
        fact=DNS_TRANSACTIONS,
        value="duration_seconds",
        by=("rcode", "origin"),
        lane=_answer(),
        where=(pl.col("hop") == "client") & ~pl.col("covered") & ~pl.col("retry") & (pl.col("rcode") != NO_REPLY),
        remark="Without queries that nobody answered, and without those that were asked again.",
    ),
    _Curve(
        id="api-latency",
        title="Latency of API requests, by verb",
        counted="requests",
        fact=AUDIT_REQUESTS,
        value="latency_seconds",
        by=("verb",),
        lane=pl.col("verb").fill_null("(none)"),
        where=~pl.col("long_running") & ~pl.col("throttled").fill_null(False),
        remark="Without long-running requests, and without those that were answered 429.",
    ),
)


def curves(get: Get) -> tuple[Curve, ...]:
    """One curve for each kind of request of which at least LEAST were answered in a known time."""
    made = [_distribution(curve, frame) for curve in CURVES if (frame := get(curve.fact)) is not None]
    return tuple(curve for curve in made if curve is not None)


def _distribution(curve: _Curve, frame: pl.LazyFrame) -> Curve | None:
    seconds = pl.col(curve.value)
    counts = (
        frame.filter(curve.where, seconds.is_finite(), seconds >= 0)
        .group_by(*curve.by, value=seconds.round_sig_figs(_DIGITS))
        .agg(count=pl.len().cast(pl.Int64))
        .group_by("value", lane=curve.lane)  # of the few groups: a text for each row would take most of the time
        .agg(pl.col("count").sum())
        .collect()
    )
    if counts["count"].sum() < LEAST:
        return None
    counts = _fold(counts)
    totals = counts.group_by("lane").agg(pl.col("count").sum())
    rest = pl.col("lane") == _REST
    names = totals.sort(rest, -pl.col("count"), "lane")["lane"].to_list()
    return Curve(
        id=curve.id,
        title=curve.title,
        unit="seconds",
        counted=curve.counted,
        shares=SHARES,
        lanes=tuple(_lane(name, counts.filter(pl.col("lane") == name)) for name in names),
        remark=curve.remark,
    )


_REST = "other"


def _fold(counts: pl.DataFrame) -> pl.DataFrame:
    totals = counts.group_by("lane").agg(pl.col("count").sum()).sort(-pl.col("count"), "lane")
    kept = totals["lane"].to_list()
    kept = kept if len(kept) <= MOST_LANES else kept[: MOST_LANES - 1]
    named = counts.with_columns(lane=pl.when(pl.col("lane").is_in(kept)).then("lane").otherwise(pl.lit(_REST)))
    return named.group_by("lane", "value").agg(pl.col("count").sum()).sort("lane", "value")


def _lane(name: str, counts: pl.DataFrame) -> CurveLane:
    """The least value that at least each share of the values does not exceed: one that was measured, never between."""
    values = counts["value"]
    upto = counts["count"].cum_sum()
    total = int(upto[-1])
    shares = [max(math.ceil(total * percent / 100), 1) for percent in range(101)]
    places = upto.search_sorted(pl.Series(shares, dtype=upto.dtype))
    return CurveLane(name=name, count=total, values=tuple(values.gather(places).cast(pl.Float64).to_list()))
