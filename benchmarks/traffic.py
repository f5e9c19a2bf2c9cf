"""The packets that a node of a cluster sees in an hour, by time: DNS with search chains, TCP, and the rest.

Everything is drawn from one seed, and only `random()` of Python's generator is used, whose sequence does not change
between versions. Payloads are random octets and checksums are zero: what a reader has to do does not depend on them,
and dissectors that would look into TLS are spared the work.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from operator import itemgetter
from random import Random
from typing import NamedTuple, TypeVar

T = TypeVar("T")

START = 1773478800  # 2026-03-14T09:00:00Z
HOUR = 3600
LATEST = 3580.0
"""Seconds into the hour at which the last conversation begins; the longest takes less than the rest."""
SLICES = 1000
"""Steps in which an hour is made, so that memory does not follow the number of packets."""

DNS_SHARE, TCP_SHARE = 0.60, 0.35
LOST_ANSWERS = 0.002
SYN_RETRIES = 0.02
RETRANSMITTED = 0.012
"""Of the segments with data."""

FEW_NAMES, MANY_NAMES = 800, 100_000
"""Hosts that are asked for; with search domains and namespaces about 9 thousand and 231 thousand distinct names."""
SKEWED_MOST = 5000
"""Up to here some hosts are asked for much more often than others; beyond it all alike, or most would never come up."""

NAMESPACES = ("default", "payments", "kube-system", "monitoring", "web", "data", "ml", "ci")
IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD
A, AAAA = 1, 28
SYN, SYN_ACK, ACK, PUSH, FIN = 0x02, 0x12, 0x10, 0x18, 0x11
SYN_OPTIONS = b"\x02\x04\x05\xb4\x04\x02\x01\x01"
EDNS = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
RESOLVER = bytes((10, 96, 0, 10))


class Packet(NamedTuple):
    """`time` counts microseconds since 1970; `body` begins at the network header."""

    time: int
    outbound: bool
    ethertype: int
    body: bytes


class Chance:
    """Draws that are the same with every Python."""

    def __init__(self, seed: int) -> None:
        self.draw = Random(seed).random

    def below(self, count: int) -> int:
        return int(self.draw() * count)

    def between(self, low: int, high: int) -> int:
        return low + int(self.draw() * (high - low))

    def one_of(self, things: Sequence[T]) -> T:
        return things[int(self.draw() * len(things))]


class Host(NamedTuple):
    name: str
    internal: bool
    address: bytes


class Pod(NamedTuple):
    address: bytes
    namespace: str


class World:
    """Who talks with whom. `hour` shifts times and client ports: later hours are the same traffic on other sockets."""

    def __init__(self, names: int, hour: int) -> None:
        chance = Chance(11)
        self.hour = hour
        self.payload = bytes(chance.below(256) for _ in range(1 << 16))
        self.outside = [bytes((52, chance.below(256), chance.below(256), chance.between(1, 255))) for _ in range(3000)]
        self.hosts = [_host(i, chance, self.outside) for i in range(names)]
        self.pods = [
            Pod(bytes((10, 244, chance.below(64), chance.between(2, 254))), chance.one_of(NAMESPACES))
            for _ in range(800)
        ]
        self.chance = Chance(7)
        self.names: dict[str, bytes] = {}
        self._ident = 0

    def moment(self, slice_: int) -> int:
        """A time in this slice of the hour."""
        seconds = (slice_ + self.chance.draw()) * LATEST / SLICES
        return (START + self.hour * HOUR) * 1_000_000 + int(seconds * 1e6)

    def port(self) -> int:
        return 1024 + (self.chance.below(64_000) + self.hour * 7919) % 64_000

    def host(self) -> Host:
        draw = self.chance.draw()
        return self.hosts[int((draw if len(self.hosts) > SKEWED_MOST else draw * draw * draw) * len(self.hosts))]

    def data(self, size: int) -> bytes:
        start = self.chance.below(60_000)
        return self.payload[start : start + size]

    def wire(self, name: str) -> bytes:
        """The name as labels, which is spelled once."""
        if (known := self.names.get(name)) is None:
            known = self.names[name] = wire(name)
        return known

    def ip(self, src: bytes, dst: bytes, protocol: int, payload: bytes) -> bytes:
        self._ident = (self._ident + 1) & 0xFFFF
        return ipv4(src, dst, protocol, payload, self._ident)


def wire(name: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode() for label in name.split(".")) + b"\0"


def ipv4(src: bytes, dst: bytes, protocol: int, payload: bytes, ident: int) -> bytes:
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), ident, 0x4000, 64, protocol, 0)
    return b"".join((head, src, dst, payload))


def udp(src_port: int, dst_port: int, payload: bytes) -> bytes:
    return struct.pack(">HHHH", src_port, dst_port, 8 + len(payload), 0) + payload


def _host(index: int, chance: Chance, outside: Sequence[bytes]) -> Host:
    if index % 5 == 0:
        return Host(f"svc-{index}", True, bytes((10, 96, index >> 8 & 0xFF, index & 0xFF)))
    kind = chance.one_of(("api", "db", "cdn", "sts", "s3"))
    owner = chance.one_of(("acme", "stripe", "datadog", "eu-west-1"))
    domain = chance.one_of(("com", "io", "net", "amazonaws.com", "googleapis.com"))
    return Host(f"{kind}-{index:x}.{owner}.{domain}", False, outside[index % len(outside)])


def packets(count: int, names: int = FEW_NAMES, hour: int = 0) -> Iterator[Packet]:
    """`count` packets of one hour."""
    world = World(names, hour)
    waiting: list[Packet] = []
    dns = tcp = other = left = 0
    for slice_ in range(SLICES):
        due = count * (slice_ + 1) // SLICES
        while dns < due * DNS_SHARE:
            dns += _extend(waiting, lookup(world, world.moment(slice_)))
        while tcp < due * TCP_SHARE:
            tcp += _extend(waiting, connection(world, world.moment(slice_)))
        while dns + tcp + other < due:
            waiting.append(remainder(world, world.moment(slice_), other))
            other += 1
        waiting.sort(key=itemgetter(0))
        until = (START + hour * HOUR) * 1_000_000 + int((slice_ + 1) * LATEST / SLICES * 1e6)
        ready = len(waiting) if slice_ == SLICES - 1 else sum(packet.time < until for packet in waiting)
        yield from waiting[: min(ready, count - left)]
        left += min(ready, count - left)
        del waiting[:ready]


def _extend(waiting: list[Packet], more: Iterator[Packet]) -> int:
    before = len(waiting)
    waiting.extend(more)
    return len(waiting) - before


def lookup(world: World, time: int) -> Iterator[Packet]:
    """What a resolver with ndots:5 asks until a name exists: A and AAAA of the name below each search domain."""
    chance, pod, host = world.chance, world.chance.one_of(world.pods), world.host()
    domains = (f"{pod.namespace}.svc.cluster.local", "svc.cluster.local", "cluster.local", "eu-west-1.compute.internal")
    dead = chance.draw() < 0.01
    for step, domain in enumerate((*domains, "")):
        name = world.wire(f"{host.name}.{domain}" if domain else host.name)
        final = step == (0 if host.internal else len(domains))
        port, latest = world.port(), time
        for kind in (A, AAAA):
            ident = chance.below(1 << 16)
            question = name + struct.pack(">HH", kind, 1)
            asked = struct.pack(">6H", ident, 0x0100, 1, 0, 0, 1) + question + EDNS
            yield Packet(time, True, IPV4, world.ip(pod.address, RESOLVER, 17, udp(port, 53, asked)))
            took = chance.between(80, 900)
            if chance.draw() < LOST_ANSWERS:
                continue
            failed = 2 if chance.draw() < 0.003 else 3
            told = answer(ident, question, host, kind, rcode=0 if final and not dead else failed)
            yield Packet(time + took, False, IPV4, world.ip(RESOLVER, pod.address, 17, udp(53, port, told)))
            latest = max(latest, time + took)
        time = latest + chance.between(20, 100)
        if final:
            return


def answer(ident: int, question: bytes, host: Host, kind: int, rcode: int) -> bytes:
    """An address, a failure, or the SOA record of the zone, which is taken to be the last two labels of the name."""
    if rcode == 2:
        return b"".join((struct.pack(">6H", ident, 0x8182, 1, 0, 0, 1), question, EDNS))
    if rcode == 0 and kind == A:
        head = struct.pack(">6H", ident, 0x8180, 1, 1, 0, 1)
        return b"".join((head, question, b"\xc0\x0c", struct.pack(">HHIH", A, 1, 30, 4), host.address, EDNS))
    pointer = struct.pack(">H", 0xC000 | 12 + _zone(question))
    body = b"".join(
        (b"\x02ns\x03dns", pointer, b"\x0ahostmaster", pointer, struct.pack(">5I", 1, 7200, 1800, 86400, 30))
    )
    head = struct.pack(">6H", ident, 0x8180 | (0x0400 if rcode == 3 else 0) | rcode, 1, 0, 1, 1)
    return b"".join((head, question, pointer, struct.pack(">HHIH", 6, 1, 30, len(body)), body, EDNS))


def _zone(name: bytes) -> int:
    """Where the last two labels of the name begin."""
    starts, at = [0], 0
    while name[at]:
        starts.append(at)
        at += name[at] + 1
    return starts[-2]


def connection(world: World, time: int) -> Iterator[Packet]:
    """A connection from a pod to the outside: handshake, requests and answers, end."""
    chance, pod, server = world.chance, world.chance.one_of(world.pods), world.chance.one_of(world.outside)
    client_port, port = world.port(), chance.one_of((443, 443, 443, 6443, 10250, 9092))
    mine, theirs = chance.below(1 << 32), chance.below(1 << 32)
    rtt = chance.between(200, 40_000)

    def sent(when: int, flags: int, data: bytes = b"", options: bytes = b"") -> Packet:
        segment = _segment(client_port, port, mine, theirs if flags != SYN else 0, flags, data, options)
        return Packet(when, True, IPV4, world.ip(pod.address, server, 6, segment))

    def received(when: int, flags: int, data: bytes = b"", options: bytes = b"") -> Packet:
        segment = _segment(port, client_port, theirs, mine, flags, data, options)
        return Packet(when, False, IPV4, world.ip(server, pod.address, 6, segment))

    if chance.draw() < SYN_RETRIES:
        for wait in (1_000_000, 2_000_000)[: chance.between(1, 3)]:
            yield sent(time, SYN, options=SYN_OPTIONS)
            time += wait
    yield sent(time, SYN, options=SYN_OPTIONS)
    time, mine = time + rtt, mine + 1
    yield received(time, SYN_ACK, options=SYN_OPTIONS)
    time, theirs = time + 50, theirs + 1
    yield sent(time, ACK)
    for _ in range(chance.between(1, 12)):
        for side, size in ((sent, chance.between(60, 600)), (received, chance.one_of((120, 400, 900, 1400)))):
            data = world.data(size)
            yield side(time, PUSH, data)
            if chance.draw() < RETRANSMITTED:
                yield side(time + 210_000, PUSH, data)
            if side is sent:
                time, mine = time + rtt, mine + size
            else:
                time, theirs = time + 60, theirs + size
        yield sent(time, ACK)
        time += chance.between(1_000, 300_000)
    yield sent(time, FIN)
    mine += 1
    yield received(time + rtt, FIN)


def _segment(src_port: int, dst_port: int, seq: int, ack: int, flags: int, data: bytes, options: bytes) -> bytes:
    words = 5 + len(options) // 4
    seq, ack = seq & 0xFFFFFFFF, ack & 0xFFFFFFFF
    return struct.pack(">HHIIBBHHH", src_port, dst_port, seq, ack, words << 4, flags, 64240, 0, 0) + options + data


def remainder(world: World, time: int, index: int) -> Packet:
    """A ping, an ARP request, or time over IPv6, in turn."""
    chance = world.chance
    pod = chance.one_of(world.pods).address
    if index % 3 == 0:
        ping = struct.pack(">BBHHH", 8, 0, 0, 1, index & 0xFFFF) + world.data(56)
        return Packet(time, True, IPV4, world.ip(pod, chance.one_of(world.outside), 1, ping))
    if index % 3 == 1:
        mac = b"\x02\x42" + pod
        return Packet(time, True, ARP, struct.pack(">HHBBH", 1, IPV4, 6, 4, 1) + mac + pod + bytes(6) + RESOLVER)
    head = struct.pack(">IHBB", 0x60000000, 56, 17, 64)
    ends = b"\xfd" + bytes(13) + bytes((index & 0xFF, 1)) + b"\xfd" + bytes(14) + b"\x0a"
    return Packet(time, True, IPV6, head + ends + udp(40_000, 123, b"\x23" + world.data(47)))
