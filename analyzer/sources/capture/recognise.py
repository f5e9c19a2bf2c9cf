"""Plain HTTP/1, TLS ClientHellos and mining messages among the TCP payloads of a capture, known by their first bytes.

`recognise` is a pure function of one window: it reads what is whole in a segment and takes out what is not.
`Recognised` goes from window to window in file order: it puts the rest together and tells what is new.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from analyzer import kernels
from analyzer.frames import HTTP_MESSAGES, MINING_MESSAGES, TIME, TLS_CLIENT_HELLOS, Table
from analyzer.sources.capture import http_plain, metadata, stratum, tls_hello
from analyzer.sources.capture.arrays import I64, U8, Flags, padded
from analyzer.sources.capture.extracts import Extract, extract
from analyzer.sources.capture.layers import LATER, TCP, Headers
from analyzer.sources.capture.openings import HTTP, OPENING_MOST, PLACE, RPC, TLS, Done, Openings, continuing, next_ones
from analyzer.sources.capture.sequences import Sequences
from analyzer.sources.capture.spans import copied
from analyzer.sources.capture.texts import Addresses
from analyzer.sources.capture.window import NO_INTERFACE, NO_TIME, Window
from analyzer.sources.contract import Ledger

TABLES: dict[int, Table] = {HTTP: HTTP_MESSAGES, TLS: TLS_CLIENT_HELLOS, RPC: MINING_MESSAGES}
_WORDS = {HTTP: "HTTP heads", TLS: "TLS ClientHellos", RPC: "lines of JSON-RPC"}
_LEAST = np.array([0, http_plain.WORD, tls_hello.LEAST, stratum.WORD])
"""Captured bytes without which no message of a kind is known."""

_FIRST = np.zeros(256, np.uint8)
_FIRST[np.frombuffer(bytes({word[0] for word in (*(m.encode() for m in http_plain.METHODS), b"HTTP")}), np.uint8)] = (
    HTTP
)
_FIRST[0x16], _FIRST[ord("{")] = TLS, RPC
"""Which kind of message the first octet of a payload may begin."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one window holds: per kind the messages with the frame of each and where they stand in their direction, and
    the segments that `Recognised` has to follow, with the kind of message that each opens."""

    rows: dict[int, pl.DataFrame]
    follow: Extract
    kinds: U8
    metadata: Extract


def recognise(window: Window, head: Headers, interface: I64, rows: I64) -> Found:
    """The messages of the TCP segments among these frames."""
    rows, kind, served = segments(window, head, rows)
    opening = np.flatnonzero(kind)
    if len(opening):
        kind[opening] = _sure(window.data, head, rows[opening], kind[opening])
    opened = np.zeros(len(window), np.uint8)
    found: dict[int, list[pl.DataFrame]] = {which: [] for which in TABLES}
    for which, parts in found.items() if len(opening) else ():
        at = rows[kind == which]
        if len(at):
            stop = np.minimum(head.payload_end[at], window.end[at])
            told, still = _read(which, window.data, head.payload[at], stop, window.end[at] < head.payload_end[at])
            opened[at[still]] = which
            parts.append(_placed(told, _places(window, head, interface, at)[told["row"]]))
    onward = continuing(head, np.flatnonzero(opened), rows[kind == 0])
    for which, parts in found.items() if len(opening) else ():
        first, second = next_ones(head, np.flatnonzero(opened == which), onward)
        if len(first):
            told, still = _read_pairs(which, window, head, first, second)
            opened[np.delete(first, still)] = 0
            parts.append(_placed(told, _places(window, head, interface, first)[told["row"]]))
    chosen = np.sort(np.concatenate([np.flatnonzero(opened), onward]))
    follow = extract(window, head, interface, chosen, OPENING_MOST)
    whole = {which: pl.concat(parts) for which, parts in found.items() if parts}
    return Found(whole, follow, opened[chosen], extract(window, head, interface, served))


_NO_PAYLOAD = 255


def segments(window: Window, head: Headers, rows: I64) -> tuple[I64, U8, I64]:
    """The TCP segments with payload among these frames, the kind of message that each may begin (0 for none), and the
    frames of instance metadata services."""
    kind, served = np.empty(len(rows), np.uint8), np.empty(len(rows), bool)
    octets = [np.ascontiguousarray(part) for part in (head.version, head.protocol, head.fragment)]
    columns = head.flags, head.payload, head.payload_end, head.payload_bytes, head.src_port, head.dst_port
    words = head.src_high, head.src_low, head.dst_high, head.dst_low
    front = window.data, np.ascontiguousarray(window.end), rows
    sought = _FIRST, _LEAST, metadata.SERVER_WORDS, kind, served.view(np.uint8), metadata.PROXY_PORT
    if kernels.call("segments_known", *front, *octets, *columns, *words, *sought) is None:
        return segments_together(window, head, rows)
    some = np.flatnonzero(kind != _NO_PAYLOAD)
    return rows[some], kind[some], rows[served]


def segments_together(window: Window, head: Headers, rows: I64) -> tuple[I64, U8, I64]:
    """The same in NumPy."""
    rows = rows[head.protocol[rows] == TCP]
    served = metadata.choose(head, rows)
    end = np.minimum(head.payload_end[rows], window.end[rows])
    some = (head.fragment[rows] != LATER) & (head.flags[rows] >= 0) & (end > head.payload[rows])
    rows, end = rows[some], end[some]
    kind = _FIRST[window.data[head.payload[rows]]]
    kind[end - head.payload[rows] < _LEAST[kind]] = 0
    return rows, kind, served


def _read_pairs(which: int, window: Window, head: Headers, first: I64, second: I64) -> tuple[pl.DataFrame, I64]:
    """Messages that begin in one segment and go on in the next: most of those that span any."""
    both = np.column_stack([first, second]).ravel()
    start = head.payload[both]
    size = np.minimum(np.minimum(head.payload_end[both], window.end[both]) - start, OPENING_MOST)
    data = copied(window.data, start, size)
    ends = np.cumsum(size)[1::2]
    return _read(which, data, ends - size[::2] - size[1::2], ends, window.end[second] < head.payload_end[second])


def _sure(data: U8, head: Headers, rows: I64, kind: U8) -> U8:
    """The kinds of which more than the first octet fits."""
    at = head.payload[rows]
    out = np.zeros(len(rows), np.uint8)
    http, tls, rpc = (np.flatnonzero(kind == which) for which in (HTTP, TLS, RPC))
    http = http[http_plain.begins(data, at[http]) >= 0]
    out[http[~metadata.served(head, rows[http])]] = HTTP
    out[tls] = np.where(tls_hello.begins(data, at[tls]), TLS, 0)
    out[rpc] = np.where(stratum.begins(data, at[rpc]), RPC, 0)
    return out


def _read(which: int, data: U8, start: I64, end: I64, final: Flags) -> tuple[pl.DataFrame, I64]:
    """Messages of one kind with the `row` of their segment, and the rows of segments that hold only a part of one."""
    if which == HTTP:
        heads = http_plain.read(data, start, end, final)
        place = {"row": heads.row, "offset": heads.offset, "head": heads.head, "length": heads.length}
        return heads.content.with_columns(pl.Series(name, value) for name, value in place.items()), heads.open
    made = tls_hello.read(data, start, end, final) if which == TLS else stratum.read(data, start, end, final)
    offset = made.offset if isinstance(made, stratum.Messages) else np.zeros(len(made.row), np.int64)
    size = (end - start)[made.row] - offset
    place = {"row": made.row, "offset": offset, "head": size, "length": size}
    return made.content.with_columns(pl.Series(name, value) for name, value in place.items()), made.open


def _places(window: Window, head: Headers, interface: I64, frames: I64) -> pl.DataFrame:
    columns = {"number": window.number, "time": window.time, "interface": interface, "wire": window.wire}
    columns |= {name: getattr(head, name) for name in PLACE if name not in columns}
    return pl.DataFrame({"frame": frames} | {name: values[frames] for name, values in columns.items()})


def _placed(told: pl.DataFrame, segments: pl.DataFrame) -> pl.DataFrame:
    """Each message with the columns of its segment."""
    whole = pl.concat([told.drop("row"), segments], how="horizontal")
    return whole.with_columns(seq=(pl.col("seq").cast(pl.Int64) + pl.col("offset")) % (1 << 32)).drop("offset")


@dataclass(slots=True)
class Recognised:
    """Makes table rows of what the windows hold, in file order."""

    source: str
    ledger: Ledger
    _metadata: metadata.MetadataReader = field(init=False)
    _openings: Openings = field(default_factory=Openings)
    _sequences: dict[int, Sequences] = field(default_factory=lambda: {kind: Sequences() for kind in TABLES})
    _addresses: Addresses = field(default_factory=Addresses)

    def __post_init__(self) -> None:
        self._metadata = metadata.MetadataReader(self.source)

    def take(self, found: Found, duplicate: Flags) -> dict[Table, pl.DataFrame]:
        """Rows of the tables; `duplicate` says it for every frame of the window."""
        served = self._metadata.read(found.metadata, duplicate[found.metadata.frame])
        done = self._openings.take(found.follow, found.kinds, duplicate[found.follow.frame])
        parts = {
            kind: [frame.with_columns(pl.Series("duplicate", duplicate[frame["frame"].to_numpy()])).drop("frame")]
            for kind, frame in found.rows.items()
        }
        return _with(self._rows(parts, done), served)

    def close(self) -> dict[Table, pl.DataFrame]:
        """Rows of what never became whole."""
        rows = self._rows({}, self._openings.close())
        lost = [f"{self._openings.lost[kind]} {_WORDS[kind]}" for kind in TABLES if kind in self._openings.lost]
        if lost:
            self.ledger.note(f"{' and '.join(lost)} never became whole; what was seen of them is told")
        return _with(rows, self._metadata.close())

    def _rows(self, parts: dict[int, list[pl.DataFrame]], done: list[Done]) -> dict[Table, pl.DataFrame]:
        for kind in TABLES:
            mine = [one for one in done if one.kind == kind]
            if mine and (told := _joined(kind, mine)).height:
                parts.setdefault(kind, []).append(told)
        out = {}
        for kind, frames in parts.items():
            rows = pl.concat(frames, how="diagonal_relaxed").sort("number", maintain_order=True)
            if kind == HTTP:
                rows = rows.filter(~self._metadata.proxied(rows))
            fresh = rows.filter(pl.Series(self._sequences[kind].fresh(rows)))
            if fresh.height:
                out[TABLES[kind]] = self._table(kind, fresh)
        return out

    def _table(self, kind: int, rows: pl.DataFrame) -> pl.DataFrame:
        six = rows["version"].to_numpy() == 6
        ends = {
            end: self._addresses.texts(six, rows[f"{end}_high"].to_numpy(), rows[f"{end}_low"].to_numpy())
            for end in ("src", "dst")
        }
        rows = rows.drop("version")
        if kind == TLS:
            ends = {"client": ends["src"], "server": ends["dst"]}
            rows = rows.rename({"src_port": "client_port", "dst_port": "server_port", "offered": "version"})
        time, interface = pl.col("time"), pl.col("interface")
        return rows.with_columns(
            **ends,
            time=pl.when(time != NO_TIME).then(time).cast(TIME),
            source=pl.lit(self.source),
            interface=pl.when(interface != NO_INTERFACE).then(interface),
            wire_bytes="wire",
            **_absent(TABLES[kind]),
        ).select(pl.col(col.name).cast(col.dtype) for col in TABLES[kind].cols)


def _with(rows: dict[Table, pl.DataFrame], served: pl.DataFrame | None) -> dict[Table, pl.DataFrame]:
    """The rows, and those of metadata traffic among them."""
    if served is None:
        return rows
    parts = [served, *([rows[HTTP_MESSAGES]] if HTTP_MESSAGES in rows else [])]
    return rows | {HTTP_MESSAGES: pl.concat(parts).sort("number", maintain_order=True)}


def _absent(table: Table) -> dict[str, pl.Expr]:
    """What only the reader of metadata traffic tells."""
    if table is not HTTP_MESSAGES:
        return {}
    return {"expires_at": pl.lit(None), "token_ttl_seconds": pl.lit(None), "metadata": pl.lit(False)}


def _joined(kind: int, done: list[Done]) -> pl.DataFrame:
    """The messages of openings that are over."""
    length = np.array([len(one.data) for one in done])
    end = np.cumsum(length)
    data = padded(b"".join(one.data for one in done))
    told, _ = _read(kind, data, end - length, end, np.ones(len(done), bool))
    segments = pl.DataFrame([one.place for one in done], schema=_SCHEMA, orient="row")
    return _placed(told, segments[told["row"]]).with_columns(duplicate=pl.lit(False))


_UNSIGNED = ("src_high", "src_low", "dst_high", "dst_low")
_SCHEMA = pl.Schema({name: pl.UInt64() if name in _UNSIGNED else pl.Int64() for name in PLACE})
