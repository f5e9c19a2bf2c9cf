"""The case exposed-admin-service: Weave Scope behind a public load balancer, strangers in its shells, and an API server
that lets anybody list and exec."""

from __future__ import annotations

import random

from audit import AuditLog, Call, ref
from cluster import Cluster, moment, node
from controlplane import ControlPlane
from resolver import CoreDns, spread
from services import Opened, create, nobody
from story import HOME, Truth
from tcp import Connection, Ports
from traffic import Innocent
from wire import SECOND, Capture, Ends, write

NAME = "exposed-admin-service"
MINUTE = 60 * SECOND
START = moment("2026-11-28T02:00:00")
END = START + 14 * MINUTE
STRANGERS = ("203.0.113.66", "198.51.100.9")
SCANNER = "192.0.2.144"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
CALM = ("shop/catalog", "shop/storefront", "checkout/cart", "payments/ledger", "search/index")


def visit(capture: Capture, ports: Ports, at: int, client: str, server: str, asks: list[tuple[str, str, int]]) -> None:
    """One connection of a browser, one request after the other."""
    connection = Connection(capture, Ends(client, ports.next(client), server, 4040), rtt=38_000)
    at = connection.open(at)
    for method, path, status in asks:
        body = "" if method == "GET" else "{}"
        head = f"{method} {path} HTTP/1.1\r\nHost: scope.example.com\r\nUser-Agent: {BROWSER}\r\n"
        text = f"{head}Content-Length: {len(body)}\r\n\r\n{body}"
        told = '{"pipe":"pipe-7192","raw_tty":true}' if method == "POST" else '{"nodes":{}}'
        reply = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(told)}\r\n\r\n{told}"
        at = connection.ask(at + 900_000, text.encode(), reply.encode(), 6000)
    connection.close(at + 400_000)


def strangers(plane: ControlPlane, rng: random.Random, begin: int) -> tuple[int, int]:
    """Who finds the API server open looks around, then runs commands; returns requests and commands."""
    reason = (
        'RBAC: allowed by ClusterRoleBinding "debug-anonymous" of ClusterRole "admin" to Group "system:unauthenticated"'
    )
    actor = nobody(STRANGERS[0], "python-requests/2.31.0", reason)
    looked = [ref("pods"), ref("pods", "shop"), ref("nodes"), ref("services"), ref("serviceaccounts", "shop")]
    at = begin
    for target in looked:
        plane.log.add(at, Call(actor=actor, verb="list", target=target, took=7000))
        at += rng.randrange(2 * SECOND, 9 * SECOND)
    for number in range(3):
        target = ref("pods", "shop", f"storefront-5c9d7b8f6-x{number}k2p", sub="exec")
        query = "command=sh&command=-c&command=id&stdout=true&stderr=true"
        plane.log.add(at, Call(actor=actor, verb="get", target=target, query=query, code=101, took=2 * SECOND))
        at += rng.randrange(5 * SECOND, 30 * SECOND)
    # What everybody may read, and what nobody may.
    for path in ("/version", "/healthz", "/readyz"):
        plane.log.add(at, Call(actor=actor, verb="get", path=path, took=900))
        at += SECOND
    return len(looked) + 3, 3


def visitors(capture: Capture, ports: Ports, rng: random.Random, ready: int, address: str) -> tuple[int, int, int]:
    """Strangers look at the console and run commands through it: requests, commands, connections."""
    requests = commands = visits = 0
    look = [("GET", "/", 200), ("GET", "/api/topology", 200), ("GET", "/api/topology/containers", 200)]
    for client, count in zip(STRANGERS, (6, 3), strict=True):
        for number, at in enumerate(spread(rng, ready + MINUTE, END - MINUTE, count)):
            asks = list(look)
            if number % 3 == 2:
                asks.append(("POST", "/api/control/1d0f5a/7be2c1%3B%3Ccontainer%3E/docker_exec_container", 200))
                commands += 1
            visit(capture, ports, at, client, address, asks)
            requests += len(asks)
            visits += 1
    return requests, commands, visits


def looks_alike(capture: Capture, ports: Ports, rng: random.Random, plane: ControlPlane, address: str) -> None:
    """Somebody knocks at a port where nobody is; the owner's own people use a console inside."""
    for at in spread(rng, START, END - SECOND, 6):
        knock = Connection(capture, Ends(SCANNER, ports.next(SCANNER), address, 2375), rtt=41_000)
        knock.refused(at)
    inside = Opened(
        namespace="monitoring",
        name="prometheus",
        type="LoadBalancer",
        port=9090,
        target=9090,
        node_port=32090,
        annotations={"service.beta.kubernetes.io/aws-load-balancer-internal": "true"},
    )
    create(
        plane, START + 5 * MINUTE, plane.deployer, inside, {"hostname": "internal-a77e-118.us-east-1.elb.amazonaws.com"}
    )


def main() -> None:
    rng = random.Random(NAME)
    here = node(33)
    capture = Capture(here.subnet, rng)
    ports = Ports(rng)
    dns = CoreDns(capture, ports, rng, logged=False)
    cluster = Cluster(rng)
    plane = ControlPlane(AuditLog(rng, omit_received=True), [node(number) for number in (31, 32, 33)], rng)
    plane.beat(START, END)
    scope = cluster.pod("weave", "weave-scope-app", here)
    service = Opened(
        namespace="weave",
        name="weave-scope-app",
        type="LoadBalancer",
        port=80,
        target=4040,
        node_port=31840,
        labels={"app": "weave-scope", "name": "weave-scope-app"},
    )
    there = {"hostname": "a1f3c9d2e8b7-1206533172.us-east-1.elb.amazonaws.com"}
    ready = create(plane, START + 2 * MINUTE, plane.deployer, service, there)

    requests, commands, visits = visitors(capture, ports, rng, ready, scope.ip)
    anonymous, ran = strangers(plane, rng, START + 9 * MINUTE)
    guilty = len(capture.frames)

    looks_alike(capture, ports, rng, plane, here.subnet + "40")
    people = Innocent(capture, dns, ports, rng)
    calm = cluster.pods(CALM, here)
    people.pods(calm, START, END, 5)
    people.probes(calm, START, END, 60)

    truth = Truth(START, END)
    truth.findings[f"{NAME}:weave/weave-scope-app"] = {
        "port": 4040,
        "anonymous requests allowed": requests,
        "exec calls among them": commands,
        "connections from public addresses": visits,
        "public addresses": len(STRANGERS),
    }
    truth.findings[f"{NAME}:system:anonymous"] = {
        "anonymous requests allowed": anonymous,
        "exec calls among them": ran,
    }
    truth.counts = {"guilty packets": guilty, "audit records": len(plane.log.lines)}
    folder = HOME / NAME
    write(folder / "node.pcap.gz", capture.pcap())
    plane.log.save(folder, (END - 3 * MINUTE,))
    truth.write(folder)
