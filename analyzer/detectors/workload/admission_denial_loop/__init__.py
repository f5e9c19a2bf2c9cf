"""An admission check denies what controllers make, again and again.

## What it finds
Owners (Deployments, DaemonSets, Jobs ...) whose pods were denied three times within five minutes, or once and nothing
of theirs was made in the minute that followed and later. One finding for each check: a webhook that refuses, one that
cannot be called (unreachable, timeout, TLS) under failurePolicy Fail, PodSecurity, a quota, a
ValidatingAdmissionPolicy, a LimitRange, a pod security policy or security context constraint. It is told by the audit
log, by Events (`FailedCreate`) and by the log of kube-controller-manager; what several of them tell counts once. An
owner is stuck until something of it is made, or it is removed or scaled to 0. Severity is critical where pods of
kube-system or owners in three namespaces are stuck at the end of the evidence, high where any owner is, low where it
was over within a minute, else medium. Confidence is high by the server's own answers or two sources that agree.

## Why it matters
Nobody reads the answer: a controller asks again with growing pauses of up to 17 minutes, and the workload looks healthy
as long as its old pods live. Each node that leaves takes pods that never come back.

## What does not count
People and pipelines that are denied: there the rule works, and a remark counts them. A namespace that is being deleted
refuses new content, and a role that is missing forbids: no admission check denied. A webhook that fails open denies
nothing; a remark counts what passed without it.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.detector import Detector, Remark, setting, thresholds
from analyzer.detectors.workload.admission_denial_loop.around import end_of, must_be_observable, of_people, remarks
from analyzer.detectors.workload.admission_denial_loop.evidence import confidence, evidence, impact, severity
from analyzer.detectors.workload.admission_denial_loop.measure import Loop, denials, loops
from analyzer.detectors.workload.admission_denial_loop.owners import Limits
from analyzer.detectors.workload.admission_denial_loop.remedy import GENERAL, remedies, verify
from analyzer.detectors.workload.admission_denial_loop.saving import quotas, savings
from analyzer.detectors.workload.admission_denial_loop.title import title
from analyzer.facts.admission_texts import DENIED, FAILING
from analyzer.facts.audit_windows import counted, listed, short
from analyzer.facts.contract import Frames
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.facts.workload_writes import WORKLOAD_WRITES
from analyzer.frames import AUDIT_ANNOTATIONS, KLOG_LINES
from analyzer.model import Finding

DEFAULT = "engineering default"


@thresholds
class Settings:
    denials: int = setting(
        3, "Denials of one owner within the window that are a loop.", unit="denials", minimum=2, source=DEFAULT
    )
    window_seconds: float = setting(
        300, "The window that these denials lie in.", unit="seconds", minimum=1, source=DEFAULT
    )
    alone_seconds: float = setting(
        60,
        "Time after the last denial in which nothing of the owner was made, so that one denial counts.",
        unit="seconds",
        minimum=1,
        source=DEFAULT,
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    writes = frames[WORKLOAD_WRITES].with_columns(pl.col("namespace").fill_null(""))
    denied = denials(writes)
    if not denied.height:
        must_be_observable(frames)
    limits = Limits(count=settings.denials, window=settings.window_seconds, alone=settings.alone_seconds)
    here = writes.join(denied.select("namespace").unique().lazy(), on="namespace", how="semi", maintain_order="left")
    people = of_people(writes)
    for loop in loops(denied, here.collect(), end_of(frames), limits):
        same = (loop.check, loop.policy)
        yield _finding(loop, sum(count for check, policy, count in people if (check, policy) == same))
    yield from remarks(people, frames)


def _denied(loop: Loop) -> str:
    """How many requests which check denied, for the summary."""
    name = short(loop.subject)
    if loop.check == FAILING:
        return f"{counted(loop.denials, 'denial')} for want of webhook {name}"
    return f"{counted(loop.denials, 'denial')} by {'webhook' if loop.check == DENIED else loop.check} {name}"


def _finding(loop: Loop, people: int) -> Finding:
    sure, reason = confidence(loop)
    needs = quotas(loop)
    saving, others = savings(loop, people)
    names = listed([owner.label for owner in loop.owners])
    owners = counted(len(loop.owners), "owner")
    state = f"{len(loop.stuck)} still stuck at the end" if loop.stuck else "none stuck at the end"
    lasting = f" for {loop.seconds:,.0f} s" if loop.seconds is not None else ""
    return Finding(
        detector="admission-denial-loop",
        subject=short(loop.subject),
        summary=f"{_denied(loop)} kept {owners} from making pods{lasting} ({names}), {state}.",
        severity=severity(loop),
        confidence=sure,
        confidence_reason=reason,
        start=loop.start,
        end=loop.end,
        impact=impact(loop),
        evidence=evidence(loop, needs),
        saving=saving,
        alternatives=others,
        title=title(loop),
        variant=f"{loop.check} ({loop.cause})" if loop.cause else loop.check,
        why="The check answers the controller, which asks again with growing pauses; no person sees the answer.",
        refuted_by="Pods of these owners that were made meanwhile, or denials of requests that people sent.",
        remedies=remedies(loop, needs),
        verify=verify(loop),
        stories=(8,) if loop.check == DENIED else (),
    )


DETECTOR = Detector(
    id="admission-denial-loop",
    title="An admission check denies what controllers make, again and again",
    needs_any=((WORKLOAD_WRITES,),),
    uses=(AUDIT_REQUESTS, TOLD_EVENTS, KLOG_LINES, AUDIT_ANNOTATIONS),
    settings=Settings(),
    detect=detect,
    remedies=GENERAL,
    stories=(8,),
)
