"""The DNS rows of a capture in file order: those of each window, and those of messages that span packets."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from analyzer.frames import DNS_ANSWERS, DNS_MESSAGES, Table
from analyzer.sources.capture.arrays import I64, Flags
from analyzer.sources.capture.dns_datagrams import Datagrams
from analyzer.sources.capture.dns_messages import WindowDns
from analyzer.sources.capture.dns_pieced import Pieced, rows_of
from analyzer.sources.capture.dns_records import RECORDS_MOST
from analyzer.sources.capture.dns_streams import DnsStreams
from analyzer.sources.capture.dns_tables import Memo
from analyzer.sources.capture.fragments import Fragments
from analyzer.sources.capture.packets import with_copies
from analyzer.sources.capture.reasons import BAD_DNS, WORDS
from analyzer.sources.contract import Ledger

Tables = dict[Table, pl.DataFrame]


@dataclass(slots=True)
class DnsReader:
    """Takes what was found in one window after the other. `cut` counts messages that the capture cut."""

    ledger: Ledger
    source: str
    memo: Memo
    cut: int = 0
    unchecked: int = 0
    _streams: DnsStreams = field(init=False)
    _datagrams: Datagrams = field(init=False)
    _fragments: Fragments = field(init=False)

    def __post_init__(self) -> None:
        self._streams = DnsStreams(self.ledger)
        self._datagrams = Datagrams(self.ledger)
        self._fragments = Fragments(self.ledger)

    def take(self, found: WindowDns, duplicate: Flags) -> tuple[Tables, I64]:
        """Rows by number, and the frames whose ledger entry waits; `duplicate` tells frames that are copies."""
        self.cut += found.cut
        self.unchecked += found.unchecked
        done: list[Pieced] = []
        waiting = []
        if found.segments is not None:
            copies = duplicate[found.segments.packets.frame]
            again = self._streams.repeated(found.segments, copies)
            more, held = self._streams.take(found.segments, copies)
            done += more
            waiting.append(held)
            if len(again):
                duplicate = duplicate.copy()
                duplicate[again] = True
        if found.fragments is not None:
            waiting.append(self._fragments.take(found.fragments.packets))
            done += self._datagrams.take(found.fragments, duplicate[found.fragments.packets.frame])
        messages = with_copies(found.messages, duplicate[found.frame])
        answers = with_copies(found.answers, duplicate[found.answer_frame])
        out = {DNS_MESSAGES: messages, DNS_ANSWERS: answers}
        if done:
            late = self._rows(done)
            out = {table: pl.concat([out[table], late[table]]) for table in out}
            out = {table: frame.sort("number", maintain_order=True) for table, frame in out.items()}
        return out, np.concatenate(waiting) if waiting else found.frame[:0]

    def _rows(self, done: list[Pieced]) -> Tables:
        """Rows of messages put together; settles the frames that waited for them."""
        done = sorted(done, key=lambda one: one.carrier.number)
        made = rows_of(done, self.source, self.memo)
        self.unchecked += made.unchecked
        bad = set(made.malformed.tolist())
        for place, one in enumerate(done):
            refused = int(place in bad and bool(one.settles))
            self.ledger.use(len(one.settles) - refused)
            self.ledger.skip(WORDS[BAD_DNS], [one.carrier.number], refused)
            if place in bad and one.carrier.number in self._datagrams.firsts:
                self._fragments.refuse(self._datagrams.firsts[one.carrier.number])
        self._datagrams.firsts.clear()
        fresh = pl.lit(False).alias("duplicate")
        return {DNS_MESSAGES: made.messages.with_columns(fresh), DNS_ANSWERS: made.answers.with_columns(fresh)}

    def rest(self) -> Tables:
        """Rows of messages behind a gap that the capture never closed."""
        done = self._streams.close()
        return self._rows(done) if done else {}

    def close(self) -> None:
        """Count what never became whole."""
        self._streams.close()
        self._datagrams.close()
        self._fragments.close()
        if self.unchecked:
            self.ledger.note(
                f"{self.unchecked} DNS messages have too many RRs; only the first {RECORDS_MOST} were checked"
            )
