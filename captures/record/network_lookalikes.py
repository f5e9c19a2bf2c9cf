"""The case network-lookalikes: four captures in which packets are lost or sent again, and neither address translation
nor an allow-list is at fault."""

from __future__ import annotations

import random
from collections.abc import Callable

from cluster import Cluster, Pod, moment, node
from lossy import Lossy
from story import HOME, Truth
from tcp import Ports
from wire import SECOND, Capture, Ends, write

NAME = "network-lookalikes"
START = moment("2026-11-25T14:00:00")
HOUR = 3600 * SECOND
WITHIN = ("10.244.36.8", "10.244.31.21", "10.96.31.7")
OUTSIDE = ("192.0.2.17", "192.0.2.80", "198.51.100.23", "198.51.100.140", "203.0.113.9")
LOSSY = OUTSIDE[3]
EXCHANGES, REPLY = 2, 7 * 1448
CONNECTIONS = 51
"""To either side; each has 8 x EXCHANGES segments with payload, a SYN, a SYN-ACK and two FINs."""

Talk = Callable[[Lossy, int, int], int]
"""An exchange of a connection: at what time, the how many-eth it is; returns when it is over."""


class Scene:
    """One node's capture: pods that talk to either side by turns."""

    def __init__(self, rng: random.Random, start: int) -> None:
        here = node(33)
        self.rng, self.start = rng, start
        self.capture, self.ports = Capture(here.subnet, rng), Ports(rng)
        cluster = Cluster(rng)
        self.pods: list[Pod] = cluster.pods(("shop/catalog", "payments/ledger", "checkout/orders"), here)

    def connection(self, server: str, number: int, port: int = 443) -> Lossy:
        client = self.pods[number % len(self.pods)].ip
        rtt = 300 if server in WITHIN else 12_000
        return Lossy(self.capture, Ends(client, self.ports.next(client), server, port), rtt=rtt)

    def talk(self, servers: tuple[str, ...], outside: Talk | None = None) -> None:
        for number in range(CONNECTIONS):
            connection = self.connection(servers[number % len(servers)], number)
            at = connection.open(self.start + number * 3 * SECOND + self.rng.randrange(SECOND))
            for turn in range(EXCHANGES):
                talk = outside or plain
                at = talk(connection, at + 9000, number * EXCHANGES + turn)
            connection.close(at + 400)

    def save(self, name: str) -> int:
        write(HOME / NAME / f"{name}.pcap.gz", self.capture.pcap())
        return len(self.capture.frames)


def plain(connection: Lossy, at: int, number: int) -> int:
    return connection.ask(at, b"\0" * 90, b"\0" * REPLY, 2000 + number % 7)


def peer_and_mtu(scene: Scene) -> None:
    """One peer loses packets; and where pods upload, what is large never arrives: somebody swallows ICMP."""

    def talk(connection: Lossy, at: int, number: int) -> int:
        if connection.ends.dst == LOSSY:
            at = connection.again(at, b"\0" * 90)
        return plain(connection, at + 500, number)

    scene.talk(WITHIN)
    scene.talk(OUTSIDE, talk)
    for number in range(CONNECTIONS // 4):
        connection = scene.connection(OUTSIDE[number % len(OUTSIDE)], number)
        at = plain(connection, connection.open(scene.start + number * 9 * SECOND), number)
        connection.stuck(at + 900, b"\0" * 1448)


def captured_twice(scene: Scene) -> None:
    """A mirror sends what goes to the outside twice, the second time 40 ms later."""
    scene.talk(WITHIN)
    rest = list(scene.capture.frames)
    scene.capture.frames.clear()
    scene.talk(OUTSIDE)
    rest += [
        (at + 40_000 * again, 2 * place + again, interface, frame)
        for at, place, interface, frame in scene.capture.frames
        for again in range(2 if place % 20 == 0 else 1)
    ]
    scene.capture.frames[:] = rest


def from_outside(scene: Scene) -> None:
    """Clients on the road come to a service of the cluster; it is their own lines that lose packets."""
    scene.talk(WITHIN)
    for number in range(CONNECTIONS // 2):
        client = f"203.0.113.{20 + number % 40}"
        ends = Ends(client, scene.ports.next(client), scene.pods[0].ip, 8443)
        connection = Lossy(scene.capture, ends, rtt=70_000)
        at = connection.late_open(scene.start + number * 2 * SECOND, 1 + number % 2)
        for turn in range(3):
            at = connection.again(at + 5000, b"\0" * 90) if turn else plain(connection, at + 5000, number)


def way_out_down(scene: Scene) -> None:
    """From a moment on nothing outside answers: the gateway, not a peer."""
    scene.talk(WITHIN)
    for number in range(CONNECTIONS + 25):
        at = scene.start + number * 2 * SECOND
        connection = scene.connection(OUTSIDE[number % len(OUTSIDE)], number)
        if number < CONNECTIONS:
            first = plain(connection, connection.open(at) + 900, number)
            connection.close(plain(connection, first + 900, number) + 500)
        else:
            connection.knock(at)


SCENES = {
    "peer-and-mtu": peer_and_mtu,
    "captured-twice": captured_twice,
    "from-outside": from_outside,
    "way-out-down": way_out_down,
}


def main() -> None:
    rng = random.Random(NAME)
    truth = Truth(START, START + len(SCENES) * HOUR)
    for number, (name, play) in enumerate(SCENES.items()):
        scene = Scene(rng, START + number * HOUR)
        play(scene)
        truth.counts[f"packets of {name}"] = scene.save(name)
    truth.write(HOME / NAME)
