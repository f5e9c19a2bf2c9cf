"""Why an agent lists so much, how bad it is, how sure that is, and what its lists would be without."""

from __future__ import annotations

import polars as pl
from msgspec import Struct

from analyzer.detectors.apiserver.watch_list_amplification.deaths import Deaths
from analyzer.detectors.apiserver.watch_list_amplification.patterns import Pattern
from analyzer.facts.contract import Frames
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.model import Confidence, Saving, Severity

HALF = 0.5
TENTH = 0.1
MANY_PER_MINUTE = 60
"""Lists a minute from which they are not low: one a second."""

DAEMON_SET = 0.8
"""Share of the known nodes from which an agent is taken to run on every node."""

POLL, LOOP, WHOLE, OOM, EXPIRED = "poll", "lists-again", "cluster-wide-pods", "relist-after-oom", "relist-after-410"


class Setting(Struct, frozen=True):
    """What the log tells of the cluster meanwhile: its nodes, and the seconds that the server spent on requests."""

    nodes: int
    seconds: float


def setting(frames: Frames, pattern: Pattern) -> Setting:
    inside = pl.col("time").is_between(pattern.rows["time"][0], pattern.rows["time"][-1])
    nodes, seconds = (
        frames[AUDIT_REQUESTS]
        .select(
            pl.col("client_node").drop_nulls().n_unique().alias("nodes"),
            pl.col("latency_seconds").filter(inside).sum(),
        )
        .collect()
        .row(0)
    )
    return Setting(int(nodes), float(seconds or 0.0))


def variant(pattern: Pattern, deaths: Deaths) -> str:
    lists = pattern.lists
    if deaths.oom and not pattern.regular:
        return OOM
    if 2 * lists.filter("again", "expired").height > lists.filter("again").height:
        return EXPIRED
    if not pattern.polls:
        return WHOLE
    return POLL if pattern.regular else LOOP


def stories(pattern: Pattern, deaths: Deaths, around: Setting) -> tuple[int, ...]:
    """Those that it is like: whole lists of pods (9), after deaths (10), of services by the clock (36), of an agent on
    every node (40)."""
    resources = set(pattern.lists["resource"])
    like = {
        9: "pods" in resources,
        10: deaths.seen,
        36: bool({"services", "endpoints", "endpointslices"} & resources) and pattern.regular,
        40: pattern.clients >= DAEMON_SET * around.nodes > 0,
    }
    return tuple(number for number, found in like.items() if found)


def severity(pattern: Pattern, deaths: Deaths, around: Setting) -> Severity:
    """By what it did: deaths, rejections or half of the server's time are high, a tenth or one list a second medium."""
    spent = float(pattern.rows["latency_seconds"].sum())
    share = spent / around.seconds if around.seconds > 0 else 0.0
    if deaths.oom or pattern.lists["throttled"].any() or share >= HALF:
        return Severity.HIGH
    busy = share >= TENTH or pattern.lists.height / pattern.seconds * 60 >= MANY_PER_MINUTE
    return Severity.MEDIUM if busy else Severity.LOW


def confidence(pattern: Pattern, deaths: Deaths, clients: int) -> tuple[Confidence, str]:
    """Two kinds of logs that agree are high, one is medium, and a rate without clients to tell apart is low."""
    told = []
    if deaths.oom:
        told.append(f"the kernel killed it {deaths.oom:,} times for memory")
    if deaths.died:
        told.append(f"kubelets saw its containers die {deaths.died:,} times")
    if told:
        return Confidence.HIGH, "the audit log tells of its lists, and " + " and ".join(told)
    if pattern.clients < clients:
        return Confidence.LOW, f"the rate decides: {pattern.clients:,} clients can be told apart, not {clients:,}"
    clock = f", every {pattern.period:.3g} s by the clock" if pattern.regular and pattern.period else ""
    return Confidence.MEDIUM, f"the audit log alone tells it: {pattern.clients:,} clients do the same{clock}"


def saving(pattern: Pattern) -> Saving:
    """One informer for each client: what is left are first lists, those after a start, after 410, and rare ones."""
    lists = pattern.lists
    if not pattern.polls:
        return agent_for_all(pattern)
    needed = lists.filter("begins", ~pl.col("again") | pl.col("expired")).height
    return Saving(
        fix="one informer in each client: list once, then watch",
        observed=lists.height,
        modelled=max(needed, 1),
        unit="lists",
        assumption="Same clients and the same starts of the server; a rejected list would have been served, for the "
        "polls were what filled the server.",
        formula="lists wanted, less those for which the same client had the same answer within the time of a watch",
    )


def agent_for_all(pattern: Pattern) -> Saving:
    kinds = pattern.lists.select("resource", "api_group").n_unique()
    return Saving(
        fix="one agent for the cluster that lists once and tells the others",
        observed=pattern.lists.height,
        modelled=kinds,
        unit="lists",
        assumption="The agents of the nodes ask that one; a start of it would cost one list of each resource.",
        formula="one list of each resource that is listed now",
    )


def alternatives(pattern: Pattern, around: Setting) -> tuple[Saving, ...]:
    found = [agent_for_all(pattern)] if pattern.polls else []
    free = pattern.rows.filter(pl.col("resource") == "pods", ~pl.col("selected"), pl.col("items") > 0)
    if free.height and around.nodes > 1:
        items = int(free["items"].sum())
        found.append(
            Saving(
                fix="fieldSelector=spec.nodeName on the lists of pods",
                observed=items,
                modelled=round(items / around.nodes),
                unit="objects",
                assumption=f"Pods are spread evenly over the {around.nodes:,} nodes that the log names.",
                formula="objects in the answers of lists of all pods, divided by the nodes",
            )
        )
    return tuple(found)
