"""The polling agent that two cases share: a DaemonSet whose new version lists pods and services over and over."""

from __future__ import annotations

from audit import Actor, Call, ref
from controlplane import ControlPlane
from wire import SECOND

AGENT = "node-agent"
POLLED = ("pods", "services")
TRIES = 3


def agents(plane: ControlPlane, version: str) -> list[Actor]:
    """One identity for each node: the service account is the same, the address is the node's."""
    made = []
    for number, node in enumerate(plane.nodes):
        pod = f"{AGENT}-{plane.rng.choice('bcdfghjk')}{number:02d}qx"
        agent = f"{AGENT}/{version}"
        made.append(plane.actors.account("monitoring", AGENT, agent, node.ip, AGENT, pod=pod, node=node.name))
    return made


def watch_quietly(plane: ControlPlane, start: int, end: int) -> None:
    """The old version: one watch of the pods of its own node."""
    for actor, node in zip(agents(plane, "2.3.0"), plane.nodes, strict=True):
        at = start + plane.rng.randrange(60 * SECOND)
        while at < end - 100 * SECOND:
            life = plane.rng.randrange(90, 200)
            query = f"allowWatchBookmarks=true&fieldSelector=spec.nodeName%3D{node.name}&timeoutSeconds={life}&watch=true"
            if at + life * SECOND < end:
                plane.log.add(at, Call(actor=actor, verb="watch", target=ref("pods"), query=query, took=life * SECOND))
            at += life * SECOND + plane.rng.randrange(20_000)


def poll(plane: ControlPlane, period: float, refuse: float) -> None:
    """The new version: everything in the cluster, again and again, for as long as the overload lasts. Who is turned
    away asks again after the second that the server tells, and after some tries waits for its next turn."""
    rng = plane.rng
    begin, end = plane.overload
    for actor in agents(plane, "2.4.1"):
        for resource in POLLED:
            at = begin + rng.randrange(int(period * SECOND))
            tries = 0
            while at < end:
                call = Call(actor=actor, verb="list", target=ref(resource), took=rng.randrange(180_000, 940_000))
                tries += 1
                if rng.random() < refuse:
                    plane.refuse_one(at, call)
                    at += SECOND + rng.randrange(10_000, 120_000)
                    if tries < TRIES:
                        continue
                else:
                    plane.log.add(at, call)
                    at += call.took
                at += int(rng.uniform(0.9, 1.1) * period * SECOND)
                tries = 0


def figures(plane: ControlPlane, addresses: int) -> dict[str, int | float]:
    """The figures of an apiserver-throttle-storm finding. Requests meanwhile: of all who asked, in the whole minutes
    between the first rejection and the last."""
    mine = plane.rejected[AGENT]
    total = sum(plane.rejected.values())
    minute = 60 * SECOND
    moments = [at for at, _ in plane.turned_away]
    first, last = min(moments) // minute * minute, (max(moments) // minute + 1) * minute
    return {
        "rejected requests": total,
        "rejected requests of the offender": mine,
        "rejected requests of others": total - mine,
        "client addresses of the offender": addresses,
        "least seconds of waiting": total,
        "requests meanwhile": sum(1 for at, _ in plane.log.times if first <= at < last),
    }
