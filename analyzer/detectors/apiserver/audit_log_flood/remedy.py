"""What to do about a flood, what else would help, and what a steady volume deserves to be told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from analyzer.detector import Remark
from analyzer.detectors.apiserver.audit_log_flood.evidence import per_day
from analyzer.detectors.apiserver.audit_log_flood.measure import Flood
from analyzer.detectors.apiserver.audit_log_flood.policy import HOT, PART, READS, Rule, advised, replayed, text
from analyzer.facts.audit_windows import once
from analyzer.facts.shell import piped
from analyzer.model import Remedy, Saving

RECEIVED = "RequestReceived"
WORTH_SAYING = 0.1
"""Share of the log's bytes from which leaving RequestReceived out is worth a remark."""

GENERAL = (
    Remedy(
        text="Give kube-apiserver a policy (--audit-policy-file) that leaves out RequestReceived, leases, events and "
        "health checks and keeps bodies only where you need them.",
        snippet=text(advised()),
    ),
    Remedy(
        text="Stop the loop at its writer: a controller that updates the same object without a change needs a "
        "comparison before the write and a back-off after a conflict."
    ),
)


def remedies(policy: str) -> tuple[Remedy, ...]:
    """The general remedies, the first with the generated policy."""
    return (Remedy(text=GENERAL[0].text, snippet=policy), *GENERAL[1:])


def hot_resources(rows: pl.LazyFrame, flood: Flood) -> list[tuple[str, str]]:
    """(group, resource as a policy names it) of the writer that hold bodies worth naming, largest first."""
    bodies = pl.col("request_body_bytes") + pl.col("response_body_bytes")
    own = (
        rows.filter((pl.col("user") == flood.user) & pl.col("resource").is_not_null())
        .group_by(pl.col("api_group").fill_null("").alias("group"), PART.alias("resource"))
        .agg(pl.col("event_bytes").sum().alias("bytes"), bodies.sum().alias("bodies"))
        .sort(["bytes", "group", "resource"], descending=[True, False, False])
        .collect()
    )
    hot = own.filter((pl.col("bodies") > 0) & (pl.col("bytes") >= HOT * pl.col("bytes").sum()))
    return [(group, resource) for group, resource in hot.select("group", "resource").rows()]


def saving(flood: Flood, observed: int, kept: int) -> Saving:
    """What the policy would have left of the log."""
    before, after = (per_day(size, flood.seconds) for size in (observed, kept))
    return Saving(
        fix="the generated audit policy",
        observed=observed,
        modelled=kept,
        unit="bytes",
        assumption=f"Same requests, the policy for all users: {before:.3g} GiB a day become {after:.3g}.",
        formula="each record falls under the first rule it fits; level None and RequestReceived leave nothing, "
        "Metadata leaves the record without requestObject and responseObject",
    )


def reads(rows: pl.LazyFrame, flood: Flood, policy: Sequence[Rule], kept: int) -> tuple[Saving, ...]:
    """Not logging the writer's reads at all, where that would save a tenth of what the policy leaves."""
    unread = Rule(
        "None: the writer's reads",
        "",
        (pl.col("user") == flood.user) & pl.col("verb").is_in(READS) & (pl.col("stage") != RECEIVED),
        False,
        "what this writer read",
    )
    left = int(replayed(rows, (policy[0], unread, *policy[1:]))["after"].sum())
    if kept - left < WORTH_SAYING * kept:
        return ()
    return (
        Saving(
            fix="the generated audit policy, and level None for the writer's get, list and watch",
            observed=kept,
            modelled=left,
            unit="bytes",
            assumption="Same requests; nobody could tell any more what this writer read.",
            formula="as the policy, with one rule before its first",
        ),
    )


def verify(rows: pl.LazyFrame) -> tuple[str, ...]:
    """Commands that show the same without this tool, on the log and on the cluster."""
    [source] = rows.select(pl.col("source").min()).collect()["source"]
    fields = "[.user.username,.verb,.objectRef.resource,.level,.stage]"
    return (
        f"{piped(source)} | jq -r '{fields} | @tsv' | sort | uniq -c | sort -rn | head",
        "kubectl get --raw /metrics | grep -E 'apiserver_audit_(event_total|level_total)'",
    )


def steady(events: pl.LazyFrame) -> Iterator[Remark]:
    """What a log without a flood could do without, measured by replaying a policy on it."""
    received = pl.col("stage") == RECEIVED
    size, spared, first, last, truncated = (
        events.select(
            pl.col("event_bytes").sum(),
            pl.col("event_bytes").filter(received).sum().alias("spared"),
            pl.col("written").min().alias("first"),
            pl.col("written").max().alias("last"),
            pl.col("truncated").sum(),
        )
        .collect()
        .row(0)
    )
    seconds = (last - first).total_seconds() if first is not None else 0.0
    if size and spared >= WORTH_SAYING * size:
        volume = f" of {per_day(size, seconds):.3g} GiB a day" if seconds >= 1 else ""
        yield Remark(
            f"Stage RequestReceived is {spared / size:.0%} of the audit log's bytes{volume}: "
            "`omitStages: [RequestReceived]` in the policy would leave it out."
        )
    if size:
        yield from _advice(events, size, seconds)
    if truncated:
        yield Remark(f"{truncated:,} audit records were truncated by the server (audit.k8s.io/truncated).")


def _advice(events: pl.LazyFrame, size: int, seconds: float) -> Iterator[Remark]:
    """The whole policy, where its rules between the stage and the rest save a tenth."""
    policy = advised()
    replay = replayed(once(events), policy)
    parts = [(policy[at].name, before - after) for at, _, before, after in replay.rows() if before > after]
    observed, kept = int(replay["before"].sum()), int(replay["after"].sum())
    further = sum(saved for name, saved in parts if name not in (policy[0].name, policy[-1].name))
    if further < WORTH_SAYING * size:
        return
    rate = f", {per_day(kept, seconds):.3g} of {per_day(observed, seconds):.3g} GiB a day" if seconds >= 1 else ""
    each = "; ".join(f"{name} {saved:,}" for name, saved in sorted(parts, key=lambda part: -part[1]))
    yield Remark(
        f"No flood, but the general policy would leave {kept:,} of {observed:,} bytes{rate}. Bytes that each rule (its "
        f"level: what it is about) saves, replayed on these records: {each}. Where your policy has level Metadata, "
        "keep that."
    )
