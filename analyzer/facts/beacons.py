"""Connections that speak at regular intervals, and how many clients have such a peer: what tells a programme that calls
home from a person, and one pod's from a platform's.

The score is RITA's (activecm/rita, analysis/beacons.go): a quarter each for the intervals (Bowley skewness and median
absolute deviation), the sizes (the same two), the stretch that is covered, and how even 24 bars of it are (one less
the coefficient of variation). Modifiers by prevalence are RITA's too (config, modifiers). It needs 4 moments and 3 gaps
that are not zero. Two things differ, because a capture is rarely a day: bars are 24ths of the capture, not hours, and
coverage is a part of the capture without a least number of hours.

A moment is a connection of a client to a server and port, or, on a connection that lasts, data that the server sends
unasked: a miner keeps one connection for days, on which a pool announces work. Sizes are what the server sends.
"""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.tcp_connections import TCP_CONNECTIONS
from analyzer.frames import PACKETS, TIME, Col, Table
from analyzer.frames.contract import PLACE

LEAST_MOMENTS, LEAST_GAPS = 4, 3
BARS = 24
LASTING = pl.duration(seconds=60)
"""A connection this long may hold moments of its own; no more than one in a second is told apart."""
RARE, COMMON = 0.02, 0.5
MODIFIER = 0.15
FEW_CLIENTS = 10
"""With fewer clients in the capture one of them is more than two per cent: prevalence then says nothing."""

PEER = ["client", "server", "server_port"]

TABLE = Table(
    "beacons",
    "One row per client, server and port with at least four moments; `time`, `source` and `number` are of the first.",
    (
        *PLACE,
        Col("end", TIME, "The last moment."),
        Col("client", pl.String(), "Address of the client."),
        Col("server", pl.String(), "Address of the server."),
        Col("server_port", pl.Int32(), "Port of the server."),
        Col("kind", pl.String(), "connections, or pushes: what the server sends on a connection that lasts."),
        Col("moments", pl.Int64(), "Connections or pushes."),
        Col("median_seconds", pl.Float64(), "Median of the intervals."),
        Col("intervals", pl.Float64(), "Score of the intervals, 0 to 1."),
        Col("sizes", pl.Float64(), "Score of the sizes."),
        Col("coverage", pl.Float64(), "Part of the capture between the first and the last moment."),
        Col("evenness", pl.Float64(), "Score of the 24 bars."),
        Col("prevalence", pl.Float64(), "Part of the capture's clients that speak to this server."),
        Col("clients", pl.Int64(), "Clients that speak to this server."),
        Col("score", pl.Float64(), "Mean of the four scores with the modifier of prevalence, 0 to 1."),
    ),
)


def _derive(frames: Frames) -> pl.LazyFrame:
    made = frames[TCP_CONNECTIONS].filter(
        ~pl.col("covered"), pl.col("established"), pl.col("time").is_not_null(), pl.col("client").is_not_null()
    )
    connections = made.select("time", "source", "number", "end", *PEER, "client_port", "server_bytes").collect()
    if not connections.height:
        return TABLE.check(pl.LazyFrame(schema=TABLE.schema))
    told = pl.concat([_connections(connections), _pushes(connections, frames[PACKETS])])
    scored = _scored(told, connections)
    return scored.sort("time", "source", "number", "kind").select(list(TABLE.schema)).lazy()


def _connections(connections: pl.DataFrame) -> pl.DataFrame:
    return connections.select(
        "time", "source", "number", *PEER, kind=pl.lit("connections"), size=pl.col("server_bytes").cast(pl.Float64)
    )


def _pushes(connections: pl.DataFrame, packets: pl.LazyFrame) -> pl.DataFrame:
    """The first data of the server in each second of a connection that lasts."""
    lasting = connections.filter(pl.col("end") - pl.col("time") >= LASTING)
    ends = lasting.select("source", *PEER, "client_port").unique()
    back = {"src": "server", "src_port": "server_port", "dst": "client", "dst_port": "client_port"}
    sent = packets.filter(
        pl.col("protocol") == "TCP", pl.col("payload_bytes") > 0, ~pl.col("duplicate").fill_null(False)
    ).select("time", "source", "number", "payload_bytes", *(pl.col(here).alias(name) for here, name in back.items()))
    second = pl.col("time").dt.truncate("1s")
    return (
        sent.filter(pl.col("time").is_not_null())
        .join(ends.lazy(), on=["source", *PEER, "client_port"], how="semi")
        .group_by("source", *PEER, second.alias("second"))
        .agg(pl.col("time").min(), pl.col("number").min(), pl.col("payload_bytes").sum().cast(pl.Float64).alias("size"))
        .select("time", "source", "number", *PEER, pl.lit("pushes").alias("kind"), "size")
        .collect()
    )


def _scored(moments: pl.DataFrame, connections: pl.DataFrame) -> pl.DataFrame:
    begins: pl.Expr = pl.lit(connections["time"].min())
    span: pl.Expr = pl.lit(connections["end"].max()) - begins
    group = [*PEER, "kind"]
    # Most peers are met once or twice, which says nothing; to sort and score them all would take most of the time.
    often = moments.group_by(group).len("moments").filter(pl.col("moments") >= LEAST_MOMENTS)
    moments = moments.join(often, on=group, how="semi", maintain_order="left")
    ordered = moments.sort(*group, "time", "source", "number").with_columns(
        gap=(pl.col("time") - pl.col("time").shift(1).over(group)).dt.total_microseconds() / 1e6,
        bar=((pl.col("time") - begins) / (span + pl.duration(microseconds=1)) * BARS).floor().clip(0, BARS - 1),
    )
    bars = (
        ordered.group_by(*group, "bar")
        .len()
        .group_by(group)
        .agg(mean=pl.col("len").sum() / BARS, squares=(pl.col("len") ** 2).sum() / BARS)
    )
    deviation = (pl.col("squares") - pl.col("mean") ** 2).clip(0).sqrt()
    gaps = pl.col("gap").filter(pl.col("gap") > 0)
    peers = ordered.group_by(group).agg(
        pl.col("time", "source", "number").first(),
        end=pl.col("time").last(),
        moments=pl.len().cast(pl.Int64),
        gaps=gaps.len(),
        median_seconds=gaps.median(),
        intervals=_regular(gaps, empty=1),
        sizes=_regular(pl.col("size"), empty=0),
    )
    clients = connections["client"].n_unique()
    spread = connections.group_by("server", "server_port").agg(clients=pl.col("client").n_unique().cast(pl.Int64))
    return (
        peers.filter(pl.col("gaps") >= LEAST_GAPS)
        .join(bars.with_columns(evenness=(1 - deviation / pl.col("mean")).clip(0, 1)), on=group)
        .join(spread, on=["server", "server_port"])
        .with_columns(
            coverage=((pl.col("end") - pl.col("time")) / span).fill_nan(0.0).clip(0, 1),
            prevalence=pl.col("clients") / clients,
        )
        .with_columns(score=_score(clients))
    )


def _regular(values: pl.Expr, *, empty: float) -> pl.Expr:
    """Mean of one less the skewness and one less the deviation by the median; `empty` where the median is below 1."""
    low, mid, high = (values.quantile(part, "linear") for part in (0.25, 0.5, 0.75))
    told = (high - low >= 10) & (mid != low) & (mid != high)
    skew = pl.when(told).then((low + high - 2 * mid) / (high - low)).otherwise(0.0)
    deviation = (values - values.median()).abs().median()
    regular = pl.when(mid >= 1).then(((mid - deviation) / mid).clip(0, 1)).otherwise(empty)
    return (1 - skew.abs() + regular) / 2


def _score(clients: int) -> pl.Expr:
    mean = (pl.col("intervals") + pl.col("sizes") + pl.col("coverage") + pl.col("evenness")) / 4
    if clients < FEW_CLIENTS:
        return mean.round(3)
    rare = pl.when(pl.col("prevalence") <= RARE).then(MODIFIER)
    modifier = rare.when(pl.col("prevalence") >= COMMON).then(-MODIFIER).otherwise(0.0)
    return (mean + modifier).clip(0, 1).round(3)


BEACONS = Fact(table=TABLE, needs_any=((TCP_CONNECTIONS, PACKETS),), derive=_derive)
