"""Pods that were told to stop are still sent new connections.

## What it finds
New TCP connections of clients to the address of a pod after its deletion that are answered with a reset, or not at all,
where five connections fail, or one each of three pods of a workload. The deletion is told by the audit log or by the
kubelet, the address by either. Deletions of one workload less than ten minutes apart are one rollout. The replay says
what a preStop sleep would have saved: as long as 99 of 100 failed connections came after the deletion of their pod.
Confidence is high where resets were seen, medium where nobody answered. Severity is high from a hundred failed
connections on, else medium.

## Why it matters
SIGTERM and the removal from the endpoints begin at the same moment, and the second takes longer: the controller writes
the EndpointSlice, every kube-proxy, ingress controller and load balancer reads it. A server that closes its listener on
SIGTERM refuses what comes until then. So each rollout, drain and scale-down costs some requests.

## What does not count
Connections from the pod's own node and from probes by their user agent: kubelets and load balancers look whether a
server lives. Those of other nodes, unless their plain requests show that they hand on what clients ask (a NodePort, an
ingress controller). Pods that had refused connections for a minute before: they were down already. Requests on
connections that were open before the deletion: they need draining, and no sleep. Clients that looked the pod's own
address up in DNS (a headless Service) and keep it: no endpoint tells them. Resets of a container that crashed, whose
pod nobody deleted. What goes to the address after another pod has it. A pod that goes on accepting until the last
client has left. Remarks count what fails so.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import polars as pl

from analyzer.detector import Detector, NotObservable, Remark, setting, thresholds
from analyzer.detectors.network.terminating_endpoint_traffic.around import remarks
from analyzer.detectors.network.terminating_endpoint_traffic.attempts import attempts, connections, ends, kept_open
from analyzer.detectors.network.terminating_endpoint_traffic.endings import addresses, asked, endings, with_removals
from analyzer.detectors.network.terminating_endpoint_traffic.evidence import confidence, evidence, impact, savings
from analyzer.detectors.network.terminating_endpoint_traffic.remedy import GENERAL, remedies, verify
from analyzer.detectors.network.terminating_endpoint_traffic.rollouts import REFUSED, Rollout, rollouts
from analyzer.facts.address_owners import ADDRESS_OWNERS
from analyzer.facts.audit_windows import counted, short
from analyzer.facts.contract import Frames
from analyzer.facts.endpoint_writes import ENDPOINT_WRITES
from analyzer.facts.http_requests import HTTP_REQUESTS
from analyzer.facts.pod_life import POD_LIFE
from analyzer.facts.tcp_connections import TCP_CONNECTIONS
from analyzer.frames import DNS_ANSWERS
from analyzer.model import Finding, Severity

DEFAULT = "engineering default"
STORIES = (27,)


@thresholds
class Settings:
    connections: int = setting(5, "Failed connections of a rollout.", unit="connections", minimum=1, source=DEFAULT)
    pods: int = setting(3, "Pods with a failed connection each that suffice.", unit="pods", minimum=1, source=DEFAULT)
    window: float = setting(
        600, "Longest time after a deletion that is looked at.", unit="seconds", minimum=1, source=DEFAULT
    )
    high_connections: int = setting(
        100, "Failed connections from which the severity is high.", unit="connections", minimum=1, source=DEFAULT
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    deleted = asked(frames)
    if not deleted.height:
        if not frames[POD_LIFE].head(1).collect().height:
            raise NotObservable("no input tells anything of the life of a pod: deletions would not be seen")
        return
    owned = addresses(frames)
    ended = with_removals(endings(deleted, owned, timedelta(seconds=settings.window)), frames)
    if not ended.height:
        count = deleted.select("namespace", "pod").n_unique()
        raise NotObservable(f"{counted(count, 'pod')} deleted, and no input tells an address of one of them")
    theirs = owned.join(ended.select("namespace", "workload").unique(), on=["namespace", "workload"], how="semi")
    seen = connections(frames, theirs["address"].unique())
    tried = attempts(seen, ended, ends(frames), frames)
    clients = tried["client"].unique()
    owners = frames[ADDRESS_OWNERS].filter(pl.col("address").is_in(clients.implode())).collect()
    for rollout in rollouts(ended, tried, seen, owned, _errors(frames)):
        if rollout.failed.height >= settings.connections or rollout.failed["ending"].n_unique() >= settings.pods:
            yield _finding(rollout, owners, settings)
    yield from remarks(tried, kept_open(seen, ended))


def _errors(frames: Frames) -> pl.DataFrame | None:
    """Requests with `bad`: the answer of a gateway that could not reach whom it asked (RFC 9110, 502 to 504)."""
    if HTTP_REQUESTS not in frames:
        return None
    asked = frames[HTTP_REQUESTS].filter(~pl.col("covered"), pl.col("status").is_not_null())
    return asked.select("time", "server", bad=pl.col("status").is_between(502, 504)).collect()


def _finding(rollout: Rollout, owners: pl.DataFrame, settings: Settings) -> Finding:
    sure, reason = confidence(rollout)
    saving, others = savings(rollout)
    count = rollout.failed.height
    return Finding(
        detector="terminating-endpoint-traffic",
        subject=short(rollout.label),
        summary=(
            f"{counted(count, 'new connection')} to {counted(rollout.failed['ending'].n_unique(), 'pod')} of "
            f"{short(rollout.label)} failed up to {rollout.window:.1f} s after they were deleted; a preStop sleep of "
            f"{rollout.sleep} s would have saved {count - rollout.left(rollout.sleep):,}."
        ),
        severity=Severity.HIGH if count >= settings.high_connections else Severity.MEDIUM,
        confidence=sure,
        confidence_reason=reason,
        start=rollout.start,
        end=rollout.end,
        impact=impact(rollout),
        evidence=evidence(rollout, owners),
        saving=saving,
        alternatives=others,
        variant="refused" if rollout.count(REFUSED) else "not answered",
        why="The pod stopped accepting as soon as it was told to, and those who send to it heard of that later.",
        refuted_by="A pod that still accepted at that time, or a capture whose clock differs from the other sources'.",
        remedies=remedies(rollout),
        verify=verify(rollout),
        stories=STORIES,
    )


DETECTOR = Detector(
    id="terminating-endpoint-traffic",
    title="Pods that were told to stop are still sent new connections",
    needs_any=((TCP_CONNECTIONS, POD_LIFE, ADDRESS_OWNERS),),
    uses=(ENDPOINT_WRITES, HTTP_REQUESTS, DNS_ANSWERS),
    settings=Settings(),
    detect=detect,
    remedies=GENERAL,
    stories=STORIES,
)
