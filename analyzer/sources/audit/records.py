"""The records of an input that is not one event a line: JSON texts with the number by which each can be quoted."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
import polars as pl
from msgspec import Raw

from analyzer.sources.audit import csvrows, yamldocs
from analyzer.sources.audit.around import Around, server_around
from analyzer.sources.audit.shape import Kind, Shape
from analyzer.sources.audit.split import Element, elements
from analyzer.sources.contract import ByteStream, Ledger
from analyzer.sources.lines import chunks, windows

Numbered = list[tuple[int, bytes]]

_ATTRIBUTE = re.compile(rb'\{\s*(?:\}|"(?:string|int|bool|double|bytes|array|kvlist)Value")')
"""An attribute of the resource, which lies as deep as the log records."""


def records(stream: ByteStream, ledger: Ledger, shape: Shape) -> Iterator[Numbered]:
    """Batches of records. The number is the line on which a record begins, or its place in a list."""
    if shape.kind is Kind.YAML:
        return yamldocs.documents(windows(stream, ledger), ledger)
    if shape.kind is Kind.CSV:
        return csvrows.rows(windows(stream, ledger), ledger)
    # An envelope is opened here, record by record, and what holds no events is told; nobody else makes lines of it.
    return numbered(elements(chunks(stream, ledger), ledger, shape.base), shape)


def numbered(batches: Iterator[list[Element]], shape: Shape) -> Iterator[Numbered]:
    """The elements of a document as records."""
    if shape.kind is Kind.TABLES:
        yield from _table_rows(batches)
        return
    others = 0
    for batch in batches:
        found: Numbered = []
        for one in batch:
            if shape.wanted not in one.data or (shape.kind is Kind.OTLP and _ATTRIBUTE.match(one.data)):
                others += 1
            else:
                found.append((one.ordinal - others if shape.base else one.line, one.data))
        yield found


def deliveries(stream: ByteStream, ledger: Ledger, shape: Shape) -> Iterator[tuple[Numbered, pl.Series]]:
    """Batches of the log events that a subscription delivered, and for each the server that its stream names."""
    for batch in elements(chunks(stream, ledger), ledger, shape.base, Around()):
        known = {text: server_around(text) for text in {one.around for one in batch}}
        names = pl.Series([known[one.around] for one in batch], dtype=pl.String)
        yield [(one.ordinal, one.data) for one in batch], names


def _table_rows(batches: Iterator[list[Element]]) -> Iterator[Numbered]:
    """Rows as objects: `{"tables": [{"name", "columns": [{"name", "type"}], "rows": [[...]]}]}`, the answer of the Log
    Analytics query API. The place of a row is that among all rows."""
    columns: list[str] = []
    number, open_ = 0, False
    for batch in batches:
        found: Numbered = []
        for one in batch:
            if one.data[:1] == b"[":
                number, open_ = number + 1, True
                found.append((number, _row(one.data, columns)))
            elif name := _column(one.data):
                columns, open_ = ([*columns, name] if not open_ else [name]), False
        yield found


def _row(data: bytes, columns: list[str]) -> bytes:
    try:
        values = msgspec.json.decode(data, type=list[Raw])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return data
    return msgspec.json.encode(dict(zip(columns, values, strict=False)))


def _column(data: bytes) -> str:
    try:
        told = msgspec.json.decode(data, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""
    name = told.get("name", told.get("ColumnName"))
    return name if isinstance(name, str) else ""
