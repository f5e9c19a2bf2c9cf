"""Kernel messages placed in time and handed over: seconds since boot become UTC where the log tells when that was."""

from __future__ import annotations

import polars as pl

from analyzer.frames import KERNEL_MESSAGES, TIME
from analyzer.sources.contract import Item, Ledger

BOOT_FALL = 60.0
"""Seconds by which the time since boot must fall to be another boot; CPUs print less than that out of order
[an engineering default]."""

_RTC = r"setting system clock to [0-9-]{10}[T ][0-9:]{8} UTC \(([0-9]{1,11})\)$"
"""`rtc_cmos 00:01: setting system clock to 2024-05-07T11:22:33 UTC (1715080953)` (drivers/rtc/hctosys.c, class.c)."""


class KernelRows:
    """Finishes the rows of one input, window after window, and says at the end what they lack."""

    def __init__(self, item: Item, ledger: Ledger) -> None:
        self._item, self._ledger = item, ledger
        self._last, self._offset = 0.0, None  # type: float, int | None
        self._placed = self._unplaced = self._timeless = self._suppressed = 0
        self._told_by: int | None = None

    def finish(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows of KERNEL_MESSAGES with their source and, where it can be told, a time; they are used."""
        bare = rows["time"].is_null() & rows["monotonic_seconds"].is_not_null()
        if rows["monotonic_seconds"].is_not_null().any():
            rows = self._place(rows)
        left_out = rows.filter(pl.col("kind") == "suppressed")["count"].sum()
        self._suppressed = min(self._suppressed + int(left_out), 1 << 62)
        null = rows["time"].is_null()
        self._placed += int((bare & ~null).sum())
        self._unplaced += int((bare & null).sum())
        self._timeless += int((~bare & null).sum())
        self._ledger.use(rows.height)
        self._ledger.span(rows["time"].min(), rows["time"].max())  # type: ignore[arg-type]  # untyped by polars
        return KERNEL_MESSAGES.check(rows.with_columns(pl.lit(self._item.id).alias("source")).lazy()).collect()

    def tell(self) -> None:
        """Notes on the whole input."""
        note = self._ledger.note
        if self._placed:
            note(
                f"{self._placed} kernel messages have seconds since boot only and were placed by lines that also tell "
                f"the time of day, first line {self._told_by}; a clock that was set between them is not seen"
            )
        if self._unplaced:
            note(
                f"{self._unplaced} kernel messages have seconds since boot only, and nothing tells when that was: they "
                "have no time (dmesg --time-format iso and journalctl -k print it)"
            )
        if self._timeless:
            note(f"{self._timeless} kernel messages have no time at all: counts and order only")
        if self._suppressed:
            note(
                f"the kernel left out {self._suppressed} messages by its rate limits (`callbacks suppressed`): counts "
                "from this log are lower bounds"
            )

    def _place(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The offset from the time since boot to UTC is that of the last line that tells it, or of the next one."""
        there = rows.filter(pl.col("monotonic_seconds").is_not_null())
        since = pl.col("monotonic_seconds")
        fell = since < since.shift(1, fill_value=self._last) - BOOT_FALL
        first = (pl.col("kind") == "boot") & (since < 1)
        own = pl.when(pl.col("text").str.starts_with("audit: ")).then("audit_time")
        rtc = pl.col("text").str.extract(_RTC, 1).cast(pl.Int64, strict=False) * 1_000_000
        told = pl.coalesce(rtc, own.cast(pl.Int64), pl.col("time").cast(pl.Int64))
        micros = (since * 1_000_000).cast(pl.Int64)
        there = there.select(
            "number", micros.alias("micros"), (fell | first).cum_sum().alias("boot"), (told - micros).alias("offset")
        )
        if self._offset is not None and not there["offset"].is_not_null()[0]:
            known = pl.when((pl.int_range(pl.len()) == 0) & (pl.col("boot") == 0)).then(self._offset)
            there = there.with_columns(pl.coalesce("offset", known).alias("offset"))
        if self._told_by is None and there["offset"].is_not_null().any():
            self._told_by = int(there.filter(pl.col("offset").is_not_null())["number"][0])
        offset = pl.col("offset").forward_fill().over("boot").backward_fill().over("boot")
        there = there.with_columns(offset.alias("offset"))
        self._last, self._offset = float(there["micros"][-1]) / 1_000_000, there["offset"][-1]
        placed = there.select("number", (pl.col("micros") + pl.col("offset")).cast(TIME).alias("placed"))
        joined = rows.join(placed, on="number", how="left", maintain_order="left")
        return joined.with_columns(pl.coalesce("time", "placed").alias("time")).drop("placed")
