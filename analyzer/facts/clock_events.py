"""Moments that two inputs both tell of, each with a key that is the same in both: what clocks are compared by."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from analyzer.facts.contract import Frames
from analyzer.facts.klog_values import name, names, value
from analyzer.facts.neighbours import hashed
from analyzer.frames import AUDIT_EVENTS, COREDNS_QUERIES, DNS_MESSAGES, KLOG_LINES, KUBE_EVENTS, PACKETS, TIME

EVENTS = pl.Schema(
    {
        "time": TIME,
        "source": pl.String(),
        "host": pl.String(),
        "number": pl.Int64(),
        "rank": pl.Int8(),
        "matched_by": pl.String(),
        "grain": pl.Float64(),
        "key": pl.UInt64(),
    }
)
"""`host`: whose lines they are, where a log names it, else empty. `rank`: whose clock is believed, the least first.
`grain`: seconds that the time may be wrong by its own writing."""

CAPTURE, AUDIT, COREDNS, EVENT, KLOG = range(5)
"""Ranks. What writes its zone stands before what does not; audit logs are written by one clock for all nodes."""

ENOUGH = 200_000
"""Keys of one table that are looked at: where there are more, every n-th by its transaction id or sequence number, the
same in all inputs, so that memory stays bounded [an engineering default; a median needs far fewer]."""

DNS = "DNS queries"
SYN = "TCP SYNs"
PODS = "turns of pods"

_SYN, _SYN_MASK = 0x02, 0x17
_QUERY = ["client", "client_port", "dns_id", "name", "qtype"]
_GOOD = 300

_LOOPS = {"SyncLoop ADD": "add", "SyncLoop DELETE": "delete", "SyncLoop REMOVE": "remove"}
_OLD_LOOP = r'^SyncLoop \((ADD|DELETE|REMOVE), "api"\)'
"""kubernetes pkg/kubelet/kubelet.go, syncLoopIteration, V(2); the second form up to 1.20."""

_WRITTEN = r"^Status for pod .*updated successfully"
"""pkg/kubelet/status/status_manager.go, syncPod, V(3), of every version since 1.13: once per write that the API server
took. `Patch status for pod` before it is also written where nothing changed and nothing was sent."""

_KILLING = ("Killing container with a grace period", "Killing container with a grace period override")

_HALF = 0.5
"""An Event's time is cut to seconds (metav1.Time): on average it happened half a second later, within half a second."""


def clock_events(frames: Frames) -> pl.DataFrame:
    """All of them, of EVENTS; empty where no two inputs can have something in common."""
    parts = [_dns(frames), _syns(frames), _pods(frames)]
    return pl.concat([pl.DataFrame(schema=EVENTS), *(part for part in parts if part is not None)])


def _inputs(*tables: pl.LazyFrame) -> int:
    named = [table.select(pl.col("source").unique()) for table in tables]
    return pl.concat(named).unique().collect().height if named else 0


def _thin(frame: pl.LazyFrame, number: pl.Expr) -> pl.LazyFrame:
    """The frame, of many rows only every n-th by a number that all inputs tell alike."""
    height = frame.select(pl.len()).collect().item()
    step = -(-height // ENOUGH)
    return frame.filter(number % step == 0) if step > 1 else frame


def _dns(frames: Frames) -> pl.DataFrame | None:
    """Queries as they are asked: in a capture by the packet, in CoreDNS's log at the line less the duration."""
    seen = [frames[table] for table in (DNS_MESSAGES, COREDNS_QUERIES) if table in frames]
    if _inputs(*seen) < 2:
        return None
    number = pl.col("dns_id") + pl.col("client_port")
    known = pl.col("dns_id").is_not_null() & pl.col("client_port").is_not_null() & pl.col("time").is_not_null()
    parts: list[pl.DataFrame] = []
    if DNS_MESSAGES in frames:
        asked = frames[DNS_MESSAGES].filter(
            pl.col("protocol") == "dns", ~pl.col("response"), ~pl.col("duplicate").fill_null(False)
        )
        told = asked.rename({"src": "client", "src_port": "client_port"}).filter(known)
        parts.append(_shaped(_thin(told, number), CAPTURE, DNS, hashed(_QUERY)))
    if COREDNS_QUERIES in frames:
        logged = frames[COREDNS_QUERIES].with_columns(time="query_time").filter(known)
        parts.append(_shaped(_thin(logged, number), COREDNS, DNS, hashed(_QUERY)))
    return pl.concat(parts)


def _syns(frames: Frames) -> pl.DataFrame | None:
    if PACKETS not in frames or _inputs(frames[PACKETS]) < 2:
        return None
    flags = pl.col("tcp_flags").fill_null(0) & _SYN_MASK
    syns = frames[PACKETS].filter(flags == _SYN, ~pl.col("duplicate").fill_null(False), pl.col("time").is_not_null())
    return _shaped(_thin(syns, pl.col("seq")), CAPTURE, SYN, hashed(["src", "src_port", "dst", "dst_port", "seq"]))


def _pods(frames: Frames) -> pl.DataFrame | None:
    """What a kubelet does of pods when the API server has written it, and what Events tell of the same."""
    if KLOG_LINES not in frames or not (AUDIT_EVENTS in frames or KUBE_EVENTS in frames):
        return None
    parts: list[pl.DataFrame] = []
    own = [*_loops(frames[KLOG_LINES]), _killings(frames[KLOG_LINES])]
    told = pl.concat(own).filter(pl.col("time").is_not_null(), pl.col("pod").is_not_null())
    key = hashed(["pod", "what"])
    parts.append(_shaped(told, KLOG, PODS, key))
    if AUDIT_EVENTS in frames:
        parts.append(_shaped(_numbered(_requests(frames[AUDIT_EVENTS])), AUDIT, PODS, key))
    if KUBE_EVENTS in frames:
        audited = frames[AUDIT_EVENTS].select("source").unique() if AUDIT_EVENTS in frames else None
        # A body in an audit log has the clock of whoever sent it, not that of the log.
        events = frames[KUBE_EVENTS] if audited is None else frames[KUBE_EVENTS].join(audited, on="source", how="anti")
        parts.append(_events(events, key))
    return pl.concat(parts)


def _loops(lines: pl.LazyFrame) -> list[pl.LazyFrame]:
    """The kubelet's sync loop and its status writes: time, source, host, number, pod, what."""
    message, place = pl.col("message"), ["time", "source", "host", "number", "pod", "what"]
    new = lines.filter(message.is_in(list(_LOOPS))).with_columns(
        pods=names("pods"), what=message.replace_strict(_LOOPS, default=None, return_dtype=pl.String)
    )
    # At its start a kubelet is given all its pods in one line: that is not when they were placed.
    one = new.filter(value("source") == "api", pl.col("pods").list.len() == 1)
    one = one.with_columns(pod=pl.col("pods").list.first())
    old = lines.filter(message.str.contains(_OLD_LOOP)).with_columns(
        what=message.str.extract(_OLD_LOOP, 1).str.to_lowercase()
    )
    written = lines.filter(message.str.contains(_WRITTEN)).with_columns(
        pod=pl.coalesce(pl.col("pod"), name("pod")), what=pl.lit("status")
    )
    return [one.select(place), old.select(place), _numbered(written).select(place)]


def _killings(lines: pl.LazyFrame) -> pl.LazyFrame:
    killing = lines.filter(pl.col("message").is_in(_KILLING))
    what = pl.lit("killing ") + value("containerName")
    return killing.select(
        "time", "source", "host", "number", pl.coalesce(pl.col("pod"), name("pod")).alias("pod"), what=what
    )


def _requests(events: pl.LazyFrame) -> pl.LazyFrame:
    """Writes to pods when they were answered. The kubelet sees a pod when it is bound, a first deletion as DELETE, and
    the one that it asks for itself as REMOVE."""
    pods = events.filter(
        pl.col("stage") == "ResponseComplete",
        pl.col("resource") == "pods",
        pl.col("code") < _GOOD,
        pl.col("stage_time").is_not_null(),
    )
    verb, sub, kubelet = pl.col("verb"), pl.col("subresource").fill_null(""), pl.col("node").is_not_null()
    what = (
        pl.when((verb == "create") & (sub == "binding"))
        .then(pl.lit("add"))
        .when((verb == "create") & (sub == "eviction"))
        .then(pl.lit("delete"))
        .when((verb == "delete") & (sub == ""))
        .then(pl.when(kubelet).then(pl.lit("remove")).otherwise(pl.lit("delete")))
        .when(kubelet & (sub == "status") & verb.is_in(["patch", "update"]))
        .then(pl.lit("status"))
    )
    pod = pl.col("namespace") + "/" + pl.col("name")
    told = pods.select("source", "number", time="stage_time", pod=pod, what=what)
    return told.filter(pl.col("what").is_not_null(), pl.col("pod").is_not_null())


def _numbered(told: pl.LazyFrame) -> pl.LazyFrame:
    """Writes of a status are told apart by their place among all of their pod: they are the same where both inputs
    hold equally many."""
    group = ["pod", "what"]
    nth, count = (part.over(group).cast(pl.String) for part in (pl.int_range(pl.len()), pl.len()))
    place = pl.lit("status ") + nth + pl.lit(" of ") + count
    ordered = told.sort("time", "source", "number", nulls_last=True)
    return ordered.with_columns(what=pl.when(pl.col("what") == "status").then(place).otherwise("what"))


def _events(events: pl.LazyFrame, key: pl.Expr) -> pl.DataFrame:
    """Events of pods that stand for one occurrence; those of the scheduler come with the binding."""
    container = pl.col("field_path").str.extract(r"^spec\.containers\{([^}]+)\}$", 1)
    reason = pl.col("reason")
    what = (
        pl.when(reason == "Scheduled")
        .then(pl.lit("add"))
        .when((reason == "Killing") & (pl.col("component") == "kubelet"))
        .then(pl.lit("killing ") + container)
    )
    whole = pl.col("time").dt.microsecond() == 0
    told = events.filter(
        pl.col("kind") == "Pod", pl.col("count").fill_null(1) <= 1, pl.col("time").is_not_null()
    ).with_columns(pod=pl.col("namespace") + "/" + pl.col("name"), what=what)
    told = told.filter(pl.col("what").is_not_null(), pl.col("pod").is_not_null()).with_columns(
        grain=pl.when(whole).then(_HALF).otherwise(0.0),
        time=pl.when(whole).then(pl.col("time") + timedelta(seconds=_HALF)).otherwise("time"),
    )
    return _shaped(told, EVENT, PODS, key)


def _shaped(frame: pl.LazyFrame, rank: int, matched_by: str, key: pl.Expr) -> pl.DataFrame:
    names = frame.collect_schema()
    grain = pl.col("grain") if "grain" in names else pl.lit(0.0)
    return (
        frame.select(
            "time",
            "source",
            "number",
            host=pl.col("host").fill_null("") if rank == KLOG else pl.lit(""),
            rank=pl.lit(rank, pl.Int8),
            matched_by=pl.lit(matched_by),
            grain=grain,
            key=key,
        )
        .select(list(EVENTS))
        .collect()
    )
