"""The case quiet: half an hour in which everything looks a little like trouble and nothing is."""

from __future__ import annotations

import random

from audit import AuditLog
from cluster import Cluster, Pod, moment, node
from controlplane import ControlPlane
from imds import CLI, NEW_SDK, PROBE, Client, health_check
from imds_credential_storm import LONG_LIFE, ROLE, S3, polite
from klog import KubeletLog
from resolver import CoreDns, Stub, spread
from story import HOME, Truth
from tcp import Ports
from traffic import Innocent
from wire import SECOND, Capture, write

NAME = "quiet"
START = moment("2026-11-16T16:00:00")
MINUTE = 60 * SECOND
END = START + 30 * MINUTE
ROLLOUT = START + 12 * MINUTE + 7 * SECOND
ROTATED = START + 28 * MINUTE + 11_902_000
CALM = ("shop/catalog", "shop/storefront", "checkout/cart", "payments/ledger", "search/index", "logistics/stock")


def node_traffic(rng: random.Random, cluster: Cluster, calm: list[Pod]) -> tuple[Capture, CoreDns]:
    """The node's capture and the name server's log: typos, in-cluster searches, two outside names the long way."""
    here = calm[0].node
    capture, ports = Capture(here.subnet, rng), Ports(rng)
    dns = CoreDns(capture, ports, rng)
    dns.banner(START + 5 * SECOND)
    people = Innocent(capture, dns, ports, rng)
    people.pods(calm, START, END, 1.4)
    people.pods([cluster.pod("platform", "cache", node(35))], START, END, 2)
    people.probes(calm[:3], START, END, 60)
    people.streams(calm[:2], START, END, 25)
    people.oddities(calm, START, END, 40)
    for at in spread(rng, START, END - SECOND, 2):
        dns.lookup(at, Stub(ip=calm[1].ip, search=calm[1].search), "telemetry.example.org")
    for at in spread(rng, START, END - 10 * SECOND, 3):
        dns.timeout(at, "10.244.35.9", "tax.example.net", "A")
    warm = Client(capture, ports, calm[5].ip, NEW_SDK, ROLE)
    warm.call(warm.refresh(START + 90 * SECOND, LONG_LIFE) + 900, S3, 600, 900)
    polite(capture, ports, cluster.address(here), CLI, [START + minute * MINUTE for minute in range(3, 30, 6)])
    checker = Client(capture, ports, cluster.address(here), PROBE, ROLE)
    for at in range(START + 20 * SECOND, END - SECOND, 60 * SECOND):
        health_check(checker, at)
    return capture, dns


def short_capture(rng: random.Random) -> Capture:
    """Forty seconds on another node: two processes fetch credentials once each. A rate made of this would be a lie."""
    there = node(35)
    capture, ports = Capture(there.subnet, rng), Ports(rng)
    begin = START + 15 * MINUTE
    polite(capture, ports, f"{there.subnet}20", CLI, [begin + 3 * SECOND, begin + 29 * SECOND])
    dns = CoreDns(capture, ports, rng, logged=False)
    pods = [Cluster(rng).pod("shop", "banner", there)]
    Innocent(capture, dns, ports, rng).pods(pods, begin, begin + 40 * SECOND, 30)
    return capture


def main() -> None:
    rng = random.Random(NAME)
    nodes = [node(number) for number in (31, 33, 35)]
    cluster = Cluster(rng)
    calm = cluster.pods(CALM, nodes[1])
    capture, dns = node_traffic(rng, cluster, calm)

    plane = ControlPlane(AuditLog(rng, omit_received=True), nodes, rng)
    plane.beat(START, END)
    kubelet = KubeletLog(nodes[1], rng, 1518)
    kubelet.boot(START + 3 * SECOND)
    kubelet.murmur(calm, START + 20 * SECOND, END)
    for pod in calm:
        plane.status(
            START + 8 * SECOND, plane.kubelets[pod.node.name], pod, {"podIP": pod.ip, "podIPs": [{"ip": pod.ip}]}
        )
    # A rollout of thirty pods in a minute: a burst of records by several writers, and over.
    image: dict[str, object] = {
        "spec": {"template": {"spec": {"containers": [{"image": "registry.example.com/storefront:7.2.0"}]}}}
    }
    plane.apply(ROLLOUT, "deployments", "shop", "storefront", image)
    for number in range(30):
        pod = cluster.pod("shop", "storefront@2", nodes[number % 3], "registry.example.com/storefront:7.2.0")
        ready = plane.start_pod(ROLLOUT + number * 1_600_000, pod)
        old = cluster.pod("shop", "storefront@1", nodes[number % 3])
        plane.stop_pod(ready + 300_000, old)
        if pod.node is nodes[1]:
            kubelet.start_pod(ready, pod)
            kubelet.stop_pod(ready + 300_000, old)
    for number in range(9):
        plane.evict(START + 20 * MINUTE + number * 12 * SECOND, "shop", calm[0].name, "catalog")

    folder = HOME / NAME
    truth = Truth(START, END)
    truth.counts = {"packets": len(capture.frames), "log lines": len(dns.lines), "audit records": len(plane.log.lines)}
    write(folder / "node.pcap.gz", capture.pcap())
    write(folder / "short.pcap", short_capture(rng).pcap())
    write(folder / "coredns.log", dns.log())
    write(folder / "kubelet.log", kubelet.text())
    plane.log.save(folder, (ROTATED,))
    truth.write(folder)
