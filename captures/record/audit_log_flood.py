"""The case audit-log-flood: under a policy that keeps every body, one operator loops without a pause."""

from __future__ import annotations

import random

from audit import AuditLog, Call
from cluster import moment, node
from controlplane import ControlPlane
from flood import USER, hot_loop, operator
from story import HOME, Truth
from wire import SECOND

NAME = "audit-log-flood"
START = moment("2026-11-20T06:00:00")
MINUTE = 60 * SECOND
END = START + 14 * MINUTE
FLOOD = (START + 7 * MINUTE, START + 10 * MINUTE)
ROTATED = (START + 8 * MINUTE + 31_204_000, START + 9 * MINUTE + 44_917_000, START + 12 * MINUTE + 42_055_000)


def main() -> None:
    rng = random.Random(NAME)
    nodes = [node(number) for number in (31, 32, 33)]
    plane = ControlPlane(AuditLog(rng, level="RequestResponse"), nodes, rng)
    plane.beat(START, END)
    spec: dict[str, object] = {
        "spec": {
            "replicas": 1,
            "template": {"spec": {"containers": [{"image": "registry.example.com/queue-operator:3.0.0"}]}},
        }
    }
    plane.apply(FLOOD[0] - 20 * SECOND, "deployments", "platform", "queue-operator", spec, verb="create")
    actor = operator(plane, "10.244.32.9", "queue-operator-7f9c6bd54-x2k8m", nodes[1].name)
    events, written = hot_loop(plane, actor, *FLOOD, (70_000, 105_000), 1900)
    # It is taken away again, with its deployment.
    target = {
        "resource": "deployments",
        "namespace": "platform",
        "name": "queue-operator",
        "apiGroup": "apps",
        "apiVersion": "v1",
    }
    plane.log.add(FLOOD[1] - 400_000, Call(actor=plane.deployer, verb="delete", target=target, level="RequestResponse"))

    truth = Truth(START, END)
    minute_events = sum(1 for at, _, _ in plane.log.lines if FLOOD[0] <= at < FLOOD[1])
    truth.findings[f"{NAME}:{USER}"] = {
        "records of the writer": events,
        "bytes of the writer": written,
        "share of the records": round(events / minute_events, 4),
    }
    truth.counts = {"records": len(plane.log.lines), "bytes": sum(len(line) for _, _, line in plane.log.lines)}
    folder = HOME / NAME
    plane.log.save(folder, ROTATED)
    truth.write(folder)
