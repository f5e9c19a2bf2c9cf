"""The case dns-query-flood: one pod asks for two names twenty times a second, and a node's proxy asks for its pods."""

from __future__ import annotations

import random

from cluster import Cluster, moment, node
from resolver import CoreDns, Stub, spread
from story import HOME, Truth
from tcp import Ports
from traffic import Innocent
from wire import SECOND, Capture, write

NAME = "dns-query-flood"
START = moment("2026-11-18T14:00:00")
END = START + 12 * 60 * SECOND
FLOOD = (START + 190 * SECOND, START + 400 * SECOND)
RATE = 20
NAMES = ("images.cdn.example.com", "rates.example.net")
PROXY = "10.0.12.36"
"""Address of another node, whose pods ask through it."""
LOOKUPS = 240
PAIRS = (
    *(("shop", "orders.checkout"), ("checkout", "ledger.payments"), ("payments", "orders.checkout")),
    *(("shop", "ledger.payments"), ("checkout", "catalog.shop"), ("payments", "catalog.shop")),
)
PROXIED = (START + 540 * SECOND, START + 600 * SECOND)
CALM = (
    *("shop/catalog", "shop/banner", "checkout/cart", "checkout/orders", "payments/ledger", "payments/tokens"),
    *("search/index", "logistics/stock", "platform/queue", "monitoring/prometheus"),
)


def main() -> None:
    rng = random.Random(NAME)
    here = node(33)
    capture = Capture(here.subnet, rng)
    ports = Ports(rng)
    dns = CoreDns(capture, ports, rng)
    cluster = Cluster(rng)
    truth = Truth(START, END)
    calm = cluster.pods(CALM, here)
    [guilty] = cluster.pods(("search/thumbnailer",), here)
    first, last = FLOOD
    moments = spread(rng, first, last, (last - first) // SECOND * RATE)
    for number, at in enumerate(moments):
        dns.ask(at, guilty.ip, ports.next(guilty.ip), NAMES[number % 2], "A")
    people = Innocent(capture, dns, ports, rng)
    people.pods(calm, START, END, 6)
    people.probes(calm[:5], START, END, 60)
    people.oddities(calm, START, END, 20)
    # A proxy of another node: pods of three namespaces call each other as service.namespace, behind one address.
    begin, end = PROXIED
    for number, at in enumerate(spread(rng, begin, end, LOOKUPS)):
        own, service = PAIRS[number % len(PAIRS)]
        dns.lookup(
            at, Stub(ip=PROXY, search=(f"{own}.svc.cluster.local", "svc.cluster.local", "cluster.local")), service
        )
    window = sorted(moments)[0], sorted(moments)[-1]
    meanwhile = sum(window[0] <= at <= window[1] for at in dns.moments)
    count = len(list(moments))
    seconds = (window[1] - window[0]) / SECOND
    truth.findings[f"{NAME}:{guilty.ip}"] = {
        "queries of the client": count,
        "rate of the client": round(count / seconds, 3),
        "share of all queries": round(count / meanwhile, 6),
        "distinct names": len(NAMES),
    }
    truth.counts = {"queries": len(dns.moments), "log lines": len(dns.lines), "packets": len(capture.frames)}
    folder = HOME / NAME
    write(folder / "node.pcap.gz", capture.pcap())
    write(folder / "coredns.log", dns.log())
    truth.write(folder)
