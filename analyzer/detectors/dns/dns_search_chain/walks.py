"""The walks of some clients, and what can be said of them together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from analyzer.facts.search_names import SERVICE_NAME

ALL = "other clients"
"""Subject of the finding that holds the clients after the first ones."""


_OF_CLIENTS = ("clients", "chains", "external", "suffixes", "asked", "covered", "pods", "autopath", "resolvers")
"""Those frames of `Walks` that have a column client."""


class Walks(Struct, frozen=True, kw_only=True):
    """The walks of some clients.

    `chains` and `suffixes` are as in the facts, `external` are the chains of outside names, `asked` the clients'
    queries (client, name, qtype and rcode as CODE) and `covered` the same as another input tells them. `clients` has
    one row per client, the costliest first: complete, lookups, wasted, in_cluster_wasted, queries, share, suffixes,
    added_seconds, wasted_bytes, unseen (the log leaves answers out), filtered (it does so for everybody, so that
    `share` is null), cache (a cache on a node, by its address or because it asks over TCP only), and what other
    settings are reckoned from (`saving.reckoned`). `pods` are the pods that the clients are known to be: client,
    namespace, pod, owner. `autopath` and `resolvers` are as in the facts.
    """

    clients: pl.DataFrame
    chains: pl.DataFrame
    external: pl.DataFrame
    suffixes: pl.DataFrame
    asked: pl.DataFrame
    covered: pl.DataFrame
    pods: pl.DataFrame
    autopath: pl.DataFrame
    resolvers: pl.DataFrame
    evidence_queries: int

    def of(self, clients: Sequence[str]) -> Walks:
        """The same for those clients only."""
        mine = pl.col("client").is_in(list(clients))
        found = collected(getattr(self, name).lazy().filter(mine) for name in _OF_CLIENTS)
        return replace(self, **dict(zip(_OF_CLIENTS, found, strict=True)))

    @property
    def start(self) -> datetime | None:
        return _moment(self.external["time"].min())

    @property
    def end(self) -> datetime | None:
        return _moment(self.external["end"].max())

    def total(self) -> dict[str, Any]:
        """The columns of `clients` summed up; the most common number of domains."""
        sums = ("complete", "lookups", "wasted", "in_cluster_wasted", "queries", "added_seconds", "wasted_bytes")
        row: dict[str, Any] = {name: self.clients[name].sum() for name in sums}
        share = None if self.filtered else row["wasted"] / row["queries"]
        return row | {"share": share, "suffixes": self.clients["suffixes"].mode().max()}

    @property
    def filtered(self) -> bool:
        """Whether some of the queries come from a log that holds denials and errors only."""
        return bool(self.clients["filtered"].any())

    @property
    def cached(self) -> bool:
        """Whether a cache on a node asks already."""
        return bool(self.clients["cache"].any())

    def namespaces(self) -> list[str]:
        """Namespaces whose search lists were walked."""
        return namespaces(self.suffixes)

    def shared(self) -> list[str]:
        """Addresses that ask for more than one pod."""
        told = pl.col("namespace").drop_nulls().n_unique()
        several = self.suffixes.lazy().group_by("client").agg(told).filter(pl.col("namespace") > 1)
        caches = self.clients.lazy().filter("cache")
        return sorted({client for frame in collected([several, caches]) for client in frame["client"].to_list()})

    def who(self) -> str:
        """The namespace of the search list; the pod is named later, for all detectors in one way."""
        known = self.namespaces()
        return f" (namespace {known[0]})" if len(known) == 1 else ""


def collected(queries: Iterable[pl.LazyFrame]) -> list[pl.DataFrame]:
    """All of them in one turn: each turn on its own waits for whatever else polars is at."""
    return pl.collect_all(list(queries))


def namespaces(suffixes: pl.DataFrame) -> list[str]:
    return sorted(set(suffixes["namespace"].drop_nulls().to_list()))


def in_own_namespace(names: pl.DataFrame, walks: Walks, how: Literal["inner", "anti"]) -> pl.DataFrame:
    """Of names (client, name) those under the namespace of their client's own search list, or all others; with base,
    namespace and cluster_domain."""
    own = walks.suffixes.filter(pl.col("kind") == "namespace")
    keys = ["client", "namespace", "cluster_domain"]
    parts = pl.col("name").str.extract_groups(SERVICE_NAME).struct
    read = names.with_columns(base=parts["1"], namespace=parts["2"], cluster_domain=parts["3"])
    return read.join(own.select(keys, found_under="suffix"), on=keys, how=how)


def _moment(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None
