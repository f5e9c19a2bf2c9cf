"""A plain reading of the statistics in a pcapng file: block after block, as the specification says."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

_SECTION, _STATISTICS = 0x0A0D0D0A, 5
_DROPS = (5, 7)


def dropped(path: Path) -> int:
    """Packets that the last statistics of each interface of each section say were dropped."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    last: dict[tuple[int, int], int] = {}
    at = section = 0
    order = "<"
    while data[:4] == b"\n\r\r\n" and at + 12 <= len(data):
        if data[at : at + 4] == b"\n\r\r\n":
            order = "<" if data[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            section += 1
        kind, length = struct.unpack_from(f"{order}II", data, at)
        if length < 12:
            break
        if kind == _STATISTICS:
            (interface,) = struct.unpack_from(f"{order}I", data, at + 8)
            last[section, interface] = _sum(data[at + 20 : at + length - 4], order)
        at += length + -length % 4
    return sum(last.values())


def _sum(options: bytes, order: str) -> int:
    total = at = 0
    while at + 4 <= len(options):
        code, length = struct.unpack_from(f"{order}HH", options, at)
        if code == 0:
            break
        if code in _DROPS and length == 8:
            total += int(struct.unpack_from(f"{order}Q", options, at + 4)[0])
        at += 4 + length + -length % 4
    return total
