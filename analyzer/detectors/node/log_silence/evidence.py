"""Figures, records and tables of a silence; streams of one emitter that fell silent together are one."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from analyzer.detectors.node.log_silence.around import Sink
from analyzer.detectors.node.log_silence.gap import Silence
from analyzer.facts.shell import piped, tshark
from analyzer.model import Column, Evidence, EvidenceSeries, EvidenceTable, Figure, Record, Saving

NOTICED = 300
"""Seconds after which an alert on missing output would have rung: what Prometheus' own example rules wait."""

MOST_PEERS, MOST_STEPS, STEP = 3, 1440, 60


def unit_of(silence: Silence) -> str:
    return "lines" if silence.kind == "log" else "packets"


def seconds(parts: list[Silence]) -> float:
    return max(one.seconds for one in parts)


def missing(parts: list[Silence]) -> float:
    return sum(one.rate * one.seconds for one in parts)


def impact(parts: list[Silence], sink: Sink) -> tuple[Figure, ...]:
    unit = unit_of(parts[0])
    figures: list[tuple[str, int | float, str]] = [
        ("seconds silent", round(seconds(parts), 6), "seconds"),
        (f"{unit} expected meanwhile", round(missing(parts)), unit),
        (f"{unit} before", sum(one.records for one in parts), unit),
        (f"{unit} per second before", round(sum(one.rate for one in parts), 6), f"{unit} per second"),
        ("longest pause before (99th percentile)", round(max(one.p99 for one in parts), 6), "seconds"),
        ("peers", max(one.peers for one in parts), "emitters"),
        ("peers that went on", max(one.speaking for one in parts), "emitters"),
    ]
    if sink.told:
        figures += [
            ("answers 429 before", sink.refused, "answers"),
            ("closed windows of the sink", sink.closed_windows, "packets"),
            ("packets without data meanwhile", sink.empty_packets, "packets"),
        ]
    return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in figures)


def saving(parts: list[Silence]) -> Saving:
    rates = [(one.rate, one.seconds) for one in parts]
    return Saving(
        fix="an alert on the shipper's output, and a restart",
        observed=round(missing(parts)),
        modelled=round(sum(rate * min(length, NOTICED) for rate, length in rates)),
        unit=unit_of(parts[0]),
        assumption=f"The silence is noticed after {NOTICED} s and ended; the emitter would have gone on as before.",
        formula="records per second before x seconds until noticed",
    )


def evidence(parts: list[Silence]) -> Evidence:
    """The last records before, the first after, and what peers said meanwhile."""
    found: dict[tuple[str, int], datetime] = {}
    for one in parts:
        for rows in (one.before.tail(2), one.resumed, _of_peers(one)):
            for source, number, time in rows.select("source", "number", "time").iter_rows():
                found[(source, number)] = time
    records = tuple(Record(source=s, number=n, time=t) for (s, n), t in sorted(found.items()))
    first = parts[0]
    others = (
        first.others.group_by("emitter")
        .agg(pl.col("records").sum(), pl.col("time").max())
        .sort("records", "emitter", descending=[True, False])
        .head(10)
        .select("emitter", "records", pl.col("time").dt.strftime("%H:%M:%S"))
    )
    unit = unit_of(first)
    tables = (
        EvidenceTable(
            caption="Streams that fell silent",
            columns=(
                Column(name="stream"),
                Column(name="last record"),
                Column(name=f"{unit} before", unit=unit),
                Column(name="silent", unit="seconds"),
            ),
            rows=tuple((one.stream, f"{one.start:%H:%M:%S}", one.records, round(one.seconds, 3)) for one in parts),
        ),
        EvidenceTable(
            caption="Peers in the second half of the silence",
            columns=(Column(name="peer"), Column(name=unit, unit=unit), Column(name="last")),
            rows=tuple(others.rows()),
        ),
    )
    return Evidence(records=records, tables=tables, series=(_per_minute(parts),))


def _of_peers(silence: Silence) -> pl.DataFrame:
    """The last record of some peers."""
    return silence.others.unique("emitter", keep="last", maintain_order=True).sort("emitter").head(MOST_PEERS)


def _per_minute(parts: list[Silence]) -> EvidenceSeries:
    """Records of the emitter in each step, from an hour before the silence to its end."""
    end = max(one.end for one in parts)
    first: datetime = min(one.before["time"][0] for one in parts)
    begin = min(one.start for one in parts)
    start = max(first, begin - max(timedelta(hours=1), end - begin)).replace(second=0, microsecond=0)
    step = max(STEP, -(-int((end - start).total_seconds()) // MOST_STEPS))
    rows = pl.concat([one.before.select("time", "records") for one in parts]).filter(pl.col("time") >= start)
    at = (pl.col("time") - start).dt.total_seconds() // step
    sums = dict(rows.group_by(at.alias("at")).agg(pl.col("records").sum()).iter_rows())
    bins = int((end - start).total_seconds()) // step + 1
    values = tuple(round(sums.get(i, 0) / step, 4) for i in range(bins))
    unit = f"{unit_of(parts[0])} per second"
    return EvidenceSeries(caption="Records", unit=unit, start=start, step_seconds=step, values=values)


def verify(parts: list[Silence]) -> tuple[str, ...]:
    first = parts[0]
    source = first.before["source"][-1]
    if first.kind == "flow":
        shown = f"ip.addr == {first.emitter} && tcp.port == {first.port} && tcp.len > 1"
        if ":" in first.emitter:
            shown = shown.replace("ip.addr", "ipv6.addr")
        line = f"{tshark(source)} -Y '{shown}' -T fields -e frame.time | tail -1"
    else:
        line = f"{piped(source)} | sed -n '{first.before['number'][-1]},+3p'   # the last line before"
    return (
        line,
        "kubectl -n logging get pods -o wide; kubectl -n logging logs POD --since=1h | tail",
        "curl -s http://POD:2020/api/v1/metrics   # fluent-bit: proc_records of the output stand still",
    )
