"""pcap: a file header, then records. Damage is skipped to the next plausible record and told with its place."""

from __future__ import annotations

import numpy as np
from msgspec import Struct, field

from analyzer.sources.capture.arrays import I64, U8, constant, every_word, no_offsets
from analyzer.sources.capture.heads import PCAP_WORDS, begins, next_head, stretches
from analyzer.sources.capture.lanes import walk
from analyzer.sources.capture.pcap_format import (
    CAPTURED_MOST,
    NEAR,
    WIRE_MOST,
    PcapFormat,
)
from analyzer.sources.capture.window import KEPT, NO_INTERFACE, STOPS_MOST, Tally, Window

LANE_BYTES = 24 << 10
DOUBTED = 8
"""Records before damage that may be another file's header, which is as long as one and a half."""
STRETCH = 8 << 10
"""Bytes walked at first behind damage or a file header, then ever more, so that the work stays linear."""


class PcapReader(Struct):
    """The records of one file, window by window. `near` is the time of its first record in seconds; `known` are records
    that were walked last, with the fields of those and maybe more behind them."""

    form: PcapFormat
    tally: Tally
    near: int | None = None
    lost: bool = False
    known: tuple[I64, I64] = field(default_factory=lambda: (no_offsets(), no_offsets()))

    def windows(self, data: U8, at: int, size: int, base: int, *, final: bool) -> tuple[list[Window], int]:
        """The frames of data[at:size], and from where to go on: a cut record, the last one, or another file."""
        offsets, stop = self._offsets(data, at, size, base, final=final)
        self.tally.marker.add(self.tally.number, base + offsets)
        window = [self._window(data, offsets)] if len(offsets) else []
        # Until the next window they would only take memory.
        self.known = no_offsets(), no_offsets()
        return window, stop

    def _offsets(self, data: U8, at: int, size: int, base: int, *, final: bool) -> tuple[I64, int]:
        parts: list[I64] = []
        while True:
            if not self.lost:
                found, at = self._run(data, at, size, fast=not at)
                another = begins(data, at, size) != ""
                damaged = not another and self._damaged(data, found, at, size, final)
                waiting = not final and not another and (not damaged or size - at < KEPT)
                if waiting and len(found):
                    # Whether the last record was whole is only known from what stands behind it.
                    found, at = self._held(data, found)
                elif damaged:
                    found, at = self._proven(data, found, at, size, final)
                parts.append(found)
                if waiting or not damaged:
                    break
            self.tally.stops += 1
            start = self._next(data, at + (not self.lost), size, final)
            self.lost = start < 0 or self.tally.stops > STOPS_MOST
            resumed = start if not self.lost else size if final else max(at, size - KEPT)
            self.tally.losses.lose(base + at, data[at:resumed])
            at = resumed
            if self.lost or begins(data, at, size):
                break
        return parts[0] if len(parts) == 1 else np.concatenate([no_offsets(), *parts]), at

    def _run(self, data: U8, at: int, size: int, *, fast: bool) -> tuple[I64, int]:
        """The chain from here until something stops it or a header cannot be one."""
        if fast:
            return self._stretch(data, at, size)[:2]
        parts = [no_offsets()]
        length = STRETCH
        while True:
            limit = min(size, at + length)
            found, stop, odd = self._stretch(data, at, limit)
            parts.append(found)
            at, length = stop, length * 2
            if odd or limit == size:
                return np.concatenate(parts), at

    def _stretch(self, data: U8, at: int, size: int) -> tuple[I64, int, bool]:
        """The chain up to `size`, where it stopped, and whether that was at a header that is none."""
        step = walk(self.form, data, at, size, LANE_BYTES)
        if not len(step.offsets):
            return step.offsets, step.stop, False
        if self.near is None:
            self.near = int(self.form.fields_at(data, int(step.offsets[0]))[0])
        heads = self.form.heads(data, step.offsets, self.near)
        first = heads.first_odd
        if heads.far:
            first = min(first, self._first_head(data, step.offsets, heads.fields[:, 0], self.near, size))
        odd = first < len(step.offsets)
        self.known = step.offsets[:first] if odd else step.offsets, heads.fields
        return self.known[0], int(step.offsets[first]) if odd else step.stop, odd

    def _first_head(self, data: U8, offsets: I64, seconds: I64, near: int, size: int) -> int:
        """The first of the records that is another file's header, which reads as a record of another time; their number
        if none is."""
        far = np.flatnonzero(np.abs(seconds - near) > NEAR)
        words = PCAP_WORDS if self.form.order == "<" else PCAP_WORDS.astype(np.uint32).byteswap().astype(np.int64)
        places = far[np.isin(seconds[far], words)].tolist()
        return next((place for place in places if begins(data, int(offsets[place]), size)), len(offsets))

    def _held(self, data: U8, found: I64) -> tuple[I64, int]:
        """Without the last records, and where those start."""
        count, (run, fields) = self._sane(data, found), self.known
        at = int(found[count])
        if run is found:
            self.known = found[:count], fields
            return self.known[0], at
        return found[:count], at

    def _sane(self, data: U8, found: I64) -> int:
        """Which record is the last without anything strange; another file's header may stand in it or behind it."""
        first = max(len(found) - DOUBTED, 0)
        for place in range(len(found) - 1, first, -1):
            fields = self.form.fields_at(data, int(found[place]))
            if abs(int(fields[0]) - (self.near or 0)) <= NEAR and self.form.plausible(fields):
                return place
        return first

    def _damaged(self, data: U8, found: I64, at: int, size: int, final: bool) -> bool:
        """Whether the walk stopped at damage rather than at a record that goes on behind the window."""
        if size - at < self.form.header:
            return False
        fields = self.form.fields_at(data, at)
        if self.form.odd(fields, self.near if self.near is not None else int(fields[0])):
            return True
        # A length that points behind the end is a cut record, unless good records follow: then the length is wrong.
        first = int(found[self._sane(data, found)]) if len(found) else at
        inside = final and at < size and next_head(data, first + 1, at, size, final=final) >= 0
        return inside or (final and at < size and self._next(data, at + 1, size, final) >= 0)

    def _proven(self, data: U8, found: I64, at: int, size: int, final: bool) -> tuple[I64, int]:
        """Without the last records where the damage comes from their length, or where another file begins in them."""
        if not len(found):
            return found, at
        first = int(found[self._sane(data, found)])
        if (head := next_head(data, first + 1, at, size, final=final)) >= 0:
            kept = found[: int(np.searchsorted(found, head)) - 1]
            return kept, int(found[len(kept)])
        captured, wire = self.form.fields_at(data, int(found[-1]))[2:]
        if captured > wire:
            return found[:-1], int(found[-1])
        return found, at

    def _next(self, data: U8, at: int, size: int, final: bool) -> int:
        """The next place where a chain of plausible records or another file starts; -1 if there is none."""
        word = every_word(data, size, self.form.order)
        for first, last in stretches(at, len(word) - 12):
            captured, wire = word[first + 8 : last + 8], word[first + 12 : last + 12]
            if self.form.swapped:
                captured, wire = np.minimum(captured, wire), np.maximum(captured, wire)
            good = (captured <= CAPTURED_MOST) & (captured > 0) & (captured <= wire) & (wire <= WIRE_MOST)
            maybe = np.flatnonzero(good) + first
            found = maybe[self.form.chained(data, size, maybe, final=final)]
            nearest = int(found[0]) if len(found) else last
            if (head := next_head(data, first, nearest, size, final=final)) >= 0 or len(found):
                return head if head >= 0 else nearest
        return -1

    def _window(self, data: U8, offsets: I64) -> Window:
        # Without damage the walk of the window was one run, and its headers are at hand.
        run, fields = self.known
        if run is not offsets:
            fields = self.form.fields(data, offsets)
        count, tally = len(offsets), self.tally
        columns = self.form.columns(offsets, fields)
        tally.carried += columns.carried
        tally.long += columns.long
        return Window(
            data,
            columns.start,
            columns.end,
            columns.wire,
            columns.time,
            constant(self.form.link, count),
            constant(NO_INTERFACE, count),
            tally.numbers(count),
            self._fine(fields[:count, 1]) if tally.fine else None,
        )

    def _fine(self, fraction: I64) -> I64:
        """Nanoseconds beyond the whole microsecond."""
        per_micro = self.form.fraction // 1_000_000
        return fraction % per_micro * (1000 // per_micro)

    def close(self, offset: int) -> None:
        """Nothing stays open between records."""
        del offset
