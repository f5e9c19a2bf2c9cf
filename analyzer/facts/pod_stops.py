"""Stops of pods: each time that a pod was told to stop, stopped or was not ready, until it ran again."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.pod_life import POD_LIFE
from analyzer.facts.pod_life import TABLE as LIFE
from analyzer.frames import TIME, Col, Table
from analyzer.frames.contract import PLACE

STOPS = ("deleted", "evicted", "killing", "died", "unready")
STARTS = ("placed", "started", "ready")

SETTLED = timedelta(seconds=60)
"""What stops sooner after a start belongs to the start: an init container that is done, a probe that fails at first."""

AGREED = timedelta(seconds=5)
"""How far apart two channels may tell of one stop: the last word of a pod may come after its successor is placed."""

LONGEST = timedelta(minutes=15)
"""Between two words of one stop: a grace period, and what a container runtime takes beyond it."""

YOUNG = timedelta(minutes=5)
"""A container that dies so soon after its pod was placed is an init container, or never served."""

TABLE = Table(
    "pod_stops",
    "One row per stop of a pod; `time`, `source` and `number` are of the first record of it.",
    (
        *PLACE,
        *(col for col in LIFE.cols if col.name in ("namespace", "pod", "actor", "workload_kind", "workload")),
        Col("node", pl.String(), "Node that it was on, if any record tells it."),
        Col(
            "how",
            pl.String(),
            "deleted, evicted, killing, died or unready: what the first record says, and evicted if any.",
        ),
        Col("channels", pl.String(), "Channels that tell of it, joined by commas."),
        Col("again", TIME, "When it was placed, or a container of it started, after the stop; null if not told."),
        Col("back", TIME, "When it was ready again; where the kubelet tells of no readiness, when it last started."),
    ),
)

POD = ["namespace", "pod"]


def _derive(frames: Frames) -> pl.LazyFrame:
    what, time = pl.col("what"), pl.col("time")
    # The last word of a kubelet on a pod is no turn of it, nor is its removal, which follows a stop.
    turns = frames[POD_LIFE].filter(what.is_in([*STOPS, *STARTS])).sort(*POD, "time", "source", "number").collect()
    stop, start = what.is_in(STOPS), what.is_in(STARTS)

    def before(expr: pl.Expr) -> pl.Expr:
        return pl.when(expr).then(time).shift(1).forward_fill().over(POD)

    known = turns.lazy().with_columns(
        stopped=before(stop),
        begun=before(start),
        placed=before(what == "placed"),
        on=pl.col("node").forward_fill().over(POD),
    )
    fresh = (
        pl.col("stopped").is_null()
        | (pl.max_horizontal("stopped", "begun") == pl.col("begun"))
        | (time - pl.col("stopped") > LONGEST)
    )
    settled = pl.col("begun").is_null() | (time - pl.col("begun") >= SETTLED)
    young = (what == "died") & (time - pl.col("placed") < YOUNG)
    opens = (
        stop
        & fresh
        & (settled | (what.is_in(["deleted", "evicted"]) & (time - pl.col("begun") >= AGREED)))
        & ~young.fill_null(False)
    )
    numbered = known.with_columns(stop=opens.cum_sum().over(POD)).filter(pl.col("stop") > 0)
    ready = (what == "ready").any().over(POD)
    later = numbered.with_columns(speaks=ready, last=time.filter(stop).max().over(*POD, "stop"))
    first = ("time", "source", "number", "workload_kind", "workload")
    begun = (time >= pl.col("last")) & start
    return (
        later.group_by(*POD, "stop", maintain_order=True)
        .agg(
            *(pl.col(name).first() for name in first),
            actor=pl.col("actor").filter(stop).drop_nulls().first(),
            how=pl.when((what == "evicted").any()).then(pl.lit("evicted")).otherwise(what.first()),
            node=pl.coalesce(pl.col("on").first(), pl.col("node").filter(stop).drop_nulls().first()),
            channels=pl.col("channel").filter(stop).unique().sort().str.join(", "),
            again=time.filter(start).min(),
            ready=time.filter((what == "ready") & begun).min(),
            started=time.filter((what != "ready") & begun).min(),
            speaks=pl.col("speaks").first(),
        )
        .with_columns(back=pl.when("speaks").then("ready").otherwise(pl.coalesce("started", "again")))
        .select(list(TABLE.schema))
        .sort("time", "source", "number", "namespace", "pod")
    )


POD_STOPS = Fact(table=TABLE, needs_any=((POD_LIFE,),), derive=_derive)
