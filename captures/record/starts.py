"""Starts of pods as a kubelet of 1.36 logs them, part by part."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from cluster import Pod, rfc3339
from klog import KubeletLog
from wire import SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Microseconds of each part."""

    queue: int = 800_000
    sync: int = 12_000
    volume: int = 250_000
    attach: int = 0
    sandbox: int = 400_000
    pull: int = 0
    init: int = 0
    start: int = 300_000
    status: int = 60_000

    @property
    def own(self) -> int:
        """What the node itself takes, but for the binding's way to it."""
        return self.volume + self.sandbox + self.start


def _mounted(log: KubeletLog, at: int, pod: Pod, plugin: str, name: str) -> None:
    unique = f"kubernetes.io/{plugin}/{pod.uid}-{name}"
    text = f'"MountVolume.SetUp succeeded for volume \\"{name}\\" (UniqueName: \\"{unique}\\") pod \\"{pod.name}\\" '
    log.say(at, "I", "operation_generator.go:617", text + f'(UID: \\"{pod.uid}\\") " pod="{pod.key}"')


def _pleg(log: KubeletLog, at: int, pod: Pod, what: str) -> None:
    event = f'{{"ID":"{pod.uid}","Type":"{what}","Data":"{log.rng.getrandbits(256):064x}"}}'
    log.say(at, "I", "kubelet.go:2752", f'"SyncLoop (PLEG): event for pod" pod="{pod.key}" event={event}')


def begin(log: KubeletLog, bound: int, pod: Pod, parts: Parts) -> int:
    """One start, from the binding to the kubelet's own account; returns when its containers ran."""
    at = given = bound + parts.sync
    log.say(at, "I", "kubelet.go:2724", f'"SyncLoop ADD" source="api" pods=["{pod.key}"]')
    at += parts.volume
    _mounted(log, at, pod, "projected", f"kube-api-access-{pod.name[-5:]}")
    if parts.attach:
        at += parts.attach
        _mounted(log, at, pod, "csi/ebs.csi.aws.com^vol-0a1b2c3d4e5f60718", "data")
    text = f'"No sandbox for pod can be found. Need to start a new one" pod="{pod.key}"'
    log.say(at + 100, "I", "util.go:34", text)
    at += parts.sandbox
    _pleg(log, at, pod, "ContainerStarted")
    if parts.init:
        _pleg(log, at + 200_000, pod, "ContainerStarted")
        _pleg(log, at + 200_000 + parts.init, pod, "ContainerDied")
    ran = at + parts.pull + parts.init + parts.start
    _pleg(log, ran - 20_000, pod, "ContainerStarted")
    told = ran + parts.status
    whole = told - (given - parts.sync - parts.queue)
    created = datetime.fromtimestamp((told - whole) // SECOND, UTC)
    slo = whole - parts.pull - parts.init
    values = (
        f'podStartSLOduration={slo / SECOND:.6f} podStartE2EDuration="{whole / SECOND:.6f}s"',
        f'totalImagesPullingTime="{parts.pull / SECOND:.6f}s" totalInitContainerRuntime="{parts.init / SECOND:.6f}s"',
        f'isStatefulPod=false podCreationTimestamp="{created:%Y-%m-%d %H:%M:%S} +0000 UTC"',
        f"imagePullSessionsCount={int(parts.pull > 0)} imagePullSessionsStartsCount={int(parts.pull > 0)}",
        f'observedRunningTime="{rfc3339(ran)}" watchObservedRunningTime="{rfc3339(told)}"',
    )
    account = f'"Observed pod startup duration" pod="{pod.key}" ' + " ".join(values)
    log.say(told, "I", "pod_startup_latency_tracker.go:148", account)
    return ran
