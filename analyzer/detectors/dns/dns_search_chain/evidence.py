"""Records and tables that prove the walks."""

from __future__ import annotations

from typing import Any

import polars as pl

from analyzer.detectors.dns.dns_search_chain.relying import Relying
from analyzer.detectors.dns.dns_search_chain.tables import tables
from analyzer.detectors.dns.dns_search_chain.walks import Walks, collected
from analyzer.model import Evidence, Figure, Record

SPREAD = 4
STEPS = 8
OTHERS = 3


def impact(walks: Walks, names: Relying, total: dict[str, Any]) -> tuple[Figure, ...]:
    """What the walks cost, each lookup and query once."""
    figures = (
        ("lookups walked", total["lookups"], "lookups"),
        ("wasted queries", total["wasted"], "queries"),
        ("in-cluster wasted queries", total["in_cluster_wasted"], "queries"),
        ("queries of the client", total["queries"], "queries"),
        ("queries in the evidence", walks.evidence_queries, "queries"),
        ("complete chains", total["complete"], "chains"),
        ("broken chains", walks.external.height - total["complete"], "chains"),
        ("suffixes per chain", total["suffixes"], "suffixes"),
        ("added seconds", round(total["added_seconds"], 6), "seconds"),
        ("wasted bytes", total["wasted_bytes"], "bytes"),
        ("lookups that rely on the search list", int(names.dotted["lookups"].sum()), "lookups"),
    )
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures)


def evidence(walks: Walks, names: Relying) -> Evidence:
    """The first walk whole, the slowest and the last by their ends, some between; what was asked, where, by whom."""
    return Evidence(records=_records(walks), tables=tables(walks, names))


def _records(walks: Walks) -> tuple[Record, ...]:
    ordered = walks.external  # as the fact gives them: in the order of time, source, number and type
    slowest = (
        ordered.lazy()
        .filter(pl.col("added_seconds").eq_missing(pl.col("added_seconds").max()))
        .sort("wasted", "source", "number", descending=[True, False, False])
        .head(1)
        .collect()
        .row(0, named=True)
    )
    spread = [ordered.row(i * ordered.height // (SPREAD + 1), named=True) for i in range(1, SPREAD + 1)]
    first, last = ordered.row(0, named=True), ordered.row(-1, named=True)
    places = {(row["source"], row["number"]) for row in (first, slowest, last, *spread)}
    places |= {(row["last_source"], row["last_number"]) for row in (slowest, last)}
    wanted = pl.DataFrame(sorted(places), schema={"source": pl.String, "number": pl.Int64}, orient="row")
    near = walks.asked.lazy().filter(pl.col("number").is_in(wanted["number"].implode()))
    marked = near.join(wanted.lazy(), on=["source", "number"], how="semi").select("source", "number", "time")
    # What another input tells of the same queries is evidence too, though it is not counted.
    again = (
        walks.covered.lazy()
        .filter(pl.col("rcode") == "NXDOMAIN")
        .sort("time", "number", nulls_last=True)
        .group_by("source", maintain_order=True)
        .agg(pl.col("number", "time").first())
        .sort("source")
        .head(OTHERS)
    )
    own, steps, others = collected([marked, _steps(walks, first), again])
    rows = pl.concat([pl.concat([own, steps]).unique(), others]).sort("source", "number")
    return tuple(Record(source=source, number=number, time=time) for source, number, time in rows.iter_rows())


def _steps(walks: Walks, walk: dict[str, Any]) -> pl.LazyFrame:
    """The queries of one walk: source, number, time."""
    suffixes = walks.suffixes.filter(pl.col("client") == walk["client"])["suffix"].to_list()
    names = [walk["base"], *(f"{walk['base']}.{suffix}" for suffix in suffixes)]
    return (
        walks.asked.lazy()
        .filter(
            pl.col("source") == walk["source"],
            pl.col("client") == walk["client"],
            pl.col("qtype") == walk["qtype"],
            pl.col("number").is_between(walk["number"], walk["last_number"]),
            pl.col("name").is_in(names),
        )
        .sort("number")
        .head(STEPS)
        .select("source", "number", "time")
    )
