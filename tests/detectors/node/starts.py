"""Lines of kubelets about starts of pods, in the forms of every era."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl

from analyzer.frames import KLOG_LINES, Table
from tests.build import T0, rows

Row = dict[str, Any]
Given = dict[Table, pl.LazyFrame]

ZERO = "0001-01-01 00:00:00 +0000 UTC"


def uid(number: int) -> str:
    return f"00621f04-c657-4a61-ac23-{number:012d}"


def line(time: float, host: str | None, message: str, text: str, pod: str | None = None) -> Row:
    return {"time": time, "host": host, "component": "kubelet", "message": message, "text": text, "pod": pod}


def added(time: float, pod: str, host: str = "n1", number: int = 1, era: str = "new") -> Row:
    if era == "new":
        return line(time, host, "SyncLoop ADD", f'"SyncLoop ADD" source="api" pods=["{pod}"]')
    namespace, _, name = pod.partition("/")
    text = f'SyncLoop (ADD, "api"): "{name}_{namespace}({uid(number)})"'
    return line(time, host, text, text, pod)


def container(
    time: float, pod: str, number: int, host: str = "n1", what: str = "ContainerStarted", era: str = "new"
) -> Row:
    if era == "new":
        message = "SyncLoop (PLEG): event for pod"
        text = f'"{message}" pod="{pod}" event={{"ID":"{uid(number)}","Type":"{what}","Data":"{time}"}}'
        return line(time, host, message, text, pod)
    namespace, _, name = pod.partition("/")
    text = f'SyncLoop (PLEG): "{name}_{namespace}({uid(number)})", event: &pleg.PodLifecycleEvent{{ID:"{uid(number)}", '
    text += f'Type:"{what}", Data:"{time}"}}'
    return line(time, host, text, text, pod)


def mounted(time: float, pod: str, number: int, host: str = "n1", plugin: str = "projected", era: str = "new") -> Row:
    mark = '\\"' if era == "new" else '"'
    unique = f"kubernetes.io/{plugin}/{uid(number)}-x"
    text = f"MountVolume.SetUp succeeded for volume {mark}x{mark} (UniqueName: {mark}{unique}{mark}) "
    text += f"pod {mark}{pod.rsplit('/', 1)[-1]}{mark} (UID: {mark}{uid(number)}{mark}) "
    return line(time, host, text, f'"{text}" pod="{pod}"' if era == "new" else text, pod)


def clock(seconds: float) -> str:
    """A moment as Go prints it, with its monotonic clock."""
    whole, part = divmod(round((T0.timestamp() + seconds) * 1e9), 10**9)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%d %H:%M:%S}.{part:09d} +0000 UTC m=+1.5"


def account(
    time: float,
    pod: str,
    whole: float,
    *,
    pull: float = 0,
    init: float = 0,
    status: float = 0.01,
    host: str = "n1",
    era: str = "1.36",
) -> Row:
    """`Observed pod startup duration`, written at `time`: when the kubelet's watch brought the status back."""
    head = "Observed pod startup duration"
    ran = f'observedRunningTime="{clock(time - status)}" watchObservedRunningTime="{clock(time)}"'
    created = f'podCreationTimestamp="{clock(time - whole)[:19]} +0000 UTC"'
    if era == "1.36":
        values = f'podStartSLOduration={whole - pull - init} podStartE2EDuration="{whole}s" '
        values += f'totalImagesPullingTime="{pull}s" totalInitContainerRuntime="{init}s" '
        values += f"isStatefulPod=false {created} {ran}"
    else:
        begun = clock(time - status - 1 - pull) if pull else ZERO
        ended = clock(time - status - 1) if pull else ZERO
        e2e = f' podStartE2EDuration="{whole}s"' if era == "1.29" else ""
        values = f"podStartSLOduration={whole - pull}{e2e} {created} "
        values += f'firstStartedPulling="{begun}" lastFinishedPulling="{ended}" {ran}'
    return line(time, host, head, f'"{head}" pod="{pod}" {values}', pod)


def whole(
    begin: float,
    number: int,
    *,
    host: str = "n1",
    volume: float = 0.25,
    attach: float = 0,
    sandbox: float = 0.5,
    pull: float = 0,
    init: float = 0,
    start: float = 0.25,
    status: float = 0,
    queue: float = 1,
    era: str = "1.36",
) -> list[Row]:
    """All lines of one start; the kubelet was given the pod at `begin`."""
    pod = f"shop/web-6769fb7c7-{number:05d}"
    at = begin + volume
    found = [added(begin, pod, host), mounted(at, pod, number, host)]
    if attach:
        at += attach
        found.append(mounted(at, pod, number, host, "csi"))
    at += sandbox
    found.append(container(at, pod, number, host))
    if init:
        found += [container(at, pod, number, host), container(at + init, pod, number, host, "ContainerDied")]
    ran = at + pull + init + start
    found.append(container(ran, pod, number, host))
    total = ran + status - begin + queue
    found.append(account(ran + status, pod, total, pull=pull, init=init, status=status, host=host, era=era))
    return found


def fleet(slow: float, count: int = 10, *, usual: float = 0.5, host: str = "n1", **more: Any) -> list[Row]:
    """So many starts on one node, whose sandboxes take `slow` seconds, and as many on another."""
    found = []
    for i in range(count):
        found += whole(i * 60, i, host=host, sandbox=slow, **more)
        found += whole(i * 60, 100 + i, host="n2", sandbox=usual)
    return found


def given(lines: list[Row], source: str = "kubelet.log") -> Given:
    return {KLOG_LINES: rows(KLOG_LINES, *lines, source=source)}
