"""The case quiet-restarts: what looks like replicas that restart together, nodes that take each other down, and traffic
to pods that end, and is as it should be."""

from __future__ import annotations

import random

from audit import AuditLog, Call, ref
from cluster import Cluster, Pod, moment, node
from controlplane import ControlPlane
from replicas import Side, ordinal
from story import HOME, Truth
from tcp import Connection, Ports
from wire import SECOND, Capture, Ends, write
from workload import Events

NAME = "quiet-restarts"
START = moment("2026-11-26T08:00:00")
MINUTE = 60 * SECOND
END = START + 30 * MINUTE
SLEEP = 8 * SECOND
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def restarts(side: Side, cluster: Cluster) -> None:
    """A rolling update, a workload of one replica, one that is scaled to none and back, and one that is drained."""
    plane, rng, nodes = side.plane, side.rng, side.plane.nodes
    queue = [ordinal(cluster, rng, "platform", "queue", number, nodes[number]) for number in range(3)]
    single = ordinal(cluster, rng, "payments", "ledger-db", 0, nodes[1])
    cache = [ordinal(cluster, rng, "shop", "cache", number, nodes[number]) for number in range(3)]
    index = [ordinal(cluster, rng, "search", "index", number, nodes[2]) for number in range(2)]
    for number, pod in enumerate((*queue, single, *cache, *index)):
        side.runs(START + (3 + number) * SECOND, pod, 20 * SECOND)

    side.write(START + 3 * MINUTE, plane.deployer, "queue", "platform", 3, None)
    at = START + 3 * MINUTE + SECOND
    for number in (2, 1, 0):
        side.delete(at, queue[number], side.ordered)
        gone = side.ends(at, queue[number], 2 * SECOND)
        at = side.runs(gone + 100_000, ordinal(cluster, rng, "platform", "queue", number, nodes[number]), 15 * SECOND)

    side.write(START + 5 * MINUTE, plane.deployer, "ledger-db", "payments", 1, None)
    side.delete(START + 5 * MINUTE + SECOND, single, side.ordered)
    gone = side.ends(START + 5 * MINUTE + SECOND, single, 2 * SECOND)
    side.runs(gone + 100_000, ordinal(cluster, rng, "payments", "ledger-db", 0, nodes[1]), 40 * SECOND)

    scale = ref("statefulsets", "shop", "cache", group="apps", sub="scale")
    plane.log.add(START + 7 * MINUTE, Call(actor=plane.deployer, verb="patch", target=scale, took=4000))
    for number in range(3):
        side.delete(START + 7 * MINUTE + SECOND + number * 90_000, cache[number], side.ordered)
        side.ends(START + 7 * MINUTE + SECOND + number * 90_000, cache[number], 2 * SECOND)
    plane.log.add(START + 8 * MINUTE, Call(actor=plane.deployer, verb="patch", target=scale, took=4000))
    for number in range(3):
        again = ordinal(cluster, rng, "shop", "cache", number, nodes[number])
        side.runs(START + 8 * MINUTE + number * 90_000, again, 20 * SECOND)

    for number, pod in enumerate(index):
        when = START + 9 * MINUTE + number * SECOND
        side.evict(when, pod)
        gone = side.ends(when, pod, 2 * SECOND)
        side.runs(gone + 100_000, ordinal(cluster, rng, "search", "index", number, nodes[0]), 30 * SECOND)


def failures(side: Side, cluster: Cluster, first: int, drained: int) -> None:
    """A node fails alone, and two replicas that it had go on elsewhere; another one is drained and boots."""
    failed, boots = (node(number) for number in (34, 35))
    others = side.plane.nodes
    tax = [cluster.pod("payments", "tax", one) for one in (failed, failed, others[0])]
    routes = [cluster.pod("logistics", "routes", one) for one in (boots, boots, others[1])]
    for number, pod in enumerate((*tax, *routes)):
        side.runs(START + (20 + number) * SECOND, pod, 20 * SECOND)
    side.not_ready(first + 45 * SECOND, failed)
    for number, pod in enumerate(tax[:2]):
        at = first + 345 * SECOND + number * 80_000
        side.delete(at, pod, side.evictor)
        side.runs(at + 300_000, cluster.pod("payments", "tax", boots if number else others[2]), 20 * SECOND)
    for number, pod in enumerate(routes[:2]):
        at = drained - 3 * MINUTE + number * SECOND
        side.evict(at, pod)
        side.ends(at, pod, 2 * SECOND)
        side.runs(at + 400_000, cluster.pod("logistics", "routes", others[2]), 20 * SECOND)
    text = f"Node {boots.name} has been rebooted, boot id: {side.rng.getrandbits(128):032x}"
    side.events.tell(drained + 2 * MINUTE, "Node", "", boots.name, "Rebooted", text, "kubelet")


def traffic(side: Side, cluster: Cluster) -> bytes:
    """Pods with a preStop sleep are deleted while a client connects five times a second; the node probes until they are
    gone, and is refused; a connection that was open before stays so."""
    rng, here = side.rng, side.plane.nodes[2]
    capture, ports = Capture(here.subnet, rng), Ports(rng)
    client = cluster.pod("shop", "gateway", here)
    pods = [cluster.pod("shop", "storefront", here) for _ in range(4)]
    for number, pod in enumerate((client, *pods)):
        side.runs(START + (30 + number) * SECOND, pod, 5 * SECOND)

    def ask(at: int, src: str, pod: Pod, agent: str) -> None:
        one = Connection(capture, Ends(src, ports.next(src), pod.ip, 8080))
        request = f"GET /ready HTTP/1.1\r\nHost: {pod.ip}:8080\r\nUser-Agent: {agent}\r\n\r\n".encode()
        one.close(one.ask(one.open(at) + 100, request, REPLY, 700) + 300)

    for number, pod in enumerate(pods):
        deleted = START + 20 * MINUTE + number * 15 * SECOND
        side.plane.stop_pod(deleted, pod)
        kept = Connection(capture, Ends(client.ip, ports.next(client.ip), pod.ip, 8080))
        kept.open(deleted - 5 * SECOND)
        for second in range(12):
            kept.ask(deleted - 4 * SECOND + second * SECOND, b"GET /next HTTP/1.1\r\nHost: s\r\n\r\n", REPLY, 900)
        kept.close(deleted + SLEEP + SECOND, by_server=True)
        for step in range(-20, 22):
            ask(deleted + step * 200_000, client.ip, pod, "shop-gateway/2.3")
        for step in range(-3, 10):
            at = deleted + step * 2 * SECOND + 77_000
            gateway = here.subnet + "1"
            if at < deleted + SLEEP:
                ask(at, gateway, pod, "kube-probe/1.36")
            else:
                Connection(capture, Ends(gateway, ports.next(gateway), pod.ip, 8080)).refused(at)
    return capture.pcap()


def main() -> None:
    rng = random.Random(NAME)
    every = [node(number) for number in (31, 32, 33, 34, 35)]
    cluster = Cluster(rng)
    plane = ControlPlane(AuditLog(rng, omit_received=True), every, rng)
    side = Side(plane, Events(rng), rng)
    plane.nodes = every[:3]
    for one in every[:3]:
        side.keep(one)
    plane.beat(START, END)
    first, drained = START + 11 * MINUTE, START + 22 * MINUTE
    plane.kubelet(every[3], START, first)
    plane.kubelet(every[4], START, drained)
    plane.kubelet(every[4], drained + 2 * MINUTE, END)
    restarts(side, cluster)
    failures(side, cluster, first, drained)
    packets = traffic(side, cluster)

    truth = Truth(START, END)
    truth.counts = {
        "audit records": len(plane.log.lines),
        "log lines": sum(len(journal.lines) for journal in side.journals.values()),
        "events": len(side.events.items),
    }
    folder = HOME / NAME
    plane.log.save(folder, (START + 15 * MINUTE, END - 2 * MINUTE))
    for one in every[:3]:
        write(folder / f"kubelet-{one.name.split('.')[0][-2:]}.log", side.journals[one.name].text())
    write(folder / "events.json", side.events.text())
    write(folder / "node-33.pcap.gz", packets)
    truth.write(folder)
