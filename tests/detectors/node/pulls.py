"""Rows of Events and kubelet lines about pulls of images, in the shapes of Kubernetes 1.36."""

from __future__ import annotations

from typing import Any

import polars as pl

from analyzer.frames import KLOG_LINES, KUBE_EVENTS, Table
from tests.build import rows

Row = dict[str, Any]
Given = dict[Table, pl.LazyFrame]

HUB = "registry.example.com"
AGENT = f"{HUB}/platform/agent:latest"

ERRORS = {
    "permission": "unexpected status from HEAD request to https://registry.example.com/v2/x: 403 Forbidden",
    "quota": "unexpected status code https://registry.example.com/v2/x: 429 Too Many Requests - toomanyrequests: slow",
    "missing": "failed to resolve reference: not found",
    "network": 'failed to do request: Head "https://registry.example.com/v2/x": dial tcp 192.0.2.1:443: i/o timeout',
}


def told(reason: str, message: str, pod: str, node: str, first: float, last: float, count: int = 1) -> Row:
    """One Event object about a pod, as its kubelet reports it."""
    namespace, _, name = pod.partition("/")
    return {
        "time": last,
        "first_time": first,
        "count": count,
        "reason": reason,
        "message": message,
        "kind": "Pod",
        "namespace": namespace,
        "name": name,
        "node": node,
        "event_uid": f"{reason}{message}{pod}{first}",
    }


def pulling(pod: str, node: str, first: float, last: float, count: int = 1, image: str = AGENT) -> Row:
    return told("Pulling", f'Pulling image "{image}"', pod, node, first, last, count)


def failed(kind: str, pod: str, node: str, first: float, last: float, count: int = 1, image: str = AGENT) -> Row:
    return told("Failed", f'Failed to pull image "{image}": {ERRORS[kind]}', pod, node, first, last, count)


def pulled(pod: str, node: str, time: float, image: str = AGENT, count: int = 1, first: float | None = None) -> Row:
    text = f'Successfully pulled image "{image}" in 1.5s (2.5s including waiting). Image size: 1000 bytes.'
    return told("Pulled", text, pod, node, time if first is None else first, time, count)


def crashing(pod: str, node: str, first: float, last: float, count: int) -> Row:
    text = f"Back-off restarting failed container agent in pod {pod.rsplit('/', 1)[-1]}_platform(uid)"
    return told("BackOff", text, pod, node, first, last, count)


def events(*data: Row, source: str = "events.json") -> Given:
    return {KUBE_EVENTS: rows(KUBE_EVENTS, *data, source=source)}


def agents(kind: str, count: int = 12, tries: int = 6, seconds: float = 660, start: float = 0) -> list[Row]:
    """A DaemonSet's pods, one a node: each tries so often in vain."""
    found = []
    for i in range(count):
        pod, node, first = f"platform/agent-{'bcdfghjklmnp'[i % 12] * 5}", f"n{i}.example", start + i
        found.append(pulling(pod, node, first, first + seconds, tries))
        found.append(failed(kind, pod, node, first + 1, first + seconds + 1, tries))
    return found


def victims(count: int = 3, start: float = 700, tries: int = 2) -> list[Row]:
    """Pods of other images that are turned away."""
    found = []
    for i in range(count):
        pod, image = f"shop/web{i}-6769fb7c7-2kdqz", f"{HUB}/shop/web{i}:1"
        found.append(pulling(pod, f"n{i}.example", start + i, start + i + 20, tries, image))
        found.append(failed("quota", pod, f"n{i}.example", start + i + 1, start + i + 21, tries, image))
    return found


def kubelet_failed(time: float, pod: str, node: str, kind: str = "quota", image: str = AGENT) -> list[Row]:
    """The two lines of a kubelet that count: the service's failure, and the pod's worker's."""
    head = "PullImage from image service failed"
    common = {"component": "kubelet", "host": node}
    error = "rpc error: code = Unknown desc = " + ERRORS[kind]
    sync = f'failed to "StartContainer" for "agent" with ErrImagePull: "{ERRORS[kind]}"'
    quoted = error.replace('"', '\\"')
    return [
        common | {"time": time, "message": head, "error": error, "text": f'"{head}" err="{quoted}" image="{image}"'},
        common
        | {
            "time": time + 0.0004,
            "message": "Error syncing pod, skipping",
            "error": sync,
            "pod": pod,
            "text": '"Error syncing pod, skipping" err="with ErrImagePull" pod="' + pod + '"',
        },
    ]


def kubelet(*lines: Row, source: str = "kubelet.log") -> Given:
    return {KLOG_LINES: rows(KLOG_LINES, *lines, source=source)}
