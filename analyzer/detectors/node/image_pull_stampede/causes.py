"""Which image began it and why, and who was hit without having done anything."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
from msgspec import Struct

from analyzer.detectors.node.image_pull_stampede.episodes import Episode
from analyzer.facts.changes import CHANGES
from analyzer.facts.contract import Frames
from analyzer.facts.image_pulls import IMAGE_PULLS
from analyzer.facts.workload_names import of_pod
from analyzer.frames import TLS_CLIENT_HELLOS

BEFORE = timedelta(minutes=30)
"""A change so long before may have started it."""

CRASH = "crash loop"

GUILTY = 0.05
"""An image is no innocent that made this share of the repeated pulls before the quota."""

_DOCKER = ("docker.io", "docker.com")
"""Docker Hub answers as registry-1.docker.io, auth.docker.io and production.cloudflare.docker.com."""


class Cause(Struct, frozen=True, kw_only=True):
    """`image` began it, for the reason `why` ('' if nobody tells), among the pods of `workload`. `quota` is when the
    registry first said that it was too much. `innocent` are failures of images that had no trouble before that."""

    image: str
    workload: str
    why: str
    quota: datetime | None
    innocent: pl.DataFrame
    restarting: pl.DataFrame
    changes: pl.DataFrame
    hellos: pl.DataFrame

    @property
    def variant(self) -> str:
        if self.quota is None:
            return self.why or "repeated pulls"
        return f"{self.why}, then quota" if self.why else "quota"

    @property
    def chained(self) -> bool:
        """Whether one image was in trouble before the registry turned others away."""
        return bool(self.why) and self.quota is not None and self.innocent.height > 0


def cause_of(episode: Episode, frames: Frames) -> Cause:
    quota = episode.quota["at"].item(0) if episode.quota.height else None
    early = episode.tries if quota is None else episode.tries.filter(pl.col("at") < quota)
    first = (early if early.height else episode.tries).group_by("image").agg(pl.col("weight").sum())
    image = str(first.sort(["weight", "image"], descending=[True, False])["image"].item(0))
    mine = episode.tries.filter(pl.col("image") == image)
    restarting = _restarting(frames, episode, mine)
    return Cause(
        image=image,
        workload=_workload(mine),
        why=_why(episode, image, quota, restarting),
        quota=quota,
        innocent=_innocent(episode, image, quota),
        restarting=restarting,
        changes=_changes(frames, episode),
        hellos=_hellos(frames, episode),
    )


def _workload(tries: pl.DataFrame) -> str:
    """The workload of most pods, by their names; '' where no pod is told."""
    pods = tries.select(pl.col("pod").drop_nulls().unique())
    if not pods.height:
        return ""
    name = of_pod(pl.col("pod").str.extract("([^/]*)$", 1)).struct.field("workload")
    whole = pods.select(pl.concat_str(pl.col("pod").str.extract("^([^/]*)/", 1), pl.lit("/"), name).alias("name"))
    counts = whole.group_by("name").len().sort(["len", "name"], descending=[True, False])
    return str(counts["name"].item(0))


def _restarting(frames: Frames, episode: Episode, tries: pl.DataFrame) -> pl.DataFrame:
    """Rows that tell that containers of these pods are started again and again, in the time of the episode."""
    near = pl.col("time").is_between(episode.start - BEFORE, episode.end)
    rows = frames[IMAGE_PULLS].filter(pl.col("what") == "restarting", near, pl.col("pod").is_not_null())
    return rows.join(tries.lazy().select("pod").drop_nulls().unique(), on="pod", how="semi").collect()


def _why(episode: Episode, image: str, quota: datetime | None, restarting: pl.DataFrame) -> str:
    """What its pulls failed of before the quota; else that its containers crash, and are pulled anew for each start."""
    failed = episode.failures.filter(pl.col("image") == image, pl.col("class") != "quota")
    if quota is not None:
        failed = failed.filter(pl.col("at") < quota)
    if failed.height:
        counts = failed.group_by("class").agg(pl.col("weight").sum())
        return str(counts.sort(["weight", "class"], descending=[True, False])["class"].item(0))
    before = restarting if quota is None else restarting.filter(pl.col("since") < quota)
    return CRASH if before.height else ""


def _innocent(episode: Episode, image: str, quota: datetime | None) -> pl.DataFrame:
    if quota is None:
        return episode.failures.clear()
    early = episode.tries.filter(pl.col("at") < quota).group_by("image").agg(pl.col("again").sum())
    many = early.filter(pl.col("again") > 0, pl.col("again") >= GUILTY * pl.col("again").sum())
    other = episode.failures.filter(pl.col("at") < quota, pl.col("class") != "quota")
    names = [image, *many["image"].to_list(), *other["image"].unique().to_list()]
    return episode.quota.filter(~pl.col("image").is_in(names))


def _changes(frames: Frames, episode: Episode) -> pl.DataFrame:
    """What somebody wrote in the half hour before, newest first."""
    if CHANGES not in frames:
        return pl.DataFrame()
    near = pl.col("time").is_between(episode.start - BEFORE, episode.start)
    found = frames[CHANGES].filter(near).sort("time", "source", "number", descending=[True, False, False])
    return found.head(10).collect()


def _hellos(frames: Frames, episode: Episode) -> pl.DataFrame:
    """TLS connections to the registry by their server name, each once."""
    if TLS_CLIENT_HELLOS not in frames:
        return pl.DataFrame()
    host = episode.registry.split(":", 1)[0]
    hosts = _DOCKER if host == _DOCKER[0] else (host,)
    name = pl.col("sni")
    match = pl.any_horizontal([(name == one) | name.str.ends_with("." + one) for one in hosts])
    near = pl.col("time").is_between(episode.start - BEFORE, episode.end)
    found = frames[TLS_CLIENT_HELLOS].filter(match.fill_null(False), ~pl.col("duplicate").fill_null(False), near)
    return found.select("time", "source", "number", "client", "server", "sni").collect()
