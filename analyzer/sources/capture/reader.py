"""Reads a capture window by window into the capture tables, and keeps the ledger.

The ledger counts frames. A frame is used if its headers were read, whether or not it holds IP, and skipped for the
first thing in it that could not be read. A frame whose headers are good but whose DNS message is malformed, or never
became whole, is skipped with that reason and keeps its row among the packets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from analyzer.errors import InputError
from analyzer.frames import Table
from analyzer.sources.capture import framing
from analyzer.sources.capture.arrays import I64, U8, Flags, distinct
from analyzer.sources.capture.decode import Piece, Tally
from analyzer.sources.capture.dns_names import Names
from analyzer.sources.capture.dns_reader import DnsReader
from analyzer.sources.capture.dns_tables import Memo
from analyzer.sources.capture.duplicates import Duplicates
from analyzer.sources.capture.packets import with_copies
from analyzer.sources.capture.pool import Spare, pieces, threads
from analyzer.sources.capture.reasons import FINE, HEADERS_UNREAD, UNKNOWN_TYPE, UNSUPPORTED, WORDS
from analyzer.sources.capture.recognise import Recognised
from analyzer.sources.capture.texts import Addresses
from analyzer.sources.capture.window import NO_TIME, SIZE, Clock, Window
from analyzer.sources.contract import Batch, ByteStream, HashedStream, Item, Ledger, ReadOptions

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def frames_of(stream: ByteStream, ledger: Ledger, size: int = SIZE) -> Iterator[Window]:
    """The frames of a pcap or pcapng stream, told apart by magic; raises InputError for anything else.

    `size` is the bytes read at a time; the rows do not depend on it.
    """
    return framing.windows(stream, ledger, size)


def read(stream: ByteStream, item: Item, options: ReadOptions, ledger: Ledger) -> Iterator[Batch]:
    """Batches of the capture tables, one or more per window; raises InputError where no frame can be read at all."""
    jobs = options.jobs or threads()
    spare = stream.hash_by_turns() if jobs > 1 and isinstance(stream, HashedStream) else None
    return batches(frames_of(stream, ledger), item.id, ledger, jobs, spare)


def batches(
    frames: Iterator[Window], source: str, ledger: Ledger, jobs: int = 1, spare: Spare | None = None
) -> Iterator[Batch]:
    """The rows of these windows, which belong to one capture; `jobs` threads decode them, and do `spare` work."""
    reader = _Reader(source, ledger)
    try:
        # Nobody holds a piece while the next one is made: that would be a tenth of the memory.
        yield from map(reader.batch, pieces(frames, source, jobs, spare))
        yield reader.rest()
    finally:
        reader.close()
    reader.refuse()


@dataclass(slots=True)
class _Totals:
    """Sums of the tallies."""

    frames: int = 0
    ip: int = 0
    cut: int = 0
    longest: int = 0
    no_udp_length: int = 0
    inner_unread: int = 0
    wireguard: int = 0
    esp: int = 0
    unknown: int = 0
    unsupported: dict[int, int] = field(default_factory=dict)

    def add(self, tally: Tally) -> None:
        for name in ("ip", "cut", "no_udp_length", "inner_unread", "wireguard", "esp"):
            setattr(self, name, getattr(self, name) + getattr(tally, name))
        self.longest = max(self.longest, tally.longest)

    def notes(self, dns_cut: int) -> Iterator[str]:
        """What concerns the whole capture."""
        if self.cut:
            yield (
                f"{self.cut} of {self.frames} packets truncated by snaplen {self.longest}; "
                f"DNS payload incomplete in {dns_cut}"
            )
        if self.no_udp_length:
            yield f"{self.no_udp_length} UDP datagrams state length 0; they were taken up to the end of their packet"
        if self.inner_unread:
            yield f"{self.inner_unread} packets inside tunnels are cut or malformed; the outer packets stand for them"
        for count, kind in ((self.wireguard, "WireGuard"), (self.esp, "ESP")):
            if count:
                yield f"{count} {kind} packets (encrypted) were counted, not decoded"
        if self.frames and not self.ip and self.unknown:
            yield f"no IP packet found in {self.frames} frames; link type may be wrong"


@dataclass(slots=True)
class _Reader:
    """Settles, in file order, what one window cannot tell by itself."""

    source: str
    ledger: Ledger
    totals: _Totals = field(default_factory=_Totals)
    dns: DnsReader = field(init=False)
    recognised: Recognised = field(init=False)
    duplicates: Duplicates = field(init=False)
    clock: Clock = field(init=False)

    def __post_init__(self) -> None:
        self.dns = DnsReader(self.ledger, self.source, Memo(Names(), Addresses()))
        self.recognised = Recognised(self.source, self.ledger)
        self.duplicates = Duplicates(self.ledger)
        self.clock = Clock(self.ledger)

    def batch(self, piece: Piece) -> Batch:
        """The rows of one window; counts every frame of it."""
        duplicate = np.zeros(len(piece.number), bool)
        duplicate[np.searchsorted(piece.number, self.duplicates.mark(piece.copies))] = True
        out: dict[Table, pl.DataFrame] = {}
        for table, (rows, frame) in piece.tables.items():
            marked = "duplicate" in table.schema
            out[table] = with_copies(rows, duplicate[frame]) if marked else rows
        told, waiting = self.dns.take(piece.dns, duplicate)
        out |= told
        out |= self.recognised.take(piece.recognised, duplicate)
        self._count(piece, waiting)
        return out

    def rest(self) -> Batch:
        """Rows that had to wait for the end of the capture."""
        return self.dns.rest() | self.recognised.close()

    def _count(self, piece: Piece, waiting: I64) -> None:
        count, bad = len(piece.number), np.flatnonzero(piece.reason)
        self.totals.frames += count
        self.totals.add(piece.tally)
        if len(waiting):
            # What became of them is told when they are whole.
            settled = np.ones(count, bool)
            settled[waiting] = False
            count, bad = int(settled.sum()), bad[settled[bad]]
        reason = piece.reason[bad]
        for code in distinct(reason).tolist():
            here = bad[reason == code]
            if code == UNSUPPORTED:
                self._unsupported(piece, here)
            else:
                self.ledger.skip(WORDS[code], piece.number[here[:3]].tolist(), len(here))
        self.totals.unknown += int((reason == UNKNOWN_TYPE).sum())
        self.ledger.use(count - len(bad))
        self.clock.watch(piece.time, piece.number)
        times = piece.time if not piece.reason.any() else piece.time[_read_headers(piece.reason)]
        if len(times) and times.min() == NO_TIME:
            times = times[times != NO_TIME]
        if len(times):
            self.ledger.span(_moment(int(times.min())), _moment(int(times.max())))

    def _unsupported(self, piece: Piece, here: I64) -> None:
        kinds = piece.tally.unsupported
        for kind in distinct(kinds).tolist():
            mine = here[kinds == kind]
            self.totals.unsupported[kind] = self.totals.unsupported.get(kind, 0) + len(mine)
            self.ledger.skip(f"{WORDS[UNSUPPORTED]} {kind}", piece.number[mine[:3]].tolist(), len(mine))

    def close(self) -> None:
        """Settle what was open and tell what concerns the whole capture."""
        self.dns.close()
        self.duplicates.close()
        self.clock.close()
        for note in self.totals.notes(self.dns.cut):
            self.ledger.note(note)

    def refuse(self) -> None:
        """Raise InputError if every frame was of a link type that is not supported."""
        count = sum(self.totals.unsupported.values())
        if count and count == self.totals.frames:
            kinds = ", ".join(str(kind) for kind in sorted(self.totals.unsupported))
            raise InputError(f"unsupported link type {kinds}; capture on an Ethernet, IP or `any` interface")


def _read_headers(reason: U8) -> Flags:
    """Which frames had headers that could be read."""
    read: Flags = (reason > HEADERS_UNREAD) | (reason == FINE)
    return read


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)
