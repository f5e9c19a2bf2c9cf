"""Where frames stand in a capture, marked while it is read, so that to quote one nobody walks there again.

A capture whose head describes all its interfaces can be cut between any two records: its head and some runs of records
are a capture too. So the quoted frames are read from such a shorter one, by the same framing.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from msgspec import Struct, field

from analyzer.errors import InputError
from analyzer.sources.capture.arrays import I64
from analyzer.sources.contract import Marks, SkippingStream

EVERY = 512
"""Frames from one mark to the next: some 100 kB."""

MARKS_MOST = 1 << 13
"""Marks of one input; where there are more, every second is dropped, so that they stay small beside the tables."""


class Marker(Struct):
    """Collects the marks of one input. It is `void` where a part of the input is not read as it would be alone: behind
    damage, another file, or an interface that is described between packets."""

    every: int = field(default_factory=lambda: EVERY)
    void: bool = False
    _offsets: list[int] = field(default_factory=list)

    def add(self, before: int, at: I64) -> None:
        """Frames that start at these offsets of the input, after so many others."""
        self._offsets += at[-before % self.every :: self.every].tolist()
        while len(self._offsets) > MARKS_MOST:
            del self._offsets[1::2]
            self.every *= 2

    def marks(self) -> Marks | None:
        """What was marked; None where a walk is as good."""
        if self.void or len(self._offsets) < 2:
            return None
        return Marks(self.every, tuple(self._offsets))


class Excerpt:
    """The head of a capture and the runs of frames in which the wanted ones are; a ByteStream.

    Raises InputError for marks that cannot be.
    """

    def __init__(self, stream: SkippingStream, marks: Marks, wanted: I64) -> None:
        offsets = (0, *marks.offsets[1:])
        if marks.every < 1 or any(second <= first for first, second in pairwise(offsets)):
            raise InputError("the marks of its records do not ascend")
        self._runs = np.unique(np.append(np.clip((wanted - 1) // marks.every, 0, len(offsets) - 1), 0))
        self._every = marks.every
        self._stream = stream
        self._at = 0
        ends = (*offsets[1:], None)
        self._parts = [(offsets[run], ends[run]) for run in self._runs.tolist()]

    def numbers(self, nth: I64) -> I64:
        """The numbers in the whole capture of frames that are counted from 1 in this one."""
        run, place = np.divmod(nth - 1, self._every)
        return self._runs[np.minimum(run, len(self._runs) - 1)] * self._every + place + 1

    def read(self, size: int) -> bytes:
        """The next bytes, at most so many; b'' at the end and only there."""
        while self._parts:
            start, end = self._parts[0]
            if self._at < start:
                self._stream.skip(start - self._at)
                self._at = start
            part = self._stream.read(size if end is None else min(size, end - self._at))
            self._at += len(part)
            if part:
                return part
            del self._parts[0]
        return b""
