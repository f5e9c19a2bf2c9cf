"""The case dns-backend-kept: IPVS keeps the server of sockets that go on asking, for as long as they do."""

from __future__ import annotations

import random

from cluster import Cluster, moment, node
from dns_backend_blackhole import OUTSIDE, SERVICE, Resolver
from klog import KubeletLog
from resolver import CoreDns, spread
from story import HOME, Truth
from tcp import Ports
from traffic import Innocent
from wire import SECOND, Capture, write

NAME = "dns-backend-kept"
START = moment("2026-11-19T10:00:00")
END = START + 15 * 60 * SECOND
GONE = START + 120 * SECOND
RESTARTED = GONE + 600 * SECOND
"""The program is started again, and its sockets are new."""
CALM = ("shop/catalog", "checkout/cart", "payments/ledger")


def main() -> None:
    rng = random.Random(NAME)
    here = node(33)
    capture = Capture(here.subnet, rng)
    ports = Ports(rng)
    dns = CoreDns(capture, ports, rng)
    cluster = Cluster(rng)
    truth = Truth(START, END)
    calm = cluster.pods(CALM, here)
    [mailer] = cluster.pods(("platform/mailer",), here)
    [coredns, _] = cluster.pods(("kube-system/coredns", "kube-system/coredns"), here)
    resolver = Resolver(capture, dns, rng, mailer, 61000, (GONE, RESTARTED))
    for number, at in enumerate(spread(rng, START + SECOND, END - 20 * SECOND, 300)):
        # Each socket of the pool asks at least once in two minutes, and no entry of IPVS ever runs out.
        own = number % 5 == 4
        port = ports.next(mailer.ip) if own else (resolver.pool[number % 16] if at < RESTARTED else 62000 + number % 16)
        resolver.ask(at, port, OUTSIDE[number % 3])
    people = Innocent(capture, dns, ports, rng)
    people.pods(calm, START, END, 3)
    kubelet = KubeletLog(here, rng, 1450)
    kubelet.murmur(calm, START, END)
    kubelet.stop_pod(GONE, coredns)
    truth.findings[f"dns-backend-blackhole:{SERVICE}"] = {
        "unanswered queries": resolver.lost,
        "failed lookups": resolver.failed,
        "clients": 1,
        "seconds waited": resolver.waited / SECOND,
        "window": round((resolver.last - resolver.first) / SECOND, 6),
    }
    truth.counts = {"lookups that failed": resolver.failed, "packets": len(capture.frames)}
    folder = HOME / NAME
    write(folder / "node.pcap.gz", capture.pcap())
    write(folder / "kubelet-ip-10-0-12-33.log", kubelet.text())
    truth.write(folder)


if __name__ == "__main__":
    main()
