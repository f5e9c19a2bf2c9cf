"""Resource records, walked in lockstep: all messages move by one record a step.

Every record is measured, and its data must be what its type demands. Those of answer sections are collected.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from analyzer.sources.capture import dns_codes as codes
from analyzer.sources.capture.arrays import I64, U8, U16, Flags, fulls, gather, half_at, halves, no_offsets
from analyzer.sources.capture.dns_names import NAME_MOST

HEADER = 12
RECORDS_MOST = 64
"""Records of one message that are checked. A 63 kB message can hold 4,500 that each expand to 250 octets."""
ABSENT = -1
QUERY, NOTIFY = 0, 4
INTERNET = 1
_ONE, _NO_KIND = np.uint8(1), np.uint16(0)
_TO_QUESTION = 0xC000 | HEADER
"""The pointer to the first name of a message."""
_FEW = 16
"""Below this many names a loop is cheaper than NumPy's calls."""

NAME_AT = {codes.NS: 0, codes.CNAME: 0, codes.PTR: 0, codes.DNAME: 0, codes.MX: 2, codes.SRV: 6}
"""Where in the data of a record its name stands, by type."""
_SIZED, _NAMED, _SOA, _TXT = 1, 2, 3, 4
_SHAPES, _SIZES, _SKIPPED = np.zeros(1 << 16, np.uint8), np.zeros(1 << 16, np.int64), np.zeros(1 << 16, np.int64)
"""By type: what its data must be; the size of an address; what stands before a name."""
_SHAPES[[codes.A, codes.AAAA]], _SHAPES[list(NAME_AT)] = _SIZED, _NAMED
_SHAPES[codes.SOA], _SHAPES[codes.TXT] = _SOA, _TXT
_SIZES[[codes.A, codes.AAAA]] = 4, 16
_SKIPPED[list(NAME_AT)] = list(NAME_AT.values())


class Answers(Struct, frozen=True):
    """Records of answer sections, by message and place in it. `owner` is where the owner's name stands, ABSENT where it
    is the question's; `checked` is the type where the data was found to be what the type demands, else 0."""

    row: I64
    position: I64
    kind: I64
    checked: I64
    ttl: I64
    owner: I64
    body: I64

    def only(self, keep: Flags) -> Answers:
        """Some of the records."""
        parts = (self.row, self.position, self.kind, self.checked, self.ttl, self.owner, self.body)
        return Answers(*(part[keep] for part in parts))


class Sections(Struct, frozen=True):
    """The messages whose records are walked. `counts` holds the records of the three sections by the header; `tolerant`
    messages may end before their records do."""

    start: I64
    end: I64
    counts: I64
    flags: I64
    named: Flags
    classes: I64
    tolerant: Flags


class Walk(Struct):
    """What came of a walk: where each message ends, which ones are malformed, lives of negative answers; `over` are the
    messages of which only the first records were looked at."""

    behind: I64
    malformed: Flags
    negative_ttl: I64
    answers: Answers
    over: I64


def walk(data: U8, rows: I64, after: I64, of: Sections) -> Walk:
    """Walk the records of these messages; they begin at `after`."""
    count = len(after)
    total = of.counts.sum(axis=1)
    over = rows[total[rows] > RECORDS_MOST]
    at, malformed, negative = after.copy(), np.zeros(count, bool), np.full(count, ABSENT)
    found: list[Answers] = []
    for index in range(RECORDS_MOST):
        rows = rows[total[rows] > index]
        if not len(rows):
            break
        place = at[rows]
        start, end, flags = of.start[rows], of.end[rows], of.flags[rows]
        # Most owners are a pointer to the question, whose name is known to be good, or the root.
        first = half_at(data, place)
        easy = (first == _TO_QUESTION) & of.named[rows]
        root = first < 256
        behind = place + 2 - root
        hard = np.flatnonzero(~(easy | root))
        behind[hard] = names_end(data, place[hard], start[hard], end[hard])
        head = gather(data, behind, 10)
        length = halves(head, 8)
        body = behind + 10
        stop = body + length
        # A record that ends inside has begun there too.
        good = (behind >= 0) & (stop <= end)
        kind = halves(head, 0)
        opcode = flags >> 11 & 15
        strict = good & ((opcode == QUERY) | (opcode == NOTIFY))
        checked = np.where(strict & ((halves(head, 2) & of.classes[rows]) == INTERNET), kind, _NO_KIND)
        fits, numbers = _fits(data, checked, body, stop, start)
        good &= fits
        if numbers is not None:
            _lives(data, rows, index, head, np.where(good, numbers, ABSENT), of.counts, negative)
        malformed[rows[~good & ~of.tolerant[rows]]] = True
        told = np.flatnonzero(good & (index < of.counts[rows, 0]) & (of.flags[rows] >= 0x8000) & strict)
        if len(told):
            owner = np.where(easy[told], ABSENT, place[told])
            ttl = fulls(head[told], 4).astype(np.int64)
            position = np.full(len(told), index + 1)
            kinds = kind[told].astype(np.int64), checked[told].astype(np.int64)
            found.append(Answers(rows[told], position, *kinds, ttl, owner, body[told]))
        rows = rows[good]
        at[rows] = stop[good]
    return Walk(at, malformed, negative, _in_order(found, count), over)


def _lives(data: U8, rows: I64, index: int, head: U8, numbers: I64, counts: I64, out: I64) -> None:
    """Take the life of negative answers from SOA records of the authority section (RFC 2308 section 5)."""
    soa = np.flatnonzero(numbers >= 0)
    answers, authority = counts[rows[soa], 0], counts[rows[soa], 1]
    soa = soa[(index >= answers) & (index < answers + authority)]
    least = fulls(gather(data, numbers[soa] + 16, 4), 0)
    out[rows[soa]] = np.minimum(fulls(head[soa], 4), least)


def _in_order(found: list[Answers], messages: int) -> Answers:
    """The records by message and position. Those of one message have no gap: its walk ends with the first bad one."""
    if not found:
        return Answers(*(no_offsets() for _ in range(7)))
    row = np.concatenate([part.row for part in found])
    position = np.concatenate([part.position for part in found])
    held = np.bincount(row, minlength=messages)
    place = (np.cumsum(held) - held)[row] + position - 1
    out = [row, position, *(np.concatenate([getattr(part, name) for part in found]) for name in _REST)]
    ordered = [np.empty_like(column) for column in out]
    for old, new in zip(out, ordered, strict=True):
        new[place] = old
    return Answers(*ordered)


_REST = ("kind", "checked", "ttl", "owner", "body")


def _fits(data: U8, kind: U16, body: I64, end: I64, start: I64) -> tuple[Flags, I64 | None]:
    """Whether the record data is what its type demands, and where the numbers of SOA records stand, if there are any.

    Types that are not listed here are only measured. Octets behind the last name are let be, as Wireshark does.
    """
    shape = _SHAPES[kind]
    good = np.ones(len(kind), bool)
    if not shape.any():
        return good, None
    here = np.flatnonzero(shape == _SIZED)
    good[here] = end[here] - body[here] == _SIZES[kind[here]]
    here = np.flatnonzero(shape == _NAMED)
    if len(here):
        good[here] = names_end(data, body[here] + _SKIPPED[kind[here]], start[here], end[here]) >= 0
    numbers = None
    here = np.flatnonzero(shape == _SOA)
    if len(here):
        second = names_end(data, body[here], start[here], end[here])
        valid = second >= 0
        third = names_end(data, np.where(valid, second, end[here]), start[here], end[here])
        good[here] = valid & (third >= 0) & (third + 20 <= end[here])
        numbers = np.full(len(kind), ABSENT)
        numbers[here] = third
    here = np.flatnonzero(shape == _TXT)
    if len(here):
        good[here] = _strings_fit(data, body[here], end[here])
    return good, numbers


def _strings_fit(data: U8, at: I64, end: I64) -> Flags:
    """Whether character-strings fill the data exactly."""
    rows = np.arange(len(at))
    good = np.zeros(len(at), bool)
    while len(rows):
        inside = at < end[rows]
        good[rows[~inside]] = at[~inside] == end[rows[~inside]]
        rows, at = rows[inside], at[inside]
        at = at + data[at] + 1
    return good


def names_end(data: U8, at: I64, start: I64, end: I64) -> I64:
    """Where each name ends in its place, following pointers to check them; -1 where the name is malformed.

    A pointer must point before the run of labels that it ends, and the labels there must end before that run: no octet
    is read twice, so that every walk ends.
    """
    if len(at) < _FEW:
        view = data.data
        plain = [name_end(view, *place) for place in zip(at.tolist(), start.tolist(), end.tolist(), strict=True)]
        return np.array(plain, np.int64)
    out, run, turn = np.full(len(at), ABSENT), at.copy(), 0
    rows, here, limit, origin = np.arange(len(at)), at, end, at
    while len(rows):
        # The octets of a name so far are here - origin; four labels cannot be too many.
        turn += 1
        inside = here < limit
        if turn * 64 > NAME_MOST:
            inside &= here - origin < NAME_MOST
        byte = data.take(here, mode="clip")
        going = (byte - _ONE < 63) & inside
        behind = here + byte + 1
        if going.all():
            here = behind
            continue
        zero, pointer = np.flatnonzero((byte == 0) & inside), np.flatnonzero((byte >= 192) & inside)
        done = rows[zero]
        out[done] = np.where(out[done] == ABSENT, behind[zero], out[done])
        out[rows[(byte - _ONE >= 63) & (byte < 192) & (byte > 0) | ~inside]] = ABSENT - 1
        if len(pointer):
            jump, source = rows[pointer], here[pointer]
            target = start[jump] + (half_at(data, source) & 0x3FFF)
            fits = (target < run[jump]) & (target >= start[jump] + HEADER) & (source + 2 <= limit[pointer])
            out[jump[~fits]] = ABSENT - 1
            pointer, jump, source, target = pointer[fits], jump[fits], source[fits], target[fits]
            out[jump] = np.where(out[jump] == ABSENT, source + 2, out[jump])
            limit, origin = limit.copy(), origin.copy()
            limit[pointer] = run[jump]
            origin[pointer] += target - source
            behind[pointer] = run[jump] = target
            going[pointer] = True
        rows, here, limit, origin = rows[going], behind[going], limit[going], origin[going]
    out[out < 0] = ABSENT
    return out


def name_end(data: memoryview, at: int, start: int, end: int) -> int:
    """The same for one name."""
    here, run, out, length = at, at, ABSENT, 0
    while here < end and length < NAME_MOST:
        byte = data[here]
        if byte == 0:
            return here + 1 if out == ABSENT else out
        if byte < 64:
            here += byte + 1
            length += byte + 1
            continue
        if byte < 192 or here + 2 > end:
            return ABSENT
        target = start + ((byte & 63) << 8 | data[here + 1])
        if not start + HEADER <= target < run:
            return ABSENT
        out = here + 2 if out == ABSENT else out
        end = run
        here = run = target
    return ABSENT
