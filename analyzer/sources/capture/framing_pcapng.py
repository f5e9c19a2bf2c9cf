"""pcapng: sections of blocks, each with its length on both sides. Sections may differ in byte order.

Layout: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html. Packet blocks are the enhanced (6), the simple
(3, which has no time) and the obsolete one (2). Frames are numbered through all sections, as Wireshark does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from analyzer.errors import InputError
from analyzer.sources.capture.arrays import I64, U8, distinct, every_word, gather, padded, run_starts, words_near
from analyzer.sources.capture.interfaces import Interfaces
from analyzer.sources.capture.lanes import LANE_BYTES, walk
from analyzer.sources.capture.window import SIZE, Losses, Window, joined, read_full
from analyzer.sources.contract import ByteStream, Ledger

MAGIC = b"\x0a\x0d\x0d\x0a"
SECTION, INTERFACE, OBSOLETE, SIMPLE, NAMES, STATISTICS, ENHANCED = 0x0A0D0D0A, 1, 2, 3, 4, 5, 6
SECRETS = 0x0A
TOLD = (INTERFACE, NAMES, STATISTICS, SECRETS)
"""Blocks that are looked at one by one, like section headers; there are few."""
BYTE_ORDER = 0x1A2B3C4D
ORDERS = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}

BLOCK_MOST = 16 << 20
"""Longest block (libpcap's INITIAL_MAX_BLOCKSIZE); a longer one is damage."""
SYNC_BYTES = (512, 4096)
"""How far behind a bound a block is looked for, first near, then for the lanes that found none further."""
HEADS = {ENHANCED: 28, OBSOLETE: 28, SIMPLE: 12}
"""Bytes before the packet data in each packet block."""


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
        good = self.size_at(data.data, after) > 0 or section_order(data, after, size) != ""
        return int(after - at) if good else 0


def section_order(data: U8, at: int, size: int) -> str:
    """The byte order of the section header block at this place; '' if there is none."""
    if at + 28 > size or data[at : at + 4].tobytes() != MAGIC:
        return ""
    return ORDERS.get(data[at + 8 : at + 12].tobytes(), "")


@dataclass(slots=True)
class _Reader:
    ledger: Ledger
    chain: BlockChain = field(default_factory=lambda: BlockChain("<"))
    number: int = 0
    lost: bool = False
    damaged_at: int = -1
    long: int = 0
    mismatched: int = 0
    losses: Losses = field(init=False)
    interfaces: Interfaces = field(init=False)
    section_stated: int = -1
    section_from: int = 0

    def __post_init__(self) -> None:
        self.losses = Losses(self.ledger)
        self.interfaces = Interfaces(self.ledger)

    def windows(self, data: U8, size: int, base: int, *, final: bool) -> tuple[list[Window], int]:
        """The frames of whole blocks in data[:size] by section, and from where the next window has to go on."""
        parts: list[Window] = []
        at, fast = 0, True
        starts: I64 | None = None
        while True:
            if not self.lost:
                lane_bytes = LANE_BYTES if fast else size + 1
                step = walk(self.chain, data, at, size, lane_bytes)
                fast = False
                parts.append(self._frames(data, step.offsets, base))
                at = step.stop
                if (order := section_order(data, at, size)) not in ("", self.chain.order):
                    self.chain = BlockChain(order)
                    continue
                if not self._damaged(data, at, size, final):
                    break
                if skipped := self.chain.trailer_lies(data, at, size):
                    self.mismatched += 1
                    parts.append(self._frames(data, np.array([at]), base))
                    at += skipped
                    continue
            if self.damaged_at < 0:
                self.damaged_at = base + at
            if starts is None:
                starts = self._starts(data, size)
            index = int(np.searchsorted(starts, at + (not self.lost)))
            self.lost = index >= len(starts)
            resumed = int(starts[index]) if not self.lost else size if final else max(at, size - BLOCK_MOST)
            self.losses.lose(base + at, data[at:resumed])
            at = resumed
            if self.lost:
                break
        if final:
            if at < size:
                self.ledger.tail()
            self.losses.close(tail=at >= size)
        self.interfaces.forget_old_sections()
        return parts, at

    def _damaged(self, data: U8, at: int, size: int, final: bool) -> bool:
        """Whether the walk stopped at damage rather than at a block that goes on behind the window."""
        if at >= size:
            return False
        if size - at < 12:
            return final and not data[at:size].any()
        kind, stated = struct.unpack_from(f"{self.chain.order}II", data.data, at)
        if kind == SECTION and (size - at < 28 or not section_order(data, at, size)):
            return size - at >= 28
        if not 12 <= stated <= BLOCK_MOST:
            return True
        return at + ((stated + 3) & ~3) <= size or (final and len(self._starts(data[at + 1 :], size - at - 1)) > 0)

    def _starts(self, data: U8, size: int) -> I64:
        """Every place where a packet, interface or section block starts, by its two lengths."""
        word = every_word(data, size, self.chain.order)
        maybe = np.flatnonzero((word == ENHANCED) | (word == SIMPLE) | (word == OBSOLETE) | (word == INTERFACE))
        maybe = maybe[maybe + 12 <= size]
        length = self.chain.sizes(data, maybe)
        good = maybe[(length >= 16) & (maybe + length <= size)]
        section = np.flatnonzero(word == SECTION)
        real = [place for place in section.tolist() if section_order(data, place, size)]
        return distinct(np.concatenate([good, np.array(real, np.int64)]))

    def _section(self, body: bytes, offset: int, *, first: bool) -> None:
        """Begin a section. One of an unknown version cannot be trusted at all."""
        major, minor, stated = struct.unpack_from(f"{self.chain.order}4xHHq", body)
        if major != 1:
            if first:
                raise InputError(f"unsupported pcapng version {major}.{minor}; save it as version 1 with editcap")
            self.ledger.note(f"section of unsupported pcapng version {major}.{minor} at offset {offset}")
        self._end_section(offset)
        self.section_stated, self.section_from = int(stated), offset + len(body) + 12
        self.interfaces.begin_section()

    def _end_section(self, offset: int) -> None:
        found = offset - self.section_from
        if self.section_stated >= 0 and self.section_from and self.section_stated != found:
            self.ledger.note(f"a section states {self.section_stated} bytes but has {found}; its blocks were read")

    def _frames(self, data: U8, blocks: I64, base: int) -> Window:
        """Packet blocks as frames; the other blocks update what is known of sections and interfaces."""
        order = self.chain.order
        # Column after column: all work below is on columns.
        head = gather(data, blocks, 28).view(f"{order}u4").astype(np.int64, order="F")
        kind, ends = head[:, 0], blocks + head[:, 1] - 4
        packet = (kind == ENHANCED) | (kind == SIMPLE) | (kind == OBSOLETE)
        # Interfaces are counted through; those of a section start where its header stands.
        known = np.cumsum(kind == INTERFACE) + len(self.interfaces)
        first = np.maximum.accumulate(np.where(kind == SECTION, known, self.interfaces.first))
        told = kind == SECTION
        for one in TOLD:
            told |= kind == one
        for index in np.flatnonzero(told).tolist():
            body = data[blocks[index] + 8 : ends[index]].tobytes()
            if kind[index] == SECTION:
                nothing = not self.number and not packet[:index].any()
                self._section(body, base + int(blocks[index]), first=nothing)
            else:
                self.interfaces.take(int(kind[index]), body, order)
        if packet.all():
            return self._packets(data, head, blocks, ends, first, known)
        return self._packets(data, head[packet], blocks[packet], ends[packet], first[packet], known[packet])

    def _packets(self, data: U8, head: I64, at: I64, ends: I64, section: I64, known: I64) -> Window:
        """`head`: the first seven words of each block."""
        kind, body = head[:, 0], head[:, 2:]
        number = np.arange(self.number + 1, self.number + 1 + len(at))
        self.number += len(at)
        simple, old = kind == SIMPLE, kind == OBSOLETE
        interface = np.where(simple, 0, body[:, 0])
        if old.any():
            # It has 16 bits for the interface, and 16 for a count of drops.
            first = gather(data, at[old] + 8, 2).view(f"{self.chain.order}u2")[:, 0]
            interface[old] = first
        start = at + np.where(simple, 12, 28)
        wire = np.where(simple, body[:, 0], body[:, 4])
        room = np.maximum(ends - start, 0)
        which = section + interface
        lost = which >= known
        captured = body[:, 3]
        if simple.any():
            snaplen = self.interfaces.snaplens(np.where(lost, 0, which))
            captured = np.where(simple, np.minimum(np.minimum(wire, snaplen), room), captured)
        self.ledger.skip("unknown interface", number[lost].tolist()[:3], int(lost.sum()))
        over = ~lost & ((captured > room) | (at + 28 > ends + 4) & ~simple)
        self.ledger.skip("captured length greater than its block", number[over].tolist()[:3], int(over.sum()))
        self.long += int(((captured > wire) & ~over & ~lost).sum())
        keep = ~lost & ~over
        if keep.all():
            keep = np.s_[:]
        ticks = (body[:, 1].astype(np.uint64) << np.uint64(32)) | body[:, 2].astype(np.uint64)
        time = self.interfaces.times(which[keep], ticks[keep], simple[keep])
        link = self.interfaces.links(which[keep])
        start = start[keep]
        return Window(data, start, start + captured[keep], wire[keep], time, link, interface[keep], number[keep])

    def close(self, offset: int) -> None:
        """Tell what concerns the whole input; raises InputError where damage left no packet at all."""
        if not self.number and self.damaged_at >= 0:
            raise InputError(f"corrupt block at offset {self.damaged_at}; no packet could be read")
        self._end_section(offset)
        self.interfaces.close()
        if self.mismatched:
            self.ledger.note(f"{self.mismatched} blocks whose two lengths differ were read by the first length")
        if self.long:
            self.ledger.note(f"captured length greater than original length in {self.long} packets")


def windows(stream: ByteStream, ledger: Ledger, size: int = SIZE) -> Iterator[Window]:
    """All frames of a pcapng stream. Damage is skipped to the next plausible block and told with its place."""
    reader = _Reader(ledger)
    offset, carry = 0, np.empty(0, np.uint8)
    final = False
    while not final:
        chunk = read_full(stream, size)
        final = len(chunk) < size
        data = padded(carry, chunk)
        length = len(carry) + len(chunk)
        if offset == 0 and not carry.size:
            _check_head(data, length)
        parts, stop = reader.windows(data, length, offset, final=final)
        yield from joined(parts, data)
        carry = data[stop:length].copy()
        offset += stop
    reader.close(offset + len(carry))


def _check_head(data: U8, size: int) -> None:
    if size < 28:
        raise InputError(f"pcapng section header cut at {size} of 28 bytes; look for a whole copy")
    if not section_order(data, 0, size):
        raise InputError(f"bad pcapng byte-order magic {data[8:12].tobytes().hex()}")
