"""Which resolver library each client asks with, learned from its queries.

What tells, by the sources of the libraries:

* glibc (`resolv/res_send.c`, `send_dg`): A and AAAA of one lookup leave one socket, with ids drawn at random
  (`res_nmkquery`); unanswered, both are sent again from it with the same ids after 5 s (RES_TIMEOUT, `resolv.h`).
  After a loss it asks one after the other, with `single-request-reopen` from a new socket each time.
* musl (`src/network/res_msend.c`, `res_mkquery.c`): one socket too, but the ids come from the clock's nanoseconds, so
  that of AAAA is a few hundred above that of A; sent again after 2.5 s (timeout 5 s over 2 attempts), and to all name
  servers at once. Names with at least ndots dots are never searched (`lookup_name.c`).
* Go (`src/net/dnsclient_unix.go`): a socket for each query, A and AAAA at the same time and in no fixed order.
* One socket that asks for many names (Netty, c-ares, a cache) is none of these. Java asks through the libc it runs on.

Nobody's name is in a query, so others that do the same are called the same: the reasons say what was seen.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from analyzer.facts.codes import pair
from analyzer.facts.contract import Fact, Frames
from analyzer.facts.dns_queries import DNS_CLIENT_QUERIES
from analyzer.facts.neighbours import by_digits, hashed, nth
from analyzer.frames import Col, Table
from analyzer.frames.contract import PLACE, empty

SAMPLE = 200
"""Queries of a client that are looked at: its first ones. A library does the same every time."""

LEAST = 3
"""Lookups below which nothing is said, and SURE from which the confidence is high [engineering defaults]."""
SURE = 10

MOSTLY = 0.9
"""Share of the lookups that must look alike; the rest may be cut, lost or asked by another program of the pod."""

APART = 1.0
"""Seconds from A to AAAA of one lookup at most."""

CLOCK_STEP = 4096
"""The most that musl's second id is above its first: nanoseconds from one `__res_mkquery` to the next, measured 90 to
370 with musl 1.2.3. Two ids drawn at random lie so close once in sixteen times."""

RESOLVERS = Table(
    "dns_resolvers",
    "One row per client and how its resolver behaves; `time` is its first query. A row says unknown where too little "
    "or nothing certain was seen.",
    (
        *PLACE,
        Col("client", pl.String(), "Address that asked."),
        Col("behaviour", pl.String(), "glibc, musl, go or unknown: who asks like this, which others may too."),
        Col("reasons", pl.String(), "What was seen, in words."),
        Col("lookups", pl.Int64(), "Lookups of A and AAAA that it rests on."),
        Col("confidence", pl.String(), "high, medium or low; low of an unknown one."),
        Col("one_socket", pl.Int64(), "Lookups whose two queries left one socket."),
        Col("two_sockets", pl.Int64(), "Lookups whose two queries left two sockets."),
        Col("ids_by_clock", pl.Int64(), "Of those from one socket: the second id just above the first."),
        Col("together", pl.Int64(), "Of those from two sockets: the second was sent before the first was answered."),
        Col("aaaa_first", pl.Int64(), "Of those from two sockets: AAAA was sent first."),
        Col("sockets", pl.Int64(), "Sockets, each once in ten seconds."),
        Col("shared_sockets", pl.Int64(), "Of those: sockets that asked for more than one name."),
        Col("resent_5s", pl.Int64(), "Queries sent again from their socket after 5 s."),
        Col("resent_2_5s", pl.Int64(), "Queries sent again from their socket after 2.5 s."),
    ),
)

MIXED = 0.1
"""Least share of either order, A first or AAAA first, that shows that nobody decides it."""

SHARED = 0.1
"""Share of sockets with several names from which sockets are kept: ports meet again by chance in a busy client."""


def _derive(frames: Frames) -> pl.LazyFrame:
    queries = _sampled(frames[DNS_CLIENT_QUERIES])
    if queries.is_empty():
        return empty(RESOLVERS).lazy()
    first = queries.group_by("client", maintain_order=True).agg(pl.col("time", "source", "number").first())
    told = first
    for part in (_pairs(queries), _sockets(queries), _resent(queries)):
        told = told.join(part, on="client", how="left", maintain_order="left")
    counts = [name for name, dtype in RESOLVERS.schema.items() if dtype == pl.Int64() and name in told.columns]
    told = told.with_columns(pl.col(counts).fill_null(0).cast(pl.Int64))
    told = told.with_columns(lookups=pl.col("one_socket") + pl.col("two_sockets"))
    told = told.with_columns(pl.col("client").cast(pl.String), **_judged())
    return told.select(list(RESOLVERS.schema)).sort("client").lazy()


def _sampled(queries: pl.LazyFrame) -> pl.DataFrame:
    """The first queries of each client for A and AAAA over UDP's ports, in order."""
    kind = pl.col("qtype").cast(pl.String).is_in(["A", "AAAA"])
    columns = (
        *("time", "source", "number", "answered", "retry"),
        *("client", "client_port", "server", "dns_id", "name", "qtype"),
    )
    known = ("time", "client", "client_port", "dns_id")
    return (
        queries.select(columns)
        .filter(kind, pl.all_horizontal(pl.col(known).is_not_null()))
        .filter(pl.int_range(pl.len()).over("client") < SAMPLE)
        .collect()
    )


def _pairs(queries: pl.DataFrame) -> pl.DataFrame:
    """Per client the lookups of which both queries were seen: A and AAAA of one name, next to each other."""
    six = pl.col("qtype").cast(pl.String) == "AAAA"
    asked = queries.filter(~pl.col("retry")).with_columns(key=pair("client", "name"), six=six)
    # They are in the order of time, source and number, and stay so within each name.
    ordered = asked[by_digits(asked["key"].fill_null(np.iinfo(np.uint64).max).to_numpy())]
    same = (pl.col("key") == pl.col("key").shift(1)) & (pl.col("six") != pl.col("six").shift(1))
    near = (pl.col("time") - pl.col("time").shift(1)).dt.total_microseconds() <= APART * 1e6
    met = ordered.with_columns(met=(same & near).fill_null(value=False))
    # Of three in a row the middle one belongs to the one before it.
    run = met.with_columns(run=(~pl.col("met")).cum_sum())
    chosen = run.with_columns(turn=nth("run") % 2 == 1)
    one = pl.col("client_port") == pl.col("client_port").shift(1)
    step = (pl.col("dns_id") - pl.col("dns_id").shift(1)) % 65536
    # The clock runs from A, which musl makes first, to AAAA.
    clock = one & pl.col("six") & (step > 0) & (step < CLOCK_STEP)
    waiting = pl.col("answered").shift(1).is_null() | (pl.col("time") < pl.col("answered").shift(1))
    return (
        chosen.with_columns(one=one, clock=clock, waiting=waiting, four_last=~pl.col("six"))
        .filter("turn")
        .group_by("client")
        .agg(
            one_socket=pl.col("one").sum(),
            two_sockets=(~pl.col("one")).sum(),
            ids_by_clock=pl.col("clock").sum(),
            together=(~pl.col("one") & pl.col("waiting")).sum(),
            aaaa_first=(~pl.col("one") & pl.col("four_last")).sum(),
        )
    )


def _sockets(queries: pl.DataFrame) -> pl.DataFrame:
    """Per client its sockets, and those that asked for more than one name (each port once in ten seconds)."""
    keys = queries.select(
        "client",
        "client_port",
        name=pl.col("name").to_physical().cast(pl.Int64).fill_null(-1),
        slot=pl.col("time").dt.epoch("s") // 10,
    )
    # By one number, because three columns are slow to group; and two names differ where the least and the greatest do.
    return (
        keys.group_by(hashed(["client", "client_port", "slot"]).alias("socket"))
        .agg(pl.col("client").first(), shared=pl.col("name").min() != pl.col("name").max())
        .group_by("client")
        .agg(sockets=pl.len(), shared_sockets=pl.col("shared").sum())
    )


def _resent(queries: pl.DataFrame) -> pl.DataFrame:
    """Per client the queries that one socket sent again to the same server with the same id, by the pause before."""
    socket = ["client", "client_port", "server", "dns_id", "name", "qtype"]
    near = queries.filter(hashed(socket).is_duplicated())
    again = near.filter(pl.struct(socket).is_duplicated()).sort(*socket, "time", "number")
    if again.is_empty():
        return pl.DataFrame(schema={"client": queries.schema["client"], "resent_5s": pl.Int64, "resent_2_5s": pl.Int64})
    pause = ((pl.col("time") - pl.col("time").shift(1)).dt.total_microseconds() / 1e6).over(socket)
    return again.group_by("client").agg(
        resent_5s=pause.is_between(4.75, 5.25).sum(), resent_2_5s=pause.is_between(2.375, 2.625).sum()
    )


Case = tuple[pl.Expr, str, pl.Expr, pl.Expr]
"""A condition, and behaviour, reasons and confidence where it holds."""

_LOW = pl.lit("low")


def _judged() -> dict[str, pl.Expr]:
    """behaviour, reasons and confidence from the counts: of the first case that holds."""
    rest = pl.format(
        "{} lookups from one socket, {} from two: several programs behind one address, or glibc after a loss",
        *("one_socket", "two_sockets"),
    )
    behaviour, reasons, confidence = pl.lit("unknown"), rest, _LOW
    for met, who, why, how in reversed([*_unclear(), *_one_socket(), *_two_sockets()]):
        behaviour = pl.when(met).then(pl.lit(who)).otherwise(behaviour)
        reasons = pl.when(met).then(why).otherwise(reasons)
        confidence = pl.when(met).then(how).otherwise(confidence)
    return {"behaviour": behaviour, "reasons": reasons, "confidence": confidence}


def _sure() -> pl.Expr:
    return pl.when(pl.col("lookups") >= SURE).then(pl.lit("high")).otherwise(pl.lit("medium"))


def _unclear() -> list[Case]:
    """Too little was seen, or sockets are kept."""
    few = pl.format("only {} lookups of A and AAAA were seen", "lookups")
    kept = pl.format(
        "{} of {} sockets asked for several names, as a cache or a resolver of its own does",
        *("shared_sockets", "sockets"),
    )
    return [
        (pl.col("lookups") < LEAST, "unknown", few, _LOW),
        (pl.col("shared_sockets") > SHARED * pl.col("sockets"), "unknown", kept, _LOW),
    ]


def _one_socket() -> list[Case]:
    """musl and glibc, by their ids."""
    lookups, one, clock = pl.col("lookups"), pl.col("one_socket"), pl.col("ids_by_clock")
    mostly = one >= MOSTLY * lookups
    musl = pl.format("A and AAAA from one socket, {} of {} second ids just above the first", clock, one)
    glibc = pl.format(
        "A and AAAA from one socket in {} of {} lookups, ids without order; {} queries sent again after 5 s",
        *(one, lookups, "resent_5s"),
    )
    # Others that draw ids at random do the same but for the 5 s.
    resent = pl.when(pl.col("resent_5s") > 0).then(_sure()).otherwise(pl.lit("medium"))
    return [
        (mostly & (clock >= MOSTLY * one), "musl", musl, _sure()),
        (mostly & (clock <= one / 2), "glibc", glibc, resent),
    ]


def _two_sockets() -> list[Case]:
    """Go, by queries at once and in no fixed order; one after another is somebody else."""
    lookups, two, first = pl.col("lookups"), pl.col("two_sockets"), pl.col("aaaa_first")
    mostly, together = two >= MOSTLY * lookups, pl.col("together") >= two / 2
    mixed = first.is_between(MIXED * two, (1 - MIXED) * two) & (first > 0)
    seen = pl.format(
        "A and AAAA from two sockets in {} of {} lookups, in {} of them at once, AAAA first in {}",
        *(two, lookups, "together", first),
    )
    other = "glibc with single-request-reopen, or a program that asks for each type by itself"
    # By the times of a log the first may seem answered: there the order alone tells.
    sure = pl.when(mixed & together).then(_sure()).when(mixed).then(pl.lit("medium")).otherwise(_LOW)
    return [
        (mostly & (mixed | (together & (lookups < SURE))), "go", seen, sure),
        (mostly, "unknown", pl.format("{}: {}", seen, pl.lit(other)), _LOW),
    ]


DNS_RESOLVERS = Fact(table=RESOLVERS, needs_any=((DNS_CLIENT_QUERIES,),), derive=_derive)
