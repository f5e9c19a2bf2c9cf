"""The case slow-pod-start: a node's disk has used up its burst credits, and pods start there ten times as slowly."""

from __future__ import annotations

import random
from statistics import median

from audit import AuditLog, Call, ref
from cluster import Cluster, moment, node, rfc3339
from controlplane import ControlPlane
from klog import KubeletLog
from starts import Parts, begin
from story import HOME, Truth
from wire import SECOND, write

NAME = "slow-pod-start"
MINUTE = 60 * SECOND
START = moment("2026-11-28T08:00:00")
END = START + 40 * MINUTE
SLOW = 36
NUMBERS = (34, 35, SLOW)
PODS = 24


def usual(rng: random.Random) -> Parts:
    return Parts(
        queue=rng.randrange(300_000, 1_400_000),
        sync=rng.randrange(4000, 40_000),
        volume=rng.randrange(180_000, 420_000),
        sandbox=rng.randrange(300_000, 900_000),
        pull=rng.choice((0, 0, 3_400_000)),
        start=rng.randrange(150_000, 600_000),
        status=rng.randrange(10_000, 200_000),
    )


def starved(rng: random.Random, place: int) -> Parts:
    """Each write waits for the disk, and longer the more pods are there."""
    share = 0.4 + place / PODS
    return Parts(
        queue=rng.randrange(300_000, 1_400_000),
        sync=rng.randrange(4000, 40_000),
        volume=int(share * rng.randrange(3_000_000, 6_000_000)),
        sandbox=int(share * rng.randrange(14_000_000, 26_000_000)),
        pull=int(share * rng.choice((0, 0, 71_000_000))),
        start=int(share * rng.randrange(8_000_000, 15_000_000)),
        status=rng.randrange(10_000, 200_000),
    )


def blocked(at: int, seconds: int) -> str:
    text = f"INFO: task containerd:{at // SECOND % 9000 + 1000} blocked for more than {seconds} seconds."
    return f"{rfc3339(at).replace('Z', '+0000')} {node(SLOW).name} kernel: {text}"


def main() -> None:
    rng = random.Random(NAME)
    cluster = Cluster(rng)
    plane = ControlPlane(AuditLog(rng, omit_received=True), [], rng)
    logs = {number: KubeletLog(node(number), rng, 1300 + number) for number in NUMBERS}
    taken: dict[int, list[Parts]] = {number: [] for number in NUMBERS}
    for place in range(PODS):
        for number in NUMBERS:
            pod = cluster.pod("shop", "storefront" if place % 2 else "catalog", node(number))
            at = START + 2 * MINUTE + place * 85 * SECOND + rng.randrange(20 * SECOND)
            target = ref("pods", pod.namespace, pod.name, sub="binding")
            plane.log.add(at, Call(actor=plane.scheduler, verb="create", target=target, code=201, took=3000))
            parts = starved(rng, place) if number == SLOW else usual(rng)
            begin(logs[number], at, pod, parts)
            taken[number].append(parts)
    own = {
        number: sorted(one.own + one.sync - min(other.sync for other in parts) for one in parts)
        for number, parts in taken.items()
    }
    here, there = own[SLOW], [*own[34], *own[35]]
    truth = Truth(START, END)
    truth.findings[f"{NAME}:{node(SLOW).name.split('.')[0]}"] = {
        "pods": PODS,
        "median": median(here) / SECOND,
        "95th percentile": here[-1 - PODS * 5 // 100] / SECOND,
        "longest": here[-1] / SECOND,
        "median elsewhere": median(there) / SECOND,
        "pods elsewhere": len(there),
        "seconds above the fleet median": sum(max(one - median(there), 0) for one in here) / SECOND,
        "sandbox, median": median(one.sandbox for one in taken[SLOW]) / SECOND,
        "kernel lines of blocked tasks or disks": 3,
    }
    truth.findings[f"runtime-stall:{node(SLOW).name.split('.')[0]}"] = {"PLEG lines": 0, "hung tasks": 3}
    truth.counts = {"starts": PODS * len(NUMBERS), "audit records": len(plane.log.lines)}
    folder = HOME / NAME
    truth.write(folder)
    plane.log.save(folder)
    for number, log in logs.items():
        write(folder / f"kubelet-{number}.log", log.text())
    lines = [blocked(START + (14 + 9 * number) * MINUTE, 120 + number) for number in range(3)]
    write(folder / "kernel-36.log", "".join(line + "\n" for line in lines).encode())
