"""DNS messages, decoded together: one NumPy step moves all messages by one label or one record.

RFC 1035 gives the format, RFC 2308 the life of negative answers, RFC 9267 the ways in which messages lie. Strict
rules: labels of at most 63 octets, names of at most 255, pointers only backwards and never into the header, record
lengths inside the message and right for their type. Messages with several questions are rare and go through dnslib.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.sources.capture import dns_codes as codes
from analyzer.sources.capture.arrays import I64, U8, Flags, fulls, gather, half_at, halves
from analyzer.sources.capture.dns_names import NAME_MOST, spell_labels

HEADER = 12
RECORDS_MOST = 64
"""Records of one message that are checked. A 63 kB message can hold 4,500 that each expand to 250 octets."""
QUESTIONS_MOST = 64
TIDIED = 8
"""Labels after which the names that ended are taken out of the walk."""
_FEW = 16
"""Below this many names a loop is cheaper than NumPy's calls."""
RECORD_LEAST = 11
"""Octets of the smallest record: root name, type, class, TTL, length."""
QUESTION_LEAST = 5
ABSENT = -1
QUERY, NOTIFY = 0, 4
INTERNET = 1

GOOD, MALFORMED, UNREAD = 0, 1, 2
"""Values of `state`; UNREAD is a message cut before its question ends."""

_NAME_AT = {codes.NS: 0, codes.CNAME: 0, codes.PTR: 0, codes.DNAME: 0, codes.MX: 2, codes.SRV: 6}
_SIZES = {codes.A: 4, codes.AAAA: 16}


@dataclass(slots=True)
class Messages:
    """Per message. The name is `name_length` octets at `name_at`; -1 if there is none or `odd_names` has it."""

    state: U8
    id: I64
    flags: I64
    answers: I64
    qtype: I64
    negative_ttl: I64
    name_at: I64
    name_length: I64
    odd_names: dict[int, str]
    unchecked: int


def decode(data: U8, start: I64, end: I64, whole: Flags) -> Messages:
    """Decode the messages in data[start:end]; `whole` is false where the captured bytes end before the message."""
    count = len(start)
    header = gather(data, start, HEADER)
    has_header = start + HEADER <= end
    # Column after column: sums along rows of three are slow.
    counts = np.stack([halves(header, column) for column in (4, 6, 8, 10)]).astype(np.int64).T
    records = counts[:, 1] + counts[:, 2] + counts[:, 3]
    bad = np.where(whole, MALFORMED, UNREAD).astype(np.uint8)
    state = np.where(has_header, GOOD, bad).astype(np.uint8)
    out = Messages(
        state=state,
        id=halves(header, 0).astype(np.int64),
        flags=halves(header, 2).astype(np.int64),
        answers=counts[:, 1],
        qtype=np.full(count, ABSENT),
        negative_ttl=np.full(count, ABSENT),
        name_at=np.full(count, ABSENT),
        name_length=np.zeros(count, np.int64),
        odd_names={},
        unchecked=0,
    )
    room = end - start - HEADER
    least = counts[:, 0] * QUESTION_LEAST + records * RECORD_LEAST
    # A truncated answer may count records that were left out of it.
    truncated = (out.flags & 0x0200) != 0
    state[has_header & whole & ~truncated & (least > room)] = MALFORMED
    after = start + HEADER
    _questions(data, after, end, whole, counts[:, 0], out)
    _several_questions(data, start, end, counts[:, 0], after, out)
    rows = np.flatnonzero((state == GOOD) & whole & ~truncated & (records > 0))
    _records(data, rows, start, after, end, counts, out)
    return out


def _questions(data: U8, after: I64, end: I64, whole: Flags, asked: I64, out: Messages) -> None:
    """Walk the names of messages with one question; `after` moves behind it."""
    one = np.flatnonzero((out.state == GOOD) & (asked == 1))
    stop, broken, cut = plain_names(data, after[one], end[one])
    stop_end = stop + QUESTION_LEAST
    cut |= (stop >= 0) & (stop_end > end[one])
    out.state[one[broken | (cut & whole[one])]] = MALFORMED
    out.state[one[cut & ~whole[one]]] = UNREAD
    good = (stop >= 0) & ~cut
    rows, stop = one[good], stop[good]
    out.name_at[rows] = after[rows]
    out.name_length[rows] = stop - after[rows] + 1
    out.qtype[rows] = half_at(data, stop + 1)
    after[rows] = stop + QUESTION_LEAST


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
        going = length > 0
        if not going.any():
            break
        # Names at their end stay there; to take them out at every step costs more than to look at them again.
        after = at + length
        after += going
        wrong = length >= 64
        over = going & (after >= limit) & ~wrong
        if step * 64 >= NAME_MOST:
            wrong |= after - start[rows] >= NAME_MOST
            over &= ~wrong
        at, failed = after, wrong | over
        if failed.any() or step % TIDIED == 0:
            broken[rows[wrong]] = True
            cut[rows[over]] = True
            done = ~(going | failed)
            stop[rows[done]] = at[done]
            left = going & ~failed
            rows, at, limit = rows[left], at[left], limit[left]
    stop[rows] = at
    return stop, broken, cut


def names_end(data: U8, at: I64, start: I64, end: I64) -> I64:
    """Where each name ends in its place, following pointers to check them; -1 where the name is malformed.

    A pointer must point before the run of labels that it ends, so that every walk ends.
    """
    if len(at) < _FEW:
        view = data.data
        plain = [name_end(view, *place) for place in zip(at.tolist(), start.tolist(), end.tolist(), strict=True)]
        return np.array(plain, np.int64)
    out = np.full(len(at), ABSENT)
    rows, here, run = np.arange(len(at)), at.copy(), at.copy()
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
        here[jump[fits]] = run[jump[fits]] = target[fits]
        rows = np.sort(np.concatenate([rows[label], jump[fits]]))
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
        here = run = target
    return ABSENT


def _records(data: U8, rows: I64, start: I64, after: I64, end: I64, counts: I64, out: Messages) -> None:
    """Check the records of these messages and take the life of negative answers from the SOA record."""
    total = counts[:, 1:].sum(axis=1)
    out.unchecked += int((total[rows] > RECORDS_MOST).sum())
    at = after.copy()
    for index in range(RECORDS_MOST):
        rows = rows[total[rows] > index]
        if not len(rows):
            return
        place = at[rows]
        # Most owners are a pointer to the question, whose name is known to be good.
        easy = (data[place] == 0xC0) & (data[place + 1] == HEADER) & (out.name_at[rows] >= 0)
        behind = place + 2
        hard = np.flatnonzero(~easy)
        behind[hard] = names_end(data, place[hard], start[rows[hard]], end[rows[hard]])
        good = (behind >= 0) & (behind + 10 <= end[rows])
        head = gather(data, behind, 10)
        length = halves(head, 8).astype(np.int64)
        body = behind + 10
        good &= body + length <= end[rows]
        strict = good & ((out.flags[rows] >> 11 & 15 == QUERY) | (out.flags[rows] >> 11 & 15 == NOTIFY))
        kind = np.where(strict & (halves(head, 2) == INTERNET), halves(head, 0), 0).astype(np.int64)
        good &= _fits(data, kind, body, length, start[rows])
        soa = (kind == codes.SOA) & good & (index >= counts[rows, 1]) & (index < counts[rows, 1] + counts[rows, 2])
        if soa.any():
            least = fulls(gather(data, (body + length)[soa] - 4, 4), 0)
            out.negative_ttl[rows[soa]] = np.minimum(fulls(head[soa], 4), least)
        out.state[rows[~good]] = MALFORMED
        at[rows] = body + length
        rows = rows[good]


def _fits(data: U8, kind: I64, body: I64, length: I64, start: I64) -> Flags:
    """Whether the record data is what its type demands; types that are not listed here are only measured."""
    good = np.ones(len(kind), bool)
    for code, size in _SIZES.items():
        good &= (kind != code) | (length == size)
    end = body + length
    for code, skip in _NAME_AT.items():
        here = np.flatnonzero(kind == code)
        if len(here):
            good[here] = names_end(data, body[here] + skip, start[here], end[here]) >= 0
    here = np.flatnonzero(kind == codes.SOA)
    if len(here):
        second = names_end(data, body[here], start[here], end[here])
        valid = second >= 0
        third = names_end(data, np.where(valid, second, end[here]), start[here], end[here])
        good[here] = valid & (third >= 0) & (third + 20 <= end[here])
    here = np.flatnonzero(kind == codes.TXT)
    if len(here):
        good[here] = _strings_fit(data, body[here], end[here])
    return good


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


def _several_questions(data: U8, start: I64, end: I64, asked: I64, after: I64, out: Messages) -> None:
    """Messages with more than one question, each distinct one through dnslib; the row tells the first question."""
    known: dict[bytes, tuple[str, int, int] | None] = {}
    for row in np.flatnonzero((out.state == GOOD) & (asked > 1)).tolist():
        message = data[start[row] : end[row]].tobytes()
        if message[2:] not in known:
            known[message[2:]] = _first_question(message, int(asked[row]))
        found = known[message[2:]]
        if found is None:
            out.state[row] = MALFORMED
        else:
            out.odd_names[row], out.qtype[row], behind = found
            after[row] = start[row] + behind


def _first_question(message: bytes, asked: int) -> tuple[str, int, int] | None:
    """Name and type of the first question, and where the questions end; None where they are malformed."""
    import dnslib

    if asked > QUESTIONS_MOST:
        return None
    buffer = dnslib.DNSBuffer(message)
    try:
        buffer.offset = HEADER
        first = dnslib.DNSQuestion.parse(buffer)
        labels = tuple(bytes(label) for label in first.qname.label)
        for _ in range(asked - 1):
            dnslib.DNSQuestion.parse(buffer)
    except Exception:  # noqa: BLE001  # guard: slow-path DNS message
        # dnslib raises its own errors, but also UnicodeDecodeError and RecursionError on hostile input.
        return None
    if sum(len(label) + 1 for label in labels) >= NAME_MOST or buffer.offset > len(message):
        return None
    return spell_labels(labels), int(first.qtype), int(buffer.offset)
