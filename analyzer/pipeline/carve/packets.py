"""Slices of captures: the quoted frames of a finding, and the conversations around them, as one pcapng file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import polars as pl
from msgspec import Struct, field

from analyzer.case import Case
from analyzer.errors import InputError
from analyzer.frames import DNS_MESSAGES, PACKETS, TLS_CLIENT_HELLOS, Table
from analyzer.pipeline.carve.cited import Cited, Input, Left, inputs_of
from analyzer.pipeline.carve.conversations import BESIDE, around
from analyzer.pipeline.commands import command
from analyzer.render.escape import visible
from analyzer.sources.contract import Ledger
from analyzer.sources.stream import Opener

APPLICATION = "kube-postmortem"

FRAMES_MOST = 500
"""Frames of one slice; what is quoted comes first."""

BYTES_MOST = 5_000_000
"""Bytes of one slice: an attachment that every tracker takes."""

TOTAL_MOST = 64_000_000
"""Bytes of all slices; findings behind it get their quoted frames alone. Slices are held in memory until they are
written."""

UNFOUND = "no frame of that number was found in the input"
GONE = "the input cannot be opened again, or has changed since it was read"
FULL = f"a slice holds at most {FRAMES_MOST} frames and {BYTES_MOST:,} bytes"


class Capture(Struct):
    """One slice: its bytes (none where no frame was found), what the index says of its packets, and what is not in."""

    finding: int
    data: bytes = b""
    index: list[dict[str, Any]] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)


class _Shot(Struct, frozen=True):
    """One frame of a slice: `rank` is 0 for a quoted one, else its place among those around."""

    frame: Any
    one: Input
    rank: int


def captures(cited: Sequence[Cited], case: Case, opener: Opener) -> Iterator[Capture]:
    """The slice of every finding that quotes frames."""
    by_finding: dict[int, list[Cited]] = {}
    for record in cited:
        by_finding.setdefault(record.finding, []).append(record)
    kept = {at: tuple(records[:FRAMES_MOST]) for at, records in sorted(by_finding.items())}
    inputs = inputs_of((record for records in kept.values() for record in records), case)
    wanted = _wanted(kept, inputs, case)
    shots: dict[int, list[_Shot]] = {}
    for one in inputs:
        for shot, findings in _shots(one, wanted[one.item.id], case, opener):
            for at, rank in findings:
                shots.setdefault(at, []).append(_Shot(shot, one, rank))
    for at, records in by_finding.items():
        yield _capture(at, records, shots.get(at, []), {one.item.id for one in inputs}, case)


def _wanted(
    kept: dict[int, tuple[Cited, ...]], inputs: Sequence[Input], case: Case
) -> dict[str, dict[int, dict[int, int]]]:
    """By input and finding: the frames to take, with their ranks. The bounds are shared by the inputs of a finding."""
    shares = {at: len({record.source for record in records}) for at, records in kept.items()}
    rooms = {at: (FRAMES_MOST - len(records)) // shares[at] for at, records in kept.items()}
    rows, spent = case.tables.get(PACKETS), 0
    out: dict[str, dict[int, dict[int, int]]] = {}
    for one in inputs:
        quoted: dict[int, frozenset[int]] = {}
        for record in one.cited:
            quoted[record.finding] = quoted.get(record.finding, frozenset()) | {record.number}
        size = BYTES_MOST // max(shares[at] for at in quoted)
        found = {} if rows is None else around(rows, one.item.id, quoted, max(rooms[at] for at in quoted), size)
        out[one.item.id] = {}
        for at, numbers in quoted.items():
            near = list(found.get(at, {}).items())[: rooms[at]]
            cost = sum(bytes_ for _, bytes_ in near)
            near = near if spent + cost <= TOTAL_MOST else []
            spent += cost if near else 0
            ranks = {number: rank for rank, (number, _) in enumerate(near, 1)}
            out[one.item.id][at] = dict.fromkeys(sorted(numbers), 0) | ranks
    return out


def _shots(
    one: Input, wanted: dict[int, dict[int, int]], case: Case, opener: Opener
) -> Iterator[tuple[Any, list[tuple[int, int]]]]:
    """Every wanted frame of an input in file order, with the findings that want it and its rank in each."""
    from analyzer.sources.capture.raw import Known, frames, frames_by

    numbers = frozenset(number for ranks in wanted.values() for number in ranks)
    whole = pl.col("transport") == "tcp"
    known = Known(_numbers(DNS_MESSAGES, one, numbers, case, whole), _numbers(TLS_CLIENT_HELLOS, one, numbers, case))
    found: list[Any] = []
    if one.place.marks is not None:
        with suppress(InputError, OSError), opener.open(one.item, Ledger(), hashed=False) as stream:
            found = list(frames_by(stream, numbers, known, one.place.marks))
    if {frame.number for frame in found} != numbers:
        found = []
        with suppress(InputError, OSError), opener.open(one.item, Ledger(), hashed=False) as stream:
            for frame in frames(stream, numbers, known):
                found.append(frame)
    for frame in found:
        yield frame, [(at, ranks[frame.number]) for at, ranks in wanted.items() if frame.number in ranks]


def _numbers(
    table: Table, one: Input, numbers: frozenset[int], case: Case, more: pl.Expr | None = None
) -> frozenset[int]:
    """Which of these frames have a row in the table."""
    if (rows := case.tables.get(table)) is None:
        return frozenset()
    mine = (pl.col("source") == one.item.id) & pl.col("number").is_in(sorted(numbers))
    found = rows.frame.filter(mine if more is None else mine & more).select("number").collect()
    return frozenset(found["number"].to_list())


def _capture(at: int, records: Sequence[Cited], shots: list[_Shot], opened: set[str], case: Case) -> Capture:
    from analyzer.sources.capture.pcapng import Packet, pcapng

    taken, size = [], 0
    for shot in sorted(shots, key=lambda shot: (shot.rank, shot.one.item.id, shot.frame.number)):
        size += len(shot.frame.data) + BESIDE
        if size <= BYTES_MOST:
            taken.append(shot)
    # Of one capture the order of its frames is kept; several are laid together by time.
    several = len({shot.one.item.id for shot in taken}) > 1
    taken.sort(key=lambda shot: ((shot.frame.time or 0) * several, shot.one.item.id, shot.frame.number))
    packets = [Packet(shot.frame, visible(shot.one.item.id), _comment(at, shot)) for shot in taken]
    made = Capture(at, pcapng(packets, APPLICATION) if packets else b"")
    made.index = [_entry(place, shot) for place, shot in enumerate(taken, 1)]
    there = {(shot.one.item.id, shot.frame.number) for shot in taken}
    had = {(shot.one.item.id, shot.frame.number) for shot in shots}
    for record in records:
        if record.place not in there:
            gone = record.source not in opened or not record.reachable(case)
            full = record.place in had or record.place in {one.place for one in records[FRAMES_MOST:]}
            made.left.append(Left(record, FULL if full else GONE if gone else UNFOUND))
    return made


def _comment(at: int, shot: _Shot) -> str:
    timeless = "" if shot.frame.time is not None else ", without a time"
    quoted = "" if shot.rank else f", quoted by F{at + 1}"
    return f"frame {shot.frame.number} of {visible(shot.one.item.id)}{timeless}{quoted}"


def _entry(place: int, shot: _Shot) -> dict[str, Any]:
    frame, one = shot.frame, shot.one
    how = ""
    with suppress(InputError, OSError):
        how = command(one.report, one.place, frame.number, b"")
    return {
        "packet": place,
        "source": one.item.id,
        "number": frame.number,
        "time": None if frame.time is None else _time(frame.time),
        "quoted": not shot.rank,
        "bytes": frame.wire,
        "captured": frame.captured,
        "kept": len(frame.data),
        "command": how,
    }


def _time(nanos: int) -> str:
    seconds, rest = divmod(nanos, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
