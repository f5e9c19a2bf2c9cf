"""The case replica-collapse: a manifest loses spec.replicas because an autoscaler owns the number, and one is left."""

from __future__ import annotations

import random

from audit import AuditLog
from cluster import Cluster, moment, node
from controlplane import ControlPlane
from story import HOME, Truth
from wire import SECOND, write
from workload import Events, Scaled

NAME = "replica-collapse"
START = moment("2026-11-23T14:00:00")
MINUTE = 60 * SECOND
END = START + 20 * MINUTE
APPLIED = START + 8 * MINUTE + 3 * SECOND
BEFORE = 24
STEPS = ((16, 2), (31, 4), (46, 8), (61, 16), (76, 24))
"""Seconds after the fall, and the replicas that the autoscaler then asks for: twice as many each time."""


def main() -> None:
    rng = random.Random(NAME)
    nodes = [node(number) for number in (31, 32, 33)]
    cluster = Cluster(rng)
    plane = ControlPlane(AuditLog(rng, omit_received=True), nodes, rng)
    plane.beat(START, END)
    events = Events(rng)

    def deployment(namespace: str, name: str, replicas: int) -> Scaled:
        made = Scaled(plane, events, rng, namespace, name, f"{name}-{cluster.template_hash(name)}")
        made.grow(replicas)
        return made

    front = deployment("shop", "storefront", 20)
    front.scale(START + 2 * MINUTE, front.autoscaler, BEFORE)
    front.apply(APPLIED, plane.deployer, None, 1)
    fallen = len(front.deleted)
    for seconds, replicas in STEPS:
        front.scale(APPLIED + seconds * SECOND, front.autoscaler, replicas)

    # Somebody wants one replica and says so; an autoscaler goes down to its minimum; a change keeps what is there.
    banner = deployment("shop", "banner", 6)
    banner.scale(START + 5 * MINUTE, plane.deployer, 1)
    index = deployment("search", "index", 4)
    index.scale(START + 11 * MINUTE, index.autoscaler, 1)
    cart = deployment("checkout", "cart", 6)
    cart.apply(START + 13 * MINUTE, plane.deployer, 6, 6)

    lost, at, have = 0.0, 0, 1
    for seconds, replicas in STEPS:
        lost += (BEFORE - have) * (seconds - at)
        at, have = seconds, replicas
    truth = Truth(START, END)
    truth.findings[f"{NAME}:shop/storefront"] = {
        "replicas before": BEFORE,
        "replicas after": 1,
        "pods deleted": fallen,
        "seconds until recovery": float(STEPS[-1][0]),
        "replica-seconds lost": lost,
    }
    truth.counts = {"audit records": len(plane.log.lines), "events": len(events.items)}
    folder = HOME / NAME
    plane.log.save(folder, (END - 4 * MINUTE,))
    write(folder / "events.json", events.text())
    truth.write(folder)
