"""One client's requests flood the audit log.

## What it finds
Minutes in which one user dominates the audit log (half of its records or bytes) and the log grows to ten times the
median of the minutes that this user does not dominate, at 10 records or 100 KiB a second at least. Where fewer than
five such minutes exist there is no baseline: then the user must fill half of the bytes at 100 records or 1 MiB a
second, and confidence is low; with a baseline it is medium. The finding writes the audit policy that would have kept
the log small and replays it on the records: every saving is a count of bytes that are there. Severity is high from
100 GiB a day on at the rate of the flood, low below 1 GiB a day, else medium.

## Why it matters
The audit log stands on the disk of the control plane and is shipped and stored for years. A hot loop at level
RequestResponse writes every object twice a second into it: disks fill, backends block the apiserver, and what an
investigation needs is rotated away.

## What does not count
A rollout: many users write, none of them half. The start of an apiserver, when `system:apiserver` lists everything for
a minute. A steady volume, however large: remarks say what leaving out RequestReceived would save, and what the general
policy would (leases, events and health checks not logged, reads without bodies, writes without answers), replayed on
the whole log. A writer most of whose requests were rejected with 429: that is a throttle storm, and a remark says what
it adds to the log.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.detector import Detector, NotObservable, Remark, setting, thresholds
from analyzer.detectors.apiserver.audit_log_flood.around import around
from analyzer.detectors.apiserver.audit_log_flood.evidence import evidence, impact, per_day
from analyzer.detectors.apiserver.audit_log_flood.measure import (
    WRITER,
    WRITTEN,
    Flood,
    Limits,
    by_minute,
    floods,
    totals,
)
from analyzer.detectors.apiserver.audit_log_flood.policy import replayed, rules, text
from analyzer.detectors.apiserver.audit_log_flood.remedy import (
    GENERAL,
    hot_resources,
    reads,
    remedies,
    saving,
    verify,
)
from analyzer.facts.audit_windows import BIN_SECONDS, once, short
from analyzer.facts.contract import Frames
from analyzer.facts.observable_requests import without
from analyzer.frames import AUDIT_EVENTS
from analyzer.model import Confidence, Finding, Severity

DEFAULT = "engineering default"


@thresholds
class Settings:
    step: float = setting(10, "Times the quiet median that a minute must reach.", minimum=1, source=DEFAULT)
    quiet_minutes: int = setting(5, "Quiet minutes that a baseline needs.", unit="minutes", minimum=1, source=DEFAULT)
    least_rate: float = setting(
        10, "Writer's rate below which there is no flood.", unit="records per second", minimum=0, source=DEFAULT
    )
    least_bytes: float = setting(
        100 << 10, "Rate in bytes that counts as well.", unit="bytes per second", minimum=0, source=DEFAULT
    )
    alone_rate: float = setting(
        100, "Writer's rate that is a flood without a baseline.", unit="records per second", minimum=0, source=DEFAULT
    )
    alone_bytes: float = setting(
        1 << 20, "Rate in bytes that is one too.", unit="bytes per second", minimum=0, source=DEFAULT
    )
    high_gib_per_day: float = setting(
        100, "Volume from which the severity is high.", unit="GiB per day", minimum=0, source=DEFAULT
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    every = frames[AUDIT_EVENTS].with_columns(WRITTEN)
    if reason := without(every, "written", "user"):
        raise NotObservable(reason)
    events = every.with_columns(WRITER).filter(pl.col("written").is_not_null())
    minutes = by_minute(events)
    limits = Limits(
        step=settings.step,
        quiet_bins=settings.quiet_minutes,
        least_records=settings.least_rate * BIN_SECONDS,
        least_bytes=settings.least_bytes * BIN_SECONDS,
        alone_records=settings.alone_rate * BIN_SECONDS,
        alone_bytes=settings.alone_bytes * BIN_SECONDS,
    )
    found = floods(minutes, limits)
    several = bool(found) and events.select(pl.col("source").n_unique() > 1).collect().item()
    for flood in found:
        rows = events.filter(flood.rows)
        yield _judged(once(rows) if several else rows, minutes, flood, settings)
    yield from around(events, found=bool(found))


def _judged(rows: pl.LazyFrame, minutes: pl.DataFrame, flood: Flood, settings: Settings) -> Finding | Remark:
    count = totals(rows, flood)
    volume = per_day(count["bytes"], flood.seconds)
    if 2 * count["rejected"] > count["answered"]:
        return Remark(
            f"{count['records']:,} records of {short(flood.user)} in {flood.seconds:.0f} s are mostly rejections: "
            f"a storm of 429, which fills the audit log at {volume:.3g} GiB a day."
        )
    policy = rules(flood.user, hot_resources(rows, flood))
    replay = replayed(rows, policy)
    kept = int(replay["after"].sum())
    high = Severity.HIGH if volume >= settings.high_gib_per_day else Severity.MEDIUM
    reason = f"a step of {settings.step:g} times over the minutes that it does not dominate"
    return Finding(
        detector="audit-log-flood",
        subject=short(flood.user),
        summary=(
            f"{count['records']:,} of {count['all_records']:,} audit records in {flood.seconds:.0f} s "
            f"({count['bytes']:,} bytes, {volume:.3g} GiB a day) are of requests by {short(flood.user)}."
        ),
        severity=high if volume >= 1 else Severity.LOW,
        confidence=Confidence.MEDIUM if flood.baseline else Confidence.LOW,
        confidence_reason=reason if flood.baseline else "no baseline: too few quiet minutes, an absolute rate decides",
        start=flood.start,
        end=flood.end,
        impact=impact(flood, count, count["all_bytes"] - kept),
        evidence=evidence(rows, minutes, flood, policy, replay),
        saving=saving(flood, count["all_bytes"], kept),
        alternatives=reads(rows, flood, policy, kept),
        why="Each request of this user leaves records in the audit log, with bodies where the policy asks for them.",
        refuted_by="The same rate of this user in quiet times, or an audit policy that was changed at the onset.",
        remedies=remedies(text(policy)),
        verify=verify(rows),
        stories=(41,),
    )


DETECTOR = Detector(
    id="audit-log-flood",
    title="One client's requests flood the audit log",
    needs_any=((AUDIT_EVENTS,),),
    settings=Settings(),
    detect=detect,
    remedies=GENERAL,
    stories=(41,),
)
