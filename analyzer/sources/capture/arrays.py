"""Unaligned reads from a window of bytes: one NumPy call copies a field of every record at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer import kernels

U8 = NDArray[np.uint8]
U16 = NDArray[np.uint16]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]

PAD = 512
"""Zero bytes after the data of every window, so that a header may be gathered near its end without a check."""


COMPILED_LEAST = 256
"""Places from which it pays to ask a kernel."""


def padded(*parts: bytes | U8) -> U8:
    """A private, writable copy of the parts, followed by PAD zero bytes."""
    size = sum(len(part) for part in parts)
    out = np.empty(size + PAD, np.uint8)
    out[size:] = 0
    at = 0
    for part in parts:
        out[at : at + len(part)] = np.frombuffer(part, np.uint8) if isinstance(part, bytes) else part
        at += len(part)
    return out


def gather(data: U8, at: I64, count: int) -> U8:
    """`count` bytes at each offset as an (N, count) matrix. Offsets past the end read the last bytes of the padding."""
    view: NDArray[Any] = np.ndarray((len(data) - count + 1,), f"V{count}", data, strides=(1,))
    # Not view.take(): it would first copy the overlapping view whole.
    return view[np.minimum(at, len(view) - 1)].view(np.uint8).reshape(-1, count)


def half_at(data: U8, at: I64) -> NDArray[np.uint16]:
    """The big-endian 16-bit field at each offset; quicker than `gather` because NumPy's gather of bytes is."""
    if len(at) >= COMPILED_LEAST:
        out, at = np.empty(len(at), np.uint16), np.ascontiguousarray(at)
        if kernels.call("halves_at", data, at, out) is not None:
            return out
    at = np.minimum(at, len(data) - 2)
    high: NDArray[np.uint16] = data[at].astype(np.uint16) << np.uint16(8)
    high |= data[at + 1]
    return high


def halves(matrix: U8, column: int) -> NDArray[np.uint16]:
    """The big-endian 16-bit field that starts in this column of a gathered matrix."""
    if column % 2 == 0 and matrix.shape[1] % 2 == 0:
        return matrix.view(">u2")[:, column // 2].astype(np.uint16)
    return np.ascontiguousarray(matrix[:, column : column + 2]).view(">u2")[:, 0].astype(np.uint16)


def fulls(matrix: U8, column: int) -> U32:
    """The big-endian 32-bit field that starts in this column of a gathered matrix."""
    if column % 4 == 0 and matrix.shape[1] % 4 == 0:
        return matrix.view(">u4")[:, column // 4].astype(np.uint32)
    return np.ascontiguousarray(matrix[:, column : column + 4]).view(">u4")[:, 0].astype(np.uint32)


def constant(value: int, count: int) -> I64:
    """A column of one value, which takes no memory. It can only be read, and is no contiguous array."""
    return np.broadcast_to(np.int64(value), count)


def is_constant(column: I64) -> bool:
    """Whether `constant` made it."""
    return column.strides == (0,) and len(column) > 0


def every_word(data: U8, size: int, order: str = "<") -> NDArray[Any]:
    """A view of the 32-bit word that starts at every byte of data[:size]; nothing is copied."""
    return np.ndarray((max(size - 3, 0),), f"{order}u4", data, strides=(1,))


def words_near(data: U8, at: I64, count: int, shifts: tuple[int, ...], order: str) -> list[NDArray[Any]]:
    """For each shift the 32-bit words that start at `count` bytes from at + shift on, as (N, count) matrices."""
    if not len(at):
        return [np.empty((0, count), np.uint32) for _ in shifts]
    width = count + max(shifts) + 3
    rows = gather(data, at, width)
    return [np.ndarray((len(at), count), f"{order}u4", rows, offset=shift, strides=(width, 1)) for shift in shifts]


def distinct(values: NDArray[Any]) -> NDArray[Any]:
    """The distinct values, sorted. np.unique hashes first, which is slower here."""
    if len(values) and (values == values[0]).all():
        return values[:1]
    ordered = np.sort(values)
    return ordered[run_starts(ordered)]


def run_starts(ordered: NDArray[Any]) -> I64:
    """Where each run of equal values starts."""
    new = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return np.flatnonzero(new)


def no_offsets() -> I64:
    return np.empty(0, np.int64)
