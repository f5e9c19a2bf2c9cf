"""The compiled inner loops of the readers, where they were built; every caller has the same work in NumPy.

`call` runs a function of `src`. It lets go of the interpreter meanwhile, so that threads run beside it. None
means that the caller has to do the work itself: there is no compiled library, or it refused. `ANALYZE_KERNELS=off`
leaves it unused.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

INTERFACE = 3
"""What `src/lib.rs` calls by the same name: a library of another time is not used."""

SIGNATURES = {
    "pcap_walk": "u1 i8 i8 n n n n n n n",
    "pcapng_walk": "u1 i8 i8 n n n n n",
    "pcap_fields": "u1 i8 i8 n n",
    "pcap_heads": "u1 i8 i8 i8 n n n n n n n",
    "pcap_columns": "i8 i8 i8 i8 i8 i8 i8 n n n",
    "halves_at": "u1 i8 u2",
    "link_headers": "u1 i8 i8 i8 u1 u1 i8 u1 n n",
    "network_headers": "u1 i8 i8 i8 i8 u1 u1 u8 i8",
    "dns_decode": "u1 i8 i8 u1 i8 u1 u1 i8 i8",
    "dns_places": "i8 i8 i8 i8 u1 u1 i8 i8 i8 u8 u8 i8 i8 i8 u1 u8 i8 u1 i8 n",
    "addresses_known": "u1 u8 u8 u8 i8 u8 i8 i8",
    "packet_ends": "u1 i8 u8 u8 u8 u8 u8 i8 u8 i8 u4 n",
    "names_known": "u1 i8 i8 u8 i8 u8 i8 u4 n",
    "taken_i2": "i8 i8 i2 u1 n",
    "taken_i4": "i8 i8 i4 u1 n",
    "taken_i8": "i8 i8 i8 u1 n",
    "dns_header": "i8 i8 i8 i8 i8 i4 i8 u1",
    "packet_columns": "u1 i8 u1 i8 i8 i8 i8 i8 i8 i8 i8 i8 i8 i8 i8 i8 i8 i8 i2 i4 i8 u1 i8",
    "segments_known": "u1 i8 i8 u1 u1 u1 i8 i8 i8 i8 i8 i8 u8 u8 u8 u8 u1 i8 u8 u1 u1 n",
    "packets_shared": "u1 i8 i8 i8 i8 i8 u1 u8 u8 i8 i8 i8 i8 u1 n",
    "json_columns": "u1 u8 u1 u1 u8 u8 u1 n",
    "lines_ends": "u1 i8",
}
"""What each function of `src` takes: arrays of a type, as NumPy writes it, and numbers."""

LIBRARY = Path(__file__).with_name("_kernels.so")


class _Part(ctypes.Structure):
    """An array as `src/memory.rs` takes it: where it lies, and how many elements it has."""

    _fields_ = (("at", ctypes.c_void_p), ("count", ctypes.c_size_t))


def _loaded() -> ctypes.CDLL | None:
    if os.environ.get("ANALYZE_KERNELS") == "off":
        return None
    try:
        library = ctypes.CDLL(str(LIBRARY))
        library.kernels_interface.restype = ctypes.c_int64
        return library if library.kernels_interface() == INTERFACE else None
    except (OSError, AttributeError):
        return None


_library = _loaded()
_Kinds = tuple[np.dtype[Any] | None, ...]
_functions: dict[str, tuple[Any, _Kinds]] = {}


def there() -> bool:
    """Whether the compiled library is in use."""
    return _library is not None


def sources() -> str:
    """SHA-256 of the sources of the library in use; '' where there is none."""
    if _library is None:
        return ""
    _library.kernels_sources.restype = ctypes.c_char_p
    return str(_library.kernels_sources().decode())


def call(name: str, *arguments: NDArray[Any] | int) -> int | None:
    """Run a function: of an array it gets the place and the number of elements, of a number the number.

    Arrays must be contiguous, and writable where the function writes. TypeError where SIGNATURES says something else.
    """
    if _library is None:
        return None
    function, kinds = _functions.get(name) or _bound(_library, name)
    plain: list[_Part | int] = []
    for one, kind in zip(arguments, kinds, strict=True):
        if kind is None:
            plain.append(one)  # type: ignore[arg-type]
        elif isinstance(one, int) or one.dtype != kind or not one.flags.c_contiguous:
            what = "a number" if isinstance(one, int) else f"an array of {one.dtype}"
            raise TypeError(f"{name}: {what} where {kind} is to be, or one with gaps")
        else:
            plain.append(_Part(_place(one), one.size))
    done: int = function(*plain)
    return done if done >= 0 else None


def _place(array: NDArray[Any]) -> int:
    """Where an array lies. A third of the time of `ctypes.data`, which serves those that are empty or read-only."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array.data))
    except (TypeError, ValueError):
        return int(array.ctypes.data)


def _bound(library: ctypes.CDLL, name: str) -> tuple[Any, _Kinds]:
    """A function, and the types of arrays that it takes."""
    function = getattr(library, name)
    kinds = tuple(None if kind == "n" else np.dtype(kind) for kind in SIGNATURES[name].split())
    function.restype = ctypes.c_int64
    function.argtypes = [ctypes.c_size_t if kind is None else _Part for kind in kinds]
    _functions[name] = function, kinds
    return function, kinds
