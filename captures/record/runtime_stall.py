"""The case runtime-stall: a container's cgroup is frozen, nobody can stop it, and the runtime waits for it."""

from __future__ import annotations

import random

from cluster import Cluster, Pod, moment, node
from klog import KubeletLog
from nodelogs import NodeJournal, container_id, killing
from story import HOME, Truth
from wire import SECOND, write

NAME = "runtime-stall"
START = moment("2026-11-26T14:00:00")
MINUTE = 60 * SECOND
END = START + 50 * MINUTE
FROZEN = START + 8 * MINUTE
THAWED = START + 34 * MINUTE
BUSY = "rpc error: code = DeadlineExceeded desc = context deadline exceeded"
TRACE = (
    "Call Trace:",
    " __schedule+0x2d0/0x870",
    " schedule+0x46/0xb0",
    " __refrigerator+0x55/0x190",
    " get_signal+0x7d4/0x8f0",
)


def took(seconds: float) -> str:
    """As Go prints a duration."""
    return f"{int(seconds // 60)}m{seconds % 60:.9f}".rstrip("0").rstrip(".") + "s"


def tasks(journal: NodeJournal) -> int:
    """The kernel tells of tasks that hang, of each twice; how many there are."""
    hung = set()
    for number in range(4):
        at = FROZEN + 130 * SECOND + number * 123 * SECOND
        task = f"runc:[2:INIT]:{20417 + number % 2}"
        journal.kernel(at, f"INFO: task {task} blocked for more than 120 seconds.", *TRACE)
        hung.add(task)
    return len(hung)


def deadlines(log: KubeletLog, journal: NodeJournal, rng: random.Random, pods: list[Pod]) -> tuple[int, int, int]:
    """Containers that do not stop, sandboxes that do not start, cgroups that stay; how many of each."""
    stops = sandboxes = cgroups = 0
    for number, pod in enumerate(pods[:2]):
        container = container_id(log)
        asked = FROZEN + (20 + 50 * number) * SECOND
        log.say(asked, "I", "kubelet.go:2740", f'"SyncLoop DELETE" source="api" pods=["{pod.key}"]')
        killing(log, asked + 3000, pod, container, 30)
        for again in range(4):
            at = asked + (again + 1) * 150 * SECOND + rng.randrange(SECOND)
            failed = f'"StopContainer from runtime service failed" err="{BUSY}" containerID="{container}"'
            log.say(at, "E", "remote_runtime.go:345", failed)
            journal.containerd(at - 700, "error", f'StopContainer for "{container}" failed', BUSY)
            whom = f'pod="{pod.key}" podUID="{pod.uid}" containerName="{pod.owner}"'
            ended = f'"Container termination failed with gracePeriod" err="{BUSY}" {whom} '
            log.say(
                at + 500,
                "E",
                "kuberuntime_container.go:931",
                f'{ended}containerID="containerd://{container}" gracePeriod=30',
            )
            stops += 1
    for number in range(3):
        at = FROZEN + (300 + 250 * number) * SECOND
        log.say(at, "E", "remote_runtime.go:193", f'"RunPodSandbox from runtime service failed" err="{BUSY}"')
        sandboxes += 1
    for number in range(2):
        path = f'["kubepods","burstable","pod{pods[0].uid}"]'
        text = (
            f'"Failed to kill all the processes attached to cgroup" cgroupName={path} err="os: process not initialized"'
        )
        log.say(FROZEN + (700 + 60 * number) * SECOND, "I", "pod_container_manager_linux.go:196", text)
        cgroups += 1
    return stops, sandboxes, cgroups


def unhealthy(log: KubeletLog, name: str) -> tuple[int, float, float]:
    """The PLEG is not heard of: lines that say so, the longest time that they tell, seconds until the node is ready."""
    lines, longest, active = 0, 0.0, FROZEN + 2 * SECOND
    for at in range(active + 180 * SECOND + 400_000, THAWED, 5 * SECOND):
        ago = (at - active) / SECOND
        reason = f"PLEG is not healthy: pleg was last seen active {took(ago)} ago; threshold is 3m0s"
        log.say(at, "E", "kubelet.go:2661", f'"Skipping pod synchronization" err="{reason}"')
        lines, longest = lines + 1, max(longest, ago)
    lost = active + 186 * SECOND
    reason = '{"type":"Ready","status":"False","reason":"KubeletNotReady","message":"PLEG is not healthy"}'
    log.say(lost, "I", "setters.go:618", f'"Node became not ready" node="{name}" condition={reason}')
    again = THAWED + 4 * SECOND
    log.say(again, "I", "kubelet_node_status.go:736", '"Fast updating node status as it just became ready"')
    return lines, longest, (again - lost) / SECOND


def main() -> None:
    rng = random.Random(NAME)
    here, cluster = node(37), Cluster(rng)
    log, journal = KubeletLog(here, rng, 1402), NodeJournal(here)
    pods = cluster.pods(["shop/storefront", "payments/ledger", "search/index", "logistics/stock"], here)
    log.murmur(pods, START, FROZEN)
    log.murmur(pods, THAWED + 2 * MINUTE, END)
    hung = tasks(journal)
    stops, sandboxes, cgroups = deadlines(log, journal, rng, pods)
    lines, longest, away = unhealthy(log, here.name)

    truth = Truth(START, END)
    truth.findings[f"{NAME}:{here.name.split('.', 1)[0]}"] = {
        "PLEG lines": lines,
        "longest time since last active": longest,
        "seconds stalled": longest,
        "stop deadlines": stops,
        "sandbox deadlines": sandboxes,
        "hung tasks": hung,
        "cgroups that were not removed": cgroups,
        "seconds not ready": away,
    }
    truth.counts = {"lines of the kubelet": len(log.lines), "lines of kernel and containerd": len(journal.lines)}
    folder = HOME / NAME
    truth.write(folder)
    write(folder / "kubelet-37.log", log.text())
    write(folder / "journal-37.log", journal.text())
