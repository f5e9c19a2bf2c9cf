"""Who spoke in which second: the log streams of nodes, and what is sent to log sinks in captures."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.node_names import node
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES, PACKETS, RUNTIME_MESSAGES, TLS_CLIENT_HELLOS, Col, Table
from analyzer.frames.contract import PLACE

SINKS = {
    514: "syslog",
    3100: "Loki",
    4317: "OTLP",
    4318: "OTLP",
    5044: "Beats",
    6514: "syslog",
    8088: "Splunk HEC",
    9200: "Elasticsearch",
    9880: "Fluentd",
    12201: "GELF",
    19532: "systemd-journal-remote",
    24224: "Fluentd forward",
    24284: "Fluentd forward",
}
"""Ports of log sinks: RFC 5424 and 5425 (syslog), and the defaults of each product's documentation."""

SINK_NAMES = (
    r"(?:^|\.)(?:logging\.googleapis\.com|logs\.[a-z0-9-]+\.amazonaws\.com|(?:es|aoss)\.amazonaws\.com"
    r"|ods\.opinsights\.azure\.com|splunkcloud\.com|es\.[a-z0-9.-]+\.cloud\.es\.io|logs?\.datadoghq\.(?:com|eu)"
    r"|logs\.newrelic\.com|grafana\.net)$|^logs?-|^http-inputs[.-]"
)
"""Server names of log services, as their documentation gives them: what is sent there by TLS is told by its name."""

_LEADERS = ("kube-scheduler", "kube-controller-manager", "cloud-controller-manager")
"""Of these one instance works, and the others wait: one that goes silent has lost its lock."""

LEAST = 1
"""Octets of payload that keep-alives and probes of a closed window may carry (RFC 9293, 3.8.4 and 3.8.6)."""

_TABLE = Table(
    "log_emissions",
    "One row per second in which an emitter spoke: a log stream of a node, or a sender to a log sink. Copies in other "
    "captures are rows of their own. `number` is of its first record in that second.",
    (
        *PLACE,
        Col("kind", pl.String(), "log (lines of a stream) or flow (packets with data)."),
        Col("emitter", pl.String(), "Node without its domain, in lower case, else the input; of a flow the sender."),
        Col("stream", pl.String(), "Component that wrote, or the sink that was sent to: emitters of one are peers."),
        Col("port", pl.Int32(), "Port of the sink; null of a log."),
        Col("records", pl.Int64(), "Lines, or packets with data, in that second."),
    ),
)

_KEY = ("kind", "source", "emitter", "stream")


def _seconds(rows: pl.LazyFrame) -> pl.DataFrame:
    port = pl.col("port").first()
    return (
        rows.filter(pl.col("time").is_not_null())
        .group_by(*_KEY, second=pl.col("time").dt.truncate("1s"))
        .agg(pl.col("time").min(), pl.col("number").min(), port, pl.len().cast(pl.Int64).alias("records"))
        .drop("second")
        .collect()
    )


def _of_log(rows: pl.LazyFrame, component: pl.Expr) -> pl.DataFrame:
    return _seconds(
        rows.with_columns(
            kind=pl.lit("log"), emitter=node(), stream=component.fill_null("log"), port=pl.lit(None, pl.Int32)
        ).filter(~pl.col("stream").is_in(_LEADERS))
    )


def _of_packets(frames: Frames) -> pl.DataFrame:
    """Packets with data to a sink, known by its port, or by the name that the sender asked for."""
    sent = frames[PACKETS].filter(pl.col("payload_bytes") > LEAST, ~pl.col("duplicate").fill_null(False))
    sinks = {port: f"{name} (port {port})" for port, name in SINKS.items()}
    by_port = sent.filter(pl.col("dst_port").is_in(list(SINKS)), pl.col("src_port") > pl.col("dst_port"))
    by_port = by_port.with_columns(stream=pl.col("dst_port").replace_strict(sinks, return_dtype=pl.String))
    found = [by_port]
    if TLS_CLIENT_HELLOS in frames:
        known = (
            frames[TLS_CLIENT_HELLOS]
            .filter(pl.col("sni").str.contains(SINK_NAMES), ~pl.col("server_port").is_in(list(SINKS)))
            .group_by(dst="server", dst_port="server_port")
            .agg(pl.col("sni").min().alias("stream"))
        )
        found.append(sent.join(known, on=["dst", "dst_port"], how="inner"))
    shared = pl.concat([one.select("time", "source", "number", "src", "dst_port", "stream") for one in found])
    return _seconds(shared.with_columns(kind=pl.lit("flow"), emitter="src", port="dst_port"))


def _derive(frames: Frames) -> pl.LazyFrame:
    parts = []
    if PACKETS in frames:
        parts.append(_of_packets(frames))
    for table, component in (
        (KLOG_LINES, pl.col("component")),
        (KERNEL_MESSAGES, pl.lit("kernel", pl.String)),
        (RUNTIME_MESSAGES, pl.col("component")),
    ):
        if table in frames:
            parts.append(_of_log(frames[table], component))
    whole = pl.concat([part.select(list(_TABLE.schema)) for part in parts])
    return whole.sort("time", "source", "number", "kind", "emitter", "stream").lazy()


LOG_EMISSIONS = Fact(
    table=_TABLE,
    needs_any=((KLOG_LINES,), (KERNEL_MESSAGES,), (RUNTIME_MESSAGES,), (PACKETS,)),
    uses=(TLS_CLIENT_HELLOS,),
    derive=_derive,
)
