"""Walks a chain of records with many lanes in lockstep, and proves that the result is the sequential walk.

Each record says where the next one starts, so the chain is sequential by nature. A window is cut into lanes that start
at plausible places; one NumPy step moves all lanes by one record. Afterwards the lanes must link: lane i has to end
exactly where lane i + 1 began. Lane 0 starts at a known record, so linked lanes are the sequential walk by induction.
Where lanes do not link, the walk goes on record by record from the last proven place until it meets a lane again.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from msgspec import Struct

from analyzer import kernels
from analyzer.sources.capture.arrays import I64, U8, distinct, no_offsets

LANE_BYTES = 12 << 10
LANES_MOST = 1024
LANES_LEAST = 16
"""Fewer lanes than this cost more in NumPy calls than a plain loop over the records."""
RECORD_LEAST = 12
"""Bytes of the shortest record of any format: an empty block of pcapng."""
COMPILED_LEAST = 256
"""Bytes from which it pays to ask for a kernel."""
LANES_COMPILED, LANE_COMPILED_LEAST = 8, 64 << 10
"""Lanes of the kernel's walk (measured: 30 ns a record with 8, 40 with 4, 35 with 16), and the bytes of each that are
worth the search for its start."""


class Chain(Protocol):
    """How one format chains its records."""

    def sizes(self, data: U8, at: I64) -> I64:
        """Bytes from each record to the next; 0 where the walk must stop."""

    def size_at(self, data: memoryview, at: int) -> int:
        """The same for one record."""

    def sync(self, data: U8, size: int, bounds: I64) -> I64:
        """A plausible record start at or soon after each bound; -1 where none was found. A hint, never believed."""

    def compiled(self, data: U8, start: int, size: int, lanes: int, offsets: I64, stop: I64) -> int | None:
        """The walk by a kernel: how many offsets it wrote; None where there is no kernel."""


class Walk(Struct, frozen=True):
    """Offsets of whole records, and where the walk stopped: at the end, at an incomplete record, or at damage."""

    offsets: I64
    stop: int


def walk_plain(chain: Chain, data: memoryview, start: int, size: int, until: frozenset[int] = frozenset()) -> Walk:
    """The sequential walk, one record at a time; stops early at a place in `until`."""
    found: list[int] = []
    at = start
    while at < size:
        step = chain.size_at(data, at) if at + 4 <= size else 0
        if step <= 0 or at + step > size:
            break
        found.append(at)
        at += step
        if at in until:
            break
    return Walk(np.array(found, np.int64), at)


def walk(chain: Chain, data: U8, start: int, size: int, lane_bytes: int = LANE_BYTES) -> Walk:
    """The same offsets and stop as walk_plain(chain, data, start, size)."""
    done = _compiled(chain, data, start, size)
    return walk_lanes(chain, data, start, size, lane_bytes) if done is None else done


def _compiled(chain: Chain, data: U8, start: int, size: int) -> Walk | None:
    """The walk by a kernel; None where there is none."""
    if size - start < COMPILED_LEAST or not kernels.there():
        return None
    lanes = LANES_COMPILED if size - start >= LANES_COMPILED * LANE_COMPILED_LEAST else 1
    offsets, stop = np.empty((size - start) // RECORD_LEAST + 1, np.int64), np.empty(1, np.int64)
    found = chain.compiled(data, start, size, lanes, offsets, stop)
    return None if found is None else Walk(offsets[:found].copy(), int(stop[0]))


def walk_lanes(chain: Chain, data: U8, start: int, size: int, lane_bytes: int = LANE_BYTES) -> Walk:
    """The walk in NumPy."""
    view = data.data
    count = min(LANES_MOST, (size - start) // lane_bytes)
    if count < LANES_LEAST:
        return walk_plain(chain, view, start, size)
    bounds = np.linspace(start, size, count + 1).astype(np.int64)[1:-1]
    hints = chain.sync(data, size, bounds)
    starts = distinct(np.append(hints[hints > start], start))
    if len(starts) < LANES_LEAST:
        return walk_plain(chain, view, start, size)
    offsets, lanes, ends = _lockstep(chain, data, view, starts, size)
    if np.array_equal(ends[:-1], starts[1:]):
        return Walk(offsets, int(ends[-1]))
    parts = np.split(offsets, np.searchsorted(lanes, np.arange(1, len(starts))))
    return _link(chain, view, starts, ends, parts, size)


def _lockstep(chain: Chain, data: U8, view: memoryview, starts: I64, size: int) -> tuple[I64, I64, I64]:
    """Offsets of all records met, lane after lane, the lane of each, and where each lane ended."""
    ends = starts.copy()
    at, lane, limit = starts.copy(), np.arange(len(starts)), np.append(starts[1:], size)
    steps: list[I64] = [no_offsets()]
    lanes: list[I64] = [no_offsets()]
    while len(at) >= LANES_LEAST:
        after = at + chain.sizes(data, at)
        going = (after > at) & (after < limit)
        if not going.all():
            good = (after > at) & (after <= size)
            if not good.all():
                ends[lane[~good]] = at[~good]
                at, after, lane, limit, going = at[good], after[good], lane[good], limit[good], going[good]
            done = ~going
            ends[lane[done]] = after[done]
            steps.append(at)
            lanes.append(lane)
            at, lane, limit = after[going], lane[going], limit[going]
        else:
            steps.append(at)
            lanes.append(lane)
            at = after
    for one, position, last in zip(lane.tolist(), at.tolist(), limit.tolist(), strict=True):
        rest = walk_plain(chain, view, position, last)
        rest = _last_step(chain, view, rest, last, size)
        steps.append(rest.offsets)
        lanes.append(np.full(len(rest.offsets), one))
        ends[one] = rest.stop
    lane = np.concatenate(lanes).astype(np.uint16)
    # Every lane met its records in order; sorting 16 bits is counting, which is ten times quicker than sorting offsets.
    order = np.argsort(lane, kind="stable")
    return np.concatenate(steps)[order], lane[order], ends


def _last_step(chain: Chain, view: memoryview, rest: Walk, limit: int, size: int) -> Walk:
    """A lane runs until it reaches its limit or passes it: take the one record that may cross it."""
    if rest.stop >= limit:
        return rest
    step = chain.size_at(view, rest.stop) if rest.stop + 4 <= size else 0
    if step <= 0 or rest.stop + step > size:
        return rest
    return Walk(np.append(rest.offsets, rest.stop), rest.stop + step)


def _link(chain: Chain, view: memoryview, starts: I64, ends: I64, parts: list[I64], size: int) -> Walk:
    """The proven chain: whole lanes where it meets their starts, single records in between."""
    index = {place: lane for lane, place in enumerate(starts.tolist())}
    known = frozenset(index)
    proven: list[I64] = []
    at = int(starts[0])
    while True:
        lane = index.get(at)
        if lane is not None:
            proven.append(parts[lane])
            stop = int(ends[lane])
        else:
            more = walk_plain(chain, view, at, size, known)
            proven.append(more.offsets)
            stop = more.stop
        if stop == at or (stop not in index and lane is None):
            return Walk(np.concatenate(proven), stop)
        at = stop
