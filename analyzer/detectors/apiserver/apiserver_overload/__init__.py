"""kube-apiserver, or the etcd behind it, does not keep up: requests fail or take too long.

## What it finds
Times in which ten requests in a minute, or a hundredth of them and ten in all, failed with 503, 504, a timeout of etcd
or a panic, or took longer than the SLOs of Kubernetes allow (1 s for one object, 5 s for a list of a namespace, 30 s
for one of the cluster). Latency is the time from receipt to answer, without watch, exec, attach, port-forward, proxy
and followed logs, whose duration is the life of a connection. The variant says what took the time where the server's
own annotations tell it (only above 500 ms): `etcd` or `queue` from half of it on, else `latency`, or `errors` where
more failed than were slow. `restart` is a start of the server after 30 s without any request. Severity is high where
heartbeats of nodes or half of all requests were hit or the server started again, else medium. Confidence is high where
kubelets or controllers complain meanwhile, medium from the audit log alone, low for a restart.

## Why it matters
Heartbeats that time out turn nodes NotReady after 40 s, controllers lose their leases, and clients that time out ask
again: a server that is late is asked for more.

## What does not count
Requests that last on purpose. Requests that the limits turned away (429): a throttle storm. Failures and latency of
admission webhooks, of kubelets behind exec and logs, and of aggregated APIs of which every answer is 503: remarks tell
of them. Health checks of a starting server. A rollout of one of several servers: no silence, no failures. A silence
without a start of the server in the log may as well be a part of the log that is missing: a remark.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from analyzer.detector import Detector, NotObservable, Remark
from analyzer.detectors.apiserver.apiserver_overload import judge
from analyzer.detectors.apiserver.apiserver_overload.evidence import evidence, impact
from analyzer.detectors.apiserver.apiserver_overload.measure import measured
from analyzer.detectors.apiserver.apiserver_overload.restart import remarks, restarts
from analyzer.detectors.apiserver.apiserver_overload.signs import (
    Window,
    aggregated_down,
    judged,
    near,
    windows,
)
from analyzer.detectors.apiserver.apiserver_overload.thresholds import Settings
from analyzer.facts.contract import Frames
from analyzer.facts.observable_requests import blind_to, unanswered, without
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.server_starts import SERVER_STARTS
from analyzer.frames import AUDIT_ANNOTATIONS, AUDIT_EVENTS, KLOG_LINES
from analyzer.model import Finding


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    requests = frames[AUDIT_REQUESTS]
    if reason := unanswered(requests, frames.get(AUDIT_EVENTS)) or without(requests, "time"):
        raise NotObservable(reason)
    every = judged(frames, settings)
    down = aggregated_down(every)
    served = every.with_columns(pl.col("failed") & ~pl.col("api_group").is_in(down).fill_null(False))
    starts = frames[SERVER_STARTS].collect() if SERVER_STARTS in frames else pl.DataFrame()
    found = windows(served, settings)
    told: set[object] = set()
    for window in found:
        began = near(starts, window) if starts.height else []
        told.update(start["time"] for start in began)
        yield _finding(frames, served, found, window, began, settings)
    alone = starts.filter(~pl.col("time").is_in(list(told))) if starts.height else starts
    yield from restarts(served, alone, settings.silent_seconds)
    yield from remarks(every, down, alone, settings)
    if partly := blind_to(requests):
        yield Remark(f"Seen in part only, by writes: {partly}.")
    if every.height and not every["latency_seconds"].count():
        yield Remark("No request has both times, of receipt and of its answer: latency is not observable.")


def _finding(
    frames: Frames,
    requests: pl.DataFrame,
    every: list[Window],
    window: Window,
    began: list[dict[str, Any]],
    settings: Settings,
) -> Finding:
    seen = measured(frames, requests, every, window, settings.quiet_seconds)
    sure, reason = judge.confidence(seen)
    saving, others = judge.savings(requests, window, seen)
    tail = "" if seen.p99 is None else f"; the 99th percentile of latency is {seen.p99:.3g} s"
    return Finding(
        detector="apiserver-overload",
        subject="kube-apiserver",
        summary=(
            f"{seen.failed:,} of {seen.requests:,} requests failed and {seen.slow:,} were too slow in "
            f"{window.seconds:.0f} s{tail}."
        ),
        severity=judge.severity(seen, len(began), settings.object_seconds),
        confidence=sure,
        confidence_reason=reason,
        start=window.start,
        end=window.end,
        impact=impact(seen, began),
        evidence=evidence(requests, window),
        saving=saving,
        alternatives=others,
        variant=judge.variant(seen),
        why="The server, or the etcd behind it, had more to do than it could: requests waited, and ran out of time.",
        refuted_by="A network between clients and server that is slow, or one webhook in all of these requests.",
        remedies=judge.GENERAL,
        verify=judge.verify(requests.filter(window.rows)["source"][0]),
        stories=(38,) if judge.variant(seen) == judge.ETCD else (35,),
    )


DETECTOR = Detector(
    id="apiserver-overload",
    title="kube-apiserver or its etcd does not keep up",
    needs_any=((AUDIT_REQUESTS,),),
    uses=(AUDIT_EVENTS, SERVER_STARTS, AUDIT_ANNOTATIONS, KLOG_LINES),
    settings=Settings(),
    detect=detect,
    remedies=judge.GENERAL,
    stories=(35, 38),
)
