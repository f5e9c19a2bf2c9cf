"""What requests to kube-apiserver asked for in the query of their URI: how much, how fresh, and which objects."""

from __future__ import annotations

from urllib.parse import unquote_plus

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import Col, Table
from analyzer.frames.contract import PLACE
from analyzer.sources.secrets import scrub

_TABLE = Table(
    "request_parameters",
    "One row per request to kube-apiserver whose URI has one of these parameters (apimachinery `meta/v1` ListOptions).",
    (
        *PLACE,
        Col("audit_id", pl.String(), "auditID."),
        Col("user_agent", pl.String(), "userAgent as sent."),
        Col("verb", pl.String(), "Kubernetes verb."),
        Col("resource", pl.String(), "objectRef.resource; null for non-resource URLs."),
        Col("namespace", pl.String(), "objectRef.namespace; null if cluster-wide."),
        Col("code", pl.Int32(), "responseStatus.code; null before the answer."),
        Col("resource_version", pl.String(), "resourceVersion; '0' is any state of the cache, null the newest."),
        Col("resource_version_match", pl.String(), "resourceVersionMatch: Exact or NotOlderThan; null if absent."),
        Col("limit", pl.Int64(), "limit: items of a page; null if absent."),
        Col("continued", pl.Boolean(), "Whether it asks for a later page (continue)."),
        Col("watch", pl.Boolean(), "Whether it asks to watch (watch=true, as the server reads it)."),
        Col("timeout_seconds", pl.Int64(), "timeoutSeconds; null if absent."),
        Col("label_selector", pl.String(), "labelSelector, decoded; null if absent or empty."),
        Col("field_selector", pl.String(), "fieldSelector, decoded; null if absent or empty."),
    ),
)


def _value(name: str) -> pl.Expr:
    """The first value of a parameter; null where it is absent or empty."""
    return pl.col("uri").str.extract(rf"[?&]{name}=([^&#]+)")


def _number(name: str) -> pl.Expr:
    return pl.col("uri").str.extract(rf"[?&]{name}=(\d{{1,18}})(?:[&#]|$)").cast(pl.Int64)


def _true(name: str) -> pl.Expr:
    """A boolean parameter is true unless it is `false` or `0` (apimachinery `Convert_Slice_string_To_bool`)."""
    uri = pl.col("uri")
    return uri.str.contains(rf"[?&]{name}(?:[=&]|$)") & ~uri.str.contains(rf"(?i)[?&]{name}=(?:false|0)(?:&|$)")


def _decoded(column: pl.Series) -> pl.Series:
    """The texts without percent-encoding; a few selectors stand in most of the requests."""
    known = {text: scrub(unquote_plus(text)) for text in column.unique().drop_nulls().to_list()}
    return column.replace_strict(known, return_dtype=pl.String) if known else column


def _derive(frames: Frames) -> pl.LazyFrame:
    asked = (
        frames[AUDIT_REQUESTS]
        .filter(pl.col("uri").str.contains("?", literal=True))
        .with_columns(
            _value("resourceVersion").alias("resource_version"),
            _value("resourceVersionMatch").alias("resource_version_match"),
            _number("limit").alias("limit"),
            pl.col("uri").str.contains(r"[?&]continue=[^&#]").alias("continued"),
            _true("watch").alias("watch"),
            _number("timeoutSeconds").alias("timeout_seconds"),
            _value("labelSelector").map_batches(_decoded, return_dtype=pl.String).alias("label_selector"),
            _value("fieldSelector").map_batches(_decoded, return_dtype=pl.String).alias("field_selector"),
        )
    )
    told = ("resource_version", "limit", "timeout_seconds", "label_selector", "field_selector")
    return (
        asked.filter(pl.any_horizontal(pl.col(told).is_not_null()) | pl.col("continued") | pl.col("watch"))
        .select(_TABLE.schema.names())
        .sort("time", "source", "number")
    )


REQUEST_PARAMETERS = Fact(table=_TABLE, needs_any=((AUDIT_REQUESTS,),), derive=_derive)
