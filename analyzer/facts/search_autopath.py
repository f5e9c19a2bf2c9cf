"""Answers that finish a client's walk for it: what CoreDNS's autopath plugin does.

autopath walks the search list of the client itself when the first domain of it is asked, and puts a CNAME from that
question to the name it found in front of the answer (plugin/autopath: `autopath.go`, `cname.go`). So the client asks
once, and no walk can be seen.
"""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.dns_queries import DNS_CLIENT_QUERIES
from analyzer.facts.search_names import DNS_ASKED_NAMES, SERVICE_NAME
from analyzer.frames import DNS_ANSWERS, Col, Table
from analyzer.frames.contract import PLACE

LONGEST_POD_NAME = 1
"""Dots in the part of a pod's name before its namespace: HOSTNAME.SERVICE (Kubernetes DNS specification, 2.4.1)."""

AUTOPATH = Table(
    "dns_autopath_answers",
    "One row per client and name whose search the server finished. `number` is the first such answer, in a log its "
    "line.",
    (
        *PLACE,
        Col("client", pl.String(), "Address that asked."),
        Col("base", pl.String(), "The name that the program asked for."),
        Col("target", pl.String(), "Name that was found for it; null in a log."),
        Col("origin", pl.String(), "capture, where the CNAME was seen, or log, where the length of the name tells it."),
        Col("answers", pl.Int64(), "Answers of that kind."),
    ),
)


def _captured(answers: pl.LazyFrame) -> pl.LazyFrame:
    """CNAMEs from `BASE.NAMESPACE.svc.DOMAIN` to BASE or to a name under another search domain.

    A base of one label may be an ExternalName service, whose CNAME looks alike.
    """
    name, target = pl.col("name"), pl.col("value")
    base = pl.col("base")
    return (
        answers.filter(
            pl.col("protocol") == "dns",
            pl.col("rtype") == "CNAME",
            pl.col("position") == 1,
            ~pl.col("duplicate").fill_null(False),
            name.str.contains(".svc.", literal=True),
        )
        .with_columns(base=name.str.extract(SERVICE_NAME, 1), target=target, origin=pl.lit("capture"))
        .filter(
            base.str.contains(".", literal=True),
            (target == base) | target.str.starts_with(pl.concat_str(base, pl.lit("."))),
        )
    )


def _logged(frames: Frames) -> pl.LazyFrame:
    """Names found under a namespace that are too long for one of a pod or a service there."""
    found = frames[DNS_CLIENT_QUERIES].filter(
        pl.col("origin") == "log", pl.col("rcode") == "NOERROR", pl.col("qtype").is_in(["A", "AAAA"])
    )
    base = pl.col("base").cast(pl.String)
    long = (
        frames[DNS_ASKED_NAMES]
        .filter(pl.col("base").is_not_null())
        .select("name", base=base)
        .unique()
        .filter(pl.col("base").str.count_matches(".", literal=True) > LONGEST_POD_NAME)
    )
    return found.join(long, on="name").with_columns(target=pl.lit(None, pl.String))


def _derive(frames: Frames) -> pl.LazyFrame:
    parts = [_logged(frames)]
    if DNS_ANSWERS in frames:
        parts.append(_captured(frames[DNS_ANSWERS]))
    columns = ["time", "source", "number", "client", "base", "target", "origin"]
    return (
        pl.concat([part.select(pl.col(columns)).cast({"client": pl.String}) for part in parts])
        .sort("time", "source", "number", nulls_last=True)
        .group_by("client", "base", "origin", maintain_order=True)
        .agg(pl.col("time", "source", "number", "target").first(), answers=pl.len().cast(pl.Int64))
        .select(list(AUTOPATH.schema))
    )


DNS_AUTOPATH = Fact(
    table=AUTOPATH,
    needs_any=((DNS_CLIENT_QUERIES, DNS_ASKED_NAMES),),
    uses=(DNS_ANSWERS,),
    derive=_derive,
)
