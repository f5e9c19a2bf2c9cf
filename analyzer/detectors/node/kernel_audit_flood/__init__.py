"""A node's kernel writes audit records far faster than before, or for nobody.

## What it finds
A node whose Linux audit system makes at least ten times as many events a second as in its quiet time, and five a second
or more, or a hundred a second, for three minutes. The rate comes from the serials of the records, so it holds where
rate limits or a full queue left most of them out; records of one event count once. Lines of journald's own audit
transport (`audit[812]: SYSCALL ...`) hold no serials: they count where the kernel's lines are not there. Without ten
quiet minutes, twenty events a second count by themselves. The types that fill the log are named. What preceded is told:
a DaemonSet written in the half hour before, a CONFIG_CHANGE of the kernel (`audit_enabled=1 old=0`, rules, a daemon's
pid). Where the writer is deleted, or the audit daemon leaves (`audit_pid=0`), and the flood goes on for five minutes,
it has outlived its writer: records that nobody reads. Severity is high where the kernel lost events or the log would
fill 10 GiB a day, else medium. Changes of iptables and nftables (NETFILTER_CFG) are reported without a rule: where they
are nearly all, and nothing tells that somebody turned auditing on, severity and confidence are low, for builds do so.

## Why it matters
Each record is written two or three times: by the kernel, the journal and the log shipper. The disk of the node is busy,
pods start slowly, and what the journal's rate limit suppresses is what one would need.

## What does not count
The first ten minutes after a boot. Bursts of denials by SELinux or AppArmor (AVC) up to ten minutes: no audit rule asks
for them, and a remark tells of them; longer ones are told as what they are. Records of a login by user space.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.detector import Detector, NotObservable, Remark, setting, thresholds
from analyzer.detectors.node.kernel_audit_flood.causes import Cause, cause_of
from analyzer.detectors.node.kernel_audit_flood.evidence import confidence, evidence, impact, severity
from analyzer.detectors.node.kernel_audit_flood.flood import MOSTLY, Flood, Limits
from analyzer.detectors.node.kernel_audit_flood.measure import floods
from analyzer.detectors.node.kernel_audit_flood.remedy import GENERAL, remedies, savings, verify
from analyzer.detectors.node.kernel_audit_flood.words import variant, why
from analyzer.facts.audit_types import SIDE
from analyzer.facts.audit_windows import listed, short
from analyzer.facts.change_ledger import CHANGE_LEDGER
from analyzer.facts.contract import Frames
from analyzer.facts.kernel_audit import KERNEL_AUDIT
from analyzer.model import Finding

DEFAULT = "engineering default"
MOST = 10
"""Floods that have a finding each, those with most events; a DaemonSet floods every node."""
OFTEN = 0.1
"""Share of the events in the log from which a type is named in the summary."""


@thresholds
class Settings:
    factor: float = setting(10, "Rate over that of the quiet time.", unit="times", minimum=1, source=DEFAULT)
    rate: float = setting(5, "Least rate of a flood.", unit="events per second", minimum=0.1, source=DEFAULT)
    alone_rate: float = setting(
        20, "Rate that counts without a quiet time.", unit="events per second", minimum=0.1, source=DEFAULT
    )
    much_rate: float = setting(100, "Rate whatever was before.", unit="events per second", minimum=1, source=DEFAULT)
    minutes: int = setting(3, "Flooded minutes from which it counts.", unit="minutes", minimum=1, source=DEFAULT)
    quiet_minutes: int = setting(
        10, "Quiet minutes from which there is a rate to compare with.", unit="minutes", minimum=1, source=DEFAULT
    )
    boot_seconds: float = setting(
        600, "Time after a boot in which an onset is its start.", unit="seconds", minimum=0, source=DEFAULT
    )
    burst_seconds: float = setting(
        600, "Longest burst of denials that does not count.", unit="seconds", minimum=0, source=DEFAULT
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    audit = frames[KERNEL_AUDIT]
    records = audit.filter(pl.col("what") == "record", pl.col("time").is_not_null())
    if not records.head(1).collect().height:
        raise NotObservable("the kernel's log holds no audit records with a time")
    limits = Limits(
        rate=settings.rate,
        factor=settings.factor,
        alone=settings.alone_rate,
        much=settings.much_rate,
        minutes=settings.minutes,
        quiet_minutes=settings.quiet_minutes,
    )
    counted = 0
    for flood in sorted(floods(audit, limits), key=lambda one: (-one.events, one.node, one.start)):
        node = short(flood.node)
        if flood.since_boot is not None and flood.since_boot <= settings.boot_seconds and _ends(flood, settings):
            yield Remark(f"{flood.events:,} audit events of {node} follow its boot: not counted.")
        elif flood.denials >= MOSTLY and flood.seconds <= settings.burst_seconds:
            yield Remark(
                f"{flood.events:,} audit events of {node} in {flood.seconds:,.0f} s are denials of a security module "
                "(AVC): not counted."
            )
        else:
            counted += 1
            if counted <= MOST:
                yield _finding(flood, cause_of(flood, audit, frames.get(CHANGE_LEDGER)))
    if counted > MOST:
        yield Remark(f"{counted - MOST:,} more floods of audit events are like these.")


def _ends(flood: Flood, settings: Settings) -> bool:
    """Whether what began with the boot is over when the node has started."""
    return (flood.since_boot or 0) + flood.seconds <= settings.boot_seconds


def _finding(flood: Flood, cause: Cause) -> Finding:
    sure, reason = confidence(flood, cause)
    saved = savings(flood, cause)
    types = flood.rows.group_by("type").agg(pl.col("serial").n_unique().alias("n"))
    often = types.filter(pl.col("n") >= flood.seen * OFTEN, ~pl.col("type").is_in(SIDE))
    names = often.sort("n", "type", descending=[True, False])["type"].to_list()
    over = "" if flood.before is None else f", {flood.rate / max(flood.before, 0.001):,.0f} times as many as before"
    after = f"; {flood.after(cause.left):,} came after its writer had gone" if cause.left else ""
    return Finding(
        detector="kernel-audit-flood",
        subject=short(flood.node),
        summary=(
            f"{flood.events:,} audit events of {short(flood.node)} in {flood.seconds / 60:,.1f} min, "
            f"{flood.rate:,.1f} a second{over}, mostly {listed(names) or 'of many types'}{after}."
        ),
        severity=severity(flood, cause),
        confidence=sure,
        confidence_reason=reason,
        start=flood.start,
        end=flood.end,
        impact=impact(flood, cause),
        evidence=evidence(flood, cause),
        saving=saved[0] if saved else None,
        alternatives=saved[1:],
        variant=variant(flood, cause),
        why=why(flood, cause),
        refuted_by="A rule of the audit system that somebody wants at this rate, and a daemon that reads all of it.",
        remedies=remedies(flood, cause),
        verify=verify(flood),
        stories=(12, 20) if cause.left else (12,),
    )


DETECTOR = Detector(
    id="kernel-audit-flood",
    title="A node's kernel writes audit records far faster than before, or for nobody",
    needs_any=((KERNEL_AUDIT,),),
    uses=(CHANGE_LEDGER,),
    settings=Settings(),
    detect=detect,
    remedies=GENERAL,
    stories=(12, 20),
)
