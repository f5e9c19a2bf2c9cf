"""Strings that point into a window of bytes instead of copying it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

LOW_BYTES = np.array([(1 << (8 * n)) - 1 for n in range(9)], dtype=np.uint64)
"""The first n bytes of eight, in little-endian order."""

_INLINE = 12
"""Strings up to this length lie inside their view itself (Arrow columnar format, variable-size binary view)."""

_HALF = np.uint64(32)


def view(
    start: npt.NDArray[np.int64],
    length: npt.NDArray[np.int64],
    first: npt.NDArray[np.uint64],
    second: npt.NDArray[np.uint64] | None,
) -> npt.NDArray[np.uint64]:
    """Two numbers for each text of `length` bytes from `start`; `first` and `second` are the eight bytes there and the
    eight after (None where no text is longer than eight)."""
    made = np.empty((len(start), 2), np.uint64)
    head = first & LOW_BYTES[np.minimum(length, 8)]
    np.bitwise_or(length.astype(np.uint64), head << _HALF, out=made[:, 0])
    inside = head >> _HALF
    if second is None:
        made[:, 1] = inside
        return made
    inside |= (second & LOW_BYTES[np.clip(length - 8, 0, 4)]) << _HALF
    made[:, 1] = np.where(length <= _INLINE, inside, start.astype(np.uint64) << _HALF)
    return made


def views(
    data: bytes | npt.NDArray[np.uint8], made: npt.NDArray[np.uint64], valid: npt.NDArray[np.uint8] | None = None
) -> pl.Series:
    """The texts of `data` at which views point: two words for each. `valid` has a bit for each, 0 where it is null."""
    import pyarrow as pa  # captures do without; it takes a sixth of the start-up

    buffers = [None if valid is None else pa.py_buffer(valid), pa.py_buffer(made), pa.py_buffer(data)]
    array = pa.Array.from_buffers(pa.string_view(), len(made), buffers)
    return pl.Series("text", Arrow(array))


class Arrow:
    """An array by Arrow's C interface alone: given the array itself, polars imports all of pyarrow.compute."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __arrow_c_array__(self, requested_schema: object = None) -> Any:
        return self._array.__arrow_c_array__(requested_schema)
