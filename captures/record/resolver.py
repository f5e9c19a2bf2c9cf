"""Stub resolvers and CoreDNS: who asks what, what is answered, how it looks on the wire and in the log."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from cluster import CLUSTER_DNS, OUTSIDE, SERVICES, rfc3339
from dnslib import AAAA, CNAME, PTR, QTYPE, RR, SOA, A, DNSBuffer, DNSHeader, DNSQuestion, DNSRecord
from tcp import Ports
from wire import Capture, Ends, udp

NXDOMAIN = 3
_CLUSTER_SOA = ("ns.dns.cluster.local", "hostmaster.cluster.local", (1763380800, 7200, 1800, 86400, 5))
_OUTSIDE_SOA = ("ns1.example.com", "hostmaster.example.com", (2026111701, 7200, 900, 1209600, 300))


def _soa(zone: str, ttl: int, spec: tuple[str, str, tuple[int, int, int, int, int]]) -> Any:
    return RR(zone, QTYPE.SOA, ttl=ttl, rdata=SOA(spec[0], spec[1], spec[2]))


def _pack(message: Any) -> bytes:
    """Without name compression, as CoreDNS sends what fits into 512 bytes."""
    buffer = DNSBuffer()
    buffer.encode_name = buffer.encode_name_nocompress
    for section in ([message.header], message.questions, message.rr, message.auth):
        for part in section:
            part.pack(buffer)
    return bytes(buffer.data)


@dataclass(frozen=True, slots=True)
class Answer:
    rcode: str
    flags: str
    query: bytes
    """The message with the id 0."""
    reply: bytes
    inside: bool
    """Answered from the cluster zone, without asking anybody."""


def _records(name: str, qtype: str) -> tuple[list[Any], bool, bool]:
    """Answer records, whether the name exists, whether it lies in the cluster zone."""
    if name.endswith(".in-addr.arpa"):
        octets = name.split(".")[:4]
        owner = {ip: host for host, ip in SERVICES.items()}.get(".".join(reversed(octets)))
        found = [RR(name, QTYPE.PTR, ttl=5, rdata=PTR(owner + ".svc.cluster.local"))] if owner else []
        return found, owner is not None, True
    if name.endswith("cluster.local"):
        host = name.removesuffix(".svc.cluster.local")
        if host not in SERVICES:
            return [], False, True
        return ([RR(name, QTYPE.A, ttl=5, rdata=A(SERVICES[host]))] if qtype == "A" else []), True, True
    addresses = OUTSIDE.get(name)
    if addresses is None:
        return [], False, False
    if qtype == "A":
        return [RR(name, QTYPE.A, ttl=60, rdata=A(one)) for one in addresses], True, False
    if qtype == "AAAA" and name.startswith("images."):
        edge = "edge-7.cdn.example.com"
        alias = RR(name, QTYPE.CNAME, ttl=60, rdata=CNAME(edge))
        return [alias, RR(edge, QTYPE.AAAA, ttl=20, rdata=AAAA("2001:db8:7::80"))], True, False
    return [], True, False


@lru_cache(maxsize=8192)
def answer(name: str, qtype: str) -> Answer:
    """What CoreDNS says to a question: cluster zone with authority, all else forwarded."""
    records, exists, inside = _records(name, qtype)
    question = DNSQuestion(name, getattr(QTYPE, qtype))
    query = DNSRecord(DNSHeader(id=0, qr=0, rd=1), q=question)
    rcode = 0 if exists else NXDOMAIN
    reply = DNSRecord(DNSHeader(id=0, qr=1, aa=int(inside), rd=1, ra=int(not inside), rcode=rcode), q=question)
    for one in records:
        reply.add_answer(one)
    if not records:
        authority = _soa("cluster.local", 5, _CLUSTER_SOA) if inside else _soa("example.com", 300, _OUTSIDE_SOA)
        if name.endswith("ec2.internal"):
            authority = _soa("ec2.internal", 60, _OUTSIDE_SOA)
        reply.add_auth(authority)
    flags = "qr,aa,rd" if inside else "qr,rd,ra"
    return Answer("NOERROR" if exists else "NXDOMAIN", flags, _pack(query), _pack(reply), inside)


@lru_cache(maxsize=8192)
def finished(first: str, base: str, search: tuple[str, ...], qtype: str) -> Answer:
    """What CoreDNS says under autopath to the first step of a walk: a CNAME to the name it found, then the rest."""
    for name in [*(f"{base}.{domain}" for domain in search), base]:
        said = answer(name, qtype)
        if said.rcode != "NOERROR":
            continue
        records, _, _ = _records(name, qtype)
        question = DNSQuestion(first, getattr(QTYPE, qtype))
        query = DNSRecord(DNSHeader(id=0, qr=0, rd=1), q=question)
        reply = DNSRecord(DNSHeader(id=0, qr=1, aa=int(said.inside), rd=1, ra=int(not said.inside)), q=question)
        if records and name != first:
            reply.add_answer(RR(first, QTYPE.CNAME, ttl=records[0].ttl, rdata=CNAME(name)))
        for one in records:
            reply.add_answer(one)
        if not records:
            reply.add_auth(_soa("cluster.local", 5, _CLUSTER_SOA))
        return Answer("NOERROR", said.flags, _pack(query), _pack(reply), said.inside)
    return answer(first, qtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One query and its answer."""

    qtype: str
    asked: int
    answered: int
    rcode: str
    wire: int


@dataclass
class Tally:
    """What one client did, counted while it is written."""

    queries: int = 0
    walked: int = 0
    wasted: int = 0
    wasted_inside: int = 0
    relying: int = 0
    """Lookups of dotted names that the search list completed."""
    suffixes: int = 0
    added: int = 0
    wasted_wire: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stub:
    """How a client resolves. `glibc` and `musl` ask A and AAAA from one port at once, `go` from two."""

    ip: str
    search: tuple[str, ...]
    ndots: int = 5
    library: str = "glibc"


@dataclass
class CoreDns:
    """The cluster's name server, and the log it writes. `capture` sees the clients of one node only."""

    capture: Capture
    ports: Ports
    rng: random.Random
    logged: bool = True
    autopath: bool = False
    """Whether it finishes the walks of its clients."""
    lines: list[tuple[int, int, str]] = field(default_factory=list)
    tallies: dict[str, Tally] = field(default_factory=dict)
    seen: int = 0
    """Queries in the capture."""
    moments: list[int] = field(default_factory=list)
    """When each query was asked."""
    warm: dict[str, int] = field(default_factory=dict)
    """Until when an outside answer is in the cache."""

    def tally(self, client: str) -> Tally:
        return self.tallies.setdefault(client, Tally())

    def say(self, at: int, text: str) -> None:
        self.lines.append((at, len(self.lines), f"{rfc3339(at, 9)} stdout F {text}\n"))

    def log(self) -> bytes:
        return "".join(line for _, _, line in sorted(self.lines)).encode()

    def _took(self, at: int, name: str, inside: bool) -> int:
        if inside:
            return self.rng.randrange(70, 420)
        if self.warm.get(name, 0) > at:
            return self.rng.randrange(45, 160)
        self.warm[name] = at + 30_000_000
        return self.rng.randrange(900, 14000)

    def ask(self, at: int, client: str, port: int, name: str, qtype: str, said: Answer | None = None) -> Exchange:
        """One question over UDP."""
        said = said or answer(name, qtype)
        ident = self.rng.randrange(65536)
        head = ident.to_bytes(2, "big")
        took = self._took(at, name + qtype, said.inside)
        back = at + took + self.rng.randrange(60, 190)
        wire = 0
        if client.startswith(self.capture.subnet):
            self.seen += 1
            ends = Ends(client, port, CLUSTER_DNS, 53)
            wire += self.capture.add(at, ends, udp(ends, head + said.query[2:], self.capture.ident()))
            reply = udp(ends.back(), head + said.reply[2:], self.capture.ident(), 62)
            wire += self.capture.add(back, ends.back(), reply)
        if self.logged:
            body = f'"{qtype} IN {name}. udp {len(said.query)} false 512"'
            nanos = took * 1000 + self.rng.randrange(1000)
            seconds = f"{nanos / 1e9:.9f}".rstrip("0")
            line = f"[INFO] {client}:{port} - {ident} {body} {said.rcode} {said.flags} {len(said.reply)} {seconds}s"
            self.say(at + took + self.rng.randrange(20, 60), line)
        self.tally(client).queries += 1
        self.moments.append(at)
        return Exchange(qtype=qtype, asked=at, answered=back, rcode=said.rcode, wire=wire)

    def pair(self, at: int, stub: Stub, name: str) -> tuple[Exchange, ...]:
        """A and AAAA of one candidate."""
        port = self.ports.next(stub.ip)
        other = self.ports.next(stub.ip) if stub.library == "go" else port
        gap = self.rng.randrange(3, 9) if stub.library != "go" else self.rng.randrange(20, 90)
        first, second = (self._walked(stub, name, qtype) for qtype in ("A", "AAAA"))
        return self.ask(at, stub.ip, port, name, "A", first), self.ask(at + gap, stub.ip, other, name, "AAAA", second)

    def _walked(self, stub: Stub, name: str, qtype: str) -> Answer | None:
        """Under autopath, the answer to a name under the first domain of the client's list."""
        if not self.autopath or not name.endswith(f".{stub.search[0]}"):
            return None
        return finished(name, name.removesuffix(f".{stub.search[0]}"), stub.search, qtype)

    def lookup(self, at: int, stub: Stub, name: str) -> int:
        """getaddrinfo of a name, walking the search list; returns when the program has its answer.

        A final dot makes the name absolute; names of ndots dots are asked as they stand first. Counts into the tally of
        the client what was asked in vain: outside names by suffix, and apart from them names of the cluster.
        """
        bare = name.removesuffix(".")
        searched = [] if name.endswith(".") else [f"{bare}.{one}" for one in stub.search]
        if bare.count(".") < stub.ndots:
            candidates = [*searched, bare]
        else:
            # glibc and Go search for what was denied as it stands, musl never does.
            candidates = [bare] if stub.library == "musl" else [bare, *searched]
        vain: list[tuple[Exchange, ...]] = []
        for candidate in candidates:
            got = self.pair(at, stub, candidate)
            at = max(one.answered for one in got) + self.rng.randrange(40, 260)
            if any(one.rcode == "NOERROR" for one in got):
                self._count(stub.ip, vain, got, candidate == bare and not bare.endswith("cluster.local"))
                self.tally(stub.ip).relying += candidate != bare and "." in bare
                return at
            if candidate != bare:
                vain.append(got)
        return at

    def _count(self, client: str, vain: list[tuple[Exchange, ...]], got: tuple[Exchange, ...], outside: bool) -> None:
        if not vain:
            return
        tally = self.tally(client)
        asked = sum(len(step) for step in vain)
        if not outside:
            tally.wasted_inside += asked
            return
        tally.walked += 1
        tally.wasted += asked
        tally.suffixes = len(vain)
        tally.wasted_wire += sum(one.wire for step in vain for one in step)
        tally.added += max(last.asked - first.asked for first, last in zip(vain[0], got, strict=True))

    def banner(self, at: int) -> None:
        """What CoreDNS says when it starts, with the self-test of its loop plugin."""
        sha = "".join(self.rng.choice("0123456789abcdef") for _ in range(128))
        self.say(at, "maxprocs: Leaving GOMAXPROCS=2: CPU quota undefined")
        self.say(at + 90, ".:53")
        self.say(at + 110, f"[INFO] plugin/reload: Running configuration SHA512 = {sha}")
        self.say(at + 140, "CoreDNS-1.13.1")
        self.say(at + 150, "linux/amd64, go1.26.10, ")
        probe = f"{self.rng.randrange(10**18, 10**19)}.{self.rng.randrange(10**18, 10**19)}"
        asked = f'127.0.0.1:{self.rng.randrange(32768, 61000)} - {self.rng.randrange(65536)} "HINFO IN {probe}. udp 57'
        self.say(at + 9000, f'[INFO] {asked} false 512" NXDOMAIN qr,rd,ra 132 0.005327114s')

    def timeout(self, at: int, client: str, name: str, qtype: str) -> None:
        """The upstream never answers: a line without code and flags, and one of the errors plugin."""
        port, ident = self.ports.next(client), self.rng.randrange(65536)
        size = len(answer(name, qtype).query)
        end = at + 6_001_000 + self.rng.randrange(900)
        asked = f'{client}:{port} - {ident} "{qtype} IN {name}. udp {size} false 512"'
        self.say(end, f"[INFO] {asked} - - 0 6.00{end % 1000000:06d}s")
        via = f"10.244.31.4:{self.rng.randrange(32768, 61000)}->10.0.0.2:53"
        self.say(end + 70, f"[ERROR] plugin/errors: 2 {name}. {qtype}: read udp {via}: i/o timeout")
        self.tally(client).queries += 1


def figures(tally: Tally, queries: int | None, captured: bool) -> dict[str, int | float]:
    """The figures of a dns-search-chain finding; seconds and bytes only where a capture saw the client."""
    out: dict[str, int | float] = {
        "lookups walked": tally.walked,
        "wasted queries": tally.wasted,
        "in-cluster wasted queries": tally.wasted_inside,
        "complete chains": 2 * tally.walked,
        "broken chains": 0,
        "lookups that rely on the search list": tally.relying,
        "queries of the client": tally.queries,
        "suffixes per chain": tally.suffixes,
    }
    if queries is not None:
        out["queries in the evidence"] = queries
    if captured:
        out["added seconds"] = round(tally.added / 1e6, 6)
        out["wasted bytes"] = tally.wasted_wire
    return out


def spread(rng: random.Random, start: int, end: int, count: int) -> Iterable[int]:
    """So many moments between two, in order, never two at once."""
    return sorted(rng.sample(range(start, end), count))
