"""What the kubelet's back-off allows, what other policies would have pulled, and how long pods waited."""

from __future__ import annotations

import numpy as np
import polars as pl

from analyzer.detectors.node.image_pull_stampede.episodes import Episode
from analyzer.detectors.node.image_pull_stampede.tries import PAIR
from analyzer.model import Saving

FIRST, MOST = 10, 300
"""Seconds of the first pause and of the longest (kubelet, imageBackOffPeriod and MaxContainerBackOff); they double.
The same holds for containers that crash."""


def allowed(spans: pl.Series) -> pl.Series:
    """Attempts of one container that fit into so many seconds: the first, and one after each pause."""
    seconds = spans.to_numpy().astype(np.float64)
    starts = np.concatenate(([0.0], np.cumsum([FIRST * 2**i for i in range(5)])))
    more = np.floor(np.maximum(seconds - starts[-1], 0) / MOST)
    return pl.Series("allowed", (np.searchsorted(starts, seconds, "right") + more).astype(np.int64))


def back_off(episode: Episode) -> int | None:
    """Attempts that the back-off allows the pods between their first and last; None where no pod is told."""
    named = episode.tries.filter(pl.col("pod").is_not_null())
    if not named.height:
        return None
    spans = named.group_by(PAIR).agg((pl.col("at").max() - pl.col("at").min()).dt.total_seconds().alias("seconds"))
    return int(allowed(spans["seconds"]).sum())


def if_not_present(episode: Episode) -> int:
    """One pull for each image on each node, or for each pod where the node is not told."""
    return episode.tries.select("image", pl.coalesce("node", "who")).unique().height


def bytes_again(episode: Episode, pulls: pl.LazyFrame) -> int | None:
    """Bytes of the pulls that succeeded again, by the size that the kubelet told; None where it told none."""
    sizes = (
        pulls.filter(pl.col("what") == "pulled", pl.col("bytes") > 0, pl.col("registry") == episode.registry)
        .group_by("image")
        .agg(pl.col("bytes").max())
        .collect()
    )
    if not sizes.height:
        return None
    good = episode.tries.filter(~pl.col("failing").fill_null(False)).join(sizes, on="image", suffix="_told")
    return round(float((good["again"] * good["bytes_told"]).sum())) or None


def waiting(episode: Episode, pulls: pl.LazyFrame) -> float:
    """Seconds of pods from their first failed pull to the first that succeeded after it, else to the last failed."""
    failed = episode.failures.filter(pl.col("pod").is_not_null())
    spans = failed.group_by("pod", "image").agg(pl.col("at").min().alias("first"), pl.col("at").max().alias("last"))
    good = pulls.filter(pl.col("what").is_in(["pulled", "present"]), pl.col("pod").is_not_null())
    got = good.select("pod", "image", pl.col("time").alias("got")).sort("got").collect()
    met = spans.sort("first").join_asof(
        got, left_on="first", right_on="got", by=["pod", "image"], strategy="forward", check_sortedness=False
    )
    seconds = (pl.coalesce("got", "last") - pl.col("first")).dt.total_microseconds() / 1e6
    return round(float(met.select(seconds.sum()).item() or 0.0), 6)


def savings(episode: Episode) -> tuple[Saving, ...]:
    """Pulls that another policy, and a mirror, would have asked the registry for."""
    images = episode.tries["image"].n_unique()
    return (
        Saving(
            fix="imagePullPolicy: IfNotPresent, with a tag or digest that does not move",
            observed=episode.attempts,
            modelled=min(if_not_present(episode), episode.attempts),
            unit="pulls",
            assumption="A node that holds an image starts it without asking the registry, as often as it crashes. "
            "Where an image was on no node yet, its pull would still have been tried again until it succeeded.",
            formula="distinct pairs of image and node",
        ),
        Saving(
            fix="a pull-through cache inside the network",
            observed=episode.attempts,
            modelled=min(images, episode.attempts),
            unit="pulls",
            assumption="The cache asks the registry once for each image and answers the nodes itself.",
            formula="distinct images",
        ),
    )
