"""What a node's journal holds beside its kubelet: the kernel, containerd, and Events that were saved."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from cluster import Node, Pod, rfc3339
from klog import KubeletLog

Json = dict[str, Any]


def container_id(log: KubeletLog) -> str:
    return f"{log.rng.getrandbits(256):064x}"


@dataclass
class NodeJournal:
    """`journalctl -o short-iso-precise` of the kernel and of containerd on one node."""

    node: Node
    lines: list[tuple[int, int, str]] = field(default_factory=list)

    def _say(self, at: int, writer: str, text: str) -> None:
        host = self.node.name.split(".", 1)[0]
        line = f"{rfc3339(at).replace('Z', '+0000')} {host} {writer}: {text}\n"
        self.lines.append((at, len(self.lines), line))

    def kernel(self, at: int, *texts: str) -> None:
        for number, text in enumerate(texts):
            self._say(at + number * 11, "kernel", text)

    def containerd(self, at: int, level: str, message: str, error: str = "") -> None:
        quoted = json.dumps(message)
        more = f" error={json.dumps(error)}" if error else ""
        self._say(at, "containerd[812]", f'time="{rfc3339(at, 9)}" level={level} msg={quoted}{more}')

    def text(self) -> bytes:
        return "".join(line for _, _, line in sorted(self.lines)).encode()


def killing(log: KubeletLog, at: int, pod: Pod, container: str, grace: int) -> None:
    whom = f'pod="{pod.key}" podUID="{pod.uid}" containerName="{pod.owner}" containerID="containerd://{container}"'
    log.say(
        at, "I", "kuberuntime_container.go:915", f'"Killing container with a grace period" {whom} gracePeriod={grace}'
    )


def pleg(log: KubeletLog, at: int, pod: Pod, container: str, what: str) -> None:
    event = f'{{"ID":"{pod.uid}","Type":"{what}","Data":"{container}"}}'
    log.say(at, "I", "kubelet.go:2752", f'"SyncLoop (PLEG): event for pod" pod="{pod.key}" event={event}')


def finished(log: KubeletLog, at: int, pod: Pod, container: str, code: int) -> None:
    text = f'"Generic (PLEG): container finished" podID="{pod.uid}" containerID="{container}" exitCode={code}'
    log.say(at, "I", "generic.go:413", text)
    pleg(log, at + 30_000, pod, container, "ContainerDied")


def kubelet_start(log: KubeletLog, at: int, pid: int) -> None:
    """A new process: version, PLEG that has not run yet, main loop."""
    log.pid = pid
    log.say(at, "I", "server.go:525", '"Kubelet version" kubeletVersion="v1.36.2"')
    log.say(at + 900_000, "I", "server.go:1291", '"Started kubelet"')
    log.say(at + 950_000, "I", "kubelet.go:2637", '"Starting kubelet main sync loop"')
    young = "[container runtime status check may not have completed yet, "
    young += "PLEG is not healthy: pleg has yet to be successful]"
    log.say(at + 951_000, "E", "kubelet.go:2661", f'"Skipping pod synchronization" err="{young}"')


def event(at: int, reason: str, message: str, about: Json, *, count: int = 1, first: int | None = None) -> Json:
    """An Event object as `kubectl get events -o json` prints it."""
    number = f"{at:x}{count:x}"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{about['name']}.{number}",
            "namespace": about.get("namespace", "default"),
            "uid": number,
        },
        "involvedObject": about,
        "reason": reason,
        "message": message,
        "type": "Warning" if reason not in {"Killing", "NodeReady"} else "Normal",
        "count": count,
        "firstTimestamp": rfc3339(first or at, 0),
        "lastTimestamp": rfc3339(at, 0),
        "source": {"component": "kubelet"},
    }


def about(pod: Pod) -> Json:
    return {"kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid}
