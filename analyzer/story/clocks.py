"""What offsets of clocks mean: whether an order in time can be told, which inputs to shift, which time zone it was.

Pure functions of `Result.offsets`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from heapq import heappop, heappush
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from analyzer.facts.clock_events import PODS
from analyzer.model import Offset

Clock = tuple[str, str]
"""An input, and the host where the input holds lines of several; else an empty text."""

Ways = dict[Clock, list[tuple[Clock, float, float]]]
"""From each clock to those that it was compared with: the other, seconds that it is ahead, spread."""

CLEAR = 3.0
"""An offset is one of clocks where it is so many times its spread: about two standard deviations, for the median
absolute deviation of a normal distribution is 0.67 of one."""

DELIVERY = {PODS: 0.1}
"""Seconds that news take from one input to the other beside all clocks: a kubelet is told by a watch, and writes when
its sync loop comes to it [an engineering default; recordings of Kubernetes 1.36: 1 to 27 ms]."""

DELIVERY_OF_PACKETS = 0.005
"""The same for packets and lines about them [an engineering default; recordings: 0.2 ms]."""

QUARTER = 900
ZONE_SLACK = 60.0
"""A clock that is wrong by itself as well is so many seconds from its zone at the most [an engineering default]."""

ODD_ZONES = {
    -9.5: "Pacific/Marquesas",
    -3.5: "America/St_Johns",
    -2.5: "America/St_Johns",
    3.5: "Asia/Tehran",
    4.5: "Asia/Kabul",
    5.5: "Asia/Kolkata",
    5.75: "Asia/Kathmandu",
    6.5: "Asia/Yangon",
    8.75: "Australia/Eucla",
    9.5: "Australia/Darwin",
    10.5: "Australia/Lord_Howe",
    12.75: "Pacific/Chatham",
    13.75: "Pacific/Chatham",
}
"""Zones that are no whole hours from UTC (tz database), by hours."""

WHOLE_ZONES = (
    *("Etc/GMT+12", "Etc/GMT+11", "Etc/GMT+10", "Etc/GMT+9", "Etc/GMT+8", "Etc/GMT+7", "Etc/GMT+6", "Etc/GMT+5"),
    *("Etc/GMT+4", "Etc/GMT+3", "Etc/GMT+2", "Etc/GMT+1", "UTC", "Etc/GMT-1", "Etc/GMT-2", "Etc/GMT-3", "Etc/GMT-4"),
    *("Etc/GMT-5", "Etc/GMT-6", "Etc/GMT-7", "Etc/GMT-8", "Etc/GMT-9", "Etc/GMT-10", "Etc/GMT-11", "Etc/GMT-12"),
    *("Etc/GMT-13", "Etc/GMT-14"),
)
"""Zones of whole hours, from 12 behind UTC to 14 ahead. POSIX counts westwards: Etc/GMT-3 is three hours ahead of UTC
(tz database, file etcetera). Each is spelled out, so that redaction knows it for a word of the program."""


def spread(offsets: Sequence[Offset], source_a: str, source_b: str) -> float | None:
    """How many seconds two records must be apart, one of each input, before their order means anything.

    0 within one input of one clock. Else the spread of what compares the two, over other inputs where need be, and the
    offset itself unless it was applied. None where nothing compares them: then an order is as good as the clocks are.
    An input of several hosts counts by those of its clocks which agree the least.
    """
    own, others = (_clocks(offsets, source) for source in (source_a, source_b))
    if source_a == source_b and len(own) == 1:
        return 0.0
    ways = _ways(offsets)
    every = [_between(ways, one, other) for one in own for other in others if one != other]
    known = [found for found in every if found is not None]
    return max(known) if known else None


def _clocks(offsets: Sequence[Offset], source: str) -> list[Clock]:
    """The clocks of an input: one for each host that was compared, or its only one."""
    hosts = sorted({one.host for one in offsets if one.source == source and one.host})
    return [(source, host) for host in hosts] or [(source, "")]


def _between(ways: Ways, clock_a: Clock, clock_b: Clock) -> float | None:
    left: list[tuple[float, Clock, float]] = [(0.0, clock_a, 0.0)]
    done: set[Clock] = set()
    while left:
        unsure, source, apart = heappop(left)
        if source == clock_b:
            return round(unsure + abs(apart), 6)
        if source in done:
            continue
        done.add(source)
        for other, seconds, own in ways.get(source, ()):
            if other not in done:
                heappush(left, (unsure + own, other, apart + seconds))
    return None


def ordered(offsets: Sequence[Offset], source_a: str, source_b: str, lag_seconds: float) -> bool:
    """Whether so much time between a record of each input says which came first; True where nothing compares them."""
    least = spread(offsets, source_a, source_b)
    if source_a == source_b and not least:
        return True
    return least is None or abs(lag_seconds) > least


def _ways(offsets: Sequence[Offset]) -> Ways:
    """From each clock to those that it was compared with: (other, seconds that it is ahead, spread)."""
    ways: Ways = {}
    for one in sorted(offsets, key=lambda offset: (offset.source, offset.host, offset.reference)):
        seconds = 0.0 if one.applied else one.seconds
        own, other = (one.source, one.host), (one.reference, "")
        ways.setdefault(own, []).append((other, seconds, one.spread_seconds))
        ways.setdefault(other, []).append((own, -seconds, one.spread_seconds))
    return ways


def is_clear(offset: Offset) -> bool:
    """Whether it is an offset of clocks, by its spread and by what delivery takes."""
    delivery = max(DELIVERY.get(what, DELIVERY_OF_PACKETS) for what in offset.matched_by.split(", "))
    return abs(offset.seconds) > max(CLEAR * offset.spread_seconds, delivery)


def shifts(offsets: Sequence[Offset]) -> dict[Clock, float]:
    """Seconds to take from the times of each input, or of a host in it, so that inputs that were compared agree.

    An input is moved to its reference, and with it what is compared with it; of several references the one with the
    least spread counts. Only offsets of clocks move anything.
    """
    best: dict[Clock, Offset] = {}
    for one in offsets:
        key = (one.spread_seconds, -one.events, one.reference)
        other = best.get((one.source, one.host))
        if other is None or key < (other.spread_seconds, -other.events, other.reference):
            best[(one.source, one.host)] = one
    found: dict[Clock, float] = {}
    for clock in sorted(best):
        at, total, seen = clock, 0.0, {clock}
        while (step := best.get(at)) is not None:
            total += _correction(step)
            at = (step.reference, "")
            if at in seen:
                break
            seen.add(at)
        if total:
            found[clock] = round(total, 6)
    return found


def _correction(offset: Offset) -> float:
    """What to take from the input's times: a whole time zone where no more is told, else what was measured."""
    if not is_clear(offset):
        return 0.0
    zone = round(offset.seconds / QUARTER) * QUARTER
    only = is_zone(offset.seconds) and not is_clear(replace(offset, seconds=offset.seconds - zone))
    return zone if only else offset.seconds


def told(
    offsets: Sequence[Offset], zoneless: Mapping[str, datetime], tz: str, moved: Mapping[Clock, float]
) -> tuple[Offset, ...]:
    """The offsets, those of clocks with a remark.

    `zoneless`: inputs that write no zone, with a time of each, read as times of the zone `tz`. `moved`: what was taken
    from the times of inputs.
    """
    made = []
    for one in offsets:
        applied = (one.source, one.host) in moved or (one.reference, "") in moved
        remark = _advice(one, zoneless.get(one.source), tz, applied=applied) if is_clear(one) else ""
        made.append(replace(one, applied=applied, remark=remark))
    return tuple(made)


def _advice(offset: Offset, at: datetime | None, tz: str, *, applied: bool) -> str:
    way = "ahead of" if offset.seconds > 0 else "behind"
    amount = in_words(offset.seconds)
    if applied:
        return f"{amount} {way} its reference; corrected"
    zone = zone_of(offset.seconds, at, tz) if at is not None else ""
    if zone:
        return f"{amount} {way} its reference: a time zone; read this input with --tz {zone}"
    if is_zone(offset.seconds):
        return (
            f"{amount} {way} its reference: a clock set to a time zone as if it were UTC; --apply-offsets corrects it"
        )
    return f"{amount} {way} its reference; --apply-offsets corrects it"


def is_zone(seconds: float) -> bool:
    """Whether an offset is that of a time zone: whole hours, or a part of an hour that some zone has."""
    return _name(seconds / 3600) != "" and abs(seconds) > QUARTER


def zone_of(seconds: float, at: datetime | None, tz: str) -> str:
    """The zone for --tz that an input is in, which was read as `tz` and is so many seconds ahead; '' if none is."""
    if not is_zone(seconds):
        return ""
    assumed = at.astimezone(ZoneInfo(tz)).utcoffset() if at is not None and tz != "UTC" else None
    return _name((seconds + (assumed.total_seconds() if assumed is not None else 0.0)) / 3600)


def _name(hours: float) -> str:
    quarters = round(hours * 4)
    if abs(hours * 3600 - quarters * QUARTER) > ZONE_SLACK:
        return ""
    if quarters % 4:
        return ODD_ZONES.get(quarters / 4, "")
    whole = quarters // 4
    return WHOLE_ZONES[whole + 12] if -12 <= whole <= 14 else ""


def in_words(seconds: float) -> str:
    """An amount of time as people write it: `3 h 00 min`, `1.7 s`, `12 ms`."""
    amount = abs(seconds)
    if amount >= 3600:
        minutes = round(amount / 60)
        return f"{minutes // 60} h {minutes % 60:02} min"
    if amount >= 120:
        return f"{round(amount) // 60} min {round(amount) % 60:02} s"
    return f"{amount:.3g} s" if amount >= 1 else f"{amount * 1000:.3g} ms"


def remarks(offsets: Sequence[Offset], most: int = 5) -> tuple[str, ...]:
    """A sentence for each input whose clock is wrong, the farthest first."""
    by_size = sorted(offsets, key=lambda one: (abs(one.seconds), one.clock, one.reference), reverse=True)
    wrong: dict[str, Offset] = {}
    for one in by_size:
        if one.remark:
            wrong.setdefault(one.clock, one)
    made = [
        f"Clock of {one.clock}: {one.remark} ({one.reference}; {one.events:,} {one.matched_by})."
        for one in wrong.values()
    ]
    return (*made[:most], *([f"{len(made) - most} more clocks disagree."] if len(made) > most else []))
