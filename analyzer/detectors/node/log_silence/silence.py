"""Emitters that always spoke and then did not, while the others went on and the input that held them did too."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import log
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyzer.detectors.node.log_silence.gap import Limits, Silence
from analyzer.detectors.node.log_silence.inputs import families

Floats: TypeAlias = NDArray[np.float64]

MOST = 50
"""Emitters whose longest gap is looked at, those from which most is missing first."""

AFTER_LAST = 2
"""For how many of its usual pauses its own input must go on after an emitter's last record."""

EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def silences(emissions: pl.LazyFrame, limits: Limits) -> list[Silence] | None:
    """The gaps that pass, holes included, in order of emitter and stream; None where nobody has a peer."""
    key = ["kind", "stream", "emitter"]
    rows = emissions.sort(*key, "time", "source", "number").collect()
    if not (rows.group_by("kind", "stream").agg(pl.col("emitter").n_unique())["emitter"] > 1).any():
        return None
    rows = rows.join(families(rows, key), on="source", how="left", maintain_order="left")
    ends = rows.select(
        pl.col("time").max().over("family").alias("last"), pl.col("time").max().over("source").alias("own_last")
    )
    following = pl.col("time").shift(-1).over(key)
    timed = rows.hstack(ends).with_columns(
        nth=pl.int_range(pl.len()).over(key),
        until=pl.coalesce(following, "last"),
        further=following.is_not_null(),
    )
    timed = timed.with_columns(gap=(pl.col("until") - pl.col("time")).dt.total_milliseconds() / 1000)
    longest = (
        timed.filter(pl.col("gap") >= limits.seconds, pl.col("nth") >= limits.intervals)
        .sort("gap", "time", descending=[True, False])
        .unique(key, keep="first", maintain_order=True)
        .sort(pl.col("gap") * pl.col("nth"), *key, descending=[True, False, False, False])
        .head(MOST)
    )
    inputs = {str(name): _micros(part) for (name,), part in rows.partition_by("family", as_dict=True).items()}
    found = [_judged(rows, row, inputs, limits) for row in longest.iter_rows(named=True)]
    passed = [one for one in found if one is not None]
    return sorted(passed, key=lambda one: (one.kind, one.emitter, one.start, one.stream))


def _micros(rows: pl.DataFrame) -> Floats:
    return np.sort(rows["time"].dt.epoch("us").to_numpy()) / 1e6


def _judged(rows: pl.DataFrame, row: dict[str, object], inputs: dict[str, Floats], limits: Limits) -> Silence | None:
    """The silence after one record, None where it is too short for this emitter or where its peers are silent too."""
    same = rows.filter(pl.col("kind") == row["kind"], pl.col("stream") == row["stream"])
    own = same.filter(pl.col("emitter") == row["emitter"])
    start, end = _seconds(row["time"]), _seconds(row["until"])
    before = own.filter(pl.col("time") <= _moment(start))
    times = _micros(before)
    p99 = float(np.quantile(np.diff(times), 0.99))
    spoke = max(times[-1] - times[0], 1.0)
    least = max(limits.times * p99, limits.seconds, spoke / times.size * -log(limits.chance))
    held = inputs[str(row["family"])]
    # Whoever else stands in the same input in this time shows that the input itself has no hole there.
    witness = held[np.searchsorted(held, end, side="left" if row["further"] else "right") - 1]
    hole = witness - start < least
    until = end if row["further"] else float(witness)
    # An input that ends with the emitter's last words was saved then: the one after it may not hold the emitter.
    if until - start < least or (not row["further"] and _seconds(row["own_last"]) - start < AFTER_LAST * p99):
        return None
    peers, speaking, others, newcomers = _peers(same, str(row["emitter"]), start, until, limits)
    if not peers or speaking < limits.peers * peers:
        return None
    return Silence(
        kind=str(row["kind"]),
        emitter=str(row["emitter"]),
        stream=str(row["stream"]),
        port=row["port"],  # type: ignore[arg-type]  # an integer or null of the frame
        start=_moment(start),
        end=_moment(until),
        before=before,
        resumed=own.filter(pl.col("time") > _moment(start)).head(1) if row["further"] else own.clear(),
        others=others,
        peers=peers,
        speaking=speaking,
        newcomers=newcomers,
        p99=p99,
        hole=bool(hole),
    )


def _peers(
    same: pl.DataFrame, emitter: str, start: float, until: float, limits: Limits
) -> tuple[int, int, pl.DataFrame, int]:
    """Peers that spoke before as often as is asked of an emitter, those of them that speak in the second half of the
    gap, their records there, and emitters that began within it."""
    begun, half, end = _moment(start), _moment((start + until) / 2), _moment(until)
    others = same.filter(pl.col("emitter") != emitter)
    counts = others.group_by("emitter").agg(
        old=(pl.col("time") <= begun).sum(),
        late=pl.col("time").is_between(half, end).sum(),
    )
    known = counts.filter(pl.col("old") > limits.intervals)
    speaking = known.filter(pl.col("late") > 0)
    told = others.filter(pl.col("time").is_between(half, end))
    told = told.join(speaking.select("emitter"), on="emitter", how="semi", maintain_order="left")
    new = counts.filter(pl.col("old") == 0, pl.col("late") > 0).height
    return known.height, speaking.height, told, new


def _seconds(time: object) -> float:
    return (time - EPOCH) / timedelta(seconds=1)  # type: ignore[operator, no-any-return]  # a time of the frame


def _moment(seconds: float) -> datetime:
    return EPOCH + timedelta(microseconds=round(seconds * 1e6))
