"""Resource records, walked in lockstep: all messages move by one record a step.

Every record is measured, and its data must be what its type demands. Those of answer sections are collected.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.sources.capture import dns_codes as codes
from analyzer.sources.capture.arrays import I64, U8, Flags, fulls, gather, halves, no_offsets
from analyzer.sources.capture.dns_names import NAME_MOST

HEADER = 12
RECORDS_MOST = 64
"""Records of one message that are checked. A 63 kB message can hold 4,500 that each expand to 250 octets."""
ABSENT = -1
QUERY, NOTIFY = 0, 4
INTERNET = 1
_FEW = 16
"""Below this many names a loop is cheaper than NumPy's calls."""

NAME_AT = {codes.NS: 0, codes.CNAME: 0, codes.PTR: 0, codes.DNAME: 0, codes.MX: 2, codes.SRV: 6}
"""Where in the data of a record its name stands, by type."""
_SIZES = {codes.A: 4, codes.AAAA: 16}


@dataclass(frozen=True, slots=True)
class Answers:
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


@dataclass(frozen=True, slots=True)
class Sections:
    """The messages whose records are walked. `counts` holds the records of the three sections by the header; `tolerant`
    messages may end before their records do."""

    start: I64
    end: I64
    counts: I64
    flags: I64
    named: Flags
    classes: I64
    tolerant: Flags


@dataclass(slots=True)
class Walk:
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
        # Most owners are a pointer to the question, whose name is known to be good.
        easy = (data[place] == 0xC0) & (data[place + 1] == HEADER) & of.named[rows]
        # The OPT record of EDNS belongs to the root.
        root = data[place] == 0
        behind = place + np.where(root, 1, 2)
        hard = np.flatnonzero(~(easy | root))
        behind[hard] = names_end(data, place[hard], of.start[rows[hard]], of.end[rows[hard]])
        good = (behind >= 0) & (behind + 10 <= of.end[rows])
        head = gather(data, behind, 10)
        length = halves(head, 8).astype(np.int64)
        body = behind + 10
        good &= body + length <= of.end[rows]
        kind = halves(head, 0).astype(np.int64)
        opcode = of.flags[rows] >> 11 & 15
        strict = good & ((opcode == QUERY) | (opcode == NOTIFY))
        checked = np.where(strict & ((halves(head, 2) & of.classes[rows]) == INTERNET), kind, 0)
        fits, numbers = _fits(data, checked, body, length, of.start[rows])
        good &= fits
        if numbers is not None:
            _lives(data, rows, index, head, np.where(good, numbers, ABSENT), of.counts, negative)
        malformed[rows[~good & ~of.tolerant[rows]]] = True
        told = np.flatnonzero(good & (index < of.counts[rows, 0]) & (of.flags[rows] >= 0x8000) & strict)
        if len(told):
            owner = np.where(easy[told], ABSENT, place[told])
            ttl = fulls(head[told], 4).astype(np.int64)
            position = np.full(len(told), index + 1)
            found.append(Answers(rows[told], position, kind[told], checked[told], ttl, owner, body[told]))
        rows = rows[good]
        at[rows] = (body + length)[good]
    return Walk(at, malformed, negative, _in_order(found, count), over)


def _lives(data: U8, rows: I64, index: int, head: U8, numbers: I64, counts: I64, out: I64) -> None:
    """Take the life of negative answers from SOA records of the authority section (RFC 2308 section 5)."""
    soa = (numbers >= 0) & (index >= counts[rows, 0]) & (index < counts[rows, 0] + counts[rows, 1])
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


def _fits(data: U8, kind: I64, body: I64, length: I64, start: I64) -> tuple[Flags, I64 | None]:
    """Whether the record data is what its type demands, and where the numbers of SOA records stand, if there are any.

    Types that are not listed here are only measured. Octets behind the last name are let be, as Wireshark does.
    """
    good = np.ones(len(kind), bool)
    for code, size in _SIZES.items():
        good &= (kind != code) | (length == size)
    end = body + length
    for code, skip in NAME_AT.items():
        here = np.flatnonzero(kind == code)
        if len(here):
            good[here] = names_end(data, body[here] + skip, start[here], end[here]) >= 0
    numbers = None
    here = np.flatnonzero(kind == codes.SOA)
    if len(here):
        second = names_end(data, body[here], start[here], end[here])
        valid = second >= 0
        third = names_end(data, np.where(valid, second, end[here]), start[here], end[here])
        good[here] = valid & (third >= 0) & (third + 20 <= end[here])
        numbers = np.full(len(kind), ABSENT)
        numbers[here] = third
    here = np.flatnonzero(kind == codes.TXT)
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
    out = np.full(len(at), ABSENT)
    rows, here, run, end = np.arange(len(at)), at.copy(), at.copy(), end.copy()
    length = np.zeros(len(at), np.int64)
    while len(rows):
        inside = (here[rows] < end[rows]) & (length[rows] < NAME_MOST)
        out[rows[~inside]] = ABSENT - 1
        rows = rows[inside]
        place = here[rows]
        byte = data[place].astype(np.int64)
        zero, label, pointer = byte == 0, (byte > 0) & (byte < 64), byte >= 192
        done = rows[zero]
        out[done] = np.where(out[done] == ABSENT, place[zero] + 1, out[done])
        out[rows[~(zero | label | pointer)]] = ABSENT - 1
        here[rows[label]] = place[label] + byte[label] + 1
        length[rows[label]] += byte[label] + 1
        jump, source = rows[pointer], place[pointer]
        target = start[jump] + ((byte[pointer] & 63) << 8 | data[np.minimum(source + 1, len(data) - 1)])
        fits = (target < run[jump]) & (target >= start[jump] + HEADER) & (source + 2 <= end[jump])
        out[jump[~fits]] = ABSENT - 1
        out[jump[fits]] = np.where(out[jump[fits]] == ABSENT, source[fits] + 2, out[jump[fits]])
        end[jump[fits]] = run[jump[fits]]
        here[jump[fits]] = run[jump[fits]] = target[fits]
        rows = np.concatenate([rows[label], jump[fits]])
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
