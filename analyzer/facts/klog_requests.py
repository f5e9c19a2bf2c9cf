"""What API servers and their clients write of single requests into klog: HTTP logs, traces and failed handshakes.

Each function takes rows of KLOG_LINES and gives those that fit, with columns of their own beside all that they had.
"""

from __future__ import annotations

import polars as pl

from analyzer.facts.klog_values import go_seconds, value

_TEXT = pl.col("text")


def http_logs(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Requests as an apiserver logs them with -v 3 and more (apiserver/pkg/server/httplog/httplog.go).

    `"HTTP" verb="LIST" URI="/api..." latency="341.9µs" userAgent=".." srcIP="10.0.0.1:5" resp=429` since 1.19, before
    `GET /api...: (341.9µs) 200 [agent 10.0.0.1:5]`. Adds verb, uri, latency_seconds, user_agent, client (address and
    port) and code (Int32). The verb is that of the API (LIST, WATCH) in the newer form, of HTTP in the older.
    """
    made = pl.col("message") == "HTTP"
    old = _TEXT.str.extract_groups(_OLD_HTTP)
    kept = lines.filter(made | _TEXT.str.contains(_OLD_HTTP)).with_columns(old.alias("old"))

    def either(key: str, name: str) -> pl.Expr:
        return pl.when(made).then(value(key)).otherwise(pl.col("old").struct.field(name))

    return kept.with_columns(
        either("verb", "verb").alias("verb"),
        either("URI", "uri").alias("uri"),
        go_seconds(either("latency", "took")).alias("latency_seconds"),
        either("userAgent", "agent").alias("user_agent"),
        either("srcIP", "client").alias("client"),
        either("resp", "code").cast(pl.Int32, strict=False).alias("code"),
    ).drop("old")


_OLD_HTTP = (
    r"^(?P<verb>[A-Z]+) (?P<uri>/[^ ]*): \((?P<took>[0-9][^)]*)\) (?P<code>[0-9]{3}) \[+"
    r"(?P<agent>[^\n]*?) (?P<client>[^ \n]+:[0-9]+)\]"
)

_TRACE = r'^Trace\[([0-9]+)\]: ("(?:[^"\\]|\\.)*")([^\n]*?) \(([^()]*)\) \(total time: ([^)]*)\)'
_STEP = r'Trace\[[0-9]+\]: +(?:-+"(?:[^"\\]|\\.)*"[^\n]*? [0-9][0-9.a-zµ]* \(|\[[^\]]*\] \[[^\]]*\] [^\n]*)'


def traces(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Operations that took longer than they should (k8s.io/utils/trace), as apiserver, scheduler and etcd log them.

    `Trace[1]: "List" url:/api,... (14-Mar-2026 09:00:00.000) (total time: 1234ms):` and its steps in the lines below,
    `Trace[1]: ---"About to write" 900ms (09:00:00.100)`, before 1.20 `Trace[1]: [1.1s] [900ms] About to write`. Adds
    trace (its number as text), operation, fields (as written, `url:/api,...`), total_seconds, and steps (a list of
    step and seconds; END is none).
    """
    found = lines.filter(_TEXT.str.contains(_TRACE))
    step = pl.element()
    new = step.str.contains(r"^Trace\[[0-9]+\]: +-")
    name = (
        pl.when(new)
        .then(step.str.extract(r'-+"((?:[^"\\]|\\.)*)"', 1))
        .otherwise(step.str.extract(r"^Trace\[[0-9]+\]: +\[[^\]]*\] \[[^\]]*\] ([^\n]*)$", 1))
    )
    took = (
        pl.when(new)
        .then(step.str.extract(r" ([0-9][0-9.a-zµ]*) \($", 1))
        .otherwise(step.str.extract(r"^Trace\[[0-9]+\]: +\[[^\]]*\] \[([^\]]*)\]", 1))
    )
    steps = _TEXT.str.extract_all(_STEP).list.eval(
        pl.struct(name.alias("step"), go_seconds(took).alias("seconds")).filter((name != "END").fill_null(False))
    )
    return found.with_columns(
        _TEXT.str.extract(_TRACE, 1).alias("trace"),
        _TEXT.str.extract(_TRACE, 2).str.strip_chars('"').alias("operation"),
        _TEXT.str.extract(_TRACE, 3).str.strip_chars(" ").str.strip_suffix(",").alias("fields"),
        go_seconds(_TEXT.str.extract(_TRACE, 5)).alias("total_seconds"),
        steps.alias("steps"),
    )


def trace_field(name: str) -> pl.Expr:
    """One of the `fields` of `traces`, such as url, verb, user-agent or resource; null where it is missing."""
    return pl.col("fields").str.extract(rf"(?:^|,){name}:(.*?)(?:,[a-z][a-z-]*:|$)", 1).alias(name)


_TLS = r"^http: TLS handshake error from (?P<client>[^ \n]+:[0-9]+): (?P<reason>[^\n]*)"


def tls_errors(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Handshakes that failed, by net/http's server (`http: TLS handshake error from 10.0.0.1:5: EOF`).

    Adds client (address and port) and reason.
    """
    return lines.filter(_TEXT.str.contains(_TLS)).with_columns(_TEXT.str.extract_groups(_TLS).struct.unnest())
