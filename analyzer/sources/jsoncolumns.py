"""The fields of many records that were decoded from JSON, field by field as columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any

import polars as pl
from msgspec import Struct

from analyzer.sources.nested import Nested

NESTED = frozenset(
    {
        *("host", "kubernetes", "labels", "fields", "resource", "file", "source_location"),
        *("systemd", "syslog", "process"),
    }
)
"""Fields that are objects, of which few are distinct."""


class Columns(Struct, frozen=True):
    """The fields of many rows, field by field: as values, and as objects of which few are distinct."""

    plain: dict[str, list[Any]]
    nested: dict[str, Nested]

    def __getitem__(self, name: str) -> list[Any] | Nested:
        return self.nested[name] if name in self.nested else self.plain[name]


def columns_of(rows: Sequence[Any]) -> Columns:
    made = {name: list(map(attrgetter(name), rows)) for name in type(rows[0]).__struct_fields__}
    return Columns(made, {name: Nested(made.pop(name)) for name in NESTED & made.keys()})


def by_distinct(texts: pl.Series, make: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """What is made of each text, where few are distinct."""
    distinct = texts.unique().drop_nulls()
    return texts.replace_strict(distinct, make(distinct), default=None, return_dtype=pl.String)


def none(values: Sequence[Any] | Nested) -> bool:
    return values.none if isinstance(values, Nested) else values.count(None) == len(values)


def there(values: Sequence[Any] | Nested) -> pl.Series:
    """Which of the values are not null."""
    if isinstance(values, Nested):
        return values.spread(there)
    return pl.Series([value is not None for value in values], dtype=pl.Boolean)


def strings(values: Sequence[Any] | Nested, pick: Callable[[Any], object] | None = None) -> pl.Series:
    """Those values, or what is picked of them, that are text; null for the others."""
    if isinstance(values, Nested):
        return values.spread(lambda distinct: strings(distinct, pick))
    if none(values):
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(values))
    if pick is not None:
        values = [None if value is None else pick(value) for value in values]
    # one look spares many a failed try: what is no text in one record is mostly none in any
    if isinstance(next((value for value in values if value is not None), ""), str):
        with suppress(TypeError, pl.exceptions.PolarsError):
            return pl.Series(values, dtype=pl.String, strict=True)
    return pl.Series([value if isinstance(value, str) else None for value in values], dtype=pl.String)


def inside(keys: tuple[str, ...], *path: str) -> Callable[[Any], object]:
    """The first of these keys of an object that is text, or an object with a name (Filebeat: `pod: {name}`)."""

    def pick(value: Any) -> object:
        place = dig(value, *path)
        if not isinstance(place, dict):
            return None
        for key in keys:
            found = place.get(key)
            found = found.get("name") if isinstance(found, dict) else found
            if isinstance(found, str) and found:
                return found
        return None

    return pick


def dig(value: Any, *path: str) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def bytes_as_text(message: object) -> object:
    """journald gives a list of byte values where a message is not UTF-8, and a list of values where it has several."""
    if not isinstance(message, list):
        return message
    if message and all(isinstance(part, str) for part in message):
        return "\n".join(message)
    if all(isinstance(byte, int) and 0 <= byte < 256 for byte in message):
        return bytes(message).decode("utf-8", "replace")
    return None
