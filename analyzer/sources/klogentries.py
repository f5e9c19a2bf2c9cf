"""From unwrapped lines to klog entries: headers found, continuation lines attached, the rest told apart."""

from __future__ import annotations

import re
from datetime import datetime

import polars as pl

from analyzer.sources.contract import Ledger
from analyzer.sources.klogheads import HEAD, with_heads, without_head
from analyzer.sources.wrappers import UNWRAPPED
from analyzer.sources.yearless import YearlessClock

JSON_HEADER = r'^\{"ts":\s?[0-9]+(?:\.[0-9]+)?,\s?"(?:logger|caller|msg)":'
"""What component-base's JSON format begins with: milliseconds since 1970, then who logs; many programs write a `ts`."""

TEXT_LIMIT = 4096
"""Bytes of an entry's text that are kept."""

_KEPT = TEXT_LIMIT + 512
"""Characters kept of an entry before its header is cut off."""

_GROUPS_HELD = 1000
"""Writers whose last entry may wait for continuation lines; beyond that none waits."""

_LOOKS_LIKE = r"^(?:[IWEF]\p{Nd}{4} |\x00)"
_PART_OF_HEADER = r"^(?:[IWEF][0-9]{0,4}(?: [0-9:.]*)?(?: +[0-9]*)?(?: [!-\\^-~]*)?|\{.*)$"
_FOREIGN = (
    r"^(?:-- (?:Logs begin|Journal begins|Boot |Reboot|No entries|Journal file)|time=\"|level=|\{\"|\+ |Flag --|"
    r"Log file created at: |Running on machine: |Binary: Built with |Log line format: )|"
    r"Suppressed [0-9]+ messages from |^ts=[0-9]"
)
"""Journal markers, logfmt and JSON of others, shell traces, pflag's deprecations, the header of a log file."""

_REPEATED = r"message repeated ([0-9]{1,9}) times: \["
_CREATED = re.compile(r"^Log file created at: ([0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})")
_MACHINE = re.compile(r"^Running on machine: ([^\s]{1,253})$")
_JOURNAL = re.compile(
    r"^-- (?:Logs begin|Journal begins) at \w+ ([0-9-]{10} [0-9:]{8})[^,]*, ends? at \w+ ([0-9-]{10} [0-9:]{8})"
)
_NOTES_EACH = 3

ENTRY = pl.Schema(
    {name: dtype for name, dtype in UNWRAPPED.items() if name not in {"line_bytes", "pod"}}
    | {"writer": pl.String()}
    | dict(HEAD)
)
"""An entry before it is taken apart: `text` holds the header too, continuation lines are joined to it."""

_LINE = [name for name in ENTRY if name not in HEAD]


class Entries:
    """Assembles entries window by window; the last one of each writer waits for its continuation lines."""

    def __init__(self, ledger: Ledger, clock: YearlessClock, host: str | None = None) -> None:
        self._ledger, self._clock, self._host = ledger, clock, host
        self._held = pl.DataFrame(schema=ENTRY)
        self._boots = 0

    def feed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Entries (ENTRY) that are complete, in the order of their lines. Other lines go to the ledger."""
        lines = frame.with_columns(
            pl.concat_str("host", "component", "pod", separator="\n", ignore_nulls=True).alias("writer")
        )
        heads, others = with_heads(lines.select(_LINE))
        json = others["text"].str.contains(JSON_HEADER)
        if json.any():
            heads = pl.concat([heads, without_head(others.filter(json))]).sort("number")
            others = others.filter(~json)
        more = self._sort_out(others) if others.height else others
        heads = pl.concat([self._held, heads])
        if more.height:
            heads = self._attach(heads, more)
        if self._host is not None:
            heads = heads.with_columns(pl.col("host").fill_null(self._host))
        return self._hold_last(heads)

    def rest(self) -> pl.DataFrame:
        """The entries that were waiting."""
        held, self._held = self._held, self._held.clear()
        return held.sort("number")

    def _hold_last(self, heads: pl.DataFrame) -> pl.DataFrame:
        if not heads.height:
            return heads
        last = heads["number"] == heads["number"].max()
        if heads["writer"].n_unique() > 1:
            last = heads.select((pl.col("number") == pl.col("number").max().over("writer")).alias("last"))["last"]
        if int(last.sum()) > _GROUPS_HELD:
            last = last & False
        self._held = heads.filter(last)
        return heads.filter(~last).sort("number")

    def _attach(self, heads: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
        """Join continuation lines to the entry before them of the same writer; those without one are no records."""
        found = more.join_asof(
            heads.select("number", "writer", pl.col("number").alias("entry")),
            on="number",
            by="writer",
            check_sortedness=False,  # both are in the order of their lines
        )
        orphans = found.filter(pl.col("entry").is_null())["number"]
        self._ledger.skip("not-a-record", orphans.head(3).to_list(), orphans.len())
        more = found.filter(pl.col("entry").is_not_null())
        touched = heads["number"].is_in(more["entry"].unique().implode())
        first = heads.filter(touched).with_columns(pl.col("number").alias("entry"))
        lines = pl.concat([first.select(more.columns), more]).sort("number")
        length = pl.col("text").str.len_bytes()
        lines = lines.filter(length.cum_sum().over("entry") - length < _KEPT)
        joined = lines.group_by("entry").agg(
            pl.col("text").str.join("\n").str.head(_KEPT).alias("joined"), pl.col("open").any().alias("cut")
        )
        first = first.join(joined, on="entry").with_columns(text="joined", open="cut")
        return pl.concat([heads.filter(~touched), first.select(ENTRY.names())]).sort("number")

    def _sort_out(self, others: pl.DataFrame) -> pl.DataFrame:
        """Continuation lines; everything else goes to the ledger."""
        text = pl.col("text")
        others = others.with_columns(
            pl.when(text.str.contains(_REPEATED))
            .then(pl.lit("repeated"))
            .when(text.str.contains(_LOOKS_LIKE))
            .then(pl.lit("malformed"))
            .when(text.str.contains(_FOREIGN))
            .then(pl.lit("foreign"))
            .otherwise(pl.lit("more"))
            .alias("what")
        )
        cut = pl.col("open") & text.str.contains(_PART_OF_HEADER) & pl.col("what").is_in(["more", "malformed"])
        if others.select(cut.any()).item():
            self._ledger.tail()
            others = others.filter(~cut)
        malformed = others.filter(pl.col("what") == "malformed")["number"]
        self._ledger.skip("malformed line", malformed.head(3).to_list(), malformed.len())
        self._foreign(others.filter(pl.col("what") == "foreign"))
        self._repeated(others.filter(pl.col("what") == "repeated"))
        return others.filter(pl.col("what") == "more").drop("what")

    def _foreign(self, lines: pl.DataFrame) -> None:
        """Lines of others; some say what the log itself cannot."""
        self._ledger.skip("not-a-record", lines["number"].head(3).to_list(), lines.height)
        telling = lines.filter(pl.col("text").str.contains(r"^-- |^Log file created at|^Running on machine"))
        for number, text in telling.head(1000).select("number", "text").iter_rows():
            if found := _CREATED.search(text):
                moment = _moment(found[1], "%Y/%m/%d %H:%M:%S")
                if moment:
                    self._clock.hint(moment, moment, "the header of the log file")
            elif found := _MACHINE.search(text):
                self._host = found[1]
            elif found := _JOURNAL.search(text):
                first, last = (_moment(part, "%Y-%m-%d %H:%M:%S") for part in found.groups())
                if first and last:
                    self._clock.hint(first, last, "the header of the journal")
            elif text.startswith(("-- Boot", "-- Reboot")):
                self._boots += 1
                if self._boots <= _NOTES_EACH:
                    self._ledger.note(f"line {number}: the node was rebooted")

    def _repeated(self, lines: pl.DataFrame) -> None:
        """rsyslog folds equal lines; such a line is used for what it says, which is no row."""
        self._ledger.use(lines.height)
        times = lines["text"].str.extract(_REPEATED, 1).cast(pl.Int64).sum()
        if lines.height:
            first = lines["number"][0]
            self._ledger.note(f"line {first}: syslog folded {times} repeated messages; they are not counted")


def _moment(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)  # noqa: DTZ007  such headers are in the zone of the log
    except ValueError:
        return None
