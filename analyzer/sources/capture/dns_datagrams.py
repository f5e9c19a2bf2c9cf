"""DNS datagrams that were sent in IP fragments, put together in file order (RFC 791, RFC 8200 section 4.5).

Python per fragment, but only for those that may hold DNS. An overlap is never merged (RFC 5722): the first wins.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from msgspec import Struct, field

from analyzer.sources.capture.arrays import Flags
from analyzer.sources.capture.dns_pieced import Ends, Pieced, carriers, ends
from analyzer.sources.capture.fragments import Pieces, keys
from analyzer.sources.capture.layers import FIRST
from analyzer.sources.capture.window import NO_TIME
from analyzer.sources.contract import Ledger

OPEN_MOST = 1024
"""Datagrams that are being put together at one time."""
BYTES_MOST = 8 << 20
"""Bytes that all of them may hold."""
PIECES_MOST = 64
"""Fragments of one datagram: 64 KiB over the least MTU of IPv6 are 53."""
WAITED = 30_000_000
"""Microseconds after which the fragments of a datagram are forgotten, so that another of the same identification is not
mixed with it (net.ipv4.ipfrag_time, https://docs.kernel.org/networking/ip-sysctl.html)."""


class _Datagram(Struct):
    began: int
    parts: dict[int, bytes] = field(default_factory=dict)
    size: int = -1
    ends: Ends = ()
    first: int = -1

    def fits(self, offset: int, payload: bytes) -> bool:
        """Whether these bytes overlap with none that are there and do not pass the end."""
        inside = self.size < 0 or offset + len(payload) <= self.size
        return inside and all(
            offset + len(payload) <= start or start + len(part) <= offset for start, part in self.parts.items()
        )

    @property
    def held(self) -> int:
        return sum(map(len, self.parts.values()))

    def message(self) -> bytes | None:
        """All of it, once it is there. Parts never overlap, so that their sum tells."""
        if self.size < 0 or not self.ends or self.held != self.size:
            return None
        return b"".join(part for _, part in sorted(self.parts.items()))


class Datagrams(Struct):
    """Takes the fragments of one window after the other."""

    ledger: Ledger
    firsts: dict[int, int] = field(default_factory=dict)
    _open: OrderedDict[Ends, _Datagram] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _overlaps: int = 0
    _lost: int = 0

    def take(self, pieces: Pieces, copies: Flags) -> list[Pieced]:
        """The messages that became whole; `firsts` then has the first fragment of each by its last one."""
        done = []
        key = keys(pieces.packets, np.arange(len(pieces.packets)))
        for row in np.flatnonzero(pieces.wanted & ~copies).tolist():
            name = tuple(key[row].tolist())
            if self._put(name, pieces, row) and (made := self._whole(name, pieces, row)) is not None:
                done.append(made)
        return done

    def _put(self, name: Ends, pieces: Pieces, row: int) -> bool:
        packets = pieces.packets
        time, payload, offset = int(packets.time[row]), packets.payload(row), int(pieces.offset[row])
        held = self._open.get(name)
        if held is not None and NO_TIME not in (time, held.began) and abs(time - held.began) > WAITED:
            self._drop(name)
            held = None
        if held is None:
            held = self._open[name] = _Datagram(time)
        self._open.move_to_end(name)
        if held.parts.get(offset) == payload:
            return False
        if not held.fits(offset, payload) or (not pieces.more[row] and held.size >= 0) or offset < 0:
            self._overlaps += 1
            return False
        if not pieces.more[row] and any(start + len(part) > offset for start, part in held.parts.items()):
            self._overlaps += 1
            return False
        if packets.fragment[row] == FIRST:
            [held.ends], held.first = ends(packets, np.array([row])), int(packets.number[row])
        if not pieces.more[row]:
            held.size = offset + len(payload)
        held.parts[offset] = payload
        self._bytes += len(payload)
        if len(held.parts) > PIECES_MOST:
            self._drop(name)
        while self._bytes > BYTES_MOST or len(self._open) > OPEN_MOST:
            self._drop(next(iter(self._open)))
        return name in self._open

    def _whole(self, name: Ends, pieces: Pieces, row: int) -> Pieced | None:
        held = self._open[name]
        message = held.message()
        if message is None:
            return None
        self._bytes -= held.held
        del self._open[name]
        [made] = carriers(pieces.packets, np.array([row]))
        self.firsts[made.number] = held.first
        return Pieced(message, made, held.ends, False)

    def _drop(self, name: Ends) -> None:
        held = self._open.pop(name)
        self._bytes -= held.held
        self._lost += bool(held.ends)

    def close(self) -> None:
        """Tell what never became whole. Fragments of nobody knows what are not told."""
        for name in list(self._open):
            self._drop(name)
        if self._lost:
            self.ledger.note(f"{self._lost} DNS datagrams in fragments never became whole")
        if self._overlaps:
            self.ledger.note(f"{self._overlaps} overlapping fragments of DNS datagrams were refused")
