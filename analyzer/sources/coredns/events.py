"""What CoreDNS and NodeLocal DNSCache say of themselves: starts, reloads, readiness, the API server, crashes."""

from __future__ import annotations

import numpy as np
import polars as pl
from msgspec import Struct, field

from analyzer.frames import COREDNS_EVENTS
from analyzer.sources.coredns.eventkinds import BUILD, CONTINUES, IMAGE, TEXT_LIMIT, VERSION, kind_of
from analyzer.sources.coredns.values import none_of
from analyzer.sources.lines import Numbers


class Events(Struct):
    """Takes the events out of the lines of one log, window after window; knows what was left open."""

    _open: tuple[str, str | None] | None = field(default=None)

    def take(self, lines: pl.DataFrame, others: Numbers) -> tuple[pl.DataFrame, int, pl.DataFrame]:
        """COREDNS_EVENTS without what is put to every row at the end, how many lines continue an event, the rest.

        `others` are the sorted numbers of the lines that are rows already: none may lie inside a Corefile.
        """
        if not lines.height:
            self._open = None if len(others) else self._open
            return none_of(COREDNS_EVENTS), 0, lines
        marked = self._mark(lines, others)
        mine = marked.filter(pl.col("event").is_not_null())
        rows = _rows(mine)
        rest = marked.filter(pl.col("event").is_null()).select(lines.columns)
        return rows, mine["kind"].null_count(), rest

    def close(self) -> None:
        """Rows of another kind came: nothing is continued."""
        self._open = None

    def _mark(self, lines: pl.DataFrame, others: Numbers) -> pl.DataFrame:
        """`kind` of the lines that begin an event; `event`, the number of that line, for it and what continues it."""
        numbers = lines["number"].to_numpy()
        frame = lines.with_columns(
            kind_of(lines["text"]),
            pl.Series("between", np.searchsorted(others, numbers)),
            pl.coalesce("pod", pl.lit("")).alias("who"),
        )
        opened, who = self._open or (None, None)
        last = frame.with_columns(
            opened=pl.col("kind").forward_fill().over("who"),
            begun=pl.when(pl.col("kind").is_not_null()).then("number").forward_fill().over("who"),
            since=pl.when(pl.col("kind").is_not_null()).then("between").forward_fill().over("who"),
        ).with_columns(
            pl.coalesce("opened", pl.when(pl.col("who") == (who or "")).then(pl.lit(opened))),
            pl.col("begun").fill_null(0),
            pl.col("since").fill_null(0),
        )
        fits = pl.lit(False)
        for kind, form in CONTINUES.items():
            shaped = pl.col("text").str.contains(form)
            if kind == "corefile":
                shaped &= (pl.col("since") == pl.col("between")) & ~pl.col("text").str.contains(r"^\[[A-Z]+\] ")
            fits |= (pl.col("opened") == kind) & shaped
        begins = pl.col("kind").is_not_null()
        marked = last.with_columns(pl.when(begins).then("number").when(fits).then("begun").alias("event"))
        end = marked.row(-1, named=True)
        ended = end["event"] is None or end["between"] < len(others)
        self._open = None if ended else (end["opened"], end["who"] or None)
        return marked


def _rows(mine: pl.DataFrame) -> pl.DataFrame:
    """One row per event: the lines before the window that they continue have theirs already."""
    text = pl.col("text")
    firsts = mine.filter(pl.col("kind").is_not_null())
    if not firsts.height:
        return none_of(COREDNS_EVENTS)
    if firsts.height < mine.height:
        after = (
            mine.filter(pl.col("kind").is_null())
            .group_by("event")
            .agg(
                text.head(64).str.head(TEXT_LIMIT).str.join("\n").alias("more"),
                pl.len().cast(pl.Int64).alias("further"),
                pl.col("line_bytes").sum().alias("bytes"),
            )
        )
        firsts = firsts.join(after, left_on="number", right_on="event", how="left", maintain_order="left")
    else:
        firsts = firsts.with_columns(more=pl.lit(None, pl.String), further=pl.lit(0, pl.Int64))
    listen = pl.when(pl.col("kind") == "listen")
    version = [text.str.extract(pattern, 1) for pattern in (VERSION, BUILD, IMAGE)]
    whole = pl.concat_str(text, pl.col("more"), separator="\n", ignore_nulls=True)
    return firsts.select(
        "time",
        "number",
        "kind",
        _severity().alias("severity"),
        text.str.extract(r"^(?:\[[A-Z]+\] )?plugin/([a-z0-9_]+): ", 1).alias("plugin"),
        whole.str.head(TEXT_LIMIT).alias("text"),
        pl.coalesce(version).alias("version"),
        listen.then(text.str.extract(r" on \[?([^\] ]+?)\]?(?::[0-9]+)?$", 1)).alias("address"),
        (pl.col("further").fill_null(0) + 1).cast(pl.Int64).alias("lines"),
        "pod",
    )


def _severity() -> pl.Expr:
    """The level before the text, or klog's letter."""
    text = pl.col("text")
    letters = {"I": "INFO", "W": "WARNING", "E": "ERROR", "F": "FATAL"}
    letter = pl.when(pl.col("kind") == "klog").then(text.str.head(1))
    return pl.coalesce(
        text.str.extract(r"^\[(DEBUG|INFO|WARNING|ERROR|FATAL|PANIC)\] ", 1),
        letter.replace_strict(letters, default=None, return_dtype=pl.String),
    )
