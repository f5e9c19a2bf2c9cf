"""Lines to events: a window at once where it is clean, line by line where it is not, so that damage costs one line."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Raw, Struct, field

from analyzer import kernels
from analyzer.sources.audit import body
from analyzer.sources.audit.envelope import NOTHING, Told, is_flat, opened
from analyzer.sources.audit.event import (
    DECODER,
    NO_BODY,
    VERSIONS,
    Event,
    coerce,
    is_event,
    strictly,
)
from analyzer.sources.audit.rows import Rows, rows_of
from analyzer.sources.audit.scanned import scanned
from analyzer.sources.contract import Ledger
from analyzer.sources.lines import line_ends

NOT_JSON = "not JSON"
NOT_AUDIT = "not an audit event"
NULS = "NUL bytes"
LOST = "a part of the line was lost"

DEPTH = 4
"""Wrappers inside wrappers that are opened: list in list, record in export."""

LONG = 1500
"""Mean bytes of a line from which it pays to look for bodies and to cut them before the decoder meets them."""

_RETURN = 13
_BLANK = b" \t\r\n\x1e"
Codes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]

_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_KIND = b'"Event"'
"""Others have the same versions: EventList, which an apiserver sends to a webhook, and Policy, which is configured."""

_NAMES = (b'"apiVersion"', b'"auditID"', b'"verb"')
"""One of these fields must be there for `is_event` to hold."""

_RAWS = msgspec.json.Decoder(dict[str, Raw])
_VALUES = msgspec.json.Decoder()


class Held(Struct):
    """One event with its length, and what its envelopes tell of it: see `envelope.Opened`."""

    event: Event
    size: int
    grpc: bool = False
    server: str | None = None


class Found(Struct):
    """The events of one line or element; `bad` are the reasons why parts of it were no events."""

    events: list[Held] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)


def decode_window(
    data: bytes, numbers: Numbers | int, tally: Told, ledger: Ledger, *, cut_last: bool = False, joined: bool = False
) -> Rows:
    """The events of whole lines that have those numbers, or numbers from there on.

    With `cut_last` the last line has no newline, so it may be incomplete. With `joined` a line may have been put
    together from parts of which one was lost.
    """
    if not data:
        return decode_each((), tally, ledger)
    codes = np.frombuffer(data, np.uint8)
    ends = line_ends(data)
    if not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)
    if isinstance(numbers, int):
        numbers = np.arange(numbers, numbers + len(starts))
    lines = numbers[: len(starts)]
    rows = _scanned(data, codes, starts, ends, lines) or _clean(data, codes, starts, ends, lines)
    if rows is not None:
        return rows
    told = zip(numbers.tolist(), data.split(b"\n"), strict=False)
    return decode_each(told, tally, ledger, cut_last=cut_last, joined=joined)


def _scanned(data: bytes, codes: Codes, starts: Numbers, ends: Numbers, numbers: Numbers) -> Rows | None:
    """The same as `_clean` by kernels, and None where they have no answer."""
    if not kernels.there():
        return None
    sizes = ends - starts + 1
    if codes[max(int(ends[0]) - 1, 0)] == _RETURN:  # as in all lines, or they do not end as they must
        sizes, ends = sizes - 1, ends - 1
    lean, starts, ends, gone = _lean(data, starts, ends)
    try:
        return scanned(lean, starts, ends, numbers, sizes, gone)
    except _ERRORS:
        return None


def _clean(data: bytes, codes: Codes, starts: Numbers, ends: Numbers, numbers: Numbers) -> Rows | None:
    """The rows of a window in which every line is one event of the right types; None where one is not."""
    last = codes[np.maximum(ends - 1, 0)]
    returns = last == _RETURN
    if returns.any():
        last = np.where(returns, codes[np.maximum(ends - 2, 0)], last)
    # only then does the decoder's count of values say that it found one a line
    if not (codes[np.minimum(starts, len(codes) - 1)] == ord("{")).all() or not (last == ord("}")).all():
        return None
    lean, _, _, gone = _lean(data, starts, ends)
    try:
        return _decoded(lean, numbers, ends - starts - returns + 1, gone)
    except _ERRORS:
        return None


def _lean(data: bytes, starts: Numbers, ends: Numbers) -> tuple[bytes, Numbers, Numbers, body.Cut | None]:
    """The window without bodies where these fill it, and where its lines begin and end."""
    if len(data) <= LONG * len(starts):
        return data, starts, ends, None
    lean, gone = body.cut(data, starts, ends)
    return lean, *gone.left(starts, ends), gone


def _decoded(lean: bytes, numbers: Numbers, sizes: Numbers, gone: body.Cut | None) -> Rows | None:
    """The rows of as many lines as there are sizes. Raises what msgspec raises."""
    events = DECODER.decode_lines(lean)
    if len(events) != len(sizes):
        return None
    rows = rows_of(events, numbers, sizes, gone, one_line=True)
    known = set(rows.parts.values("api_version")) <= VERSIONS and _one_kind([event.kind for event in events])
    return rows if known or all(map(is_event, events)) else None


def _one_kind(kinds: list[Raw]) -> bool:
    """Whether all are events by their own word; compared in one go, which costs least."""
    return b"".join(kinds) == _KIND * len(kinds)


def decode_each(
    numbered: Iterable[tuple[int, bytes]],
    tally: Told,
    ledger: Ledger,
    *,
    cut_last: bool = False,
    joined: bool = False,
) -> Rows:
    """The events of each line or element by itself. Blank lines are no records."""
    items = [(number, line) for number, line in numbered if line.strip(_BLANK)]
    held: list[Held] = []
    numbers: list[int] = []
    for index, (number, line) in enumerate(items):
        found = salvage(line, tally)
        if joined and not found.events:
            _rejoin(line, found, tally)
        held += found.events
        numbers += [number] * len(found.events)
        opens = line.lstrip(_BLANK)[:1] == b"{"
        if found.bad and not found.events and cut_last and index == len(items) - 1 and opens:
            ledger.tail()
            continue
        for reason in found.bad:
            ledger.skip(reason, [number])
    events = [one.event for one in held]
    rows = rows_of(events, numbers, [one.size for one in held], one_line=False)
    rows.grpc = [one.grpc for one in held]
    rows.servers = [one.server for one in held]
    return rows


def _rejoin(line: bytes, found: Found, tally: Told) -> None:
    """Where the rest of a split line was lost, the next line was put in its place: read that one."""
    at = line.rfind(body.HEAD)
    event = _event(line[at:].strip(_BLANK), tally) if at > 0 else None
    if event is not None:
        found.events, found.bad = [Held(event, len(line) - at + 1)], [LOST]


def salvage(line: bytes, tally: Told) -> Found:
    """Whatever events one line holds: one, several in a row, a list, a cloud's record with events as text."""
    text = line.strip(_BLANK + b",")
    if text[:1] == b"\x00":
        text = text.strip(_BLANK + b",\x00")
        if not text:
            return Found(bad=[NULS])
    found = Found()
    if text:
        _open(text, found, tally, DEPTH)
    return found


def _open(text: bytes, found: Found, tally: Told, depth: int) -> None:
    event = _event(text, tally)
    if event is not None and not (event.user is NO_BODY and is_flat(text)):
        found.events.append(Held(event, len(text) + 1))
        return
    inside = opened(text) if depth else NOTHING
    before = len(found.events)
    for part in inside.parts:
        _open(part, found, tally, depth - 1)
    for held in found.events[before:]:
        tally.say(inside)
        held.grpc |= inside.grpc
        held.server = held.server or inside.server
        if inside.translated:
            # the length of the record is that of the event: what was put together from it is our own
            held.size = len(text) + 1
    if not inside.parts:
        found.bad.append(inside.why or (NOT_AUDIT if _is_json(text) else NOT_JSON))


def _event(text: bytes, tally: Told) -> Event | None:
    try:
        event = strictly(text)
    except UnicodeDecodeError:
        mended = text.decode("utf-8", "replace").encode()
        found = None if mended == text else _event(mended, tally)
        tally.not_utf8 += found is not None
        return found
    except (msgspec.ValidationError, RecursionError):
        return _drifted(text, tally)
    except msgspec.DecodeError:
        return None
    return event if is_event(event) else None


def _drifted(text: bytes, tally: Told) -> Event | None:
    """An event whose fields have other types, or whose body nests deeper than the decoder goes."""
    if not any(name in text for name in _NAMES):
        # a record of a cloud, whose event is text inside it: its quotes are escaped
        return None
    lean, request, response = body.excise(text)
    if lean is not text and (short := _event(lean, tally)) is not None:
        short.request_body = Raw(b" " * max(request - len(body.REQUEST), 0))
        short.response_body = Raw(b" " * max(response - len(body.RESPONSE), 0))
        return short
    try:
        raws = _RAWS.decode(text)
        bodies = {name: raws.pop(name) for name in ("requestObject", "responseObject") if name in raws}
        event = coerce({name: _VALUES.decode(raw) for name, raw in raws.items()} | bodies)
    except _ERRORS:
        return None
    if not is_event(event):
        return None
    tally.drifted += 1
    return event


def _is_json(text: bytes) -> bool:
    try:
        _VALUES.decode(text)
    except _ERRORS:
        return False
    return True
