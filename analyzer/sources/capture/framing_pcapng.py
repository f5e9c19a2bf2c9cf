"""pcapng: sections of blocks, each with its length on both sides. Sections may differ in byte order.

Layout: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html. Packet blocks are the enhanced (6), the simple
(3, which has no time) and the obsolete one (2). Frames are numbered through all sections as Wireshark numbers them: it
shows journal entries and custom blocks as frames too. Blocks of any other type are skipped by their length and counted.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np

from analyzer import kernels
from analyzer.errors import InputError
from analyzer.sources.capture.arrays import I64, U8, Flags, every_word, gather, run_starts, words_near
from analyzer.sources.capture.heads import begins, next_head, section_order, stretches
from analyzer.sources.capture.interfaces import (
    CUSTOM,
    DROPS_MOST,
    INTERFACE,
    JOURNAL,
    OPTIONS_MOST,
    STATISTICS,
    Interfaces,
)
from analyzer.sources.capture.lanes import LANE_BYTES, walk
from analyzer.sources.capture.window import KEPT, STOPS_MOST, Tally, Window

SECTION, OBSOLETE, SIMPLE, ENHANCED = 0x0A0D0D0A, 2, 3, 6
STATISTICS_FEW = 64
"""Statistics of one window that are all read; of more only the last of each interface."""
BYTE_ORDER = 0x1A2B3C4D

BLOCK_MOST = 16 << 20
"""Longest block (libpcap's INITIAL_MAX_BLOCKSIZE); a longer one is damage."""
SYNC_BYTES = (512, 4096)
"""How far behind a bound a block is looked for, first near, then for the lanes that found none further."""
DROP_COUNT = 4
"""Option epb_dropcount: packets lost between this one and the one before."""
UNKNOWN_DROPS = 0xFFFF
"""Drops of an obsolete packet block whose writer did not know."""


@dataclass(frozen=True, slots=True)
class BlockChain:
    """The blocks of sections of one byte order (lanes.Chain). Stops at a section header of the other."""

    order: str
    _head: struct.Struct = field(init=False)
    _word: struct.Struct = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_head", struct.Struct(f"{self.order}III"))
        object.__setattr__(self, "_word", struct.Struct(f"{self.order}I"))

    def sizes(self, data: U8, at: I64) -> I64:
        word = every_word(data, len(data), self.order)
        stated = word[at + 4].astype(np.int64)
        length = (stated + 3) & ~3
        fits = (stated >= 12) & (stated <= BLOCK_MOST)
        section = word[at] == SECTION
        if section.any():
            fits &= ~section | (word[np.where(section, at + 8, 0)] == BYTE_ORDER) & (stated >= 28)
        behind = at + length - 4
        beyond = behind >= len(word)
        return np.where(fits & ((word[np.where(fits & ~beyond, behind, 0)] == stated) | beyond), length, 0)

    def size_at(self, data: memoryview, at: int) -> int:
        if at + 12 > len(data):
            return 0
        kind, stated, third = self._head.unpack_from(data, at)
        if not 12 <= stated <= BLOCK_MOST or (kind == SECTION and (third != BYTE_ORDER or stated < 28)):
            return 0
        length = (stated + 3) & ~3
        if at + length > len(data):
            return int(length)
        return int(length) if self._word.unpack_from(data, at + length - 4)[0] == stated else 0

    def compiled(self, data: U8, start: int, size: int, lanes: int, offsets: I64, stop: I64) -> int | None:
        return kernels.call("pcapng_walk", data, offsets, stop, start, size, lanes, int(self.order == ">"), BLOCK_MOST)

    def sync(self, data: U8, size: int, bounds: I64) -> I64:
        found = np.full(len(bounds), -1, np.int64)
        for near in SYNC_BYTES:
            rows = np.flatnonzero((found < 0) & (bounds + near + 8 < size))
            (kind,) = words_near(data, bounds[rows], near, (0,), self.order)
            lane, place = np.divmod(np.flatnonzero(kind == ENHANCED), near)
            at = bounds[rows][lane] + place
            length = self.sizes(data, at)
            good = (length >= 32) & (at + length <= size)
            lane, at = lane[good], at[good]
            index = run_starts(lane)
            found[rows[lane[index]]] = at[index]
        return found

    def trailer_lies(self, data: U8, at: int, size: int) -> int:
        """The length of a block whose second length is wrong but whose first leads to another block; 0 if none."""
        stated = self._head.unpack_from(data.data, at)[1]
        after = at + ((stated + 3) & ~3)
        if not 12 <= stated <= BLOCK_MOST or after + 12 > size:
            return 0
        length = self.size_at(data.data, after)
        good = 0 < length <= size - after or section_order(data, after, size) != ""
        return int(after - at) if good else 0


@dataclass(slots=True)
class PcapngReader:
    """The blocks of the sections that follow each other, window by window."""

    tally: Tally
    interfaces: Interfaces
    chain: BlockChain = field(default_factory=lambda: BlockChain("<"))
    lost: bool = False
    mismatched: int = 0
    section_stated: int = -1
    section_from: int = 0

    def windows(self, data: U8, at: int, size: int, base: int, *, final: bool) -> tuple[list[Window], int]:
        """The frames of data[at:size] by section, and from where to go on: a cut block, or another file."""
        parts: list[Window] = []
        while True:
            if not self.lost:
                step = walk(self.chain, data, at, size, size + 1 if at or self.tally.stops else LANE_BYTES)
                parts.append(self._frames(data, step.offsets, base))
                at = step.stop
                order = section_order(data, at, size) or self.chain.order
                ended = begins(data, at, size) == "pcap" or not self._damaged(data, at, size, final)
                if order == self.chain.order and (ended or (not final and size - at < KEPT)):
                    break
                self.tally.stops += 1
                if order != self.chain.order and self.tally.stops <= STOPS_MOST:
                    self.chain = BlockChain(order)
                    continue
                if self.tally.stops <= STOPS_MOST and (length := self._lies(data, at, size, final)):
                    self.mismatched += 1
                    parts.append(self._frames(data, np.array([at]), base))
                    at += length
                    continue
            at = self._resume(data, at, size, base, final)
            if self.lost or begins(data, at, size) == "pcap":
                break
        self.interfaces.forget_old_sections()
        return parts, at

    def _resume(self, data: U8, at: int, size: int, base: int, final: bool) -> int:
        """The next block or file behind damage; where there is none, from where to look on in the next window."""
        if self.tally.corrupt < 0:
            self.tally.corrupt = base + at
        start = self._next(data, at + (not self.lost), size, final)
        self.lost = start < 0 or self.tally.stops > STOPS_MOST
        resumed = start if not self.lost else size if final else max(at, size - BLOCK_MOST)
        self.tally.losses.lose(base + at, data[at:resumed])
        return resumed

    def _lies(self, data: U8, at: int, size: int, final: bool) -> int:
        """The length of the block that stands here if only its second length is wrong; 0 if more is."""
        length = self.chain.trailer_lies(data, at, size)
        return length if length and next_head(data, at + 1, at + length, size, final=final) < 0 else 0

    def _damaged(self, data: U8, at: int, size: int, final: bool) -> bool:
        """Whether the walk stopped at damage rather than at a block that goes on behind the window."""
        if size - at < 12:
            return False
        kind, stated = struct.unpack_from(f"{self.chain.order}II", data.data, at)
        if kind == SECTION and (size - at < 28 or not section_order(data, at, size)):
            return size - at >= 28
        if not 12 <= stated <= BLOCK_MOST:
            return True
        if at + ((stated + 3) & ~3) <= size:
            return True
        return final and self._next(data, at + 1, size, final) >= 0

    def _next(self, data: U8, at: int, size: int, final: bool) -> int:
        """The next place where a packet, interface or section block starts, or another file; -1 if there is none."""
        word = every_word(data, size, self.chain.order)
        for first, last in stretches(at, len(word) - 8):
            kind = word[first:last]
            maybe = np.flatnonzero((kind == ENHANCED) | (kind == SIMPLE) | (kind == OBSOLETE) | (kind == INTERFACE))
            maybe += first
            length = self.chain.sizes(data, maybe)
            found = maybe[(length >= 16) & (maybe + length <= size)]
            nearest = int(found[0]) if len(found) else last
            if (head := next_head(data, first, nearest, size, final=final)) >= 0 or len(found):
                return head if head >= 0 else nearest
        return -1

    def _section(self, body: bytes, offset: int, *, first: bool) -> None:
        """Begin a section. One of an unknown version cannot be trusted at all."""
        major, minor, stated = struct.unpack_from(f"{self.chain.order}4xHHq", body)
        if major != 1:
            if first:
                raise InputError(f"unsupported pcapng version {major}.{minor}; save it as version 1 with editcap")
            self.tally.ledger.note(f"section of unsupported pcapng version {major}.{minor} at offset {offset}")
        self._end_section(offset)
        self.section_stated, self.section_from = int(stated), offset + len(body) + 12
        self.interfaces.begin_section()

    def _end_section(self, offset: int) -> None:
        found = offset - self.section_from
        if self.section_stated >= 0 and self.section_from and self.section_stated != found:
            self.tally.ledger.note(
                f"a section states {self.section_stated} bytes but has {found}; its blocks were read"
            )

    def _frames(self, data: U8, blocks: I64, base: int) -> Window:
        """Packet blocks as frames; the other blocks update what is known of sections and interfaces."""
        order = self.chain.order
        # Column after column: all work below is on columns.
        head = gather(data, blocks, 28).view(f"{order}u4").astype(np.int64, order="F")
        kind, ends = head[:, 0], blocks + head[:, 1] - 4
        packet = (kind == ENHANCED) | (kind == SIMPLE) | (kind == OBSOLETE)
        # Interfaces are counted through; those of a section start where its header stands.
        described = self.interfaces.admitted(kind == INTERFACE, kind == SECTION)
        known = np.cumsum(described) + len(self.interfaces)
        first = np.maximum.accumulate(np.where(kind == SECTION, known, self.interfaces.first))
        if packet.all():
            self.tally.marker.add(self.tally.number, base + blocks)
            return self._packets(data, head, blocks, ends, first, known, self.tally.numbers(len(blocks)))
        for index in _told(head, described).tolist():
            body = data[blocks[index] + 8 : ends[index]].tobytes()
            if kind[index] == SECTION:
                nothing = not self.tally.number and not packet[:index].any()
                self._section(body, base + int(blocks[index]), first=nothing)
            else:
                self.interfaces.take(int(kind[index]), body, order)
        self.interfaces.count(kind[~packet])
        shown = packet | (kind == JOURNAL) | (kind == CUSTOM[0]) | (kind == CUSTOM[1])
        self.tally.marker.add(self.tally.number, base + blocks[shown])
        describing = np.flatnonzero((kind == INTERFACE) | (kind == SECTION))
        if len(describing) and (self.tally.number or shown[: describing[-1]].any()):
            self.tally.marker.void = True
        number = self.tally.numbers(int(shown.sum()))[packet[shown]]
        return self._packets(data, head[packet], blocks[packet], ends[packet], first[packet], known[packet], number)

    def _packets(self, data: U8, head: I64, at: I64, ends: I64, section: I64, known: I64, number: I64) -> Window:
        """`head`: the first seven words of each block."""
        kind, body, ledger = head[:, 0], head[:, 2:], self.tally.ledger
        simple, old = kind == SIMPLE, kind == OBSOLETE
        interface = np.where(simple, 0, body[:, 0])
        if old.any():
            # It has 16 bits for the interface, and 16 for a count of drops.
            pair = gather(data, at[old] + 8, 4).view(f"{self.chain.order}u2").astype(np.int64)
            interface[old] = pair[:, 0]
            self.interfaces.dropped += int(pair[pair[:, 1] != UNKNOWN_DROPS, 1].sum())
        start = at + np.where(simple, 12, 28)
        wire = np.where(simple, body[:, 0], body[:, 4])
        room = np.maximum(ends - start, 0)
        which = section + interface
        lost = which >= known
        captured = body[:, 3]
        if simple.any():
            snaplen = self.interfaces.snaplens(np.where(lost, 0, which))
            captured = np.where(simple, np.minimum(np.minimum(wire, snaplen), room), captured)
        ledger.skip("unknown interface", number[lost].tolist()[:3], int(lost.sum()))
        over = ~lost & ((captured > room) | (at + 28 > ends + 4) & ~simple)
        ledger.skip("captured length greater than its block", number[over].tolist()[:3], int(over.sum()))
        self.tally.long += int(((captured > wire) & ~over & ~lost).sum())
        spare = room - captured
        if (spare >= 12).any():
            more = np.flatnonzero((spare >= 12) & (kind == ENHANCED) & ~over)
            self.interfaces.dropped += _drops(data, (start + ((captured + 3) & ~3))[more], ends[more], self.chain.order)
        keep = ~lost & ~over
        if keep.all():
            keep = np.s_[:]
        ticks = (body[:, 1].astype(np.uint64) << np.uint64(32)) | body[:, 2].astype(np.uint64)
        time = self.interfaces.times(which[keep], ticks[keep], simple[keep])
        fine = self.interfaces.fine(which[keep], ticks[keep]) if self.tally.fine else None
        link = self.interfaces.links(which[keep])
        start = start[keep]
        return Window(data, start, start + captured[keep], wire[keep], time, link, interface[keep], number[keep], fine)

    def close(self, offset: int) -> None:
        """Its last section ends at this offset of the input."""
        self._end_section(offset)
        if self.mismatched:
            self.tally.ledger.note(f"{self.mismatched} blocks whose two lengths differ were read by the first length")


def _told(head: I64, described: Flags) -> I64:
    """Blocks to be looked at one by one. Statistics count from the start, so that of many the last ones say it all."""
    kind = head[:, 0]
    told: Flags = described | (kind == SECTION) | (kind == STATISTICS)
    statistics = np.flatnonzero(kind == STATISTICS)
    if len(statistics) > STATISTICS_FEW:
        section = np.cumsum(kind == SECTION)[statistics]
        order = np.lexsort((statistics, head[statistics, 2], section))
        same = (np.diff(section[order]) == 0) & (np.diff(head[statistics[order], 2]) == 0)
        told[statistics[order][:-1][same]] = False
    return np.flatnonzero(told)


def _drops(data: U8, at: I64, end: I64, order: str) -> int:
    """Sum of the drop counts among these packets' options: one step moves all packets by one option."""
    total = 0
    for _ in range(OPTIONS_MOST):
        at, end = at[at + 4 <= end], end[at + 4 <= end]
        if not len(at):
            break
        code, length = gather(data, at, 4).view(f"{order}u2").astype(np.int64).T
        counts = at[(code == DROP_COUNT) & (length == 8) & (at + 12 <= end)]
        values = gather(data, counts + 4, 8).view(f"{order}u8")[:, 0]
        total += int(values[values < DROPS_MOST].sum())
        going = code != 0
        at, end = (at + 4 + ((length + 3) & ~3))[going], end[going]
    return total
