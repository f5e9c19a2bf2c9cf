"""Figures, severity and confidence of a stampede."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.node.image_pull_stampede.causes import Cause
from analyzer.detectors.node.image_pull_stampede.episodes import Episode
from analyzer.detectors.node.image_pull_stampede.theory import back_off, bytes_again, if_not_present, waiting
from analyzer.model import Confidence, Figure, Severity

MANY = 50
"""Innocent pods from which the severity is critical."""

SYSTEM = "kube-system/"


def impact(episode: Episode, cause: Cause, pulls: pl.LazyFrame) -> tuple[Figure, ...]:
    figures: list[tuple[str, int | float | None, str]] = [
        ("attempts", episode.attempts, "pulls"),
        ("repeated attempts", episode.repeats, "pulls"),
        ("failed attempts", round(float(episode.failures["weight"].sum())), "pulls"),
        *((f"failed: {name}", count, "pulls") for name, count in by_class(episode)),
        ("images", episode.tries["image"].n_unique(), "images"),
        ("pods", episode.pods, "pods"),
        ("nodes", episode.tries["node"].drop_nulls().n_unique(), "nodes"),
        ("innocent images", cause.innocent["image"].n_unique(), "images"),
        ("innocent pods", cause.innocent["who"].n_unique(), "pods"),
        ("pulls that IfNotPresent would have needed", if_not_present(episode), "pulls"),
        ("attempts that the back-off allows", back_off(episode), "pulls"),
        ("attempts a minute", round(episode.attempts / episode.minutes, 3), "pulls"),
        ("attempts a minute outside, median", episode.quiet, "pulls"),
        ("seconds without the image", waiting(episode, pulls), "pod-seconds"),
        ("bytes pulled again, at most", bytes_again(episode, pulls), "bytes"),
    ]
    if cause.hellos.height:
        figures.append(("TLS connections to the registry", cause.hellos.height, "connections"))
        figures.append(("addresses that they came from", cause.hellos["client"].n_unique(), "addresses"))
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures if value is not None)


def by_class(episode: Episode) -> list[tuple[str, int]]:
    counts = episode.failures.group_by("class").agg(pl.col("weight").sum()).sort("class")
    return [(str(name), round(float(weight))) for name, weight in counts.rows()]


def severity(episode: Episode, cause: Cause) -> Severity:
    pods = cause.innocent["who"].unique()
    if pods.len() >= MANY or pods.str.starts_with(SYSTEM).any():
        return Severity.CRITICAL
    if pods.len():
        return Severity.HIGH
    return Severity.MEDIUM if cause.quota is not None or cause.why != "missing" else Severity.LOW


def confidence(episode: Episode, cause: Cause) -> tuple[Confidence, str]:
    """The chain from one image's trouble to others' quota is a met cause rule; two channels that agree are two
    sources."""
    channels = sorted(
        set(episode.tries["channel"]) | set(cause.restarting["channel"] if cause.restarting.height else [])
    )
    told = {
        "event": "Events",
        "kubelet": "the kubelets' logs",
        "runtime": "the runtimes' logs",
        "log": "Events in logs",
    }
    source = " and ".join(told[channel] for channel in channels)
    if cause.chained:
        since = "its containers crashed" if cause.why == "crash loop" else f"it failed ({cause.why})"
        return Confidence.HIGH, (
            f"{source}: {cause.image} was pulled again and again since {since}, and only then the registry turned "
            "other images away"
        )
    if cause.hellos.height:
        return Confidence.HIGH, f"{source} and the capture agree"
    if episode.failures.height:
        return Confidence.MEDIUM, f"{source} say what the pulls failed of"
    return Confidence.MEDIUM if cause.why else Confidence.LOW, f"{source} count the pulls"
