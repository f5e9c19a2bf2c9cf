"""The case watch-list-amplification: a proxy for credentials on every node lists all pods, again and again.

Beside it stands what looks alike: an agent that lists the pods of its node once and watches them, an operator with two
replicas that lists every minute, people with kubectl.
"""

from __future__ import annotations

import random

from audit import Actor, AuditLog, Call, Json, ref
from cluster import AGENT_TAIL, Node, moment, node, rfc3339, suffix
from controlplane import ControlPlane
from story import HOME, Truth
from wire import SECOND, write

NAME = "watch-list-amplification"
AGENT = "iam-proxy"
START = moment("2026-11-24T04:00:00")
MINUTE = 60 * SECOND
END = START + 16 * MINUTE
POLLED = (START + 4 * MINUTE, START + 13 * MINUTE)
PERIOD = 20 * SECOND
PODS = 64
KILLED = (3, 8, 11)
"""Nodes (by their place) whose agent is killed for memory once, and lists again two seconds later."""


def pod_list(rng: random.Random, namespace: str) -> Json:
    """What a list answers at level RequestResponse, each pod cut to its name and node."""
    items = [
        {"metadata": {"name": f"app-{suffix(rng, 5)}", "namespace": namespace}, "spec": {"nodeName": f"n{at % 14}"}}
        for at in range(PODS)
    ]
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "4212007"}, "items": items}


def proxy(plane: ControlPlane, on: Node) -> Actor:
    pod = f"{AGENT}-{suffix(plane.rng, 5)}"
    return plane.actors.account("iam", AGENT, f"{AGENT}/0.9.0", on.ip, AGENT, pod=pod, node=on.name)


def look_alikes(plane: ControlPlane) -> None:
    """Informers of the own node, an operator that lists now and then, two people."""
    for one in plane.nodes:
        actor = plane.actors.account("logging", "log-shipper", "log-shipper/3.1", one.ip, "log-shipper", node=one.name)
        query = f"fieldSelector=spec.nodeName%3D{one.name}"
        at = START + plane.rng.randrange(MINUTE)
        plane.log.add(at, Call(actor=actor, verb="list", target=ref("pods"), query=query + "&resourceVersion=0"))
        query += "&allowWatchBookmarks=true&watch=true"
        call = Call(actor=actor, verb="watch", target=ref("pods"), query=query, took=7 * MINUTE)
        plane.log.add(at + 20_000, call)
    agent = "cost-operator/v0.4.0 (linux/amd64) kubernetes/$Format"
    for number in (31, 32):
        actor = plane.actors.account("finops", "cost-operator", agent, f"10.244.{number}.17", "cost-operator")
        for at in range(START + number * SECOND, END, MINUTE):
            plane.log.add(at, Call(actor=actor, verb="list", target=ref("nodes"), took=9000))
    for number in (92, 93):
        actor = plane.actors.account("ops", "oncall", f"kubectl/{AGENT_TAIL}", f"10.0.12.{number}", "view")
        for at in range(START + number * SECOND, END, 4 * MINUTE):
            plane.log.add(at, Call(actor=actor, verb="list", target=ref("pods"), query="limit=500", took=31_000))


def killed(at: int, on: Node, pid: int) -> str:
    """The kernel's report of a kill at the limit of a memory cgroup (linux `mm/oom_kill.c`), its last line, as
    `journalctl -k -o short-iso-precise` prints it."""
    text = f"Memory cgroup out of memory: Killed process {pid} ({AGENT}) total-vm:1291648kB, anon-rss:129304kB, "
    text += "file-rss:12288kB, shmem-rss:0kB, UID:0 pgtables:412kB oom_score_adj:999"
    return f"{rfc3339(at).replace('Z', '+0000')} {on.name} kernel: {text}"


def main() -> None:
    rng = random.Random(NAME)
    nodes = [node(number) for number in range(31, 45)]
    plane = ControlPlane(AuditLog(rng, omit_received=True), nodes, rng)
    plane.beat(START, END)
    look_alikes(plane)
    answer = pod_list(rng, "shop")
    lists, kernel = 0, []
    for place, one in enumerate(nodes):
        actor = proxy(plane, one)
        moments = list(range(POLLED[0] + rng.randrange(PERIOD), POLLED[1], PERIOD))
        if place in KILLED:
            died = moments[9] + 4 * SECOND
            kernel.append((died, killed(died, one, 20_000 + place)))
            moments.append(died + 2 * SECOND)
        for at in moments:
            call = Call(
                actor=actor,
                verb="list",
                target=ref("pods"),
                took=rng.randrange(90_000, 260_000),
                level="RequestResponse",
                response=answer,
            )
            plane.log.add(at, call)
            lists += 1

    truth = Truth(START, END)
    truth.findings[f"{NAME}:{AGENT}"] = {
        "lists": lists,
        "lists of pods": lists,
        "client addresses": len(nodes),
        "objects": lists * PODS,
        "OOM deaths of the client": len(KILLED),
        "period": 20.0,
    }
    truth.counts = {"requests": len(plane.log.times), "audit records": len(plane.log.lines)}
    folder = HOME / NAME
    plane.log.save(folder, (START + 8 * MINUTE + 12_041_000, START + 13 * MINUTE + 19_703_000))
    write(folder / "kernel.log", "".join(line + "\n" for _, line in sorted(kernel)).encode())
    truth.write(folder)
