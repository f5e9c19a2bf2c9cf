"""Figures, records, tables and the course of the loss."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from analyzer.detectors.network.snat_retransmission.judge import Verdict
from analyzer.detectors.network.snat_retransmission.measure import Count, Traffic
from analyzer.detectors.network.snat_retransmission.tables import both_sides, clashes, kinds, schedules, servers
from analyzer.facts.audit_windows import counted, records
from analyzer.facts.time_steps import per_step
from analyzer.model import Evidence, EvidenceSeries, Figure


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
    if verdict.sides.stayed + verdict.sides.left:
        figures.append(("lost SYNs that never left the node", verdict.sides.stayed, "SYN packets"))
        figures.append(("lost SYNs that left the node", verdict.sides.left, "SYN packets"))
    main = "external share" if verdict.segments else "external connections with SYN retries"
    figures.sort(key=lambda figure: figure[0] != main)  # by the first two results are compared: more traffic is no loss
    if one.unanswered:
        figures.append(("attempts in a row without answer, left out", one.unanswered, "connections"))
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures)


def retried(out: Count) -> str:
    """Nothing of SYNs where the capture holds the beginning of no connection."""
    if not out.syns:
        return ""
    return f", and {out.retried:,} of {counted(out.syns, 'connection')} needed another SYN"


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
    tables = (kinds(verdict), servers(verdict), *schedules(one), *clashes(verdict), *both_sides(verdict))
    return Evidence(records=records(one.lost), tables=tables, series=_series(one))


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
