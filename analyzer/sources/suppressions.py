"""Lines by which syslog and journald say that messages were folded or left out.

* rsyslog: `message repeated 3 times: [ TEXT]`, with at most 800 characters of the text; older ones and syslogd `last
  message repeated 3 times`; `imuxsock[pid: 51, name: /usr/bin/kubelet]: begin to drop messages due to rate-limiting`,
  then `...: 488 messages lost due to rate-limiting (20000 allowed within 300 seconds)`; `imjournal: ...`, newer ones
  `imjournal from <node-1:kubelet>: ...` (runtime/ratelimit.c, action.c)
* journald: `Suppressed 12 messages from kubelet.service`, before version 230 `from /system.slice/kubelet.service`
  (journald-server.c), `Missed 3 kernel messages` (journald-kmsg.c)

A program can write such words too, so of the daemons' own only those count that they wrote by the prefix. `journalctl
-u UNIT -o cat` has no prefix and holds what journald said about the unit.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import reduce
from operator import or_

import polars as pl
from msgspec import Struct

from analyzer.frames import LOG_SUPPRESSIONS
from analyzer.sources.contract import Batch, Ledger
from analyzer.sources.journalmarks import JOURNALD, LAST, MISSED, RATE, REPEATED, RSYSLOGD, SUPPRESSED
from analyzer.sources.kernellines import bounded
from analyzer.sources.secrets import scrub_column

LOST = rf"([0-9]{{1,15}}) messages lost {RATE}|lost ([0-9]{{1,15}}) messages from pid [0-9]+ {RATE}"
DROPS = rf"^(?:imuxsock|imjournal).{{0,300}}: begin to drop messages {RATE}"
_LOSER = r"name: (?:[^\],]*/)?([^\]/,]+)\]|from <(?:[^<>]*:)?([^<>:]+)>"
_UNIT = r"^(?:.*/)?(.*?)(?:\.service|\.scope|\.slice)?$"
_BARE = r"^Suppressed [0-9]{1,15} messages from (?:unit )?\S+\.(?:service|scope|slice)$"

_LIKELY = ("message repeated ", "last message repeated ", "Suppressed ", "Missed ", "imuxsock", "imjournal")

MOST = 5
"""Programs that are named in the notes of one input."""


class Suppressions:
    """Gathers such lines of one input, and tells the ledger of what was left out."""

    def __init__(self, source: str, ledger: Ledger) -> None:
        self._source, self._ledger = source, ledger
        self._told: dict[str, _Sum] = {}

    def found(self, lines: pl.DataFrame) -> pl.DataFrame:
        """Those of the unwrapped lines that say so, with `said`, and with `folded`, `suppressed`, `missed` or `lost`:
        the number; none of them where messages began to be dropped.

        A kernel's line that was repeated counts so often in KERNEL_MESSAGES, and is not among them.
        """
        if lines["component"].null_count() == lines.height:
            lines = lines.filter(lines["text"].str.starts_with("Suppressed "))
        likely = reduce(or_, (lines["text"].str.starts_with(start) for start in _LIKELY))
        text, writer = pl.col("text"), pl.col("component")
        by_journald, by_rsyslogd = writer.is_in(JOURNALD), writer.is_in(RSYSLOGD)
        bare = writer.is_null() & text.str.contains(_BARE)
        folded = pl.coalesce(text.str.extract(REPEATED, 1), text.str.extract(LAST, 1))
        told = lines.filter(likely).with_columns(
            pl.when((writer != "kernel").fill_null(True) | text.str.starts_with("last ")).then(folded).alias("folded"),
            pl.when(by_journald | bare).then(text.str.extract(SUPPRESSED, 1)).alias("suppressed"),
            pl.when(by_journald).then(text.str.extract(MISSED, 1)).alias("missed"),
            pl.when(by_rsyslogd).then(pl.coalesce(text.str.extract(LOST, 1), text.str.extract(LOST, 2))).alias("lost"),
            (by_rsyslogd & text.str.contains(DROPS)).fill_null(False).alias("drops"),
        )
        count = pl.coalesce("folded", "suppressed", "missed", "lost").cast(pl.Int64, strict=False)
        said = told.with_columns(count.alias("count")).filter(pl.col("count").is_not_null() | pl.col("drops"))
        return said.with_columns(pl.lit(True).alias("said"))

    def rows(self, found: pl.DataFrame) -> pl.DataFrame:
        """Rows of LOG_SUPPRESSIONS of what was found."""
        text = pl.col("text")
        whose = (
            pl.when(pl.col("suppressed").is_not_null())
            .then(text.str.extract(SUPPRESSED, 2).str.extract(_UNIT, 1))
            .when(pl.col("missed").is_not_null())
            .then(pl.lit("kernel"))
            .when(pl.col("lost").is_not_null() | pl.col("drops"))
            .then(pl.coalesce(text.str.extract(_LOSER, 1), text.str.extract(_LOSER, 2)))
            .otherwise("component")
        )
        rows = found.with_columns(
            pl.lit(self._source).alias("source"),
            pl.when(pl.col("folded").is_null()).then(pl.lit("left out")).otherwise(pl.lit("repeated")).alias("kind"),
            whose.alias("component"),
            scrub_column(bounded(found["text"].str.extract(REPEATED, 2).alias("text"))),
        )
        for row in rows.filter(pl.col("kind") == "left out").select("number", "time", "component", "count").rows():
            self._told.setdefault(row[2] or "", _Sum(row[0])).add(row[1], row[3])  # lines that are rare
        return LOG_SUPPRESSIONS.check(rows.select(LOG_SUPPRESSIONS.schema.names()).lazy()).collect()

    def taken(
        self, lines: pl.DataFrame, every: pl.DataFrame, placed: Callable[[pl.DataFrame], pl.DataFrame]
    ) -> tuple[pl.DataFrame, Batch]:
        """The lines placed in time by one clock together with those among `every` that say what is not there, in the
        order of their numbers; and the rows of these."""
        found = self.found(every)
        if not found.height:
            return placed(lines) if lines.height else lines, {}
        both = placed(pl.concat([lines, found], how="diagonal").sort("number", maintain_order=True))
        said = both["said"].fill_null(False)
        return both.filter(~said).select(lines.columns), {LOG_SUPPRESSIONS: self.rows(both.filter(said))}

    def tell(self) -> None:
        """Notes on the whole input: whose messages, how many, when."""
        told = sorted(self._told.items(), key=lambda one: (-one[1].count, one[0]))
        for name, one in told[:MOST]:
            many = f"{one.count:,} messages" if one.count else "messages"
            whose = f" of {name}" if name else ""
            self._ledger.note(
                f"line {one.line}: {many}{whose} were left out by rate limits or overflows before this log was "
                f"written{one.span()}; counts from this log are lower bounds"
            )
        if len(told) > MOST:
            more = sum(one.count for _, one in told[MOST:])
            self._ledger.note(f"{more:,} more messages of {len(told) - MOST} other programs were left out likewise")


class _Sum(Struct):
    """What was left out of one program's messages: by which first line, how many, from when to when."""

    line: int
    count: int = 0
    first: datetime | None = None
    last: datetime | None = None

    def add(self, time: datetime | None, count: int | None) -> None:
        self.count += count or 0  # each line may claim a large number
        if time is not None:
            self.first = time if self.first is None else min(self.first, time)
            self.last = time if self.last is None else max(self.last, time)

    def span(self) -> str:
        if self.first is None or self.last is None:
            return ""
        until = f" to {self.last:%Y-%m-%d %H:%M:%S}" if self.last - self.first >= timedelta(seconds=1) else ""
        return f", told {self.first:%Y-%m-%d %H:%M:%S}{until} UTC"
