"""Which names CoreDNS answers itself, and which it asks for elsewhere."""

from __future__ import annotations

import re

import polars as pl
from msgspec import Struct

from analyzer.facts.contract import Frames
from analyzer.facts.search_list import SEARCH_SUFFIXES
from analyzer.facts.search_names import DNS_ASKED_NAMES
from analyzer.frames import COREDNS_QUERIES, DNS_ANSWERS

USUAL = "cluster.local"
"""The domain that kubeadm and the clouds use."""

NAMES_OF_DOMAIN = 3
"""Distinct names `x.NAMESPACE.svc.DOMAIN` from which DOMAIN is taken for the cluster's [an engineering default]."""


class Zones(Struct, frozen=True):
    """`domains` of the cluster; `handed_on`: names under them that went upstream all the same, as autopath's do, and
    `completed`: those of them that came back with an address of the name without the suffix; `hosts`: search domains
    outside the cluster."""

    domains: tuple[str, ...]
    handed_on: pl.Series
    completed: pl.Series
    hosts: tuple[str, ...]

    def inside(self, column: str) -> pl.Expr:
        """Whether CoreDNS answers the name from the cluster's own zone."""
        under = _under(column, self.domains)
        return under & ~pl.col(column).is_in(self.handed_on.implode()) if len(self.handed_on) else under

    def base(self, column: str) -> pl.Expr:
        """The name without a search domain of the cluster, as autopath asks for it upstream."""
        name = pl.col(column)
        for domain in self.domains:
            name = name.str.replace(rf"(?:(?:\.[^.]+)?\.svc)?\.{re.escape(domain)}$", "")
        return name

    def searched(self, column: str) -> pl.Expr:
        """Whether the name lies under a search domain of the hosts."""
        return _under(column, self.hosts)


def _under(column: str, domains: tuple[str, ...]) -> pl.Expr:
    name, found = pl.col(column), pl.lit(False)
    for domain in domains:
        found |= (name == domain) | name.str.ends_with(f".{domain}")
    return found.fill_null(False)


def zones(frames: Frames, errors: pl.DataFrame) -> Zones:
    domains, hosts = {USUAL}, set[str]()
    if SEARCH_SUFFIXES in frames:
        suffixes = frames[SEARCH_SUFFIXES].select("kind", "suffix", "cluster_domain").unique().collect()
        domains |= set(suffixes["cluster_domain"].drop_nulls())
        hosts = set(suffixes.filter(pl.col("kind") == "host")["suffix"])
    if DNS_ASKED_NAMES in frames:
        asked = frames[DNS_ASKED_NAMES].filter(pl.col("cluster_domain").is_not_null())
        counts = asked.group_by("cluster_domain").agg(pl.col("name").n_unique()).collect()
        domains |= set(counts.filter(pl.col("name") >= NAMES_OF_DOMAIN)["cluster_domain"].cast(pl.String))
    known = tuple(sorted(domains))
    completed = _completed(frames, known)
    # An error about an upstream proves that the name was asked for there; a cache on the node has CoreDNS as upstream.
    plain = pl.col("component").fill_null("coredns") != "node-cache"
    failed = errors.filter(_under("name", known), plain)["name"].unique()
    return Zones(known, pl.concat([completed, failed]).unique().sort(), completed, tuple(sorted(hosts)))


def _completed(frames: Frames, domains: tuple[str, ...]) -> pl.Series:
    """Names of the cluster's domains that autopath completed: it answers with a CNAME from the name that was asked to
    the name that it found (plugin/autopath/cname.go), and an answer from elsewhere has no AA bit."""
    found = [pl.Series("name", [], pl.String)]
    if DNS_ANSWERS in frames:
        target = pl.concat_str("value", pl.lit("."))
        alias = (pl.col("rtype") == "CNAME") & pl.col("name").str.starts_with(target) & ~_under("value", domains)
        found.append(frames[DNS_ANSWERS].filter(alias, _under("name", domains)).select("name").collect().to_series())
    if COREDNS_QUERIES in frames:
        flags = pl.col("flags").str.split(",")
        elsewhere = (pl.col("rcode") == "NOERROR") & ~flags.list.contains("aa") & flags.list.contains("qr")
        logged = frames[COREDNS_QUERIES].filter(elsewhere.fill_null(False), _under("name", domains))
        found.append(logged.select("name").collect().to_series())
    return pl.concat(found).unique().sort()
