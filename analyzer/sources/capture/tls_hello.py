"""TLS ClientHello messages (RFC 8446, section 4.1.2) that stand in segments, any number at once.

Session id, cipher suites, compression methods and extensions are stepped over in lockstep; every length is checked.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyzer.sources.capture.arrays import I64, U8, Flags, gather, half_at
from analyzer.sources.capture.spans import FAR, places, texts
from analyzer.sources.capture.texts import pick

RECORD = 5
"""Octets of a record header: type, version, length."""
RANDOM_END = 2 + 32
EXTENSIONS_MOST = 64
PROTOCOLS_MOST = 16
VERSIONS_MOST = 32
NAME_MOST = 255
LEAST = RECORD + 4 + 2
"""Bytes by which a ClientHello is known: record header, handshake header, version."""

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_SERVER_NAME, _ALPN, _SUPPORTED_VERSIONS = 0, 16, 43
_VERSIONS = {0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}
_VERSION_TEXTS = pl.Series([None, *_VERSIONS.values()], dtype=pl.String)
_DRAFT = 0x7F
"""First octet of the versions of drafts of TLS 1.3, which rank as what they became."""


@dataclass(frozen=True, slots=True)
class Hellos:
    """One entry per ClientHello; `row` is the segment. `open` lists the segments that hold no more than a part."""

    row: I64
    content: pl.DataFrame
    open: I64


@dataclass(slots=True)
class _Walk:
    """Per row. `stop` is where what is seen ends, `limit` where the hello ends by its own word."""

    at: I64
    stop: I64
    limit: I64
    bad: Flags
    short: Flags
    name: I64 = field(init=False)
    name_length: I64 = field(init=False)
    alpn: I64 = field(init=False)
    alpn_length: I64 = field(init=False)
    version: I64 = field(init=False)

    def __post_init__(self) -> None:
        absent = np.full(len(self.at), -1)
        self.name, self.alpn, self.version = absent, absent.copy(), absent.copy()
        self.name_length, self.alpn_length = np.zeros(len(self.at), np.int64), np.zeros(len(self.at), np.int64)

    def holds(self, rows: I64, count: I64 | int) -> Flags:
        """Which rows hold `count` more octets; the others are short where they were cut, and bad where they lie."""
        upto = self.at[rows] + count
        self.bad[rows] |= upto > self.limit[rows]
        self.short[rows] |= (upto > self.stop[rows]) & (upto <= self.limit[rows])
        out: Flags = upto <= np.minimum(self.stop, self.limit)[rows]
        return out


def begins(data: U8, at: I64) -> Flags:
    """Whether a record that holds the start of a ClientHello begins at each place."""
    head = gather(data, at, LEAST)
    out: Flags = (head[:, 0] == _HANDSHAKE) & (head[:, 1] == 3) & (head[:, 2] <= 4) & (head[:, 5] == _CLIENT_HELLO)
    record, length = half_at(data, at + 3).astype(np.int64), _triple(head, 6)
    # RFC 8446, section 5.1: a record is at most 2^14 octets; a hello with all its extensions stays far below 2^16.
    out &= (record >= 4) & (record <= 1 << 14) & (length >= RANDOM_END + 1 + 4 + 2) & (length < 1 << 17)
    out &= (head[:, 9] == 3) & (head[:, 10] <= 4)
    return out


def read(data: U8, start: I64, end: I64, final: Flags) -> Hellos:
    """The hellos of segments that begin like one. Of a `final` segment nothing more will come."""
    length = _triple(gather(data, start, LEAST), 6)
    record = half_at(data, start + 3).astype(np.int64)
    body = start + RECORD + 4
    # A hello over several records is read as far as its first record goes.
    limit = np.where(record >= length + 4, body + length, FAR)
    stop = np.minimum(end, start + RECORD + record)
    clear = np.zeros(len(start), bool)
    walk = _Walk(body, stop, limit, clear, clear.copy())
    legacy = half_at(data, body).astype(np.int64)
    rows = _step_over(data, walk, np.arange(len(start)))
    reached = np.zeros(len(start), bool)
    reached[rows] = True
    _extensions(data, walk, rows)
    found = (walk.name >= 0) & (walk.alpn >= 0) & (walk.version >= 0)
    told = reached & ~walk.bad & (~walk.short | found | final)
    version = np.where(walk.version >= 0, walk.version, legacy)
    at = np.flatnonzero(told)
    content = pl.DataFrame(
        {
            "sni": texts(data, walk.name[at], walk.name_length[at], NAME_MOST).str.to_lowercase().str.strip_suffix("."),
            "alpn": _protocols(data, walk.alpn[at], walk.alpn_length[at]),
            "offered": pick(_VERSION_TEXTS, _ranks(version[at])),
        }
    )
    return Hellos(at, content, np.flatnonzero(walk.short & ~walk.bad & ~told & ~final))


def _triple(head: U8, column: int) -> I64:
    """A 24-bit length."""
    parts = head[:, column : column + 3].astype(np.int64)
    return (parts[:, 0] << 16) | (parts[:, 1] << 8) | parts[:, 2]


def _ranks(version: I64) -> I64:
    """Place of a version in _VERSION_TEXTS, 0 for one that nobody knows (GREASE, RFC 8701, is one of those)."""
    return np.where(version >> 8 == _DRAFT, 5, np.where((version >= 0x0300) & (version <= 0x0304), version - 0x2FF, 0))


def _step_over(data: U8, walk: _Walk, rows: I64) -> I64:
    """Go past random, session id, cipher suites and compression methods; the rows that get to the extensions."""
    rows = rows[walk.holds(rows, RANDOM_END + 1)]
    walk.at[rows] += RANDOM_END
    session = data[walk.at[rows]].astype(np.int64)
    walk.bad[rows] |= session > 32
    rows, session = rows[session <= 32], session[session <= 32]
    rows, session = _kept(walk, rows, session, 1 + session + 2)
    walk.at[rows] += 1 + session
    ciphers = half_at(data, walk.at[rows]).astype(np.int64)
    sound = (ciphers >= 2) & (ciphers % 2 == 0)
    walk.bad[rows] |= ~sound
    rows, ciphers = _kept(walk, rows[sound], ciphers[sound], 2 + ciphers[sound] + 1)
    walk.at[rows] += 2 + ciphers
    methods = data[walk.at[rows]].astype(np.int64)
    walk.bad[rows] |= methods == 0
    rows, methods = _kept(walk, rows[methods > 0], methods[methods > 0], 1 + methods[methods > 0])
    walk.at[rows] += 1 + methods
    return rows


def _kept(walk: _Walk, rows: I64, values: I64, need: I64) -> tuple[I64, I64]:
    holds = walk.holds(rows, need)
    return rows[holds], values[holds]


def _extensions(data: U8, walk: _Walk, rows: I64) -> None:
    # Without extensions a hello ends here (RFC 5246, section 7.4.1.2).
    rows = rows[walk.at[rows] < walk.limit[rows]]
    rows = rows[walk.holds(rows, 2)]
    total = half_at(data, walk.at[rows]).astype(np.int64)
    walk.at[rows] += 2
    last = walk.at[rows] + total
    walk.bad[rows] |= (last != walk.limit[rows]) & (walk.limit[rows] < FAR)
    walk.limit[rows] = last
    rows = rows[~walk.bad[rows]]
    for _ in range(EXTENSIONS_MOST):
        rows = rows[walk.at[rows] < walk.limit[rows]]
        rows = rows[walk.holds(rows, 4)]
        if not len(rows):
            return
        kind, size = half_at(data, walk.at[rows]), half_at(data, walk.at[rows] + 2).astype(np.int64)
        rows, both = _extension(walk, rows, kind, size)
        kind, size = both
        body = walk.at[rows] + 4
        _server_name(data, walk, rows[kind == _SERVER_NAME], body[kind == _SERVER_NAME], size[kind == _SERVER_NAME])
        _alpn(data, walk, rows[kind == _ALPN], body[kind == _ALPN], size[kind == _ALPN])
        mine = kind == _SUPPORTED_VERSIONS
        _versions(data, walk, rows[mine], body[mine], size[mine])
        walk.at[rows] += 4 + size


def _extension(
    walk: _Walk, rows: I64, kind: NDArray[np.uint16], size: I64
) -> tuple[I64, tuple[NDArray[np.uint16], I64]]:
    holds = walk.holds(rows, 4 + size)
    return rows[holds], (kind[holds], size[holds])


def _server_name(data: U8, walk: _Walk, rows: I64, body: I64, size: I64) -> None:
    """RFC 6066, section 3: a list whose first entry is a host name."""
    length = half_at(data, body + 3).astype(np.int64)
    good = (size >= 5) & (data[body + 2] == 0) & (half_at(data, body) + 2 <= size) & (5 + length <= size) & (length > 0)
    walk.name[rows[good]], walk.name_length[rows[good]] = body[good] + 5, length[good]


def _alpn(data: U8, walk: _Walk, rows: I64, body: I64, size: I64) -> None:
    """RFC 7301, section 3.1: names of one to 255 octets behind their length."""
    length = half_at(data, body).astype(np.int64)
    good = (size >= 4) & (length + 2 == size)
    walk.alpn[rows[good]], walk.alpn_length[rows[good]] = body[good] + 2, length[good]


def _versions(data: U8, walk: _Walk, rows: I64, body: I64, size: I64) -> None:
    """RFC 8446, section 4.2.1: the highest version of the list counts."""
    count = data[body].astype(np.int64) // 2
    good = (count > 0) & (1 + 2 * count <= size)
    best = np.zeros(len(rows), np.int64)
    for place in range(VERSIONS_MOST):
        here = np.flatnonzero(good & (place < count))
        if not len(here):
            break
        offered = half_at(data, body[here] + 1 + 2 * place).astype(np.int64)
        better = _ranks(offered) > _ranks(best[here])
        best[here[better]] = offered[better]
    walk.version[rows[good]] = best[good]


def _protocols(data: U8, at: I64, length: I64) -> pl.Series:
    """The names of each list, joined by commas."""
    out = pl.Series([None], dtype=pl.String).new_from_index(0, len(at))
    rows = np.flatnonzero(at >= 0)
    if not len(rows):
        return out
    size = np.minimum(length[rows], NAME_MOST)
    plain = np.concatenate([data[places(at[rows], size)], np.zeros(1, np.uint8)])
    begin = np.cumsum(size) - size
    place, stop, full = begin.copy(), begin + size, begin.copy()
    going = np.arange(len(rows))
    for _ in range(PROTOCOLS_MOST):
        step = plain[place[going]].astype(np.int64)
        fits = (place[going] < stop[going]) & (step > 0) & (place[going] + 1 + step <= stop[going])
        going, step = going[fits], step[fits]
        if not len(going):
            break
        plain[place[going]] = ord(",")
        place[going] += 1 + step
        full[going] = place[going]
    named = full > begin
    told = texts(plain, np.where(named, begin + 1, -1), np.maximum(full - begin - 1, 0), NAME_MOST)
    return out.scatter(rows, told)


def whole(data: bytes) -> bytes | None:
    """The hello that these bytes begin with, as one record; None where more is needed."""
    need = 4 + int.from_bytes(data[6:9], "big")
    record = int.from_bytes(data[3:5], "big")
    if record >= need:
        return data if len(data) >= RECORD + need else None
    body, at = b"", 0
    while len(body) < need:
        size = int.from_bytes(data[at + 3 : at + RECORD], "big")
        if len(data) < at + RECORD + size or data[at] != _HANDSHAKE or not size:
            return None
        body += data[at + RECORD : at + RECORD + size]
        at += RECORD + size
    return data[:3] + need.to_bytes(2, "big") + body[:need]
