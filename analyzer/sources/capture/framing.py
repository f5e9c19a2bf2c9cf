"""The frames of one input: a pcap or pcapng file, or several of either kind one after the other.

`cat a.pcap b.pcap` leaves a file header where a record would start. Frames are numbered through.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from analyzer.errors import InputError
from analyzer.sources.capture.arrays import U8
from analyzer.sources.capture.framing_pcap import PcapReader
from analyzer.sources.capture.framing_pcapng import PcapngReader
from analyzer.sources.capture.heads import HEAD_MOST, SECTION_LEAST, SECTION_MAGIC, begins, section_order, settled
from analyzer.sources.capture.interfaces import Interfaces
from analyzer.sources.capture.pcap_format import MAGICS, pcap_format
from analyzer.sources.capture.window import SIZE, Tally, Window, filled, joined
from analyzer.sources.contract import ByteStream, Ledger

FIRST = 4 << 20
"""Bytes of the first window."""

FILES_MOST = 1 << 12
"""Files in one input that are read; more were not put together by people."""


class FileReader(Protocol):
    """Reads one file; what spans files is in the tally."""

    def windows(self, data: U8, at: int, size: int, base: int, *, final: bool) -> tuple[list[Window], int]:
        """The frames of data[at:size], and from where to go on: something incomplete, or another file."""

    def close(self, offset: int) -> None:
        """The file ends at this offset of the input."""


def windows(stream: ByteStream, ledger: Ledger, size: int = SIZE, *, fine: bool = False) -> Iterator[Window]:
    """All frames of an input; raises InputError where nothing can be read. The frames do not depend on `size`. With
    `fine` their times go to the nanosecond."""
    tally = Tally(ledger, fine=fine)
    files = _Files(tally)
    offset, carry = 0, np.empty(0, np.uint8)
    final = False
    while not final:
        # The first is small, so that the second thread soon has something to do.
        data, length, final = filled(stream, carry, size if offset else min(size, FIRST))
        parts, stop = files.windows(data, length, offset, final=final)
        tally.marker.void |= tally.stops > 0
        yield from joined(parts, data)
        carry = data[stop:length].copy()
        offset += stop
    files.close(offset, len(carry))


class _Files:
    """The files of one input, one after the other."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._reader: FileReader | None = None
        self._interfaces = Interfaces(tally.ledger)
        self._count = 0

    def windows(self, data: U8, size: int, base: int, *, final: bool) -> tuple[list[Window], int]:
        """The frames of this buffer, and how much of it is done with."""
        parts: list[Window] = []
        at = self._tally.stops = 0
        while True:
            if self._reader is None or self._is_another(begins(data, at, size)):
                if self._count >= FILES_MOST:
                    self._tally.losses.lose(base + at, data[at:size])
                    return parts, size
                after = self._open(data, at, size, base, final=final)
                if after < 0:
                    return parts, at
                at = after
                continue
            more, at = self._reader.windows(data, at, size, base, final=final)
            parts += more
            if not self._is_another(begins(data, at, size)):
                return parts, at

    def _is_another(self, kind: str) -> bool:
        """The sections of a pcapng file are its reader's own business."""
        return kind == "pcap" or (kind == "pcapng" and not isinstance(self._reader, PcapngReader))

    def _open(self, data: U8, at: int, size: int, base: int, *, final: bool) -> int:
        """Begin the file that stands here: where its records or blocks start, or -1 where more bytes are needed."""
        if not final and size - at < 2 * HEAD_MOST:
            return -1
        head = data[at : min(at + HEAD_MOST, size)].tobytes()
        section = head[:4] == SECTION_MAGIC
        needed = SECTION_LEAST if section else MAGICS.get(head[:4], (0, 0, 0, 0))[3]
        if self._reader is not None and len(head) < needed:
            return -1
        reader, after = (self._section(data, at, size), at) if section else self._records(data, at, size, final, head)
        if reader is None:
            return -1
        if self._reader is not None:
            self._reader.close(base + at)
            self._tally.losses.close()
            self._tally.marker.void = True
        self._reader = reader
        self._count += 1
        return after

    def _section(self, data: U8, at: int, size: int) -> FileReader:
        if size - at < SECTION_LEAST:
            raise InputError(
                f"pcapng section header cut at {size - at} of {SECTION_LEAST} bytes; look for a whole copy"
            )
        if not section_order(data, at, size):
            raise InputError(f"bad pcapng byte-order magic {data[at + 8 : at + 12].tobytes().hex()}")
        return PcapngReader(self._tally, self._interfaces)

    def _records(self, data: U8, at: int, size: int, final: bool, head: bytes) -> tuple[FileReader | None, int]:
        stated = pcap_format(head)
        first = at + stated.file_header
        form, system = settled(stated, data, first, size, final=final)
        # At the front of a window there is nothing to gain by waiting.
        if form is None and at:
            return None, first
        if system:
            self._tally.ledger.note(f"records have longer headers, as the tcpdump of {system} wrote them")
        return PcapReader(form or stated, self._tally), first

    def close(self, offset: int, rest: int) -> None:
        """The input ends at this offset; so many bytes of it belong to something incomplete."""
        tally = self._tally
        if rest:
            tally.ledger.tail()
        tally.losses.close(tail=not rest)
        if self._reader is not None:
            self._reader.close(offset + rest)
        self._interfaces.close(whole=tally.corrupt < 0 and tally.number > 0)
        tally.close()
        tally.ledger.marks = tally.marker.marks()
        if self._count > 1:
            tally.ledger.note(
                f"{self._count} capture files stand in it one after the other; frames are numbered through"
            )
        if self._count >= FILES_MOST:
            tally.ledger.note(f"only the first {FILES_MOST} capture files in it were read")
