"""Starts of the server without any other sign, and what is said beside the findings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import polars as pl

from analyzer.detector import Remark
from analyzer.detectors.apiserver.apiserver_overload.judge import GENERAL, verify
from analyzer.detectors.apiserver.apiserver_overload.signs import HEALTH
from analyzer.detectors.apiserver.apiserver_overload.thresholds import Settings
from analyzer.facts.audit_windows import listed
from analyzer.model import Confidence, Evidence, Figure, Finding, Record, Severity

RESTART = "restart"

PODS = (
    "kubectl -n kube-system get pods -l component=kube-apiserver "
    "-o custom-columns=NAME:.metadata.name,LAST:.status.containerStatuses[0].lastState.terminated"
)


def restarts(requests: pl.DataFrame, starts: pl.DataFrame, least: float) -> Iterator[Finding]:
    """A finding for each start after at least `least` seconds without a request."""
    for start in starts.rows(named=True):
        silent = start["silent_seconds"]
        if start["told_by"] != "informers" or silent is None or silent < least:
            continue
        begin = start["time"] - timedelta(seconds=silent)
        before = requests.filter(pl.col("time") == begin).head(1).select("source", "number", "time").rows(named=True)
        first = Record(source=start["source"], number=start["number"], time=start["time"])
        yield Finding(
            detector="apiserver-overload",
            subject="kube-apiserver",
            summary=(
                f"No request for {silent:.0f} s, then a start of the server, after which its clients sent "
                f"{start['relists']:,} lists in two minutes."
            ),
            severity=Severity.HIGH,
            confidence=Confidence.LOW,
            confidence_reason="the silence and the start are certain, why the server went is not in the audit log",
            start=begin,
            end=start["time"],
            impact=(
                Figure(name="restarts of the server", value=1, unit="starts"),
                Figure(name="longest gap", value=round(silent, 6), unit="seconds"),
                Figure(name="lists in the two minutes after", value=start["relists"], unit="lists"),
                Figure(name="user agents that listed or watched again", value=start["relist_agents"], unit="agents"),
            ),
            evidence=Evidence(records=(*(Record(**one) for one in before), first)),
            variant=RESTART,
            why="Nobody reached the server until it had started again: it was killed, it crashed, or it was replaced.",
            refuted_by="A planned restart at this time; the kernel's or kubelet's log of the control plane tells.",
            remedies=GENERAL,
            verify=(
                *verify(start["source"])[:1],
                PODS,
            ),
            stories=(35,),
        )


def remarks(requests: pl.DataFrame, down: list[str], starts: pl.DataFrame, settings: Settings) -> Iterator[Remark]:
    """Look-alikes that deserve a word."""
    if down:
        yield Remark(f"Every answer of {listed(down)} is 503: an aggregated API whose own server is gone.")
    hooked = int(requests["by_webhook"].sum())
    if hooked:
        yield Remark(f"{hooked:,} requests were slow because an admission webhook took half of their time or more.")
    health = requests.filter((pl.col("code") >= 500).fill_null(False), pl.col("uri_class").str.contains(HEALTH)).height
    if health:
        yield Remark(f"{health:,} health checks were answered 5xx: a server says that it is not ready yet.")
    if not starts.height:
        return
    for start in starts.rows(named=True):
        silent = start["silent_seconds"]
        if start["told_by"] == "silence":
            yield Remark(
                f"No request for {silent:.0f} s until {start['time']:%H:%M:%S}: the server was gone, or a part of the "
                "log is missing."
            )
        elif silent is not None and silent < settings.silent_seconds:
            yield Remark(
                f"A server started at {start['time']:%H:%M:%S} while requests went on: one of several, or a quick "
                f"restart; {start['relists']:,} lists followed."
            )
