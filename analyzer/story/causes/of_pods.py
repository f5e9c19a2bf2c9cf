"""What requests, Events and kubelets tell of pods and of those who touch them: observations about a pod."""

from __future__ import annotations

import polars as pl

from analyzer.facts.pod_life import POD_LIFE
from analyzer.facts.pod_owners import POD_OWNERS
from analyzer.facts.pod_stops import POD_STOPS
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import empty
from analyzer.story.causes.rules import GRACE, TOGETHER
from analyzer.story.causes.signs import keyed, keys
from analyzer.story.causes.witness import Given, Witness, one

_POD = pl.concat_str("namespace", "pod", separator="/")
_WORKLOAD = pl.concat_str("namespace", "workload", separator="/")
_CHANNELS = {"audit": "audit log", "event": "Event", "log": "kubelet log"}


def _owners(given: Given) -> pl.LazyFrame:
    rows = given[POD_OWNERS].filter(pl.col("workload").is_not_null())
    return rows.with_columns(
        one(),
        keys(keyed("pod", _POD)),
        who=pl.format("pod {}", _POD),
        what=pl.format(
            "belongs to {} {}, whose manifest holds its dnsConfig",
            pl.col("workload_kind").fill_null("workload"),
            _WORKLOAD,
        ),
    )


def _deleted(given: Given) -> pl.LazyFrame:
    rows = given[POD_LIFE].filter(pl.col("what").is_in(["deleted", "evicted"]))
    return rows.with_columns(
        one(),
        keys(keyed("pod", _POD)),
        who=pl.format("pod {}", _POD),
        what=pl.format("was {} ({})", "what", pl.col("channel").replace(_CHANNELS)),
    )


def _stopped(given: Given) -> pl.LazyFrame:
    """Pods that ended for good, and in whose place none of their workload came: a rollout and a drain that replace what
    they end cost no capacity, whatever was denied before."""
    stops, life = (given.get(need, empty(need.table).lazy()) for need in (POD_STOPS, POD_LIFE))
    time, what = pl.col("time"), pl.col("what")
    back = (pl.col("again") - time <= GRACE).fill_null(value=False)
    ended = stops.filter(pl.col("how").fill_null("") != "unready", ~back, time.is_not_null())
    joined = ended.with_columns(until=time + TOGETHER).sort("until")
    born = (
        life.filter(time.is_not_null(), pl.col("workload").is_not_null())
        .group_by("namespace", "workload", "pod")
        .agg(born=time.filter(what == "placed").min(), first=time.min(), began=what.sort_by(time).first())
        # Where nobody tells of bindings a pod is new if the first that is heard of it is a container that starts.
        .with_columns(born=pl.coalesce("born", pl.when(pl.col("began") == "started").then("first")))
        .filter(pl.col("born").is_not_null())
        .select("namespace", "workload", "born")
        .sort("born")
    )
    replaced = joined.join_asof(
        born,
        left_on="until",
        right_on="born",
        by=["namespace", "workload"],
        strategy="backward",
        tolerance=GRACE + TOGETHER,
        check_sortedness=False,
        coalesce=False,
    )
    return replaced.filter(pl.col("born").is_null()).with_columns(
        one(),
        keys(keyed("workload", _WORKLOAD)),
        who=pl.format("pods of {}", _WORKLOAD),
        what=pl.lit("ended and were not replaced"),
    )


def _entered(given: Given) -> pl.LazyFrame:
    """Commands in a pod and pods made by hand: how something foreign gets in."""
    pod = pl.concat_str("namespace", "name", separator="/")
    ran = pl.col("subresource").is_in(["exec", "attach", "ephemeralcontainers"])
    made = (pl.col("verb") == "create") & pl.col("subresource").is_null() & pl.col("node").is_null()
    by_hand = made & ~pl.col("user").str.starts_with("system:").fill_null(value=False)
    return (
        given[AUDIT_REQUESTS]
        .filter(pl.col("resource") == "pods", pl.col("name").is_not_null(), ran | by_hand)
        .filter(pl.col("code").fill_null(200) < 300)
        .with_columns(
            one(),
            keys(keyed("pod", pod)),
            who=pl.coalesce("user", pl.lit("somebody")),
            what=pl.when(ran)
            .then(pl.format("ran commands in pod {}", pod))
            .otherwise(pl.format("made pod {} by hand", pod)),
        )
    )


WITNESSES = (
    Witness(kind="pod-owner", where="audit log", needs=(POD_OWNERS,), told=_owners),
    Witness(kind="pod-deleted", where="", needs=(POD_LIFE,), told=_deleted),
    Witness(kind="pod-stopped", where="audit log, Events or kubelet log", needs=(POD_STOPS, POD_LIFE), told=_stopped),
    Witness(kind="pod-entered", where="audit log", needs=(AUDIT_REQUESTS,), told=_entered),
)
