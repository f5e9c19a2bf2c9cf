"""Tables read from component logs."""

from __future__ import annotations

import polars as pl

from analyzer.frames.contract import PLACE, TIME, Col, Table

_COMPONENT = Col(
    "component", pl.String(), "coredns or node-cache (NodeLocal DNSCache), as its pod or start tells; null if unknown."
)
_STREAM = Col("pod", pl.String(), "Pod that wrote the line, where the wrapper names it; else null.")

COREDNS_QUERIES = Table(
    "coredns_queries",
    "One row per line of CoreDNS's log plugin. `time` is when the line was written, which is when the answer left.",
    (
        *PLACE,
        Col("query_time", TIME, "Line time minus duration: when the query arrived; null without a line time."),
        Col("client", pl.String(), "Address that asked; null if not logged."),
        Col("client_port", pl.Int32(), "Port that asked."),
        Col("dns_id", pl.Int32(), "Transaction id; null in logs older than CoreDNS 1.0.5."),
        Col("name", pl.String(), "Question name, lower case, no final dot; '' is the root."),
        Col("qtype", pl.String(), "Question type as text."),
        Col("transport", pl.String(), "udp or tcp."),
        Col(
            "rcode",
            pl.String(),
            "Answer code as text, NO_REPLY where the flags are `-`; null if not logged.",
        ),
        Col("flags", pl.String(), "Flags of the answer as written (qr,aa,rd), `-` for none."),
        Col("query_bytes", pl.Int64(), "Size of the query."),
        Col("answer_bytes", pl.Int64(), "Size of the answer before compression."),
        Col("duration_seconds", pl.Float64(), "Time CoreDNS took."),
        Col("line_bytes", pl.Int64(), "Length of the physical line with its newline."),
        _STREAM,
        _COMPONENT,
    ),
    group="client",
    kinds=("coredns",),
)

COREDNS_ERRORS = Table(
    "coredns_errors",
    "One row per line of CoreDNS's errors plugin.",
    (
        *PLACE,
        Col("rcode", pl.String(), "Code that went with the error, as text; null in a consolidated line."),
        Col("name", pl.String(), "Question name; null in a consolidated line."),
        Col("qtype", pl.String(), "Question type; null in a consolidated line."),
        Col("error", pl.String(), "The error's text, or the pattern of a consolidated line."),
        Col(
            "kind",
            pl.String(),
            "timeout, connection refused, no route to host, server misbehaving, overload, tls ...; other if unknown.",
        ),
        Col("upstream", pl.String(), "Address that was asked, as the error tells it; null if it does not."),
        Col("upstream_port", pl.Int32(), "Its port."),
        Col("count", pl.Int64(), "Errors the line stands for: 1, or N of `N errors like ...`."),
        Col("period_seconds", pl.Float64(), "Length of the time that N errors came in, up to the line's; else null."),
        _STREAM,
        _COMPONENT,
    ),
    kinds=("coredns",),
)

COREDNS_EVENTS = Table(
    "coredns_events",
    "One row per line in which CoreDNS or NodeLocal DNSCache tells of itself; further lines of a dump belong to it.",
    (
        *PLACE,
        Col(
            "kind",
            pl.String(),
            "banner, build, listen, configuration, reload, reload-complete, reload-failed, lameduck, health-slow, "
            "not-ready, loop, api-wait, api-unsynced, api-unreachable, api-refused, klog, panic, shutdown, interface, "
            "iptables, corefile, node-cache-start, start-failed, fatal, plugin, runtime, warning or error.",
        ),
        Col("severity", pl.String(), "DEBUG, INFO, WARNING, ERROR, FATAL or PANIC, also of klog; null without one."),
        Col("plugin", pl.String(), "Plugin that wrote it; null if none."),
        Col("text", pl.String(), "The line and what continues it, joined by newlines, at most 4,096 characters."),
        Col("version", pl.String(), "Version of CoreDNS, of Go or of the image that the line names; else null."),
        Col("address", pl.String(), "Address of a `listen` line; null where it listens on all."),
        Col("lines", pl.Int64(), "Lines of the event in the window that it was read in."),
        _STREAM,
        _COMPONENT,
    ),
    kinds=("coredns",),
)

KLOG_LINES = Table(
    "klog_lines",
    "One row per klog entry of a kubelet or another component; continuation lines belong to their entry.",
    (
        *PLACE,
        Col("host", pl.String(), "Host by the prefix of the line, klog's own header or file name; null without one."),
        Col("stream", pl.String(), "stdout or stderr, where a container runtime tells it; else null."),
        Col(
            "component",
            pl.String(),
            "Writer by prefix, file name or content (kubelet, kube-apiserver); null if unknown.",
        ),
        Col("severity", pl.String(), "I, W, E or F."),
        Col("caller", pl.String(), "File and line that logged, as prober.go:107."),
        Col("message", pl.String(), "The quoted message of a structured entry, else the whole text."),
        Col("text", pl.String(), "Everything after the header, continuation lines joined by newlines, at most 4 KiB."),
        Col("pod", pl.String(), "pod=, or the one pod that free text names, as namespace/name as far as written."),
        Col("error", pl.String(), "Value of err=; null if absent."),
    ),
    kinds=("kubelet",),
)

LOG_SUPPRESSIONS = Table(
    "log_suppressions",
    "One row per line of a node's journal or syslog that says that messages are not in it, or stand in it once only.",
    (
        *PLACE,
        Col("host", pl.String(), "Host by the prefix of the line; null without one."),
        Col("component", pl.String(), "Whose messages they are: program or unit (kubelet, kernel); null if not told."),
        Col(
            "kind",
            pl.String(),
            "`repeated`: so many more messages equal the one before. `left out`: a rate limit lost them, "
            "or an overflow.",
        ),
        Col("count", pl.Int64(), "How many messages; null where it is only said that dropping began."),
        Col("text", pl.String(), "The message that was repeated, as far as the line holds it; else null."),
    ),
)
