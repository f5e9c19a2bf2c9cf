"""A hundred thousand mutated messages: dnspython and the decoder agree, or differ for a reason that has a name.

dnspython runs under two rules of the decoder: no pointer may lead into the header, and data is looked at only where the
type is one of ours, in the class Internet, in queries and notifications. What is left is told by `RULES`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import numpy as np
import polars as pl
import pytest
from dns.message import BadEDNS, BadTSIG

from analyzer.sources.capture import dns_ports
from analyzer.sources.capture.arrays import I64, padded
from analyzer.sources.capture.dns_codes import type_text
from analyzer.sources.capture.dns_names import Names, spell_labels
from analyzer.sources.capture.dns_records import NAME_AT, RECORDS_MOST
from analyzer.sources.capture.dns_tables import Columns, Found, Memo, rows
from analyzer.sources.capture.texts import Addresses
from tests.sources.capture.make import answer

MESSAGES = 100_000
HEADER = 12
SOA, TXT, OPT, TSIG = 6, 16, 41, 250
OURS = (1, 28, SOA, TXT, *NAME_AT)

ZONE = """
www 30 IN CNAME web.example.com.
web.example.com. 5 IN CNAME edge.cdn.example.net.
edge.cdn.example.net. 60 IN A 192.0.2.1
edge.cdn.example.net. 60 IN A 192.0.2.2
edge.cdn.example.net. 60 IN AAAA 2001:db8::1
_http._tcp.example.com. 5 IN SRV 0 100 8080 pod-0.web.example.com.
example.com. 300 IN MX 10 mail.example.com.
example.com. 300 IN NS ns1.example.com.
example.com. 30 IN SOA ns.example.com. host.example.com. 1 7200 1800 86400 5
example.com. 30 IN TXT "v=spf1 -all" "more"
old.example.com. 30 IN DNAME new.example.org.
7.0.0.10.in-addr.arpa. 5 IN PTR pod-0.web.example.com.
example.com. 30 IN HINFO "a" "b"
example.com. 30 IN CAA 0 issue "ca.example.net"
"""


Record = tuple[str, str, int, str | None]
"""Owner, type, time to live, value."""


class Trailing(dns.exception.FormError):
    """Octets stand behind the last name in the data of a record."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one side makes of a message; None for what it refuses."""

    ident: int
    rcode: int
    name: str | None
    qtype: str | None
    answers: int
    records: tuple[Record, ...]


def _answered(rng: random.Random, lines: list[str]) -> bytes:
    first, *_ = rng.choice(lines).split()
    message = dns.message.make_response(
        dns.message.make_query(
            dns.name.from_text(first, None).concatenate(dns.name.from_text("example.com."))
            if not first.endswith(".")
            else first,
            rng.choice(["A", "AAAA", "TXT", "SRV"]),
            use_edns=rng.random() < 0.5,
        )
    )
    message.id = rng.randrange(65536)
    message.set_rcode(dns.rcode.Rcode(rng.choice([0, 0, 0, 2, 3])))
    for section, most in ((message.answer, 3), (message.authority, 1), (message.additional, 1)):
        for line in rng.sample(lines, rng.randrange(most + 1)):
            owner, ttl, kind, data = line.replace(" IN ", " ").split(maxsplit=3)
            name = dns.name.from_text(owner, dns.name.from_text("example.com."))
            rdata = dns.rdata.from_text("IN", kind, data)
            section.append(dns.rrset.from_rdata(name, int(ttl), rdata))
    return message.to_wire()


def _bases(rng: random.Random) -> list[bytes]:
    """Valid messages: queries, answers with compressed names, several questions, truncated ones, updates."""
    lines = ZONE.strip().splitlines()
    out = [_answered(rng, lines) for _ in range(150)]
    names = ("a.b", "KUBERNETES.default.svc.cluster.local", "x" * 63 + ".example.com", r"a\.b\\c.\000\255.com", ".")
    out += 12 * [dns.message.make_query(name, "A").to_wire() for name in names]
    several = bytearray(dns.message.make_query("one.example.com", "A").to_wire())
    several[5] = 2
    out += 10 * [bytes(several) + b"\3two\xc0\x10\0\x1c\0\1"]
    for flag in (0x02, 0x28, 0x20):  # truncated, update, notification
        for message in rng.sample(out[:150], 5):
            out.append(message[:2] + bytes([message[2] | flag]) + message[3:])
    crowd = dns.message.make_response(dns.message.make_query("many.example.com", "A"))
    crowd.answer.append(dns.rrset.from_text("many.example.com.", 5, "IN", "A", *(f"10.0.0.{n}" for n in range(80))))
    chain, before = bytearray(answer("a.b")), HEADER
    for _ in range(20):
        chain += b"\1b" + (0xC000 | before).to_bytes(2, "big") + b"\0\1\0\1\0\0\0\5\0\4\x0a\0\0\1"
        before = len(chain) - 18
    chain[7] = 20
    return [*out, crowd.to_wire(), bytes(chain)]


def _mutated(rng: random.Random, bases: list[bytes]) -> bytes:
    data = bytearray(rng.choice(bases))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        place = rng.randrange(len(data)) if data else 0
        turn = rng.random()
        if turn < 0.45 and data:
            data[place] = rng.randrange(256)
        elif turn < 0.6 and data:
            data[place] ^= 1 << rng.randrange(8)
        elif turn < 0.7:
            del data[place:]
        elif turn < 0.85:
            other = rng.choice(bases)
            data[place:] = other[rng.randrange(len(other)) :]
        else:
            data[place : place + 2] = bytes([0xC0 | rng.randrange(2), rng.randrange(256)])
    return bytes(data)


def _ours(messages: list[bytes]) -> list[Told | None]:
    size = np.array([len(message) for message in messages], np.int64)
    end, every = np.cumsum(size), np.ones(len(messages), bool)
    found = Found(
        padded(*messages), end - size, end, every, ~every, np.full(len(messages), dns_ports.DNS, np.uint8), every, every
    )

    def carriers(some: I64) -> Columns:
        return {name: pl.Series(some) for name in ("time", "source", "number", "dst")}

    made = rows(found, carriers, Memo(Names(), Addresses()))
    records: dict[int, list[Record]] = {}
    for number, *record in made.answers.select("number", "name", "rtype", "ttl", "value").iter_rows():
        records.setdefault(number, []).append((record[0], record[1], record[2], record[3]))
    out: list[Told | None] = [None] * len(messages)
    for number, ident, name, qtype in made.messages.select("number", "dns_id", "name", "qtype").iter_rows():
        head = messages[number][:HEADER]
        counted = int.from_bytes(head[6:8], "big")
        out[number] = Told(ident, head[3] & 15, name, qtype, counted, tuple(records.get(number, ())))
    answers = made.messages.filter("response")
    assert answers["answers"].to_list() == [int.from_bytes(messages[n][6:8], "big") for n in answers["number"]]
    return out


def _value(rdata: dns.rdata.Rdata) -> str | None:
    for attribute in ("address", "target", "exchange"):
        if (value := getattr(rdata, attribute, None)) is not None:
            return value if isinstance(value, str) else _spelled(value)
    return None


def _spelled(name: dns.name.Name) -> str:
    return spell_labels([label for label in name.labels if label])


def _theirs(wire: bytes) -> Told | Exception:
    try:
        message = dns.message.from_wire(wire, ignore_trailing=True, one_rr_per_rrset=True)
    except (dns.exception.DNSException, ValueError) as refused:
        return refused
    asked = message.sections[0]
    records = tuple(
        (_spelled(rrset.name), type_text(int(rrset.rdtype)), rrset.ttl, _value(rrset[0]))
        for rrset in message.sections[1]
        if len(rrset)
    )
    first = asked[0] if asked else None
    name, qtype = (_spelled(first.name), type_text(int(first.rdtype))) if first is not None else (None, None)
    return Told(message.id, int(message.flags) & 15, name, qtype, int.from_bytes(wire[6:8], "big"), records)


@pytest.fixture
def _under_our_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """dnspython with the two rules of the decoder that it does not know."""
    spell, parse = dns.name.from_wire_parser, dns.rdata.from_wire_parser

    def name(parser: Any, decompress: bool = True) -> dns.name.Name:
        wire, at, low = parser.wire, parser.current, parser.current
        while at < len(wire) and wire[at]:
            if wire[at] < 64:
                at += wire[at] + 1
            elif wire[at] >= 192 and at + 1 < len(wire):
                at = (wire[at] & 63) << 8 | wire[at + 1]
                if at < HEADER:
                    raise dns.name.BadPointer
                if at >= low:
                    break
                low = at
            else:
                break
        return spell(parser, True)

    def rdata(rdclass: Any, rdtype: Any, parser: Any, origin: Any = None) -> dns.rdata.Rdata:
        flags = int.from_bytes(parser.wire[2:4], "big")
        if int(rdtype) in OURS and int(rdclass) == 1 and flags >> 11 & 15 in (0, 4):
            made = parse(rdclass, rdtype, parser, origin)
            if parser.remaining() and (int(rdtype) == SOA or int(rdtype) in NAME_AT):
                raise Trailing
            return made
        return dns.rdata.GenericRdata(rdclass, rdtype, parser.get_remaining())

    monkeypatch.setattr(dns.name, "from_wire_parser", name)
    monkeypatch.setattr(dns.rdata, "from_wire_parser", rdata)


Rule = Callable[[bytes, Told, Told | Exception], bool]

RULES: dict[str, Rule] = {
    "a truncated message may end anywhere": lambda wire, _, theirs: bool(wire[2] & 2) and isinstance(theirs, Exception),
    "records behind the 64th are not looked at": lambda wire, _, __: _records(wire) > RECORDS_MOST,
    "octets behind the last name of the data are let be": lambda _, __, theirs: isinstance(theirs, Trailing),
    "a text of no strings is let be": lambda _, __, theirs: "list of strings" in str(theirs),
    "OPT and TSIG may stand anywhere": lambda _, __, theirs: isinstance(theirs, BadEDNS | BadTSIG),
    "a name may have many pointers": lambda _, __, theirs: isinstance(theirs, dns.name.PointerChainTooLong),
    "only answers to queries and notifications have rows": lambda wire, ours, theirs: (
        isinstance(theirs, Told)
        and (wire[2] < 0x80 or wire[2] >> 3 & 15 not in (0, 4))
        and ours == replace(theirs, records=())
    ),
    "updates have rules of their own": lambda wire, _, theirs: wire[2] >> 3 & 15 == 5 and isinstance(theirs, Exception),
    "a life of more than 68 years stands as it is": lambda _, ours, theirs: (
        isinstance(theirs, Told) and theirs == replace(ours, records=tuple(map(_lived, ours.records)))
    ),
}
"""Why the decoder makes something else of a message than dnspython does."""


def _records(wire: bytes) -> int:
    return sum(int.from_bytes(wire[place : place + 2], "big") for place in (6, 8, 10))


def _lived(record: Record) -> Record:
    """RFC 2181 section 8 counts a time to live with the top bit as zero."""
    return (*record[:2], record[2] if record[2] <= 0x7FFFFFFF else 0, record[3])


@pytest.mark.usefixtures("_under_our_rules")
def test_mutated_messages_are_read_as_dnspython_reads_them() -> None:
    rng = random.Random(20261126)
    bases = _bases(rng)
    messages = [_mutated(rng, bases) for _ in range(MESSAGES)]
    why: Counter[str] = Counter()
    for wire, ours, theirs in zip(messages, _ours(messages), map(_theirs, messages), strict=True):
        if ours is None:
            assert isinstance(theirs, Exception), wire.hex()
            why["both refuse"] += 1
        elif ours == theirs:
            why["equal"] += 1
        else:
            rule = next((name for name, holds in RULES.items() if holds(wire, ours, theirs)), None)
            assert rule is not None, (wire.hex(), ours, theirs)
            if isinstance(theirs, Told):
                shown = min(len(ours.records), RECORDS_MOST)
                assert replace(ours, records=()) == replace(theirs, records=())
                assert tuple(map(_lived, ours.records)) == theirs.records[:shown]
            why[rule] += 1
    assert set(why) >= {*RULES, "equal", "both refuse"}
    assert why["equal"] > MESSAGES // 3
    assert sum(why[rule] for rule in RULES) < MESSAGES // 20
