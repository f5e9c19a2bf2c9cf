"""What the walks of each client cost, from the facts."""

from __future__ import annotations

import polars as pl
from msgspec.structs import replace

from analyzer.detectors.dns.dns_search_chain.pods import NONE, pods
from analyzer.detectors.dns.dns_search_chain.saving import reckoned
from analyzer.detectors.dns.dns_search_chain.walks import Walks
from analyzer.facts.addresses import NODE_LOCAL_DNS
from analyzer.facts.contract import Frames
from analyzer.facts.dns import DNS_TRANSACTIONS
from analyzer.facts.dns_log_classes import DNS_LOG_CLASSES
from analyzer.facts.dns_queries import DNS_CLIENT_QUERIES
from analyzer.facts.dns_resolvers import DNS_RESOLVERS
from analyzer.facts.search import SEARCH_CHAINS
from analyzer.facts.search_autopath import DNS_AUTOPATH
from analyzer.facts.search_list import SEARCH_SUFFIXES
from analyzer.frames.contract import empty


def measure(frames: Frames) -> Walks:
    """The walks of all clients, without `pods` and `resolvers`."""
    chains, transactions = frames[SEARCH_CHAINS], frames[DNS_TRANSACTIONS]
    partial = _filtered_sources(frames)
    told = ["source", "number", "time", "rcode"]
    part = (pl.col("origin") == "log") & pl.col("source").is_in(partial)
    heard = (pl.col("rcode") == "NOERROR") | (pl.col("origin") == "capture")
    once = (
        frames[DNS_CLIENT_QUERIES]
        .filter(~pl.col("retry"))
        .select(*told, "negative_ttl", "client", "name", "qtype", heard=heard, part=part)
    )
    again = transactions.filter("covered", pl.col("hop") == "client").select(*told, "client")
    walkers = frames.get(DNS_AUTOPATH, empty(DNS_AUTOPATH.table).lazy())
    asked, told_again, walked, lists, streams, autopath = pl.collect_all(
        [once, again, chains, frames[SEARCH_SUFFIXES], _over_tcp(transactions), walkers]
    )
    queries = asked.group_by("client").agg(
        queries=pl.len().cast(pl.Int64), unseen=~pl.col("heard").any(), filtered=pl.col("part").any()
    )
    external = walked.filter(pl.col("kind") == "external")
    clients = (
        _costs(walked)
        .join(_lookups(external), on="client")
        .join(queries.with_columns(pl.col("client").cast(pl.String)), on="client")
        .with_columns(cache=(pl.col("client") == NODE_LOCAL_DNS) | pl.col("client").is_in(streams["client"].implode()))
        .with_columns(share=pl.when(~pl.col("filtered")).then(pl.col("wasted") / pl.col("queries")))
        .sort("wasted", "client", descending=[True, False])
    )
    mine = pl.col("client").is_in(clients["client"].implode())
    return Walks(
        clients=clients,
        chains=walked,
        external=external,
        suffixes=lists,
        asked=asked.drop("heard", "part").filter(mine),
        covered=told_again.filter(mine),
        pods=NONE,
        autopath=autopath,
        resolvers=empty(DNS_RESOLVERS.table),
        evidence_queries=int(queries["queries"].sum()),
    )


def with_clients(walks: Walks, frames: Frames) -> Walks:
    """The walks with the `pods` that the clients are and their `resolvers`, which only findings tell of."""
    resolvers = frames[DNS_RESOLVERS].collect() if DNS_RESOLVERS in frames else walks.resolvers
    return replace(walks, pods=pods(frames, walks.suffixes), resolvers=resolvers)


def _costs(walked: pl.DataFrame) -> pl.DataFrame:
    """What the walks of each client came to, and what other settings are reckoned from."""
    outside, inside = pl.col("kind") == "external", pl.col("kind") == "in-cluster-search"
    summed = walked.group_by("client").agg(
        complete=(pl.col("complete") & outside).sum().cast(pl.Int64),
        wasted=pl.col("wasted").filter(outside).sum().cast(pl.Int64),
        in_cluster_wasted=pl.col("wasted").filter(inside).sum().cast(pl.Int64),
        wasted_bytes=pl.col("wasted_bytes").filter(outside).sum(),
        suffixes=pl.col("suffixes").max(),
    )
    return summed.join(reckoned(walked), on="client")


def _lookups(external: pl.DataFrame) -> pl.DataFrame:
    """How many lookups of each client walked, and the seconds that this added to them."""
    # By a log, what the walk took on the network is not known: the time at the server is the least it took.
    added = pl.when(pl.col("origin") == "capture").then("added_seconds").otherwise("wasted_seconds").fill_null(0)
    per_lookup = external.with_columns(added=added).group_by("client", "lookup").agg(pl.col("added").max())
    return per_lookup.group_by("client").agg(
        lookups=pl.len().cast(pl.Int64), added_seconds=pl.col("added").sort().sum()
    )


def _over_tcp(transactions: pl.LazyFrame) -> pl.LazyFrame:
    """Clients of whom a log shows queries over TCP only: NodeLocal DNSCache asks CoreDNS so (`force_tcp` in its
    published configuration), a pod does so after truncated answers."""
    logged = transactions.filter(pl.col("origin") == "log", pl.col("hop") == "client", ~pl.col("covered"))
    return logged.group_by("client").agg((pl.col("transport") == "tcp").all()).filter("transport").select("client")


def _filtered_sources(frames: Frames) -> list[str]:
    """Logs that leave successes out."""
    if DNS_LOG_CLASSES not in frames:
        return []
    found = frames[DNS_LOG_CLASSES].filter("filtered").select(pl.col("source").unique().sort()).collect()
    return found["source"].to_list()
