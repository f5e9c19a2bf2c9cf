"""The times of audit events: RFC 3339 as kube-apiserver writes it at once, anything else value by value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Struct

from analyzer.frames.contract import TIME

EARLIEST, LATEST = datetime(2010, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
"""Times outside are damage (Go's zero time is year 1): Kubernetes began in 2014."""

_EARLIEST, _LATEST = (int(limit.timestamp()) * 1_000_000 for limit in (EARLIEST, LATEST))

NAMES = ("received", "staged", "timestamp")

Texts = Sequence[str | None]
Micros = npt.NDArray[np.int64]

_LEAST = np.frombuffer(b"0000-00-00T00:00:00.000000Z", np.uint8)
_MOST = np.frombuffer(b"9999-19-39T29:59:59.999999Z", np.uint8)
"""The apiserver's MicroTime (apimachinery `pkg/apis/meta/v1/micro_time.go`), least and most of each character."""

_CLOCK = slice(11, 26)
_WEIGHTS = np.array([36e9, 36e8, 0, 6e8, 6e7, 0, 1e7, 1e6, 0, 1e5, 1e4, 1e3, 1e2, 1e1, 1e0])
"""Microseconds that each character of `00:00:00.000000` stands for."""

_ZERO = float(_WEIGHTS.sum() * ord("0"))
_DAY = 86_400_000_000

_ANY = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?\s?([Zz]|[+-]\d\d:?\d\d)?", re.ASCII)


class Clocks(Struct, frozen=True):
    """`time` and `stage_time` of each event, and how many events had times that were not as they should be."""

    time: pl.Series
    stage_time: pl.Series
    unreadable: int = 0
    strange: int = 0
    missing: int = 0
    backward: int = 0
    single: int = 0


def clocks(texts: Mapping[str, Texts], zone: str) -> Clocks:
    """The times of events whose texts are `received`, `staged` and `timestamp` (of v1alpha1, when it was received).

    What cannot be read or cannot be true is null. Times without a zone are read in `zone`.
    """
    if (usual := _usual(texts)) is not None:
        return usual
    read = {name: _read(texts[name], zone) for name in NAMES}
    frame = pl.DataFrame(read | {f"{name}_told": _told(texts[name]) for name in NAMES})
    sound = [pl.col(name).is_between(EARLIEST, LATEST, closed="left") for name in NAMES]
    received, staged, single = (pl.when(fits).then(pl.col(name)) for name, fits in zip(NAMES, sound, strict=True))
    alone = ~pl.col("received_told") & ~pl.col("timestamp_told")
    time = pl.when(alone).then(staged).otherwise(received.fill_null(single)).alias("time")
    # the only time there is cannot be both ends of a request
    end = pl.when(~alone).then(staged).alias("stage_time")
    unread = [pl.col(name).is_null() & pl.col(f"{name}_told") for name in NAMES]
    done = frame.select(
        time,
        end,
        pl.any_horizontal(unread).alias("unreadable"),
        pl.any_horizontal(~fits for fits in sound).fill_null(False).alias("strange"),
        (alone & ~pl.col("staged_told")).alias("missing"),
        (end < time).fill_null(False).alias("backward"),
        (end.is_null() & time.is_not_null()).alias("single"),
    )
    counts = done.select(pl.col(pl.Boolean).sum()).row(0, named=True)
    return Clocks(done["time"], done["stage_time"], **counts)


def _usual(texts: Mapping[str, Texts]) -> Clocks | None:
    """The times where every event has both, as the apiserver writes them, and none is strange; else None."""
    received, staged = texts["received"], texts["staged"]
    if None in received or None in staged or any(texts["timestamp"]):
        return None
    if (begun := _micro_times(received)) is None or (ended := _micro_times(staged)) is None:
        return None
    return usual(begun, ended)


def usual(begun: Micros, ended: Micros) -> Clocks | None:
    """The times of events that have both, by the microseconds since 1970; None where one is strange."""
    for both in (begun, ended):
        if len(both) and (both.min() < _EARLIEST or both.max() >= _LATEST):
            return None
    return Clocks(pl.Series(begun).cast(TIME), pl.Series(ended).cast(TIME), backward=int((ended < begun).sum()))


def _told(texts: Texts) -> pl.Series:
    if None not in texts:
        return pl.repeat(True, len(texts), dtype=pl.Boolean(), eager=True)
    return pl.Series([text is not None for text in texts], dtype=pl.Boolean)


def _read(texts: Texts, zone: str) -> pl.Series:
    if not any(texts):
        return pl.repeat(None, len(texts), dtype=TIME, eager=True)
    if None not in texts and (fast := _micro_times(texts)) is not None:
        return pl.Series(fast).cast(TIME)
    known = {text: moment(text, zone) for text in {text for text in texts if text is not None}}
    return pl.Series([None if text is None else known[text] for text in texts], dtype=TIME)


def _micro_times(texts: Texts) -> Micros | None:
    """Microseconds since the epoch where every text has the apiserver's own shape; None where one has not."""
    raw = "".join(texts).encode()  # type: ignore[arg-type]
    if len(raw) != len(texts) * len(_LEAST):
        return None
    chars = np.frombuffer(raw, np.uint8).reshape(-1, len(_LEAST))
    if not ((chars >= _LEAST) & (chars <= _MOST)).all():
        return None
    # whole numbers below 2**53: exact in floating point, which has a fast product
    clock = (chars[:, _CLOCK].astype(np.float64) @ _WEIGHTS - _ZERO).astype(np.int64)
    if (clock >= _DAY).any():
        return None
    dates = np.ascontiguousarray(chars[:, :10]).view("S10").ravel()
    days, place = (dates[:1], 0) if (dates == dates[0]).all() else np.unique(dates, return_inverse=True)
    try:
        since = days.astype("U10").astype("datetime64[D]").astype(np.int64)
    except ValueError:
        return None
    micros: Micros = since[place] * _DAY + clock
    return micros


def moment(text: str, zone: str) -> datetime | None:
    """One RFC 3339 time, also with a space, a comma or nanoseconds, in UTC; None where it is none."""
    found = _ANY.fullmatch(text.strip())
    if found is None:
        return None
    day, clock, fraction, offset = found.groups()
    offset = "+00:00" if offset in ("Z", "z") else offset or ""
    try:
        read = datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0')[:6]:0<6}{offset}")
        return (read if read.tzinfo else read.replace(tzinfo=UTC if zone == "UTC" else ZoneInfo(zone))).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
