"""kube-apiserver rejects requests with 429 because one sender asks for too much.

## What it finds
Times in which kube-apiserver answered 429 by its own limits (max requests in flight, or priority and fairness): at
least ten in a minute, or a hundredth of the requests and ten in all. Such answers are given before authorization, so
their events have no `authorization.k8s.io/decision`. One finding names each user agent family that was throttled and
carries a fifth of the load; load is requests times their mean latency when served, less what the agent always sends,
so that neither a victim that retries nor a controller that is always busy is accused. Beside it stand the victims, by
agent, verb, resource and priority level (as logged, else as the bootstrap configuration has it), the retries, the
heartbeats and leader elections that were hit with their longest time without a renewal, and the storm replayed without
each agent. Severity is high where heartbeats of nodes, leases or the control plane were rejected too, or half of all
requests; critical where those are a tenth of all rejections or a lease ran out; low where nobody but the sender was
hit, with less than a tenth of all requests; else medium. Confidence is high where the sender carries half of the load,
medium from a fifth on, low below; at most medium where the log holds no decisions, and low where it holds no reads.

## Why it matters
A rejected client waits at least `Retry-After` (1 s) and asks again, client-go up to ten times; heartbeats and leader
election wait as well, so nodes turn NotReady and controllers lose their lease while the server is merely full.

## What does not count
Evictions that a PodDisruptionBudget refuses (429 with a decision, or "Cannot evict pod"), and limits of admission
plugins (likewise): a remark counts them. A server that shuts down answers 429 outside the audit log; where its message
is in the log all the same, a remark counts it. Clients that throttle themselves never reach the server. A handful of
rejections below the threshold is a remark. A log without get, list and watch (a policy or a cloud's table of writes
only), or without answers, cannot show a storm: then it is not observable, and never quiet.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.detector import Detector, Remark
from analyzer.detectors.apiserver.apiserver_throttle_storm.judge import remarks, unsaid
from analyzer.detectors.apiserver.apiserver_throttle_storm.load import by_agent, largest, quiet_rates, storms
from analyzer.detectors.apiserver.apiserver_throttle_storm.observable import sight
from analyzer.detectors.apiserver.apiserver_throttle_storm.remedy import GENERAL
from analyzer.detectors.apiserver.apiserver_throttle_storm.storm import findings, known
from analyzer.detectors.apiserver.apiserver_throttle_storm.thresholds import Settings
from analyzer.detectors.apiserver.apiserver_throttle_storm.timeline import timeline
from analyzer.facts.contract import Frames
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import AUDIT_ANNOTATIONS, AUDIT_EVENTS, KLOG_LINES
from analyzer.model import Finding


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    seen = sight(frames)
    log = timeline(frames[AUDIT_REQUESTS])
    requests = log.rows.lazy()
    kept = ("time", "source", "number", "agent", "user", "verb", "resource", "namespace", "name")
    rejected = requests.filter("throttled").select(kept).sort(kept[:3]).collect()
    windows = storms(rejected, requests, settings.per_minute, settings.share)
    if windows:
        told = known(frames, seen, settings)
        quiet = quiet_rates(requests, log.outside(windows), windows, settings.quiet_seconds)
        for window in largest(windows, settings.most_storms):
            near = log.near(window)
            yield from findings(near, window, by_agent(near, window, quiet), told)
    below = rejected.height - sum(window.rejected.height for window in windows)
    yield from unsaid(windows, settings.most_storms)
    yield from remarks(frames[AUDIT_REQUESTS], below, "" if windows else seen.limits)


DETECTOR = Detector(
    id="apiserver-throttle-storm",
    title="kube-apiserver rejects requests because one sender asks for too much",
    needs_any=((AUDIT_REQUESTS,),),
    uses=(AUDIT_EVENTS, AUDIT_ANNOTATIONS, KLOG_LINES),
    settings=Settings(),
    detect=detect,
    remedies=GENERAL,
    stories=(37,),
)
