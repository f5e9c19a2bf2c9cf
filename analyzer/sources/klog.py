"""klog: the logs of kubelet, kube-apiserver, scheduler, controllers and all else that logs with k8s.io/klog.

Text (`I1121 22:47:00.621104   24706 kubelet.go:2406] "SyncLoop ADD" source="api" pods=["default/p0"]`) and JSON
(`--logging-format=json`), bare or in a journal, syslog or a container runtime's file. A journal holds more writers
than one: what the kernel, the container runtime and systemd (of their units) wrote into it goes into their tables, so
that no line of a node's journal is lost for having another kind. A text header has neither year
nor zone: where the wrapper has a full time they are taken from it, line by line; else the year comes from
`analyzer.sources.yearless` and the zone from the options. Lines are not signed: whoever may write a line of text into
a message could forge an entry in the formats before klog quoted values.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import polars as pl

from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES, RUNTIME_MESSAGES, TIME, UNIT_MESSAGES
from analyzer.sources import kernellines, runtimelines, unitlines
from analyzer.sources.contract import Batch, ByteStream, Item, Ledger, Match, ReadOptions, Source
from analyzer.sources.kernelclock import KernelRows
from analyzer.sources.klogentries import JSON_HEADER, Entries
from analyzer.sources.klogfields import json_fields, text_fields
from analyzer.sources.klogheads import HEADER
from analyzer.sources.klogwriters import Writers, host_in_name
from analyzer.sources.lines import quote_lines
from analyzer.sources.runtimelines import RuntimeRows
from analyzer.sources.suppressions import Suppressions
from analyzer.sources.wrappers import Unwrapper, head_lines, wrapped_windows
from analyzer.sources.yearless import YearlessClock

_LOOKED_AT = 200
"""Lines of the first bytes that decide."""

_COREDNS = r"^\[(?:INFO|ERROR|WARNING)\] |^CoreDNS-[0-9]"


def identify(head: bytes) -> Match | None:
    """By klog headers among the first lines; a journal may hold many lines of others, of which those that are read
    here too do not count."""
    lines = head_lines(head)[1].head(_LOOKED_AT)
    texts = lines["text"]
    if not texts.len():
        return None
    rest, *_ = split(lines)
    headers = int((texts.str.contains(HEADER) | texts.str.contains(JSON_HEADER)).sum())
    preamble = int(texts.str.contains(r"^Log file created at: |^Log line format: \[IWEF\]").sum())
    share = headers / max(1, rest.height)
    reason = f"{headers} of the first {texts.len()} lines begin like klog entries"
    if texts.str.contains(_COREDNS).any() or not headers + preamble:
        return Match(0.1, reason) if headers else None
    if share >= 0.2 or preamble == 2:
        return Match(0.9, reason)
    return Match(0.5 if headers >= 3 else 0.2, reason)


def read(stream: ByteStream, item: Item, options: ReadOptions, ledger: Ledger) -> Iterator[Batch]:
    """Batches of KLOG_LINES, one row per entry; continuation lines belong to the entry before them. Also batches of
    KERNEL_MESSAGES, RUNTIME_MESSAGES and UNIT_MESSAGES where the prefix of a line names their writers.

    Lines of others are skipped as `not-a-record`, what looks like a header and is none as `malformed line`. The year,
    the zone and every turn of the clock are notes.
    """
    others = _Others(item, options, ledger)
    clock = _Hinted(item, options, ledger, others.clock)
    wrapper, parts = wrapped_windows(stream, ledger)
    unwrapper, writers = Unwrapper(wrapper, ledger, markers=True), Writers(item, ledger)
    entries = Entries(ledger, clock, host_in_name(item.file_name))
    reader = _Reader(item, ledger, clock, writers, stamped=wrapper.stamped)

    def feed(lines: pl.DataFrame) -> Iterator[Batch]:
        said = pl.concat([lines, *unwrapper.folded()])
        rest, of_kernel, of_runtime, of_units = split(lines)
        yield from reader.batches(entries.feed(rest))  # the header of a journal, which tells the year, is among them
        yield from others.batches(of_kernel, of_runtime, of_units, said)

    for window in parts:
        yield from feed(unwrapper.feed(window))
    if (last := unwrapper.rest()) is not None:
        yield from feed(last)
    yield from reader.batches(entries.rest())
    others.tell()


def split(lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Unwrapped lines as those that may be klog's, the kernel's, a container runtime's, and systemd's about units; each
    is in one of them."""
    if lines["component"].null_count() == lines.height:
        return lines, lines.clear(), lines.clear(), unitlines.told(lines.clear())
    of_kernel, rest = kernellines.take(lines)
    of_runtime, rest = runtimelines.take(rest)
    of_units, rest = unitlines.take(rest)
    return rest, of_kernel, of_runtime, of_units


class _Others:
    """The lines of other writers in a journal."""

    def __init__(self, item: Item, options: ReadOptions, ledger: Ledger) -> None:
        self._tz, self._item, self._ledger = options.tz, item, ledger
        self.clock = YearlessClock(item, options, ledger, "the prefix of the kernel's and the runtime's lines")
        self._kernel, self._runtime = KernelRows(item, ledger), RuntimeRows(item, ledger)
        self._suppressions = Suppressions(item.id, ledger)

    def batches(
        self, of_kernel: pl.DataFrame, of_runtime: pl.DataFrame, of_units: pl.DataFrame, every: pl.DataFrame
    ) -> Iterator[Batch]:
        """Rows of the lines of each writer, and of those among `every` that say what is not there."""
        # one clock places all of them, in the order of their lines
        lines = pl.concat([of_kernel, of_units], how="diagonal").sort("number") if of_units.height else of_kernel
        lines, told = self._suppressions.taken(lines, every, self.clock.stamped)
        if told:
            yield told
        if of_units.height:
            is_unit = pl.col("unit").is_not_null()
            yield {UNIT_MESSAGES: unitlines.finish(lines.filter(is_unit), self._item, self._ledger)}
            lines = lines.filter(~is_unit)
        if lines.height:
            yield {KERNEL_MESSAGES: self._kernel.finish(kernellines.rows(lines.select(of_kernel.columns), self._tz))}
        if of_runtime.height and (rows := self._runtime.finish(of_runtime)).height:
            yield {RUNTIME_MESSAGES: rows}

    def tell(self) -> None:
        self._kernel.tell()
        self._suppressions.tell()


class _Hinted(YearlessClock):
    """klog's clock; what the header of a journal says holds for the clock of its prefix too."""

    def __init__(self, item: Item, options: ReadOptions, ledger: Ledger, other: YearlessClock) -> None:
        super().__init__(item, options, ledger, "klog")
        self._other = other

    def hint(self, first: datetime, last: datetime, source: str) -> None:
        super().hint(first, last, source)
        self._other.hint(first, last, source)


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
        return pl.concat([entries.select("number", "host", "stream"), fields], how="horizontal").select(
            pl.col("time").cast(TIME),
            pl.lit(self._item.id).alias("source"),
            "number",
            "host",
            "stream",
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
