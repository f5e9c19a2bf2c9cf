"""Where a capture file begins inside another: what `cat` makes of several captures.

A pcap file header is known by magic and version, a pcapng section by magic and byte order. Inside damage, where any
bytes may stand, plausible records must follow as well.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from analyzer.sources.capture.arrays import U8, every_word
from analyzer.sources.capture.pcap_format import CHAINED, DG_UX, MAGICS, NEAR, PcapFormat, pcap_format

SECTION_MAGIC = b"\x0a\x0d\x0d\x0a"
ORDERS = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
SECTION_LEAST = 28
"""Bytes of the shortest section header block."""
KNOWN_MOST = 12
"""Bytes by which either kind of file is known."""
HEAD_MOST = 28
"""Bytes that are enough to open either kind of file."""

PCAP_WORDS = np.array(sorted(int.from_bytes(magic, "little") for magic in MAGICS), np.int64)
"""The magics as they read in a little-endian file; those of the other byte order are among them."""
_SECTION_WORD = int.from_bytes(SECTION_MAGIC, "little")
_ORDER_WORDS = tuple(int.from_bytes(order, "little") for order in ORDERS)

_NO_VERSION = 0xF8F8FDFD
"""Bits that are clear in versions 2.0 to 2.4, whichever byte order they are in."""

STRETCH_LEAST, STRETCH_MOST = 1 << 12, 1 << 18
"""Places tried at a time inside damage: few at first, and never so many that they take much memory."""
HEADS_MOST = 256
"""Places of one stretch that are looked at closely; real ones are a handful."""


def section_order(data: U8, at: int, size: int) -> str:
    """The byte order of the section header block at this place; '' if there is none."""
    if at + SECTION_LEAST > size:
        return ""
    return _section_begins(data[at : at + KNOWN_MOST].tobytes())


def begins(data: U8, at: int, size: int) -> str:
    """'pcap' or 'pcapng' where a file of that kind begins at this place, whole or not; '' elsewhere."""
    head = data[at : min(at + KNOWN_MOST, size)].tobytes()
    if _section_begins(head):
        return "pcapng"
    return "pcap" if _pcap_begins(head) else ""


def _section_begins(head: bytes) -> str:
    return ORDERS.get(head[8:KNOWN_MOST], "") if head[:4] == SECTION_MAGIC else ""


def _pcap_begins(head: bytes) -> bool:
    if head[:4] not in MAGICS or len(head) < 8:
        return False
    major, minor = struct.unpack_from(f"{MAGICS[head[:4]][0]}HH", head, 4)
    return (major == 2 and minor <= 4) or (major, minor) == (DG_UX, 0)


def follows(form: PcapFormat, data: U8, at: int, size: int, *, final: bool) -> bool | None:
    """Whether plausible records stand at this place; None where the bytes in hand do not decide it."""
    undecided = False if final else None
    seconds: int | None = None
    for _ in range(CHAINED + 1):
        if final and at == size and seconds is not None:
            return True
        if at + form.header > size:
            return undecided
        fields = form.fields(data, np.array([at]))
        seconds = int(fields[0, 0]) if seconds is None else seconds
        if not form.plausible(fields)[0] or abs(int(fields[0, 0]) - seconds) > NEAR:
            return False
        at += form.header + int(fields[0, 2])
    return True if at <= size else undecided


def settled(form: PcapFormat, data: U8, at: int, size: int, *, final: bool) -> tuple[PcapFormat | None, str]:
    """The format whose records really stand here, and the system that wrote it where the magic does not say so.

    None where more bytes are needed to tell.
    """
    if (first := follows(form, data, at, size, final=final)) is not False:
        return (form if first else None), ""
    waiting = False
    for other, name in form.others():
        there = follows(other, data, at, size, final=final)
        if there:
            return other, name
        waiting |= there is None
    return (None if waiting else form), ""


def believed(data: U8, at: int, size: int, *, final: bool) -> bool:
    """Whether a file begins at this place, by what follows its header."""
    kind = begins(data, at, size)
    if kind == "pcapng" and (order := section_order(data, at, size)):
        (length,) = struct.unpack_from(f"{order}I", data.data, at + 4)
        behind = at + length - 4
        if length < SECTION_LEAST or behind + 4 > size:
            return False
        return data[behind : behind + 4].tobytes() == data[at + 4 : at + 8].tobytes()
    if kind == "pcap" and at + HEAD_MOST <= size:
        form = pcap_format(data[at : at + HEAD_MOST].tobytes())
        forms = [form, *(other for other, _ in form.others())]
        return any(follows(one, data, at + form.file_header, size, final=final) for one in forms)
    return False


def next_head(data: U8, first: int, last: int, size: int, *, final: bool) -> int:
    """The first place of data[first:last] where a file is believed to begin, or -1; the data end at `size`."""
    word = every_word(data, size)
    last = min(last, len(word) - 8)
    if last <= first:
        return -1
    here, second, third = word[first:last], word[first + 4 : last + 4], word[first + 8 : last + 8]
    maybe = (here == _SECTION_WORD) & ((third == _ORDER_WORDS[0]) | (third == _ORDER_WORDS[1]))
    rows = np.flatnonzero(((second & _NO_VERSION) == 0) & (second > 0))
    maybe[rows[np.isin(here[rows], PCAP_WORDS)]] = True
    places = np.flatnonzero(maybe)[:HEADS_MOST] + first
    return next((at for at in places.tolist() if believed(data, at, size, final=final)), -1)


def stretches(at: int, end: int) -> Iterator[tuple[int, int]]:
    """at:end in pieces that grow: what is sought is mostly near, and is not sought twice."""
    length = STRETCH_LEAST
    while at < end:
        yield at, min(at + length, end)
        at += length
        length = min(length * 2, STRETCH_MOST)
