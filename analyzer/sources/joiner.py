"""Joins the parts of lines that a container runtime cut, also across windows."""

from __future__ import annotations

import polars as pl

from analyzer.sources.contract import Ledger

PARTIAL_LIMIT = 8 << 20
"""Bytes of one line joined from parts. An audit event of 2 MB was recorded; runtimes cut lines at 16 KiB."""

GROUP = ("host", "pod", "container", "stream")
"""What parts of one line have in common, as far as the wrapper tells it."""


class Joiner:
    """Joins the parts of a line. A part belongs to the next part of the same pod and stream."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._held: pl.DataFrame | None = None

    @property
    def holds(self) -> bool:
        return self._held is not None

    def join(self, frame: pl.DataFrame) -> pl.DataFrame:
        if self._held is not None:
            frame = pl.concat([self._held, frame], how="diagonal")
            self._held = None
        if not frame["partial"].any():
            return frame
        pods = [pl.col(name) for name in GROUP if name in frame.columns]
        # a line's parts share the count of whole lines (of their pod and stream) that ended before them
        before = (~pl.col("partial")).cast(pl.Int64).cum_sum() - (~pl.col("partial")).cast(pl.Int64)
        frame = frame.with_columns((before.over(pods) if pods else before).alias("line"))
        group = ["line", *(name for name in GROUP if name in frame.columns)]
        split = pl.len().over(group) > 1
        frame = frame.with_columns((split | pl.col("partial")).alias("split"))
        whole, parts = frame.filter(~pl.col("split")), frame.filter(pl.col("split"))
        others = [c for c in frame.columns if c not in {*group, "number", "text", "line_bytes", "partial", "split"}]
        joined = (
            parts.group_by(group, maintain_order=True)
            .agg(
                pl.col("number").first(),
                pl.col("text").str.join(""),
                pl.col("line_bytes").sum(),
                pl.col("partial").last(),
                *(pl.col(name).last() for name in others),
            )
            .select(pl.exclude("line"))
        )
        still = joined.filter("partial")
        self._hold(still)
        done = pl.concat([whole.select(joined.columns), joined.filter(~pl.col("partial"))])
        if self._held is None and still.height:
            done = pl.concat([done, still])
        return done.sort("number")

    def _hold(self, still: pl.DataFrame) -> None:
        """Keep what is unfinished, unless it has grown beyond all measure."""
        if not still.height:
            return
        if int(still["text"].str.len_bytes().sum()) <= PARTIAL_LIMIT:
            self._held = still
        else:
            self._ledger.note(
                f"line {still['number'][0]}: the parts of a line exceed {PARTIAL_LIMIT >> 20} MiB and were not joined"
            )

    def rest(self) -> pl.DataFrame | None:
        if self._held is not None:
            self._ledger.note(f"line {self._held['number'][0]}: a line split into parts has no end")
        return self._held
