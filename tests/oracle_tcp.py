"""What Wireshark's sequence analysis makes of a capture, beside what the facts make of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from analyzer.facts import tcp_sequence as events
from analyzer.facts.tcp_segments import TCP_SEGMENTS
from analyzer.facts.tcp_streams import segments
from analyzer.frames import PACKETS, concat
from analyzer.sources.capture.reader import read
from analyzer.sources.contract import Item, Ledger, ReadOptions
from analyzer.sources.stream import open_stream
from tests.sources.capture.oracle import fields

FIELDS = {
    events.RETRANSMISSION: "retransmission",
    events.FAST: "fast_retransmission",
    events.SPURIOUS: "spurious_retransmission",
    events.OUT_OF_ORDER: "out_of_order",
    events.LOST: "lost_segment",
    events.KEEP_ALIVE: "keep_alive",
    events.KEEP_ALIVE_ACK: "keep_alive_ack",
    events.DUPLICATE_ACK: "duplicate_ack",
    events.ZERO_WINDOW: "zero_window",
    events.PROBE: "zero_window_probe",
    events.PROBE_ACK: "zero_window_probe_ack",
}
"""Events that both know, with their field below tcp.analysis."""

Told = set[tuple[int, str]]
"""Frame number and event."""


def compare(path: Path) -> dict[str, tuple[int, int]]:
    """Per event how many there are by the facts and by tshark. Raises InputError where the capture cannot be read."""
    ours, theirs = (Counter(event for _, event in told) for told in (by_facts(packets(path)), by_tshark(path).events))
    return {event: (ours[event], theirs[event]) for event in FIELDS}


def packets(path: Path) -> pl.DataFrame:
    """The packets of a capture, no copies marked: tshark knows of none."""
    item, ledger = Item(id=path.name, path=path), Ledger()
    with open_stream(item, ledger) as stream:
        parts = [batch[PACKETS] for batch in read(stream, item, ReadOptions(), ledger) if PACKETS in batch]
    return concat(PACKETS, parts).with_columns(duplicate=pl.lit(False))


def by_facts(frame: pl.DataFrame) -> Told:
    found = TCP_SEGMENTS.derive({PACKETS: frame.lazy()}).filter(pl.col("event").is_in(list(FIELDS)))
    return set(found.select("number", "event").collect().iter_rows())


@dataclass(frozen=True, slots=True)
class Wireshark:
    """What tshark sees: frame, sequence number and length of every TCP segment, and what it says of them."""

    segments: list[tuple[int, int, int]]
    events: Told

    def saw(self, frame: pl.DataFrame) -> bool:
        """Whether these packets are the same segments: what differs elsewhere is no sequence analysis."""
        ours = segments(frame.lazy()).sort("number").select("number", "seq", "payload_bytes").rows()
        return ours == self.segments


def by_tshark(path: Path) -> Wireshark:
    """tshark calls fast and spurious retransmissions retransmissions too; here they are one or the other."""
    names = ("frame.number", "tcp.seq_raw", "tcp.len", *(f"tcp.analysis.{name}" for name in FIELDS.values()))
    rows = fields(path, *names, where="tcp && !icmp && !icmpv6") or []
    seen: list[tuple[int, int, int]] = []
    told: Told = set()
    for frame, seq, length, *flags in rows:
        # A tunnel inside TCP gives two numbers, a fragment no length.
        seen.append((int(frame), int(seq.split(",")[-1] or 0), int(length.split(",")[-1] or -1)))
        said = {event for event, flag in zip(FIELDS, flags, strict=True) if flag}
        if said & {events.FAST, events.SPURIOUS}:
            said.discard(events.RETRANSMISSION)
        told |= {(int(frame), event) for event in said}
    return Wireshark(seen, told)
