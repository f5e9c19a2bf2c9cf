"""Times without a year and a zone, as klog and syslog write them, placed in time.

The year comes from what is nearest to the log: a header in it, its file name, what the user says, the span of the
other inputs, and last the file's modification time. The choice is noted with its source, and so is the zone.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from analyzer.frames.contract import TIME
from analyzer.sources.contract import Item, Ledger, ReadOptions
from analyzer.sources.discover import STDIN
from analyzer.sources.times import ambiguous, localise, missing, offsets, utc

Micros = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

DUMMY = 2000
"""The leap year in which such times are held until their year is known."""

SECOND = 1_000_000
DAY = 86_400 * SECOND
_YEAR = 366 * DAY

STEP_SEEN = 60 * SECOND
"""A fall back of the clock by less is disorder between threads [an engineering default]."""

TURN = 31 * DAY
"""A lasting fall back by more than a month is a new year (plaso's dateless logs allow one month of disorder)."""

LONG_TURN = 183 * DAY
"""By more than half a year it is one even with few lines before it."""

AROUND = 16
"""Lines before a fall that all must be later, so that one stray line turns no year [an engineering default]."""

AFTER = 5
"""Lines from a fall on whose median must be earlier too."""

FOLD = (1_700 * SECOND, 7_300 * SECOND)
"""A fall of this size within an ambiguous hour is the end of summer time (changes of half an hour to two hours)."""

QUARTER = 900 * SECOND
ZONE_LIMIT = 14 * 3600 * SECOND
"""Time zones differ from UTC by quarters of an hour, at most 14 hours (tz database)."""

MEDIAN_OF = 101
"""Lines over which the distance to a wrapper's time is taken [an engineering default]."""

_NAME_DATE = re.compile(r"(?<![0-9])(20[0-9]{2})[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12][0-9]|3[01])(?![0-9]{3})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class YearlessClock:
    """Places the times of one input, window after window, in the order of its lines.

    `what` names the lines in notes: `klog`, `the syslog prefix`.
    """

    def __init__(self, item: Item, options: ReadOptions, ledger: Ledger, what: str) -> None:
        self._item, self._options, self._ledger, self._what = item, options, ledger, what
        self._tz = options.tz
        self._hint: tuple[datetime, datetime, str] | None = None
        self._base: int | None = None
        self._known = self._compared = False
        self._years = 0
        self._before: Micros = np.empty(0, np.int64)
        self._second_pass = False

    def hint(self, first: datetime, last: datetime, source: str) -> None:
        """The log itself says when it was written; the first such word counts."""
        if self._hint is None:
            self._hint = (utc(first), utc(last), source)

    def stamped(self, frame: pl.DataFrame) -> pl.DataFrame:
        """An unwrapped frame with the times of its `stamp` column put where `time` is null."""
        placed = self.stamps(frame["stamp"], frame["number"])
        return frame.with_columns(pl.select(pl.coalesce(frame["time"], placed).alias("time"))["time"])

    def stamps(self, text: pl.Series, numbers: pl.Series) -> pl.Series:
        """UTC of syslog times such as `Jan  1 00:00:00` or `Jan 01 00:00:00.123456`; null where there is none."""
        return self.place(_stamp_times(text), numbers)

    def place(self, dummy: pl.Series, numbers: pl.Series) -> pl.Series:
        """UTC of times held in the year DUMMY, in the order of the lines of those numbers; null stays null."""
        there = dummy.is_not_null()
        moments = dummy.filter(there).cast(pl.Int64).to_numpy()
        if not len(moments):
            return pl.Series("time", [None], dtype=TIME).new_from_index(0, dummy.len())
        lines = numbers.filter(there).to_numpy()
        years = self._turn(moments, lines)
        if not self._known:
            self._base, self._known = self._choose(moments, years), True
        if self._base is None:
            return pl.Series("time", [None], dtype=TIME).new_from_index(0, dummy.len())
        absolute, valid = in_year(moments, self._base + years)
        if not valid.all():
            self._ledger.note(
                f"line {lines[~valid][0]}: no Feb 29 in {self._base}, so its lines have no time (--year sets the year)"
            )
        naive = pl.Series(absolute).cast(pl.Datetime("us"))
        placed = self._localise(naive, moments, lines)
        placed = pl.select(pl.when(pl.Series(valid)).then(placed)).to_series()
        whole = pl.Series("time", [None], dtype=TIME).new_from_index(0, dummy.len())
        return whole.scatter(there.arg_true(), placed)

    def beside(self, known: pl.Series, dummy: pl.Series, numbers: pl.Series) -> pl.Series:
        """UTC of times held in the year DUMMY, where a wrapper told the UTC time of most lines itself.

        The wrapper gives year and zone: the log's own time is moved to the nearest year, and by the whole quarters of
        an hour that lie between the two, as a median over lines around. Lines without a wrapper's time are placed as
        `place` does.
        """
        if not known.is_not_null().any():
            return self.place(dummy, numbers)
        there = known.is_not_null() & dummy.is_not_null()
        wrapper = known.filter(there).cast(pl.Int64).to_numpy()
        moments = dummy.filter(there).cast(pl.Int64).to_numpy()
        own = _nearest_years(moments, wrapper)
        ahead = pl.Series(own - wrapper).rolling_median(MEDIAN_OF, min_samples=1, center=True).to_numpy()
        offset = (np.rint(ahead / QUARTER) * QUARTER).astype(np.int64)
        offset[np.abs(offset) > ZONE_LIMIT] = 0
        if offset.any():
            hours = sorted({float(one) / (3600 * SECOND) for one in np.unique(offset)})
            told = ", ".join(f"{hour:+g} h" for hour in hours)
            self._ledger.note(f"{self._what} is in another zone than UTC by its wrapper ({told}); made UTC")
        self._ledger.note(f"{self._what} has no year and no zone: both taken from its wrapper")
        whole = pl.Series("time", [None], dtype=TIME).new_from_index(0, dummy.len())
        whole = whole.scatter(there.arg_true(), pl.Series(own - offset).cast(TIME))
        if there.all():
            return whole
        return whole.scatter((~there).arg_true(), self.place(dummy.filter(~there), numbers.filter(~there)))

    def compare(self, stamps: pl.Series, dummy: pl.Series) -> None:
        """Note where a prefix without a zone and the log's own time are in different zones.

        A prefix that is as far from the log's own time as the user's zone is from UTC is in that zone: then the log's
        own time is UTC, as in the logs of containers, whose clocks are set to no zone.
        """
        if self._compared or not stamps.is_not_null().any():
            return
        self._compared = True
        prefix = _stamp_times(stamps.head(MEDIAN_OF * 10))
        apart = prefix.cast(pl.Int64) - dummy.head(prefix.len()).cast(pl.Int64)
        # around New Year one of the two may be in the year before
        ahead = ((apart.drop_nulls() + _YEAR // 2) % _YEAR - _YEAR // 2).median()
        hours = 0.0 if ahead is None else round(float(ahead) / QUARTER) / 4  # type: ignore[arg-type]  # untyped by polars
        if not hours or abs(hours) > ZONE_LIMIT / (3600 * SECOND):
            return
        told = f"the prefix is {hours:+g} h from {self._what}'s own time: "
        if hours in offsets(self._tz):
            self._ledger.note(f"{told}it is in {self._tz}, the own time in UTC, which was used")
            self._tz = "UTC"
        else:
            self._ledger.note(f"{told}the zones differ; its own time was used")

    def _turn(self, moments: Micros, lines: Micros) -> Micros:
        """Years since the first line, for each time; keeps what the next window has to know."""
        known = len(self._before)
        all_moments = np.concatenate([self._before, moments])
        if len(all_moments) > 1 and np.diff(all_moments).min() >= -STEP_SEEN:
            self._before = all_moments[-AROUND:]
            return np.full(len(moments), self._years, np.int64)
        column = pl.Series(all_moments)
        before = column.rolling_min(AROUND, min_samples=1).shift(1).fill_null(all_moments[0]).to_numpy()
        # the median of the lines that follow, taken backwards
        after = column.reverse().rolling_median(AFTER, min_samples=1).reverse().to_numpy()
        lowest = column.reverse().rolling_min(AROUND, min_samples=1).reverse().to_numpy()
        fall = before - all_moments
        enough = np.arange(len(all_moments)) >= 3
        turned = (fall > TURN) & (before - after > TURN) & (enough | (fall > LONG_TURN))
        turned[:known] = False
        years = self._years + np.cumsum(turned[known:])
        self._years = int(years[-1]) if len(years) else self._years
        # a straggler of the old year among lines of the new one
        near = pl.Series(turned.astype(np.int8)).rolling_max(AROUND, min_samples=1).to_numpy()[known:] > 0
        years = years - (near & (moments - lowest[known:] > LONG_TURN))
        for at in np.flatnonzero(turned[known:])[:3]:
            self._ledger.note(f"line {lines[at]}: {self._what} falls back {fall[known + at] // DAY} days: a new year")
        previous = np.concatenate([all_moments[:1], all_moments[:-1]])
        stepped = (fall > STEP_SEEN) & ~turned
        stepped[:known] = False
        for at in np.flatnonzero(stepped[known:])[:3]:
            seconds = (previous[known + at] - moments[at]) // SECOND
            self._ledger.note(f"line {lines[at]}: the clock stepped -{seconds} s: DST or NTP?")
        self._before = all_moments[-AROUND:]
        return np.asarray(years, np.int64)

    def _localise(self, naive: pl.Series, moments: Micros, lines: Micros) -> pl.Series:
        tz = self._tz
        if tz == "UTC":
            return localise(naive, tz)
        twice = ambiguous(naive, tz).to_numpy()
        fall = np.concatenate([[0], moments[:-1] - moments[1:]])
        step = twice & (fall > FOLD[0]) & (fall < FOLD[1])
        index = np.arange(len(moments))
        last_step = np.maximum.accumulate(np.where(step, index, -1 if not self._second_pass else 0))
        last_plain = np.maximum.accumulate(np.where(~twice, index, -1))
        folded = twice & (last_step >= 0) & (last_step > last_plain if not self._second_pass else last_plain < 0)
        folded |= twice & (last_step > last_plain) & (last_step >= 0)
        self._second_pass = bool(folded[-1])
        if twice.any():
            self._ledger.note(
                f"line {lines[twice][0]}: the hour occurs twice in {tz}; the order of the lines tells which"
            )
        gap = missing(naive, tz).to_numpy()
        if gap.any():
            self._ledger.note(f"line {lines[gap][0]}: this time does not exist in {tz} and was moved forward")
        return localise(naive, tz, pl.Series(folded))

    def _choose(self, moments: Micros, years: Micros) -> int | None:
        """The year of the first line, with a note on where it comes from."""
        leap = bool((moments // DAY == _FEB_29).any())
        year, source = self._year(moments, years, leap)
        zone = "UTC (--tz sets it)" if self._options.tz == "UTC" else self._tz
        if year is None:
            self._ledger.note(f"{self._what} has no year and nothing tells it: its lines have no time (--year sets it)")
            return None
        assumed = f"{self._what} has no year and no zone: {year} assumed from {source}, zone {zone}"
        if leap and not _is_leap(year):
            better = next(
                y for y in (year - 1, year + 1, year - 2, year + 2, year - 3, year + 3, year - 4) if _is_leap(y)
            )
            assumed += f"; but Feb 29 implies {_before(year)} or {_after(year)}: {better} taken"
            year = better
        self._ledger.note(assumed)
        return year

    def _year(self, moments: Micros, years: Micros, leap: bool) -> tuple[int | None, str]:
        options = self._options
        if self._hint is not None:
            first, last, source = self._hint
            return _nearest(moments, years, first, last, leap), source
        if (named := _name_date(self._item.file_name)) is not None:
            return _nearest(moments, years, named, named + timedelta(days=1), leap), "the file name"
        if options.year is not None:
            return options.year, "--year"
        if options.dated_span is not None:
            first, last = map(utc, options.dated_span)
            return _nearest(moments, years, first, last, leap), "the span of the other inputs"
        if self._item.path != STDIN or self._item.member is not None:
            try:
                changed = datetime.fromtimestamp(self._item.modified(), UTC)
            except (OSError, ValueError, OverflowError):
                return None, ""
            # written before the file was last changed: a month after that means the year before
            moment = changed + timedelta(days=1)
            year = moment.year if _at(moments[0], moment.year) <= _micros(moment) else moment.year - 1
            return year, "the file's modification time (--year sets it)"
        return None, ""


def _stamp_times(text: pl.Series) -> pl.Series:
    return (f"{DUMMY} " + text).str.to_datetime("%Y %b %e %H:%M:%S%.f", time_unit="us", strict=False)


def _nearest_years(moments: Micros, near: Micros) -> Micros:
    """Times of the year DUMMY in the year that brings each nearest to its other time."""
    year = near.astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970
    best, exists = in_year(moments, year)
    best = np.where(exists, best, near)
    for other in (year - 1, year + 1):
        moved, exists = in_year(moments, other)
        closer = exists & (np.abs(moved - near) < np.abs(best - near))
        best = np.where(closer, moved, best)
    return best


def in_year(moments: Micros, years: Micros | int) -> tuple[Micros, Mask]:
    """Times of the year DUMMY moved to those years, as microseconds since 1970, and whether they exist there."""
    into = moments - START
    day = into // DAY
    year = np.broadcast_to(np.asarray(years, np.int64), moments.shape)
    common = ~((year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0)))
    exists = ~(common & (day == _FEB_29 - START // DAY))
    start = (year - 1970).astype("datetime64[Y]").astype("datetime64[us]").astype(np.int64)
    return start + into - np.where(common & (day > _FEB_29 - START // DAY), DAY, 0), exists


START = int((datetime(DUMMY, 1, 1, tzinfo=UTC) - _EPOCH) / timedelta(microseconds=1))
"""Microseconds since 1970 at which the year DUMMY begins."""

_FEB_29 = int((datetime(DUMMY, 2, 29, tzinfo=UTC) - _EPOCH) / timedelta(days=1))


def _nearest(moments: Micros, years: Micros, first: datetime, last: datetime, leap: bool) -> int:
    """The year of the first line with which the log lies nearest to that span; the later one if two are as near."""
    candidates = sorted({*range(first.year - 4, first.year + 5), *range(last.year - 4, last.year + 5)})
    candidates = [y for y in candidates if 1 <= y <= 9998 and (not leap or _is_leap(y))] or [last.year]
    linear = moments + years * 366 * DAY
    low, high = int(linear.argmin()), int(linear.argmax())

    def distance(year: int) -> tuple[int, int]:
        start, end = _at(moments[low], year + int(years[low])), _at(moments[high], year + int(years[high]))
        away = max(0, _micros(first) - end, start - _micros(last))
        return away, abs(start + end - _micros(first) - _micros(last))

    best: int = min(reversed(candidates), key=distance)
    return best


def _at(moment: np.int64, year: int) -> int:
    absolute, _ = in_year(np.array([moment], np.int64), year)
    return int(absolute[0])


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _name_date(name: str) -> datetime | None:
    """A date in a file name, as klog (`log.INFO.20190820-202826`), logrotate and people write it."""
    for year, month, day in _NAME_DATE.findall(name):
        try:
            return datetime(int(year), int(month), int(day), tzinfo=UTC)
        except ValueError:
            continue
    return None


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _before(year: int) -> int:
    return next(y for y in range(year, year - 9, -1) if _is_leap(y))


def _after(year: int) -> int:
    return next(y for y in range(year, year + 9) if _is_leap(y))
