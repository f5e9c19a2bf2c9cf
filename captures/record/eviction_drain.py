"""The case eviction-drain: kubectl drains a node, and disruption budgets turn its evictions away with 429."""

from __future__ import annotations

import random

from audit import PDB, Actor, AuditLog, Call, ref
from cluster import AGENT_TAIL, Cluster, Pod, moment, node
from controlplane import ControlPlane
from story import HOME, Truth
from wire import SECOND

NAME = "eviction-drain"
START = moment("2026-11-18T14:00:00")
MINUTE = 60 * SECOND
END = START + 12 * MINUTE
DRAIN = START + 4 * MINUTE + 12 * SECOND
ROTATED = START + 11 * MINUTE + 5_118_000
RETRY = 5 * SECOND
"""How long kubectl waits after an eviction that was refused (kubectl `pkg/drain/drain.go`, EvictErrorRetryDelay)."""

BUDGETS = {"shop/catalog": 4, "checkout/cart": 3, "payments/ledger": 5}
"""Deployments that had all their replicas on the node, and how many their budgets want healthy."""


def refusal(budget: str, healthy: int) -> dict[str, object]:
    cause = f"The disruption budget {budget} needs {healthy} healthy pods and has {healthy} currently"
    return PDB | {"details": {"causes": [{"reason": "DisruptionBudget", "message": cause}]}}


def evict(plane: ControlPlane, person: Actor, pod: Pod, at: int, until: int, healthy: int) -> tuple[int, int]:
    """Ask until the budget allows it, then wait until the pod is gone. Returns refusals and when it was gone."""
    target, refused = ref("pods", pod.namespace, pod.name, sub="eviction"), 0
    while at < until:
        took = plane.rng.randrange(4000, 11_000)
        plane.log.add(
            at, Call(actor=person, verb="create", target=target, status=refusal(pod.owner, healthy), took=took)
        )
        refused += 1
        at += took + RETRY + plane.rng.randrange(2000, 40_000)
    plane.log.add(
        at, Call(actor=person, verb="create", target=target, code=201, took=plane.rng.randrange(6000, 14_000))
    )
    gone = at + 3 * SECOND + plane.rng.randrange(2 * SECOND)
    own = ref("pods", pod.namespace, pod.name)
    plane.put(gone, Call(actor=plane.kubelets[pod.node.name], verb="delete", target=own, took=5000))
    while at < gone:
        at += SECOND + plane.rng.randrange(20_000)
        plane.log.add(at, Call(actor=person, verb="get", target=own, code=200 if at < gone else 404, took=1900))
    return refused, gone


def main() -> None:
    rng = random.Random(NAME)
    nodes = [node(number) for number in range(31, 43)]
    plane = ControlPlane(AuditLog(rng, level="Metadata"), nodes, rng)
    plane.beat(START, END)
    person = plane.actors.account("ops", "oncall", f"kubectl/{AGENT_TAIL}", "10.0.12.91", "cluster-admin")
    old = nodes[0]
    cluster = Cluster(rng)
    cordon = ref("nodes", "", old.name)
    plane.log.add(DRAIN, Call(actor=person, verb="get", target=cordon, took=2100))
    query = "fieldManager=kubectl-drain"
    plane.log.add(DRAIN + 60_000, Call(actor=person, verb="patch", target=cordon, query=query, took=7400))
    listed = f"fieldSelector=spec.nodeName%3D{old.name}&limit=500"
    plane.log.add(DRAIN + 110_000, Call(actor=person, verb="list", target=ref("pods"), query=listed, took=21_000))
    refused = evicted = 0
    for turn, (owner, healthy) in enumerate(BUDGETS.items()):
        allowed = DRAIN + SECOND
        for number in range(healthy + 4):
            namespace, name = owner.split("/")
            pod = cluster.pod(namespace, name, old)
            begin = DRAIN + 200_000 + 7000 * (10 * turn + number)
            times, gone = evict(plane, person, pod, begin, allowed, healthy)
            refused, evicted = refused + times, evicted + 1
            # the next may go when the successor of this one is ready
            allowed = plane.start_pod(gone + 400_000, cluster.pod(namespace, name, rng.choice(nodes[1:]))) + 11 * SECOND

    truth = Truth(START, END)
    truth.counts = {"requests": len(plane.log.times), "evictions turned away": refused, "pods evicted": evicted}
    folder = HOME / NAME
    plane.log.save(folder, (ROTATED,))
    truth.write(folder)
