"""The walks of some clients, and what can be said of them together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import polars as pl

from analyzer.detector import Remark
from analyzer.facts.addresses import NODE_LOCAL_DNS
from analyzer.model import Confidence

ALL = "other clients"
"""Subject of the finding that holds the clients after the first ones."""

_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Walks:
    """The walks of some clients.

    `chains` and `suffixes` are as in the facts, `external` are the chains of outside names, `asked` the clients'
    queries (client, name, qtype and rcode as CODE) and `covered` the same as another input tells them. `clients` has
    one row per client, the costliest first: complete, lookups, wasted, in_cluster_wasted, queries, share, suffixes,
    added_seconds, wasted_bytes, unseen (the log leaves answers out), filtered (it does so for everybody, so that
    `share` is null).
    """

    clients: pl.DataFrame
    chains: pl.DataFrame
    external: pl.DataFrame
    suffixes: pl.DataFrame
    asked: pl.DataFrame
    covered: pl.DataFrame
    evidence_queries: int

    def of(self, clients: Sequence[str]) -> Walks:
        """The same for those clients only."""
        mine = pl.col("client").is_in(list(clients))
        return replace(
            self,
            clients=self.clients.filter(mine),
            chains=self.chains.filter(mine),
            external=self.external.filter(mine),
            suffixes=self.suffixes.filter(mine),
            asked=self.asked.filter(mine),
            covered=self.covered.filter(mine),
        )

    @property
    def start(self) -> datetime | None:
        return _moment(self.external["time"].min())

    @property
    def end(self) -> datetime | None:
        return _moment(self.external["end"].max())

    def total(self) -> dict[str, Any]:
        """The columns of `clients` summed up; the most common number of domains."""
        sums = ["complete", "lookups", "wasted", "in_cluster_wasted", "queries", "added_seconds", "wasted_bytes"]
        row = self.clients.select(pl.col(sums).sum()).row(0, named=True)
        share = None if self.filtered else row["wasted"] / row["queries"]
        return row | {"share": share, "suffixes": self.clients["suffixes"].mode().max()}

    @property
    def filtered(self) -> bool:
        """Whether some of the queries come from a log that holds denials and errors only."""
        return bool(self.clients["filtered"].any())

    def namespaces(self) -> list[str]:
        return _namespaces(self.suffixes)

    def shared(self) -> list[str]:
        """Addresses that ask for more than one pod."""
        several = self.suffixes.group_by("client").agg(pl.col("namespace").drop_nulls().n_unique())
        found = several.filter((pl.col("namespace") > 1) | (pl.col("client") == NODE_LOCAL_DNS))
        return sorted(found["client"].to_list())

    def remarks(self) -> Iterator[Remark]:
        """Look-alikes, and what limits the answer."""
        if self.filtered:
            yield Remark(
                "the CoreDNS log holds almost no successful answers (class `denial error`?): how many queries there "
                "were in all is not known, so no share of them is told"
            )
        for client in self.shared():
            names = ", ".join(_namespaces(self.suffixes.filter(client=client))[:_NAMED])
            yield Remark(
                f"{client} asks for pods of several namespaces or is a cache on the node ({names}): no walk can be "
                "laid to a pod, and what the cache answered was not seen, so its counts are lower bounds"
            )
        for kind, text in (
            ("typo-walk", "queries walked search domains for names that exist nowhere, as"),
            ("in-cluster-search", "queries were search steps for names that the cluster itself answers, as"),
            ("host-search", "queries were search steps for names found under a host's own domain, as"),
        ):
            rows = self.chains.filter(pl.col("kind") == kind)
            if rows.height:
                sums = rows.group_by("base").agg(pl.col("wasted").sum())
                name = sums.sort("wasted", "base", descending=[True, False])
                yield Remark(f"{rows['wasted'].sum():,} {text} {name['base'][0]}; they are not counted as waste")


def confidence(walks: Walks) -> tuple[Confidence, str]:
    if walks.shared():
        return Confidence.LOW, "one address asks for several namespaces: a cache or a node stands in front of the pods"
    if walks.filtered or walks.clients["unseen"].any():
        return Confidence.MEDIUM, "the log leaves answers out: that the names exist is concluded from missing denials"
    if walks.start is None:
        return Confidence.MEDIUM, "the log has no times: queries are ordered by line"
    return Confidence.HIGH, "every step of the walks was seen, in order"


def _namespaces(suffixes: pl.DataFrame) -> list[str]:
    return sorted(set(suffixes["namespace"].drop_nulls().to_list()))


def _moment(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None
