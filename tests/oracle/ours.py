"""What this tool makes of a capture, in the same form."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from analyzer.errors import InputError
from analyzer.frames import DNS_MESSAGES
from analyzer.sources.capture.dns_codes import RCODES, type_text
from analyzer.sources.capture.reader import batches, frames_of
from analyzer.sources.capture.window import NO_INTERFACE, NO_TIME
from analyzer.sources.contract import Item, Ledger
from analyzer.sources.stream import open_stream
from tests.oracle.theirs import PORTS, DnsRow, FrameRow

_CODES = {text: code for code, text in enumerate(RCODES)}
_TYPES = {type_text(code): code for code in range(1 << 16)}


@dataclass(frozen=True, slots=True)
class Ours:
    """`refused` is why the capture was not read at all; `links` are the link types of `frames` as LINKTYPE numbers."""

    refused: str
    ledger: Ledger
    frames: tuple[FrameRow, ...]
    dns: tuple[DnsRow, ...]


def ours(path: Path) -> Ours:
    with open_stream(Item(id="t", path=path), Ledger()) as stream:
        data = b"".join(iter(lambda: stream.read(1 << 20), b""))
    frames: list[FrameRow] = []
    refused = ""
    try:
        for window in frames_of(io.BytesIO(data), Ledger()):
            captured = window.end - window.start
            columns = (window.number, window.time, window.wire, captured, window.link, window.interface)
            for number, time, wire, kept, link, interface in zip(*(c.tolist() for c in columns), strict=True):
                frames.append(
                    FrameRow(
                        number=number,
                        time=None if time == NO_TIME else time,
                        wire=wire,
                        captured=kept,
                        link=link,
                        interface=None if interface == NO_INTERFACE else interface,
                    )
                )
    except InputError as error:
        refused = str(error)
    ledger, dns = _tables(data)
    return Ours(refused, ledger, tuple(frames), tuple(dns))


def _tables(data: bytes) -> tuple[Ledger, list[DnsRow]]:
    ledger = Ledger()
    rows: list[DnsRow] = []
    try:
        for batch in batches(frames_of(io.BytesIO(data), ledger), "t", ledger):
            if (frame := batch.get(DNS_MESSAGES)) is not None:
                rows += _dns(frame)
    except InputError:
        # Link types that are not read: the frames are there all the same, and counted.
        return ledger, []
    return ledger, sorted(rows, key=lambda row: row[0])


def _dns(frame: pl.DataFrame) -> list[DnsRow]:
    ports = pl.col("src_port").is_in(PORTS) | pl.col("dst_port").is_in(PORTS)
    columns = ("number", "dns_id", "response", "rcode", "name", "qtype", "answers")
    out: list[DnsRow] = []
    for number, ident, response, rcode, name, qtype, answers in frame.filter(ports).select(columns).iter_rows():
        out.append((number, ident, response, _CODES.get(rcode), name or "", _TYPES.get(qtype), answers))
    return out
