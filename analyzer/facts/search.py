"""Walks through a search list: the queries of one lookup whose name was tried under one domain after another."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyzer.facts.codes import CODE, pair
from analyzer.facts.contract import Fact, Frames
from analyzer.facts.dns_queries import DNS_CLIENT_QUERIES
from analyzer.facts.neighbours import begins, by_place, latest, nth
from analyzer.facts.search_list import SEARCH_SUFFIXES, walked
from analyzer.facts.search_names import DNS_ASKED_NAMES
from analyzer.facts.search_steps import ABSOLUTE, chained
from analyzer.frames import NO_REPLY, TIME, Col, Table
from analyzer.frames.contract import PLACE, empty

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
        Col("client_port", pl.Int32(), "Port that the first query came from."),
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
        Col("absolute_first", pl.Boolean(), "Whether the name was asked as it stands before it was searched."),
        Col(
            "found_under",
            pl.String(),
            "Search domain whose answer ended the walk, for AAAA maybe without a record; of a shared address with the "
            "first namespace; null if none did.",
        ),
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


_SOCKET = ["source", "client", "client_port", "server", "dns_id", "name", "qtype"]
_MEASURED = ["time", "number", "origin", "rcode", "answered", "answers", "duration_seconds", "wire_bytes", "retry"]


def _tries(queries: pl.LazyFrame, clients: pl.Series) -> pl.DataFrame:
    """Queries of these clients, each once: repeated tries of one socket are one query that lasted until its answer.

    Source, client, name, qtype and rcode are codes.
    """
    mine = (
        queries.filter(pl.col("client").is_in(clients.implode()))
        .select(*_MEASURED, "client_port", "server", "dns_id", pl.col("source").cast(CODE), "client", "name", "qtype")
        .collect()
    )
    if not mine["retry"].any():
        return mine.with_columns(asked="time").drop("retry", "server", "dns_id")
    # By a hash, because text of seven columns is slow to join; a query that it picks by chance is folded alone.
    hashed = mine.with_columns(socket=pl.struct(_SOCKET).hash())
    folded = pl.col("socket").is_in(hashed.filter("retry")["socket"].implode())
    once = hashed.filter(~folded).with_columns(asked="time").drop("socket")
    return pl.concat([once, _folded(hashed.filter(folded).drop("socket"))]).drop("retry")


def _folded(again: pl.DataFrame) -> pl.DataFrame:
    """The queries of these sockets, all tries of one query in one row."""
    attempt = (~pl.col("retry")).cum_sum().over(_SOCKET)
    settled = pl.col("rcode").is_not_null() & (pl.col("rcode") != NO_REPLY)
    keep = {"answered", "rcode", "answers"}
    rest = [name for name in again.columns if name not in {*_SOCKET, *keep, "time"}]
    return (
        again.with_columns(attempt=attempt)
        .group_by(*_SOCKET, "attempt", maintain_order=True)
        .agg(
            asked=pl.col("time").last(),
            time=pl.col("time").first(),
            **{name: pl.coalesce(pl.col(name).filter(settled).last(), pl.col(name).last()) for name in keep},
            **{name: pl.col(name).first() for name in rest},
        )
        .select(*again.columns, "asked")
    )


def _candidates(bases: pl.DataFrame, suffixes: pl.DataFrame) -> pl.DataFrame:
    """What each walk may ask: its base under every domain of the client's list, and as it stands.

    Columns key (client and name), walk, position, inside (the name lies in the cluster's own domain).
    """
    columns = [pair("client", "name").alias("key"), "walk", "position", "inside"]
    base = pl.col("base").cast(pl.String)
    domains = suffixes.select(pl.col("client").cast(CODE), "suffix", "position", inside=pl.col("kind") != "host")
    under = (
        bases.join(domains, on="client")
        .with_columns(name=pl.format("{}.{}", base, "suffix").cast(CODE))
        .select(columns)
    )
    zones = suffixes.filter(pl.col("kind") == "namespace").select(
        pl.col("client").cast(CODE), zone=pl.concat_str(pl.lit("."), "cluster_domain")
    )
    within = bases.join(zones.unique(), on="client").filter(base.str.ends_with(pl.col("zone")))["walk"]
    absolute = bases.with_columns(
        name="base", position=pl.lit(ABSOLUTE, pl.Int32), inside=pl.col("walk").is_in(within.implode())
    ).select(columns)
    return pl.concat([under, absolute])


_VERDICTS = {"in_cluster": "in-cluster-search", "in_host": "host-search", "outside": "external", "denied": "typo-walk"}
"""What a walk was for by what was seen of it; of several the first one counts."""


def _kind() -> pl.Expr:
    """What a walk was for, by where any walk of its lookup was answered, else by what became of its name elsewhere."""
    verdict: pl.Expr = pl.lit(None, pl.UInt8)
    for rank, flag in reversed(list(enumerate(_VERDICTS))):
        verdict = pl.when(pl.col(flag)).then(pl.lit(rank, pl.UInt8)).otherwise(verdict)
    found = pl.coalesce(verdict.min().over("lookup"), verdict.min().over("walk"))
    return found.replace_strict(dict(enumerate(_VERDICTS.values())), default="open", return_dtype=pl.String)


def _lookups(chains: pl.DataFrame) -> pl.DataFrame:
    """Number the lookups: walks of one base that overlap in time, the n-th of each type together."""
    order = ["walk", "time", "source", "number", "qtype"]
    same = pl.col("walk") == pl.col("walk").shift(1)
    apart = (pl.col("time") > pl.col("latest").shift(1) + LOOKUP_SLACK).fill_null(False)
    kind = pl.col("qtype").cast(CODE).to_physical()
    return (
        chains.sort(order, nulls_last=True)
        .with_columns(latest=latest("end", "walk"))
        .with_columns(cluster=(~same.fill_null(False) | apart).cum_sum().cast(pl.UInt64) * (1 << 32))
        .with_columns(same_type=pl.col("cluster") + kind)
        .sort("same_type", maintain_order=True)
        .with_columns(lookup=(pl.col("cluster") + nth("same_type")).rank("dense").cast(pl.Int64))
    )


def _flagged(steps: pl.DataFrame, tries: pl.DataFrame) -> pl.DataFrame:
    """The steps with what is summed. Flags first, plain sums after: a condition inside each of many small groups costs
    several times as much."""
    rcode = pl.col("rcode")
    measured = tries.select(
        "time",
        "duration_seconds",
        "wire_bytes",
        "answers",
        denied=(rcode == "NXDOMAIN").fill_null(False),
        noerror=(rcode == "NOERROR").fill_null(False),
        told=rcode.is_not_null(),
    )
    steps = steps.hstack(measured[steps["row"]])
    under = pl.col("position") != ABSOLUTE
    denied, told = pl.col("denied"), pl.col("told")
    nodata = (pl.col("noerror") & (pl.col("answers") == 0)).fill_null(False)
    found = pl.col("noerror") & ~nodata
    settles = ~under | found | (nodata & pl.col("last"))
    size = pl.col("wire_bytes")
    return steps.with_columns(
        denied_under=under & denied,
        nodata_under=under & nodata,
        denied_bytes=pl.when(under & denied).then(size).otherwise(0),
        nodata_bytes=pl.when(under & nodata).then(size).otherwise(0),
        wasted_seconds=pl.when(under & (denied | nodata)).then("duration_seconds"),
        under=under,
        first_under=pl.when(under).then("time"),
        settled_at=pl.when(settles).then("time"),
        place=pl.when(under).then("position"),
        found_place=pl.when(under & settles).then("position"),
        in_cluster=pl.col("inside") & (found | (~under & ~denied & told)),
        in_host=under & found & ~pl.col("inside"),
        outside=~under & ~pl.col("inside") & ~denied & told,
        denied=~under & denied,
        ended=settles,
    )


_SUMS = ("denied_under", "nodata_under", "under", "denied_bytes", "nodata_bytes")
_FLAGS = ("in_cluster", "in_host", "outside", "denied", "ended")


def _summed(steps: pl.DataFrame, tries: pl.DataFrame) -> pl.DataFrame:
    """One row per walk of at least two queries, one of them denied under a search domain."""
    flagged = _flagged(steps, tries)
    # Walks stand together, so that all is told by where each begins and ends; groups cost several times as much.
    first = np.flatnonzero(begins(flagged["chain"].to_numpy()))
    last = np.append(first[1:], flagged.height)[: len(first)] - 1
    sums = {name: _total(flagged[name], first) for name in (*_SUMS, *_FLAGS)}
    # Not so of fractions, where the order of adding shows.
    seconds = flagged.group_by("chain", maintain_order=True).agg(pl.col("wasted_seconds").sum())
    ends = flagged.select(end="time", last_row="row")[last]
    return (
        pl.concat([flagged.select("time", "row", "walk")[first], ends], how="horizontal")
        .with_columns(
            seconds["wasted_seconds"],
            **{name: pl.Series(sums[name], dtype=pl.Int64) for name in _SUMS},
            **{name: pl.Series(sums[name] > 0, dtype=pl.Boolean) for name in _FLAGS},
            steps=pl.Series(last - first + 1, dtype=pl.Int32),
            first_under=_extreme(flagged["first_under"], first, np.minimum),
            settled_at=_extreme(flagged["settled_at"], first, np.maximum),
            first_place=_extreme(flagged["place"], first, np.minimum),
            last_place=_extreme(flagged["place"], first, np.maximum),
            found_place=_extreme(flagged["found_place"], first, np.maximum),
            absolute_first=(flagged["position"] == ABSOLUTE)[first],
        )
        .with_columns(pl.col("denied_under", "nodata_under", "under").cast(pl.Int32))
        .filter(pl.col("steps") >= 2, pl.col("denied_under") + pl.col("nodata_under") > 0)
        .with_columns(
            absolute=pl.col("steps") - pl.col("under"),
            places=pl.col("under"),
            added_seconds=(pl.col("settled_at") - pl.col("first_under")).dt.total_microseconds() / 1e6,
        )
    )


def _total(values: pl.Series, first: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sum of each run that begins at these places."""
    plain: NDArray[np.int64] = values.cast(pl.Int64).fill_null(0).to_numpy()
    return np.add.reduceat(plain, first) if len(first) else plain


def _extreme(values: pl.Series, first: NDArray[np.int64], of: np.ufunc) -> pl.Series:
    """The least or the greatest value of each run that begins at these places; null where it has none."""
    limits = np.iinfo(np.int64)
    nothing = limits.max if of is np.minimum else limits.min
    plain = values.to_physical().cast(pl.Int64).fill_null(nothing).to_numpy()
    found = pl.Series(of.reduceat(plain, first) if len(first) else plain, dtype=pl.Int64)
    return found.set(found == nothing, None).cast(values.dtype)


def _named(chains: pl.DataFrame, tries: pl.DataFrame) -> pl.DataFrame:
    """The text and the places that the sums left behind, from the first and the last query."""
    first = tries.select("source", "number", "origin", "qtype", "client_port")[chains["row"]]
    last = tries.select(last_number="number", last_source="source")[chains["last_row"]]
    named = pl.concat([chains, first, last], how="horizontal")
    return named.with_columns(pl.col("source", "qtype", "last_source").cast(pl.String))


def _walks(bases: pl.DataFrame, suffixes: pl.DataFrame, tries: pl.DataFrame) -> pl.DataFrame:
    """What is known of each client and base: walk, client, base, dots, suffixes (domains of the client's list), unseen
    (it is a client of logs that hold no answer at all, by CoreDNS's `log . { class denial error }`)."""
    answered = (pl.col("rcode") == "NOERROR") | (pl.col("origin") == "capture")
    heard = tries.filter(answered)["client"].unique()
    lists = suffixes.group_by(pl.col("client").cast(CODE)).agg(suffixes=pl.col("position").n_unique().cast(pl.Int32))
    return (
        bases.join(lists.with_columns(unseen=~pl.col("client").is_in(heard.implode())), on="client")
        .with_columns(pl.col("client", "base").cast(pl.String))
        .with_columns(dots=pl.col("base").str.count_matches(".", literal=True).cast(pl.Int32))
    )


def _derive(frames: Frames) -> pl.LazyFrame:
    suffixes = frames[SEARCH_SUFFIXES].collect()
    if suffixes.is_empty():
        return empty(CHAINS).lazy()  # the usual case outside Kubernetes: nobody walks a list
    bases = walked(frames[DNS_ASKED_NAMES], suffixes)
    tries = _tries(frames[DNS_CLIENT_QUERIES], suffixes["client"].unique().cast(CODE)).rechunk().with_row_index("row")
    chains = _lookups(_named(_summed(chained(tries, _candidates(bases, suffixes)), tries), tries))
    # Where a log leaves answers out, a name that was denied under every domain and not as it stands was found.
    to_the_end = (pl.col("first_place") == 0) & (pl.col("places") == pl.col("suffixes"))
    found_unseen = pl.col("unseen") & to_the_end & ~pl.col("denied").any().over("walk")
    both = pl.col("kind").is_in(["external", "typo-walk"])
    whole = (pl.col("first_place") == 0) & (pl.col("places") == pl.col("last_place") + 1) & pl.col("ended")
    domains = suffixes.unique(["client", "position"], keep="first", maintain_order=True)
    found_under = domains.select("client", found_place="position", found_under="suffix")
    return (
        chains.join(_walks(bases, suffixes, tries), on="walk")
        .join(found_under, on=["client", "found_place"], how="left", maintain_order="left")
        .with_columns(outside=pl.col("outside") | found_unseen, ended=pl.col("ended") | found_unseen)
        .with_columns(kind=_kind())
        .with_columns(
            complete=whole & (~both | to_the_end),
            wasted=pl.col("denied_under") + pl.when(both).then("nodata_under").otherwise(0),
            wasted_bytes=pl.col("denied_bytes") + pl.when(both).then("nodata_bytes").otherwise(0),
            added_seconds=pl.col("added_seconds").clip(lower_bound=0),
        )
        .filter(pl.col("wasted") > 0)
        .select(list(CHAINS.schema))
        .pipe(by_place, "qtype")
        .lazy()
    )


SEARCH_CHAINS = Fact(table=CHAINS, needs_any=((DNS_CLIENT_QUERIES, DNS_ASKED_NAMES, SEARCH_SUFFIXES),), derive=_derive)
