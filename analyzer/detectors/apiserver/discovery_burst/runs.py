"""Runs of a client that asks for all API groups, and how often it comes back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl
from msgspec import Struct

from analyzer.facts.callers import CONTROL_PLANE
from analyzer.facts.contract import Frames
from analyzer.facts.requests import AUDIT_REQUESTS

DISCOVERY = r"^/(?:api|apis|openapi/v[23])(?:/[^/]+(?:/[^/]+)?)?/?$"
"""Paths of discovery: `/api`, `/apis`, `/apis/GROUP`, `/apis/GROUP/VERSION`, the schema (apiserver
`pkg/endpoints/discovery`, `pkg/server/routes/openapi.go`)."""

ROOTS = ("/api", "/apis")
"""The two with which each run begins; a server since 1.26 answers them with everything (KEP-3352)."""

OWN_AGENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
"""Whose collectors of garbage and quota ask for all groups every 30 s by design."""

CONTROLLERS = r"^system:serviceaccount:(?:openshift-|kube-system:(?:generic-garbage|resourcequota|namespace)-)"

WAVE = 2.0
"""Seconds: starts that are no farther apart are of runs at the same time."""


class Burst(Struct, frozen=True):
    """One client family: `gets` are all its requests for discovery that belong to runs, `runs` one row per run.

    A run: `start`, `end`, `gets`, `copies` (runs at the same time from the same address), `source_ip`.
    """

    user: str
    agent: str
    gets: pl.DataFrame
    runs: pl.DataFrame

    @property
    def count(self) -> int:
        return int(self.runs["copies"].sum())

    @property
    def per_run(self) -> float:
        return self.gets.height / self.count

    @property
    def seconds(self) -> float:
        return float(((self.runs["end"] - self.runs["start"]).dt.total_microseconds() / 1e6).median() or 0)  # type: ignore[arg-type]

    @property
    def between(self) -> pl.Series:
        """Seconds from one start, or several at the same time, to the next."""
        between = self.runs["start"].sort().diff().drop_nulls().dt.total_microseconds() / 1e6
        return between.filter(between > WAVE)

    @property
    def period(self) -> float | None:
        """Median time between the starts of neighbouring runs; None where all came at once."""
        return float(self.between.median() or 0) if self.between.len() else None  # type: ignore[arg-type]

    @property
    def times(self) -> tuple[datetime, datetime]:
        return self.runs["start"].min(), self.runs["end"].max()  # type: ignore[return-value]


def bursts(frames: Frames, gap: float, least: int, runs: int) -> list[Burst]:
    """Clients with at least `runs` runs of `least` different paths each, in order of time.

    Requests of one user, agent and address less than `gap` seconds apart are one run. A run does not ask for a path
    twice, so that many runs of a warm cache, which follow each other at once, are not one large run; runs at the same
    time are told by how often they ask for the same.
    """
    key = ["user", "agent", "source_ip"]
    asked = _asked(frames).sort(*key, "time", "source", "number")
    begins = (pl.col("time").diff().over(key).dt.total_microseconds() > gap * 1e6).fill_null(True)
    placed = asked.with_columns(begins.cast(pl.Int64).cum_sum().alias("run"))
    paths = placed.group_by(*key, "run", "path").len("times")
    whole = paths.group_by(*key, "run").agg(
        pl.len().cast(pl.Int64).alias("paths"), pl.col("times").median().round().cast(pl.Int64).alias("copies")
    )
    kept = (
        placed.join(whole.filter(pl.col("paths") >= least), on=[*key, "run"], how="inner")
        .with_columns(pl.col("user", "agent").fill_null(""))
        .sort("time", "source", "number")
    )
    found = []
    for (user, agent), gets in kept.group_by("user", "agent", maintain_order=True):
        each = gets.group_by("run", "source_ip", "copies", maintain_order=True).agg(
            pl.col("time").min().alias("start"), pl.col("time").max().alias("end"), pl.len().alias("gets")
        )
        burst = Burst(str(user), str(agent), gets, each.sort("start", "source_ip"))
        if burst.count >= runs:
            found.append(burst)
    return found


def _asked(frames: Frames) -> pl.DataFrame:
    own = (
        (pl.col("caller") == CONTROL_PLANE)
        | pl.col("agent").is_in(OWN_AGENTS)
        | pl.col("user").str.contains(CONTROLLERS)
    ).fill_null(False)
    return (
        frames[AUDIT_REQUESTS]
        .filter(
            pl.col("verb") == "get",
            pl.col("resource").is_null(),
            pl.col("time").is_not_null(),
            pl.col("path").str.contains(DISCOVERY),
            ~own,
        )
        .select(
            *("time", "source", "number", "user", "agent", "user_agent", "source_ip", "code", "latency_seconds"),
            *("caller_pod", "client_node", "throttled"),
            pl.col("path").str.strip_chars_end("/"),
        )
        .collect()
    )


def cold(burst: Burst, ttl: float) -> int:
    """Requests that would be left if every address kept its cache: the runs that find it older than `ttl` seconds."""
    left = 0
    last: dict[str | None, datetime] = {}
    for run in burst.runs.select("source_ip", "start", "gets", "copies").rows(named=True):
        before: Any = last.get(run["source_ip"])
        if before is None or (run["start"] - before).total_seconds() >= ttl:
            left += round(run["gets"] / run["copies"])
            last[run["source_ip"]] = run["start"]
    return left
