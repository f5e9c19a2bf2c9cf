"""The packets of one window: header columns and texts of addresses, ready to become table rows."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

from analyzer import kernels
from analyzer.frames import PACKETS, TIME
from analyzer.sources.capture.arrays import I64, Flags, half_at, is_constant
from analyzer.sources.capture.layers import ABSENT, Headers
from analyzer.sources.capture.texts import indices, pick
from analyzer.sources.capture.window import NO_INTERFACE, NO_TIME, Window

TCP = 6

CHANGE_CIPHER_SPEC, APPLICATION_DATA = 20, 23
"""First and last content type of a TLS record (RFC 8446, section 5.1)."""

PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 47: "GRE", 50: "ESP", 58: "ICMPv6", 132: "SCTP"}
PROTOCOL_TEXTS = pl.Series([PROTOCOLS.get(code, str(code)) for code in range(256)])


class Packets(Struct, frozen=True):
    """Frames of a window that hold IP, with what every table needs of them. `src` and `dst` are texts, one per frame
    of the window in `rows`; `place` maps a frame of the window to its position in `rows`."""

    window: Window
    headers: Headers
    rows: I64
    place: I64
    interface: I64
    src: pl.Series
    dst: pl.Series

    def ends(self, frames: I64) -> dict[str, pl.Series]:
        """Columns src, src_port, dst, dst_port of these frames."""
        at = indices(self.place[frames])
        return {
            "src": self.src[at],
            "src_port": taken(self.headers.src_port, frames, pl.Int32()),
            "dst": self.dst[at],
            "dst_port": taken(self.headers.dst_port, frames, pl.Int32()),
        }

    def where(self, frames: I64, source: str) -> dict[str, pl.Series]:
        """Columns time, source, number of these frames."""
        return place_columns(self.window.time[frames], self.window.number[frames], source)


def place_columns(time: I64, number: I64, source: str) -> dict[str, pl.Series]:
    """Columns time, source and number."""
    return {
        "time": times(time),
        "source": pl.Series([source], dtype=pl.String).new_from_index(0, len(time)),
        "number": pl.Series(number),
    }


def with_copies(rows: pl.DataFrame, copies: Flags) -> pl.DataFrame:
    """The rows with the column duplicate. Put beside the others at once: with_columns would plan a query."""
    return rows.hstack([pl.Series("duplicate", copies)])


def times(micros: I64) -> pl.Series:
    """Microseconds since 1970 as the time type of the tables; null for NO_TIME."""
    return numbers(micros, pl.Int64(), absent=NO_TIME).cast(TIME)


_NUMPY: dict[pl.DataType, Any] = {pl.Int16(): np.int16, pl.Int32(): np.int32, pl.Int64(): np.int64}


def numbers(values: NDArray[Any], dtype: pl.DataType, absent: int = -1) -> pl.Series:
    """Numbers of this type; null where they equal `absent`."""
    return nullable(values.astype(_NUMPY[dtype], copy=False), values != absent)


def nullable(values: NDArray[Any], known: Flags) -> pl.Series:
    """The values as they are; null where they are not known."""
    plain = pl.Series(values)
    return plain if known.all() else plain.zip_with(pl.Series(known), pl.Series([None], dtype=plain.dtype))


def taken(values: I64, rows: I64, dtype: pl.DataType, absent: int = -1) -> pl.Series:
    """Numbers of these rows, of this type; null where they equal `absent`."""
    if is_constant(values):
        return pl.Series([None if values[0] == absent else int(values[0])], dtype=dtype).new_from_index(0, len(rows))
    kind = _NUMPY[dtype]
    out, known = np.empty(len(rows), kind), np.empty(len(rows), bool)
    missing = kernels.call(f"taken_{out.dtype.str[1:]}", values, rows, out, known.view(np.uint8), absent)
    if missing is None:
        return numbers(values.take(rows), dtype, absent)
    return nullable(out, known) if missing else pl.Series(out)


def frame_of(columns: dict[str, pl.Series]) -> pl.DataFrame:
    """A table of these columns. Polars itself takes far longer to make it of a dict."""
    return pl.DataFrame([column if column.name == name else column.alias(name) for name, column in columns.items()])


def packet_frame(packets: Packets, source: str) -> pl.DataFrame:
    """Rows of the packets table but for the column duplicate, in file order."""
    count = len(packets.rows)
    columns = _compiled(packets) or _together(packets)
    columns |= {
        "source": pl.Series([source], dtype=pl.String).new_from_index(0, count),
        "src": packets.src,
        "dst": packets.dst,
        "protocol": pick(PROTOCOL_TEXTS, packets.headers.protocol.take(packets.rows)),
    }
    return frame_of({name: columns[name] for name in _ORDER})


_HALVES = ("tls_record", "tcp_flags", "ttl")
_WORDS = ("src_port", "dst_port", "interface", "window", "ip_id")
_LONGS = ("payload_bytes", "wire_bytes", "seq", "ack", "number", "time")
"""Columns of the same width, in the order of the kernel."""
_ORDER = [column.name for column in PACKETS.cols if column.name != "duplicate"]


def _compiled(packets: Packets) -> dict[str, pl.Series]:
    """The columns of numbers by a kernel; empty where there is none."""
    if not kernels.there():
        return {}
    window, head, rows = packets.window, packets.headers, packets.rows
    front = window.data, np.ascontiguousarray(window.end), np.ascontiguousarray(head.protocol), rows
    first = head.payload, head.payload_bytes, head.flags, head.ttl, head.src_port, head.dst_port, packets.interface
    then = head.window, head.ip_id, window.wire, head.seq, head.ack, window.number, window.time
    given = [np.ascontiguousarray(values) for values in (*first, *then)]
    out = [np.empty((len(names), len(rows)), kind) for names, kind in ((_HALVES, "i2"), (_WORDS, "i4"), (_LONGS, "i8"))]
    names = (*_HALVES, *_WORDS, *_LONGS)
    known, missing = np.empty((len(names), len(rows)), bool), np.empty(len(names), np.int64)
    if kernels.call("packet_columns", *front, *given, *out, known.view(np.uint8), missing) is None:
        return {}
    columns = {}
    for name, values, there, lack in zip(names, chain(*out), known, missing.tolist(), strict=True):
        columns[name] = nullable(values, there) if lack else pl.Series(values)
    return columns | {"time": columns["time"].cast(TIME)}


def _together(packets: Packets) -> dict[str, pl.Series]:
    """The same in NumPy."""
    at, head = packets.rows, packets.headers
    return {
        "time": times(packets.window.time[at]),
        "number": pl.Series(packets.window.number[at], dtype=pl.Int64),
        "src_port": taken(head.src_port, at, pl.Int32()),
        "dst_port": taken(head.dst_port, at, pl.Int32()),
        "interface": taken(packets.interface, at, pl.Int32(), NO_INTERFACE),
        "wire_bytes": pl.Series(packets.window.wire[at]),
        "payload_bytes": taken(head.payload_bytes, at, pl.Int64()),
        "tls_record": taken(_tls_records(packets.window, head), at, pl.Int16()),
        "tcp_flags": taken(head.flags, at, pl.Int16()),
        "seq": taken(head.seq, at, pl.Int64()),
        "ack": taken(head.ack, at, pl.Int64()),
        "window": taken(head.window, at, pl.Int32()),
        "ttl": taken(head.ttl, at, pl.Int16()),
        "ip_id": taken(head.ip_id, at, pl.Int32()),
    }


def _tls_records(window: Window, head: Headers) -> I64:
    """The content type of the TLS record that each frame's TCP payload begins with; ABSENT for none."""
    found = np.full(len(window), ABSENT)
    at = np.flatnonzero((head.protocol == TCP) & (head.payload_bytes >= 5) & (head.payload + 3 <= window.end))
    kind = window.data[head.payload.take(at)]
    maybe = (kind >= CHANGE_CIPHER_SPEC) & (kind <= APPLICATION_DATA)
    at, kind = at[maybe], kind[maybe]
    version = half_at(window.data, head.payload.take(at) + 1)
    # every version since SSL 3.0 writes 3 and at most 4 here
    tls = (version >= 0x0300) & (version <= 0x0304)
    found[at[tls]] = kind[tls]
    return found
