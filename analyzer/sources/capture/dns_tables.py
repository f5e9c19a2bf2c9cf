"""Rows of DNS tables from decoded messages, wherever these were found: in one packet or put together from several."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
from msgspec import Struct

from analyzer import kernels
from analyzer.sources.capture import dns, dns_codes, dns_ports
from analyzer.sources.capture.arrays import I64, U8, U64, Flags, fulls, gather
from analyzer.sources.capture.dns_names import Names
from analyzer.sources.capture.dns_records import NAME_AT, Answers
from analyzer.sources.capture.packets import frame_of, nullable, numbers
from analyzer.sources.capture.texts import Addresses, indices, pick

RESPONSE, AUTHORITATIVE, TRUNCATED = 0x8000, 0x0400, 0x0200

_TRANSPORTS = pl.Series(["udp", "tcp"], dtype=pl.String)
_NONE = pl.Series([None], dtype=pl.String)
_NAME_AT = np.full(1 << 16, -1)
_NAME_AT[list(NAME_AT)] = list(NAME_AT.values())
"""Where in the data of a record its name stands, by type; -1 where there is none."""

_OF_MESSAGE = ("time", "source", "number", "dst", "protocol", "dns_id")
"""Columns of a message that its answers have too; whom it goes to is their client."""

Columns = dict[str, pl.Series]
Carriers = Callable[[I64], Columns]
"""The columns time, source, number, ends, interface and wire_bytes of the packets that carry these messages."""


class Memo(Struct):
    """Texts met before. What is remembered changes the speed, never the rows."""

    names: Names
    addresses: Addresses


class Found(Struct, frozen=True):
    """Places of messages in one buffer, and what the packets that carry them say."""

    data: U8
    start: I64
    end: I64
    whole: Flags
    tcp: Flags
    protocol: U8
    to_server: Flags
    from_server: Flags


class Rows(Struct, frozen=True):
    """Rows of dns_messages and dns_answers, but for the column duplicate, and which of the messages each is of.

    `malformed` are the messages that are refused.
    """

    messages: pl.DataFrame
    message: I64
    answers: pl.DataFrame
    answer: I64
    malformed: I64
    unchecked: int


def rows(found: Found, carriers: Carriers, memo: Memo) -> Rows:
    """Decode the messages and make rows of the good ones, in the order of the messages."""
    made = dns.decode(found.data, found.start, found.end, found.whole, dns_ports.classes(found.protocol))
    unsure = np.flatnonzero((found.protocol == dns_ports.MAYBE) | (found.protocol == dns_ports.LLMNR))
    if len(unsure):
        sides = found.to_server[unsure], found.from_server[unsure]
        proven = dns_ports.plausible(found.data, made, unsure, found.end, *sides) & found.whole[unsure]
        made.state[unsure[~proven]] = dns.UNREAD
    good = np.flatnonzero(made.state == dns.GOOD)
    told, at = made.answers, made.answers.row
    protocol, tcp, qtype, spelled = found.protocol, found.tcp, made.qtype, (made.name_at, made.name_length)
    if len(good) < len(found.start):
        protocol, tcp, qtype, spelled = protocol[good], tcp[good], qtype[good], (spelled[0][good], spelled[1][good])
        place = np.full(len(found.start), -1)
        place[good] = np.arange(len(good))
        told = told.only(place[at] >= 0)
        at = place[told.row]
    names = memo.names.texts(found.data, *spelled)
    carried, header = carriers(good), _header(made, good)
    columns = carried | {
        "protocol": pick(dns_ports.TEXTS, protocol),
        "transport": pick(_TRANSPORTS, tcp),
        "dns_id": header.id,
        "response": header.response,
        "rcode": header.rcode,
        "name": names,
        "qtype": dns_codes.type_texts(qtype),
        "answers": header.answers,
        "truncated": header.truncated,
        "authoritative": header.authoritative,
        "negative_ttl": header.negative_ttl,
    }
    places = indices(at)
    answers = {"client" if name == "dst" else name: columns[name][places] for name in _OF_MESSAGE}
    answers |= {
        "position": pl.Series(told.position.astype(np.int32)),
        "name": _owners(found, told, names, places, memo),
        "rtype": dns_codes.type_texts(told.kind),
        "ttl": pl.Series(told.ttl),
        "value": _values(found, told, memo),
    }
    unchecked = int((made.state[made.over] == dns.GOOD).sum())
    malformed = np.flatnonzero(made.state == dns.MALFORMED)
    return Rows(frame_of(columns), good, frame_of(answers), told.row, malformed, unchecked)


class _Header(Struct, frozen=True):
    """Columns of messages that their headers tell, and the life of negative answers: null in queries and in answers
    that failed otherwise."""

    id: pl.Series
    response: pl.Series
    rcode: pl.Series
    answers: pl.Series
    truncated: pl.Series
    authoritative: pl.Series
    negative_ttl: pl.Series


def _header(made: dns.Messages, good: I64) -> _Header:
    """The columns of these messages."""
    count = len(good)
    told, lives, facts = np.empty((3, count), np.int32), np.empty(count, np.int64), np.empty((4, count), np.uint8)
    given = (good, made.id, made.flags, made.counts[:, 1], made.negative_ttl)
    if kernels.call("dns_header", *map(np.ascontiguousarray, given), told, lives, facts) is None:
        return _header_together(made, good)
    dns_id, rcode, answers = told
    response, truncated, authoritative, negative = facts.view(bool)
    return _Header(
        id=pl.Series(dns_id),
        response=pl.Series(response),
        rcode=pick(dns_codes.RCODE_TEXTS, rcode.view(np.uint32)),
        answers=nullable(answers, response),
        truncated=pl.Series(truncated),
        authoritative=pl.Series(authoritative),
        negative_ttl=nullable(lives, negative),
    )


def _header_together(made: dns.Messages, good: I64) -> _Header:
    """The same in NumPy."""
    flags = made.flags[good]
    response, rcode = (flags & RESPONSE) != 0, flags & 15
    negative = response & ((rcode == dns_codes.NOERROR) | (rcode == dns_codes.NXDOMAIN))
    return _Header(
        id=pl.Series(made.id[good].astype(np.int32)),
        response=pl.Series(response),
        rcode=pick(dns_codes.RCODE_TEXTS, np.where(response, rcode + 1, 0)),
        answers=numbers(np.where(response, made.counts[good, 1], -1), pl.Int32()),
        truncated=pl.Series((flags & TRUNCATED) != 0),
        authoritative=pl.Series((flags & AUTHORITATIVE) != 0),
        negative_ttl=numbers(np.where(negative, made.negative_ttl[good], -1), pl.Int64()),
    )


def _owners(found: Found, told: Answers, names: pl.Series, places: pl.Series, memo: Memo) -> pl.Series:
    """The name that each record is about."""
    hard = np.flatnonzero(told.owner >= 0)
    if not len(hard):
        return names[places]
    spelled = memo.names.packed(found.data, told.owner[hard], found.start[told.row[hard]])
    place = places.to_numpy().astype(np.int64)
    place[hard] = len(names) + np.arange(len(hard))
    return pick(pl.concat([names, spelled]).rechunk(), place)


def _values(found: Found, told: Answers, memo: Memo) -> pl.Series:
    """Address or name that each record holds; null for other types."""
    kind = told.checked
    place = np.full(len(kind), -1)
    four, six = kind == dns_codes.A, kind == dns_codes.AAAA
    here = np.flatnonzero(four | six)
    parts = [memo.addresses.texts(six[here], *_words(found.data, told.body[here], six[here]))]
    if len(here) == len(kind):
        return parts[0]
    place[here] = np.arange(len(here))
    skip = _NAME_AT[kind]
    named = np.flatnonzero(skip >= 0)
    if len(named):
        start = found.start[told.row[named]]
        parts.append(memo.names.packed(found.data, told.body[named] + skip[named], start))
        place[named] = len(here) + np.arange(len(named))
    texts = pl.concat([*parts, _NONE]).rechunk()
    return pick(texts, np.where(place >= 0, place, len(texts) - 1))


def _words(data: U8, at: I64, six: Flags) -> tuple[U64, U64]:
    """Upper and lower words of the addresses at these places."""
    high, low = np.zeros(len(at), np.uint64), fulls(gather(data, at, 4), 0).astype(np.uint64)
    if six.any():
        words = gather(data, at[six], 16).view(">u8").astype(np.uint64)
        high[six], low[six] = words[:, 0], words[:, 1]
    return high, low
