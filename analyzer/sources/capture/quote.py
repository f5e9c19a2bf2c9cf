"""The text of single frames for people: scapy takes the headers apart, payloads are named but never shown.

Of HTTP only the start line without its query and a few harmless header fields appear; tokens and bodies never do.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from analyzer.sources.capture import dns, dns_codes, links
from analyzer.sources.capture.arrays import I64, padded
from analyzer.sources.capture.dns_names import Names
from analyzer.sources.capture.framing import windows
from analyzer.sources.capture.http_head import printable, reduced_path
from analyzer.sources.capture.layers import ABSENT, headers
from analyzer.sources.capture.marks import Excerpt
from analyzer.sources.capture.reader import frames_of
from analyzer.sources.capture.reasons import FINE
from analyzer.sources.capture.tunnels import KINDS
from analyzer.sources.capture.window import NO_INTERFACE, NO_TIME, Window
from analyzer.sources.contract import ByteStream, Ledger, Marks, SkippingStream
from analyzer.sources.secrets import scrub_all

TEXT_MOST = 2048
"""Bytes of one quoted frame."""
LAYERS_MOST = 12
RECORDS_SHOWN = 6
FRAME_MOST = 4096
"""Bytes handed to scapy: headers are in front, and payloads are not shown."""

HELD_MOST = 8 << 20
"""Bytes of frames that are held to be decoded together."""
_COLUMNS = ("wire", "time", "link", "interface", "number")

_HTTP_SHOWN = (b"host", b"user-agent", b"content-type", b"content-length", b"date", b"server")
_REQUESTS = (b"GET ", b"PUT ", b"POST ", b"HEAD ", b"DELETE ", b"PATCH ", b"OPTIONS ", b"CONNECT ", b"TRACE ")
_SHOWN = {
    "Ether": ("src", "dst", "type"),
    "CookedLinux": ("pkttype", "proto"),
    "CookedLinuxV2": ("ifindex", "pkttype", "proto"),
    "Dot1Q": ("vlan",),
    "ARP": ("op", "psrc", "pdst"),
    "IP": ("src", "dst", "id", "ttl", "len", "flags", "frag"),
    "IPv6": ("src", "dst", "hlim", "plen"),
    "UDP": ("sport", "dport", "len"),
    "TCP": ("sport", "dport", "flags", "seq", "ack", "window"),
    "ICMP": ("type", "code"),
    "VXLAN": ("vni",),
    "IPerror": ("src", "dst", "id", "ttl", "len"),
    "IPerror6": ("src", "dst", "hlim", "plen"),
    "UDPerror": ("sport", "dport", "len"),
    "TCPerror": ("sport", "dport", "seq"),
    "ICMPv6PacketTooBig": ("code", "mtu"),
    "ICMPv6DestUnreach": ("code",),
    "ICMPv6TimeExceeded": ("code",),
}
"""Fields shown of each layer; of any other layer only the name."""
_RAW = (links.RAW, links.RAW_DLT, links.RAW4, links.RAW6)
_LOOPBACK = (links.NULL, links.LOOP)
_KNOWN = (links.ETHERNET, links.COOKED, links.COOKED2, *_LOOPBACK, *_RAW)
"""Link types that scapy is asked to take apart."""
_OUTER = ("Ether", "CookedLinux", "CookedLinuxV2", "Loopback", "Dot1Q", "Dot1AD", "IP", "IPv6", "UDP")


def quote(stream: ByteStream, numbers: frozenset[int]) -> dict[int, str]:
    """The text of the frames of those numbers, as far as they exist."""
    return _quoted(picked(frames_of(stream, Ledger()), numbers))


def quote_by(stream: SkippingStream, numbers: frozenset[int], marks: Marks) -> dict[int, str]:
    """The same without walking to them: only the runs between marks that hold them are read."""
    return _quoted(picked(marked(stream, numbers, marks), numbers))


def ready() -> None:
    """Import what takes frames apart: a fifth of a second, so that it is done while nobody waits for it."""
    _layer_of(links.ETHERNET, b"")
    _messages([])


def marked(stream: SkippingStream, numbers: frozenset[int], marks: Marks, *, fine: bool = False) -> Iterator[Window]:
    """The windows of the runs between marks that hold those frames. Raises InputError for marks that cannot be."""
    excerpt = Excerpt(stream, marks, np.array(sorted(numbers), np.int64))
    for window in windows(excerpt, Ledger(), fine=fine):
        yield replace(window, number=excerpt.numbers(window.number))


def picked(parts: Iterator[Window], numbers: frozenset[int]) -> Iterator[Window]:
    """The frames of those numbers alone, in file order, so that all others can be let go."""
    wanted = np.array(sorted(numbers), np.int64)
    for window in parts if len(wanted) else ():
        if not len(window):
            continue
        here = wanted[(wanted >= window.number[0]) & (wanted <= window.number[-1])]
        places = np.searchsorted(window.number, here)
        places = places[window.number[places] == here]
        if len(places):
            yield _only(window, places)
        if window.number[-1] >= wanted[-1]:
            break


def _quoted(parts: Iterator[Window]) -> dict[int, str]:
    found: dict[int, str] = {}
    held: list[Window] = []
    for window in parts:
        held.append(window)
        if sum(len(one.data) for one in held) > HELD_MOST:
            found |= _texts(_together(held))
            held = []
    return found | _texts(_together(held)) if held else found


def _only(window: Window, places: I64) -> Window:
    start, end = window.start[places], window.end[places]
    data = padded(*(window.data[first:last] for first, last in zip(start.tolist(), end.tolist(), strict=True)))
    ends = np.cumsum(end - start)
    fine = None if window.fine is None else window.fine[places]
    columns = {name: getattr(window, name)[places] for name in _COLUMNS}
    return Window(data, ends - (end - start), ends, **columns, fine=fine)


def _together(held: list[Window]) -> Window:
    """One window of all: decoding takes as long for one frame as for a hundred."""
    shift = np.repeat(np.cumsum([0, *(len(one.data) for one in held[:-1])]), [len(one) for one in held])
    joined = {
        name: np.concatenate([getattr(one, name) for one in held]) for name in ("data", "start", "end", *_COLUMNS)
    }
    return Window(**joined | {"start": joined["start"] + shift, "end": joined["end"] + shift})


def _texts(window: Window) -> dict[int, str]:
    """The text of every frame of the window."""
    bounds = zip(window.start.tolist(), window.end.tolist(), strict=True)
    frames = [window.data[first:last].tobytes() for first, last in bounds]
    parts = [_dissected(*one) for one in zip(frames, window.link.tolist(), _opened(window), strict=True)]
    messages = _messages([part.dns for part in parts])
    texts = []
    for place, (frame, part, message) in enumerate(zip(frames, parts, messages, strict=True)):
        lines = [_first_line(window, place, len(frame)), *part.lines, *message]
        texts.append("\n".join(printable(line.encode("utf-8", "replace")) for line in lines))
    return {
        number: text if len(text) <= TEXT_MOST else text[: TEXT_MOST - 4] + " ..."
        for number, text in zip(window.number.tolist(), scrub_all(texts), strict=True)
    }


def _first_line(window: Window, place: int, captured: int) -> str:
    micros = int(window.time[place])
    when = "no time"
    if micros != NO_TIME:
        when = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).strftime("%Y-%m-%d %H:%M:%S.%f UTC")
    interface = int(window.interface[place])
    where = "" if interface == NO_INTERFACE else f", interface {interface}"
    return f"frame {int(window.number[place])}, {when}, {int(window.wire[place])} bytes, {captured} captured{where}"


@dataclass(frozen=True, slots=True)
class _Opened:
    """Where the headers of a frame are by our own decoding: its first IP header (-1 if it has none), and the tunnels
    with the offset of the IP header inside."""

    network: int
    tunnels: tuple[tuple[str, int], ...]


def _opened(window: Window) -> list[_Opened]:
    link = links.link_layer(window)
    _, tunnels = headers(window, link)
    network = np.where((link.ethertype != 0) & (link.reason == FINE), link.network - window.start, -1)
    told: list[list[tuple[str, int]]] = [[] for _ in range(len(window))]
    inside = tunnels.inside - window.start[tunnels.frame]
    columns = (tunnels.frame, tunnels.kind, tunnels.network_id, inside)
    for frame, kind, number, at in zip(*(column.tolist() for column in columns), strict=True):
        told[frame].append((f"{KINDS[kind]}" if number == ABSENT else f"{KINDS[kind]} network_id={number}", at))
    return [_Opened(at, tuple(one)) for at, one in zip(network.tolist(), told, strict=True)]


@dataclass(slots=True)
class _Dissected:
    """One line per layer, and the DNS message behind them, empty where there is none."""

    lines: list[str] = field(default_factory=list)
    dns: bytes = b""


def _dissected(frame: bytes, link: int, opened: _Opened) -> _Dissected:
    """What scapy can take apart; what it cannot is said to be so."""
    out = _Dissected()
    if link not in _KNOWN:
        out.lines.append(f"link type {link}, not dissected")
        if opened.network < 0:
            return out
    kind = _layer_of(link, frame)
    at = 0 if kind is not None else opened.network
    try:
        for told, inside in opened.tunnels:
            _layers(out, (kind or _ip(frame[at:]))(frame[at:inside]), outer=True)
            out.lines.append(told)
            at, kind = inside, None
        _layers(out, (kind or _ip(frame[at:]))(frame[at : at + FRAME_MOST]))
    except _failures() as error:
        out.lines.append(_failed(error))
    return out


def _failures() -> tuple[type[Exception], ...]:
    """What scapy raises at bytes that it cannot take apart."""
    from scapy.error import Scapy_Exception

    plain = (struct.error, AttributeError, ValueError, IndexError, KeyError, TypeError, OverflowError, RecursionError)
    return (*plain, Scapy_Exception)


def _failed(error: Exception) -> str:
    return f"rest not dissected ({type(error).__name__})"


def _ip(packet: bytes) -> Any:
    from scapy.config import conf

    # Else importing IP asks this machine for its routes.
    conf.route_autoload = conf.route6_autoload = False
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6

    return IPv6 if packet[:1] and packet[0] >> 4 == 6 else IP


def _layer_of(link: int, frame: bytes) -> Any:
    # Asked for always: importing IP is what teaches the link layers to find it.
    ip = _ip(frame)
    from scapy.layers.l2 import CookedLinux, CookedLinuxV2, Ether, Loopback

    if link in _RAW:
        return ip
    known = {links.ETHERNET: Ether, links.COOKED: CookedLinux, links.COOKED2: CookedLinuxV2}
    return known.get(link, Loopback if link in _LOOPBACK else None)


def _layers(out: _Dissected, packet: Any, *, outer: bool = False) -> None:
    """A line per layer; of an outer packet only up to its transport header, since what follows is told apart."""
    layer = packet
    for _ in range(LAYERS_MOST):
        name = type(layer).__name__
        if name in ("NoPayload", "Padding") or (outer and name not in _OUTER):
            return
        if name in ("UDP", "TCP"):
            out.lines.append(_fields(layer, name))
            if not outer:
                _payload(out, bytes(layer.payload), (int(layer.sport), int(layer.dport)), tcp=name == "TCP")
            return
        if name == "Raw":
            out.lines.append(f"payload of {len(bytes(layer))} bytes, not shown")
            return
        out.lines.append(_fields(layer, name))
        layer = layer.payload
    out.lines.append("deeper layers are not shown")


def _fields(layer: Any, name: str) -> str:
    # Codes as numbers: scapy takes their names from files of the machine it runs on.
    plain = ("sport", "dport", "type", "proto", "code", "ifindex")
    shown = [
        f"{field}={layer.getfieldval(field) if field in plain else layer.sprintf(f'%{field}%')}"
        for field in _SHOWN.get(name, ())
    ]
    return " ".join([str(layer.name), *shown])


def _payload(out: _Dissected, body: bytes, ports: tuple[int, int], *, tcp: bool) -> None:
    if not body:
        return
    if 53 in ports and len(body) > 2 * tcp:
        out.dns = body[2:] if tcp else body
    elif body.startswith((b"HTTP/1.", *_REQUESTS)):
        out.lines.extend(_http(body))
    else:
        out.lines.append(f"payload of {len(body)} bytes, not shown")


def _http(body: bytes) -> Iterator[str]:
    head = body.partition(b"\r\n\r\n")[0].split(b"\r\n")
    words = head[0].split(b" ")
    if words[0].startswith(b"HTTP/1."):
        yield f"HTTP {printable(b' '.join(words[:2]))}"
    elif len(words) >= 2:
        yield f"HTTP {printable(words[0])} {reduced_path(words[1])}"
    hidden = 0
    for line in head[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() in _HTTP_SHOWN:
            yield f"{printable(name.strip())}: {printable(value.strip())}"
        else:
            hidden += 1
    yield f"{hidden} other header fields and any body are not shown"


def _messages(messages: list[bytes]) -> list[list[str]]:
    """The lines of each message, none of an empty one: the question by our own strict decoder, the answers by scapy."""
    data = padded(*messages)
    lengths = np.array([len(message) for message in messages])
    ends = np.cumsum(lengths)
    made = dns.decode(data, ends - lengths, ends, lengths < FRAME_MOST - 256)
    names = Names().texts(data, made.name_at, made.name_length).to_list()
    return [
        list(_dns(message, made, row, names[row] or ".")) if message else [] for row, message in enumerate(messages)
    ]


def _dns(message: bytes, made: dns.Messages, row: int, name: str) -> Iterator[str]:
    if made.state[row] != dns.GOOD:
        yield "DNS, malformed or cut"
        return
    flags, answers = int(made.flags[row]), int(made.counts[row, 1])
    kind = "answer" if flags & 0x8000 else "query"
    rcode = f" {dns_codes.RCODES[flags & 15]}" if flags & 0x8000 else ""
    asked = f" {dns_codes.type_text(int(made.qtype[row]))} {name}" if made.qtype[row] >= 0 else ""
    yield f"DNS {kind} id={int(made.id[row])}{asked}{rcode} answers={answers}"
    if not answers:
        return
    try:
        yield from _answers(message)
    except _failures() as error:
        yield _failed(error)


def _answers(message: bytes) -> Iterator[str]:
    from scapy.layers.dns import DNS

    for record in list(DNS(message).an or ())[:RECORDS_SHOWN]:
        shown = getattr(record, "rdata", None)
        told = f" {shown!s}" if isinstance(shown, str | bytes) and record.type != dns_codes.TXT else ""
        yield f"  {dns_codes.type_text(int(record.type))} ttl={int(record.ttl)}{told}"
