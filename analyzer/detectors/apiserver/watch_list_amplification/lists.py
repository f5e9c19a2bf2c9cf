"""Every list that a client outside of the control plane asked for, and whether it had the same answer just before."""

from __future__ import annotations

import polars as pl

from analyzer.facts.callers import CONTROL_PLANE, NODE
from analyzer.facts.contract import Frames
from analyzer.facts.list_watch import GONE, ONE_OBJECT
from analyzer.facts.request_parameters import REQUEST_PARAMETERS
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.server_starts import RELIST_SECONDS, SERVER_STARTS
from analyzer.frames import AUDIT_OBJECTS
from analyzer.frames.contract import empty

OWN_AGENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
"""Agents of the control plane and of nodes. They list with a selector, or one of each is all there is."""

KEYS = ["agent", "api_group", "resource", "scope"]
SAME = ["client", "namespace", "field_selector", "label_selector"]
"""What makes two lists of a resource the same: who asks, and for what."""

CLIENT = pl.concat_str(pl.col("source_ip", "caller_pod", "user").fill_null(""), separator="\n").alias("client")

EXPIRED_WITHIN = pl.duration(seconds=60)
"""How soon a client lists again after 410 (client-go `reflector.go` backs off 30 s at most, with jitter)."""


def lists(frames: Frames, relist_seconds: float) -> pl.DataFrame:
    """One row per list or page, in order of time.

    `first` are lists, the others are further pages. `who` is the client, or the node that its field selector names:
    behind one address there may be many. A list that was rejected is no answer: what follows is the same wish; the rows
    that `begins` are wishes. `interval` (seconds) is the time since the same list of the same client, if that was
    served; `again` says that it was less than `relist_seconds`, and that no start of the server (`excused`) asked for
    it; `expired` that the client had been told 410.
    """
    asked = _asked(frames).collect()
    same = [*KEYS, *SAME]
    before = pl.col("served").shift(1).over(same)
    since = (pl.col("time").diff().over(same).dt.total_microseconds() / 1e6).alias("since")
    wishes = asked.filter("first").select(
        "source", "number", before.fill_null(True).alias("begins"), pl.when(before).then(since).alias("interval")
    )
    found = asked.join(wishes, on=["source", "number"], how="left", maintain_order="left")
    found = _excused(_expired(found, frames), frames)
    repeated = (pl.col("interval") < relist_seconds).fill_null(False)
    return found.with_columns((repeated & ~pl.col("excused")).alias("again"), pl.col("begins").fill_null(False))


def _outside() -> pl.Expr:
    """Requests of callers outside of the control plane."""
    inside = pl.col("caller").is_in([CONTROL_PLANE, NODE]) | pl.col("agent").is_in(OWN_AGENTS)
    return ~inside.fill_null(False)


def _asked(frames: Frames) -> pl.LazyFrame:
    parameters = frames.get(REQUEST_PARAMETERS, empty(REQUEST_PARAMETERS.table).lazy()).select(
        "source", "number", "resource_version", "limit", "continued", "label_selector", "field_selector"
    )
    objects = frames.get(AUDIT_OBJECTS, empty(AUDIT_OBJECTS).lazy())
    items = objects.filter(pl.col("items").is_not_null()).select("source", "number", "items")
    node = pl.col("field_selector").str.extract(r"(?:^|,)spec\.(?:nodeName|host)={1,2}([^,]+)")
    return (
        frames[AUDIT_REQUESTS]
        .filter(pl.col("verb") == "list", pl.col("resource").is_not_null(), pl.col("time").is_not_null(), _outside())
        .join(parameters, on=["source", "number"], how="left")
        .join(items.unique(["source", "number"]), on=["source", "number"], how="left")
        .select(
            *("time", "source", "number", "source_ip", "resource", "caller_pod", "client_node", "user"),
            *("latency_seconds", "throttled", "items", "code", "user_agent"),
            pl.col("agent").fill_null(""),
            pl.col("api_group").fill_null(""),
            pl.col("namespace", "field_selector", "label_selector").fill_null(""),
            pl.when(pl.col("namespace").is_null())
            .then(pl.lit("cluster"))
            .otherwise(pl.lit("namespace"))
            .alias("scope"),
            CLIENT,
            (~pl.col("continued").fill_null(False)).alias("first"),
            (pl.col("code") < 300).fill_null(False).alias("served"),
            pl.col("field_selector").str.contains(ONE_OBJECT).fill_null(False).alias("selected"),
            node.alias("selected_node"),
            pl.col("resource_version").is_null().alias("quorum"),
            pl.col("limit").is_null().alias("unpaginated"),
            pl.when(pl.col("response_body_bytes") > 0).then("response_body_bytes").alias("bytes"),
        )
        .with_columns(pl.coalesce("selected_node", "client").alias("who"))
        .sort("time", "source", "number")
    )


def _expired(found: pl.DataFrame, frames: Frames) -> pl.DataFrame:
    """`expired`: the same client was told 410 for this resource just before, or now, by a list or by a watch."""
    key = ["agent", "client", "resource"]
    told = (
        frames[AUDIT_REQUESTS]
        .filter(
            pl.col("code") == GONE, pl.col("verb").is_in(["list", "watch"]), pl.col("time").is_not_null(), _outside()
        )
        .select("time", pl.col("agent").fill_null(""), CLIENT, "resource", pl.col("time").alias("told"))
        .sort("time")
        .collect()
    )
    joined = found.join_asof(
        told, on="time", by=key, strategy="backward", tolerance=pl.select(EXPIRED_WITHIN).item(), check_sortedness=False
    )
    return joined.with_columns(pl.col("told").is_not_null().alias("expired")).drop("told")


def _excused(found: pl.DataFrame, frames: Frames) -> pl.DataFrame:
    """`excused`: a client's first list of the same after a start of the server, which all clients send."""
    starts = frames.get(SERVER_STARTS, empty(SERVER_STARTS.table).lazy()).select("time").collect()
    within = pl.select(pl.duration(seconds=RELIST_SECONDS)).item()
    joined = found.join_asof(
        starts.with_columns(pl.col("time").alias("start")), on="time", strategy="backward", tolerance=within
    )
    # what comes before the first answer is the same wish
    first = pl.col("served").cast(pl.Int64).cum_sum().over(*KEYS, *SAME, "start") <= 1
    return joined.with_columns((pl.col("start").is_not_null() & first).alias("excused"))
