"""Tables that a reader can check: both kinds of traffic, servers, schedules of SYNs, ports that clash."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.network.snat_retransmission.judge import Verdict
from analyzer.detectors.network.snat_retransmission.measure import Count, Traffic
from analyzer.facts.proportions import wilson
from analyzer.model import Column, EvidenceTable

PEERS = 10


def kinds(verdict: Verdict) -> EvidenceTable:
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


def servers(verdict: Verdict) -> EvidenceTable:
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


def schedules(one: Traffic) -> tuple[EvidenceTable, ...]:
    found = one.outside.filter("retried").group_by("schedule").agg(pl.len())
    counts = {name: count for name, count in found.iter_rows() if name is not None}
    if not counts:
        return ()
    rows = tuple((text, counts[name]) for name, text in SCHEDULES.items() if name in counts)
    columns = (Column(name="further SYNs"), Column(name="connections", unit="connections"))
    return (EvidenceTable(caption="When SYNs to the outside were sent again", columns=columns, rows=rows),)


def clashes(verdict: Verdict) -> tuple[EvidenceTable, ...]:
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


def both_sides(verdict: Verdict) -> tuple[EvidenceTable, ...]:
    sides = verdict.sides
    if not sides.stayed + sides.left:
        return ()
    return (
        EvidenceTable(
            caption="Lost SYNs, looked for behind the address translation by their sequence number",
            columns=(Column(name="lost SYN"), Column(name="SYN packets", unit="SYN packets"), Column(name="capture")),
            rows=(
                ("never left the node", sides.stayed, sides.source),
                ("left the node and was lost behind it", sides.left, sides.source),
            ),
        ),
    )
