"""The case discovery-burst: a CronJob starts kubectl every minute, each time without its discovery cache."""

from __future__ import annotations

import random

from audit import AuditLog, Call, ref
from cluster import moment, node, suffix
from controlplane import ControlPlane
from story import HOME, Truth
from wire import SECOND

NAME = "discovery-burst"
USER = "system:serviceaccount:jobs:cleanup"
START = moment("2026-11-27T08:00:00")
MINUTE = 60 * SECOND
END = START + 20 * MINUTE
GROUPS = tuple(f"/apis/{one}/v1" for one in ("apps", "batch", "autoscaling", "policy", "events.k8s.io", "node.k8s.io"))
EXTENSIONS = tuple(f"/apis/{one}.example.com/v1alpha1" for one in ("queue", "cert", "mesh", "backup", "flow", "quota"))
MORE = tuple(f"/apis/{one}.k8s.io/v1beta1" for one in ("storage", "networking", "discovery", "scheduling", "metrics"))
PATHS = ("/api", "/apis", "/api/v1", *GROUPS, *EXTENSIONS, *MORE)


def main() -> None:
    rng = random.Random(NAME)
    nodes = [node(number) for number in (31, 32, 33)]
    plane = ControlPlane(AuditLog(rng, omit_received=True), nodes, rng)
    plane.beat(START, END)
    runs, gets = 0, 0
    for at in range(START + 2 * MINUTE, END, MINUTE):
        agent = "kubectl/v1.24.3 (linux/amd64) kubernetes/aef86a9"
        pod = f"cleanup-{29_900_000 + runs}-{suffix(rng, 5)}"
        actor = plane.actors.account("jobs", "cleanup", agent, nodes[1].ip, "cleanup", pod=pod, node=nodes[1].name)
        at += rng.randrange(900_000, 1_400_000)
        for path in PATHS:
            took = rng.randrange(900, 4000)
            plane.log.add(at, Call(actor=actor, verb="get", path=path, query="", took=took))
            at += took + rng.randrange(8_000, 24_000)
            gets += 1
        plane.log.add(at, Call(actor=actor, verb="list", target=ref("pods", "jobs"), query="limit=500", took=9000))
        runs += 1
    truth = Truth(START, END)
    truth.findings[f"{NAME}:{USER}"] = {"runs": runs, "GETs": gets, "GETs per run": len(PATHS), "client addresses": 1}
    truth.counts = {"requests": len(plane.log.times), "audit records": len(plane.log.lines)}
    folder = HOME / NAME
    plane.log.save(folder, (START + 15 * MINUTE,))
    truth.write(folder)
