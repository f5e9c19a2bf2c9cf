"""What the walks of each client cost, from the facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import polars as pl

from analyzer.detector import Remark
from analyzer.facts.addresses import NODE_LOCAL_DNS

ALL = "other clients"
"""Subject of the finding that holds the clients after the first ones."""

_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Walks:
    """The walks of some clients.

    `chains` and `suffixes` are as in the facts, `asked` are the clients' queries (client, name, qtype and rcode as CODE) and
    `covered` the same as another input tells them. `clients` has one row per client, the costliest first: complete,
    lookups, wasted, in_cluster_wasted, queries, share, suffixes, added_seconds, wasted_bytes, unseen (the log leaves
    answers out).
    """

    clients: pl.DataFrame
    chains: pl.DataFrame
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
            suffixes=self.suffixes.filter(mine),
            asked=self.asked.filter(mine),
            covered=self.covered.filter(mine),
        )

    @property
    def external(self) -> pl.DataFrame:
        return self.chains.filter(pl.col("kind") == "external")

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
        return row | {"share": row["wasted"] / row["queries"], "suffixes": self.clients["suffixes"].mode().max()}

    def namespaces(self) -> list[str]:
        return _namespaces(self.suffixes)

    def shared(self) -> list[str]:
        """Addresses that ask for more than one pod."""
        several = self.suffixes.group_by("client").agg(pl.col("namespace").drop_nulls().n_unique())
        found = several.filter((pl.col("namespace") > 1) | (pl.col("client") == NODE_LOCAL_DNS))
        return sorted(found["client"].to_list())

    def remarks(self) -> Iterator[Remark]:
        """Look-alikes, and what limits the answer."""
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


def measure(chains: pl.LazyFrame, queries: pl.LazyFrame, transactions: pl.LazyFrame, suffixes: pl.LazyFrame) -> Walks:
    """The walks of all clients; `queries` are those of the transactions that count."""
    told = ["source", "number", "time", "rcode"]
    heard = (pl.col("rcode") == "NOERROR") | (pl.col("origin") == "capture")
    once = queries.filter(~pl.col("retry")).select(*told, "negative_ttl", "client", "name", "qtype", heard=heard)
    again = transactions.filter("covered", pl.col("hop") == "client").select(*told, "client")
    asked, told_again, walked, lists = pl.collect_all([once, again, chains, suffixes])
    counts = asked.group_by("client").agg(queries=pl.len().cast(pl.Int64), unseen=~pl.col("heard").any())
    outside, inside = pl.col("kind") == "external", pl.col("kind") == "in-cluster-search"
    # By a log, what the walk took on the network is not known: the time at the server is the least it took.
    added = pl.when(pl.col("origin") == "capture").then("added_seconds").otherwise("wasted_seconds").fill_null(0)
    per_lookup = (
        walked.filter(outside)
        .with_columns(added=added)
        .group_by("client", "lookup")
        .agg(pl.col("added").max())
        .group_by("client")
        .agg(lookups=pl.len().cast(pl.Int64), added_seconds=pl.col("added").sort().sum())
    )
    clients = (
        walked.group_by("client")
        .agg(
            complete=(pl.col("complete") & outside).sum().cast(pl.Int64),
            wasted=pl.col("wasted").filter(outside).sum().cast(pl.Int64),
            in_cluster_wasted=pl.col("wasted").filter(inside).sum().cast(pl.Int64),
            wasted_bytes=pl.col("wasted_bytes").filter(outside).sum(),
            suffixes=pl.col("suffixes").max(),
        )
        .join(per_lookup, on="client")
        .join(counts.with_columns(pl.col("client").cast(pl.String)), on="client")
        .with_columns(share=pl.col("wasted") / pl.col("queries"))
        .sort("wasted", "client", descending=[True, False])
    )
    mine = pl.col("client").is_in(clients["client"].implode())
    return Walks(
        clients=clients,
        chains=walked,
        suffixes=lists,
        asked=asked.drop("heard").filter(mine),
        covered=told_again.filter(mine),
        evidence_queries=int(counts["queries"].sum()),
    )


def _namespaces(suffixes: pl.DataFrame) -> list[str]:
    return sorted(set(suffixes["namespace"].drop_nulls().to_list()))


def _moment(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None
