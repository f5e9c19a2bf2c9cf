"""The case dns-backend-scaled: an autoscaler takes a CoreDNS away, and connection tracking still sends to it what asked
it before."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from cluster import Cluster, moment, node
from dns_backend_blackhole import OUTSIDE, SERVICE, Resolver
from klog import KubeletLog
from resolver import CoreDns, spread
from story import HOME, Truth
from tcp import Ports
from traffic import Innocent
from wire import SECOND, Capture, write

NAME = "dns-backend-scaled"
START = moment("2026-11-19T12:00:00")
END = START + 8 * 60 * SECOND
SCALED = START + 180 * SECOND
GONE = SCALED + SECOND
KEPT = 110 * SECOND
"""Every two minutes the program takes new sockets. Until then each query keeps the entry for another 120 s."""
CALM = ("shop/catalog", "checkout/cart", "payments/ledger")


def klog(at: int, severity: str, caller: str, text: str) -> str:
    """A line of a program in a container."""
    when = datetime.fromtimestamp(at // SECOND, UTC)
    return f"{severity}{when:%m%d %H:%M:%S}.{at % SECOND:06d}       1 {caller}] {text}\n"


def main() -> None:
    rng = random.Random(NAME)
    here = node(33)
    capture = Capture(here.subnet, rng)
    ports = Ports(rng)
    dns = CoreDns(capture, ports, rng)
    cluster = Cluster(rng)
    truth = Truth(START, END)
    calm = cluster.pods(CALM, here)
    [feed] = cluster.pods(("search/feed",), here)
    [coredns, _] = cluster.pods(("kube-system/coredns", "kube-system/coredns"), here)
    resolver = Resolver(capture, dns, rng, feed, 61000, (GONE, GONE + KEPT))
    for number, at in enumerate(spread(rng, START + SECOND, END - 20 * SECOND, 320)):
        own = number % 5 == 4
        renewed = at >= GONE + KEPT
        port = ports.next(feed.ip) if own else (62000 + number % 16 if renewed else resolver.pool[number % 16])
        resolver.ask(at, port, OUTSIDE[number % 3])
    people = Innocent(capture, dns, ports, rng)
    people.pods(calm, START, END, 3)
    kubelet = KubeletLog(here, rng, 1450)
    kubelet.murmur(calm, START, END)
    kubelet.stop_pod(GONE, coredns)
    scaler = "".join(
        klog(at, "I", "k8sclient.go:289", f"Replicas are not as expected : updating kube-system/coredns from {change}")
        for at, change in ((START + 40 * SECOND, "2 to 3"), (SCALED, "3 to 2"))
    )
    proxy = klog(
        *(GONE + 300_000, "E", "conntrack.go:56"),
        f'"Failed to delete endpoint connections" err="error deleting conntrack entries for UDP peer '
        f'{{{SERVICE}, {coredns.ip}}}: exec: \\"conntrack\\": executable file not found in $PATH"',
    )
    truth.findings[f"dns-backend-blackhole:{SERVICE}"] = {
        "unanswered queries": resolver.lost,
        "failed lookups": resolver.failed,
        "clients": 1,
        "seconds waited": resolver.waited / SECOND,
        "window": round((resolver.last - resolver.first) / SECOND, 6),
        "replicas before": 3,
        "replicas after": 2,
    }
    truth.counts = {"lookups that failed": resolver.failed, "packets": len(capture.frames)}
    folder = HOME / NAME
    write(folder / "node.pcap.gz", capture.pcap())
    write(folder / "kubelet-ip-10-0-12-33.log", kubelet.text())
    write(folder / "coredns-autoscaler.log", scaler.encode())
    write(folder / "kube-proxy-ip-10-0-12-33.log", proxy.encode())
    truth.write(folder)


if __name__ == "__main__":
    main()
