"""klog: the logs of kubelet, kube-apiserver, scheduler, controllers and all else that logs with k8s.io/klog.

Text (`I1121 22:47:00.621104   24706 kubelet.go:2406] "SyncLoop ADD" source="api" pods=["default/p0"]`) and JSON
(`--logging-format=json`), bare or in a journal, syslog or a container runtime's file. A text header has neither year
nor zone: where the wrapper has a full time they are taken from it, line by line; else the year comes from
`analyzer.sources.yearless` and the zone from the options. Lines are not signed: whoever may write a line of text into
a message could forge an entry in the formats before klog quoted values.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.frames import KLOG_LINES, TIME
from analyzer.sources.contract import Batch, ByteStream, Item, Ledger, Match, ReadOptions, Source
from analyzer.sources.klogentries import HEADER, JSON_HEADER, Entries
from analyzer.sources.klogfields import json_fields, text_fields
from analyzer.sources.klogwriters import Writers
from analyzer.sources.lines import quote_lines
from analyzer.sources.wrappers import Unwrapper, head_texts, wrapped_windows
from analyzer.sources.yearless import YearlessClock

_COREDNS = r"^\[(?:INFO|ERROR|WARNING)\] |^CoreDNS-[0-9]"


def identify(head: bytes) -> Match | None:
    """By klog headers among the first lines; a journal may hold many lines of others."""
    texts = head_texts(head)
    if not texts.len():
        return None
    headers = int((texts.str.contains(HEADER) | texts.str.contains(JSON_HEADER)).sum())
    preamble = int(texts.str.contains(r"^Log file created at: |^Log line format: \[IWEF\]").sum())
    share = headers / texts.len()
    reason = f"{headers} of the first {texts.len()} lines begin like klog entries"
    if texts.str.contains(_COREDNS).any() or not headers + preamble:
        return Match(0.1, reason) if headers else None
    if share >= 0.2 or preamble == 2:
        return Match(0.9, reason)
    return Match(0.5 if headers >= 3 else 0.2, reason)


def read(stream: ByteStream, item: Item, options: ReadOptions, ledger: Ledger) -> Iterator[Batch]:
    """Batches of KLOG_LINES, one row per entry; continuation lines belong to the entry before them.

    Lines of others are skipped as `not-a-record`, what looks like a header and is none as `malformed line`. The year,
    the zone and every turn of the clock are notes.
    """
    clock = YearlessClock(item, options, ledger, "klog")
    wrapper, parts = wrapped_windows(stream, ledger)
    unwrapper, entries, writers = Unwrapper(wrapper, ledger, markers=True), Entries(ledger, clock), Writers(item)
    reader = _Reader(item, ledger, clock, writers, stamped=wrapper.stamped)
    for window in parts:
        yield from reader.batches(entries.feed(unwrapper.feed(window)))
    if (rest := unwrapper.rest()) is not None:
        yield from reader.batches(entries.feed(rest))
    yield from reader.batches(entries.rest())


class _Reader:
    """Takes entries apart and places them in time."""

    def __init__(self, item: Item, ledger: Ledger, clock: YearlessClock, writers: Writers, *, stamped: bool) -> None:
        self._item, self._ledger, self._clock, self._writers = item, ledger, clock, writers
        self._stamped = stamped

    def batches(self, entries: pl.DataFrame) -> Iterator[Batch]:
        json = entries["text"].str.starts_with("{")
        made = [
            read(part)
            for read, part in ((self._text, entries.filter(~json)), (self._json, entries.filter(json)))
            if part.height
        ]
        if any(part.height for part in made):
            rows = pl.concat(made).sort("number")
            self._ledger.use(rows.height)
            self._ledger.span(rows["time"].min(), rows["time"].max())  # type: ignore[arg-type]  # untyped by polars
            yield {KLOG_LINES: KLOG_LINES.check(rows.lazy()).collect()}

    def _text(self, entries: pl.DataFrame) -> pl.DataFrame:
        fields = text_fields(entries)
        dated = fields["clock"].is_not_null()
        if not dated.all():
            wrong = entries.filter(~dated)["number"]
            self._ledger.skip("malformed line", wrong.head(3).to_list(), wrong.len())
            entries, fields = entries.filter(dated), fields.filter(dated)
        if self._stamped:
            self._clock.compare(entries["stamp"], fields["clock"])
        time = self._clock.beside(entries["time"], fields["clock"], entries["number"])
        return self._rows(entries, fields.with_columns(time.alias("time")))

    def _json(self, entries: pl.DataFrame) -> pl.DataFrame:
        fields, whole = json_fields(entries)
        lost = entries.filter(~whole)
        cut = lost.filter("open").height
        if cut:
            self._ledger.tail()
        bad = lost.filter(~pl.col("open"))["number"]
        self._ledger.skip("malformed line", bad.head(3).to_list(), bad.len())
        return self._rows(entries.filter(whole), fields.filter(whole))

    def _rows(self, entries: pl.DataFrame, fields: pl.DataFrame) -> pl.DataFrame:
        component = self._writers.name(entries["component"], fields)
        return pl.concat([entries.select("number", "host"), fields], how="horizontal").select(
            pl.col("time").cast(TIME),
            pl.lit(self._item.id).alias("source"),
            "number",
            "host",
            component.alias("component"),
            *(name for name in KLOG_LINES.schema if name in fields.columns and name != "time"),
        )


SOURCE = Source(
    name="kubelet",
    title="klog of a kubelet or another component",
    tables=(KLOG_LINES,),
    identify=identify,
    read=read,
    quote=quote_lines,
    needs_dates=True,
)
