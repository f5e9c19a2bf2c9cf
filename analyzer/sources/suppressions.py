"""Lines by which syslog and journald say that messages were folded or left out.

* rsyslog: `message repeated 3 times: [ TEXT]`, with at most 800 characters of the text; older ones and syslogd `last
  message repeated 3 times`; `imuxsock[pid: 51, name: /usr/bin/kubelet]: 488 messages lost due to rate-limiting (20000
  allowed within 300 seconds)` and `imjournal: ...` (runtime/ratelimit.c, action.c)
* journald: `Suppressed 12 messages from kubelet.service` (journald-server.c), `Missed 3 kernel messages`
  (journald-kmsg.c)

A program can write such words too, so of the daemons' own only those count that they wrote by the prefix.
"""

from __future__ import annotations

from functools import reduce
from operator import or_

import polars as pl

from analyzer.frames import LOG_SUPPRESSIONS
from analyzer.sources.contract import Ledger
from analyzer.sources.journalmarks import LAST, REPEATED, SUPPRESSED
from analyzer.sources.kernellines import bounded
from analyzer.sources.secrets import scrub_column

MISSED = r"^Missed ([0-9]{1,15}) kernel messages"
_RATE = "due to rate-limiting"
LOST = rf"([0-9]{{1,15}}) messages lost {_RATE}|lost ([0-9]{{1,15}}) messages from pid [0-9]+ {_RATE}"
_LOSER = r"name: (?:[^\],]*/)?([^\]/,]+)\]"

_LIKELY = ("message repeated ", "last message repeated ", "Suppressed ", "Missed ", "imuxsock", "imjournal")
_JOURNALD, _RSYSLOGD = ("systemd-journald", "systemd-journal"), ("rsyslogd", "rsyslogd-2177")


class Suppressions:
    """Gathers such lines of one input, and tells the ledger of those that nobody else tells it of."""

    def __init__(self, source: str, ledger: Ledger) -> None:
        self._source, self._ledger = source, ledger
        self._lost = self._first = 0

    def found(self, lines: pl.DataFrame) -> pl.DataFrame:
        """Those of the unwrapped lines that say so, with `folded`, `suppressed`, `missed` and `lost`: the number.

        A kernel's line that was repeated counts so often in KERNEL_MESSAGES, and is not among them.
        """
        likely = reduce(or_, (lines["text"].str.starts_with(start) for start in _LIKELY))
        text, writer = pl.col("text"), pl.col("component")
        by_journald, by_rsyslogd = writer.is_in(_JOURNALD), writer.is_in(_RSYSLOGD)
        folded = pl.coalesce(text.str.extract(REPEATED, 1), text.str.extract(LAST, 1))
        told = lines.filter(likely).with_columns(
            pl.when((writer != "kernel").fill_null(True) | text.str.starts_with("last ")).then(folded).alias("folded"),
            pl.when(by_journald).then(text.str.extract(SUPPRESSED, 1)).alias("suppressed"),
            pl.when(by_journald).then(text.str.extract(MISSED, 1)).alias("missed"),
            pl.when(by_rsyslogd).then(pl.coalesce(text.str.extract(LOST, 1), text.str.extract(LOST, 2))).alias("lost"),
        )
        count = pl.coalesce("folded", "suppressed", "missed", "lost").cast(pl.Int64, strict=False)
        return told.with_columns(count.alias("count")).filter(pl.col("count").is_not_null())

    def rows(self, found: pl.DataFrame) -> pl.DataFrame:
        """Rows of LOG_SUPPRESSIONS of what was found."""
        text = pl.col("text")
        whose = (
            pl.when(pl.col("suppressed").is_not_null())
            .then(text.str.extract(SUPPRESSED, 2).str.strip_suffix(".service"))
            .when(pl.col("missed").is_not_null())
            .then(pl.lit("kernel"))
            .when(pl.col("lost").is_not_null())
            .then(text.str.extract(_LOSER, 1))
            .otherwise("component")
        )
        rows = found.with_columns(
            pl.lit(self._source).alias("source"),
            pl.when(pl.col("folded").is_null()).then(pl.lit("left out")).otherwise(pl.lit("repeated")).alias("kind"),
            whose.alias("component"),
            scrub_column(bounded(found["text"].str.extract(REPEATED, 2).alias("text"))),
        )
        self._add(rows.filter(pl.col("missed").is_not_null() | pl.col("lost").is_not_null()))
        return LOG_SUPPRESSIONS.check(rows.select(LOG_SUPPRESSIONS.schema.names()).lazy()).collect()

    def _add(self, rows: pl.DataFrame) -> None:
        if rows.height and not self._lost:
            self._first = rows["number"][0]
        self._lost += sum(rows["count"].to_list())  # lines that are rare, each of which may claim a large number

    def tell(self) -> None:
        if self._lost:
            self._ledger.note(
                f"line {self._first}: {self._lost:,} messages were left out by rate limits of syslog or lost to "
                "journald; counts from this log are lower bounds"
            )
