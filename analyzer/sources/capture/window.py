"""A window: some whole frames of a capture with what the framing says about them, whatever the file format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from analyzer.errors import InputError
from analyzer.sources.capture.arrays import I64, PAD, U8
from analyzer.sources.capture.marks import Marker
from analyzer.sources.contract import ByteStream, FillingStream, Ledger

SIZE = 16 << 20
"""Bytes read per window: more would take more memory, fewer more turns at the interpreter (measured, 6 to 24 MiB)."""

STEP_BYTES = 1 << 20
"""Bytes that are asked of a stream at a time."""

ROOM_STEP = 1 << 18
"""Bytes that the room of a window is a multiple of: more than is mostly carried over from the one before."""

NO_TIME = np.iinfo(np.int64).min
NO_INTERFACE = -1

LATEST = 253_402_300_799_999_999
"""The last microsecond of the year 9999: what a calendar can still write."""

STEP = 1_000_000
"""Microseconds; an earlier frame by less than this is disorder between queues, not a step of the clock."""

STEPS_TOLD = 3

STOPS_MOST = 1000
"""Damaged places of one window that are mended; then its rest is given up, so that garbage cannot hold us up."""

KEPT = (1 << 20) + (1 << 12)
"""Bytes behind damage, or at the end of a window, that are waited for: what stands there must be decidable."""

REGIONS_TOLD = 8
"""Damaged places that are told one by one."""


@dataclass(frozen=True, slots=True)
class Window:
    """Frames in file order. `data` is padded, and a private copy.

    `start` and `end` bound the captured bytes of each frame in `data`; `wire` is its length on the wire; `time` counts
    microseconds since 1970 (NO_TIME where there is none); `link` is the link type; `interface` the interface's id
    (NO_INTERFACE if unknown); `number` counts frames from 1. `fine` are the nanoseconds beyond `time`, only where they
    were asked for.
    """

    data: U8
    start: I64
    end: I64
    wire: I64
    time: I64
    link: I64
    interface: I64
    number: I64
    fine: I64 | None = None

    def __len__(self) -> int:
        return len(self.start)


def filled(stream: ByteStream, carry: U8, size: int = SIZE) -> tuple[U8, int, bool]:
    """A window's bytes: what was carried over and `size` more, padded; how many there are; whether the input is over.

    Windows must not depend on how a stream happens to cut its reads. Reads go straight to their place: every copy of a
    whole window costs as much as decoding a layer.
    """
    # In whole steps, so that the freed memory of one window is large enough for the next.
    data = np.empty(-(-(len(carry) + size + PAD) // ROOM_STEP) * ROOM_STEP, np.uint8)
    data[: len(carry)] = carry
    at, full = len(carry), len(carry) + size
    fill = stream.fill if isinstance(stream, FillingStream) else None
    while at < full:
        if fill is not None:
            found = fill(data[at:full].data)
        else:
            part = np.frombuffer(stream.read(min(STEP_BYTES, full - at)), np.uint8)
            found = len(part)
            data[at : at + found] = part
        if not found:
            break
        at += found
    data[at : at + PAD] = 0
    return data[: at + PAD], at, at < full


@dataclass(slots=True)
class Losses:
    """Places of the input that no record could be made of, merged while they touch."""

    ledger: Ledger
    _from: int = -1
    _to: int = -1
    _zero: bool = True
    _told: int = 0
    _more: int = 0
    _more_bytes: int = 0

    def lose(self, offset: int, data: U8) -> None:
        """These bytes at this offset of the input belong to no record."""
        if not len(data):
            return
        if offset != self._to:
            self.close()
            self._from, self._zero = offset, True
        self._to = offset + len(data)
        self._zero = self._zero and not data.any()

    def close(self, *, tail: bool = False) -> None:
        """Tell the region. Zero bytes hold no record; anything else was at least one."""
        if self._from < 0:
            return
        count = self._to - self._from
        text = f"{count} bytes at offset {self._from} could not be read"
        if not self._zero:
            self.ledger.skip("damaged record", [f"offset {self._from}"])
        else:
            text = f"zero-filled tail of {count} bytes" if tail else f"{count} zero bytes at offset {self._from}"
        if self._told < REGIONS_TOLD or tail:
            self._told += 1
            self.ledger.note(text)
        else:
            self._more += 1
            self._more_bytes += count
        self._from = self._to = -1

    def total(self) -> None:
        """Tell of the regions that were not told one by one."""
        if self._more:
            self.ledger.note(f"{self._more_bytes} bytes at {self._more} further places could not be read or are zero")


@dataclass(slots=True)
class Tally:
    """What is counted through all files of one input.

    `corrupt` is where the first damage of a pcapng file begins, `stops` counts the places of this window at which a
    walk had to be begun anew. With `fine` the windows tell nanoseconds.
    """

    ledger: Ledger
    number: int = 0
    long: int = 0
    carried: int = 0
    corrupt: int = -1
    stops: int = 0
    fine: bool = False
    marker: Marker = field(default_factory=Marker)
    losses: Losses = field(init=False)

    def __post_init__(self) -> None:
        self.losses = Losses(self.ledger)

    def numbers(self, count: int) -> I64:
        """The numbers of the next frames."""
        self.number += count
        return np.arange(self.number - count + 1, self.number + 1)

    def close(self) -> None:
        """Tell what concerns the whole input; raises InputError where damage left no packet at all."""
        if not self.number and self.corrupt >= 0:
            raise InputError(f"corrupt block at offset {self.corrupt}; no packet could be read")
        self.losses.total()
        if self.carried:
            self.ledger.note(
                f"{self.carried} packets state a fraction of a whole second or more; it was carried into the seconds"
            )
        if self.long:
            self.ledger.note(f"captured length greater than original length in {self.long} packets")


@dataclass(slots=True)
class Clock:
    """Watches the times of successive frames for steps back.

    It tells at the end: what the framing tells goes before it, however far it reads ahead of the decoding.
    """

    ledger: Ledger
    _notes: list[str] = field(default_factory=list)
    _last: int = NO_TIME
    _steps: int = 0

    def watch(self, time: I64, number: I64) -> None:
        known = time != NO_TIME
        times, numbers = (time, number) if known.all() else (time[known], number[known])
        if not len(times):
            return
        before = self._last if self._last != NO_TIME else int(times[0])
        self._last = int(times[-1])
        # Nearly all windows have no step: the gaps between their frames are looked at once.
        if times[0] - before <= -STEP or (len(times) > 1 and (times[1:] - times[:-1]).min() <= -STEP):
            gaps = np.diff(times, prepend=before)
            self._stepped(gaps, np.flatnonzero(gaps <= -STEP), numbers)

    def _stepped(self, gaps: I64, places: I64, numbers: I64) -> None:
        # How far the clock stepped is told against the usual gap between frames.
        usual = max(int(np.median(gaps)), 0) if len(gaps) > 1 else 0
        for place in places.tolist():
            self._steps += 1
            if self._steps <= STEPS_TOLD:
                self._notes.append(
                    f"clock stepped {_seconds(int(gaps[place]) - usual)} s at packet {int(numbers[place])}"
                )

    def close(self) -> None:
        for note in self._notes:
            self.ledger.note(note)
        if self._steps > STEPS_TOLD:
            self.ledger.note(f"clock stepped back {self._steps} times in all")


def _seconds(micros: int) -> str:
    return f"{micros / 1e6:.6f}".rstrip("0").rstrip(".")


def joined(parts: list[Window], data: U8) -> Iterator[Window]:
    """The parts of one buffer as one window; nothing if they hold no frame."""
    filled = [part for part in parts if len(part)]
    if len(filled) == 1:
        yield filled[0]
    elif filled:
        names = ["start", "end", "wire", "time", "link", "interface", "number"]
        names += ["fine"] if all(part.fine is not None for part in filled) else []
        yield Window(data, *(np.concatenate([getattr(part, name) for part in filled]) for name in names))
