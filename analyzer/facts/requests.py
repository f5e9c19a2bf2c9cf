"""Requests to kube-apiserver, each once, from the one to three audit events that each leaves."""

from __future__ import annotations

import polars as pl

from analyzer.facts.callers import caller
from analyzer.facts.contract import Fact, Frames
from analyzer.facts.uri_classes import uri_class
from analyzer.frames import AUDIT_EVENTS, Col, Table
from analyzer.frames.contract import PLACE, TIME

FINAL = ("ResponseComplete", "Panic")
"""Stages that end a request (kubernetes `apis/audit/v1/types.go`)."""

STARTED = "ResponseStarted"
"""The stage of a long-running request whose answer has begun: a watch that is still open has no later one."""

RECEIVED = "RequestReceived"

LONG_RUNNING_VERBS = ("watch", "proxy")
LONG_RUNNING = ("exec", "attach", "portforward", "proxy")
"""Requests whose duration is the life of a connection (`BasicLongRunningRequestCheck` in kubernetes
`pkg/controlplane/apiserver/config.go`); a log is one where it is followed."""

FAILED = 400
TOO_MANY = 429

BUDGET = "Cannot evict pod"
"""How the refusal of an eviction by a PodDisruptionBudget begins (`createTooManyRequestsError` in kubernetes
`pkg/registry/core/pod/storage/eviction.go`)."""

SHUTTING_DOWN = "The apiserver is shutting down"
"""How a server that ends answers (apiserver `pkg/server/filters/with_retry_after.go`). The filter stands outside of the
audit log of that server; what is passed on to an aggregated one may tell of it."""

_KEPT = tuple(
    col
    for col in AUDIT_EVENTS.cols
    if col.name
    in {
        *("audit_id", "stage", "verb", "uri", "user", "user_agent", "agent", "source_ip", "api_group", "resource"),
        *("subresource", "namespace", "name", "code", "reason", "message", "decision", "latency_etcd_seconds"),
        *("latency_queue_seconds", "caller_pod", "caller_node", "path", "controller", "impersonated_user", "node"),
        *("service_account_namespace", "service_account", "level", "request_body_bytes", "response_body_bytes"),
    }
)

_TABLE = Table(
    "audit_requests",
    "One row per request to kube-apiserver: the event of its last stage. Counting events counts most requests twice.",
    (
        *PLACE,
        Col("end_time", TIME, "When the last stage was reached; null if unknown. `time` is when it was received."),
        *_KEPT,
        Col(
            "caller",
            pl.String(),
            "What kind of caller it is: node (a kubelet), control plane, service account, anonymous or user.",
        ),
        Col("client_node", pl.String(), "Node that the caller runs on: its own name, or that of its token; else null."),
        Col(
            "uri_class",
            pl.String(),
            "Path of the URI with `*` for version, namespace and name; of other paths what is theirs by definition.",
        ),
        Col("long_running", pl.Boolean(), "Watch, exec, attach, port-forward, proxy or a followed log."),
        Col(
            "open",
            pl.Boolean(),
            "A long-running request without an end in the log, and without a refusal: it neither failed nor was slow.",
        ),
        Col("latency_seconds", pl.Float64(), "From received to answered; null if unknown, negative or long-running."),
        Col(
            "throttled",
            pl.Boolean(),
            "Answered 429 by the server's own limits, which act before authorization: evictions refused by a "
            "PodDisruptionBudget and refusals of a server that shuts down are not meant.",
        ),
    ),
)


def _derive(frames: Frames) -> pl.LazyFrame:
    """One request has one `audit_id` and one time of receipt in all its events.

    Both are the key: clients may send an `Audit-ID` header of their own and so give many requests one id, and an
    aggregated apiserver logs the id of the request that was passed on to it. Copies of an event, as from overlapping
    rotated files, count once. Without a stage (some exports drop it) an event with a code is the last.

    A long-running request may have no end in the log: then the last stage that it reached stands for it, and it is open
    unless its answer began with an error. Any other request that was only received has no answer, and is left out.
    """
    events = frames[AUDIT_EVENTS].select(_NEEDED).collect()
    kept = _last_events(events)
    if kept["at"].equals(pl.int_range(events.height, dtype=pl.UInt32, eager=True).alias("at")):
        requests = events.with_columns(kept["open"])
    else:
        requests = events[kept["at"]].with_columns(kept["open"])
    seconds = (pl.col("stage_time") - pl.col("time")).dt.total_microseconds() / 1e6
    return (
        requests.lazy()
        .with_columns(_long_running().alias("long_running"))
        .with_columns(
            pl.col("stage_time").alias("end_time"),
            pl.when((seconds >= 0) & ~pl.col("long_running") & ~pl.col("open")).then(seconds).alias("latency_seconds"),
            _throttled().alias("throttled"),
            caller().alias("caller"),
            pl.coalesce("node", "caller_node").alias("client_node"),
            uri_class().alias("uri_class"),
        )
        .select(_TABLE.schema.names())
    )


_NEEDED = tuple(
    dict.fromkeys(
        [*(col.name for col in PLACE), "stage_time", "stage", *(col.name for col in AUDIT_EVENTS.cols if col in _KEPT)]
    )
)


def _last_events(events: pl.DataFrame) -> pl.DataFrame:
    """The event that stands for each request, by its row `at`, and whether the request is `open`; in order of time.

    All that is sorted and compared are a few columns: to move forty for each step takes ten times as long.
    """
    ended = pl.col("stage").is_in(FINAL) | (pl.col("stage").is_null() & pl.col("code").is_not_null())
    begun = (pl.col("stage") == STARTED) | ((pl.col("stage") == RECEIVED) & _long_running())
    # an event without an id is a request of its own
    alone = pl.concat_str(pl.lit("\x00"), "source", pl.lit("\x00"), pl.col("number").cast(pl.String))
    order, key = ["time", "source", "number"], ["request", "time"]
    narrow = events.select(
        *order,
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("at"),
        pl.coalesce("audit_id", alone).alias("request"),
        ended.fill_null(False).alias("ended"),
        begun.fill_null(False).alias("begun"),
        (pl.col("stage") != STARTED).alias("later"),
        (pl.col("code") < FAILED).fill_null(True).alias("open"),
    )
    final = narrow.filter("ended").sort(order).unique(key, keep="first", maintain_order=True)
    started = narrow.filter("begun").sort("later", *order).unique(key, keep="first", maintain_order=True)
    still_open = started.join(final.select(key), on=key, how="anti", nulls_equal=True)
    kept = pl.concat([final.with_columns(open=pl.lit(False)), still_open]) if still_open.height else final
    return kept.with_columns(open=pl.col("open") & ~pl.col("ended")).sort(order).select("at", "open")


def said(*beginnings: str) -> pl.Expr:
    """Whether the message of the answer begins with one of these."""
    message = pl.col("message")
    return pl.any_horizontal(message.str.starts_with(text) for text in beginnings).fill_null(False)


def _throttled() -> pl.Expr:
    """Whether the server's own limits rejected it: they act before authorization, so that there is no decision."""
    return (
        (pl.col("code") == TOO_MANY).fill_null(False)
        & pl.col("decision").is_null()
        & (pl.col("subresource") != "eviction").fill_null(True)
        & ~said(BUDGET, SHUTTING_DOWN)
    )


def _long_running() -> pl.Expr:
    """Whether the duration of a request is the life of a connection.

    A boolean parameter is true unless it is `false` or `0` (apimachinery `Convert_Slice_string_To_bool`).
    """
    uri = pl.col("uri")
    followed = uri.str.contains(r"[?&]follow(?:[=&]|$)") & ~uri.str.contains(r"(?i)[?&]follow=(?:false|0)(?:&|$)")
    return (
        pl.col("verb").is_in(LONG_RUNNING_VERBS).fill_null(False)
        | pl.col("subresource").is_in(LONG_RUNNING).fill_null(False)
        | ((pl.col("subresource") == "log") & followed).fill_null(False)
    )


def meant(requests: pl.LazyFrame) -> pl.LazyFrame:
    """Requests without dry runs, which are answered as if they had been done: `kubectl diff`, `--dry-run=server`."""
    return requests.filter(~dry_run().fill_null(value=False))


def dry_run() -> pl.Expr:
    """Whether the URI asks for one (apimachinery pkg/apis/meta/v1, DryRunAll)."""
    return pl.col("uri").str.contains(r"[?&]dryRun=All(?:[&#]|$)")


AUDIT_REQUESTS = Fact(table=_TABLE, needs_any=((AUDIT_EVENTS,),), derive=_derive)
