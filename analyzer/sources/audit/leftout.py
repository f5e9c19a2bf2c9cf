"""What syslog or a journal says that it left out of an audit log that went through it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

import polars as pl

from analyzer.sources.contract import Batch, Item, Ledger, ReadOptions
from analyzer.sources.suppressions import Suppressions
from analyzer.sources.textwindow import Window
from analyzer.sources.wrappers import UNWRAPPED, Unwrapper, Wrapper
from analyzer.sources.yearless import YearlessClock

_TIME = re.compile(r'"(?:requestReceivedTimestamp|stageTimestamp|timestamp)":\s?"([0-9-]{10}T[0-9:]{8})')


class LeftOut:
    """Keeps such lines of one input; the year of a prefix without one is that of the events beside it."""

    def __init__(self, item: Item, options: ReadOptions, ledger: Ledger) -> None:
        self._ledger = ledger
        self._suppressions = Suppressions(item.id, ledger)
        self._clock = YearlessClock(item, options, ledger, "the syslog prefix")
        self._hinted = False
        self._made: list[Batch] = []

    def beside(self, parts: Iterable[Window], wrapper: Wrapper) -> Iterator[pl.DataFrame]:
        """What `unwrap` gives."""
        unwrapper = Unwrapper(wrapper, self._ledger, keeps=True)
        for window in parts:
            lines = unwrapper.feed(window)
            self._hint(lines)
            if marks := unwrapper.folded():
                _, told = self._suppressions.taken(UNWRAPPED.to_frame(), pl.concat(marks), self._clock.stamped)
                self._made += [told] if told else []
            yield lines
        if (rest := unwrapper.rest()) is not None:
            yield rest

    def batches(self) -> list[Batch]:
        """Rows of LOG_SUPPRESSIONS since one asked last."""
        made, self._made = self._made, []
        return made

    def tell(self) -> None:
        self._suppressions.tell()

    def _hint(self, lines: pl.DataFrame) -> None:
        if self._hinted or not lines.height:
            return
        self._hinted = True
        if found := _TIME.search(lines["text"][0]):
            try:
                moment = datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%S")  # noqa: DTZ007  made UTC by the clock
            except ValueError:
                return
            self._clock.hint(moment, moment, "the events beside it")
