"""The case dns-flood-disk: a pod floods the resolver, whose log of queries fills the disk of the node it runs on, and
pods start slowly there; on a node that the resolver has left they do too, for its own reason."""

from __future__ import annotations

import random
from statistics import median

from audit import AuditLog, Call, ref
from cluster import Cluster, Pod, moment, node
from controlplane import ControlPlane
from klog import KubeletLog
from resolver import CoreDns, spread
from slow_pod_start import starved, usual
from starts import Parts, begin
from story import HOME, Truth
from tcp import Ports
from wire import SECOND, Capture, write
from workload import Events

NAME = "dns-flood-disk"
MINUTE = 60 * SECOND
START = moment("2026-12-01T06:00:00")
END = START + 36 * MINUTE
FULL, LEFT, CALM = 31, 35, 34
"""Nodes: CoreDNS runs on the first, ran on the second until before the flood, and never on the third."""
MOVED = START + 4 * MINUTE
FLOOD = (START + 9 * MINUTE, START + 12 * MINUTE)
RATE = 16
NAMES = ("images.cdn.example.com", "rates.example.net")
FAST, SLOW = 3, 9
"""Pods that start on each of the slow nodes before and after its disk is full."""
PRESSURE = START + 24 * MINUTE
QUIET = ("shop/catalog", "checkout/cart", "payments/ledger", "search/index", "logistics/stock")


def resolver(plane: ControlPlane, cluster: Cluster) -> None:
    """Two pods of CoreDNS, one of which moves from one node to another."""
    old, new = (cluster.pod("kube-system", "coredns", node(number)) for number in (LEFT, FULL))
    running = {"phase": "Running", "podIP": old.ip, "podIPs": [{"ip": old.ip}]}
    plane.status(START + 20 * SECOND, plane.kubelets[old.node.name], old, running)
    plane.start_pod(START + MINUTE, cluster.pod("kube-system", "coredns", node(32)))
    plane.start_pod(MOVED, new)
    plane.stop_pod(MOVED + 5 * SECOND, old)


def questions(dns: CoreDns, cluster: Cluster, rng: random.Random) -> dict[str, int | float]:
    """What everybody asks, and what one pod asks; the figures of the flood."""
    thumbnailer = cluster.pod("search", "thumbnailer", node(36))
    ports = dns.ports
    for number, pod in enumerate(cluster.pods(QUIET, node(36))):
        for at in spread(rng, START, END, 70):
            dns.ask(at, pod.ip, ports.next(pod.ip), "orders.checkout.svc.cluster.local", "A" if number % 2 else "AAAA")
    moments = sorted(spread(rng, *FLOOD, (FLOOD[1] - FLOOD[0]) // SECOND * RATE))
    for number, at in enumerate(moments):
        dns.ask(at, thumbnailer.ip, ports.next(thumbnailer.ip), NAMES[number % 2], "A")
    meanwhile = sum(moments[0] <= at <= moments[-1] for at in dns.moments)
    return {
        "queries of the client": len(moments),
        "rate of the client": round(len(moments) / ((moments[-1] - moments[0]) / SECOND), 3),
        "share of all queries": round(len(moments) / meanwhile, 6),
        "distinct names": len(NAMES),
    }


class Starter:
    """Binds pods to nodes and lets their kubelets start them."""

    def __init__(self, plane: ControlPlane, cluster: Cluster, rng: random.Random) -> None:
        self.plane, self.cluster, self.rng = plane, cluster, rng
        self.logs = {number: KubeletLog(node(number), rng, 1300 + number) for number in (FULL, LEFT, CALM)}
        self.taken: dict[int, list[Parts]] = {number: [] for number in self.logs}

    def start(self, at: int, number: int, parts: Parts) -> Pod:
        pod = self.cluster.pod("shop", "storefront", node(number))
        target = ref("pods", pod.namespace, pod.name, sub="binding")
        self.plane.log.add(at, Call(actor=self.plane.scheduler, verb="create", target=target, code=201, took=3000))
        begin(self.logs[number], at, pod, parts)
        self.taken[number].append(parts)
        return pod

    def figures(self, number: int) -> dict[str, int | float]:
        own = {
            place: sorted(one.own + one.sync - min(other.sync for other in parts) for one in parts)
            for place, parts in self.taken.items()
        }
        here, there = own[number], [one for place, parts in own.items() if place != number for one in parts]
        return {
            "pods": len(here),
            "median": median(here) / SECOND,
            "longest": here[-1] / SECOND,
            "median elsewhere": median(there) / SECOND,
            "pods elsewhere": len(there),
        }


def main() -> None:
    rng = random.Random(NAME)
    cluster = Cluster(rng)
    plane = ControlPlane(AuditLog(rng, omit_received=True), [node(number) for number in (31, 32, 34, 35, 36)], rng)
    dns = CoreDns(Capture("0.0.0.", rng), Ports(rng), rng)
    resolver(plane, cluster)
    flood = questions(dns, cluster, rng)
    starter = Starter(plane, cluster, rng)
    for place in range(FAST + SLOW):
        for number in starter.logs:
            late = place - FAST
            starves = number != CALM and late >= 0
            at = FLOOD[1] + (2 * late + 1) * MINUTE if late >= 0 else START + (2 * place + 1) * MINUTE
            parts = starved(rng, late + 6) if starves else usual(rng)
            starter.start(at + rng.randrange(20 * SECOND), number, parts)
    events = Events(rng)
    full = node(FULL).name
    status = f"Node {full} status is now: NodeHasDiskPressure"
    events.tell(PRESSURE, "Node", "", full, "NodeHasDiskPressure", status, "kubelet")
    for number in range(2):
        text = '"Eviction manager: attempting to reclaim" resourceName="ephemeral-storage"'
        starter.logs[FULL].say(PRESSURE - 9 * SECOND + number * 10 * SECOND, "I", "eviction_manager.go:376", text)

    truth = Truth(START, END)
    [client] = [ip for ip, tally in dns.tallies.items() if tally.queries == flood["queries of the client"]]
    truth.findings[f"dns-query-flood:{client}"] = flood
    for number in (FULL, LEFT):
        truth.findings[f"slow-pod-start:{node(number).name.split('.')[0]}"] = starter.figures(number)
    slow = f"slow-pod-start:{node(FULL).name.split('.')[0]}"
    truth.link("c16", f"dns-query-flood:{client}", slow)
    truth.link("c16", f"dns-query-flood:{client}", "observation")
    truth.counts = {"log lines": len(dns.lines), "audit records": len(plane.log.lines)}
    folder = HOME / NAME
    plane.log.save(folder)
    write(folder / "coredns.log", dns.log())
    write(folder / "events.json", events.text())
    for number, log in starter.logs.items():
        write(folder / f"kubelet-{number}.log", log.text())
    truth.write(folder)
