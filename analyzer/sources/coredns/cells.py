"""The current format of the log plugin, cut at its spaces by a CSV reader: every line of a window in one pass."""

from __future__ import annotations

import polars as pl

from analyzer.frames import COREDNS_QUERIES, NO_REPLY, TIME
from analyzer.sources.coredns.values import (
    ANSWER_LIMIT,
    DURATION_LIMIT,
    FLAGS,
    NAME_LIMIT,
    QTYPE,
    RCODE,
    clients,
    fits,
    modern,
    none_of,
)

_CELLS: dict[str, pl.DataType] = {
    **dict.fromkeys(("level", "client", "dash"), pl.String()),
    "id": pl.Int64(),
    **dict.fromkeys(("qtype", "class", "name", "transport"), pl.String()),
    "query": pl.Int64(),
    **dict.fromkeys(("do", "buffer", "rcode", "flags"), pl.String()),
    "answer": pl.Int64(),
    **dict.fromkeys(("duration", "opcode", "more"), pl.String()),
}
"""The current format, split at spaces."""

_UNUSED = {"class", "dash", "do", "buffer", "more", "stream"}
"""Cells that only hold others in their places."""


def split_cells(data: bytes, lead: tuple[str, ...]) -> pl.DataFrame:
    """Lines split at spaces, as many rows as lines that are not blank; null where a cell is absent or no number."""
    schema = {**dict.fromkeys(lead, pl.String()), **_CELLS}
    if not data.strip():
        data = b""
    duration = pl.col("duration")
    cells = pl.read_csv(
        data,
        separator=" ",
        has_header=False,
        schema=schema,
        columns=[at for at, name in enumerate(schema) if name not in _UNUSED],
        quote_char=None,
        encoding="utf8-lossy",
        ignore_errors=True,
        truncate_ragged_lines=True,
        missing_columns="insert",
        extra_columns="ignore",
        raise_if_empty=False,
    )
    seconds = duration.str.strip_suffix("s").cast(pl.Float64, strict=False)
    return cells.with_columns(pl.when(duration.str.ends_with("s")).then(seconds).alias("seconds"))


def cell_rows(place: pl.DataFrame, cells: pl.DataFrame, escapes: bool) -> tuple[pl.DataFrame, pl.Series]:
    """COREDNS_QUERIES without `source`, and which rows are what they should be; others hold anything."""
    if not cells.height:
        return none_of(COREDNS_QUERIES), pl.Series([], dtype=pl.Boolean)
    client, port = clients(cells["client"])
    qtype = cells["qtype"].str.slice(1)
    forms = (
        fits(cells["rcode"], RCODE)
        & fits(cells["flags"], FLAGS)
        & fits(qtype, QTYPE)
        & cells["qtype"].str.starts_with('"')
    )
    # CoreDNS lower-cases names itself, so looking is cheaper than doing it again
    name = cells["name"].str.to_lowercase() if cells["name"].str.contains("[A-Z]").any() else cells["name"]
    name = name.str.replace_all("\\ ", "\\032", literal=True) if escapes else name
    table = pl.concat(
        [place.select("number", "time", "line_bytes", "pod"), cells.drop("pod", strict=False)], how="horizontal"
    )
    made = (
        table.lazy()
        .with_columns(client=client, client_port=port, qtype=modern(qtype), forms=forms, name=name)
        .select(*_QUERY_COLUMNS, _VALID.fill_null(False).alias("valid"))
        .collect()
    )
    return made.drop("valid"), made["valid"]


_took = pl.duration(microseconds=(pl.col("seconds") * 1e6).round(0).cast(pl.Int64, strict=False))

_QUERY_COLUMNS = (
    pl.col("time"),
    pl.col("number"),
    (pl.col("time") - _took).cast(TIME).alias("query_time"),
    pl.col("client"),
    pl.col("client_port"),
    pl.col("id").cast(pl.Int32, strict=False).alias("dns_id"),
    pl.col("name").str.strip_suffix("."),
    pl.col("qtype"),
    pl.col("transport"),
    pl.when(pl.col("flags") == "-").then(pl.lit(NO_REPLY)).otherwise("rcode").alias("rcode"),
    pl.col("flags"),
    pl.col("query").alias("query_bytes"),
    pl.col("answer").alias("answer_bytes"),
    pl.col("seconds").alias("duration_seconds"),
    pl.col("line_bytes"),
    pl.col("pod"),
)

_VALID = pl.all_horizontal(
    pl.col("level") == "[INFO]",
    pl.col("forms"),
    pl.col("client").is_not_null(),
    pl.col("client_port").is_not_null(),
    pl.col("id").is_between(0, 65_535),
    pl.col("query").is_between(0, 65_535),
    pl.col("answer").is_between(0, ANSWER_LIMIT),
    # also false for NaN and infinity, which the cast lets through
    pl.col("seconds").is_between(0.0, DURATION_LIMIT),
    (pl.col("transport") == "udp") | (pl.col("transport") == "tcp"),
    pl.col("name").str.ends_with("."),
    pl.col("name").str.len_bytes() <= NAME_LIMIT,
    pl.col("opcode").is_null() | pl.col("opcode").str.starts_with('"'),
)
