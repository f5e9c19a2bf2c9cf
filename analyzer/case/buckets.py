"""Which bucket of a case directory a row belongs to: a hash of what its table is grouped by.

All rows of one client, one connection, one user agent lie in one bucket, so that whatever needs a whole group can be
derived bucket by bucket. The hash is written down here (CRC-32 of the text, then arithmetic), because polars' own may
differ from version to version and a case may be written by several machines.
"""

from __future__ import annotations

import zlib

import polars as pl

from analyzer.frames import Table

BUCKETS = 16
"""Buckets of a case: at 50 million packets one holds three million, which is some 300 MB."""

_ODD = 2654435761
"""Knuth's multiplicative constant (the golden ratio of 2^32): spreads neighbouring values."""


def bucket_of(table: Table, frame: pl.DataFrame) -> pl.Series:
    """The bucket of each row, from 0 to BUCKETS - 1."""
    group = table.group
    if not group:
        return pl.Series([0], dtype=pl.UInt32).new_from_index(0, frame.height)
    if group == "connection":
        value = _end(frame, "src") + _end(frame, "dst")
    elif group == "asker":
        asker = pl.when("response").then("dst").otherwise("src")
        value = _hashed(frame.select(asker.alias("asker"))["asker"])
    else:
        value = _hashed(frame[group])
    spread = pl.DataFrame({"value": value}).select(
        ((pl.col("value") % (1 << 32) * _ODD) % (1 << 32) // (1 << 16) % BUCKETS).cast(pl.UInt32)
    )
    return spread.to_series()


def _end(frame: pl.DataFrame, name: str) -> pl.Series:
    """Both ends of a connection count alike, whoever sent the packet."""
    return _hashed(frame[name]) + frame[f"{name}_port"].cast(pl.Int64).fill_null(-1) * _ODD % (1 << 32)


def _hashed(texts: pl.Series) -> pl.Series:
    distinct = texts.unique()
    hashes = [0 if text is None else zlib.crc32(text.encode()) for text in distinct.to_list()]
    return texts.replace_strict(distinct, pl.Series(hashes, dtype=pl.Int64), return_dtype=pl.Int64)
