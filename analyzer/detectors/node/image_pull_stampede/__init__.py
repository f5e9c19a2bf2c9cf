"""Many nodes pull images again and again, until the registry turns everybody away.

## What it finds
One finding for each registry and stretch of time, as the fleet that pulls from behind one NAT is one client to it. A
pull counts where its pod had pulled the image before, or failed to. It fires where the registry says that it is too
much (`toomanyrequests`, 429, quota) to three pods; or where fifty pulls of ten pods are repeated over ten minutes, and
come five times as often as pulls do outside; or where one node repeats three a minute for ten minutes. What a pull
failed of is read from its text: permission, quota, missing, network, the registry itself, a full disk, the kubelet's
own limit. The image that was pulled most until the first quota began it, for what its pulls failed of, or because its
containers crash and `imagePullPolicy` is Always; images that were in no trouble before are innocent. Severity is
critical where fifty innocent pods or one of kube-system is turned away, high where any is, medium with a quota or a
cause, low where an image is merely missing. Confidence is high where the chain from one image's trouble to others'
quota is met, or a capture shows the connections; low where attempts are only counted.

## Why it matters
The kubelet tries a container a dozen times an hour for ever. On hundreds of nodes that is more than a registry allows
an address, and then no node gets any image: new nodes, new releases and pods that are moved stay without.

## What does not count
A scale-up, a release, images that were collected as garbage and are pulled anew: each pod pulls once, however many do.
Containers that crash with an image that is there (`already present on machine`). A few pods with a mistyped image.
Counts are lower bounds: the kubelet's Events of a pod are limited to 25 at once and one in five minutes, its log tells
only of failures.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.detector import Detector, Remark, setting, thresholds
from analyzer.detectors.node.image_pull_stampede.causes import Cause, cause_of
from analyzer.detectors.node.image_pull_stampede.episodes import Episode, Limits, episodes, passes
from analyzer.detectors.node.image_pull_stampede.evidence import confidence, impact, severity
from analyzer.detectors.node.image_pull_stampede.remedy import REMEDIES, remedies, verify
from analyzer.detectors.node.image_pull_stampede.tables import evidence
from analyzer.detectors.node.image_pull_stampede.theory import savings
from analyzer.detectors.node.image_pull_stampede.tries import troubled
from analyzer.facts.audit_windows import counted, short
from analyzer.facts.changes import CHANGES
from analyzer.facts.contract import Frames
from analyzer.facts.image_names import DOCKER_HUB
from analyzer.facts.image_pulls import IMAGE_PULLS
from analyzer.frames import TLS_CLIENT_HELLOS
from analyzer.model import Finding

DEFAULT = "engineering default"


@thresholds
class Settings:
    min_repeats: int = setting(50, "Repeated pulls from which it is one.", unit="pulls", minimum=1, source=DEFAULT)
    min_pods: int = setting(10, "Pods that must repeat them.", unit="pods", minimum=1, source=DEFAULT)
    times: float = setting(5, "How many times as often as outside they must come.", minimum=1, source=DEFAULT)
    sustained_seconds: float = setting(600, "How long they must last.", unit="seconds", minimum=1, source=DEFAULT)
    node_per_minute: float = setting(3, "Repeats of one node alone.", unit="pulls/min", minimum=0.1, source=DEFAULT)
    quota_pods: int = setting(3, "Pods turned away by a quota.", unit="pods", minimum=1, source=DEFAULT)
    hub_pulls: int = setting(
        100, "Pulls that Docker Hub allows an address.", unit="pulls", minimum=1, source="Docker Hub usage limits, 2024"
    )
    hub_seconds: float = setting(
        21600, "Time for which it allows them.", unit="seconds", minimum=1, source="Docker Hub usage limits, 2024"
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    tries, failures = troubled(frames[IMAGE_PULLS])
    limits = Limits(
        repeats=settings.min_repeats,
        pods=settings.min_pods,
        times=settings.times,
        sustained=settings.sustained_seconds,
        per_node=settings.node_per_minute,
        quota_pods=settings.quota_pods,
    )
    for episode in episodes(tries, failures, limits):
        if passes(episode, limits):
            yield _finding(episode, cause_of(episode, frames), frames, settings)


def _finding(episode: Episode, cause: Cause, frames: Frames, settings: Settings) -> Finding:
    sure, reason = confidence(episode, cause)
    main, mirror = savings(episode)
    return Finding(
        detector="image-pull-stampede",
        subject=short(episode.registry),
        summary=_summary(episode, cause),
        severity=severity(episode, cause),
        confidence=sure,
        confidence_reason=reason,
        start=episode.start,
        end=episode.end,
        impact=impact(episode, cause, frames[IMAGE_PULLS]),
        evidence=evidence(episode, cause),
        saving=main,
        alternatives=(mirror,),
        variant=cause.variant,
        why=_why(episode, cause, settings),
        refuted_by="A rollout or a scale-up in which every pod pulls once, or a registry that turned nobody away "
        "and was asked no more than usual.",
        remedies=remedies(cause),
        verify=verify(episode, cause),
        stories=(6,),
    )


def _summary(episode: Episode, cause: Cause) -> str:
    who = counted(episode.pods, "pod") if episode.pods else counted(episode.tries["node"].n_unique(), "node")
    nodes = episode.tries["node"].drop_nulls().n_unique()
    where = f" on {counted(nodes, 'node')}" if nodes and episode.pods else ""
    text = f"{who}{where} tried {episode.attempts:,} pulls at {short(episode.registry)}, most of {short(cause.image)}"
    text += f" ({'denied' if cause.why == 'permission' else cause.why})" if cause.why else ""
    if cause.quota is None:
        return f"{text}."
    away = f"{text}; its quota turned {round(float(episode.quota['weight'].sum())):,} away"
    if not cause.innocent.height:
        return f"{away}."
    images, pods = cause.innocent["image"].n_unique(), cause.innocent["who"].n_unique()
    return f"{away}, among them those of {counted(pods, 'innocent pod')} with {counted(images, 'other image')}."


def _why(episode: Episode, cause: Cause, settings: Settings) -> str:
    again = "Every restart and every failed pull asks the registry again, on every node at once."
    if cause.quota is not None:
        again += " Nodes behind one NAT address share one quota, so whoever pulls next is turned away."
    if episode.registry == DOCKER_HUB and cause.quota is not None:
        again += (
            f" Docker Hub allows an address without credentials {settings.hub_pulls:,} pulls in "
            f"{settings.hub_seconds / 3600:g} h (a setting: the limit has changed several times)."
        )
    return again


DETECTOR = Detector(
    id="image-pull-stampede",
    title="Nodes pull images until the registry turns everybody away",
    needs_any=((IMAGE_PULLS,),),
    uses=(CHANGES, TLS_CLIENT_HELLOS),
    settings=Settings(),
    detect=detect,
    remedies=REMEDIES,
    stories=(6,),
)
