"""Search domains multiply DNS lookups.

## What it finds
Clients whose resolver asks for an outside name under every domain of its search list before it asks for the name as
it stands. A walk is such a run of queries of one client, name and type, each denied (NXDOMAIN, or NOERROR without a
record) and each sent after the answer before it; the search list is learned from the client's own queries, whatever
the cluster's domain is called. Every complete walk counts; a finding is raised from 20 walks on, or from 5 where they
are a tenth of the client's queries. Names that only the search list completes are listed with what ndots:1 and ndots:2
would do to them, under resolvers that fall back to the list (glibc, Go) and musl, which does not. Severity is high
where at least half of the client's queries were wasted, medium from a tenth on or where the log leaves successes out
(no share is known then), else low; S domains waste at most S/(S+1). Confidence is high where times order the queries,
medium where only line numbers do or the log leaves answers out, low where one address asks for several namespaces.

## Why it matters
The kubelet writes `options ndots:5`: every name of fewer than five dots is searched first. A lookup of an outside name
then costs ten queries instead of two, for CoreDNS and conntrack too, and each of them can be lost and wait 5 seconds.

## What does not count
Names that the cluster itself answers, as `basket.shop`: they need the search list, are listed apart, and decide how
far ndots can be lowered. Names that exist nowhere, searched before or after they are asked as they stand (a remark).
NOERROR without a record for AAAA where A was found. Clients behind autopath: the server answers their first query (a
remark). Names with at least ndots dots that musl asks as they stand. A cache on the node (NodeLocal DNSCache, which
asks over TCP) hides the clients and all repeats: then counts are lower bounds, and a remark says so.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.detector import Detector, Remark, setting, thresholds
from analyzer.detectors.dns.dns_search_chain.evidence import evidence, impact
from analyzer.detectors.dns.dns_search_chain.measure import measure, with_clients
from analyzer.detectors.dns.dns_search_chain.node_local import Caches, node_local
from analyzer.detectors.dns.dns_search_chain.relying import Relying, relying
from analyzer.detectors.dns.dns_search_chain.remarks import confidence, remarks
from analyzer.detectors.dns.dns_search_chain.remedy import GENERAL, remedies, verify
from analyzer.detectors.dns.dns_search_chain.saving import ways
from analyzer.detectors.dns.dns_search_chain.walks import ALL, Walks
from analyzer.facts.address_owners import ADDRESS_OWNERS
from analyzer.facts.contract import Frames
from analyzer.facts.dns import DNS_TRANSACTIONS
from analyzer.facts.dns_log_classes import DNS_LOG_CLASSES
from analyzer.facts.dns_queries import DNS_CLIENT_QUERIES
from analyzer.facts.dns_resolvers import DNS_RESOLVERS
from analyzer.facts.pod_owners import POD_OWNERS
from analyzer.facts.search import SEARCH_CHAINS
from analyzer.facts.search_autopath import DNS_AUTOPATH
from analyzer.facts.search_list import SEARCH_SUFFIXES
from analyzer.model import Finding, Severity

DEFAULT = "engineering default"


@thresholds
class Settings:
    min_chains: int = setting(20, "Complete walks that count whatever their share.", minimum=1, source=DEFAULT)
    min_share: float = setting(
        0.1,
        "Wasted share of a client's queries from which fewer walks suffice.",
        unit="fraction",
        minimum=0,
        source=DEFAULT,
    )
    min_chains_of_share: int = setting(5, "Complete walks that the share needs.", minimum=1, source=DEFAULT)
    high_share: float = setting(
        0.5, "Wasted share from which the severity is high.", unit="fraction", minimum=0, source=DEFAULT
    )
    max_clients: int = setting(
        10, "Clients with a finding of their own; the rest share one.", unit="clients", minimum=1, source=DEFAULT
    )
    negative_ttl_seconds: float = setting(
        5,
        "Life of a denial in a cache where the evidence does not tell it.",
        unit="seconds",
        minimum=0,
        source="ttl of CoreDNS's kubernetes plugin",
    )
    cache_cap_seconds: float = setting(
        30,
        "Longest life of a denial in NodeLocal DNSCache.",
        unit="seconds",
        minimum=1,
        source="`cache 30` of the published NodeLocal configuration",
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    walks = measure(frames)
    wasteful = (pl.col("complete") >= settings.min_chains_of_share) & (pl.col("share") >= settings.min_share)
    if every := walks.clients.filter((pl.col("complete") >= settings.min_chains) | wasteful)["client"].to_list():
        named, others = every[: settings.max_clients], every[settings.max_clients :]
        found = with_clients(walks, frames).of(every)
        names, caches = relying(found), node_local(found, settings.negative_ttl_seconds, settings.cache_cap_seconds)
        several = found.of(named)
        for client in named:
            yield _finding(several.of([client]), names.of([client]), caches, client, settings)
        if others:
            yield _finding(found.of(others), names.of(others), caches, ALL, settings)
    yield from remarks(walks)


def _finding(walks: Walks, names: Relying, caches: Caches, subject: str, settings: Settings) -> Finding:
    total = walks.total()
    best, *others = ways(walks, names, caches)
    sure, reason = confidence(walks)
    logged = "logged " if walks.filtered else ""
    return Finding(
        detector="dns-search-chain",
        subject=subject,
        summary=(
            f"{total['wasted']:,} of {total['queries']:,} {logged}queries by {subject}{walks.who()} asked for outside "
            f"names under search domains: {total['lookups']:,} lookups walked {total['suffixes']} domains each."
        ),
        severity=_severity(total["share"], settings),
        confidence=sure,
        confidence_reason=reason,
        start=walks.start,
        end=walks.end,
        impact=impact(walks, names, total),
        evidence=evidence(walks, names),
        saving=best,
        alternatives=tuple(others),
        why="The resolver tries every search domain before a name with fewer dots than ndots.",
        refuted_by="The same names asked under the search domains on purpose, or answered there in another capture.",
        remedies=remedies(walks, names, best),
        verify=verify(walks),
        stories=(1,),
    )


def _severity(share: float | None, settings: Settings) -> Severity:
    if share is None:  # what the waste is a part of is not known
        return Severity.MEDIUM
    if share >= settings.high_share:
        return Severity.HIGH
    return Severity.MEDIUM if share >= settings.min_share else Severity.LOW


DETECTOR = Detector(
    id="dns-search-chain",
    title="Search domains multiply DNS lookups",
    needs_any=((SEARCH_CHAINS, DNS_TRANSACTIONS, SEARCH_SUFFIXES),),
    uses=(DNS_LOG_CLASSES, DNS_CLIENT_QUERIES, DNS_AUTOPATH, DNS_RESOLVERS, ADDRESS_OWNERS, POD_OWNERS),
    settings=Settings(),
    detect=detect,
    remedies=GENERAL,
    stories=(1,),
)
