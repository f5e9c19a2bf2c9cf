"""What is compared. A check gives differences, which must be explained, or totals that may differ by a little."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from analyzer.errors import InputError
from analyzer.facts.tcp_sequence import FAST, RETRANSMISSION, SPURIOUS
from tests.oracle.links import SAME_LINK
from tests.oracle.ours import Ours, ours
from tests.oracle.statistics import dropped
from tests.oracle.theirs import FrameRow, Theirs, theirs
from tests.oracle_tcp import by_facts, by_tshark, compare, packets

NEAR = 0.01
"""Share by which totals may differ."""


@dataclass(frozen=True, slots=True)
class Capture:
    """One file and what both sides make of it."""

    path: Path
    ours: Ours
    theirs: Theirs


@dataclass(frozen=True, slots=True)
class Difference:
    """`count` rows of one kind differ; `first` shows the first of them."""

    file: str
    kind: str
    count: int
    first: str


Told = Iterator[tuple[str, int, str]]
Totals = Mapping[str, tuple[int, int]]
"""Of each event how often we and they count it."""


@dataclass(frozen=True, slots=True)
class Check:
    """`differences` yields kind, number and first example; `totals` counts events of a file, to be added up."""

    name: str
    differences: Callable[[Capture], Told] | None = None
    totals: Callable[[Path], Totals] | None = None


def read(path: Path) -> Capture:
    return Capture(path, ours(path), theirs(path))


def opening(capture: Capture) -> Told:
    """Either both read a file or neither does. We refuse link types that we do not read, but know their frames."""
    refused = capture.ours.refused
    if capture.theirs.opened and refused:
        yield "refused by us", 1, refused
    if not capture.theirs.opened and not refused:
        yield "read by us only", 1, f"{len(capture.ours.frames)} frames"


def counts(capture: Capture) -> Told:
    """The number of records of a valid file. Of a damaged one they read the front."""
    mine, told, ledger = len(capture.ours.frames), capture.theirs, capture.ours.ledger
    if not told.opened or capture.ours.refused:
        return
    if told.valid and (mine != told.count or mine != ledger.records):
        yield "record count", 1, f"{mine} frames, {ledger.records} in the ledger, {told.count} by capinfos"
    if not told.valid and mine < len(told.frames):
        yield "record count", 1, f"{mine} frames, at least {len(told.frames)} by tshark"
    if not told.valid and not (ledger.skipped or ledger.incomplete_tail or ledger.notes):
        yield "damage untold", 1, "capinfos sees damage"


def frames(capture: Capture) -> Told:
    """Number, time, lengths, link type and interface of every frame that they read."""
    if capture.ours.refused:
        return
    wrong: dict[str, list[str]] = {}
    for mine, told in zip(capture.ours.frames, capture.theirs.frames, strict=False):
        for kind, one, other in _columns(mine, told):
            if one != other:
                wrong.setdefault(kind, []).append(f"frame {told.number}: {one} by us, {other} by tshark")
    for kind, rows in wrong.items():
        yield kind, len(rows), rows[0]


def _columns(mine: FrameRow, told: FrameRow) -> Iterator[tuple[str, object, object]]:
    yield "number", mine.number, told.number
    yield "time", mine.time, told.time
    yield "lengths", (mine.wire, mine.captured), (told.wire, told.captured)
    yield "link type", SAME_LINK.get(mine.link, -1), told.link
    if mine.interface is not None:
        yield "interface", mine.interface, told.interface


def span(capture: Capture) -> Told:
    """First and last time of a valid file, as capinfos states them."""
    times = [frame.time for frame in capture.ours.frames if frame.time is not None]
    if capture.theirs.valid and times and capture.theirs.first is not None:
        mine, told = (min(times), max(times)), (capture.theirs.first, capture.theirs.last)
        if mine != told:
            yield "span", 1, f"{mine} by us, {told} by capinfos"


def drops(capture: Capture) -> Told:
    """What pcapng statistics say was dropped, against a plain reading of the blocks; no tool prints it."""
    expected = dropped(capture.path)
    found = [note for note in capture.ours.ledger.notes if note.endswith("packets were dropped at capture time")]
    mine = int(found[0].split()[0]) if found else 0
    if capture.theirs.valid and mine != expected:
        yield "drops", 1, f"{mine} by us, {expected} by the blocks"


def dns(capture: Capture) -> Told:
    """Id, direction, name, type, rcode and answers of every DNS message, row for row."""
    if capture.ours.refused:
        return
    mine, told = Counter(capture.ours.dns), Counter(capture.theirs.dns)
    for kind, rest in (("dns, tshark only", told - mine), ("dns, ours only", mine - told)):
        if rest:
            yield kind, rest.total(), str(min(rest, key=str))


def tcp(capture: Capture) -> Told:
    """What is said of TCP segments: retransmissions of each kind, out of order, lost, keep-alives, zero windows ..."""
    if capture.ours.refused or not capture.theirs.opened:
        return
    try:
        mine = by_facts(packets(capture.path))
        told = by_tshark(capture.path).events if capture.theirs.tcp else set()
    except InputError:  # a link type that is not read
        return
    for side, rest in (("tshark only", told - mine), ("ours only", mine - told)):
        for event in sorted({event for _, event in rest}):
            numbers = sorted(number for number, name in rest if name == event)
            yield f"tcp {event}, {side}", len(numbers), f"frame {numbers[0]}"


def retransmissions(path: Path) -> Totals:
    """Retransmissions of every kind, by us and by tshark."""
    try:
        found = compare(path)
    except InputError:
        return {}
    kinds = [found[event] for event in (RETRANSMISSION, FAST, SPURIOUS)]
    return {"retransmissions": (sum(mine for mine, _ in kinds), sum(told for _, told in kinds))}


CHECKS: list[Check] = [
    Check("opening", opening),
    Check("counts", counts),
    Check("frames", frames),
    Check("span", span),
    Check("drops", drops),
    Check("dns", dns),
    Check("tcp", tcp, retransmissions),
]
"""What is compared; to compare one more thing, add a check."""


def examine(path: Path, name: str) -> list[Difference]:
    """What differs in one file."""
    capture = read(path)
    return [
        Difference(name, kind, count, first)
        for check in CHECKS
        if check.differences
        for kind, count, first in check.differences(capture)
    ]


def examine_and_count(path: Path, name: str) -> tuple[list[Difference], dict[str, Totals]]:
    """The same, with the events of the checks that go by totals."""
    return examine(path, name), {check.name: check.totals(path) for check in CHECKS if check.totals}
