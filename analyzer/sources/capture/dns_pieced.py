"""DNS messages that were put together from several packets, and the rows made of them."""

from __future__ import annotations

import numpy as np
import polars as pl
from msgspec import Struct

from analyzer.sources.capture import dns_ports
from analyzer.sources.capture.arrays import I64, U8, padded
from analyzer.sources.capture.dns_tables import Columns, Found, Memo, Rows, rows
from analyzer.sources.capture.extracts import Extract
from analyzer.sources.capture.packets import numbers, place_columns
from analyzer.sources.capture.window import NO_INTERFACE

Ends = tuple[int, ...]
"""Version, words of source and destination, ports."""


class Carrier(Struct, frozen=True):
    """The packet with which a message became whole."""

    number: int
    time: int
    interface: int
    wire: int


class Pieced(Struct, frozen=True):
    """A message and its packet; `settles` are the frames whose ledger entry waited for it."""

    message: bytes
    carrier: Carrier
    ends: Ends
    tcp: bool
    settles: tuple[int, ...] = ()


def carriers(packets: Extract, rows: I64) -> list[Carrier]:
    columns = (packets.number, packets.time, packets.interface, packets.wire)
    return list(map(Carrier, *(column[rows].tolist() for column in columns)))


def ends(packets: Extract, rows: I64) -> list[Ends]:
    names = ("version", "src_high", "src_low", "dst_high", "dst_low", "src_port", "dst_port")
    return list(zip(*(getattr(packets, name)[rows].tolist() for name in names), strict=True))


def rows_of(found: list[Pieced], source: str, memo: Memo) -> Rows:
    """Rows of these messages, which are in the order of their frames."""
    size = np.array([len(one.message) for one in found], np.int64)
    end = np.cumsum(size)
    sides = np.array([one.ends for one in found], np.uint64).reshape(-1, 7)
    src_port, dst_port = sides[:, 5].astype(np.int64), sides[:, 6].astype(np.int64)
    protocol: U8 = dns_ports.protocols(src_port, dst_port, sides[:, 3], sides[:, 4])
    where = Found(
        data=padded(b"".join(one.message for one in found)),
        start=end - size,
        end=end,
        whole=np.ones(len(found), bool),
        tcp=np.array([one.tcp for one in found], bool),
        protocol=protocol,
        to_server=dns_ports.LISTENING[dst_port],
        from_server=dns_ports.LISTENING[src_port],
    )

    def columns(some: I64) -> Columns:
        chosen = [found[place].carrier for place in some.tolist()]
        six, side = sides[some, 0] == 6, sides[some]
        time = np.array([one.time for one in chosen], np.int64)
        return {
            **place_columns(time, np.array([one.number for one in chosen], np.int64), source),
            "src": memo.addresses.texts(six, side[:, 1], side[:, 2]),
            "src_port": numbers(src_port[some], pl.Int32()),
            "dst": memo.addresses.texts(six, side[:, 3], side[:, 4]),
            "dst_port": numbers(dst_port[some], pl.Int32()),
            "interface": numbers(
                np.array([one.interface for one in chosen], np.int64), pl.Int32(), absent=NO_INTERFACE
            ),
            "wire_bytes": pl.Series([one.wire for one in chosen], dtype=pl.Int64),
        }

    return rows(where, columns, memo)
