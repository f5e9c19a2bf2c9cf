"""A pod mines cryptocurrency.

## What it finds
Clients that speak a miner's protocol in clear (Stratum, its Ethereum forms, the dialect of XMRig), told by what is said
and never by a port; and clients that ask for the name of a mining pool, in DNS or in a TLS hello, with the connections
that follow. Pods that share a pool are one finding, about the one that came first. Severity is high where a pool
answered, or a connection to a pool's name was made, else medium. Confidence is high where both sides were heard, medium
for a login without an answer or a connection to a pool's name, low for a name that was asked for and nothing more.

## Why it matters
It pays somebody else with your CPUs, and whoever could start it could have started anything: the way in is open still.

## What does not count
A port that pools like: a long, slow, regular connection to one is remarked on, with the score of its regularity and how
many clients have such a peer, and never more. Whoever asks for many pools' names and connects to none: a scanner that
resolves a list. Whoever greets many servers like a miner and is answered by none: a scanner too. Web sites of pools.
Pools that the setting names as one's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from analyzer.detector import Detector, Remark, setting
from analyzer.detectors.security.cryptominer_traffic.entry import entry
from analyzer.detectors.security.cryptominer_traffic.evidence import evidence, impact
from analyzer.detectors.security.cryptominer_traffic.look_alikes import remarks
from analyzer.detectors.security.cryptominer_traffic.operations import Operation, operations
from analyzer.detectors.security.cryptominer_traffic.remedy import REMEDIES, remedies, verify
from analyzer.detectors.security.cryptominer_traffic.signs import signs
from analyzer.facts.address_owners import ADDRESS_OWNERS
from analyzer.facts.beacons import BEACONS
from analyzer.facts.contract import Frames
from analyzer.facts.dns_queries import DNS_CLIENT_QUERIES
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.tcp_connections import TCP_CONNECTIONS
from analyzer.frames import DNS_ANSWERS, MINING_MESSAGES, TLS_CLIENT_HELLOS
from analyzer.model import Confidence, Finding, Severity

DEFAULT = "engineering default"
TRACED = 50
"""Operations whose way in is looked for; more are hardly real, and each costs a search of the audit log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    list_names: int = setting(
        10,
        "Names of pools that a client without a connection asks for before it counts as a scanner.",
        unit="names",
        minimum=2,
        source=DEFAULT,
    )
    scanned_servers: int = setting(
        5,
        "Servers that a client greets like a miner, none of which answers, before it counts as a scanner.",
        unit="servers",
        minimum=2,
        source=DEFAULT,
    )
    own_pools: str = setting(
        "", "Names or addresses of pools that are meant to be used, joined by commas.", source="none is by default"
    )
    lasting_seconds: float = setting(
        600, "Length from which a connection to a pool's usual port is remarked on.", minimum=0, source=DEFAULT
    )
    slow_bytes: float = setting(
        1000, "Octets a second of both sides, up to which such a connection is slow.", minimum=1, source=DEFAULT
    )
    beacon_score: float = setting(
        0.7, "Score of regularity from which it is remarked on.", unit="fraction", minimum=0, source=DEFAULT
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    own = frozenset(one.strip().lower().rstrip(".") for one in settings.own_pools.split(",") if one.strip())
    found = signs(frames, own)
    scanners, told = remarks(found, frames, settings)
    for place, one in enumerate(operations(found, scanners)):
        yield _finding(one, entry(one, frames if place < TRACED else {}))
    yield from map(Remark, told)


def _finding(one: Operation, ways: pl.DataFrame) -> Finding:
    return Finding(
        detector="cryptominer-traffic",
        subject=one.subject,
        variant="stratum" if one.spoken.height else "pool-name",
        summary=_summary(one),
        severity=Severity.HIGH if one.answered or one.connected else Severity.MEDIUM,
        confidence=_confidence(one),
        confidence_reason=_reason(one),
        start=one.start,
        end=one.end,
        impact=impact(one),
        evidence=evidence(one, ways),
        why="Somebody who was not meant to could start a programme in the cluster, and lets it earn for him.",
        refuted_by="A pool that the owners of the cluster chose to work for, or a proxy whose clients lie elsewhere.",
        remedies=remedies(one),
        verify=verify(one),
        stories=(34,),
    )


def _summary(one: Operation) -> str:
    others = f" and {one.pods - 1:,} more" if one.pods > 1 else ""
    where = ", ".join(one.pools[:2]) + (f" and {len(one.pools) - 2} more" if len(one.pools) > 2 else "")
    if not one.spoken.height:
        if not one.connected:
            return f"{one.subject}{others} asked for the name of the mining pool {where}, {one.asked:,} queries in all."
        return f"{one.subject}{others} held {_held(one)} to the mining pool {where}, known by its name."
    work = f"submitted {one.shares:,} shares to" if one.shares else "spoke the miners' protocol with"
    return f"{one.subject}{others} {work} the mining pool {where} over {_held(one)}."


def _held(one: Operation) -> str:
    count = one.connections.height
    if not count:
        return "TCP"
    return f"{count:,} connections for {one.seconds:,.0f} s" if count > 1 else f"a connection of {one.seconds:,.0f} s"


def _confidence(one: Operation) -> Confidence:
    if one.answered:
        return Confidence.HIGH
    return Confidence.MEDIUM if one.spoken.height or one.connected else Confidence.LOW


def _reason(one: Operation) -> str:
    if one.answered:
        return f"both sides were heard: {one.asks:,} messages of miners and {one.tells:,} of pools"
    if one.spoken.height:
        return "a miner's messages were heard, the pool's answers were not"
    if one.connected:
        return "a pool's name, and a connection to it whose content is not readable"
    return "a pool's name was asked for; whether it was spoken to is not in the evidence"


DETECTOR = Detector(
    id="cryptominer-traffic",
    title="A pod mines cryptocurrency",
    needs_any=((MINING_MESSAGES,), (DNS_CLIENT_QUERIES,), (TLS_CLIENT_HELLOS,)),
    uses=(TCP_CONNECTIONS, DNS_ANSWERS, BEACONS, ADDRESS_OWNERS, AUDIT_REQUESTS),
    settings=Settings(),
    detect=detect,
    remedies=REMEDIES,
    stories=(34,),
)
