"""The case apiserver-throttle-storm: an agent on forty nodes polls until the API server turns everybody away."""

from __future__ import annotations

import random

from audit import AuditLog, Call, Json, ref
from cluster import Cluster, moment, node
from controlplane import ControlPlane
from storm import AGENT, figures, generations, poll, watch_quietly
from story import HOME, Truth
from wire import SECOND

NAME = "apiserver-throttle-storm"
START = moment("2026-11-19T10:30:00")
MINUTE = 60 * SECOND
END = START + 11 * MINUTE
STORM = (START + 4 * MINUTE, START + 7 * MINUTE)
ROTATED = START + 10 * MINUTE + 33 * SECOND + 481_000


def stock_controller(plane: ControlPlane) -> None:
    """A controller of the shop's own that reconciles all the time, and suffers."""
    agent = "stock-controller/v1.8.0 (linux/amd64) kubernetes/$Format"
    actor = plane.actors.account("logistics", "stock-controller", agent, "10.244.21.14", "stock-controller")
    for at in range(START + SECOND, END, 3 * SECOND):
        target = ref("configmaps", "logistics", "stock-levels")
        at += plane.rng.randrange(SECOND)
        plane.put(at, Call(actor=actor, verb="get", target=target, took=plane.rng.randrange(1500, 4000)))
        plane.put(at + 9000, Call(actor=actor, verb="update", target=target, took=plane.rng.randrange(3000, 7000)))


def template(version: str) -> Json:
    """The part of the DaemonSet that the pipeline changes."""
    container = {"name": AGENT, "image": f"registry.example.com/{AGENT}:{version}"}
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


def main() -> None:
    rng = random.Random(NAME)
    nodes = [node(number) for number in range(11, 51)]
    plane = ControlPlane(AuditLog(rng, level="Metadata"), nodes, rng, overload=STORM, refuse=0.35)
    plane.beat(START, END)
    stock_controller(plane)
    old, new, again = generations(plane, Cluster(rng))
    watch_quietly(plane, old, START, STORM[0] - 50 * SECOND)
    plane.apply(START + 3 * MINUTE + 8 * SECOND, "daemonsets", "monitoring", AGENT, template("2.4.1"))
    plane.roll(START + 3 * MINUTE + 10 * SECOND, old, new, 1_100_000)
    plane.apply(STORM[1] - 20 * SECOND, "daemonsets", "monitoring", AGENT, template("2.3.0"))
    sent = poll(plane, new, plane.roll(STORM[1] - 18 * SECOND, new, again, 400_000), 9.0, 0.8)
    watch_quietly(plane, again, STORM[1] + 5 * SECOND, END)
    for number in range(7):
        plane.evict(
            START + 9 * MINUTE + number * 9 * SECOND, "shop", f"catalog-6d5f9c7b48-{'bcdfghj'[number]}x2lk", "catalog"
        )

    truth = Truth(START, END)
    truth.findings[f"{NAME}:{AGENT}"] = figures(plane, len(nodes))
    truth.findings[f"watch-list-amplification:{AGENT}"] = {
        "lists": sum(sent.values()),
        **{f"lists of {resource}": count for resource, count in sent.items()},
        "client addresses": len(nodes),
        "rejected lists": plane.rejected[AGENT],
    }
    guilty = sum(1 for _, user in plane.log.times if user.endswith(":" + AGENT))
    truth.counts = {"requests": len(plane.log.times), "requests of the agent": guilty, "evictions turned away": 7}
    folder = HOME / NAME
    plane.log.save(folder, (ROTATED,))
    truth.write(folder)
