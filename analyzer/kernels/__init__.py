"""The compiled inner loops of the readers, where they were built; every caller has the same work in NumPy.

`call` runs a function of `src/lib.rs`. It lets go of the interpreter meanwhile, so that threads run beside it. None
means that the caller has to do the work itself: there is no compiled library, or it refused. `ANALYZE_KERNELS=off`
leaves it unused.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

INTERFACE = 2
"""What `src/lib.rs` calls by the same name: a library of another time is not used."""

SIGNATURES = {
    "pcap_walk": "u1 i8 i8 n n n n n n n",
    "pcapng_walk": "u1 i8 i8 n n n n n",
    "pcap_fields": "u1 i8 i8 n n",
    "halves_at": "u1 i8 u2",
    "network_headers": "u1 i8 i8 i8 i8 u1 u1 u8 i8",
    "dns_decode": "u1 i8 i8 u1 i8 u1 u1 i8 i8",
    "addresses_known": "u1 u8 u8 u8 i8 u8 i8 i8",
    "names_known": "u1 i8 i8 u8 i8 u8 i8 i8",
    "taken_i2": "i8 i8 i2 u1 n",
    "taken_i4": "i8 i8 i4 u1 n",
    "taken_i8": "i8 i8 i8 u1 n",
    "packets_shared": "u1 i8 i8 i8 i8 u1 u8 u8 i8 i8 i8 i8 u1",
    "json_columns": "u1 u8 u1 u1 u8 u8 u1 n",
    "lines_ends": "u1 i8",
}
"""What each function of `src/lib.rs` takes: arrays of a type, as NumPy writes it, and numbers."""

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
_functions: dict[str, Any] = {}


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
    function = _functions.get(name)
    if function is None:
        function = getattr(_library, name)
        function.restype = ctypes.c_int64
        _functions[name] = function
    plain: list[_Part | ctypes.c_size_t] = []
    for one, kind in zip(arguments, SIGNATURES[name].split(), strict=True):
        if isinstance(one, int):
            plain.append(ctypes.c_size_t(one))
        else:
            if one.dtype.str[1:] != kind or not one.flags.c_contiguous:
                raise TypeError(f"{name}: an array of {one.dtype} where {kind} is to be, or one with gaps")
            plain.append(_Part(one.ctypes.data, one.size))
    done = int(function(*plain))
    return done if done >= 0 else None
