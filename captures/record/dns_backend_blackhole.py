"""The case dns-backend-blackhole: a CoreDNS pod goes, and IPVS still sends it the sockets that have asked it before."""

from __future__ import annotations

import random

from cluster import Cluster, Pod, moment, node
from dnslib import DNSHeader, DNSQuestion, DNSRecord
from klog import KubeletLog
from resolver import CoreDns, spread
from story import HOME, Truth
from tcp import Ports
from traffic import Innocent
from wire import SECOND, Capture, Ends, udp, write

NAME = "dns-backend-blackhole"
START = moment("2026-11-19T08:00:00")
END = START + 10 * 60 * SECOND
GONE = START + 180 * SECOND
KEPT = 300 * SECOND
"""IPVS keeps a socket for so long after its last packet; each new query of the socket begins that anew."""
TRY = 5 * SECOND
SERVICE, LEGACY = "10.96.0.10", "10.96.0.99"
OUTSIDE = ("api.fraud-check.example.com", "rates.example.net", "mail.example.com")
CALM = ("shop/catalog", "shop/banner", "checkout/cart", "payments/ledger", "search/index", "logistics/stock")


class Resolver:
    """A program with a fixed pool of sockets, as many runtimes have; half of them were sent to the pod that goes."""

    def __init__(
        self,
        capture: Capture,
        dns: CoreDns,
        rng: random.Random,
        pod: Pod,
        first: int,
        dead: tuple[int, int] = (GONE, GONE + KEPT),
    ) -> None:
        self.capture, self.dns, self.rng, self.pod = capture, dns, rng, pod
        self.dead = dead
        self.pool = range(first, first + 16)
        self.stale = set(self.pool[::2])
        self.lost, self.failed, self.waited = 0, 0, 0
        self.first, self.last = 0, 0

    def ask(self, at: int, port: int, name: str) -> None:
        """One lookup of an address; it is asked twice if nobody answers."""
        if port not in self.stale or not self.dead[0] <= at < self.dead[1]:
            self.dns.ask(at, self.pod.ip, port, name, "A")
            return
        ident = self.rng.randrange(65536)
        for when in (at, at + TRY):
            send(self.capture, when, Ends(self.pod.ip, port, SERVICE, 53), ident, name)
            self.lost += 1
            self.last = max(self.last, when)
        self.first = self.first or at
        self.failed += 1
        self.waited += 2 * TRY


def send(capture: Capture, at: int, ends: Ends, ident: int, name: str) -> None:
    """A query for an address, whatever becomes of it."""
    query = DNSRecord(DNSHeader(id=ident, qr=0, rd=1), q=DNSQuestion(name)).pack()
    capture.add(at, ends, udp(ends, query, capture.ident()))


def legacy(capture: Capture, dns: CoreDns, rng: random.Random, pod: Pod, ports: Ports) -> int:
    """An old name server of another department answers every other query, whatever the port. Not in CoreDNS's log."""
    asked = 0
    for number, at in enumerate(spread(rng, START + 60 * SECOND, START + 240 * SECOND, 40)):
        port, ident = (20000 + number % 5 if number % 3 else ports.next(pod.ip)), rng.randrange(65536)
        name = f"host-{number}.legacy.example.org"
        ends = Ends(pod.ip, port, LEGACY, 53)
        tries = (at,) if number % 2 else (at, at + TRY)
        for when in tries:
            send(capture, when, ends, ident, name)
        if number % 2:
            reply = DNSRecord(DNSHeader(id=ident, qr=1, rd=1, ra=1, rcode=3), q=DNSQuestion(name)).pack()
            capture.add(at + 900, ends.back(), udp(ends.back(), reply, capture.ident(), 62))
        asked += len(tries)
    return asked


def main() -> None:
    rng = random.Random(NAME)
    here = node(33)
    capture = Capture(here.subnet, rng)
    ports = Ports(rng)
    dns = CoreDns(capture, ports, rng)
    cluster = Cluster(rng)
    truth = Truth(START, END)
    calm = cluster.pods(CALM, here)
    [gateway] = cluster.pods(("platform/gateway",), here)
    [coredns, _] = cluster.pods(("kube-system/coredns", "kube-system/coredns"), here)
    resolver = Resolver(capture, dns, rng, gateway, 61000)
    for number, at in enumerate(spread(rng, START + SECOND, END - 20 * SECOND, 400)):
        # Most lookups use the pool, one in five a socket of its own.
        port = ports.next(gateway.ip) if number % 5 == 4 else resolver.pool[number % 16]
        resolver.ask(at, port, OUTSIDE[number % 3])
    people = Innocent(capture, dns, ports, rng)
    people.pods(calm, START, END, 3)
    people.probes(calm[:3], START, END, 60)
    old = legacy(capture, dns, rng, calm[1], ports)
    kubelet = KubeletLog(here, rng, 1450)
    kubelet.murmur(calm, START, END)
    kubelet.stop_pod(GONE, coredns)
    truth.findings[f"{NAME}:{SERVICE}"] = {
        "unanswered queries": resolver.lost,
        "failed lookups": resolver.failed,
        "clients": 1,
        "seconds waited": resolver.waited / SECOND,
        "window": round((resolver.last - resolver.first) / SECOND, 6),
    }
    truth.counts = {
        "lookups that failed": resolver.failed,
        "queries to the other server": old,
        "packets": len(capture.frames),
        "log lines": len(dns.lines),
    }
    folder = HOME / NAME
    write(folder / "node.pcap.gz", capture.pcap())
    write(folder / "coredns.log", dns.log())
    write(folder / "kubelet-ip-10-0-12-33.log", kubelet.text())
    truth.write(folder)


if __name__ == "__main__":
    main()
