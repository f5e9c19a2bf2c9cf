"""Which messages of a direction are new: neither sent again nor bytes of the body of the message before."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

REMEMBERED_MOST = 1 << 15
"""Messages that the next window's are compared with; what is sent again comes within seconds."""

ENDS = ("version", "src_high", "src_low", "dst_high", "dst_low", "src_port", "dst_port")
"""What tells the direction of a connection."""
_KEY = list(ENDS)
_COLUMNS = [*_KEY, "seq", "head", "length"]
_ROUND = 1 << 32


@dataclass(slots=True)
class Sequences:
    """Goes from window to window. Copies at other interfaces are no concern of it."""

    _known: pl.DataFrame | None = field(default=None)

    def fresh(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Those of the rows, in file order, that are new. `seq` is where a message begins, `head` and `length` how long
        its head and all of it are."""
        indexed = rows.with_row_index("row")
        own = indexed.filter(~pl.col("duplicate")).select(*_COLUMNS, pl.col("row").cast(pl.Int64))
        before = own.clear() if self._known is None else self._known
        both = pl.concat([before, own])
        stale = _again(both)
        inside = _inside(both, stale)
        # A look-alike in a body tells no length: look once more without those that the first look found.
        inside = _inside(both, stale | inside)
        old = stale | inside
        kept = both.filter(~old)
        self._known = kept.tail(REMEMBERED_MOST).with_columns(row=pl.lit(-1, pl.Int64))
        gone = both.filter(old).filter(pl.col("row") >= 0)["row"]
        return rows if not gone.len() else indexed.filter(~pl.col("row").is_in(gone.implode())).drop("row")


def _again(both: pl.DataFrame) -> pl.Series:
    """Rows that begin where another of their direction began."""
    return both.select(~pl.struct(*_KEY, "seq").is_first_distinct()).to_series()


def _inside(both: pl.DataFrame, out: pl.Series) -> pl.Series:
    """Rows that begin inside the body of the last message before them, those that are `out` not asked."""
    claims = (pl.col("length") > pl.col("head")) & ~pl.col("out")
    marked = both.with_columns(out=out)
    if not marked.select(claims.any()).item():
        return pl.Series([False], dtype=pl.Boolean).new_from_index(0, both.height)
    last = {name: pl.when(claims).then(name).forward_fill().shift(1).over(_KEY) for name in ("seq", "head", "length")}
    past = (pl.col("seq") - last["seq"]) % _ROUND
    return marked.select(((past > last["head"]) & (past < last["length"])).fill_null(False)).to_series()
