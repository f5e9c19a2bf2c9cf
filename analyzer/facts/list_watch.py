"""How each agent lists and watches each resource: how often, how much at a time, how fresh, and for how long."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.request_parameters import REQUEST_PARAMETERS
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import AUDIT_OBJECTS, Col, Table
from analyzer.frames.contract import PLACE, empty

SHORT_SECONDS = 1.0
"""A watch that ends sooner is "very short" (client-go `tools/cache/reflector.go`, `handleAnyWatch`)."""

GONE = 410
"""Expired: the resource version, or the page, that was asked for is no longer kept."""

ONE_OBJECT = r"(?:^|,)(?:spec\.nodeName|metadata\.name|involvedObject\.name|spec\.host)={1,2}[^=,]"
"""Field selectors that ask for what belongs to one node or one object."""

KEYS = ("agent", "api_group", "resource", "scope")

_TABLE = Table(
    "list_watch",
    "One row per user agent family, resource and scope that was listed or watched. `time`, `source` and `number` are "
    "of the first such request. A client is an address and, where its token tells it, a pod. Rejected requests count "
    "as sent, and in nothing else.",
    (
        *PLACE,
        Col("agent", pl.String(), "User agent family; '' if none was sent."),
        Col("api_group", pl.String(), "API group; '' is the core group."),
        Col("resource", pl.String(), "Plural resource."),
        Col("scope", pl.String(), "cluster, or namespace where the requests are for one namespace each."),
        Col("last", pl.Datetime("us", "UTC"), "When the last of these requests came."),
        Col("clients", pl.Int64(), "Clients that sent them."),
        Col("nodes", pl.Int64(), "Distinct nodes that these clients run on, where known."),
        Col("lists", pl.Int64(), "Lists that were asked for, a list of several pages once."),
        Col("pages", pl.Int64(), "Further pages of lists (continue)."),
        Col("relists", pl.Int64(), "Lists by a client that had listed the same before."),
        Col("unpaginated", pl.Int64(), "Lists without a limit."),
        Col("quorum_reads", pl.Int64(), "Lists without resourceVersion: read from etcd, or as fresh as etcd."),
        Col("cache_reads", pl.Int64(), "Lists with resourceVersion=0: any state of the server's cache will do."),
        Col("unselected", pl.Int64(), "Lists without a field selector for one node or one object."),
        Col("label_selected", pl.Int64(), "Lists with a label selector."),
        Col("watches", pl.Int64(), "Watches that were asked for."),
        Col("unselected_watches", pl.Int64(), "Watches without a field selector for one node or one object."),
        Col("short_watches", pl.Int64(), "Served watches that ended within a second."),
        Col("watch_seconds", pl.Float64(), "Median life of served watches that ended, in seconds; null if none did."),
        Col("gone", pl.Int64(), "Requests answered 410: the state or page was no longer kept."),
        Col("rejected", pl.Int64(), "Requests answered 429 by the server's own limits."),
        Col(
            "interval_seconds",
            pl.Float64(),
            "Median time between a client's lists of the same, in seconds; null if none was repeated.",
        ),
        Col(
            "interval_variation",
            pl.Float64(),
            "Standard deviation of these times over their mean; null below two. A poller by the clock is near 0.",
        ),
        Col("list_seconds", pl.Float64(), "Sum of the latencies of served lists and pages, in seconds."),
        Col("objects", pl.Int64(), "Objects in the answers; null where the policy keeps no answers of lists."),
        Col("bytes", pl.Int64(), "Bytes of the answers' bodies in the log; null where it keeps none."),
    ),
)


def _asked(frames: Frames) -> pl.LazyFrame:
    """Lists and watches with what their URI asked for and, where bodies are kept, what the answer held."""
    told = frames.get(REQUEST_PARAMETERS, empty(REQUEST_PARAMETERS.table).lazy())
    parameters = told.select(
        *("source", "number", "resource_version", "limit", "continued", "label_selector", "field_selector")
    )
    objects = frames.get(AUDIT_OBJECTS, empty(AUDIT_OBJECTS).lazy())
    items = (
        objects.filter(pl.col("items").is_not_null()).select("source", "number", "items").unique(["source", "number"])
    )
    return (
        frames[AUDIT_REQUESTS]
        .filter(
            pl.col("verb").is_in(["list", "watch"]), pl.col("resource").is_not_null(), pl.col("subresource").is_null()
        )
        .join(parameters, on=["source", "number"], how="left")
        .join(items, on=["source", "number"], how="left")
        .select(
            *("time", "end_time", "source", "number", "code", "throttled", "open", "limit", "label_selector", "items"),
            *("resource", "latency_seconds", "namespace", "client_node", "resource_version"),
            pl.col("agent").fill_null(""),
            pl.col("api_group").fill_null(""),
            pl.when(pl.col("namespace").is_null())
            .then(pl.lit("cluster"))
            .otherwise(pl.lit("namespace"))
            .alias("scope"),
            pl.concat_str(pl.col("source_ip", "caller_pod", "user").fill_null(""), separator="\n").alias("client"),
            (pl.col("verb") == "watch").alias("watch"),
            ((pl.col("verb") == "list") & ~pl.col("continued").fill_null(False)).alias("first"),
            pl.col("field_selector").str.contains(ONE_OBJECT).fill_null(False).alias("selected"),
            pl.col("field_selector").fill_null("").alias("field_selector"),
            pl.when(pl.col("response_body_bytes") > 0).then("response_body_bytes").alias("bytes"),
        )
        .sort("time", "source", "number")
    )


def _intervals(asked: pl.LazyFrame) -> pl.LazyFrame:
    """Per key: the times between what one client listed and listed again, over the same namespace and selectors."""
    same = [*KEYS, "client", "namespace", "field_selector", "label_selector"]
    between = (
        asked.filter("first")
        .with_columns((pl.col("time") - pl.col("time").shift(1).over(same)).dt.total_microseconds().alias("between"))
        .filter(pl.col("between").is_not_null())
    )
    spread = (pl.col("between").cast(pl.Float64).std() / pl.col("between").mean()).alias("interval_variation")
    return between.group_by(KEYS).agg(
        pl.len().cast(pl.Int64).alias("relists"),
        (pl.col("between").median() / 1e6).alias("interval_seconds"),
        # several at one time have no spread
        pl.when(pl.col("between").max() > 0).then(spread),
    )


def _count(condition: pl.Expr, name: str) -> pl.Expr:
    return condition.fill_null(False).sum().cast(pl.Int64).alias(name)


def _derive(frames: Frames) -> pl.LazyFrame:
    asked = _asked(frames)
    first, watch = pl.col("first"), pl.col("watch")
    life = (pl.col("end_time") - pl.col("time")).dt.total_microseconds() / 1e6
    ended = watch & ~pl.col("open") & (pl.col("code") < 300) & (life >= 0)
    served = ~watch & (pl.col("code") < 300)
    counts = asked.group_by(KEYS).agg(
        pl.col("time", "source", "number").first(),
        pl.col("time").last().alias("last"),
        pl.col("client").n_unique().cast(pl.Int64).alias("clients"),
        pl.col("client_node").drop_nulls().n_unique().cast(pl.Int64).alias("nodes"),
        _count(first, "lists"),
        _count(~first & ~watch, "pages"),
        _count(first & pl.col("limit").is_null(), "unpaginated"),
        _count(first & pl.col("resource_version").is_null(), "quorum_reads"),
        _count(first & (pl.col("resource_version") == "0"), "cache_reads"),
        _count(first & ~pl.col("selected"), "unselected"),
        _count(first & pl.col("label_selector").is_not_null(), "label_selected"),
        _count(watch, "watches"),
        _count(watch & ~pl.col("selected"), "unselected_watches"),
        _count(ended & (life < SHORT_SECONDS), "short_watches"),
        life.filter(ended).median().alias("watch_seconds"),
        _count(pl.col("code") == GONE, "gone"),
        _count(pl.col("throttled"), "rejected"),
        (((pl.col("latency_seconds") * 1e6).round().cast(pl.Int64)).filter(served).sum() / 1e6).alias("list_seconds"),
        pl.when(pl.col("items").count() > 0).then(pl.col("items").sum()).alias("objects"),
        pl.when(pl.col("bytes").count() > 0).then(pl.col("bytes").sum()).alias("bytes"),
    )
    return (
        counts.join(_intervals(asked), on=list(KEYS), how="left")
        .with_columns(pl.col("relists").fill_null(0))
        .select(_TABLE.schema.names())
        .sort("time", "source", "number")
    )


LIST_WATCH = Fact(
    table=_TABLE, needs_any=((AUDIT_REQUESTS,),), uses=(REQUEST_PARAMETERS, AUDIT_OBJECTS), derive=_derive
)
