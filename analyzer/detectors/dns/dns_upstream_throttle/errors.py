"""CoreDNS's own words about its upstream, from the errors plugin."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Frames
from analyzer.facts.dns import LOOP_PROBE
from analyzer.frames import COREDNS_ERRORS, COREDNS_QUERIES
from analyzer.frames.contract import empty

OVERLOAD = "overload"
SILENT = ("timeout",)
UNHEALTHY = (
    *("no healthy upstream", "backend unreachable", "connection refused", "no route to host", "network unreachable"),
    *("connection closed", "tls"),
)
ANSWERED = ("servfail", "refused", "server misbehaving")
KINDS = (OVERLOAD, *SILENT, *UNHEALTHY, *ANSWERED)
"""Kinds of coredns_errors that are about an upstream."""


def errors_seen(frames: Frames) -> pl.DataFrame:
    """Errors about upstreams: columns of coredns_errors, `alone` where their input has no query lines, and `per_bin`,
    the errors that a bin of ten seconds of their time holds on average."""
    if COREDNS_ERRORS not in frames:
        found = empty(COREDNS_ERRORS)
    else:
        probe = (pl.col("qtype") == "HINFO") & pl.col("name").str.contains(LOOP_PROBE)
        reverse = pl.col("name").str.ends_with(".arpa")
        found = (
            frames[COREDNS_ERRORS]
            .filter(pl.col("kind").is_in(KINDS), ~probe.fill_null(False), ~reverse.fill_null(False))
            .sort("time", "source", "number")
            .collect()
        )
    logged = pl.Series("source", [], pl.String)
    if COREDNS_QUERIES in frames:
        logged = frames[COREDNS_QUERIES].select(pl.col("source").unique()).collect().to_series()
    periods = (pl.col("period_seconds").fill_null(0) / 10).clip(1)
    return found.with_columns(
        alone=~pl.col("source").is_in(logged.implode()), per_bin=pl.col("count") / periods.fill_null(1)
    )


def named_upstreams(errors: pl.DataFrame) -> list[str]:
    return sorted(errors["upstream"].drop_nulls().unique())
