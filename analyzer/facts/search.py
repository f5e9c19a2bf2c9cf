"""Walks through a search list: the queries of one lookup whose name was tried under one domain after another."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.dns import DNS_TRANSACTIONS
from analyzer.facts.search_list import SEARCH_SUFFIXES, SERVICE_NAME, asked_names, walked
from analyzer.facts.search_steps import ABSOLUTE, chained
from analyzer.frames import NO_REPLY, TIME, Col, Table
from analyzer.frames.contract import PLACE

CHAINS = Table(
    "dns_search_chains",
    "One row per walk of one client, base name and type: A and AAAA of one lookup are two rows. `time` is its start.",
    (
        *PLACE,
        Col("end", TIME, "When the last query was sent; null without times."),
        Col("last_number", pl.Int64(), "Record of the last query."),
        Col("last_source", pl.String(), "Input of the last query."),
        Col("origin", pl.String(), "capture or log: where the first query was read."),
        Col("client", pl.String(), "Address that asked."),
        Col("base", pl.String(), "The name that the program asked for."),
        Col("dots", pl.Int32(), "Dots in that name: it is searched first while they are fewer than ndots."),
        Col("qtype", pl.String(), "Question type as text."),
        Col("lookup", pl.Int64(), "Lookup that the walk belongs to: the A and the AAAA walk of one call share it."),
        Col("kind", pl.String(), "external, in-cluster-search, host-search, typo-walk, or open where nothing tells."),
        Col("complete", pl.Boolean(), "No domain of the list is missing up to where the walk ended, and it ended."),
        Col("steps", pl.Int32(), "Queries of the walk."),
        Col("suffixes", pl.Int32(), "Domains in the client's search list."),
        Col("wasted", pl.Int32(), "Queries under a search domain that said no such name."),
        Col("wasted_bytes", pl.Int64(), "Bytes of those queries and their answers."),
        Col("absolute", pl.Int32(), "Queries for the name as it stands."),
        Col(
            "added_seconds",
            pl.Float64(),
            "First query under a domain to the query that settled it; null: no such query.",
        ),
        Col(
            "wasted_seconds", pl.Float64(), "Time that the wasted queries took at the server; by a log the lower bound."
        ),
    ),
)

LOOKUP_SLACK = pl.duration(milliseconds=250)
"""A and AAAA of one lookup start at most so far apart where they are asked one after the other."""


def _tries(transactions: pl.LazyFrame) -> pl.LazyFrame:
    """Queries of clients, each once: repeated tries of one socket are one query that lasted until its answer."""
    mine = transactions.filter(pl.col("hop") == "client", ~pl.col("covered"))
    socket = ["source", "client", "client_port", "server", "dns_id", "name", "qtype"]
    tried = mine.filter("retry").select(socket).unique()
    once = mine.join(tried, on=socket, how="anti", nulls_equal=True).with_columns(asked="time")
    again = mine.join(tried, on=socket, how="semi", nulls_equal=True, maintain_order="left")
    attempt = (~pl.col("retry")).cum_sum().over(socket)
    settled = pl.col("rcode").is_not_null() & (pl.col("rcode") != NO_REPLY)
    keep = {"answered", "rcode", "answers"}
    rest = [name for name in DNS_TRANSACTIONS.table.schema if name not in {*socket, *keep, "time"}]
    folded = (
        again.with_columns(attempt=attempt)
        .group_by(*socket, "attempt", maintain_order=True)
        .agg(
            asked=pl.col("time").last(),
            time=pl.col("time").first(),
            **{name: pl.coalesce(pl.col(name).filter(settled).last(), pl.col(name).last()) for name in keep},
            **{name: pl.col(name).first() for name in rest},
        )
        .drop("attempt")
    )
    return pl.concat([once, folded.select(once.collect_schema().names())])


def _candidates(asked: pl.DataFrame, suffixes: pl.DataFrame, bases: pl.DataFrame) -> pl.DataFrame:
    """Every way to read a name as a walked base and one of the client's domains, or as it stands.

    Columns client, name, walk, position, inside (the name lies in the cluster's own domain).
    """
    parts = pl.col("name").str.extract_groups(SERVICE_NAME).struct
    own = suffixes.filter(pl.col("kind") == "namespace")
    domains = suffixes.filter(pl.col("kind") != "namespace").with_columns(tail=pl.concat_str(pl.lit("."), "suffix"))
    columns = ["client", "name", "base", "position", "inside"]
    under_own = (
        asked.with_columns(base=parts["1"], namespace=parts["2"], cluster_domain=parts["3"])
        .join(own, on=["client", "namespace", "cluster_domain"])
        .with_columns(inside=True)
        .select(columns)
    )
    under_domain = (
        asked.join(domains.select("client", "tail", "position", "kind"), on="client")
        .filter(pl.col("name").str.ends_with(pl.col("tail")))
        .with_columns(base=pl.col("name").str.strip_suffix(pl.col("tail")), inside=pl.col("kind") != "host")
        .select(columns)
    )
    zones = own.select("client", zone=pl.concat_str(pl.lit("."), "cluster_domain")).unique()
    absolute = (
        asked.join(bases, left_on=["client", "name"], right_on=["client", "base"], how="semi")
        .join(zones, on="client")
        .with_columns(within=pl.col("name").str.ends_with(pl.col("zone")))
        .group_by("client", "name")
        .agg(inside=pl.col("within").any())
        .with_columns(base="name", position=pl.lit(ABSOLUTE, pl.Int32))
        .select(columns)
    )
    every = pl.concat([under_own, under_domain, absolute])
    return every.join(bases, on=["client", "base"]).select("client", "name", "walk", "position", "inside")


def _kind() -> pl.Expr:
    """What a walk was for, by where any walk of its lookup was answered, else by what became of its name elsewhere."""
    verdicts = (
        ("in-cluster-search", "in_cluster"),
        ("host-search", "in_host"),
        ("external", "outside"),
        ("typo-walk", "denied"),
    )
    kind: pl.Expr = pl.lit("open")
    for scope in ("walk", "lookup"):
        for name, flag in reversed(verdicts):
            kind = pl.when(pl.col(flag).any().over(scope)).then(pl.lit(name)).otherwise(kind)
    return kind


def _lookups(chains: pl.DataFrame) -> pl.DataFrame:
    """Number the lookups: walks of one base that overlap in time, the n-th of each type together."""
    order = ["walk", "time", "source", "number", "qtype"]
    same = pl.col("walk") == pl.col("walk").shift(1)
    apart = (same & (pl.col("time") > pl.col("latest").shift(1) + LOOKUP_SLACK)).fill_null(False)
    return (
        chains.sort(order, nulls_last=True)
        .with_columns(latest=pl.col("end").cum_max().over("walk"))
        .with_columns(cluster=apart.cum_sum().over("walk"))
        .with_columns(turn=pl.int_range(pl.len()).over("walk", "cluster", "qtype"))
        .with_columns(lookup=pl.struct("walk", "cluster", "turn").rank("dense").cast(pl.Int64))
    )


def _summed(steps: pl.DataFrame) -> pl.DataFrame:
    """One row per walk of at least two queries, one of them denied under a search domain."""
    under = pl.col("position") != ABSOLUTE
    denied, told = pl.col("denied"), pl.col("told")
    nodata = (pl.col("noerror") & (pl.col("answers") == 0)).fill_null(False)
    found = pl.col("noerror") & ~nodata
    settles = ~under | found | (nodata & pl.col("last"))
    size = pl.col("wire_bytes")
    # Flags first, plain sums after: a condition inside each of many small groups costs several times as much.
    flagged = steps.with_columns(
        denied_under=under & denied,
        nodata_under=under & nodata,
        denied_bytes=pl.when(under & denied).then(size).otherwise(0),
        nodata_bytes=pl.when(under & nodata).then(size).otherwise(0),
        wasted_seconds=pl.when(under & (denied | nodata)).then("duration_seconds"),
        under=under,
        first_under=pl.when(under).then("time"),
        settled_at=pl.when(settles).then("time"),
        place=pl.when(under).then("position"),
        in_cluster=pl.col("inside") & (found | (~under & ~denied & told)),
        in_host=under & found & ~pl.col("inside"),
        outside=~under & ~pl.col("inside") & ~denied & told,
        denied=~under & denied,
        ended=settles,
    )
    return (
        flagged.group_by("chain", maintain_order=True)
        .agg(
            pl.col("time", "row", "walk").first(),
            pl.col("denied_under", "nodata_under", "under").sum().cast(pl.Int32),
            pl.col("denied_bytes", "nodata_bytes", "wasted_seconds").sum(),
            pl.col("in_cluster", "in_host", "outside", "denied", "ended").max(),
            end=pl.col("time").last(),
            last_row=pl.col("row").last(),
            steps=pl.len().cast(pl.Int32),
            first_under=pl.col("first_under").min(),
            settled_at=pl.col("settled_at").max(),
            first_place=pl.col("place").min(),
            last_place=pl.col("place").max(),
        )
        .filter(pl.col("steps") >= 2, pl.col("denied_under") + pl.col("nodata_under") > 0)
        .with_columns(
            absolute=pl.col("steps") - pl.col("under"),
            places=pl.col("under"),
            added_seconds=(pl.col("settled_at") - pl.col("first_under")).dt.total_microseconds() / 1e6,
        )
    )


def _named(chains: pl.DataFrame, tries: pl.DataFrame) -> pl.DataFrame:
    """The text and the places that the sums left behind, from the first and the last query."""
    last = tries.select(last_row="row", last_number="number", last_source="source")
    return chains.join(tries.select("row", "source", "number", "origin", "client", "qtype"), on="row").join(
        last, on="last_row"
    )


def _denials_only(tries: pl.DataFrame) -> pl.DataFrame:
    """Clients of logs that hold no answer at all (CoreDNS's `log . { class denial error }`)."""
    answered = (pl.col("rcode") == "NOERROR").any() | (pl.col("origin") == "capture").any()
    return tries.group_by("client").agg(unseen=~answered)


def _derive(frames: Frames) -> pl.LazyFrame:
    asked = asked_names(frames[DNS_TRANSACTIONS])
    suffixes = frames[SEARCH_SUFFIXES].collect()
    bases = walked(asked, suffixes)
    lists = suffixes.group_by("client").agg(suffixes=pl.col("position").n_unique().cast(pl.Int32))
    candidates = _candidates(asked, suffixes, bases)
    clients = lists.lazy().select("client")
    mine = frames[DNS_TRANSACTIONS].join(clients, on="client", how="semi", maintain_order="left")
    tries = _tries(mine).with_row_index("row").collect()
    chains = _lookups(_named(_summed(chained(tries, candidates)), tries))
    # Where a log leaves answers out, a name that was denied under every domain and not as it stands was found.
    to_the_end = (pl.col("first_place") == 0) & (pl.col("places") == pl.col("suffixes"))
    found_unseen = pl.col("unseen") & to_the_end & ~pl.col("denied").any().over("walk")
    both = pl.col("kind").is_in(["external", "typo-walk"])
    whole = (pl.col("first_place") == 0) & (pl.col("places") == pl.col("last_place") + 1) & pl.col("ended")
    return (
        chains.join(bases.select("walk", "base"), on="walk")
        .join(lists, on="client")
        .join(_denials_only(tries), on="client")
        .with_columns(outside=pl.col("outside") | found_unseen, ended=pl.col("ended") | found_unseen)
        .with_columns(kind=_kind())
        .with_columns(
            complete=whole & (~both | to_the_end),
            dots=pl.col("base").str.count_matches(".", literal=True).cast(pl.Int32),
            wasted=pl.col("denied_under") + pl.when(both).then("nodata_under").otherwise(0),
            wasted_bytes=pl.col("denied_bytes") + pl.when(both).then("nodata_bytes").otherwise(0),
            added_seconds=pl.col("added_seconds").clip(lower_bound=0),
        )
        .filter(pl.col("wasted") > 0)
        .sort("time", "source", "number", "qtype", nulls_last=True)
        .select(list(CHAINS.schema))
        .lazy()
    )


SEARCH_CHAINS = Fact(table=CHAINS, needs_any=((DNS_TRANSACTIONS, SEARCH_SUFFIXES),), derive=_derive)
