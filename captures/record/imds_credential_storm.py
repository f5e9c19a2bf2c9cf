"""The case imds-credential-storm: an old SDK that fetches credentials before every request, among polite clients."""

from __future__ import annotations

import random

from cluster import Cluster, moment, node
from imds import CLI, NEW_SDK, OLD_SDK, PROBE, Client, health_check
from resolver import CoreDns, Stub, spread
from story import HOME, Truth
from tcp import Ports
from traffic import Innocent
from wire import SECOND, Capture, write

NAME = "imds-credential-storm"
START = moment("2026-11-18T14:00:00")
END = START + 15 * 60 * SECOND
ROLE = "prod-east-node"
S3 = "s3.us-east-1.amazonaws.com"
SHORT_LIFE, LONG_LIFE = 14 * 60, 6 * 3600
FIRST_CALL, LAST_CALL = START + 120 * SECOND, END - 60 * SECOND
CALM: tuple[str, ...] = (
    "shop/catalog",
    "shop/storefront",
    "checkout/cart",
    "checkout/orders",
    "payments/ledger",
    "search/index",
)
CALM += ("search/suggest", "logistics/stock", "logistics/routes", "platform/queue", "platform/cache", "shop/banner")


def storm(client: Client, dns: CoreDns, stub: Stub, count: int, between: tuple[int, int]) -> None:
    """Before every object it writes, the exporter fetches credentials that live 14 minutes: less than the 15 minutes
    before the end at which its SDK starts to renew them. One more fetch stands at its start."""
    rng = client.capture.rng
    begin, end = between
    client.refresh(begin, SHORT_LIFE)
    step = (end - begin) // count
    for number in range(count):
        at = begin + 2 * SECOND + number * step + rng.randrange(step // 2)
        slow = rng.randrange(40_000, 900_000) if rng.random() < 0.3 else 0
        at = client.refresh(at, SHORT_LIFE, slow)
        at = dns.lookup(at + 900, stub, S3)
        client.call(at + 700, S3, rng.randrange(600, 1300), rng.randrange(300, 420))


def polite(capture: Capture, ports: Ports, ip: str, agent: str, moments: list[int]) -> None:
    """One fetch a process; the credentials live six hours."""
    for at in moments:
        client = Client(capture, ports, ip, agent, ROLE)
        client.call(client.refresh(at, LONG_LIFE) + 1200, S3, 700, 900)


def main() -> None:
    rng = random.Random(NAME)
    here = node(34)
    capture = Capture(here.subnet, rng)
    ports = Ports(rng)
    dns = CoreDns(capture, ports, rng, logged=False)
    cluster = Cluster(rng)
    calm = cluster.pods(CALM, here)
    exporter = cluster.pod("logistics", "manifest-exporter", here)
    warm = cluster.pod("shop", "image-resizer", here)
    cron = cluster.pod("platform", "backup-runner", here)
    watcher = cluster.pod("platform", "node-watch", here)

    client = Client(capture, ports, exporter.ip, OLD_SDK, ROLE)
    storm(client, dns, Stub(ip=exporter.ip, search=exporter.search, ndots=1), 56, (FIRST_CALL, LAST_CALL))
    guilty = len(capture.frames)

    # A patient SDK: one fetch in its life, many requests after it.
    resizer = Client(capture, ports, warm.ip, NEW_SDK, ROLE)
    ready = resizer.refresh(START + 40 * SECOND, LONG_LIFE)
    for at in [ready + 1500, *spread(rng, START + 60 * SECOND, END - 5 * SECOND, 40)]:
        resizer.call(at, S3, rng.randrange(400, 900), rng.randrange(500, 1400))
    polite(capture, ports, cron.ip, CLI, [START + minute * 60 * SECOND + 400_000 for minute in range(1, 15, 3)])
    checker = Client(capture, ports, watcher.ip, PROBE, ROLE)
    for at in range(START + 7 * SECOND, END - SECOND, 15 * SECOND):
        health_check(checker, at + rng.randrange(90_000))

    people = Innocent(capture, dns, ports, rng)
    people.pods(calm, START, END, 12)
    people.probes(calm, START, END, 30)
    people.streams(calm[:6], START, END, 8)
    people.oddities(calm, START, END, 40)

    truth = Truth(START, END)
    truth.findings[f"{NAME}:{exporter.ip}"] = client.figures()
    truth.counts = {"guilty packets": guilty, "innocent packets": len(capture.frames) - guilty}
    folder = HOME / NAME
    write(folder / "node.pcap.gz", capture.pcap())
    truth.write(folder)
