"""Whether CoreDNS or NodeLocal DNSCache wrote a line: both have the same plugins and the same formats."""

from __future__ import annotations

import polars as pl
from msgspec import Struct, field

COREDNS, NODE_CACHE = "coredns", "node-cache"

PODS_KEPT = 4096
"""Pods of one input whose program is remembered."""

_NODE_CACHE_POD = r"^(?:node-local-dns|nodelocaldns|node-cache)"
_COREDNS_POD = r"^(?:coredns|rke2-coredns)"
_LINK_LOCAL = r"^(?:169\.254\.|fe[89ab][0-9a-f]:)"
_NODE_CACHE_KINDS = ("node-cache-start", "interface", "iptables")
_NODE_CACHE_TEXT = r"nodelocaldns|node-cache|Using Pidfile|Updated Corefile with "
"""Texts of kubernetes/dns cmd/node-cache alone."""


class Components(Struct):
    """What the lines so far told of each pod of one input ('' where the wrapper names none).

    Node-cache tells itself by its own texts and by listening at a link-local address; it prints the same banner as
    CoreDNS after them, so a banner speaks for CoreDNS only where nothing else was seen.
    """

    _known: dict[str, int] = field(default_factory=dict)

    def learn(self, events: pl.DataFrame) -> pl.DataFrame:
        """The lines that tell: who, number, program (1 CoreDNS, 2 node-cache), sorted by number."""
        kind = pl.col("kind")
        told = (
            pl.when(
                kind.is_in(_NODE_CACHE_KINDS)
                | pl.col("text").str.contains(_NODE_CACHE_TEXT)
                | pl.col("address").str.contains(_LINK_LOCAL).fill_null(False)
            )
            .then(2)
            .when(kind.is_in(["banner", "listen"]))
            .then(1)
        )
        signs = (
            events.select("number", pl.coalesce("pod", pl.lit("")).alias("who"), told.alias("program"))
            .drop_nulls("program")
            .sort("number")
        )
        if signs.height:
            before = _of(signs["who"], self._known)
            signs = signs.with_columns(pl.max_horizontal(pl.col("program").cum_max().over("who"), before))
            for who, program in signs.group_by("who").agg(pl.col("program").max()).sort("who").iter_rows():
                if who in self._known or len(self._known) < PODS_KEPT:
                    self._known[who] = program
        return signs

    def named(self, rows: pl.DataFrame, signs: pl.DataFrame, before: dict[str, int]) -> pl.DataFrame:
        """The rows with their `component`; null where nothing tells. `before` is what was known when they began."""
        pod = rows["pod"]
        if not signs.height and not pod.null_count() < pod.len():
            return rows.with_columns(pl.lit(_name(before.get("", 0)), pl.String).alias("component"))
        who = pl.coalesce("pod", pl.lit(""))
        frame = rows.select("number", who.alias("who"), "pod")
        by_pod = (
            pl.when(pl.col("pod").str.contains(_NODE_CACHE_POD))
            .then(pl.lit(NODE_CACHE))
            .when(pl.col("pod").str.contains(_COREDNS_POD))
            .then(pl.lit(COREDNS))
        )
        if signs.height:
            found = frame.join_asof(signs, on="number", by="who", strategy="backward", check_sortedness=False)
        else:
            found = frame.with_columns(program=pl.lit(None, pl.Int32))
        program = pl.coalesce("program", _of(frame["who"], before))
        said = pl.when(program == 2).then(pl.lit(NODE_CACHE)).when(program == 1).then(pl.lit(COREDNS))
        return rows.with_columns(found.select(pl.coalesce(by_pod, said).alias("component")).to_series())

    @property
    def known(self) -> dict[str, int]:
        return dict(self._known)


def _of(who: pl.Series, known: dict[str, int]) -> pl.Series:
    """What is known of each, 0 for nothing."""
    if not known:
        return pl.Series([0], dtype=pl.Int32).new_from_index(0, who.len())
    return who.replace_strict(known, default=0, return_dtype=pl.Int32)


def _name(program: int) -> str | None:
    return {1: COREDNS, 2: NODE_CACHE}.get(program)
