"""What the file header of a pcap file says, and the chain of records behind it.

File layout: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-03.html. Older versions and other writers' variants
are read as libpcap (sf-pcap.c) and Wireshark (wiretap/libpcap.c) read them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from msgspec import Struct

from analyzer import kernels
from analyzer.errors import InputError
from analyzer.sources.capture.arrays import I64, U8, Flags, every_word, gather, run_starts, words_near

STANDARD, NANO, MODIFIED = 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34
IXIA = (0x1C0001AC, 0x1C0001AB)
_KINDS = {STANDARD: (1_000_000, 16, 24), NANO: (1_000_000_000, 16, 24), MODIFIED: (1_000_000, 24, 24)}
_KINDS |= dict.fromkeys(IXIA, (1_000_000, 16, 28))
MAGICS = {
    magic.to_bytes(4, "big" if order == ">" else "little"): (order, *kind)
    for magic, kind in _KINDS.items()
    for order in (">", "<")
}
"""Magic as the first four bytes: byte order, fractions of a second, length of a record header and of the file header.

Kuznetsov's modified form has longer record headers; Ixia's has one more word in the file header."""

OTHER_HEADERS = {16: {24: "Red Hat 6.1", 20: "Nokia"}, 24: {28: "SuSE 6.3"}}
"""Record headers that the tcpdump of these systems wrote under the magic of another length."""

HEADER = 24
CAPTURED_MOST = 262_144
"""Most bytes of one packet (libpcap MAXIMUM_SNAPLEN, Wireshark WTAP_MAX_PACKET_SIZE_STANDARD)."""
WIRE_MOST = 1 << 24
NEAR = 30 * 86_400
"""Seconds; a record further than this from the first one is odd, which alone is no proof of damage."""
CHAINED = 3
"""Headers that must follow plausibly before a place inside damage is believed to be a record."""
FIELDS_COMPILED = 256
"""Records from which it pays to ask a kernel for their heads."""
SYNC_BYTES = (512, 2048)
"""How far behind a bound a record is looked for, first near, then for the lanes that found none further."""

DG_UX = 543
"""Major version that the tcpdump of DG/UX writes."""
_AIX_LINKS = {6: 1, 9: 6, 15: 10, 24: 0}
"""AIX writes version 2.2, nanoseconds, and RFC 1573 interface types: what LINKTYPE each one is."""


class Heads(Struct, frozen=True):
    """`first_odd` is the place of the first that cannot be a record, or how many there are; `far` whether any is of
    another time."""

    fields: I64
    first_odd: int
    far: bool


class Columns(Struct, frozen=True):
    """What a window tells of its records; how many state a fraction of a second or more, and how many a captured length
    greater than the original one."""

    start: I64
    end: I64
    wire: I64
    time: I64
    carried: int
    long: int


@dataclass(frozen=True, slots=True)
class PcapFormat:
    """What the file header says; also the chain of records (lanes.Chain).

    With `swapped` the two lengths of a record may stand in either order: the smaller one is the captured length.
    """

    order: str
    fraction: int
    header: int
    link: int
    snaplen: int
    swapped: bool = False
    file_header: int = HEADER
    _sizes: struct.Struct = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sizes", struct.Struct(f"{self.order}4I"))

    def fields(self, data: U8, at: I64) -> I64:
        """Seconds, fraction, captured and original length of each record as an (N, 4) matrix."""
        # Column after column: whoever asks works on columns.
        if len(at) >= FIELDS_COMPILED:
            columns = np.empty((4, len(at)), np.int64)
            if kernels.call("pcap_fields", data, at, columns, int(self.order == ">"), int(self.swapped)) is not None:
                return columns.T
        out: I64 = gather(data, at, 16).view(f"{self.order}u4").astype(np.int64, order="F")
        if self.swapped:
            out[:, 2:] = np.sort(out[:, 2:], axis=1)
        return out

    def heads(self, data: U8, at: I64, near: int) -> Heads:
        """The same, looked at: whether they can be records that began near this time."""
        if len(at) >= FIELDS_COMPILED:
            columns, far = np.empty((4, len(at)), np.int64), np.empty(1, np.int64)
            form = int(self.order == ">"), int(self.swapped), self.fraction
            limits = near, NEAR, CAPTURED_MOST, WIRE_MOST
            if (first := kernels.call("pcap_heads", data, at, columns, far, *form, *limits)) is not None:
                return Heads(columns.T, first, bool(far[0]))
        fields = self.fields(data, at)
        odd, seconds = self.odd(fields, near), fields[:, 0]
        first = int(np.argmax(odd)) if odd.any() else len(at)
        return Heads(fields, first, bool(len(at) and (seconds.max() - near > NEAR or near - seconds.min() > NEAR)))

    def fields_at(self, data: U8, at: int) -> I64:
        """The four of one record, which are quicker had by themselves."""
        seconds, fraction, *lengths = self._sizes.unpack_from(data.data, at)
        return np.array([seconds, fraction, *(sorted(lengths) if self.swapped else lengths)], np.int64)

    def sizes(self, data: U8, at: I64) -> I64:
        word = every_word(data, len(data), self.order)
        captured = word[at + 8].astype(np.int64)
        if self.swapped:
            captured = np.minimum(captured, word[at + 12])
        return (captured + self.header) * (captured <= CAPTURED_MOST)

    def size_at(self, data: memoryview, at: int) -> int:
        lengths = self._sizes.unpack_from(data, at)[2:]
        captured = int(min(lengths) if self.swapped else lengths[0])
        return captured + self.header if captured <= CAPTURED_MOST else 0

    def compiled(self, data: U8, start: int, size: int, lanes: int, offsets: I64, stop: I64) -> int | None:
        form = self.order == ">", self.swapped, self.header, CAPTURED_MOST
        return kernels.call("pcap_walk", data, offsets, stop, start, size, lanes, *map(int, form))

    def sync(self, data: U8, size: int, bounds: I64) -> I64:
        found = np.full(len(bounds), -1, np.int64)
        for near in SYNC_BYTES:
            rows = np.flatnonzero((found < 0) & (bounds + near + 16 < size))
            captured, wire = words_near(data, bounds[rows], near, (8, 12), self.order)
            maybe = (captured > 0) & (captured <= wire) & (wire <= CAPTURED_MOST)
            lane, place = np.divmod(np.flatnonzero(maybe), near)
            at = bounds[rows][lane] + place
            good = self.chained(data, size, at, final=False)
            lane, at = lane[good], at[good]
            index = run_starts(lane)
            found[rows[lane[index]]] = at[index]
        return found

    def columns(self, offsets: I64, fields: I64) -> Columns:
        """Of the records at these places, the first that `fields` tells of."""
        micro = self.fraction // 1_000_000
        if len(offsets) >= FIELDS_COMPILED:
            start, end, wire, time = (np.empty(len(offsets), np.int64) for _ in range(4))
            counts = np.empty(2, np.int64)
            made = start, end, wire, time, counts
            if kernels.call("pcap_columns", offsets, fields.T, *made, self.header, self.fraction, micro) is not None:
                return Columns(start, end, wire, time, *counts.tolist())
        seconds, fraction, captured, wire = fields[: len(offsets)].T
        start = offsets + self.header
        return Columns(
            start=start,
            end=start + captured,
            # Not a view, which would keep all four.
            wire=wire.copy(),
            time=seconds * 1_000_000 + fraction // micro,
            carried=int((fraction >= self.fraction).sum()),
            long=int((captured > wire).sum()),
        )

    def odd(self, fields: I64, near: int) -> Flags:
        """Headers (or the one) that cannot be a record: impossible, or strange in two ways at once (one way is
        tolerated)."""
        seconds, fraction, captured, wire = fields.T
        strange = (
            (np.abs(seconds - near) > NEAR).astype(np.int8)
            + (fraction >= self.fraction)
            + (captured > wire)
            + (wire > WIRE_MOST)
        )
        bad: Flags = (captured > CAPTURED_MOST) | (strange >= 2) | ((seconds | fraction | captured | wire) == 0)
        return bad

    def plausible(self, fields: I64) -> Flags:
        """Headers (or the one) without anything strange."""
        _, fraction, captured, wire = fields.T
        good: Flags = (
            (captured > 0)
            & (captured <= CAPTURED_MOST)
            & (captured <= wire)
            & (wire <= WIRE_MOST)
            & (fraction < self.fraction)
        )
        return good

    def chained(self, data: U8, size: int, at: I64, *, final: bool) -> Flags:
        """Whether a chain of plausible headers, near in time, starts at each place."""
        fields = self.fields(data, at)
        first = fields[:, 0]
        alive = self.plausible(fields) & (at + self.header <= size)
        here = np.where(alive, at + self.header + fields[:, 2], 0)
        ended = np.zeros(len(at), bool)
        for _ in range(CHAINED):
            ended |= final & (here == size)
            fields = self.fields(data, np.where(alive & ~ended, here, 0))
            good = self.plausible(fields) & (np.abs(fields[:, 0] - first) <= NEAR) & (here + self.header <= size)
            alive &= ended | good
            here = np.where(alive & ~ended, here + self.header + fields[:, 2], here)
        return alive & (ended | (here <= size))

    def others(self) -> Iterator[tuple[PcapFormat, str]]:
        """The same with the record headers of systems that did not say so in their magic, and their names."""
        if self.fraction == 1_000_000:
            for length, name in OTHER_HEADERS.get(self.header, {}).items():
                yield replace(self, header=length), name


def pcap_format(head: bytes) -> PcapFormat:
    """The format that the file header states; raises InputError where it is none."""
    if head[:4] not in MAGICS:
        raise InputError(f"not a capture file (magic {head[:4].hex()})" if head else "empty file")
    order, fraction, header, length = MAGICS[head[:4]]
    if len(head) < length:
        raise InputError(f"pcap file header cut at {len(head)} of {length} bytes; look for a whole copy")
    major, minor = struct.unpack_from(f"{order}HH", head, 4)
    snaplen, link = struct.unpack_from(f"{order}II", head, 16)
    if major < 2:
        raise InputError(f"unsupported pcap version {major}.{minor}; save it as version 2.4 with an old tcpdump -w")
    if (major, minor) == (2, 2) and header == 16 and fraction == 1_000_000 and link in _AIX_LINKS:
        fraction, link = 1_000_000_000, _AIX_LINKS[link]
    # The upper bits tell the length of a frame check sequence; anything in the reserved ones makes the type unknown.
    link = link & 0xFFFF if not link & 0x03FF0000 else link
    # Before version 2.3 the original length came first, and some writers of 2.3 had not changed yet.
    swapped = (major == 2 and minor <= 3) or major == DG_UX
    return PcapFormat(order, fraction, header, link, snaplen, swapped, length)
