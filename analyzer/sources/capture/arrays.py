"""Unaligned reads from a window of bytes: one NumPy call copies a field of every record at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]

PAD = 512
"""Zero bytes after the data of every window, so that a header may be gathered near its end without a check."""


def padded(*parts: bytes | U8) -> U8:
    """A private, writable copy of the parts, followed by PAD zero bytes."""
    size = sum(len(part) for part in parts)
    out = np.zeros(size + PAD, np.uint8)
    at = 0
    for part in parts:
        out[at : at + len(part)] = np.frombuffer(part, np.uint8) if isinstance(part, bytes) else part
        at += len(part)
    return out


def gather(data: U8, at: I64, count: int) -> U8:
    """`count` bytes at each offset as an (N, count) matrix. Offsets past the end read the last bytes of the padding."""
    view: NDArray[Any] = np.ndarray((len(data) - count + 1,), f"V{count}", data, strides=(1,))
    safe = np.clip(at, 0, len(view) - 1)
    return view[safe].view(np.uint8).reshape(-1, count)


def words(data: U8, at: I64, order: str = "<") -> U32:
    """The 32-bit words at these offsets, in native order."""
    return gather(data, at, 4).view(f"{order}u4")[:, 0].astype(np.uint32)


def halves(matrix: U8, column: int) -> NDArray[np.uint16]:
    """The big-endian 16-bit field that starts in this column of a gathered matrix."""
    return np.ascontiguousarray(matrix[:, column : column + 2]).view(">u2")[:, 0].astype(np.uint16)


def fulls(matrix: U8, column: int) -> U32:
    """The big-endian 32-bit field that starts in this column of a gathered matrix."""
    return np.ascontiguousarray(matrix[:, column : column + 4]).view(">u4")[:, 0].astype(np.uint32)


def every_word(data: U8, size: int, order: str = "<") -> NDArray[Any]:
    """A view of the 32-bit word that starts at every byte of data[:size]; nothing is copied."""
    return np.ndarray((max(size - 3, 0),), f"{order}u4", data, strides=(1,))


def words_after(data: U8, at: I64, count: int, shift: int, order: str) -> NDArray[Any]:
    """The 32-bit words that start at each of `count` bytes from at + shift on, as an (N, count) matrix."""
    rows = gather(data, at + shift, count + 3)
    return np.ndarray((len(at), count), f"{order}u4", rows, strides=(count + 3, 1))


def no_offsets() -> I64:
    return np.empty(0, np.int64)
