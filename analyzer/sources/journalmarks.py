"""Lines that a journal or syslog writes about itself: no record of any program, and no loss by us."""

from __future__ import annotations

from functools import reduce
from operator import or_

import polars as pl

from analyzer.sources.contract import Ledger

MARK = r"^-- (?:Logs begin|Journal begins|Boot |Reboot|No entries|Journal file|cursor:)"
"""Markers of journalctl (systemd, logs-show.c and journalctl.c): span, boots, nothing found, a torn file, cursor."""

LAST = r"^last message repeated ([0-9]{1,9}) times$"
"""What syslogd and older rsyslog write in place of equal lines."""

REPEATED = r"^message repeated ([0-9]{1,9}) times: \[ ?(.*?)\]?$"
"""What rsyslog writes in place of equal lines, with at most 800 characters of one."""

SUPPRESSED = r"^Suppressed ([0-9]{1,15}) messages from (?:unit )?(\S+)"
"""What journald writes when its rate limit has dropped lines (systemd, journald-rate-limit)."""

MISSED = r"^Missed ([0-9]{1,15}) kernel messages"
"""What journald writes when the kernel's ring had been overwritten (systemd, journald-kmsg.c)."""

RATE = "due to rate-limiting"
"""How rsyslog ends what it says of its own limits (runtime/ratelimit.c)."""

JOURNALD, RSYSLOGD = ("systemd-journald", "systemd-journal"), ("rsyslogd", "rsyslogd-2177")
"""The daemons by the names that a prefix has for them."""

_GRAFANA = r'^(?:Common labels|Line limit|Total bytes processed): ["{]'
"""What Grafana writes over a download."""

_LIKELY = ("-- ", "last message repeated ", "Suppressed ", "Common labels: ", "Line limit: ", "Total bytes processed: ")
"""How such lines begin, which costs less to look for."""

_DAEMONS = ("Missed ", "imuxsock", "imjournal")
"""How more lines begin, if a daemon wrote them."""


class Marks:
    """Takes such lines out of frames and tells the ledger. With `markers` those that a source reads itself stay; with
    `keeps` those that are taken off are kept for it; unless it `looks`, there are none."""

    def __init__(self, ledger: Ledger, *, markers: bool, looks: bool, keeps: bool = False) -> None:
        self._ledger, self._markers, self._looks, self._keeps = ledger, markers, looks, keeps or markers
        self._repeated = self._suppressed = self._unsaid = 0
        self._first = ""
        self.folded: list[pl.DataFrame] = []
        """What was taken off and may say that lines are not there, if it is kept."""
        self._first_unsaid = 0

    def taken_off(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame without them; they are counted as `not-a-record`."""
        if not self._looks:
            return frame
        text = frame["text"]
        likely = reduce(or_, (text.str.starts_with(start) for start in _LIKELY))
        more = None if self._markers else _of_daemons(frame)
        if not likely.any() and more is None:
            return frame
        shapes = [LAST, _GRAFANA] if self._markers else [LAST, _GRAFANA, MARK, SUPPRESSED]
        found = likely & text.str.contains("|".join(f"(?:{shape})" for shape in shapes))
        found = found if more is None else found | more
        marks = frame.filter(found)
        self._ledger.skip("not-a-record", marks["number"].head(3).to_list(), marks.height)
        if self._keeps:
            self.folded.append(marks)
        self._repeated += int(marks["text"].str.extract(LAST, 1).cast(pl.Int64).sum())
        told = marks.filter(pl.col("text").str.contains(SUPPRESSED), not self._keeps)
        if told.height and not self._suppressed:
            self._first = f"line {told['number'][0]}"
        self._suppressed += int(told["text"].str.extract(SUPPRESSED, 1).cast(pl.Int64).sum())
        return frame.filter(~found)

    def unsaid(self, numbers: pl.Series) -> None:
        """Journal entries in these lines have no text."""
        if numbers.len() and not self._unsaid:
            self._first_unsaid = numbers[0]
        self._unsaid += numbers.len()

    def tell(self) -> None:
        """What was lost before anybody wrote it down, once for the whole input."""
        if self._repeated:
            self._ledger.note(f"syslog folded {self._repeated:,} repeated messages; they are not counted")
        if self._unsaid:
            self._ledger.note(
                f"line {self._first_unsaid}: {self._unsaid:,} journal entries have no message; journalctl writes "
                "null for one that is too long (--all writes it)"
            )
        if self._suppressed:
            self._ledger.note(
                f"{self._first}: {self._suppressed:,} messages were suppressed by journald's rate limit; counts from "
                "this log are lower bounds"
            )


def _of_daemons(frame: pl.DataFrame) -> pl.Series | None:
    """Lines in which journald and rsyslogd say what they left out; None where there are none."""
    if frame["component"].null_count() == frame.height:
        return None
    text = frame["text"]
    likely = reduce(or_, (text.str.starts_with(start) for start in _DAEMONS))
    if not likely.any():
        return None
    writer = frame["component"]
    journald = writer.is_in(JOURNALD) & text.str.contains(MISSED)
    return likely & (journald | (writer.is_in(RSYSLOGD) & text.str.contains(RATE, literal=True))).fill_null(False)
