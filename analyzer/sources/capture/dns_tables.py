"""Rows of DNS tables from decoded messages, wherever these were found: in one packet or put together from several."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
from msgspec import Struct

from analyzer.sources.capture import dns, dns_codes, dns_ports
from analyzer.sources.capture.arrays import I64, U8, U64, Flags, fulls, gather
from analyzer.sources.capture.dns_names import Names
from analyzer.sources.capture.dns_records import NAME_AT, Answers
from analyzer.sources.capture.packets import numbers
from analyzer.sources.capture.texts import Addresses, pick

RESPONSE, AUTHORITATIVE, TRUNCATED = 0x8000, 0x0400, 0x0200

_TRANSPORTS = pl.Series(["udp", "tcp"], dtype=pl.String)
_NONE = pl.Series([None], dtype=pl.String)

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
    names = memo.names.texts(found.data, made.name_at[good], made.name_length[good])
    carried, flags = carriers(good), made.flags[good]
    response = (flags & RESPONSE) != 0
    protocol = pick(dns_ports.TEXTS, found.protocol[good])
    dns_id = pl.Series(made.id[good], dtype=pl.Int32)
    columns = carried | {
        "protocol": protocol,
        "transport": pick(_TRANSPORTS, found.tcp[good]),
        "dns_id": dns_id,
        "response": pl.Series(response),
        "rcode": dns_codes.rcode_texts(np.where(response, flags & 15, -1)),
        "name": names,
        "qtype": dns_codes.type_texts(made.qtype[good]),
        "answers": numbers(np.where(response, made.counts[good, 1], -1), pl.Int32()),
        "truncated": pl.Series((flags & TRUNCATED) != 0),
        "authoritative": pl.Series((flags & AUTHORITATIVE) != 0),
        "negative_ttl": numbers(_negative(made, good, flags), pl.Int64()),
    }
    place = np.full(len(found.start), -1)
    place[good] = np.arange(len(good))
    told = made.answers if len(good) == len(place) else made.answers.only(place[made.answers.row] >= 0)
    at = place[told.row]
    same = {name: carried[name] for name in ("time", "source", "number")}
    same |= {"client": carried["dst"], "protocol": protocol, "dns_id": dns_id}
    places = pl.Series(at.astype(np.uint32))
    answers = {name: column[places] for name, column in same.items()}
    answers |= {
        "position": pl.Series(told.position.astype(np.int32)),
        "name": _owners(found, told, names, at, memo),
        "rtype": dns_codes.type_texts(told.kind),
        "ttl": pl.Series(told.ttl),
        "value": _values(found, told, memo),
    }
    unchecked = int((made.state[made.over] == dns.GOOD).sum())
    malformed = np.flatnonzero(made.state == dns.MALFORMED)
    return Rows(pl.DataFrame(columns), good, pl.DataFrame(answers), told.row, malformed, unchecked)


def _negative(made: dns.Messages, good: I64, flags: I64) -> I64:
    """Life of a negative answer; absent in queries and in answers that failed otherwise."""
    rcode = flags & 15
    negative = ((flags & RESPONSE) != 0) & ((rcode == dns_codes.NOERROR) | (rcode == dns_codes.NXDOMAIN))
    return np.where(negative, made.negative_ttl[good], -1)


def _owners(found: Found, told: Answers, names: pl.Series, at: I64, memo: Memo) -> pl.Series:
    """The name that each record is about."""
    hard = np.flatnonzero(told.owner >= 0)
    if not len(hard):
        return pick(names, at)
    spelled = memo.names.packed(found.data, told.owner[hard], found.start[told.row[hard]])
    place = at.copy()
    place[hard] = len(names) + np.arange(len(hard))
    return pick(pl.concat([names, spelled]).rechunk(), place)


def _values(found: Found, told: Answers, memo: Memo) -> pl.Series:
    """Address or name that each record holds; null for other types."""
    kind = told.checked
    place = np.full(len(kind), -1)
    four, six = kind == dns_codes.A, kind == dns_codes.AAAA
    here = np.flatnonzero(four | six)
    parts = [memo.addresses.texts(six[here], *_words(found.data, told.body[here], six[here]))]
    place[here] = np.arange(len(here))
    skip = np.full(len(kind), -1)
    for code, offset in NAME_AT.items():
        skip[kind == code] = offset
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
