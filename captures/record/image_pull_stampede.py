"""The case image-pull-stampede: nodes lose the right to pull one image, and all of them ask for it until the registry
turns the whole network away."""

from __future__ import annotations

import random
from bisect import bisect_left

from audit import Actors, AuditLog, Call, ref
from cluster import AGENT_TAIL, Cluster, Pod, moment
from pulls import DENIED, QUOTA, Pulls, on, tried
from story import HOME, Truth
from tcp import Connection, Ports, client_hello, record, server_hello
from wire import SECOND, Capture, Ends, write
from workload import Events

NAME = "image-pull-stampede"
MINUTE = 60 * SECOND
START = moment("2026-11-27T10:00:00")
END = START + 70 * MINUTE
TAKEN = START + 11 * MINUTE
"""When the nodes lose the right; the DaemonSet is rolled out right after."""
GIVEN = START + 47 * MINUTE
NUMBERS = range(31, 55)
LOGGED = (33, 41)
REGISTRY, ADDRESS, NAT = "registry.example.com", "203.0.113.50", "203.0.113.7"
AGENT = f"{REGISTRY}/platform/node-agent:latest"
SEEN = (START + 30 * MINUTE, START + 50 * MINUTE)
"""When somebody captured at the NAT."""
ALLOWED, HOUR = 190, 60 * MINUTE
"""Pulls that the registry lets one address try in an hour."""


def calm(cluster: Cluster, pulls: Pulls, rng: random.Random) -> None:
    """Before: a release, in which every pod pulls once, over ten minutes."""
    for place, one in enumerate(on(NUMBERS)[:8]):
        pod = cluster.pod("checkout", "cart", one, f"{REGISTRY}/checkout/cart:2.{4 + place % 2}")
        pulls.pulled(START + place * 70 * SECOND + rng.randrange(SECOND), pod)


def waves(cluster: Cluster, rng: random.Random) -> tuple[list[tuple[int, Pod]], list[tuple[int, Pod]]]:
    """The agents, twelve seconds one after another; then the innocent: a release, a job, a scale-up."""
    agents = cluster.daemons("platform", "node-agent", on(NUMBERS), AGENT)
    begun = [
        (TAKEN + 25 * SECOND + place * 5 * SECOND + rng.randrange(SECOND), pod) for place, pod in enumerate(agents)
    ]
    innocent = []
    for after, namespace, name, tag, many in (
        (33, "shop", "storefront", "7.1.0", 6),
        (36, "payments", "ledger", "3.9", 4),
        (40, "search", "index", "2026.11.26", 3),
    ):
        for place in range(many):
            pod = cluster.pod(namespace, name, on(NUMBERS)[place * 3], f"{REGISTRY}/{namespace}/{name}:{tag}")
            innocent.append((START + after * MINUTE + place * 4 * SECOND, pod))
    return begun, innocent


def handshakes(rng: random.Random, times: list[int]) -> Capture:
    """What the outer side of the NAT sees: all nodes are one address."""
    capture, ports = Capture("203.0.113.", rng), Ports(rng)
    for at in times:
        connection = Connection(capture, Ends(NAT, ports.next(NAT), ADDRESS, 443), rtt=9000)
        then = connection.open(at + 20_000)
        hello = server_hello(rng) + record(22, 900)
        connection.close(connection.ask(then + 200, client_hello(REGISTRY, rng), hello, 500) + 40_000)
    return capture


def main() -> None:
    rng = random.Random(NAME)
    cluster, log, actors = Cluster(rng), AuditLog(rng, omit_received=True), Actors(rng)
    pulls = Pulls(rng, Events(rng))
    for number in LOGGED:
        pulls.journal(number)
    calm(cluster, pulls, rng)
    person = actors.account("ci", "deployer", f"kubectl/{AGENT_TAIL}", "10.0.12.90", "deploy")
    for at, verb, target in (
        (TAKEN, "patch", ref("serviceaccounts", "platform", "node-agent")),
        (TAKEN + 20 * SECOND, "patch", ref("daemonsets", "platform", "node-agent", group="apps")),
        (GIVEN, "patch", ref("serviceaccounts", "platform", "node-agent")),
    ):
        log.add(at, Call(actor=person, verb=verb, target=target, took=9000))
    begun, innocent = waves(cluster, rng)
    times: list[int] = []

    def answer(at: int, pod: Pod) -> bool:
        late = len(times) - bisect_left(times, at - HOUR) >= ALLOWED
        times.append(at)
        if late or (pod.image == AGENT and at < GIVEN):
            pulls.refused(at, pod, QUOTA if late else DENIED, "quota" if late else "permission")
            return False
        pulls.pulled(at, pod)
        return True

    tried([*begun, *innocent], END - 2 * MINUTE, rng, answer)
    failed = {key: count for counts in pulls.failed.values() for key, count in counts.items()}
    totals = {kind: sum(counts.get(kind, 0) for counts in pulls.failed.values()) for kind in failed}
    mine = [pod for _, pod in (*begun, *innocent) if pod.key in pulls.failed]
    hit = [pod for _, pod in innocent if "quota" in pulls.failed.get(pod.key, {})]
    attempts = sum(pulls.attempts[pod.key] for pod in mine)
    captured = [at for at in times if SEEN[0] <= at < SEEN[1]]
    truth = Truth(START, END)
    truth.findings[f"{NAME}:{REGISTRY}"] = {
        "attempts": attempts,
        "repeated attempts": attempts - len(mine),
        "failed attempts": sum(totals.values()),
        **{f"failed: {kind}": count for kind, count in totals.items()},
        "images": len({pod.image for pod in mine}),
        "pods": len(mine),
        "nodes": len({pod.node.name for pod in mine}),
        "innocent images": len({pod.image for pod in hit}),
        "innocent pods": len(hit),
        "pulls that IfNotPresent would have needed": len({(pod.image, pod.node.name) for pod in mine}),
        "TLS connections to the registry": len(captured),
        "addresses that they came from": 1,
    }
    truth.counts = {"events": len(pulls.events.items), "audit records": len(log.lines), "connections": len(captured)}
    folder = HOME / NAME
    truth.write(folder)
    log.save(folder)
    write(folder / "events.json", pulls.events.text())
    write(folder / "nat.pcap.gz", handshakes(rng, captured).pcap())
    for number in LOGGED:
        write(folder / f"kubelet-{number}.log", pulls.journal(number).text())
