"""pcap: a 24-byte file header, then records. Both byte orders, microseconds and nanoseconds, Kuznetzov's variant.

File layout: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-03.html (libpcap's savefile format).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from analyzer.errors import InputError
from analyzer.sources.capture.arrays import (
    I64,
    U8,
    Flags,
    every_word,
    gather,
    no_offsets,
    padded,
    run_starts,
    words_near,
)
from analyzer.sources.capture.lanes import walk
from analyzer.sources.capture.window import NO_INTERFACE, SIZE, Losses, Window, read_full
from analyzer.sources.contract import ByteStream, Ledger

MAGICS = {
    b"\xa1\xb2\xc3\xd4": (">", 1_000_000, 16),
    b"\xd4\xc3\xb2\xa1": ("<", 1_000_000, 16),
    b"\xa1\xb2\x3c\x4d": (">", 1_000_000_000, 16),
    b"\x4d\x3c\xb2\xa1": ("<", 1_000_000_000, 16),
    b"\xa1\xb2\xcd\x34": (">", 1_000_000, 24),
    b"\x34\xcd\xb2\xa1": ("<", 1_000_000, 24),
}
"""Magic as the first four bytes: byte order, fractions of a second, length of a record header (24 is Kuznetzov's)."""

HEADER = 24
CAPTURED_MOST = 262_144
"""Most bytes of one packet (libpcap MAXIMUM_SNAPLEN, Wireshark WTAP_MAX_PACKET_SIZE_STANDARD)."""
WIRE_MOST = 1 << 24
NEAR = 30 * 86_400
"""Seconds; a record further than this from the first one is odd, which alone is no proof of damage."""
CHAINED = 3
"""Headers that must follow plausibly before a place inside damage is believed to be a record."""
SYNC_BYTES = (512, 2048)
"""How far behind a bound a record is looked for, first near, then for the lanes that found none further."""
SCANNED = 1 << 18
"""Places tried at a time inside damage, so that memory stays flat."""
KEPT = (CHAINED + 1) * (CAPTURED_MOST + HEADER)
"""Bytes at the end of a window in which a chain may not be decidable yet."""


@dataclass(frozen=True, slots=True)
class PcapFormat:
    """What the file header says; also the chain of records (lanes.Chain)."""

    order: str
    fraction: int
    header: int
    link: int
    snaplen: int
    _sizes: struct.Struct = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sizes", struct.Struct(f"{self.order}4I"))

    def fields(self, data: U8, at: I64) -> I64:
        """Seconds, fraction, captured and original length of each record as an (N, 4) matrix."""
        # Column after column: whoever asks works on columns.
        return gather(data, at, 16).view(f"{self.order}u4").astype(np.int64, order="F")

    def sizes(self, data: U8, at: I64) -> I64:
        captured = every_word(data, len(data), self.order)[at + 8].astype(np.int64)
        return (captured + self.header) * (captured <= CAPTURED_MOST)

    def size_at(self, data: memoryview, at: int) -> int:
        captured = int(self._sizes.unpack_from(data, at)[2])
        return captured + self.header if captured <= CAPTURED_MOST else 0

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

    def odd(self, fields: I64, near: I64 | int) -> Flags:
        """Headers that cannot be a record: impossible, or strange in two ways at once (one way is tolerated)."""
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
        """Headers without anything strange."""
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


def pcap_format(head: bytes) -> PcapFormat:
    """The format that the file header states; raises InputError where it is none."""
    if head[:4] not in MAGICS:
        raise InputError(f"not a capture file (magic {head[:4].hex()})" if head else "empty file")
    if len(head) < HEADER:
        raise InputError(f"pcap file header cut at {len(head)} of {HEADER} bytes; look for a whole copy")
    order, fraction, header = MAGICS[head[:4]]
    snaplen, link = struct.unpack_from(f"{order}II", head, 16)
    # The upper bits tell the length of a frame check sequence; anything in the reserved ones makes the type unknown.
    return PcapFormat(order, fraction, header, link & 0xFFFF if not link & 0x03FF0000 else link, snaplen)


def windows(stream: ByteStream, ledger: Ledger, size: int = SIZE) -> Iterator[Window]:
    """All frames of a pcap stream. Damage is skipped to the next plausible record and told with its place."""
    head = read_full(stream, HEADER)
    form = pcap_format(head)
    offset, carry = HEADER, np.empty(0, np.uint8)
    reader = _Reader(form, ledger)
    final = False
    while not final:
        chunk = read_full(stream, size)
        final = len(chunk) < size
        data = padded(carry, chunk)
        length = len(carry) + len(chunk)
        offsets, stop = reader.offsets(data, length, offset, final=final)
        if len(offsets):
            yield reader.window(data, offsets)
        carry = data[stop:length].copy()
        offset += stop
    reader.close()


@dataclass(slots=True)
class _Reader:
    form: PcapFormat
    ledger: Ledger
    near: int | None = None
    number: int = 0
    long: int = 0
    carried: int = 0
    lost: bool = False
    known: tuple[I64, I64] = field(default_factory=lambda: (no_offsets(), no_offsets()))
    losses: Losses = field(init=False)

    def __post_init__(self) -> None:
        self.losses = Losses(self.ledger)

    def offsets(self, data: U8, size: int, base: int, *, final: bool) -> tuple[I64, int]:
        """Offsets of whole records in data[:size], and from where the next window has to go on."""
        parts: list[I64] = []
        at, fast = 0, True
        starts: I64 | None = None
        while True:
            if not self.lost:
                found, at = self._run(data, at, size, fast)
                fast = False
                parts.append(found)
                if not self._damaged(data, at, size, final):
                    break
                if len(found) and self._lies(data, int(found[-1])):
                    parts[-1], at = found[:-1], int(found[-1])
            if starts is None:
                starts = self._starts(data, size, final=final)
            after = int(np.searchsorted(starts, at + (not self.lost)))
            resumed = int(starts[after]) if after < len(starts) else size if final else max(at, size - KEPT)
            self.losses.lose(base + at, data[at:resumed])
            self.lost = after >= len(starts)
            at = resumed
            if self.lost:
                break
        if final:
            self._finish(data, at, size, base)
        return parts[0] if len(parts) == 1 else np.concatenate([no_offsets(), *parts]), at

    def _run(self, data: U8, at: int, size: int, fast: bool) -> tuple[I64, int]:
        """The chain from here until something stops it or a header cannot be one."""
        lane_bytes = 24 << 10 if fast else size
        step = walk(self.form, data, at, size, lane_bytes)
        if not len(step.offsets):
            return step.offsets, step.stop
        fields = self.form.fields(data, step.offsets)
        if self.near is None:
            self.near = int(fields[0, 0])
        odd = self.form.odd(fields, self.near)
        self.known = step.offsets, fields
        if odd.any():
            first = int(np.argmax(odd))
            return step.offsets[:first], int(step.offsets[first])
        return step.offsets, step.stop

    def _damaged(self, data: U8, at: int, size: int, final: bool) -> bool:
        """Whether the walk stopped at damage rather than at a record that goes on behind the window."""
        if size - at < self.form.header:
            return final and size > at and not data[at:size].any()
        fields = self.form.fields(data, np.array([at]))
        if self.form.odd(fields, self.near if self.near is not None else fields[:, 0])[0]:
            return True
        # A length that points behind the end is a cut record, unless good records follow: then the length is wrong.
        return final and at < size and len(self._starts(data[at + 1 :], size - at - 1, final=True)) > 0

    def _lies(self, data: U8, at: int) -> bool:
        captured, wire = self.form.fields(data, np.array([at]))[0, 2:]
        return bool(captured > wire)

    def _starts(self, data: U8, size: int, *, final: bool) -> I64:
        """Every place where a chain of plausible records starts."""
        word = every_word(data, size, self.form.order)
        if len(word) < 16:
            return no_offsets()
        found = []
        for first in range(0, len(word) - 12, SCANNED):
            last = min(first + SCANNED, len(word) - 12)
            captured, wire = word[first + 8 : last + 8], word[first + 12 : last + 12]
            good = (captured <= CAPTURED_MOST) & (captured > 0) & (captured <= wire) & (wire <= WIRE_MOST)
            maybe = np.flatnonzero(good) + first
            found.append(maybe[self.form.chained(data, size, maybe, final=final)])
        return np.concatenate(found)

    def _finish(self, data: U8, at: int, size: int, base: int) -> None:
        if at < size:
            self.ledger.tail()
        self.losses.close(tail=at >= size)

    def window(self, data: U8, offsets: I64) -> Window:
        # Without damage the walk of the window was one run, and its headers are at hand.
        run, fields = self.known
        if run is not offsets:
            fields = self.form.fields(data, offsets)
        count = len(offsets)
        micros = fields[:, 1] // (self.form.fraction // 1_000_000)
        time = fields[:, 0] * 1_000_000 + micros
        carried = fields[:, 1] >= self.form.fraction
        self.carried += int(carried.sum())
        self.long += int((fields[:, 2] > fields[:, 3]).sum())
        start = offsets + self.form.header
        number = np.arange(self.number + 1, self.number + 1 + count)
        self.number += count
        return Window(
            data,
            start,
            start + fields[:, 2],
            fields[:, 3],
            time,
            np.full(count, self.form.link),
            np.full(count, NO_INTERFACE),
            number,
        )

    def close(self) -> None:
        if self.carried:
            self.ledger.note(
                f"{self.carried} packets state a fraction of a whole second or more; it was carried into the seconds"
            )
        if self.long:
            self.ledger.note(f"captured length greater than original length in {self.long} packets")
