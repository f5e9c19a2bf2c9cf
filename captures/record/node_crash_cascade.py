"""The case node-crash-cascade: the heaviest pods of a service are on one node, which fails; they go to the next one
together, and that fails too."""

from __future__ import annotations

import random

from audit import AuditLog
from cluster import Cluster, Node, Pod, moment, node
from controlplane import ControlPlane
from replicas import Side
from story import HOME, Truth
from wire import SECOND, write
from workload import Events

NAME = "node-crash-cascade"
START = moment("2026-11-25T15:00:00")
MINUTE = 60 * SECOND
END = START + 36 * MINUTE
FIRST, SECOND_ONE = START + 10 * MINUTE + 7 * SECOND, START + 24 * MINUTE + 31 * SECOND
NOTICED, TOLERATED = 46 * SECOND, 300 * SECOND
"""What the node controller waits, and what pods tolerate of a node that is not ready (300 s by default)."""
BOOTED = 9 * MINUTE
SERVICES = ("cart", "catalog", "stock")


def fails(side: Side, at: int, failed: Node, pods: list[Pod], to: Node, cluster: Cluster) -> list[Pod]:
    """A node falls silent; the controller says so, and after five minutes the pods are made anew on another one."""
    side.not_ready(at + NOTICED, failed)
    again = []
    for number, pod in enumerate(pods):
        when = at + NOTICED + TOLERATED + number * 90_000
        side.delete(when, pod, side.evictor)
        new = cluster.pod(pod.namespace, pod.owner, to)
        side.runs(when + 400_000, new, 40 * SECOND)
        again.append(new)
    back = at + BOOTED
    text = f"Node {failed.name} has been rebooted, boot id: {side.rng.getrandbits(128):032x}"
    side.events.tell(back, "Node", "", failed.name, "Rebooted", text, "kubelet")
    ready = f"Node {failed.name} status is now: NodeReady"
    side.events.tell(back + 10 * SECOND, "Node", "", failed.name, "NodeReady", ready, "kubelet")
    return again


def main() -> None:
    rng = random.Random(NAME)
    every = [node(number) for number in (31, 32, 33, 34, 35)]
    cluster = Cluster(rng)
    plane = ControlPlane(AuditLog(rng, omit_received=True), every, rng)
    side = Side(plane, Events(rng), rng)
    crashed = {every[2].name: FIRST, every[3].name: SECOND_ONE}
    plane.nodes = [one for one in every if one.name not in crashed]
    plane.beat(START, END)
    last = {}
    for one in every[2:4]:
        at = crashed[one.name]
        plane.kubelet(one, START, at)
        last[one.name] = max(when for when, who in plane.log.times if who == f"system:node:{one.name}")
        plane.kubelet(one, at + BOOTED, END)

    # Four of six replicas of reports are on node 33; the others are spread as they should be.
    reports = [cluster.pod("shop", "reports", one) for one in (*[every[2]] * 4, every[0], every[1])]
    others = [cluster.pod("shop", name, one) for name in SERVICES for one in every]
    for number, pod in enumerate((*reports, *others)):
        side.runs(START + 10 * SECOND + number * 700_000, pod, 20 * SECOND)
    here = [pod for pod in others if pod.node == every[2]]
    came = fails(side, FIRST, every[2], [*reports[:4]], every[3], cluster)
    fails(side, FIRST + SECOND, every[2], here, every[4], cluster)
    there = [pod for pod in others if pod.node == every[3]]
    fails(side, SECOND_ONE, every[3], came[:2], every[0], cluster)
    fails(side, SECOND_ONE + SECOND, every[3], [*came[2:], *there], every[4], cluster)

    first, second = (last[one.name] for one in every[2:4])
    silences = [
        min(at for at, who in plane.log.times if who == f"system:node:{one.name}" and at > last[one.name])
        - last[one.name]
        for one in every[2:4]
    ]
    truth = Truth(START, END)
    truth.findings[f"{NAME}:shop/reports"] = {
        "nodes": 2,
        "replicas of the owner on the first node": 4,
        "replicas of the owner in all": 6,
        "pods moved": 4,
        "longest silence of a node": max(silences) / SECOND,
        "seconds from the first failure to the last": (second - first) / SECOND,
    }
    truth.counts = {"audit records": len(plane.log.lines), "events": len(side.events.items)}
    folder = HOME / NAME
    plane.log.save(folder, (START + 18 * MINUTE, END - 2 * MINUTE))
    write(folder / "events.json", side.events.text())
    truth.write(folder)
