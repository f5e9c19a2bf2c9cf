"""What the well-behaved pods of a node do all day: names that resolve at once, services that answer, probes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from cluster import OUTSIDE, SERVICES, Pod
from resolver import CoreDns, Stub, spread
from tcp import Connection, Ports, tls
from wire import SECOND, Capture, Ends

MINUTE = 60 * SECOND
HABITS = ("absolute", "short", "cross", "ndots1", "absolute", "short")
"""How a pod writes names: with a final dot; as a service of its own namespace; as service.namespace; outside names with
ndots 1. None of them walks the search list for an outside name."""
REMOTE = ("10.244.36.8", "10.244.31.21", "10.244.34.27", "10.244.35.30")
"""Pods of other nodes that are spoken to directly."""


@dataclass
class Innocent:
    """Drives the pods of one case. Pods on other nodes appear in the name server's log only."""

    capture: Capture
    dns: CoreDns
    ports: Ports
    rng: random.Random
    hot: list[str] = field(default_factory=lambda: [name for name in OUTSIDE if not name.startswith(("s3.", "sts."))])
    twins: bool = False
    """Whether the uplink is captured too: what goes to pods of other nodes is seen a second time at interface 1."""

    def pods(self, pods: Sequence[Pod], start: int, end: int, lookups_a_minute: float) -> None:
        """Lookups followed by a connection, pod by pod."""
        for number, pod in enumerate(pods):
            habit = HABITS[number % len(HABITS)]
            for at in spread(self.rng, start, end - SECOND, int((end - start) / MINUTE * lookups_a_minute)):
                self.turn(at, pod, habit)

    def turn(self, at: int, pod: Pod, habit: str) -> None:
        """One lookup in the habit of the pod, and mostly the request it was made for."""
        library = "go" if sum(map(ord, pod.owner)) % 3 == 0 else "glibc"
        stub = Stub(ip=pod.ip, search=pod.search, library=library, ndots=1 if habit == "ndots1" else 5)
        service = self.rng.choice(list(SERVICES))
        if habit == "ndots1":
            name = self.rng.choice(self.hot)
            at = self.dns.lookup(at, stub, name)
            if self.seen(pod) and self.rng.random() < 0.25:
                self.secure(at, pod, name)
            return
        own = [one for one in SERVICES if one.endswith("." + pod.namespace)]
        if habit == "short" and own:
            service = self.rng.choice(own)
            at = self.dns.lookup(at, stub, service.split(".")[0])
        elif habit == "cross" and not service.endswith("." + pod.namespace):
            at = self.dns.lookup(at, stub, service)
        else:
            at = self.dns.lookup(at, stub, service + ".svc.cluster.local.")
        if self.seen(pod) and self.rng.random() < 0.6:
            self.http(at + 90, pod.ip, SERVICES[service], service)

    def seen(self, pod: Pod) -> bool:
        return pod.ip.startswith(self.capture.subnet)

    def http(self, at: int, client: str, server: str, host: str, port: int = 80) -> int:
        twin = 1 if self.twins and self.rng.random() < 0.3 else None
        if twin:
            # Straight to a pod of another node: a service's address would be rewritten between the two interfaces.
            server, port = self.rng.choice(REMOTE), 8080
        connection = Connection(self.capture, Ends(client, self.ports.next(client), server, port), twin=twin)
        at = connection.open(at)
        for _ in range(self.rng.choice((1, 1, 2))):
            request = f"GET /v1/{host.split('.')[0]}?page={self.rng.randrange(40)} HTTP/1.1\r\nHost: {host}\r\n\r\n"
            body = '{"ok":true,"items":[' + "0," * self.rng.randrange(10, 90) + "0]}"
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            at = connection.ask(at + 120, request.encode(), (head + body).encode(), self.rng.randrange(800, 9000))
        return connection.close(at + 200)

    def secure(self, at: int, pod: Pod, name: str) -> int:
        where = self.rng.choice(OUTSIDE[name])
        connection = Connection(self.capture, Ends(pod.ip, self.ports.next(pod.ip), where, 443), rtt=900)
        return tls(connection, at + 150, name, self.rng.randrange(200, 700), self.rng.randrange(300, 1300))

    def probes(self, pods: Sequence[Pod], start: int, end: int, period: int) -> None:
        """The kubelet asks every container for its health, from the bridge's address."""
        for pod in pods:
            at = start + self.rng.randrange(period * SECOND)
            while at < end - SECOND:
                ends = Ends(self.capture.subnet + "1", self.ports.next("kubelet"), pod.ip, 8080)
                connection = Connection(self.capture, ends, rtt=60)
                text = f"GET /healthz HTTP/1.1\r\nHost: {pod.ip}:8080\r\nUser-Agent: kube-probe/1.36\r\n\r\n"
                got = connection.ask(
                    connection.open(at) + 40, text.encode(), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 300
                )
                connection.close(got + 60)
                at += period * SECOND + self.rng.randrange(4000)

    def streams(self, pods: Sequence[Pod], start: int, end: int, period: float) -> None:
        """Long-lived connections to the queue: small messages both ways, never closed in sight."""
        for pod in pods:
            twin = 1 if self.twins else None
            queue = REMOTE[0] if self.twins else SERVICES["queue.platform"]
            ends = Ends(pod.ip, self.ports.next(pod.ip), queue, 5672)
            connection = Connection(self.capture, ends, rtt=300, twin=twin)
            at = connection.open(start + self.rng.randrange(5 * SECOND))
            while at < end - 2 * SECOND:
                at = connection.ask(
                    at, b"\x01" * self.rng.randrange(20, 120), b"\x02" * self.rng.randrange(20, 200), 900
                )
                at += int(self.rng.uniform(0.5, 1.5) * period * SECOND)

    def oddities(self, pods: Sequence[Pod], start: int, end: int, count: int) -> None:
        """Reverse lookups, and mistyped names that do not exist: alone, never along a search list."""
        for at in spread(self.rng, start, end - SECOND, count):
            pod = self.rng.choice(list(pods))
            port = self.ports.next(pod.ip)
            if self.rng.random() < 0.5:
                octets = self.rng.choice(list(SERVICES.values())).split(".")
                self.dns.ask(at, pod.ip, port, ".".join(reversed(octets)) + ".in-addr.arpa", "PTR")
            else:
                wrong = self.rng.choice(("legder.payments", "catalogue.shop", "chart.checkout", "promtheus.monitoring"))
                stub = Stub(ip=pod.ip, search=pod.search)
                self.dns.pair(at, stub, wrong + ".svc.cluster.local")
