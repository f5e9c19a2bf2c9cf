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
from itertools import islice

import polars as pl

from analyzer.detector import Detector, Remark, setting, thresholds
from analyzer.detectors.security.cryptominer_traffic.entry import entry
from analyzer.detectors.security.cryptominer_traffic.evidence import evidence, impact
from analyzer.detectors.security.cryptominer_traffic.look_alikes import remarks
from analyzer.detectors.security.cryptominer_traffic.operations import Operation, operations
from analyzer.detectors.security.cryptominer_traffic.remedy import REMEDIES, remedies, verify
from analyzer.detectors.security.cryptominer_traffic.signs import signs
from analyzer.detectors.security.cryptominer_traffic.words import confidence, reason, summary
from analyzer.facts.address_owners import ADDRESS_OWNERS
from analyzer.facts.beacons import BEACONS
from analyzer.facts.contract import Frames
from analyzer.facts.dns_queries import DNS_CLIENT_QUERIES
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.tcp_connections import TCP_CONNECTIONS
from analyzer.frames import DNS_ANSWERS, MINING_MESSAGES, TLS_CLIENT_HELLOS
from analyzer.model import Finding, Severity

DEFAULT = "engineering default"
MOST = 100
"""Operations that are told one by one; what comes after them is counted."""


@thresholds
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
    every = operations(found, scanners)
    for one in islice(every, MOST):
        yield _finding(one, entry(one, frames))
    if left := sum(1 for _ in every):
        told.append(f"{left:,} more groups of miners, after the first {MOST}, are not told one by one")
    yield from map(Remark, told)


def _finding(one: Operation, ways: pl.DataFrame) -> Finding:
    return Finding(
        detector="cryptominer-traffic",
        subject=one.subject,
        variant="stratum" if one.spoken.height else "pool-name",
        summary=summary(one),
        severity=Severity.HIGH if one.answered or one.connected else Severity.MEDIUM,
        confidence=confidence(one),
        confidence_reason=reason(one),
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
