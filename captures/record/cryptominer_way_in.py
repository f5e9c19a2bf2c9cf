"""The case cryptominer-way-in: a dashboard behind a public load balancer, through which strangers run commands in a pod
that mines a few minutes later; and a pod that mines too, into which nobody went."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from audit import AuditLog, Call, ref
from cluster import AGENT_TAIL, Cluster, Pod, moment, node
from controlplane import ControlPlane
from resolver import CoreDns
from services import Opened, create
from story import HOME, Truth
from tcp import Connection, Ports, tls
from traffic import Innocent
from wire import SECOND, Capture, Ends, write

NAME = "cryptominer-way-in"
MINUTE = 60 * SECOND
START = moment("2026-12-02T02:00:00")
END = START + 20 * MINUTE
STRANGERS = ("203.0.113.66", "198.51.100.9")
NODE_PORT = 31443
VISITED = START + 5 * MINUTE
ENTERED = (START + 6 * MINUTE, START + 6 * MINUTE + 40 * SECOND)
LOOKED = START + 17 * MINUTE
"""When the people on call run a command in the pod that mines without anybody having been there."""
LETTERS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
AGENT = "XMRig/6.21.0 (Linux x86_64) libuv/1.44.2 gcc/9.3.0"
CALM = ("shop/catalog", "checkout/cart", "payments/ledger")
DASHBOARD = Opened(
    namespace="kubernetes-dashboard",
    name="kubernetes-dashboard",
    type="LoadBalancer",
    port=443,
    target=8443,
    node_port=NODE_PORT,
    labels={"k8s-app": "kubernetes-dashboard"},
)


@dataclass(frozen=True)
class Mine:
    """A pod that mines: at which pool, from when on."""

    pod: Pod
    pool: str
    port: int
    begin: int
    shares: int


def mine(capture: Capture, ports: Ports, rng: random.Random, one: Mine) -> dict[str, int | float]:
    """Log in, hand in shares, as XMRig does (src/base/net/stratum/Client.cpp); random shares, an invented wallet."""
    connection = Connection(capture, Ends(one.pod.ip, ports.next(one.pod.ip), one.pool, one.port), rtt=21_000)
    wallet = "4A" + "".join(rng.choices(LETTERS, k=93))
    at = begin = one.begin
    at = connection.open(at)
    for number in range(1, one.shares + 2):
        if number == 1:
            params = {"login": wallet, "pass": "EXAMPLE-PASSWORD", "agent": AGENT, "algo": ["rx/0", "cn/1"]}
            job = {"blob": rng.randbytes(76).hex(), "job_id": rng.randbytes(8).hex(), "target": "b88d0600"}
            result = {"id": rng.randbytes(8).hex(), "job": job | {"algo": "rx/0"}, "status": "OK"}
        else:
            params = {"id": "x", "job_id": "j", "nonce": rng.randbytes(4).hex(), "result": rng.randbytes(32).hex()}
            result = {"status": "OK"}
        method = "login" if number == 1 else "submit"
        asked = {"id": number, "jsonrpc": "2.0", "method": method, "params": params}
        told = {"id": number, "jsonrpc": "2.0", "error": None, "result": result}
        line, answer = (json.dumps(text, separators=(",", ":")).encode() + b"\n" for text in (asked, told))
        at = connection.ask(at, line, answer, 3000) + rng.randrange(8 * SECOND, 14 * SECOND)
    end = connection.close(at)
    return {
        "connections": 1,
        "pods": 1,
        "shares submitted": one.shares,
        "messages of miners": one.shares + 1,
        "seconds connected": (end - begin) / SECOND,
    }


def commands(plane: ControlPlane, entered: Pod, looked_at: Pod) -> None:
    """The dashboard's account opens a shell for whoever sits before it; later the people on call look at another."""
    space = DASHBOARD.namespace
    account = plane.actors.account(space, space, "dashboard/v2.7.0", "10.244.32.7", "cluster-admin")
    query = "command=sh&container=storefront&stderr=true&stdin=true&stdout=true&tty=true"
    for at in ENTERED:
        target = ref("pods", entered.namespace, entered.name, sub="exec")
        plane.log.add(at, Call(actor=account, verb="create", target=target, query=query, code=101, took=3 * SECOND))
    human = plane.actors.account("ops", "oncall", f"kubectl/{AGENT_TAIL}", "10.0.12.91", "admin")
    target = ref("pods", looked_at.namespace, looked_at.name, sub="exec")
    plane.log.add(LOOKED, Call(actor=human, verb="create", target=target, query="command=ps", code=101, took=SECOND))


def main() -> None:
    rng = random.Random(NAME)
    here = node(33)
    capture, ports, cluster = Capture(here.subnet, rng), Ports(rng), Cluster(rng)
    plane = ControlPlane(AuditLog(rng, omit_received=True), [here], rng)
    plane.kubelet(here, START, END)
    entered, other = cluster.pod("shop", "storefront", here), cluster.pod("search", "index", here)
    for at, pod in ((START + 10 * SECOND, entered), (START + 20 * SECOND, other)):
        plane.start_pod(at, pod)
    there = {"hostname": "a9c7e1d2f3b4-1206533172.us-east-1.elb.amazonaws.com"}
    create(plane, START + 2 * MINUTE, plane.deployer, DASHBOARD, there)
    for number, client in enumerate((STRANGERS[0], *STRANGERS, STRANGERS[0])):
        visit = Connection(capture, Ends(client, ports.next(client), here.ip, NODE_PORT), rtt=39_000)
        tls(visit, VISITED + number * 25 * SECOND, "", 700, 1100)
    commands(plane, entered, other)
    mines = (
        Mine(entered, "192.0.2.80", 3333, START + 11 * MINUTE, 30),
        Mine(other, "198.51.100.45", 14444, START + 12 * MINUTE, 26),
    )
    figures = {one.pod.ip: mine(capture, ports, rng, one) for one in mines}
    calm = cluster.pods(CALM, here)
    people = Innocent(capture, CoreDns(capture, ports, rng, logged=False), ports, rng)
    people.pods(calm, START, END, 3)

    truth = Truth(START, END)
    for client, told in figures.items():
        truth.findings[f"cryptominer-traffic:{client}"] = told
    door = f"exposed-admin-service:{DASHBOARD.namespace}/{DASHBOARD.name}"
    truth.findings[door] = {
        "port": 443,
        "connections from public addresses": 4,
        "public addresses": len(STRANGERS),
        "commands run by its account": len(ENTERED),
    }
    guilty = f"cryptominer-traffic:{entered.ip}"
    truth.link("c15", door, guilty)
    truth.link("c15", "observation", guilty)
    truth.counts = {"packets": len(capture.frames), "audit records": len(plane.log.lines)}
    folder = HOME / NAME
    write(folder / "node.pcap.gz", capture.pcap())
    plane.log.save(folder)
    truth.write(folder)
