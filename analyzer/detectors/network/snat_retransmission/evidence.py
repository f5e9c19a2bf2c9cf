"""Figures, records, tables and the course of the loss."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from analyzer.detectors.network.snat_retransmission.judge import Verdict
from analyzer.detectors.network.snat_retransmission.measure import Count, Traffic
from analyzer.facts.audit_windows import records
from analyzer.facts.proportions import wilson
from analyzer.facts.time_steps import per_step
from analyzer.model import Column, Evidence, EvidenceSeries, EvidenceTable, Figure

PEERS = 10


def impact(one: Traffic, verdict: Verdict) -> tuple[Figure, ...]:
    out, within, clash = verdict.outside, verdict.inside, verdict.clashes
    syns = one.lost.filter(pl.col("syn"), pl.col("from_client")).height
    figures: list[tuple[str, int | float, str]] = [
        ("external segments", out.segments, "segments"),
        ("external retransmissions", out.again, "segments"),
        ("external share", round(out.share, 6), "fraction"),
        ("internal segments", within.segments, "segments"),
        ("internal retransmissions", within.again, "segments"),
        ("internal share", round(within.share, 6), "fraction"),
        ("external connections", out.syns, "connections"),
        ("external connections with SYN retries", out.retried, "connections"),
        ("internal connections", within.syns, "connections"),
        ("internal connections with SYN retries", within.retried, "connections"),
        ("SYN retries", syns, "SYN packets"),
        ("seconds added", round(added(one.lost), 6), "seconds"),
        ("retransmitted bytes", int(one.lost["payload_bytes"].sum()), "bytes"),
        ("connections failed", int(one.outside["failed"].sum()), "connections"),
        ("servers affected", verdict.peers.filter(pl.col("again") > 0).height, "servers"),
    ]
    if clash.beside_retried:
        figures.append(("SYN retries beside another pod's SYN", clash.beside_retried, "connections"))
    if clash.same_port_retried:
        figures.append(("of them from the same source port", clash.same_port_retried, "connections"))
    if one.unanswered:
        figures.append(("attempts in a row without answer, left out", one.unanswered, "connections"))
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures)


def added(lost: pl.DataFrame) -> float:
    """Seconds from first transmissions to those that made up for them, what overlaps on one side counted once."""
    side = ["source", "connection", "from_client"]
    rows = lost.filter(pl.col("delay_seconds").is_not_null(), pl.col("time").is_not_null())
    end = pl.col("time").to_physical()
    spans = rows.select(*side, begin=end - (pl.col("delay_seconds") * 1e6).round().cast(pl.Int64), end=end)
    ordered = spans.sort(*side, "begin", "end")
    before = pl.col("end").cum_max().shift(1).over(side)
    return float(
        ordered.select((pl.col("end") - pl.max_horizontal("begin", before)).clip(0).sum().cast(pl.Float64) / 1e6).item()
    )


def evidence(one: Traffic, verdict: Verdict) -> Evidence:
    """Retransmissions with what they repeat, both kinds of traffic side by side, servers, schedules, the course."""
    tables = (_kinds(verdict), _servers(verdict), *_schedules(one), *_clashes(verdict))
    return Evidence(records=records(one.lost), tables=tables, series=_series(one))


def _kinds(verdict: Verdict) -> EvidenceTable:
    def row(name: str, bad: int, cases: int) -> tuple[str, int, int, float, str]:
        low, high = wilson(bad, cases)
        return name, cases, bad, round(100 * bad / cases, 3) if cases else 0.0, f"{low:.2%} to {high:.2%}"

    def rows(name: str, count: Count) -> list[tuple[str, int, int, float, str]]:
        return [
            row(f"segments {name}", *count.pair(syn=False)),
            row(f"connections {name}, by SYN", *count.pair(syn=True)),
        ]

    return EvidenceTable(
        caption="What was sent and what was sent again",
        columns=(
            *(Column(name="traffic"), Column(name="all"), Column(name="sent again")),
            *(Column(name="share", unit="%"), Column(name="95 % interval")),
        ),
        rows=tuple(
            one
            for pair in zip(rows("to the outside", verdict.outside), rows("within", verdict.inside), strict=True)
            for one in pair
        ),
    )


def _servers(verdict: Verdict) -> EvidenceTable:
    shown = verdict.peers.head(PEERS).select("server", "segments", "again", "attempt", "retried", "failed")
    return EvidenceTable(
        caption="Servers outside",
        columns=(
            Column(name="server"),
            *(Column(name="segments", unit="segments"), Column(name="sent again", unit="segments")),
            *(Column(name="connections", unit="connections"), Column(name="needed another SYN", unit="connections")),
            Column(name="never answered", unit="connections"),
        ),
        rows=tuple(shown.rows()),
    )


SCHEDULES = {
    "either": "one more, after 1 s",
    "doubling": "1, 3, 7, 15 s (Linux up to 6.4 and others)",
    "linear": "1, 2, 3, 4, 5, 7, 11 s (Linux since 6.5)",
    "other": "otherwise",
}


def _schedules(one: Traffic) -> tuple[EvidenceTable, ...]:
    found = one.outside.filter("retried").group_by("schedule").agg(pl.len())
    counts = {name: count for name, count in found.iter_rows() if name is not None}
    if not counts:
        return ()
    rows = tuple((text, counts[name]) for name, text in SCHEDULES.items() if name in counts)
    columns = (Column(name="further SYNs"), Column(name="connections", unit="connections"))
    return (EvidenceTable(caption="When SYNs to the outside were sent again", columns=columns, rows=rows),)


def _clashes(verdict: Verdict) -> tuple[EvidenceTable, ...]:
    clash = verdict.clashes
    if not clash.beside_retried:
        return ()
    return (
        EvidenceTable(
            caption="SYNs to the outside by whether another pod's went to the same server within a second",
            columns=(
                *(Column(name="SYN"), Column(name="connections", unit="connections")),
                Column(name="needed another SYN", unit="connections"),
            ),
            rows=(
                ("beside another", clash.beside, clash.beside_retried),
                ("of these from the same source port", clash.same_port, clash.same_port_retried),
                ("alone", clash.alone, clash.alone_retried),
            ),
        ),
    )


def _series(one: Traffic) -> tuple[EvidenceSeries, ...]:
    times = one.lost["time"].drop_nulls()
    if times.is_empty():
        return ()
    start: datetime = times.min()  # type: ignore[assignment]
    end: datetime = times.max()  # type: ignore[assignment]
    step, values = per_step(times, start, end)
    return (
        EvidenceSeries(
            caption="Sent again to the outside", unit="segments", start=start, step_seconds=step, values=values
        ),
    )
