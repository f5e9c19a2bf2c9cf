"""What logs of nodes, Events and heartbeats tell of nodes: observations about a node."""

from __future__ import annotations

import polars as pl

from analyzer.facts.container_ends import CONTAINER_ENDS, KILLED
from analyzer.facts.image_pulls import IMAGE_PULLS
from analyzer.facts.kubelet_starts import KUBELET_STARTS
from analyzer.facts.node_outages import NODE_OUTAGES
from analyzer.facts.told_events import TOLD_EVENTS
from analyzer.facts.workload_names import of_pod
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES
from analyzer.story.causes.signs import keyed, keys
from analyzer.story.causes.witness import Given, Witness, one
from analyzer.story.observations import KINDS

API_SERVER_KEY = "apiserver:cluster"

COMM = 15
"""Letters of a process's name that the kernel keeps (TASK_COMM_LEN in include/linux/sched.h, with the final NUL)."""

_DISK_REASONS = {
    "EvictionThresholdMet": "ran into an eviction threshold",  # kubernetes pkg/kubelet/eviction/eviction_manager.go
    "NodeHasDiskPressure": "came under disk pressure",  # pkg/kubelet/kubelet_node_status.go
    "FreeDiskSpaceFailed": "could not free disk space",  # pkg/kubelet/images/image_gc_manager.go
    "ImageGCFailed": "could not free disk space",
    "Evicted": "evicted pods",
}
DENIED = ("permission", "missing")
"""Classes of failed pulls that are the image's own trouble."""

_RECLAIM = r"(?i)^eviction manager: attempting to reclaim"
_DISK = r"(?i)ephemeral-storage|nodefs|imagefs|disk"


def _kubelet(*kinds: str, also: tuple[pl.Expr, ...] = ()) -> Witness:
    """Lines of component logs of these kinds."""
    texts = {name: (text, pattern) for name, text, pattern in KINDS if name in kinds}
    what = pl.lit(None, dtype=pl.String)
    for text, pattern in texts.values():
        what = pl.when(pl.col("text").str.contains(pattern)).then(pl.lit(text)).otherwise(what)

    def told(given: Given) -> pl.LazyFrame:
        lines = given[KLOG_LINES].filter(pl.col("host").is_not_null())
        return (
            lines.with_columns(one(), who=pl.col("host"), what=what)
            .filter(pl.col("what").is_not_null())
            .with_columns(keys(keyed("node", pl.col("host")), *also))
        )

    return Witness(kind="+".join(kinds), where="component log", needs=(KLOG_LINES,), told=told)


def _outages(given: Given) -> pl.LazyFrame:
    return given[NODE_OUTAGES].with_columns(
        one(),
        keys(keyed("node", pl.col("node"))),
        who=pl.format("node {}", "node"),
        what=pl.lit("was not heard of, or told not ready"),
    )


def _starts(given: Given) -> pl.LazyFrame:
    # The node of a log without a host is its input, which no finding shares with another source.
    rows = given[KUBELET_STARTS].filter(pl.col("host").is_not_null())
    who, what = pl.format("the kubelet of {}", "host"), pl.lit("started")
    return rows.with_columns(one(), keys(keyed("node", pl.col("host"))), who=who, what=what)


def _stalls(given: Given) -> pl.LazyFrame:
    texts = {
        "hung_task": "told of tasks that were blocked",
        "io_error": "told of I/O errors",
        "soft_lockup": "told of a CPU that was stuck",
        "rcu_stall": "told of a CPU that was stuck",
        "nfs_timeout": "told of a server of files that did not answer",
    }
    rows = given[KERNEL_MESSAGES].filter(pl.col("kind").is_in(list(texts)), pl.col("host").is_not_null())
    return rows.with_columns(
        keys(keyed("node", pl.col("host"))),
        who=pl.format("the kernel of {}", "host"),
        what=pl.col("kind").replace_strict(texts, return_dtype=pl.String),
        count=pl.col("count").fill_null(1).cast(pl.Int64),
    )


def _disks(given: Given) -> pl.LazyFrame:
    parts = []
    if TOLD_EVENTS in given:
        text = pl.col("message").fill_null("")
        full = (pl.col("reason") == "NodeHasDiskPressure") | text.str.contains(_DISK)
        node = pl.when(pl.col("kind") == "Node").then("name").otherwise("node")
        parts.append(
            given[TOLD_EVENTS]
            .filter(pl.col("reason").is_in(list(_DISK_REASONS)), full)
            .select(
                *("time", "source", "number"),
                who=node,
                what=pl.col("reason").replace_strict(_DISK_REASONS, return_dtype=pl.String),
            )
        )
    if KLOG_LINES in given:
        parts.append(
            given[KLOG_LINES]
            .filter(pl.col("message").str.contains(_RECLAIM), pl.col("text").str.contains(_DISK))
            .select("time", "source", "number", who="host", what=pl.lit("ran into an eviction threshold"))
        )
    # A kubelet's log and an Event name one node each in its way.
    short = pl.col("who").str.extract(r"^([a-zA-Z][^.]*)", 1)
    whole = pl.concat(parts).filter(pl.col("who").is_not_null()).with_columns(who=pl.coalesce(short, "who"))
    return whole.with_columns(one(), keys(keyed("node", pl.col("who")), keyed("resolver-node", pl.col("who"))))


def _kills(given: Given) -> pl.LazyFrame:
    """Ends by SIGKILL. The user agent of a program is mostly called as the workload that runs it."""
    parts = []
    workload = of_pod(pl.col("pod").str.splitn("/", 2).struct[1]).struct.field("workload")
    if CONTAINER_ENDS in given:
        ends = given[CONTAINER_ENDS].filter(pl.col("exit_code") == KILLED, pl.col("pod").is_not_null())
        parts.append(
            ends.select(
                *("time", "source", "number"),
                keys(keyed("pod", pl.col("pod")), keyed("agent", workload)),
                who=pl.format("a container of {}", "pod"),
                what=pl.lit("ended with exit code 137"),
            )
        )
    if KERNEL_MESSAGES in given:
        killed = given[KERNEL_MESSAGES].filter(
            pl.col("kind").is_in(["cgroup_oom", "oom_kill", "oom_chosen"]), pl.col("process").is_not_null()
        )
        parts.append(
            killed.select(
                *("time", "source", "number"),
                keys(keyed("process", pl.col("process"))),
                who=pl.format("process {} on {}", "process", pl.col("host").fill_null("a node")),
                what=pl.lit("was killed for memory"),
            )
        )
    return pl.concat(parts).with_columns(one())


def _pulls(*classes: str, kind: str, what: str, others: bool = False) -> Witness:
    def told(given: Given) -> pl.LazyFrame:
        failed = given[IMAGE_PULLS].filter(pl.col("what") == "failed")
        rows = failed.filter(pl.col("class").is_in(classes))
        if others:
            # Whoever is refused for itself meets the limit too: what the limit is told by is the others.
            refused = failed.filter(pl.col("class").is_in(DENIED)).select("image").unique()
            rows = rows.join(refused, on="image", how="anti", nulls_equal=True)
        return rows.with_columns(
            keys(keyed("node", pl.col("node")), keyed("registry", pl.col("registry")), keyed("image", pl.col("image"))),
            who=pl.format("pulls of {}", "image"),
            what=pl.lit(what),
        )

    return Witness(kind=kind, where="Events and node logs", needs=(IMAGE_PULLS,), told=told)


WITNESSES = (
    _kubelet("lease-errors", "node-status-errors"),
    # The line itself says that it was the API server that rejected.
    _kubelet("server-throttling", also=(pl.lit(API_SERVER_KEY),)),
    _kubelet("pleg"),
    Witness(kind="node-outage", where="heartbeats, Events or logs", needs=(NODE_OUTAGES,), told=_outages),
    Witness(kind="kubelet-start", where="kubelet log or Event", needs=(KUBELET_STARTS,), told=_starts),
    Witness(kind="kernel-stall", where="kernel log", needs=(KERNEL_MESSAGES,), told=_stalls),
    Witness(kind="disk-pressure", where="Events or kubelet log", needs=(TOLD_EVENTS, KLOG_LINES), told=_disks),
    Witness(kind="container-killed", where="node or kernel log", needs=(CONTAINER_ENDS, KERNEL_MESSAGES), told=_kills),
    _pulls(*DENIED, kind="pull-denied", what="were refused"),
    _pulls("quota", kind="pull-quota", what="met the registry's limit", others=True),
)
