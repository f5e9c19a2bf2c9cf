"""What capinfos and tshark make of a capture."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

TOOLS = ("capinfos", "tshark")
PORTS = (53, 5353, 5355)
"""Ports of DNS, multicast DNS and LLMNR. At the others where we look for DNS tshark does not."""
_PROTOCOLS = {"dns", "mdns", "llmnr"}

_UNIT = "\x1f"
"""Stands between the values of one field; no field holds it."""
_FIELDS = (
    *("frame.number", "frame.time_epoch", "frame.len", "frame.cap_len", "frame.encap_type", "frame.interface_id"),
    "frame.protocols",
    *("udp.port", "tcp.port", "dns.id", "dns.flags.response", "dns.flags.rcode"),
    *("dns.count.queries", "dns.count.answers", "dns.qry.name", "dns.qry.type"),
)
_TIMEOUT = 300


@dataclass(frozen=True, slots=True)
class FrameRow:
    """One frame; `time` in microseconds since 1970, `link` as Wireshark's own number of the encapsulation."""

    number: int
    time: int | None
    wire: int
    captured: int
    link: int
    interface: int | None


DnsRow = tuple[int, int, bool, int | None, str, int | None, int | None]
"""Frame, id, whether it is an answer, rcode, name, type, answers."""


@dataclass(frozen=True, slots=True)
class Theirs:
    """`valid`: capinfos read the whole file and says `count`, `first` and `last`. `tcp`: there is TCP in it."""

    opened: bool
    valid: bool
    count: int
    first: int | None
    last: int | None
    frames: tuple[FrameRow, ...]
    dns: tuple[DnsRow, ...]
    tcp: bool


def missing_tools() -> list[str]:
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=_TIMEOUT, check=False
    )


def theirs(path: Path) -> Theirs:
    """Both tools once each, with every field that any check needs."""
    infos = _run("capinfos", "-MacerS", str(path))
    said = dict(re.findall(r"^(Number of packets|First packet time|Last packet time): +(.*)$", infos.stdout, re.M))
    wanted = [part for name in _FIELDS for part in ("-e", name)]
    told = _run("tshark", "-n", "-r", str(path), "-T", "fields", "-E", f"aggregator={_UNIT}", *wanted)
    rows = [line.split("\t") for line in told.stdout.split("\n") if line]
    return Theirs(
        opened=bool(said or rows),
        valid=infos.returncode == 0,
        count=int(said.get("Number of packets", 0)),
        first=micros(said.get("First packet time", "")),
        last=micros(said.get("Last packet time", "")),
        # Blocks that hold no packet are frames to tshark, but have no link type.
        frames=tuple(_frame(row) for row in rows if row[4]),
        dns=tuple(message for row in rows for message in _messages(row)),
        tcp=any(row[8] for row in rows),
    )


def _frame(row: list[str]) -> FrameRow:
    return FrameRow(int(row[0]), micros(row[1]), int(row[2]), int(row[3]), int(row[4]), int(row[5]) if row[5] else None)


def micros(text: str) -> int | None:
    """Seconds with a fraction as whole microseconds, rounded down."""
    if not re.fullmatch(r"-?\d+(\.\d+)?", text):
        return None
    seconds, _, fraction = text.partition(".")
    # A fraction of more than a second is printed with all its digits: nanoseconds by tshark, microseconds by capinfos.
    parts = int(fraction[:7]) if len(fraction) in (7, 10) else int(fraction.ljust(6, "0")[:6])
    whole = abs(int(seconds)) * 1_000_000 + parts
    return -whole if seconds.startswith("-") else whole


def _messages(row: list[str]) -> list[DnsRow]:
    """The DNS messages of one frame. Those that ICMP quotes are not messages of it."""
    number, protocols, ports = int(row[0]), row[6].split(":"), row[7].split(_UNIT) + row[8].split(_UNIT)
    if (
        not _PROTOCOLS & set(protocols)
        or {"icmp", "icmpv6"} & set(protocols)
        or not {str(port) for port in PORTS} & set(ports)
    ):
        return []
    idents, answers, rcodes, asked, answered, names, kinds = (text.split(_UNIT) if text else [] for text in row[9:16])
    out: list[DnsRow] = []
    taken = told = 0
    for place, ident in enumerate(idents):
        response = place < len(answers) and answers[place] in ("1", "True")
        rcode = int(rcodes[told]) if response and told < len(rcodes) else None
        told += response
        questions = int(asked[place]) if place < len(asked) else 0
        name = names[taken] if questions and taken < len(names) else ""
        kind = int(kinds[taken]) if questions and taken < len(kinds) else None
        taken += questions
        count = int(answered[place]) if response and place < len(answered) else None
        name = "" if name == "<Root>" else name.lower()
        out.append((number, int(ident, 16), response, rcode, name, kind, count))
    return out
