"""The case pod-start-lookalikes: many pulls and long starts that are as they should be."""

from __future__ import annotations

import random
from collections.abc import Callable

from cluster import Cluster, moment, node
from pulls import MISSING, Pulls, on, tried
from starts import Parts, begin
from story import HOME, Truth
from wire import SECOND, write
from workload import Events

NAME = "pod-start-lookalikes"
MINUTE = 60 * SECOND
START = moment("2026-11-29T14:00:00")
END = START + 40 * MINUTE
REGISTRY = "registry.example.com"
APPS = ("shop/storefront", "shop/catalog", "checkout/cart", "payments/ledger", "search/index", "search/suggest")


def pulling(cluster: Cluster, pulls: Pulls, rng: random.Random) -> None:
    """A release with Always, a scale-up, images collected as garbage, a crash loop, a mistyped image."""
    old = on(range(31, 37))
    for place in range(60):
        pod = cluster.pod("shop", "storefront@2", old[place % 6], f"{REGISTRY}/shop/storefront:latest")
        pulls.pulled(START + 2 * MINUTE + place * 5 * SECOND, pod)
    for place, new in enumerate(on(range(61, 67))):
        for app in APPS:
            namespace, _, name = app.partition("/")
            for _ in range(2):
                pod = cluster.pod(namespace, name, new, f"{REGISTRY}/{app}:4")
                pulls.pulled(START + 12 * MINUTE + place * 3 * SECOND + rng.randrange(20 * SECOND), pod, 9 * SECOND)
    for place in range(24):
        namespace, _, name = APPS[place % 6].partition("/")
        pod = cluster.pod(namespace, name, old[place % 4], f"{REGISTRY}/{APPS[place % 6]}:4")
        at = START + 20 * MINUTE + place * 9 * SECOND
        if place == 0:
            for journal in pulls.journals.values():
                journal.say(
                    at - MINUTE,
                    "I",
                    "image_gc_manager.go:343",
                    '"Disk usage on image filesystem is over the '
                    'high threshold, trying to free bytes down to the low threshold" usage=86 highThreshold=85 '
                    "amountToFree=5368709120 lowThreshold=80",
                )
        pulls.pulled(at, pod, 14 * SECOND)
    for pod in cluster.daemons("logs", "shipper", old, f"{REGISTRY}/logs/shipper:1.9"):
        for number in range(10):
            at = START + 3 * MINUTE + number * 200 * SECOND
            pulls.present(at, pod)
            pulls.crashes(at + 8 * SECOND, pod)
    wrong = [cluster.pod("shop", "banner", one, f"{REGISTRY}/shop/baner:1") for one in old[:3]]

    def answer(at: int, pod: object) -> bool:
        pulls.refused(at, pod, MISSING, "missing")  # type: ignore[arg-type]
        return False

    tried([(START + 5 * MINUTE, pod) for pod in wrong], END - MINUTE, rng, answer)


def starting(cluster: Cluster, pulls: Pulls, rng: random.Random) -> None:
    """Node 31: big images. 32: init containers. 33: volumes that are attached late. 34: pods that waited to be placed.
    35: nothing of it."""
    kinds: dict[int, Callable[[], Parts]] = {
        31: lambda: Parts(pull=rng.randrange(70, 140) * SECOND),
        32: lambda: Parts(init=rng.randrange(40, 80) * SECOND),
        33: lambda: Parts(attach=rng.randrange(35, 95) * SECOND),
        34: lambda: Parts(queue=rng.randrange(200, 500) * SECOND, status=rng.randrange(1, 4) * SECOND),
        35: Parts,
    }
    for number, kind in kinds.items():
        for place in range(8):
            pod = cluster.pod("research", "train", node(number), f"{REGISTRY}/research/train:12")
            begin(pulls.journal(number), START + 4 * MINUTE + place * 230 * SECOND, pod, kind())


def main() -> None:
    rng = random.Random(NAME)
    cluster, pulls = Cluster(rng), Pulls(rng, Events(rng))
    for number in range(31, 36):
        pulls.journal(number)
    pulling(cluster, pulls, rng)
    starting(cluster, pulls, rng)
    truth = Truth(START, END)
    truth.counts = {"pulls": sum(pulls.attempts.values()), "events": len(pulls.events.items), "starts": 40}
    folder = HOME / NAME
    truth.write(folder)
    write(folder / "events.json", pulls.events.text())
    for number in range(31, 36):
        write(folder / f"kubelet-{number}.log", pulls.journal(number).text())
