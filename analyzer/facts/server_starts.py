"""When an API server started while its audit log was kept, told by its own informers and by the silence before."""

from __future__ import annotations

import numpy as np
import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import Col, Table
from analyzer.frames.contract import PLACE

LOOPBACK = "system:apiserver"
INFORMERS = 5
"""Resources that a starting server lists or watches through its own loopback within a second; later these watches are
renewed one by one, each after 5 to 10 minutes (client-go `tools/cache/reflector.go`, `defaultMinWatchTimeout`)."""

SILENCE_SECONDS = 30
"""Least time without any request that may be a server that was gone."""

TIMES_USUAL = 20
"""A silence is so many times the median distance of requests at least, or the log is merely sparse."""

RELIST_SECONDS = 120
"""Time after a start within which its clients list and watch again."""

BEGIN_SECONDS = 5
"""A start so soon after the first request of the log is where the log begins."""

AGENTS = 2
"""Agents that must list or watch again after a silence: what one agent does may be its own."""

_TABLE = Table(
    "server_starts",
    "One row per start of an API server that the audit log tells of. `time`, `source` and `number` are of the first "
    "request after it.",
    (
        *PLACE,
        Col("told_by", pl.String(), "informers (the server lists and watches by its loopback) or silence."),
        Col(
            "silent_seconds",
            pl.Float64(),
            "Time without any request of anybody before it; null where the log begins with it.",
        ),
        Col("relists", pl.Int64(), "Lists by others than the server within two minutes after it."),
        Col("relist_agents", pl.Int64(), "Distinct user agents that listed or watched in this time."),
    ),
)


def _derive(frames: Frames) -> pl.LazyFrame:
    requests = (
        frames[AUDIT_REQUESTS]
        .filter(pl.col("time").is_not_null())
        .select("time", "source", "number", "user", "agent", "verb", "resource")
        .sort("time", "source", "number")
        .with_columns(
            (pl.col("time").diff().dt.total_microseconds() / 1e6).alias("silent_seconds"),
            pl.col("verb").is_in(["list", "watch"]).fill_null(False).alias("asks"),
        )
        .collect()
    )
    if not requests.height:
        return pl.LazyFrame(schema=_TABLE.schema)
    own = requests.filter("asks", pl.col("user") == LOOPBACK, pl.col("resource").is_not_null())
    # so many within a second, counted from the first of them
    burst = own.filter(
        (pl.col("time").shift(1 - INFORMERS) - pl.col("time") <= pl.duration(seconds=1)).fill_null(False)
    )
    began = burst.filter((pl.col("time").diff() > pl.duration(seconds=RELIST_SECONDS)).fill_null(True)).with_columns(
        pl.lit("informers").alias("told_by")
    )
    usual = requests["silent_seconds"].median() or 0.0
    least = max(float(SILENCE_SECONDS), TIMES_USUAL * float(usual))  # type: ignore[arg-type]
    silent = requests.filter(pl.col("silent_seconds") > least).with_columns(pl.lit("silence").alias("told_by"))
    return _counted(pl.concat([silent, began]).sort("time", "source", "number"), requests).lazy()


def _counted(starts: pl.DataFrame, requests: pl.DataFrame) -> pl.DataFrame:
    """The starts with what followed; a silence and the informers after it are one start. Rare by nature: a loop."""
    asked = requests.filter("asks", (pl.col("user") != LOOPBACK).fill_null(True))
    micros = asked["time"].dt.epoch("us").to_numpy()
    kept: list[dict[str, object]] = []
    last = None
    for start in starts.with_columns(pl.col("time").dt.epoch("us").alias("micros")).iter_rows(named=True):
        if last is not None and (start["time"] - last).total_seconds() <= RELIST_SECONDS:
            kept[-1]["told_by"] = "informers" if start["told_by"] == "informers" else kept[-1]["told_by"]
            continue
        begin = start["micros"]
        low, high = np.searchsorted(micros, [begin, begin + RELIST_SECONDS * 1_000_000 + 1])
        after = asked[int(low) : int(high)]
        row = {name: start[name] for name in ("time", "source", "number", "told_by", "silent_seconds")}
        if (start["time"] - requests["time"][0]).total_seconds() <= BEGIN_SECONDS:
            row["silent_seconds"] = None
        row["relists"] = after.filter(pl.col("verb") == "list").height
        row["relist_agents"] = after["agent"].n_unique()
        last = start["time"]
        kept.append(row)
    frame = pl.DataFrame(kept, schema=_TABLE.schema)
    return frame.filter((pl.col("told_by") == "informers") | (pl.col("relist_agents") >= AGENTS))


SERVER_STARTS = Fact(table=_TABLE, needs_any=((AUDIT_REQUESTS,),), derive=_derive)
