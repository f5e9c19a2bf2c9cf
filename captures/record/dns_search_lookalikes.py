"""The case dns-search-lookalikes: lists are walked all day, and no walk is the waste that ndots:5 makes."""

from __future__ import annotations

import random
from typing import NamedTuple

from cluster import Cluster, Pod, moment, node
from resolver import CoreDns, Stub, spread
from story import HOME, Truth
from tcp import Ports
from traffic import Innocent
from wire import SECOND, Capture, write

NAME = "dns-search-lookalikes"
START = moment("2026-11-18T10:00:00")
END = START + 20 * 60 * SECOND


class Habit(NamedTuple):
    """A deployment, its resolver, and what it looks up how often in the twenty minutes."""

    owner: str
    library: str
    ndots: int
    lookups: int
    names: tuple[str, ...]


HABITS = (
    # Names of the cluster, completed by the second or the third domain of the list.
    Habit("shop/storefront", "glibc", 5, 60, ("ledger.payments", "cart.checkout", "stock.logistics.svc")),
    # A full name without its final dot: four dots, so it walks the whole list and is found as it stands.
    Habit("checkout/orders", "go", 5, 30, ("ledger.payments.svc.cluster.local",)),
    # Services of its own namespace, found at once; for AAAA there is no record.
    Habit("payments/charge-api", "glibc", 5, 80, ("ledger", "tokens")),
    # A mistyped name, searched to the end of the list.
    Habit("search/spelling", "glibc", 5, 25, ("sugest.serach",)),
    # Five dots and more: asked as it stands, denied, and then searched.
    Habit("logistics/routes", "glibc", 5, 25, ("old.api.maps.eu.partner.example.org",)),
    # The cured ones: outside names are asked as they stand, and `service.namespace.svc` is searched after a denial.
    Habit("platform/queue", "glibc", 2, 60, ("mail.example.com", "ledger.payments.svc", "rates.example.net.")),
    # musl: the same, and what it asks as it stands it never searches.
    Habit("logistics/label-printer", "musl", 1, 60, ("hooks.partner.example.org", "v2.old.labels.eu.example.org")),
    # Two outside names the long way: too few to speak of.
    Habit("shop/banner", "glibc", 5, 2, ("telemetry.example.org",)),
)
STAGED = ("shop/storefront", "payments/charge-api", "checkout/tax-calculator")
OUTSIDE_NAMES = ("images.cdn.example.com", "tax.example.net", "api.fraud-check.example.com", "ledger.payments")


def stub_of(pod: Pod, habit: Habit) -> Stub:
    return Stub(ip=pod.ip, search=pod.search, ndots=habit.ndots, library=habit.library)


def production(rng: random.Random) -> tuple[Capture, CoreDns]:
    """A node of prod-east, where each kind of walk that is no waste has its deployment."""
    here = node(33)
    capture, ports, cluster = Capture(here.subnet, rng), Ports(rng), Cluster(rng)
    dns = CoreDns(capture, ports, rng)
    pods = cluster.pods([habit.owner for habit in HABITS], here)
    for pod, habit in zip(pods, HABITS, strict=True):
        for number, at in enumerate(spread(rng, START + 5 * SECOND, END - 5 * SECOND, habit.lookups)):
            dns.lookup(at, stub_of(pod, habit), habit.names[number % len(habit.names)])
    people = Innocent(capture, dns, ports, rng)
    people.pods(cluster.pods(("shop/catalog", "search/index", "monitoring/prometheus"), here), START, END, 4)
    people.oddities(pods[:3], START, END, 30)
    return capture, dns


def staging(rng: random.Random) -> tuple[Capture, CoreDns]:
    """A node of another cluster, whose CoreDNS has autopath: ndots:5 and outside names, and nobody walks."""
    there = node(41)
    capture, ports, cluster = Capture(there.subnet, rng), Ports(rng), Cluster(rng)
    dns = CoreDns(capture, ports, rng, autopath=True)
    for pod in cluster.pods(STAGED, there):
        for number, at in enumerate(spread(rng, START + 5 * SECOND, END - 5 * SECOND, 40)):
            dns.lookup(at, Stub(ip=pod.ip, search=pod.search), OUTSIDE_NAMES[number % len(OUTSIDE_NAMES)])
    return capture, dns


def main() -> None:
    rng = random.Random(NAME)
    folder = HOME / NAME
    truth = Truth(START, END)
    capture, dns = production(rng)
    staged, other = staging(rng)
    truth.counts = {
        "packets": len(capture.frames) + len(staged.frames),
        "log lines": len(dns.lines) + len(other.lines),
    }
    write(folder / "node.pcap.gz", capture.pcap())
    write(folder / "coredns.log", dns.log())
    write(folder / "staging.pcap.gz", staged.pcap())
    write(folder / "staging-coredns.log", other.log())
    truth.write(folder)
