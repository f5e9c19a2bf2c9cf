"""The polling agent that two cases share: a DaemonSet whose new version lists pods and services over and over."""

from __future__ import annotations

from audit import Actor, Call, ref
from cluster import Cluster, Pod
from controlplane import ControlPlane
from wire import SECOND

AGENT = "node-agent"
VERSIONS = ("2.3.0", "2.4.1")
"""The patient one and the greedy one."""
POLLED = ("pods", "services")
TRIES = 3


def generations(plane: ControlPlane, cluster: Cluster) -> list[list[Pod]]:
    """The agent's pods before the change, after it, and after it was taken back; one a node."""
    image = f"registry.example.com/{AGENT}:"
    return [cluster.daemons("monitoring", AGENT, plane.nodes, image + one) for one in (*VERSIONS, VERSIONS[0])]


def identity(plane: ControlPlane, pod: Pod) -> Actor:
    """The service account is the same everywhere, the address is the node's, the token names the pod."""
    agent = f"{AGENT}/{pod.image.rsplit(':', 1)[1]}"
    return plane.actors.account("monitoring", AGENT, agent, pod.ip, AGENT, pod=pod.name, node=pod.node.name)


def watch_quietly(plane: ControlPlane, pods: list[Pod], start: int, end: int) -> None:
    """The patient version: one watch of the pods of its own node."""
    for pod in pods:
        actor = identity(plane, pod)
        at = start + plane.rng.randrange(60 * SECOND)
        while at < end - 100 * SECOND:
            life = plane.rng.randrange(90, 200)
            query = f"allowWatchBookmarks=true&fieldSelector=spec.nodeName%3D{pod.node.name}"
            query += f"&timeoutSeconds={life}&watch=true"
            if at + life * SECOND < end:
                plane.log.add(at, Call(actor=actor, verb="watch", target=ref("pods"), query=query, took=life * SECOND))
            at += life * SECOND + plane.rng.randrange(20_000)


def poll(plane: ControlPlane, pods: list[Pod], ends: list[int], period: float, refuse: float) -> dict[str, int]:
    """The greedy version: everything in the cluster, again and again, until the pod is deleted. Who is turned away asks
    again after the second that the server tells, and after some tries waits for its next turn.

    Returns the lists of each resource, tries among them.
    """
    rng = plane.rng
    begin = plane.overload[0]
    sent = dict.fromkeys(POLLED, 0)
    for pod, end in zip(pods, ends, strict=True):
        actor = identity(plane, pod)
        for resource in POLLED:
            at, tries = begin + rng.randrange(int(period * SECOND)), 0
            while at < end:
                call = Call(actor=actor, verb="list", target=ref(resource), took=rng.randrange(180_000, 940_000))
                tries += 1
                sent[resource] += 1
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
    return sent


def figures(plane: ControlPlane, addresses: int) -> dict[str, int | float]:
    """The figures of an apiserver-throttle-storm finding. Requests meanwhile: of all who asked, from the first
    rejection to the last."""
    mine = plane.rejected[AGENT]
    total = sum(plane.rejected.values())
    moments = [at for at, _ in plane.turned_away]
    first, last = min(moments), max(moments)
    return {
        "rejected requests": total,
        "rejected requests of the offender": mine,
        "rejected requests of others": total - mine,
        "client addresses of the offender": addresses,
        "least seconds of waiting": total,
        "requests meanwhile": sum(1 for at, _ in plane.log.times if first <= at <= last),
    }
