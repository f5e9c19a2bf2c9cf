"""What one window says by itself: two halves one after the other, which may run in two threads.

The first reads headers, the second makes rows. Parts of the second need nothing but the headers: whoever has nothing
else to do may take them, so that two threads are done at the same time whatever a capture holds. What depends on
the windows before (copies of packets, messages over several packets) is settled by the reader, in file order, from what
stands here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any, Generic, TypeVar

import numpy as np
import polars as pl
from msgspec import Struct

from analyzer.frames import ICMP_ERRORS, PACKETS, TUNNEL_HEADERS, Table
from analyzer.sources.capture.arrays import I64, U8, Flags
from analyzer.sources.capture.dns_messages import WindowDns, window_dns
from analyzer.sources.capture.dns_names import Names
from analyzer.sources.capture.dns_tables import Memo
from analyzer.sources.capture.duplicates import Candidates, candidates
from analyzer.sources.capture.icmp import icmp_errors
from analyzer.sources.capture.layers import Headers, headers
from analyzer.sources.capture.links import link_layer
from analyzer.sources.capture.network import ESP
from analyzer.sources.capture.packets import Packets, packet_frame
from analyzer.sources.capture.reasons import BAD_DNS, FINE, UNSUPPORTED
from analyzer.sources.capture.recognise import Found, recognise
from analyzer.sources.capture.texts import Addresses
from analyzer.sources.capture.tunnel_headers import tunnel_frame
from analyzer.sources.capture.tunnels import Tunnels
from analyzer.sources.capture.window import Window

T = TypeVar("T")


class Tally(Struct, frozen=True):
    """Counts over the frames of a window. `unsupported` has the link type of each frame that is refused for it."""

    ip: int
    cut: int
    longest: int
    no_udp_length: int
    inner_unread: int
    wireguard: int
    esp: int
    unsupported: I64


class Piece(Struct, frozen=True):
    """One window, decoded. `number`, `time` and `reason` are of every frame.

    `tables` are rows without the column duplicate, each with the frames of the window that its rows are of.
    """

    number: I64
    time: I64
    reason: U8
    tables: dict[Table, tuple[pl.DataFrame, I64]]
    dns: WindowDns
    recognised: Found
    copies: Candidates
    tally: Tally


class Once(Generic[T]):
    """A piece of work for the first thread that comes to it; another waits for it, and takes what it made."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._made: list[T] = []
        self._lock = Lock()

    def __call__(self) -> T:
        with self._lock:
            if not self._made:
                self._made.append(self._work())
            return self._made[0]

    @property
    def begun(self) -> bool:
        """Whether a thread is at it."""
        return self._lock.locked()


class Opened(Struct, frozen=True):
    """One window with its headers read. `rows` are the frames that hold IP; `apart` is what may be done apart."""

    window: Window
    head: Headers
    tunnels: Tunnels
    interface: I64
    cut: Flags
    rows: I64
    recognised: Once[Found]
    copies: Once[Candidates]
    packets: Once[tuple[Packets, pl.DataFrame]]

    @property
    def apart(self) -> tuple[Once[Any], ...]:
        """Those that the second half comes to last stand first."""
        return self.copies, self.recognised, self.packets


class Decoder:
    """Decodes the windows of one capture. It remembers texts, which changes its speed and never the rows."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._memo = Memo(Names(), Addresses())

    def decode(self, window: Window) -> Piece:
        return self.finish(self.open(window))

    def open(self, window: Window) -> Opened:
        """The first half of the decoding."""
        link = link_layer(window)
        head, tunnels = headers(window, link)
        rows = np.flatnonzero((head.version > 0) & (head.reason == FINE))
        return Opened(
            window=window,
            head=head,
            tunnels=tunnels,
            interface=link.interface,
            cut=link.cut,
            rows=rows,
            recognised=Once(partial(recognise, window, head, link.interface, rows)),
            copies=Once(partial(candidates, window, head, link.interface, rows)),
            packets=Once(partial(self._packets, window, head, link.interface, rows)),
        )

    def finish(self, half: Opened) -> Piece:
        """The second half of the decoding."""
        window, head, tunnels, rows = half.window, half.head, half.tunnels, half.rows
        if half.packets.begun:
            # Nearly everything else waits for them, but these two.
            half.recognised(), half.copies()
        packets, frame = half.packets()
        tables = {PACKETS: (frame, rows)}
        outer = tunnel_frame(window, tunnels, self._memo.addresses, self._source)
        if outer is not None:
            tables[TUNNEL_HEADERS] = outer, tunnels.frame
        if (errors := icmp_errors(packets, self._memo.addresses, self._source)) is not None:
            tables[ICMP_ERRORS] = errors
        dns = window_dns(packets, self._source, self._memo)
        recognised, copies = half.recognised(), half.copies()
        tally = _tally(window, head, half.cut, tunnels, rows)
        head.reason[dns.malformed] = BAD_DNS
        return Piece(
            number=window.number,
            time=window.time,
            reason=head.reason,
            tables=tables,
            dns=dns,
            recognised=recognised,
            copies=copies,
            tally=tally,
        )

    def _packets(self, window: Window, head: Headers, interface: I64, rows: I64) -> tuple[Packets, pl.DataFrame]:
        """The packets with the texts of their addresses, and their rows."""
        ends = (head.src_high, head.src_low), (head.dst_high, head.dst_low)
        src, dst = self._memo.addresses.ends(head.version, rows, *ends)
        place = np.full(len(window), -1)
        place[rows] = np.arange(len(rows))
        packets = Packets(window, head, rows, place, interface, src, dst)
        return packets, packet_frame(packets, self._source)


def _tally(window: Window, head: Headers, cut: Flags, tunnels: Tunnels, rows: I64) -> Tally:
    cuts = np.flatnonzero(cut)
    esp = np.flatnonzero(head.protocol == ESP)
    return Tally(
        ip=len(rows),
        cut=len(cuts),
        longest=int((window.end[cuts] - window.start[cuts]).max(initial=0)),
        no_udp_length=int(np.count_nonzero(head.no_udp_length)),
        inner_unread=tunnels.unread,
        wireguard=tunnels.wireguard,
        esp=int(((head.version[esp] > 0) & (head.reason[esp] == FINE)).sum()),
        unsupported=window.link[np.flatnonzero(head.reason == UNSUPPORTED)],
    )
