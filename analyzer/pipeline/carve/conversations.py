"""Which frames stand around the quoted ones: those of the same conversations, nearest in time first.

A conversation is a protocol and two ends, as the table of packets tells them: of a tunnelled frame the inner packet.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import numpy as np
import polars as pl

from analyzer.case import Rows

NEAR = timedelta(minutes=1)
"""How far around the quoted frames is looked: the first retransmissions of a connection take less."""

BESIDE = 128
"""Bytes that a frame takes in a capture beside its own: block, comment, padding."""

_FIVE = ("protocol", "src", "src_port", "dst", "dst_port")


def around(
    rows: Rows, source: str, quoted: Mapping[int, frozenset[int]], frames: int, size: int
) -> dict[int, dict[int, int]]:
    """For each finding the frames of the conversations that it quotes, the nearest first, each with the bytes that it
    takes as far as the table tells: at most so many frames and bytes in all. `quoted`: numbers by finding."""
    every = frozenset().union(*quoted.values())
    parts = rows.buckets or (rows.frame,)
    told = pl.concat([_told(part, source, every) for part in parts])
    if not told.height:
        return {}
    talks = _conversations(told)
    spans = (
        told.join(talks, on=_FIVE, nulls_equal=True)
        .group_by("conversation")
        .agg(first=pl.col("time").min() - NEAR, last=pl.col("time").max() + NEAR)
    )
    spanned = talks.join(spans, on="conversation")
    near = pl.concat([_near(part, source, spanned) for part in parts]).sort("conversation", "time", "number")
    anchors = near.with_row_index("place").filter(pl.col("number").is_in(sorted(every)))
    return {at: _nearest(near, anchors, numbers, frames, size) for at, numbers in sorted(quoted.items())}


def _told(rows: pl.LazyFrame, source: str, numbers: frozenset[int]) -> pl.DataFrame:
    wanted = pl.col("number").is_in(sorted(numbers)) & pl.col("time").is_not_null()
    return rows.filter(pl.col("source") == source, wanted).select("number", "time", *_FIVE).collect()


def _conversations(told: pl.DataFrame) -> pl.DataFrame:
    """Both directions of each conversation, with its number. The rows are as few as the quoted frames."""
    known: dict[object, int] = {}
    sides: dict[tuple[object, ...], int] = {}
    for protocol, src, src_port, dst, dst_port in told.sort("number").select(_FIVE).iter_rows():
        ends = sorted([(src or "", src_port or -1), (dst or "", dst_port or -1)])
        number = known.setdefault((protocol, *ends), len(known))
        sides[protocol, src, src_port, dst, dst_port] = number
        sides[protocol, dst, dst_port, src, src_port] = number
    schema = {name: told.schema[name] for name in _FIVE} | {"conversation": pl.Int64()}
    return pl.DataFrame([(*side, number) for side, number in sides.items()], schema=schema, orient="row")


def _near(rows: pl.LazyFrame, source: str, talks: pl.DataFrame) -> pl.DataFrame:
    """Frames of these conversations within their spans. `cost`: bytes that are kept of each, at most."""
    headers = pl.col("wire_bytes") - pl.when(protocol="TCP").then(pl.col("payload_bytes").fill_null(0)).otherwise(0)
    return (
        rows.filter(pl.col("source") == source)
        .join(talks.lazy(), on=_FIVE, nulls_equal=True)
        .filter(pl.col("time").is_between("first", "last"))
        .select("conversation", "number", "time", cost=headers.clip(0) + BESIDE)
        .collect()
    )


def _nearest(
    near: pl.DataFrame, anchors: pl.DataFrame, numbers: frozenset[int], frames: int, size: int
) -> dict[int, int]:
    """Looks only at as many rows around each quoted one as may be taken: a conversation may have millions."""
    mine = anchors.filter(pl.col("number").is_in(sorted(numbers)))
    reach = np.arange(-frames - len(numbers), frames + len(numbers) + 1)
    around_each = mine["place"].to_numpy().astype(np.int64)[:, None] + reach
    places = np.unique(around_each[(around_each >= 0) & (around_each < near.height)])
    talks = mine["conversation"].unique().to_list()
    others = near[places].filter(~pl.col("number").is_in(sorted(numbers)), pl.col("conversation").is_in(talks))
    if not others.height:
        return {}
    times = mine.select("conversation", "time", anchor="time").sort("time")
    found = (
        others.sort("time", "number")
        .join_asof(times, on="time", by="conversation", strategy="nearest", check_sortedness=False)
        .select("number", "cost", distance=(pl.col("time") - pl.col("anchor")).abs())
        .sort("distance", "number")
        .head(frames)
        .filter(pl.col("cost").cum_sum() <= size)
    )
    return dict(found.select("number", "cost").iter_rows())
