"""What came before a row among those of the same key or group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyzer.frames import TIME


def followers(frame: pl.DataFrame, key: Sequence[str], order: Sequence[str], before: Sequence[str]) -> pl.DataFrame:
    """The rows that have an earlier one of the same key, with `before_` columns of the one just before; null in the
    key is a value like others.

    Most keys occur once, and a window over each key costs far more than one sort of the few that repeat.
    """
    group = pl.struct(key)
    ranked = (
        frame.filter(hashed(key).is_duplicated())
        .filter(group.is_duplicated())
        .with_columns(group=group.rank("dense"))
        .sort("group", *order)
    )
    return (
        ranked.with_columns(pl.col(name).shift(1).alias(f"before_{name}") for name in before)
        .filter(pl.col("group") == pl.col("group").shift(1))
        .drop("group")
    )


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows in the order of time, source and number, equal ones as they stand and those without a time first.

    One capture mostly is in that order, and to see that costs far less than to sort.
    """
    time, number = pl.col("time"), pl.col("number")
    after = (time > time.shift(1)) | ((time == time.shift(1)) & (number >= number.shift(1)))
    sorted_ = after.slice(1).all() & (time.null_count() == 0) & (pl.col("source").min() == pl.col("source").max())
    if not frame.height or frame.select(sorted_).item():
        return frame
    return frame.sort("time", "source", "number", maintain_order=True)


def by_place(frame: pl.DataFrame, *more: str) -> pl.DataFrame:
    """The rows in the order of time, source, number and `more` columns of text; those without a time come last.

    Text is ranked first, for to sort many rows by several columns takes twice as long by text.
    """
    untimed = np.iinfo(np.int64).max
    ranks = frame.select(
        pl.col("time").to_physical().fill_null(untimed), "number", pl.col("source", *more).rank("dense")
    )
    return frame[np.lexsort([ranks[name].to_numpy() for name in (*reversed(more), "number", "source", "time")])]


def latest(time: str, group: str) -> pl.Expr:
    """The latest time up to each row among those of its group; null where the row has none.

    `group` is a whole number that never falls from row to row. One pass over all rows, in which each group starts above
    the one before it: a window costs several times as much.
    """
    above = pl.col(group).cast(pl.Int128) * (1 << 64)
    return ((above + pl.col(time).to_physical().cast(pl.Int128)).cum_max() - above).cast(pl.Int64).cast(TIME)


def nth(key: str) -> pl.Expr:
    """Which of the rows of its key each row is, from 0; rows of one key stand together."""
    at = pl.int_range(pl.len(), dtype=pl.UInt32)
    begins = (pl.col(key) != pl.col(key).shift(1)).fill_null(True)
    return at - pl.when(begins).then(at).forward_fill()


def hashed(columns: Sequence[str], seed: int = 0) -> pl.Expr:
    """One number of 64 bits that stands for the values of these columns, null being one; text is slow to sort and join.

    Of a hundred million keys two meet with a chance of one in four thousand, and who makes some meet mixes up what the
    columns say is his own.
    """
    whole: pl.Expr = sum((pl.col(name).hash(seed + place) for place, name in enumerate(columns)), pl.lit(0, pl.UInt64))
    return whole


def side_by_side(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Positions that bring equal keys together, those of one key in their order; the keys are hashes, in no order.

    Sorting 16 bits is counting, which is ten times quicker than sorting 64; so upper halves are sorted, and then the
    few keys that have theirs in common.
    """
    digits = ((keys >> np.uint64(shift)).astype(np.uint16) for shift in (32, 48))
    order = np.argsort(next(digits), kind="stable")
    order = order[np.argsort(next(digits)[order], kind="stable")]
    found = keys[order]
    near = (found[1:] ^ found[:-1]) >> np.uint64(32) == 0
    mixed = near & (found[1:] != found[:-1])
    if mixed.any():
        run = np.cumsum(np.append(False, ~near))
        common = np.zeros(len(keys), bool)
        common[run[1:][mixed]] = True
        at = np.flatnonzero(common[run])
        order[at] = order[at][np.lexsort((found[at], run[at]))]
    return order


def by_digits(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The order of these numbers, equal ones in their order: by 16 bits at a time, without those that all share."""
    order = np.arange(len(values))
    differ = int(np.bitwise_or.reduce(values ^ values[:1], initial=np.uint64(0)))
    for shift in (0, 16, 32, 48):
        if differ >> shift & 0xFFFF:
            digit = (values >> np.uint64(shift)).astype(np.uint16)
            order = order[np.argsort(digit[order], kind="stable")]
    return order


def begins(ordered: NDArray[np.unsignedinteger]) -> NDArray[np.bool_]:
    """Where another key begins among keys side by side."""
    first = np.ones(len(ordered), bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return first


def last_before(marks: NDArray[np.bool_], *, inclusive: bool = False) -> NDArray[np.int64]:
    """Per position the last marked one before it, or up to it if inclusive; -1 where there is none."""
    at = np.where(marks, np.arange(len(marks)), -1)
    at = np.maximum.accumulate(at)
    if inclusive:
        return at
    at = np.roll(at, 1)
    at[:1] = -1
    return at
