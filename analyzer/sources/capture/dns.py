"""DNS messages, decoded by a kernel, or together: one NumPy step moves all messages by one label or one record.

RFC 1035 gives the format, RFC 2308 the life of negative answers, RFC 9267 the ways in which messages lie. Strict
rules: labels of at most 63 octets, names of at most 255, pointers only backwards and never into the header, record
lengths inside the message and right for their type.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from analyzer import kernels
from analyzer.sources.capture.arrays import I64, U8, Flags, gather, half_at, no_offsets
from analyzer.sources.capture.dns_names import NAME_MOST
from analyzer.sources.capture.dns_records import ABSENT, HEADER, Answers, Sections, names_end, walk

QUESTIONS_MOST = 64
"""Questions of one message. RFC 9619 allows one; multicast DNS asks for a dozen at once."""
TIDIED = 8
"""Labels after which the names that ended are taken out of the walk."""
_STEPS = np.arange(1, 257) * (np.arange(256) > 0)
"""Octets from one length byte to the next, by its value; none from the last."""
RECORD_LEAST = 11
"""Octets of the smallest record: root name, type, class, TTL, length."""
QUESTION_LEAST = 5
_RECORDS_LEAST = 256
_RECORDS_USUAL = 2
"""Records of answer sections for which a kernel gets room: so many, and so many per message, half of which are queries.
Where that is not enough it is asked again."""

GOOD, MALFORMED, UNREAD = 0, 1, 2
"""Values of `state`; UNREAD is a message cut before its question ends."""


class Messages(Struct):
    """Per message. The name is the `name_length` octets at `name_at`, the first question's; -1 if there is none.

    `counts` holds questions and the records of the three sections by the header, `behind` is where the walk ended;
    `over` are the messages of which not all records were looked at.
    """

    state: U8
    id: I64
    flags: I64
    counts: I64
    qtype: I64
    name_at: I64
    name_length: I64
    behind: I64
    negative_ttl: I64
    answers: Answers
    over: I64

    @property
    def behind_name(self) -> I64:
        """Where the first question's type stands."""
        return self.name_at + self.name_length


def decode(data: U8, start: I64, end: I64, whole: Flags, classes: I64 | None = None) -> Messages:
    """Decode the messages in data[start:end].

    `whole` is false where the captured bytes end before the message; `classes` are the bits that count in a record's
    class, all if not told.
    """
    made = _compiled(data, start, end, whole, no_offsets() if classes is None else classes)
    return decode_together(data, start, end, whole, classes) if made is None else made


def _compiled(data: U8, start: I64, end: I64, whole: Flags, classes: I64) -> Messages | None:
    """The messages by a kernel; None where there is none."""
    if len(data) < HEADER or not kernels.there():
        return None
    count = len(start)
    state, over = np.empty(count, np.uint8), np.empty(count, np.uint8)
    columns = np.empty((11, count), np.int64)
    start, end, classes = (np.ascontiguousarray(part) for part in (start, end, classes))
    places = data, start, end, np.ascontiguousarray(whole).view(np.uint8), classes
    # Room for what could be counted would be most of the memory of a window.
    held = _RECORDS_USUAL * count + _RECORDS_LEAST
    while True:
        answers = np.empty((7, room := held), np.int64)
        told = kernels.call("dns_decode", *places, state, over, columns, answers)
        if told is None:
            return None
        if (held := told) <= room:
            break
    return Messages(
        state=state,
        id=columns[0],
        flags=columns[1],
        counts=columns[2:6].T,
        qtype=columns[6],
        name_at=columns[7],
        name_length=columns[8],
        behind=columns[9],
        negative_ttl=columns[10],
        # Copies, for a table keeps some of them: it would keep all of the room.
        answers=Answers(*(column[:held].copy() for column in answers)),
        over=np.flatnonzero(over),
    )


def decode_together(data: U8, start: I64, end: I64, whole: Flags, classes: I64 | None = None) -> Messages:
    """The same in NumPy: all messages move by one label or one record a step."""
    count = len(start)
    # Column after column: sums along rows of three are slow.
    header = gather(data, start, HEADER).view(">u2").T.astype(np.int64, order="C")
    has_header = start + HEADER <= end
    flags, counts = header[1], header[2:].T
    records = counts[:, 1] + counts[:, 2] + counts[:, 3]
    bad = np.where(whole, np.uint8(MALFORMED), np.uint8(UNREAD))
    state = np.where(has_header, np.uint8(GOOD), bad)
    room = end - start - HEADER
    least = counts[:, 0] * QUESTION_LEAST + records * RECORD_LEAST
    # A truncated answer may count records that were left out of it.
    tolerant = ((flags & 0x0200) != 0) | ~whole
    state[has_header & ~tolerant & (least > room)] = MALFORMED
    asked = _Questions(data, start, end, whole, counts[:, 0], state)
    after, qtype, name_at, name_length = asked.walk()
    rows = np.flatnonzero((state == GOOD) & (records > 0))
    if classes is None:
        classes = np.full(count, 0xFFFF)
    sections = Sections(start, end, counts[:, 1:], flags, name_at >= 0, classes, tolerant)
    made = walk(data, rows, after, sections)
    state[made.malformed] = MALFORMED
    answers = made.answers
    if made.malformed.any():
        answers = answers.only(~made.malformed[answers.row])
    return Messages(
        state=state,
        id=header[0],
        flags=flags,
        counts=counts,
        qtype=qtype,
        name_at=name_at,
        name_length=name_length,
        behind=made.behind,
        negative_ttl=made.negative_ttl,
        answers=answers,
        over=made.over,
    )


class _Questions(Struct):
    """The question sections of messages; a walk settles their `state`."""

    data: U8
    start: I64
    end: I64
    whole: Flags
    asked: I64
    state: U8

    def walk(self) -> tuple[I64, I64, I64, I64]:
        """Where each question section ends; type, place and length of the first question."""
        count = len(self.start)
        after = self.start + HEADER
        qtype, name_at = np.full(count, ABSENT), np.full(count, ABSENT)
        name_length = np.zeros(count, np.int64)
        self.state[(self.state == GOOD) & (self.asked > QUESTIONS_MOST)] = MALFORMED
        rows = np.flatnonzero((self.state == GOOD) & (self.asked >= 1))
        begin, limit = after[rows], self.end[rows]
        stop, broken, cut = plain_names(self.data, begin, limit)
        cut |= (stop >= 0) & (stop + QUESTION_LEAST > limit)
        good = (stop >= 0) & ~cut
        if not good.all():
            whole = self.whole[rows]
            self.state[rows[broken | (cut & whole)]] = MALFORMED
            self.state[rows[cut & ~whole & ~broken]] = UNREAD
            rows, begin, stop = rows[good], begin[good], stop[good]
        name_at[rows] = begin
        name_length[rows] = stop - begin + 1
        qtype[rows] = half_at(self.data, stop + 1)
        after[rows] = stop + QUESTION_LEAST
        self._others(rows[self.asked[rows] > 1], after)
        return after, qtype, name_at, name_length

    def _others(self, rows: I64, after: I64) -> None:
        """Step over the other questions, whose names may be compressed."""
        turn = 1
        while len(rows):
            behind = names_end(self.data, after[rows], self.start[rows], self.end[rows])
            good = (behind >= 0) & (behind + 4 <= self.end[rows])
            failed = rows[~good]
            self.state[failed] = np.where(self.whole[failed], MALFORMED, GOOD)
            # What a cut message still holds behind a question that is not there is not read.
            after[failed] = self.end[failed]
            after[rows[good]] = behind[good] + 4
            turn += 1
            rows = rows[good]
            rows = rows[self.asked[rows] > turn]


def plain_names(data: U8, start: I64, end: I64) -> tuple[I64, Flags, Flags]:
    """Place of the final zero of each uncompressed name or -1; whether it is broken; whether it runs past its end.

    A first question cannot be compressed: nothing but the header stands before it.
    """
    stop = np.full(len(start), ABSENT)
    broken, cut = np.zeros(len(start), bool), np.zeros(len(start), bool)
    cut |= start >= end
    rows = np.flatnonzero(~cut)
    at, limit = start[rows], end[rows]
    for step in range(1, NAME_MOST):
        length = data[at]
        if not length.any():
            break
        # Names at their end stay there; to take them out at every step costs more than to look at them again.
        at = at + _STEPS.take(length)
        wrong, over = length >= 64, at >= limit
        if step * 64 >= NAME_MOST:
            wrong |= at - start[rows] >= NAME_MOST
        failed = wrong | over
        if step % TIDIED == 0 or failed.any():
            broken[rows[wrong]] = True
            cut[rows[over & ~wrong]] = True
            ended = length == 0
            done = ended & ~failed
            stop[rows[done]] = at[done]
            left = ~(ended | failed)
            rows, at, limit = rows[left], at[left], limit[left]
    stop[rows] = at
    return stop, broken, cut
