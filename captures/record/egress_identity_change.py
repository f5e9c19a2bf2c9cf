"""The case egress-identity-change: a NAT gateway is replaced, and a database that lists who may come answers nobody."""

from __future__ import annotations

import random

from audit import AuditLog
from cluster import OUTSIDE, Cluster, Pod, moment, node
from controlplane import ControlPlane
from lossy import DOUBLING, LINEAR, Lossy
from story import HOME, Truth
from tcp import Ports, tls
from wire import SECOND, Capture, Ends, write

NAME = "egress-identity-change"
START = moment("2026-11-25T10:00:00")
MINUTE = 60 * SECOND
END = START + 16 * MINUTE
CHANGED = START + 9 * MINUTE + 12 * SECOND
TURNED = CHANGED + 41 * SECOND
DATABASE, PARTNER, DEAD = ("203.0.113.140", 5432), ("198.51.100.23", 443), ("198.51.100.201", 8443)
WRITERS = ("shop/catalog", "payments/ledger", "checkout/orders", "logistics/stock")


def query(capture: Capture, ports: Ports, pod: Pod, at: int, server: tuple[str, int]) -> None:
    """A short connection to the database: a start-up message, an answer, a query, rows."""
    connection = Lossy(capture, Ends(pod.ip, ports.next(pod.ip), *server), rtt=11_000)
    opened = connection.open(at)
    greeted = connection.ask(opened + 90, b"\0\0\0\x08\x04\xd2\x16\x2f", b"S", 400)
    done = connection.ask(greeted + 300, b"\x17\x03\x03" + b"\0" * 90, b"\x17\x03\x03" + b"\0" * 240, 3000)
    connection.close(done + 200)


def main() -> None:
    rng = random.Random(NAME)
    nodes = [node(number) for number in (31, 33)]
    here, cluster = nodes[1], Cluster(rng)
    capture, ports = Capture(here.subnet, rng), Ports(rng)
    pods = cluster.pods(WRITERS, here)
    other = cluster.pod("shop", "storefront", here)

    successes, failed, syns, waited = 0, 0, 0, 0
    for place, pod in enumerate(pods):
        schedule = LINEAR if place == 3 else DOUBLING
        at = START + rng.randrange(8 * SECOND)
        while at < END - 20 * SECOND:
            if at < TURNED:
                query(capture, ports, pod, at, DATABASE)
                successes += 1
            else:
                last = Lossy(capture, Ends(pod.ip, ports.next(pod.ip), *DATABASE)).knock(at, schedule)
                failed, syns, waited = failed + 1, syns + len(schedule), waited + schedule[-1]
                at = last
            at += 9 * SECOND + rng.randrange(4 * SECOND)
    # The others outside go on, and one has never been there.
    for name in ("api.fraud-check.example.com", "rates.example.net", "hooks.partner.example.org"):
        at = START + rng.randrange(5 * SECOND)
        while at < END - 5 * SECOND:
            ends = Ends(rng.choice(pods).ip, ports.next(other.ip), OUTSIDE[name][0], 443)
            tls(Lossy(capture, ends, rtt=9000), at, name, rng.randrange(200, 700), rng.randrange(300, 900))
            at += 14 * SECOND + rng.randrange(9 * SECOND)
    for at in range(START + 10 * SECOND, END - MINUTE, 3 * MINUTE):
        Lossy(capture, Ends(other.ip, ports.next(other.ip), *DEAD)).knock(at)

    plane = ControlPlane(AuditLog(rng, omit_received=True), nodes, rng)
    plane.beat(CHANGED - 3 * MINUTE, CHANGED + 2 * MINUTE)
    image: dict[str, object] = {
        "spec": {
            "template": {"spec": {"containers": [{"name": "ip-masq-agent", "image": "registry.example.com/ip-masq:2"}]}}
        }
    }
    plane.apply(CHANGED, "daemonsets", "kube-system", "ip-masq-agent", image)

    truth = Truth(START, END)
    truth.findings[f"egress-identity-change:{DATABASE[0]}:{DATABASE[1]}"] = {
        "failed attempts": failed,
        "attempts without answer": failed,
        "SYN packets": syns,
        "successes before": successes,
        "clients": len(pods),
        "clients that were answered before": len(pods),
        "attempts answered meanwhile": 0,
        "seconds waited": float(waited),
        "of them failed": 0,
    }
    truth.counts = {"packets": len(capture.frames), "audit records": len(plane.log.lines)}
    folder = HOME / NAME
    write(folder / "node.pcap.gz", capture.pcap())
    plane.log.save(folder, ())
    truth.write(folder)
