"""The case apiserver-lookalikes: much that looks like trouble of an API server, and nothing is wrong.

One of two servers is replaced and all its clients list again, once; people follow logs and hold shells; a webhook is
slow; the metrics API is down; an operator and a person ask for all API groups once, kubectl of a pipeline with a warm
cache every minute; the log is large all the time.
"""

from __future__ import annotations

import random

from audit import AuditLog, Call, Json, ref
from cluster import AGENT_TAIL, moment, node
from controlplane import ControlPlane
from story import HOME, Truth
from wire import SECOND

NAME = "apiserver-lookalikes"
START = moment("2026-11-26T15:00:00")
MINUTE = 60 * SECOND
END = START + 14 * MINUTE
ROLLED = START + 6 * MINUTE
GROUPS: tuple[str, ...] = (
    "apps",
    "batch",
    "autoscaling",
    "policy",
    "networking.k8s.io",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
)
GROUPS += ("coordination.k8s.io", "discovery.k8s.io", "events.k8s.io", "node.k8s.io", "scheduling.k8s.io")
DOWN: Json = {"metadata": {}, "code": 503}


def stampede(plane: ControlPlane) -> None:
    """A new server's informers, then two agents of every node, each once."""
    kinds = ("namespaces", "services", "secrets", "nodes", "pods", "serviceaccounts")
    for place, resource in enumerate(kinds):
        call = Call(actor=plane.server, verb="watch", target=ref(resource), query="watch=true", took=5 * MINUTE)
        plane.log.add(ROLLED + place * 30_000, call)
    for one in plane.nodes:
        for name, resource in (("mesh-agent", "pods"), ("mesh-agent", "services"), ("node-cache", "services")):
            actor = plane.actors.account("mesh", name, f"{name}/1.9.0", one.ip, name, node=one.name)
            for at in (START + 20 * SECOND, ROLLED + 2 * SECOND):
                if resource == "pods" and at < ROLLED:
                    continue
                took = plane.rng.randrange(30_000, 180_000)
                at += plane.rng.randrange(30 * SECOND)
                call = Call(actor=actor, verb="list", target=ref(resource), query="resourceVersion=0", took=took)
                plane.log.add(at, call)


def long_running(plane: ControlPlane) -> None:
    """Shells, followed logs and a port-forward of minutes."""
    actor = plane.actors.account("ops", "oncall", f"kubectl/{AGENT_TAIL}", "10.0.12.91", "view")
    for number in range(30):
        sub, verb, query = (
            ("log", "get", "follow=true"),
            ("exec", "create", "command=sh&stdin=true"),
            ("portforward", "create", ""),
        )[number % 3]
        target = ref("pods", "shop", f"web-{number}", sub=sub)
        at = START + 2 * MINUTE + number * 3 * SECOND
        plane.log.add(at, Call(actor=actor, verb=verb, target=target, query=query, took=190 * SECOND))


def webhook_and_metrics(plane: ControlPlane) -> None:
    """Creates that wait for a webhook of the customer, and an aggregated API without its server."""
    notes = (
        ("apiserver.latency.k8s.io/mutating-webhook", "2100.250000ms"),
        ("apiserver.latency.k8s.io/total", "2200.000000ms"),
    )
    for number in range(24):
        target = ref("pods", "shop")
        at = START + 9 * MINUTE + number * 2 * SECOND
        call = Call(actor=plane.replicas, verb="create", target=target, code=201, took=2_200_000, notes=notes)
        plane.log.add(at, call)
    scaler = plane.actors.controller("horizontal-pod-autoscaler", "10.0.12.5")
    for at in range(START + 10 * MINUTE, END, 4 * SECOND):
        target = ref("pods", "shop", group="metrics.k8s.io", version="v1beta1")
        plane.log.add(at, Call(actor=scaler, verb="list", target=target, status=DOWN, took=900))


def discovery(plane: ControlPlane) -> None:
    """A person after an upgrade and an operator at its start: all groups once. A pipeline: two requests a minute."""
    person = plane.actors.account("ops", "alice", "kubectl/v1.24.0 (linux/amd64) kubernetes/4ce5a89", "10.0.12.95", "v")
    agent = "db-operator/v0.0.0 (linux/amd64) kubernetes/$Format"
    operator = plane.actors.account("data", "db-operator", agent, "10.244.31.9", "db-operator")
    for actor, at in ((person, START + 3 * MINUTE), (operator, START + 5 * MINUTE)):
        for place, group in enumerate(("/api", "/apis", "/api/v1", *(f"/apis/{one}/v1" for one in GROUPS))):
            plane.log.add(at + place * 40_000, Call(actor=actor, verb="get", path=group, query="timeout=32s", took=900))
    for at in range(START + 11 * SECOND, END, MINUTE):
        for place, path in enumerate(("/api", "/apis")):
            plane.log.add(at + place * 30_000, Call(actor=plane.deployer, verb="get", path=path, took=900))


def main() -> None:
    rng = random.Random(NAME)
    nodes = [node(number) for number in range(31, 47)]
    plane = ControlPlane(AuditLog(rng), nodes, rng)
    plane.beat(START, END)
    stampede(plane)
    long_running(plane)
    webhook_and_metrics(plane)
    discovery(plane)
    truth = Truth(START, END)
    truth.counts = {"requests": len(plane.log.times), "audit records": len(plane.log.lines)}
    folder = HOME / NAME
    plane.log.save(folder, (START + 11 * MINUTE + 2 * SECOND,))
    truth.write(folder)
