"""What became of each attempt to connect: answered, refused, met by silence, or thrown out at once."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.tcp_connections import TCP_CONNECTIONS
from analyzer.frames import PACKETS, TIME, Col, Table
from analyzer.frames.contract import PLACE

ANSWERED, REFUSED, SILENT, RESET, ALERT, UNDECIDED = "answered", "refused", "silent", "reset", "alert", "undecided"

PATIENCE = 3
"""Seconds that a SYN has for its answer, where the client sends no other: two tries of RFC 6298 (after 1 s and 3 s)."""

ALERT_RECORD = 21
"""TLS content type of an alert (RFC 8446, section 5.1)."""
ALERT_BYTES = 64
"""A server that sent no more than this sent nothing but an alert: 7 octets in the clear, some 30 encrypted."""

FAILED = (REFUSED, SILENT, RESET, ALERT)

SCHEDULES = {
    "doubling": (1, 3, 7, 15, 31, 63, 127),
    "linear": (1, 2, 3, 4, 5, 7, 11, 19, 35, 67),
}
"""When Linux sends a SYN again, in seconds after the first: the timeout of 1 s (RFC 6298) doubles each time; since 6.5
not before the fifth (net.ipv4.tcp_syn_linear_timeouts, 4 by default; Documentation/networking/ip-sysctl.rst)."""
NEAR = 0.1
"""How far, as a share, a retry may lie from its place."""

_TABLE = Table(
    "connection_attempts",
    "One row per TCP connection whose SYN was captured and that is not covered.",
    (
        *PLACE,
        Col("end", TIME, "Time of the last packet; null where the source has no time."),
        Col("client", pl.String(), "Address that sent the SYN."),
        Col("client_port", pl.Int32(), "Port of the client."),
        Col("server", pl.String(), "Address that the client spoke to."),
        Col("server_port", pl.Int32(), "Port of the server."),
        Col("syns", pl.Int32(), "SYN packets of the client."),
        Col(
            "schedule",
            pl.String(),
            "How further SYNs followed: either (one, after 1 s), doubling (Linux up to 6.4 and others), linear (Linux "
            "since 6.5) or other; null if none did.",
        ),
        Col(
            "outcome",
            pl.String(),
            "answered; refused (a reset for the SYN); silent; reset (answered, then a reset before any octet of the "
            "server); alert (a TLS alert and no more); undecided (the capture ended too soon).",
        ),
        Col("waited_seconds", pl.Float64(), "First SYN to last packet of an attempt that failed; null of others."),
    ),
)


def schedule(retries: pl.Expr) -> pl.Expr:
    """The name of the schedule that a list of seconds follows."""

    def follows(times: tuple[int, ...]) -> pl.Expr:
        parts = [
            (retries.list.get(place, null_on_oob=True) / due - 1).abs().fill_null(0) <= NEAR
            for place, due in enumerate(times)
        ]
        return pl.all_horizontal(*parts) & (retries.list.len() <= len(times))

    doubling, linear = (follows(times) for times in SCHEDULES.values())
    return (
        pl.when(retries.list.len() == 0)
        .then(None)
        .when(doubling & linear)
        .then(pl.lit("either"))
        .when(doubling)
        .then(pl.lit("doubling"))
        .when(linear)
        .then(pl.lit("linear"))
        .otherwise(pl.lit("other"))
    )


def _alerted(frames: Frames, rows: pl.DataFrame) -> pl.Series:
    """Numbers of the rows whose server sent an alert."""
    sockets = ["source", "server", "server_port", "client", "client_port"]
    alerts = (
        frames[PACKETS]
        .filter((pl.col("tls_record") == ALERT_RECORD).fill_null(False))
        .select("source", server="src", server_port="src_port", client="dst", client_port="dst_port", alert="time")
        .collect()
    )
    met = rows.filter(pl.col("server_bytes").is_between(1, ALERT_BYTES)).join(alerts, on=sockets)
    return met.filter(pl.col("alert").is_between("time", "end"))["row"].unique()


def _derive(frames: Frames) -> pl.LazyFrame:
    rows = (
        frames[TCP_CONNECTIONS]
        .with_columns(last=pl.col("end").max().over("source"))
        .filter(~pl.col("covered"), pl.col("client_isn").is_not_null())
        .collect()
        .with_row_index("row")
    )
    alerted = _alerted(frames, rows).implode()
    unheard = ~pl.col("answered") & ~pl.col("established") & (pl.col("server_bytes") == 0)
    soon = (pl.col("syns") == 1) & (pl.col("last") - pl.col("time") < pl.duration(seconds=PATIENCE))
    thrown_out = (pl.col("reset_by") == "server") & (pl.col("server_bytes") == 0)
    outcome = (
        pl.when("refused")
        .then(pl.lit(REFUSED))
        .when(unheard & soon)
        .then(pl.lit(UNDECIDED))
        .when(unheard)
        .then(pl.lit(SILENT))
        .when(thrown_out)
        .then(pl.lit(RESET))
        .when(pl.col("row").is_in(alerted))
        .then(pl.lit(ALERT))
        .otherwise(pl.lit(ANSWERED))
    )
    waited = (pl.col("end") - pl.col("time")).dt.total_microseconds() / 1e6
    return (
        rows.lazy()
        .with_columns(outcome=outcome, schedule=schedule(pl.col("syn_retries")))
        .with_columns(waited_seconds=pl.when(pl.col("outcome").is_in(FAILED)).then(waited))
        .select(list(_TABLE.schema))
    )


CONNECTION_ATTEMPTS = Fact(table=_TABLE, needs_any=((TCP_CONNECTIONS, PACKETS),), derive=_derive)
