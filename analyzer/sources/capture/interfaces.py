"""What a pcapng section says of its interfaces: link type, resolution and offset of times, packets dropped."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from msgspec import Struct, field

from analyzer.sources.capture.arrays import I64, U64, Flags, constant, distinct
from analyzer.sources.capture.http_head import printable
from analyzer.sources.capture.window import LATEST, NO_TIME
from analyzer.sources.contract import Ledger

INTERFACE, STATISTICS, JOURNAL = 1, 5, 9
UNUSED = {
    4: "name resolution",
    JOURNAL: "systemd journal entries",
    10: "decryption secrets",
}
"""Blocks without packets whose content is left alone, and told."""
CUSTOM = (0x00000BAD, 0x40000BAD)
PACKETS = (2, 3, 6)
SECTION = 0x0A0D0D0A
NAME, RESOLUTION, OFFSET = 2, 9, 14
RECEIVED, INTERFACE_DROPS, SYSTEM_DROPS = 4, 5, 7
OPTIONS_MOST = 256
"""Options read of one block; real ones have a dozen."""
DROPS_MOST = 1 << 48
"""A single count of drops from here on is garbage."""
INTERFACES_MOST = 1 << 16
"""Interfaces of one section; the obsolete packet block cannot name more."""
INTERFACES_TOLD = 8
"""Interfaces whose drops are told one by one, those that lost most."""
LABELS_MOST = 4096
"""Interfaces whose drops are counted apart through all sections."""
NAME_MOST = 64
UNLIMITED = 1 << 32


class Interface(Struct, frozen=True):
    """`resolution` is if_tsresol: 10 to the minus n, or 2 to the minus n where the upper bit is set."""

    link: int
    snaplen: int
    resolution: int = 6
    offset: int = 0
    name: str = ""


class Interfaces(Struct):
    """The interfaces of the sections in hand, counted through, and what all sections lost.

    `dropped` counts losses told beside single packets.
    """

    ledger: Ledger
    _list: list[Interface] = field(default_factory=list)
    dropped: int = 0
    _statistics: dict[int, tuple[int, int | None]] = field(default_factory=dict)
    _lost: dict[str, tuple[int, int]] = field(default_factory=dict)
    _silent: bool = False
    _counted: dict[str, int] = field(default_factory=dict)
    _first: int = 0
    _simple: int = 0
    _unusable: int = 0

    def __len__(self) -> int:
        return len(self._list)

    @property
    def first(self) -> int:
        """Position of the current section's first interface."""
        return self._first

    def begin_section(self) -> None:
        self._settle()
        self._first = len(self._list)

    def forget_old_sections(self) -> None:
        """Drop the interfaces of sections that are over; positions given before are void."""
        del self._list[: self._first]
        self._first = 0

    def admitted(self, described: Flags, section: Flags) -> Flags:
        """Which of these descriptions are taken: of each section the first INTERFACES_MOST."""
        held = len(self) - self._first
        if held + int(described.sum()) <= INTERFACES_MOST:
            return described
        through = np.cumsum(described)
        before = np.maximum.accumulate(np.where(section, through, -held))
        taken: Flags = described & (through - before <= INTERFACES_MOST)
        return taken

    def snaplens(self, position: I64) -> I64:
        """Snap length of each interface by its position; UNLIMITED where it states none."""
        table = np.array([one.snaplen or UNLIMITED for one in self._list] or [UNLIMITED], np.int64)
        return table[position]

    def take(self, kind: int, body: bytes, order: str) -> None:
        """Read a block that is not a packet."""
        if kind == INTERFACE and len(body) >= 8:
            self._list.append(self._described(body, order))
        elif kind == INTERFACE:
            self._list.append(Interface(-1, 0))
        elif kind == STATISTICS and len(body) >= 12:
            which = int(struct.unpack_from(f"{order}I", body)[0])
            if which >= len(self._list) - self._first:
                return
            found = {
                code: int(struct.unpack(f"{order}Q", value)[0])
                for code, value in options(body[12:], order)
                if code in (RECEIVED, INTERFACE_DROPS, SYSTEM_DROPS) and len(value) == 8
            }
            drops = [
                found[code] for code in (INTERFACE_DROPS, SYSTEM_DROPS) if found.get(code, DROPS_MOST) < DROPS_MOST
            ]
            # Counters run from the start of the capture, so that the last block of an interface says it all.
            self._statistics[which] = found.get(RECEIVED, -1), sum(drops) if drops else None

    def count(self, kinds: I64) -> None:
        """Count blocks that hold no packet and are skipped by their length."""
        rest = len(kinds) - int(np.isin(kinds, (SECTION, INTERFACE, STATISTICS)).sum())
        for code, what in (*UNUSED.items(), *((code, "custom content") for code in CUSTOM)) if rest else ():
            if here := int((kinds == code).sum()):
                self._counted[what] = self._counted.get(what, 0) + here
                rest -= here
        if rest:
            self._counted["unknown type"] = self._counted.get("unknown type", 0) + rest

    def _settle(self) -> None:
        """Add up what the interfaces of this section lost."""
        for which, (received, lost) in self._statistics.items():
            if lost is None:
                self._silent = True
                continue
            label = self._list[self._first + which].name or str(which)
            if label not in self._lost and len(self._lost) >= LABELS_MOST:
                label = "others"
            before = self._lost.get(label, (0, 0))
            known = received >= 0 and before[0] >= 0
            self._lost[label] = (before[0] + received if known else -1, before[1] + lost)
        self._statistics.clear()

    def _described(self, body: bytes, order: str) -> Interface:
        link, snaplen = struct.unpack_from(f"{order}HxxI", body)
        found = dict(options(body[8:], order))
        resolution, offset = 6, 0
        if RESOLUTION in found:
            if len(found[RESOLUTION]) == 1:
                resolution = found[RESOLUTION][0]
            else:
                self.ledger.note(
                    f"if_tsresol of interface {len(self) - self._first} has length {len(found[RESOLUTION])}; "
                    "the default of one microsecond is used"
                )
        if OFFSET in found:
            if len(found[OFFSET]) == 8:
                offset = struct.unpack(f"{order}q", found[OFFSET])[0]
            else:
                self.ledger.note(
                    f"if_tsoffset of interface {len(self) - self._first} has length {len(found[OFFSET])}; it is ignored"
                )
        name = printable(found.get(NAME, b"").rstrip(b"\0"))[:NAME_MOST]
        return Interface(link, snaplen, resolution, offset, name)

    def links(self, position: I64) -> I64:
        """Link type of each interface by its position."""
        kinds = [one.link for one in self._list] or [0]
        return constant(kinds[0], len(position)) if len(set(kinds)) == 1 else np.array(kinds, np.int64)[position]

    def times(self, interface: I64, ticks: U64, without: Flags) -> I64:
        """Microseconds since 1970; NO_TIME where the block has none or the time is outside 1970 to 9999."""
        time = np.full(len(interface), NO_TIME, np.int64)
        self._simple += int(without.sum())
        # Grouped by what the clock is, not by interface: a capture may have thousands of those.
        clocks = list(dict.fromkeys((one.resolution, one.offset) for one in self._list))
        index = {clock: place for place, clock in enumerate(clocks)}
        clock_of = np.array([index[one.resolution, one.offset] for one in self._list] or [0], np.int64)[interface]
        clock_of[without] = -1
        one_clock = len(clocks) == 1 and not without.any()
        order = np.arange(len(time)) if one_clock else np.argsort(clock_of, kind="stable")
        bounds = np.searchsorted(clock_of[order], np.arange(len(clocks) + 1))
        for place in np.flatnonzero(np.diff(bounds)).tolist():
            here = order[bounds[place] : bounds[place + 1]]
            micros, fits = micros_of(ticks[here], clocks[place][0])
            shift = clocks[place][1] * 1_000_000
            if abs(shift) > LATEST:
                fits[:] = False
                shift = 0
                self.ledger.note(f"timestamps are unusable: if_tsoffset is {clocks[place][1]} s")
            micros = micros + shift
            fits &= (micros >= 0) & (micros <= LATEST)
            self._unusable += int((~fits).sum())
            time[here[fits]] = micros[fits]
        return time

    def fine(self, interface: I64, ticks: U64) -> I64:
        """Nanoseconds beyond the whole microsecond."""
        resolution = np.array([one.resolution for one in self._list] or [6])[interface]
        out = np.zeros(len(interface), np.int64)
        for code in distinct(resolution).tolist():
            here = resolution == code
            out[here] = fine_of(ticks[here], code)
        return out

    def close(self, *, whole: bool) -> None:
        """Tell what was lost; blocks of unknown types only where not all is `whole`, as they may be damage."""
        self._settle()
        note = self.ledger.note
        if self._simple:
            note(f"{self._simple} packets have no timestamps: time detectors are off for them")
        if self._unusable:
            note(f"{self._unusable} timestamps are outside 1970 to 9999 and count as unknown")
        for what, count in sorted(self._counted.items()):
            if what in UNUSED.values() or not whole:
                note(f"{count} blocks of {what} were not used")
        if total := sum(lost for _, lost in self._lost.values()):
            note(f"{total} packets were dropped at capture time")
        worst = sorted(self._lost.items(), key=lambda item: (-item[1][1], item[0]))
        for label, (received, lost) in worst[:INTERFACES_TOLD]:
            if lost:
                of = f" of {received:,}" if received >= lost else ""
                note(f"interface {label}: {lost:,}{of} packets dropped at capture time")
        if self._silent:
            note("how many packets were dropped at capture time is unknown: statistics without counters")
        if self.dropped:
            note(f"{self.dropped} packets were dropped between captured ones, by the counts in their blocks")


def options(body: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Codes and values of a block's options, as far as they are whole."""
    at = 0
    for _ in range(OPTIONS_MOST):
        if at + 4 > len(body):
            return
        code, length = struct.unpack_from(f"{order}HH", body, at)
        if code == 0 or at + 4 + length > len(body):
            return
        yield code, body[at + 4 : at + 4 + length]
        at += 4 + ((length + 3) & ~3)


def micros_of(ticks: U64, resolution: int) -> tuple[I64, Flags]:
    """Ticks of an if_tsresol as whole microseconds, and which of them fit."""
    power = resolution & 0x7F
    if resolution & 0x80:
        # Split at the second; of more than 40 fraction bits only the upper 40 can reach a microsecond.
        shift = np.uint64(min(power, 63))
        seconds = ticks >> shift
        rest = ticks & ((np.uint64(1) << shift) - np.uint64(1))
        spare = np.uint64(max(int(shift) - 40, 0))
        fraction = ((rest >> spare) * np.uint64(1_000_000)) >> (shift - spare)
        fits = (seconds < np.uint64(LATEST // 1_000_000)) & (power <= 63)
        return np.where(fits, seconds * np.uint64(1_000_000) + fraction, 0).astype(np.int64), fits
    if power >= 6:
        scaled = ticks // np.uint64(10 ** min(power - 6, 19)) if power > 6 else ticks
        fits = scaled <= np.uint64(LATEST)
        return np.where(fits, scaled, 0).astype(np.int64), fits
    factor = np.uint64(10 ** (6 - power))
    fits = ticks <= np.uint64(LATEST) // factor
    return np.where(fits, ticks * factor, 0).astype(np.int64), fits


def fine_of(ticks: U64, resolution: int) -> I64:
    """The nanoseconds of ticks of an if_tsresol that `micros_of` leaves; what is finer still is left out, as Wireshark
    leaves it out."""
    power = resolution & 0x7F
    if resolution & 0x80:
        # Of more than 33 fraction bits the upper 33 tell a nanosecond, and their product with 10^9 fits.
        shift = np.uint64(min(power, 63))
        rest = ticks & ((np.uint64(1) << shift) - np.uint64(1))
        spare = np.uint64(max(int(shift) - 33, 0))
        return ((((rest >> spare) * np.uint64(1_000_000_000)) >> (shift - spare)) % np.uint64(1000)).astype(np.int64)
    if power <= 6:
        return np.zeros(len(ticks), np.int64)
    rest = ticks % np.uint64(10 ** min(power - 6, 19))
    if power <= 9:
        return (rest * np.uint64(10 ** (9 - power))).astype(np.int64)
    return (rest // np.uint64(10 ** min(power - 9, 19))).astype(np.int64)
