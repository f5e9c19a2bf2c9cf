"""The case security-lookalikes: a scanner of pools' names, long connections to pools' ports, services that are meant to
be open or are open to few, and anonymous callers that read what all may read. Nothing is wrong."""

from __future__ import annotations

import json
import random

from audit import AuditLog, Call, ref
from cluster import Cluster, Pod, moment, node
from controlplane import ControlPlane
from resolver import CoreDns, Stub, spread
from services import Opened, create, nobody
from story import HOME, Truth
from tcp import Connection, Ports, client_hello, server_hello, tls
from traffic import Innocent
from wire import SECOND, Capture, Ends, write

NAME = "security-lookalikes"
MINUTE = 60 * SECOND
START = moment("2026-11-28T10:00:00")
END = START + 13 * MINUTE
CALM = ("shop/catalog", "shop/banner", "checkout/orders", "logistics/stock", "search/suggest", "payments/charge")
POOLS = (
    *("pool.supportxmr.com", "pool.minexmr.com", "fr.minexmr.com", "mine.c3pool.com", "xmr-eu1.nanopool.org"),
    *("xmr-us-east1.nanopool.org", "xmr.2miners.com", "xmr.f2pool.com", "pool.hashvault.pro", "xmrpool.eu"),
    *("gulf.moneroocean.stream", "donate.v2.xmrig.com", "monerohash.com", "etc.2miners.com"),
)
SERVICES = (
    (
        Opened(
            namespace="weave",
            name="weave-scope-app",
            type="LoadBalancer",
            port=80,
            target=4040,
            annotations={"service.beta.kubernetes.io/aws-load-balancer-internal": "true"},
        ),
        {"hostname": "internal-a91-77.us-east-1.elb.amazonaws.com"},
    ),
    (
        Opened(
            namespace="kubernetes-dashboard",
            name="kubernetes-dashboard",
            type="LoadBalancer",
            port=443,
            target=8443,
            ranges=("198.51.100.0/24",),
        ),
        {"hostname": "a5c-918.us-east-1.elb.amazonaws.com"},
    ),
    (
        Opened(namespace="platform", name="rabbitmq", type="LoadBalancer", port=15672, target=15672),
        {"ip": "192.168.40.12"},
    ),
    (
        Opened(
            namespace="ingress-nginx", name="ingress-nginx-controller", type="LoadBalancer", port=8443, target="https"
        ),
        {"hostname": "a33-102.us-east-1.elb.amazonaws.com"},
    ),
    (Opened(namespace="shop", name="storefront", type="LoadBalancer", port=80, target=8080), {"ip": "203.0.113.80"}),
    (Opened(namespace="monitoring", name="prometheus", type="ClusterIP", port=9090, target=9090), None),
)


def scanner(dns: CoreDns, pod: Pod) -> None:
    """A security tool that resolves its list, each name once."""
    stub = Stub(ip=pod.ip, search=pod.search, ndots=1)
    for number, name in enumerate(POOLS):
        dns.lookup(START + 3 * MINUTE + number * 2 * SECOND, stub, name)


def broker(capture: Capture, ports: Ports, pod: Pod, rng: random.Random, port: int, hello: str) -> None:
    """A service outside that pushes a little every ten seconds, over a port that pools like."""
    connection = Connection(capture, Ends(pod.ip, ports.next(pod.ip), "198.51.100.31", port), rtt=9000)
    at = connection.open(START + 8 * SECOND)
    at = connection.ask(at + 400, client_hello(hello, rng), server_hello(rng), 900)
    while at < END - 12 * SECOND:
        at = connection.send(at + 10 * SECOND + rng.randrange(40_000), b"\x17\x03\x03\x00\x40" + b"\0" * 64, out=False)


def developers(capture: Capture, ports: Ports, pod: Pod) -> None:
    """JSON-RPC at port 3333, and to a node of a block chain: no word of a miner."""
    for server, port, method in (("10.244.36.8", 3333, "job"), ("198.51.100.45", 8545, "eth_blockNumber")):
        connection = Connection(capture, Ends(pod.ip, ports.next(pod.ip), server, port), rtt=700)
        at = connection.open(START + 21 * SECOND)
        for number in range(30):
            asked = json.dumps({"id": number, "jsonrpc": "2.0", "method": method, "params": ["latest"]}) + "\n"
            told = json.dumps({"id": number, "jsonrpc": "2.0", "result": hex(number * 977)}) + "\n"
            at = connection.ask(at + 20 * SECOND, asked.encode(), told.encode(), 700)


def anybody(plane: ControlPlane, rng: random.Random) -> None:
    """Health checks of a balancer, a node that joins, and a stranger who is refused."""
    reason = (
        'RBAC: allowed by ClusterRoleBinding "system:public-info-viewer" of ClusterRole "system:public-info-viewer"'
    )
    checks = nobody("10.0.12.250", "ELB-HealthChecker/2.0", reason)
    for at in range(START + 3 * SECOND, END, 10 * SECOND):
        plane.log.add(at + rng.randrange(90_000), Call(actor=checks, verb="get", path="/readyz", took=900))
    joins = nobody("10.0.12.77", "kubeadm/v1.36.2 (linux/amd64) kubernetes/3d8a7f2", reason)
    target = ref("configmaps", "kube-public", "cluster-info")
    plane.log.add(START + 4 * MINUTE, Call(actor=joins, verb="get", target=target, query="timeout=10s", took=1500))


def main() -> None:
    rng = random.Random(NAME)
    here = node(34)
    capture = Capture(here.subnet, rng)
    ports = Ports(rng)
    dns = CoreDns(capture, ports, rng)
    cluster = Cluster(rng)
    plane = ControlPlane(AuditLog(rng, omit_received=True), [node(number) for number in (31, 32, 34)], rng)
    plane.beat(START, END)
    calm = cluster.pods(CALM, here)
    scanner(dns, cluster.pod("security", "dns-audit", here))
    broker(capture, ports, cluster.pod("logistics", "telemetry", here), rng, 14433, "push.partner.example.org")
    developers(capture, ports, cluster.pod("shop", "wallet-sync", here))
    visitor = cluster.pod("platform", "price-ticker", here)
    web = Connection(capture, Ends(visitor.ip, ports.next(visitor.ip), "198.51.100.60", 443), rtt=8000)
    tls(web, START + 5 * MINUTE, "api.nanopool.org", 400, 1200)
    for number, (service, ingress) in enumerate(SERVICES):
        create(plane, START + (2 + number) * MINUTE, plane.deployer, service, ingress)
    anybody(plane, rng)
    for at in spread(rng, START, END - SECOND, 12):
        knock = Connection(capture, Ends("203.0.113.66", ports.next("203.0.113.66"), calm[0].ip, 4040), rtt=38_000)
        knock.refused(at)
    people = Innocent(capture, dns, ports, rng)
    people.pods(calm, START, END, 5)
    people.probes(calm, START, END, 60)

    truth = Truth(START, END)
    truth.counts = {"packets": len(capture.frames), "audit records": len(plane.log.lines)}
    folder = HOME / NAME
    write(folder / "node.pcap.gz", capture.pcap())
    write(folder / "coredns.log", dns.log())
    plane.log.save(folder, (END - 3 * MINUTE,))
    truth.write(folder)
