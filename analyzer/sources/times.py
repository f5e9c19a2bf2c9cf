"""Times as logs write them, made UTC."""

from __future__ import annotations

import polars as pl

from analyzer.frames.contract import TIME


def parse_rfc3339(text: pl.Series) -> pl.Series:
    """RFC 3339 text with any number of decimals and any zone as UTC; null where it is none."""
    day = text.str.head(19).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)
    rest = text.str.slice(19)
    decimals = rest.str.strip_suffix("Z").str.head(7)
    micros = decimals.str.slice(1).str.pad_end(6, "0").cast(pl.Int64, strict=False)
    told = decimals.str.starts_with(".") & ~decimals.str.contains_any(["+", "-"])
    plain = rest.str.ends_with("Z") & ((rest == "Z") | (told & micros.is_not_null()))
    fast = (day.cast(pl.Int64) + micros.fill_null(0)).cast(TIME)
    odd = (~plain & day.is_not_null()).fill_null(False)
    if not odd.any():
        return fast
    slow = text.filter(odd).str.replace(",", ".", literal=True)
    parsed = slow.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", strict=False).cast(TIME)
    return fast.scatter(odd.arg_true(), parsed)
