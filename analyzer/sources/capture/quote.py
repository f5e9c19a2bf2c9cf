"""The text of single frames for people: scapy takes the headers apart, payloads are named but never shown.

Of HTTP only the start line without its query and a few harmless header fields appear; tokens and bodies never do.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from analyzer.sources.capture import dns, dns_codes, links
from analyzer.sources.capture.dns_names import Names
from analyzer.sources.capture.http_head import printable, reduced_path
from analyzer.sources.capture.layers import ABSENT, headers
from analyzer.sources.capture.reader import frames_of
from analyzer.sources.capture.reasons import FINE
from analyzer.sources.capture.tunnels import KINDS
from analyzer.sources.capture.window import NO_INTERFACE, NO_TIME, Window
from analyzer.sources.contract import ByteStream, Ledger
from analyzer.sources.secrets import scrub

TEXT_MOST = 2048
"""Bytes of one quoted frame."""
LAYERS_MOST = 12
RECORDS_SHOWN = 6
FRAME_MOST = 4096
"""Bytes handed to scapy: headers are in front, and payloads are not shown."""

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
_OUTER = ("Ether", "CookedLinux", "CookedLinuxV2", "Loopback", "Dot1Q", "Dot1AD", "IP", "IPv6", "UDP")


def quote(stream: ByteStream, numbers: frozenset[int]) -> dict[int, str]:
    """The text of the frames of those numbers, as far as they exist."""
    wanted = np.array(sorted(numbers), np.int64)
    found: dict[int, str] = {}
    if not len(wanted):
        return found
    for window in frames_of(stream, Ledger()):
        if not len(window):
            continue
        here = wanted[(wanted >= window.number[0]) & (wanted <= window.number[-1])]
        places = np.searchsorted(window.number, here)
        for number, place in zip(here.tolist(), places.tolist(), strict=True):
            if window.number[place] == number:
                found[number] = _text(window, place)
        if window.number[-1] >= wanted[-1]:
            break
    return found


def _text(window: Window, place: int) -> str:
    frame = window.data[window.start[place] : window.end[place]].tobytes()
    lines = [_first_line(window, place, len(frame))]
    lines += _dissected(frame, int(window.link[place]), _opened(window, place))
    text = scrub("\n".join(printable(line.encode("utf-8", "replace")) for line in lines))
    return text if len(text) <= TEXT_MOST else text[: TEXT_MOST - 4] + " ..."


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


def _opened(window: Window, place: int) -> _Opened:
    one = Window(window.data, *(getattr(window, column.name)[place : place + 1] for column in fields(Window)[1:]))
    link = links.link_layer(one)
    _, tunnels = headers(one, link)
    start = int(one.start[0])
    network = int(link.network[0]) - start if link.ethertype[0] and link.reason[0] == FINE else -1
    told = [
        f"{KINDS[kind]}" if number == ABSENT else f"{KINDS[kind]} network_id={number}"
        for kind, number in zip(tunnels.kind.tolist(), tunnels.network_id.tolist(), strict=True)
    ]
    return _Opened(network, tuple(zip(told, (tunnels.inside - start).tolist(), strict=True)))


def _dissected(frame: bytes, link: int, opened: _Opened) -> list[str]:
    """One line per layer; what scapy cannot take apart is said to be so."""
    from scapy.error import Scapy_Exception

    kind = _layer_of(link, frame)
    lines: list[str] = []
    at = 0
    if kind is None:
        lines.append(f"link type {link}, not dissected")
        if opened.network < 0:
            return lines
        at = opened.network
    try:
        for told, inside in opened.tunnels:
            lines.extend(_layers((kind or _ip(frame[at:]))(frame[at:inside]), outer=True))
            lines.append(told)
            at, kind = inside, None
        lines.extend(_layers((kind or _ip(frame[at:]))(frame[at : at + FRAME_MOST])))
    except (
        *(struct.error, AttributeError, ValueError, IndexError, KeyError, TypeError, OverflowError, RecursionError),
        Scapy_Exception,
    ) as error:
        lines.append(f"rest not dissected ({type(error).__name__})")
    return lines


def _ip(packet: bytes) -> Any:
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6

    return IPv6 if packet[:1] and packet[0] >> 4 == 6 else IP


def _layer_of(link: int, frame: bytes) -> Any:
    # Asked for always: importing IP is what teaches the link layers to find it.
    ip = _ip(frame)
    from scapy.layers.l2 import CookedLinux, CookedLinuxV2, Ether, Loopback

    if link in (links.RAW, links.RAW_DLT, links.RAW4, links.RAW6):
        return ip
    known = {links.ETHERNET: Ether, links.COOKED: CookedLinux, links.COOKED2: CookedLinuxV2}
    return known.get(link, Loopback if link in (links.NULL, links.LOOP) else None)


def _layers(packet: Any, *, outer: bool = False) -> Iterator[str]:
    """A line per layer; of an outer packet only up to its transport header, since what follows is told apart."""
    ports: tuple[int, ...] = ()
    layer = packet
    for _ in range(LAYERS_MOST):
        name = type(layer).__name__
        if name in ("NoPayload", "Padding") or (outer and name not in _OUTER):
            return
        if name in ("UDP", "TCP"):
            ports = (int(layer.sport), int(layer.dport))
            yield _fields(layer, name)
            if outer:
                return
            yield from _payload(bytes(layer.payload), ports, tcp=name == "TCP")
            return
        if name == "Raw":
            yield f"payload of {len(bytes(layer))} bytes, not shown"
            return
        yield _fields(layer, name)
        layer = layer.payload
    yield "deeper layers are not shown"


def _fields(layer: Any, name: str) -> str:
    # Codes as numbers: scapy takes their names from files of the machine it runs on.
    plain = ("sport", "dport", "type", "proto", "code", "ifindex")
    shown = [
        f"{field}={layer.getfieldval(field) if field in plain else layer.sprintf(f'%{field}%')}"
        for field in _SHOWN.get(name, ())
    ]
    return " ".join([str(layer.name), *shown])


def _payload(body: bytes, ports: tuple[int, ...], *, tcp: bool) -> Iterator[str]:
    if not body:
        return
    if 53 in ports and len(body) > 2 * tcp:
        yield from _dns(body[2:] if tcp else body)
    elif body.startswith((b"HTTP/1.", *_REQUESTS)):
        yield from _http(body)
    else:
        yield f"payload of {len(body)} bytes, not shown"


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


def _dns(message: bytes) -> Iterator[str]:
    """The question by our own strict decoder, the answers by scapy."""
    data = np.concatenate([np.frombuffer(message, np.uint8), np.zeros(512, np.uint8)])
    ends = np.array([len(message)])
    made = dns.decode(data, np.array([0]), ends, np.array([len(message) < FRAME_MOST - 256]))
    if made.state[0] != dns.GOOD:
        yield "DNS, malformed or cut"
        return
    flags = int(made.flags[0])
    name = Names().texts(data, made.name_at, made.name_length)[0]
    kind = "answer" if flags & 0x8000 else "query"
    rcode = f" {dns_codes.RCODES[flags & 15]}" if flags & 0x8000 else ""
    asked = f" {dns_codes.type_text(int(made.qtype[0]))} {name or '.'}" if made.qtype[0] >= 0 else ""
    yield f"DNS {kind} id={int(made.id[0])}{asked}{rcode} answers={int(made.counts[0, 1])}"
    yield from _answers(message)


def _answers(message: bytes) -> Iterator[str]:
    from scapy.layers.dns import DNS

    for record in list(DNS(message).an or ())[:RECORDS_SHOWN]:
        shown = getattr(record, "rdata", None)
        told = f" {shown!s}" if isinstance(shown, str | bytes) and record.type != dns_codes.TXT else ""
        yield f"  {dns_codes.type_text(int(record.type))} ttl={int(record.ttl)}{told}"
