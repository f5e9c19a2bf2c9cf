"""Heads of HTTP/1 messages (RFC 9112) that stand in segments, any number at once. Bodies are stepped over.

A message is known by a complete start line, never by a port. Of its header fields only Host, User-Agent and those that
tell the length of the body are looked at.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from msgspec import Struct

from analyzer.sources.capture.arrays import I64, U8, Flags, gather, run_starts
from analyzer.sources.capture.http_head import HOST_MOST, TEXT_MOST, reduced_path
from analyzer.sources.capture.spans import FAR, compact, first_at_or_after, texts
from analyzer.sources.secrets import scrub_column

METHODS = ("GET", "PUT", "POST", "HEAD", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE")
HEAD_MOST = 4096
"""Bytes of a head that are looked at: start line, Host and User-Agent stand in front."""
PIPELINED_MOST = 64
"""Messages taken from one segment."""
BODY_MOST = 1 << 28
"""A body is believed to be no longer than this; a longer one would cover a good part of the sequence space."""

WORD = 8
"""Bytes by which a message is known: the longest method and its space."""

_ANSWER = len(METHODS)
_STARTS = [f"{method} ".encode() for method in METHODS] + [b"HTTP/1."]
_SIZES = np.array([len(start) for start in _STARTS])
_NAMES = (b"host:", b"user-agent:", b"content-length:", b"transfer-encoding:")
_HOST, _AGENT, _LENGTH, _ENCODING = range(len(_NAMES))
_METHOD_TEXTS = pl.Series([*METHODS, None], dtype=pl.String)
_TARGETS = (b"/", b"*", b"http:", b"https:")
_PLAIN_PATH = r"^(/(?:[^/?#;][^?#;]*)?)(?:[?#;]|$)"
_KEPT = r"[?&](?:api-version|resource)=|/credentials/"


class Heads(Struct, frozen=True):
    """One entry per message. `row` is the segment, `offset` where in it the message begins, `head` and `length` how
    long head and message are. `open` lists the segments whose first head is not whole."""

    row: I64
    offset: I64
    head: I64
    length: I64
    content: pl.DataFrame
    open: I64


def begins(data: U8, at: I64) -> I64:
    """Which start each message has, -1 for none."""
    words = gather(data, at, WORD)
    found = np.full(len(at), -1)
    for code, start in enumerate(_STARTS):
        same = words[:, 0] == start[0]
        for place in range(1, len(start)):
            same &= words[:, place] == start[place]
        found[same] = code
    return found


def read(data: U8, start: I64, end: I64, final: Flags) -> Heads:
    """The messages of segments that begin like one. Of a `final` segment nothing more will come."""
    parts: list[_Parsed] = []
    unfinished = np.empty(0, np.int64)
    row, at = np.arange(len(start)), start
    for turn in range(PIPELINED_MOST):
        parsed, still = _parse(data, at, end[row], final[row])
        if not turn:
            unfinished = row[still]
        behind = np.where(parsed.endless, FAR, at[parsed.row] + parsed.length)
        parsed.row, parsed.offset = row[parsed.row], (at - start[row])[parsed.row]
        parts.append(parsed)
        go = np.flatnonzero(behind + WORD <= end[parsed.row])
        go = go[begins(data, behind[go]) >= 0]
        if not len(go):
            break
        row, at = parsed.row[go], behind[go]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
    order = np.lexsort((joined["offset"], joined["row"]))
    content = pl.concat([part.content for part in parts])[pl.Series(order.astype(np.uint32))]
    return Heads(**{name: value[order] for name, value in joined.items()}, content=content, open=unfinished)


class _Parsed(Struct):
    row: I64
    offset: I64
    head: I64
    length: I64
    endless: Flags
    content: pl.DataFrame


_ARRAYS = ("row", "offset", "head", "length")


def _parse(data: U8, start: I64, end: I64, final: Flags) -> tuple[_Parsed, I64]:
    """The message at each place, and the places whose head may become one when more of it is known."""
    data, start, end = compact(data, start, np.minimum(end, start + HEAD_MOST))
    code = begins(data, start)
    breaks = np.flatnonzero(data == 10)
    line = first_at_or_after(breaks, start)
    line_end = np.where(line < end, line - (data[np.minimum(line, len(data)) - 1] == 13), FAR)
    good, target, size = _start_lines(data, start, end, code, line_end)
    close, whole = _head_ends(data, breaks, start, end)
    whole &= good
    told = whole | (good & (line < end) & (final | (end - start >= HEAD_MOST)))
    still = np.flatnonzero(good & ~told & ~final)
    rows = np.flatnonzero(told)
    values, lengths = _fields(data, breaks, start[rows], np.where(whole, close, end)[rows])
    answer = code[rows] == _ANSWER
    content = _content(data, code[rows], start[rows], target[rows], size[rows], values, lengths)
    head = np.where(whole, close, end)[rows] - start[rows]
    body, endless = _bodies(data, values, lengths, answer, content["status"])
    return _Parsed(rows, rows, head, head + body, endless, content), still


def _start_lines(data: U8, start: I64, end: I64, code: I64, line_end: I64) -> tuple[Flags, I64, I64]:
    """Whether the start line is sound as far as it is seen, and place and length of a request's target."""
    answer = code == _ANSWER
    seen = line_end < FAR
    target = start + _SIZES[code]
    size = np.where(seen & ~answer, line_end - 9 - target, 0)
    rows = np.flatnonzero(~answer & (code >= 0))
    good = np.zeros(len(start), bool)
    good[rows] = _targets(data, target[rows], code[rows])
    full = rows[seen[rows]]
    tail = gather(data, np.maximum(line_end[full] - 9, 0), 9)
    fits = (tail[:, :8] == np.frombuffer(b" HTTP/1.", np.uint8)).all(axis=1) & ((tail[:, 8] | 1) == ord("1"))
    spaces = np.flatnonzero(data == 32)
    fits &= (size[full] > 0) & (first_at_or_after(spaces, target[full]) == line_end[full] - 9)
    good[full] &= fits
    rows = np.flatnonzero(answer)
    digits = gather(data, start[rows] + 7, 6)
    # What is not seen yet may be anything; a status line is short, so that this is rare.
    unseen = (start[rows] + 7)[:, None] + np.arange(6) >= end[rows][:, None]
    fits = unseen[:, 0] | ((digits[:, 0] | 1) == ord("1"))
    fits &= unseen[:, 1] | (digits[:, 1] == 32)
    fits &= unseen[:, 2] | ((digits[:, 2] >= ord("1")) & (digits[:, 2] <= ord("5")))
    for place in (3, 4):
        fits &= unseen[:, place] | ((digits[:, place] >= 48) & (digits[:, place] <= 57))
    after = data[np.minimum(start[rows] + 12, len(data) - 1)]
    fits &= unseen[:, 5] | (after == 32) | (after == 13) | (after == 10)
    good[rows] = fits & (~seen[rows] | (line_end[rows] - start[rows] >= 12))
    return good, target, size


def _targets(data: U8, at: I64, code: I64) -> Flags:
    """Whether a target has one of the forms of RFC 9112 section 3.2, by how it begins."""
    head = gather(data, at, 6)
    out: Flags = code == METHODS.index("CONNECT")
    for form in _TARGETS:
        out |= (head[:, : len(form)] == np.frombuffer(form, np.uint8)).all(axis=1)
    return out


def _head_ends(data: U8, breaks: I64, start: I64, end: I64) -> tuple[I64, Flags]:
    """Where each head ends, behind its empty line, and whether that was seen."""
    one, two = data[np.minimum(breaks + 1, len(data) - 1)], data[np.minimum(breaks + 2, len(data) - 1)]
    empty = (one == 10) | ((one == 13) & (two == 10))
    last = breaks[empty]
    place = first_at_or_after(last, start)
    close = place + np.where(data[np.minimum(place, len(data) - 2) + 1] == 10, 2, 3)
    return close, close <= end


def _fields(data: U8, breaks: I64, start: I64, end: I64) -> tuple[I64, I64]:
    """Place and length of the first value of each of _NAMES, as (N, names) matrices; place -1 where absent."""
    value, length = np.full((len(start), len(_NAMES)), -1), np.zeros((len(start), len(_NAMES)), np.int64)
    if not len(start):
        return value, length
    low, high = np.searchsorted(breaks, start), np.searchsorted(breaks, end)
    count = np.maximum(high - low - 1, 0)
    owner = np.repeat(np.arange(len(start)), count)
    nth = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count) + low[owner]
    at = breaks[nth] + 1
    letter = data[at] | 0x20
    maybe = (letter == ord("h")) | (letter == ord("u")) | (letter == ord("c")) | (letter == ord("t"))
    owner, nth, at = owner[maybe], nth[maybe], at[maybe]
    name = gather(data, at, 18) | 0x20
    for column, wanted in enumerate(_NAMES):
        same = (name[:, : len(wanted)] == np.frombuffer(wanted, np.uint8)).all(axis=1)
        here = np.flatnonzero(same)
        if not len(here):
            continue
        here = here[run_starts(owner[here])]
        begin, stop = _trimmed(data, at[here] + len(wanted), breaks[nth[here] + 1])
        value[owner[here], column], length[owner[here], column] = begin, stop - begin
    return value, length


def _trimmed(data: U8, begin: I64, stop: I64) -> tuple[I64, I64]:
    """Without the optional white space around a value; a few characters of it are all that occurs."""
    for _ in range(4):
        begin = begin + ((begin < stop) & ((data[begin] == 32) | (data[begin] == 9)))
        last = data[np.maximum(stop - 1, 0)]
        stop = stop - ((begin < stop) & ((last == 13) | (last == 32) | (last == 9)))
    return begin, stop


def _content(data: U8, code: I64, start: I64, target: I64, size: I64, values: I64, lengths: I64) -> pl.DataFrame:
    answer = code == _ANSWER
    digits = gather(data, start + 9, 3).astype(np.int32) - 48
    status = pl.Series(digits @ np.array([100, 10, 1], np.int32))
    whole = texts(data, np.where(answer, -1, target), size, HEAD_MOST)
    agents = texts(data, np.where(answer, -1, values[:, _AGENT]), lengths[:, _AGENT])
    hosts = texts(data, np.where(answer, -1, values[:, _HOST]), lengths[:, _HOST], HOST_MOST)
    return pl.DataFrame(
        {
            "response": pl.Series(answer),
            "method": _METHOD_TEXTS[pl.Series(code.astype(np.uint32))],
            "path": _scrubbed(_paths(whole)),
            "status": pl.DataFrame({"s": status, "a": answer}).select(pl.when("a").then("s"))["s"].cast(pl.Int32),
            "user_agent": _scrubbed(agents),
            "host": _scrubbed(hosts),
        }
    )


def _paths(targets: pl.Series) -> pl.Series:
    """Paths without query, fragment and parameters; the few that need more care one by one."""
    out = targets.str.extract(_PLAIN_PATH).str.slice(0, TEXT_MOST)
    odd = (targets.str.contains(_KEPT) | out.is_null()) & targets.is_not_null()
    at = odd.fill_null(False).arg_true()
    if not at.len():
        return out
    return out.scatter(at, [reduced_path(text.encode()) for text in targets.gather(at).to_list()])


def _scrubbed(values: pl.Series) -> pl.Series:
    """Without what has the shape of a credential; each distinct text is looked at once."""
    distinct = values.unique()
    cleaned = scrub_column(distinct)
    changed = (distinct != cleaned).fill_null(False)
    if not changed.any():
        return values
    return values.replace(distinct.filter(changed), cleaned.filter(changed))


def _bodies(data: U8, values: I64, lengths: I64, answer: Flags, status: pl.Series) -> tuple[I64, Flags]:
    """The length of each body, and whether only its chunks or the end of the connection tell it (RFC 9112, 6.3)."""
    at, size = values[:, _LENGTH], lengths[:, _LENGTH]
    stated = (at >= 0) & (size > 0) & (size <= 12)
    digits = gather(data, np.maximum(at, 0), 12).astype(np.int64) - 48
    body = np.zeros(len(at), np.int64)
    for place in range(12):
        here = stated & (place < size)
        stated &= ~here | ((digits[:, place] >= 0) & (digits[:, place] <= 9))
        body = np.where(here, body * 10 + digits[:, place], body)
    body = np.where(stated, np.minimum(body, BODY_MOST), 0)
    at, size = values[:, _ENCODING], lengths[:, _ENCODING]
    last = gather(data, np.maximum(at + size - 7, 0), 7) | 0x20
    chunked = (at >= 0) & (size >= 7) & (last == np.frombuffer(b"chunked", np.uint8)).all(axis=1)
    code = status.fill_null(200).to_numpy()
    bodiless = answer & ((code < 200) | (code == 204) | (code == 304))
    return np.where(bodiless | chunked, 0, body), ~bodiless & (chunked | (answer & ~stated))
