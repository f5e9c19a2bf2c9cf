"""Reads a capture window by window into the four capture tables, and keeps the ledger.

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
from analyzer.frames import DNS_MESSAGES, HTTP_MESSAGES, PACKETS, TCP_CONNECTIONS, Table
from analyzer.sources.capture import framing
from analyzer.sources.capture.arrays import I64, distinct
from analyzer.sources.capture.connections import Connections
from analyzer.sources.capture.dns_messages import DnsReader
from analyzer.sources.capture.duplicates import Duplicates
from analyzer.sources.capture.fragments import Fragments
from analyzer.sources.capture.layers import Headers, headers
from analyzer.sources.capture.links import link_layer
from analyzer.sources.capture.metadata import MetadataReader
from analyzer.sources.capture.packets import Packets, packet_frame
from analyzer.sources.capture.reasons import FINE, HEADERS_UNREAD, UNKNOWN_TYPE, UNSUPPORTED, WORDS
from analyzer.sources.capture.texts import Addresses
from analyzer.sources.capture.window import NO_TIME, SIZE, Clock, Window
from analyzer.sources.contract import Batch, ByteStream, Item, Ledger, ReadOptions

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def frames_of(stream: ByteStream, ledger: Ledger, size: int = SIZE) -> Iterator[Window]:
    """The frames of a pcap or pcapng stream, told apart by magic; raises InputError for anything else.

    `size` is the bytes read at a time; the rows do not depend on it.
    """
    return framing.windows(stream, ledger, size)


def read(stream: ByteStream, item: Item, options: ReadOptions, ledger: Ledger) -> Iterator[Batch]:
    """Batches of the capture tables, one or more per window; raises InputError where no frame can be read at all."""
    del options
    return batches(frames_of(stream, ledger), item.id, ledger)


def batches(frames: Iterator[Window], source: str, ledger: Ledger) -> Iterator[Batch]:
    """The rows of these windows, which belong to one capture."""
    reader = _Reader(source, ledger)
    try:
        for window in frames:
            yield reader.batch(window)
        yield reader.rest()
    finally:
        reader.close()
    reader.refuse()


@dataclass(slots=True)
class _Reader:
    source: str
    ledger: Ledger
    frames: int = 0
    ip: int = 0
    cut: int = 0
    longest: int = 0
    no_length: int = 0
    unsupported: dict[int, int] = field(default_factory=dict)
    unknown: int = 0
    addresses: Addresses = field(default_factory=Addresses)
    dns: DnsReader = field(init=False)
    metadata: MetadataReader = field(init=False)
    connections: Connections = field(init=False)
    duplicates: Duplicates = field(init=False)
    fragments: Fragments = field(init=False)
    clock: Clock = field(init=False)

    def __post_init__(self) -> None:
        self.dns = DnsReader(self.ledger, self.source)
        self.metadata = MetadataReader(self.source)
        self.connections = Connections(self.source)
        self.duplicates = Duplicates(self.ledger)
        self.fragments = Fragments(self.ledger)
        self.clock = Clock(self.ledger)

    def batch(self, window: Window) -> Batch:
        """The rows of one window; counts every frame of it."""
        link = link_layer(window)
        head = headers(window, link)
        rows = np.flatnonzero((head.version > 0) & (head.reason == FINE))
        packets = self._packets(window, head, link.interface, rows)
        out: dict[Table, pl.DataFrame] = {PACKETS: packet_frame(packets, self.source)}
        waiting = [self.fragments.take(window, head, rows)]
        out[DNS_MESSAGES], open_frames = self.dns.read(packets)
        waiting.append(open_frames)
        if (asked := self.metadata.read(packets)) is not None:
            out[HTTP_MESSAGES] = asked
        if (opened := self.connections.add(packets)) is not None:
            out[TCP_CONNECTIONS] = opened
        self._count(window, head, np.concatenate(waiting), rows)
        return out

    def rest(self) -> Batch:
        """Rows that had to wait for the end of the capture."""
        out: dict[Table, pl.DataFrame] = {TCP_CONNECTIONS: self.connections.close()}
        if (asked := self.metadata.close()) is not None:
            out[HTTP_MESSAGES] = asked
        return out

    def _packets(self, window: Window, head: Headers, interface: I64, rows: I64) -> Packets:
        six = head.version[rows] == 6
        src = self.addresses.texts(six, head.src_high[rows], head.src_low[rows])
        dst = self.addresses.texts(six, head.dst_high[rows], head.dst_low[rows])
        place = np.full(len(window), -1)
        place[rows] = np.arange(len(rows))
        duplicate = self.duplicates.mark(window, head, interface, rows)
        return Packets(window, head, rows, place, interface, src, dst, duplicate)

    def _count(self, window: Window, head: Headers, waiting: I64, rows: I64) -> None:
        captured = window.end - window.start
        cut = captured < window.wire
        self.frames += len(window)
        self.ip += len(rows)
        self.cut += int(cut.sum())
        if cut.any():
            self.longest = max(self.longest, int(captured[cut].max()))
        self.no_length += int(head.no_udp_length.sum())
        settled = np.ones(len(window), bool)
        settled[waiting] = False
        reason = np.where(settled, head.reason, FINE)
        for code in distinct(reason[reason != FINE]).tolist():
            here = np.flatnonzero(reason == code)
            if code == UNSUPPORTED:
                self._unsupported(window, here)
            else:
                self.ledger.skip(WORDS[code], window.number[here[:3]].tolist(), len(here))
        self.unknown += int((reason == UNKNOWN_TYPE).sum())
        self.ledger.use(int((settled & (reason == FINE)).sum()))
        self.clock.watch(window.time, window.number)
        times = window.time[(head.reason > HEADERS_UNREAD) | (head.reason == FINE)]
        times = times[times != NO_TIME]
        if len(times):
            self.ledger.span(_moment(int(times.min())), _moment(int(times.max())))

    def _unsupported(self, window: Window, here: I64) -> None:
        for kind in distinct(window.link[here]).tolist():
            mine = here[window.link[here] == kind]
            self.unsupported[kind] = self.unsupported.get(kind, 0) + len(mine)
            self.ledger.skip(f"{WORDS[UNSUPPORTED]} {kind}", window.number[mine[:3]].tolist(), len(mine))

    def close(self) -> None:
        """Settle what was open and tell what concerns the whole capture."""
        self.dns.close()
        self.fragments.close()
        self.duplicates.close()
        self.clock.close()
        note = self.ledger.note
        if self.cut:
            note(
                f"{self.cut} of {self.frames} packets truncated by snaplen {self.longest}; "
                f"DNS payload incomplete in {self.dns.cut}"
            )
        if self.no_length:
            note(f"{self.no_length} UDP datagrams state length 0; they were taken up to the end of their packet")
        if self.frames and not self.ip and self.unknown:
            note(f"no IP packet found in {self.frames} frames; link type may be wrong")

    def refuse(self) -> None:
        """Raise InputError if every frame was of a link type that is not supported."""
        count = sum(self.unsupported.values())
        if count and count == self.frames:
            kinds = ", ".join(str(kind) for kind in sorted(self.unsupported))
            raise InputError(f"unsupported link type {kinds}; capture on an Ethernet, IP or `any` interface")


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)
