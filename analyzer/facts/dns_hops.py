"""Both hops of a DNS query: client to server, and server to the one that it asks in turn.

CoreDNS's forward plugin gave the client's message id to its own query up to 1.8.4; since 1.8.5 each query has an id of
its own (coredns pull request 4841, plugin/pkg/proxy/connect.go). Names and types stay the same but for the plugins
autopath and rewrite. So a query upstream is matched by name and type inside the wait of the client's query, by the id
where it is the same, and by the order of the queries where several clients wait for the same name at once.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.dns import DNS_TRANSACTIONS, FORWARDED_SHARE, LOOP_PROBE
from analyzer.facts.neighbours import hashed, latest
from analyzer.frames import TIME, Col, Table
from analyzer.frames.contract import PLACE, empty

DEADLINE = timedelta(seconds=6)
"""How long a server may still ask for a client that it does not answer: forward gives up after 5 s, checked before each
try (plugin/forward/forward.go, defaultTimeout)."""

SLACK = timedelta(milliseconds=5)
"""How far the clocks of two inputs may disagree [an engineering default: NTP on one site]."""

TABLE = Table(
    "dns_hops",
    "One row per DNS query of a client with what its server asked in turn; retries included. Empty where no input "
    "shows both hops.",
    (
        *PLACE,
        Col("answered", TIME, "When the client was answered, or the log line written; null if neither has a time."),
        Col("origin", pl.String(), "Where the client's hop was seen: capture, or log if CoreDNS's log alone has it."),
        Col("client", pl.String(), "Address that asked."),
        Col("client_port", pl.Int32(), "Port that asked."),
        Col("server", pl.String(), "Address that was asked; null in a log."),
        Col("name", pl.String(), "Question name."),
        Col("qtype", pl.String(), "Question type as text."),
        Col("rcode", pl.String(), "What the client was answered, as in dns_transactions."),
        Col("retry", pl.Boolean(), "The same socket asked with the same id before."),
        Col(
            "duration_seconds",
            pl.Float64(),
            "What the client waited, by a log the time CoreDNS took; null if unanswered.",
        ),
        Col(
            "forwarded",
            pl.Boolean(),
            "True where the server was seen to ask in turn; false where it did so for other queries meanwhile, as a "
            "cache or an own zone makes it; null where nothing tells.",
        ),
        Col("forwarded_at", TIME, "When the server asked first; null if it was not seen to."),
        Col("upstream", pl.String(), "Whom it asked last; null if unknown, as in a log of the one asked."),
        Col(
            "upstream_queries",
            pl.Int32(),
            "How often it asked: again, or another one, where nobody answered.",
        ),
        Col("upstream_rcode", pl.String(), "What it was answered last; NO_REPLY if nothing."),
        Col("upstream_seconds", pl.Float64(), "From its first query to its last answer; null if unanswered."),
        Col("own_seconds", pl.Float64(), "The rest of the client's wait: the network and the server itself."),
        Col("upstream_source", pl.String(), "Input of its first query."),
        Col("upstream_number", pl.Int64(), "Record of its first query."),
        Col("same_id", pl.Boolean(), "Whether it passed the client's message id on."),
        Col("by_order", pl.Boolean(), "Others waited for the same name: which query was whose is told by their order."),
    ),
)

_KEY = ("name", "qtype")
_READ = (
    *("time", "source", "number", "answered", "origin", "hop", "client", "client_port", "server", "dns_id"),
    *("name", "qtype", "rcode", "duration_seconds", "retry"),
)


def _derive(frames: Frames) -> pl.LazyFrame:
    # CoreDNS's loop plugin asks CoreDNS itself at its start.
    probe = (pl.col("qtype") == "HINFO") & pl.col("name").str.contains(LOOP_PROBE)
    seen = (
        frames[DNS_TRANSACTIONS]
        .filter(~pl.col("covered"), pl.col("time").is_not_null(), ~probe.fill_null(value=False))
        .select(_READ)
        .with_columns(up=pl.col("hop") == "upstream")
        .collect()
    )
    forwarders = _forwarders(seen)
    seen = seen.with_columns(up=pl.col("up") | pl.col("client").is_in(forwarders["client"].implode()))
    if not seen["up"].any():
        return empty(TABLE).lazy()
    apart = forwarders.filter("apart")["client"]
    clients = seen.filter(~pl.col("up")).with_row_index("row")
    ups = seen.filter("up").with_row_index("asked").with_columns(apart=pl.col("client").is_in(apart.implode()))
    by_id = _matched(clients, ups, [*_KEY, "dns_id"])
    left = ups.join(by_id, on="asked", how="anti")
    free = clients.join(by_id, on="row", how="anti")
    by_name = _matched(free, left, [*_KEY])
    met = pl.concat([by_id.with_columns(same_id=pl.lit(value=True)), by_name.with_columns(same_id=pl.lit(value=False))])
    # What an input that shows queries upstream does not show of them did not happen, as far as it reaches.
    shown = seen.filter(pl.col("source").is_in(ups["source"].unique().implode()))["time"]
    meanwhile = clients["time"].is_between(shown.min(), shown.max())
    return _told(clients.with_columns(meanwhile=meanwhile), ups, met).select(list(TABLE.schema)).lazy()


def _forwarders(seen: pl.DataFrame) -> pl.DataFrame:
    """Clients that ask what others wait for at that moment, and ask it elsewhere (`client`), and whether these waits
    stand in other inputs than their own queries (`apart`).

    Beside `hop` of dns_transactions it knows a server whose upstream never answers, one that serves several clients at
    once, and one that another input tells of.
    """
    if seen["source"].n_unique() < 2 and seen["server"].n_unique() < 2:
        return pl.DataFrame(schema={"client": pl.String, "apart": pl.Boolean})
    told = ("client", "server", "source", "time", "answered")
    ordered = seen.select(*told, "number", key=hashed(_KEY), who=hashed(["client"])).sort("key", "time", "number")
    follows = pl.col("key") == pl.col("key").shift(1)
    # The one before a run of queries of one client is the latest of another client.
    other = (follows & (pl.col("who") != pl.col("who").shift(1))).fill_null(value=False)
    begins = (~follows.fill_null(value=True)) | other
    place = pl.int_range(pl.len(), dtype=pl.Int64)
    run = ordered.with_columns(
        before=pl.when(other).then(place - 1).when(begins).then(pl.lit(-1)).forward_fill().fill_null(-1)
    ).filter(pl.col("before") >= 0)
    before = ordered.select(pl.col(told).name.prefix("before_"))[run["before"]]
    both = pl.concat([run, before], how="horizontal")
    done = pl.coalesce("answered", "time")
    open_until = pl.coalesce("before_answered", pl.col("before_time") + DEADLINE) + SLACK
    elsewhere = pl.col("before_source") != pl.col("source")
    inside = both.filter(open_until >= done, elsewhere | pl.col("before_server").ne_missing(pl.col("server")))
    found = inside.group_by("client").agg(inside=pl.len(), apart=elsewhere.all())
    shares = seen.group_by("client").len("asked").join(found, on="client")
    return shares.filter(pl.col("inside") >= FORWARDED_SHARE * pl.col("asked")).select("client", "apart")


def _matched(clients: pl.DataFrame, ups: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """Which query upstream (`asked`) belongs to which client's query (`row`), and whether others waited too."""
    made = {"row": pl.UInt32, "asked": pl.UInt32, "by_order": pl.Boolean}
    if not ups.height or not clients.height:
        return pl.DataFrame(schema=made)
    waits = clients.select(
        "row",
        at="time",
        until=pl.coalesce("answered", pl.col("time") + DEADLINE) + (2 * SLACK if ups["apart"].any() else SLACK),
        key=hashed(key),
        asked=pl.lit(None, pl.UInt32),
    )
    asks = ups.select(
        pl.lit(None, pl.UInt32).alias("row"),
        at=pl.col("time") + pl.when("apart").then(pl.lit(SLACK)).otherwise(pl.lit(timedelta())),
        until=pl.lit(None, TIME),
        key=hashed(key),
        asked="asked",
    )
    waits = waits.filter(pl.col("key").is_in(asks["key"].unique().implode()))
    asks = asks.filter(pl.col("key").is_in(waits["key"].unique().implode()))
    if not asks.height:
        return pl.DataFrame(schema=made)
    events = _in_bursts(pl.concat([waits, asks]).sort("key", "at", "asked", nulls_last=False))
    is_client = pl.col("row").is_not_null()
    # A query of the server while nobody waits is its own: a prefetch, a health check, or for a client not seen.
    inside = (pl.col("at") <= pl.col("open_until")) & (pl.col("waiting") > 0) & ~is_client
    place = pl.when(pl.col("turn") < pl.col("waiting")).then("turn").otherwise(pl.col("turn") % pl.col("waiting"))
    # Clients stand in their order, so that the place within a burst is a place among all.
    asked = events.filter(inside).select("asked", place=pl.col("before") + place, by_order=pl.col("together") > 1)
    rows = events.filter(is_client)["row"]
    return asked.select(row=rows.gather(asked["place"]), asked="asked", by_order="by_order")


def _in_bursts(events: pl.DataFrame) -> pl.DataFrame:
    """Events with what their burst holds: the waits for one key that overlap, and what was asked meanwhile.

    `open_until` is the end of the waits so far, `waiting` counts clients of the burst up to the event, `turn` the
    server's queries before it, `before` all clients before the burst, and `together` all clients of it.
    """
    swept = (
        events.with_columns(lane=pl.col("key").rle_id(), floor=pl.col("until").fill_null(pl.col("at")))
        .with_columns(open_until=latest("floor", "lane").shift(1))
        .with_columns(begins=(pl.col("lane") != pl.col("lane").shift(1)).fill_null(value=True))
        .select(
            *("row", "asked", "at", "open_until"),
            fresh=pl.col("begins") | (pl.col("row").is_not_null() & (pl.col("at") > pl.col("open_until"))),
        )
    )
    client = swept["row"].is_not_null().to_numpy()
    first = np.flatnonzero(swept["fresh"].to_numpy())
    size = np.diff(np.append(first, len(client)))
    upto = np.cumsum(client)
    before = np.repeat(upto[first] - client[first], size)
    waiting = upto - before
    place = np.arange(len(client)) - np.repeat(first, size)
    return swept.with_columns(
        waiting=pl.Series(waiting),
        turn=pl.Series(place - waiting),
        before=pl.Series(before),
        together=pl.Series(np.repeat(np.add.reduceat(client, first, dtype=np.int64), size)),
    )


def _told(clients: pl.DataFrame, ups: pl.DataFrame, met: pl.DataFrame) -> pl.DataFrame:
    """The clients' queries in their order with what was asked for them."""
    asked = met.join(ups.select("asked", *("time", "source", "number", "answered", "server", "rcode")), on="asked")
    once = {
        "forwarded_at": "time",
        "upstream_source": "source",
        "upstream_number": "number",
        "upstream": "server",
        "upstream_rcode": "rcode",
        "until": "answered",
    }
    single = asked.filter(~pl.col("row").is_duplicated())
    alone = single.select("row", "same_id", "by_order", **once, upstream_queries=pl.lit(1, pl.Int32))
    several = asked.filter(pl.col("row").is_duplicated())
    answered = pl.col("answered").is_not_null()
    grouped = (
        several.sort("row", "time", "source", "number")
        .group_by("row", maintain_order=True)
        .agg(
            pl.col("same_id").any(),
            pl.col("by_order").any(),
            **{name: pl.col(column).first() for name, column in list(once.items())[:3]},
            upstream=pl.coalesce(pl.col("server").filter(answered).last(), pl.col("server").last()),
            upstream_rcode=pl.coalesce(pl.col("rcode").filter(answered).last(), pl.col("rcode").last()),
            until=pl.col("answered").max(),
            upstream_queries=pl.len().cast(pl.Int32),
        )
    )
    per_row = pl.concat([alone, grouped])
    told = clients.join(per_row, on="row", how="left", maintain_order="left")
    seconds = ((pl.col("until") - pl.col("forwarded_at")).dt.total_microseconds() / 1e6).round(6)
    server = ["source", "server"]
    known = told.filter(pl.col("forwarded_at").is_not_null()).select(server).unique()
    known = known.with_columns(known=pl.lit(value=True))
    return told.join(known, on=server, how="left", nulls_equal=True, maintain_order="left").with_columns(
        upstream_seconds=seconds,
        own_seconds=(pl.col("duration_seconds") - seconds).clip(lower_bound=0).round(6),
        forwarded=pl.when(pl.col("forwarded_at").is_not_null())
        .then(pl.lit(value=True))
        .when(pl.col("known") & pl.col("meanwhile"))
        .then(pl.lit(value=False)),
    )


DNS_HOPS = Fact(table=TABLE, needs_any=((DNS_TRANSACTIONS,),), derive=_derive)
