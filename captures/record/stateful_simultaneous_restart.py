"""The case stateful-simultaneous-restart: an operator rolls new limits out to all replicas of a Redis at once; a
rolling update of another StatefulSet looks alike."""

from __future__ import annotations

import random
from dataclasses import replace

from audit import Actor, AuditLog, Call, Json, ref
from cluster import Cluster, Node, Pod, moment, node
from controlplane import ControlPlane
from replicas import Side, ordinal
from story import HOME, Truth
from wire import SECOND, write
from workload import Events

NAME = "stateful-simultaneous-restart"
START = moment("2026-11-25T10:00:00")
MINUTE = 60 * SECOND
END = START + 20 * MINUTE
CHANGED = START + 8 * MINUTE + 4 * SECOND
READY = (71, 84, 97)
"""Seconds until each replica has loaded its data again."""
REDIS, KAFKA = "rfr-cache", "queue"


def one_by_one(side: Side, kafka: list[Pod], cluster: Cluster, rng: random.Random, nodes: list[Node]) -> None:
    """Kafka: each replica waits for the one before, which takes nineteen seconds."""
    side.write(START + 3 * MINUTE, side.plane.deployer, KAFKA, "platform", 3, None)
    at = START + 3 * MINUTE + SECOND
    for number in (2, 1, 0):
        side.delete(at, kafka[number], side.ordered)
        gone = side.ends(at, kafka[number], 2 * SECOND)
        again = ordinal(cluster, rng, "platform", KAFKA, number, nodes[number])
        at = side.runs(gone + 100_000, again, 16 * SECOND) + 500_000


def together(
    side: Side, operator: Actor, redis: list[Pod], cluster: Cluster, rng: random.Random, nodes: list[Node]
) -> tuple[list[int], list[int]]:
    """Redis: somebody raises its limits; the operator writes the StatefulSet and deletes all pods. When each stops, and
    when it is back."""
    limits: Json = {"spec": {"redis": {"resources": {"limits": {"memory": "6Gi"}}}}}
    target = ref("redisfailovers", "platform", "cache", group="databases.example.com")
    patch = Call(actor=side.plane.deployer, verb="patch", target=target, took=8000, level="Request")
    side.plane.log.add(CHANGED, replace(patch, request=limits))
    side.write(CHANGED + 1_200_000, operator, REDIS, "platform", 3, ("RedisFailover", "cache"))
    stopped, back = [], []
    for number, pod in enumerate(redis):
        when = CHANGED + 4 * SECOND + number * 130_000
        side.delete(when, pod, operator)
        gone = side.ends(when, pod, 1_500_000 + number * 400_000)
        again = ordinal(cluster, rng, "platform", REDIS, number, nodes[number])
        back.append(side.runs(gone + 100_000, again, READY[number] * SECOND))
        stopped.append(when + 4000)
    return stopped, back


def main() -> None:
    rng = random.Random(NAME)
    nodes = [node(number) for number in (31, 32, 33)]
    cluster = Cluster(rng)
    plane = ControlPlane(AuditLog(rng, omit_received=True), nodes, rng)
    plane.beat(START, END)
    side = Side(plane, Events(rng), rng)
    for one in nodes:
        side.keep(one)
    agent = "redis-operator/v0.0.0 (linux/amd64) kubernetes/$Format"
    operator = plane.actors.account("platform", "redis-operator", agent, "10.244.31.9", "redis-operator")
    redis = [ordinal(cluster, rng, "platform", REDIS, number, nodes[number]) for number in range(3)]
    kafka = [ordinal(cluster, rng, "platform", KAFKA, number, nodes[number]) for number in range(3)]
    for number, pod in enumerate((*redis, *kafka)):
        side.runs(START + (5 + number) * SECOND, pod, 30 * SECOND)
    one_by_one(side, kafka, cluster, rng, nodes)
    stopped, back = together(side, operator, redis, cluster, rng, nodes)

    journals = side.journals
    for one in nodes:
        journals[one.name].murmur([pod for pod in (*redis, *kafka) if pod.node == one], START, END)
    truth = Truth(START, END)
    truth.findings[f"{NAME}:platform/{REDIS}"] = {
        "replicas restarted together": 3,
        "replicas in all": 3,
        "seconds between first and last": (stopped[-1] - stopped[0]) / SECOND,
        "seconds without any replica": (min(back) - stopped[-1]) / SECOND,
        "replica-seconds down": sum(then - when for when, then in zip(stopped, back, strict=True)) / SECOND,
    }
    truth.counts = {
        "audit records": len(plane.log.lines),
        "log lines": sum(len(journal.lines) for journal in journals.values()),
    }
    folder = HOME / NAME
    plane.log.save(folder, (END - 2 * MINUTE,))
    for one in nodes:
        write(folder / f"kubelet-{one.name.split('.')[0][-2:]}.log", journals[one.name].text())
    write(folder / "events.json", side.events.text())
    truth.write(folder)
