"""The case dns-search-chain: four deployments whose outside names walk the search list, on a busy node."""

from __future__ import annotations

import random
from typing import NamedTuple

from cluster import Cluster, Pod, moment, node
from resolver import CoreDns, Stub, figures, spread
from story import HOME, Truth
from tcp import Ports
from traffic import Innocent
from wire import SECOND, Capture, write

NAME = "dns-search-chain"
START = moment("2026-11-17T09:00:00")
END = START + 20 * 60 * SECOND


class Walker(NamedTuple):
    """A deployment that walks: its owner, its C library, its outside lookups in the twenty minutes, their names."""

    owner: str
    library: str
    lookups: int
    names: tuple[str, ...]


GUILTY = (
    Walker(
        "shop/storefront", "glibc", 46, ("images.cdn.example.com", "api.fraud-check.example.com", "mail.example.com")
    ),
    Walker("payments/charge-api", "go", 32, ("api.fraud-check.example.com", "rates.example.net")),
    Walker("checkout/tax-calculator", "glibc", 26, ("tax.example.net", "rates.example.net")),
    Walker("logistics/label-printer", "musl", 20, ("hooks.partner.example.org", "s3.us-east-1.amazonaws.com")),
)
CALM: tuple[str, ...] = (
    "shop/catalog",
    "shop/banner",
    "checkout/cart",
    "checkout/orders",
    "payments/ledger",
    "payments/tokens",
)
CALM += ("search/index", "search/suggest", "logistics/stock", "logistics/routes", "platform/queue", "platform/cache")
CALM += ("monitoring/prometheus", "shop/reviews", "search/spelling", "checkout/coupons")


def stub_of(pod: Pod, library: str) -> Stub:
    """The tax calculator has a dnsConfig of its own, without the search domain of the node: three suffixes."""
    search = pod.search[:3] if pod.owner == "tax-calculator" else pod.search
    return Stub(ip=pod.ip, search=search, library=library)


def main() -> None:
    rng = random.Random(NAME)
    here = node(33)
    capture = Capture(here.subnet, rng)
    ports = Ports(rng)
    dns = CoreDns(capture, ports, rng)
    cluster = Cluster(rng)
    truth = Truth(START, END)
    calm = cluster.pods(CALM, here)
    guilty = list(zip(cluster.pods([walker.owner for walker in GUILTY], here), GUILTY, strict=True))
    for pod, walker in guilty:
        stub = stub_of(pod, walker.library)
        own = "ledger.payments" if pod.namespace != "payments" else "orders.checkout"
        for number, at in enumerate(spread(rng, START + 5 * SECOND, END - 5 * SECOND, walker.lookups)):
            dns.lookup(at, stub, walker.names[number % len(walker.names)])
            if number % 5 == 0:
                # It also calls a neighbour by service.namespace: one suffix in vain, inside the cluster.
                dns.lookup(at + 90_000, stub, own)
    chains = len(capture.frames)
    people = Innocent(capture, dns, ports, rng)
    people.pods(calm, START, END, 7)
    people.probes(calm[:8], START, END, 60)
    people.streams(calm[:4], START, END, 15)
    people.oddities(calm, START, END, 60)
    # One pod looks up two outside names the long way: too few to speak of.
    for at in spread(rng, START, END - SECOND, 2):
        dns.lookup(at, Stub(ip=calm[0].ip, search=calm[0].search), "telemetry.example.org")
    for pod, _ in guilty:
        truth.findings[f"{NAME}:{pod.ip}"] = figures(dns.tally(pod.ip), dns.seen, True)
    truth.counts = {
        "guilty packets": chains,
        "innocent packets": len(capture.frames) - chains,
        "log lines": len(dns.lines),
    }
    folder = HOME / NAME
    write(folder / "node.pcap.gz", capture.pcap())
    write(folder / "coredns.log", dns.log())
    truth.write(folder)
