"""One agent lists the same objects again and again, or from every node at once.

## What it finds
User agent families outside of the control plane whose lists multiply. A client polls if it was served the same list
(address, pod and user; resource, namespace and selectors) again within 5 minutes, twice at least: an informer lists
once and then watches. It fires where ten clients poll, where an agent sends 60 lists of a whole cluster in a minute and
some of them again, or where ten clients list all pods of the cluster without a selector for their node. Clients behind
one address are told apart by the node that their field selector names. The variant says what drives them: `poll` by the
clock (the times between vary by less than 0.3), `lists-again` without one, `relist-after-oom` where instead the kernel
killed the agent meanwhile, `relist-after-410` where its version had expired, `cluster-wide-pods` where nothing repeats.
Severity is high where lists were rejected, the agent was killed, or its lists take half of the server's time; medium
from a tenth of it or one list a second on; else low. Confidence is medium from the audit log alone, high where kernel
or kubelets tell of the agent's deaths, low where only the rate tells.

## Why it matters
Each list is read, encoded and sent as a whole, by every node: the work grows with nodes times pods. A server that
answers them has no room for heartbeats, and an agent that holds them all runs out of memory, dies, and lists again.

## What does not count
The start of an API server: all its clients list again within two minutes, each once. A remark tells of this stampede,
which has another cause. The control plane and kubelets, which list with a selector. A controller with one to three
replicas that lists now and then. Watches of people. A client that is rejected and asks again: what it wants is one
list. Objects and bytes are known only where the policy keeps the answers of lists; they are left out where it does not.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.detector import Detector, NotObservable, Remark, thresholds
from analyzer.detector import setting as declared
from analyzer.detectors.apiserver.watch_list_amplification import judge
from analyzer.detectors.apiserver.watch_list_amplification.deaths import deaths
from analyzer.detectors.apiserver.watch_list_amplification.evidence import by_resource, evidence, impact
from analyzer.detectors.apiserver.watch_list_amplification.lists import lists
from analyzer.detectors.apiserver.watch_list_amplification.patterns import Limits, Pattern, patterns, stampede
from analyzer.detectors.apiserver.watch_list_amplification.remedy import GENERAL, remedies, verify
from analyzer.facts.audit_windows import short
from analyzer.facts.contract import Frames
from analyzer.facts.list_watch import LIST_WATCH
from analyzer.facts.observable_requests import blind_to, unfinished, without
from analyzer.facts.request_parameters import REQUEST_PARAMETERS
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.server_starts import SERVER_STARTS
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.frames import AUDIT_EVENTS, AUDIT_OBJECTS, KERNEL_MESSAGES, KLOG_LINES
from analyzer.model import Finding

DEFAULT = "engineering default"


@thresholds
class Settings:
    clients: int = declared(
        10, "Clients that poll, or list all pods, from which it fires.", unit="clients", minimum=1, source=DEFAULT
    )
    per_minute: int = declared(
        60, "Lists of the whole cluster in a minute that fire too.", unit="lists", minimum=1, source=DEFAULT
    )
    relist_seconds: float = declared(
        300,
        "Time within which the same list again is a poll.",
        unit="seconds",
        minimum=0,
        source="least time of a watch: client-go tools/cache/reflector.go, defaultMinWatchTimeout",
    )
    variation: float = declared(
        0.3, "Variation of the times between below which there is a clock.", minimum=0, source=DEFAULT
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    requests = frames[AUDIT_REQUESTS]
    told = without(requests, "time", "resource") or unfinished(frames.get(AUDIT_EVENTS))
    if reason := blind_to(requests, ("list", "watch")) or told:
        raise NotObservable(reason)
    found = lists(frames, settings.relist_seconds)
    limits = Limits(clients=settings.clients, per_minute=settings.per_minute, variation=settings.variation)
    fired = patterns(found, limits)
    for pattern in fired:
        yield _finding(frames, pattern, settings)
    after = stampede(found, settings.clients).filter(~pl.col("agent").is_in([pattern.agent for pattern in fired]))
    for agent, resource, start, clients in after.rows():
        yield Remark(
            f"{clients:,} clients of {short(agent, 60)} listed {short(resource, 60)} within two minutes after the "
            f"API server started at {start:%H:%M:%S}: a stampede, whose cause is the start."
        )
    yield from _watchers(frames, settings.clients)


def _finding(frames: Frames, pattern: Pattern, settings: Settings) -> Finding:
    seen, around = deaths(frames, pattern), judge.setting(frames, pattern)
    sure, reason = judge.confidence(pattern, seen, settings.clients)
    everywhere = f" of {around.nodes:,} nodes" if pattern.clients >= judge.DAEMON_SET * around.nodes > 0 else ""
    what = ", ".join(f"{name} {count:,}" for name, count in by_resource(pattern)[:3])
    clock = f", each about every {pattern.period:.3g} s" if pattern.polls and pattern.period else ""
    return Finding(
        detector="watch-list-amplification",
        subject=short(pattern.agent),
        summary=(
            f"{pattern.lists.height:,} lists ({what}) in {pattern.seconds:.0f} s by {pattern.clients:,} clients of "
            f"{short(pattern.agent)}{everywhere}{clock}."
        ),
        severity=judge.severity(pattern, seen, around),
        confidence=sure,
        confidence_reason=reason,
        start=pattern.rows["time"][0],
        end=pattern.rows["time"][-1],
        impact=impact(pattern, seen),
        evidence=evidence(frames, pattern, seen),
        saving=judge.saving(pattern),
        alternatives=judge.alternatives(pattern, around),
        variant=judge.variant(pattern, seen),
        why="Every client asks for the whole list again, where one list and a watch would tell it the same.",
        refuted_by="Watches of the same clients that ended just before each list, or a start of the API server.",
        remedies=remedies(pattern.agent),
        verify=verify(pattern),
        stories=judge.stories(pattern, seen, around),
    )


def _watchers(frames: Frames, least: int) -> Iterator[Remark]:
    """Watches of all pods by many clients cost nothing now, and every change of a pod is sent to each of them."""
    own = ~pl.col("agent").is_in(["kubelet", "kube-controller-manager", "kube-scheduler", "kube-apiserver"])
    pods = (pl.col("resource") == "pods") & (pl.col("scope") == "cluster") & (pl.col("lists") == 0)
    many = (pl.col("unselected_watches") > 0) & (pl.col("clients") >= least)
    for agent, clients in frames[LIST_WATCH].filter(own & pods & many).select("agent", "clients").collect().rows():
        yield Remark(f"{clients:,} clients of {short(agent, 60)} watch all pods: each change of a pod is sent to each.")


DETECTOR = Detector(
    id="watch-list-amplification",
    title="Lists multiply: polled, or asked for by every node",
    needs_any=((AUDIT_REQUESTS, LIST_WATCH),),
    uses=(REQUEST_PARAMETERS, SERVER_STARTS, AUDIT_EVENTS, AUDIT_OBJECTS, KERNEL_MESSAGES, KLOG_LINES, TOLD_EVENTS),
    settings=Settings(),
    detect=detect,
    remedies=GENERAL,
    stories=(9, 10, 36, 40),
)
