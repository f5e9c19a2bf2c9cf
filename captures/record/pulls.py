"""Pulls of images: what a kubelet tells of them in its log and in Events, and when it tries again."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cluster import Node, Pod, node
from klog import KubeletLog
from wire import SECOND
from workload import Events

FIRST, MOST = 10 * SECOND, 300 * SECOND
"""The kubelet's pauses between pulls that fail, and between starts of a container that crashes."""

DENIED = (
    'failed to pull and unpack image "{0}": failed to resolve reference "{0}": unexpected status from HEAD request to '
    "https://{1}: 403 Forbidden"
)
QUOTA = (
    'failed to pull and unpack image "{0}": failed to copy: httpReadSeeker: failed open: unexpected status code '
    "https://{1}: 429 Too Many Requests - Server message: toomanyrequests: quota of 203.0.113.7 is used up"
)
MISSING = 'rpc error: code = NotFound desc = failed to pull and unpack image "{0}": failed to resolve reference "{0}": '
MISSING += "{0}: not found"


def said(text: str, image: str) -> str:
    """What the runtime says of a pull that failed."""
    host, _, rest = image.partition("/")
    path, _, tag = rest.rpartition(":")
    return text.format(image, f"{host}/v2/{path}/manifests/{tag}")


@dataclass
class Pulls:
    """What is told of pulls: Events of all nodes, the logs of some kubelets."""

    rng: random.Random
    events: Events
    journals: dict[str, KubeletLog] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    """Of each pod."""
    failed: dict[str, dict[str, int]] = field(default_factory=dict)
    """Of each pod, by what they failed of."""

    def journal(self, number: int) -> KubeletLog:
        one = node(number)
        return self.journals.setdefault(one.name, KubeletLog(one, self.rng, 1400 + number))

    def event(self, at: int, pod: Pod, reason: str, message: str) -> None:
        """As the kubelet of the pod's node reports it."""
        self.events.tell(at, "Pod", pod.namespace, pod.name, reason, message, "kubelet")
        item = self.events.items[("Pod", pod.namespace, pod.name, reason, message)]
        item["source"]["host"] = item["reportingInstance"] = pod.node.name

    def attempt(self, at: int) -> Callable[[Pod], None]:
        def told(pod: Pod) -> None:
            self.attempts[pod.key] = self.attempts.get(pod.key, 0) + 1
            self.event(at, pod, "Pulling", f'Pulling image "{pod.image}"')

        return told

    def pulled(self, at: int, pod: Pod, took: int = 2 * SECOND, size: int = 81_200_344) -> int:
        """A pull that succeeds; returns when."""
        self.attempt(at)(pod)
        seconds = f"{took / SECOND:.3f}s"
        text = (
            f'Successfully pulled image "{pod.image}" in {seconds} ({seconds} including waiting). Image size: {size} '
        )
        self.event(at + took, pod, "Pulled", text + "bytes.")
        return at + took

    def present(self, at: int, pod: Pod) -> None:
        text = f'Container image "{pod.image}" already present on machine and can be accessed by the pod'
        self.event(at, pod, "Pulled", text)

    def refused(self, at: int, pod: Pod, text: str, kind: str) -> None:
        """A pull that fails: four Events, and three lines of the kubelet."""
        self.attempt(at)(pod)
        mine = self.failed.setdefault(pod.key, {})
        mine[kind] = mine.get(kind, 0) + 1
        error, done = said(text, pod.image), at + 400_000
        self.event(done, pod, "Failed", f'Failed to pull image "{pod.image}": {error}')
        self.event(done, pod, "Failed", "Error: ErrImagePull")
        self.event(done + SECOND, pod, "BackOff", f'Back-off pulling image "{pod.image}"')
        self.event(done + SECOND, pod, "Failed", "Error: ImagePullBackOff")
        if (log := self.journals.get(pod.node.name)) is None:
            return
        once = error.replace('"', '\\"')
        log.say(
            done,
            "E",
            "remote_image.go:250",
            f'"PullImage from image service failed" err="rpc error: code = Unknown desc = {once}" image="{pod.image}"',
        )
        log.say(done + 60, "E", "kuberuntime_image.go:43", f'"Failed to pull image" err="{once}" image="{pod.image}"')
        twice = once.replace('\\"', '\\\\\\"')
        start = f'failed to \\"StartContainer\\" for \\"{pod.owner}\\" with ErrImagePull: \\"{twice}\\"'
        whom = f'pod="{pod.key}" podUID="{pod.uid}"'
        log.say(done + 400, "E", "pod_workers.go:1324", f'"Error syncing pod, skipping" err="{start}" {whom}')

    def crashes(self, at: int, pod: Pod) -> None:
        text = f"Back-off restarting failed container {pod.owner} in pod {pod.name}_{pod.namespace}({pod.uid})"
        self.event(at, pod, "BackOff", text)


def tried(
    pods: Sequence[tuple[int, Pod]], end: int, rng: random.Random, outcome: Callable[[int, Pod], bool]
) -> list[int]:
    """All pods pull from their times on, and again after each failure, until `end`; `outcome` says whether it
    succeeded. Returns when each pull came."""
    queue = [(at, place, FIRST, pod) for place, (at, pod) in enumerate(pods)]
    heapq.heapify(queue)
    times = []
    while queue:
        at, place, pause, pod = heapq.heappop(queue)
        if at >= end:
            continue
        times.append(at)
        if not outcome(at, pod):
            after = at + pause + SECOND + rng.randrange(3 * SECOND)
            heapq.heappush(queue, (after, place, min(2 * pause, MOST), pod))
    return times


def on(numbers: Sequence[int]) -> list[Node]:
    return [node(number) for number in numbers]
