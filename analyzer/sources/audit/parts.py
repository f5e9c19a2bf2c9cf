"""The parts of many events as columns: each distinct text of a part is decoded once, and joined back to its events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import polars as pl
from msgspec import Raw

from analyzer.sources.audit.event import NO_BODY, PARTS, Event, ObjectRef

_NULL = Raw(b"null")


@dataclass(frozen=True, slots=True)
class Part:
    """`keys` holds the text of this part of each event, '' where it is absent; `texts` and `values` what is distinct."""

    keys: pl.Series
    texts: pl.Series
    values: list[Any]

    def spread(self, columns: Callable[[list[Any]], pl.DataFrame]) -> pl.DataFrame:
        """The columns made of the distinct values, for each event."""
        distinct = columns(self.values)
        if distinct.height == 1:
            return distinct.select(pl.all().gather(pl.repeat(0, len(self.keys), dtype=pl.UInt32)))
        return (
            pl.DataFrame({"key": self.keys})
            .join(distinct.with_columns(self.texts.alias("key")), on="key", how="left", maintain_order="left")
            .drop("key")
        )


def parts_of(events: Sequence[Event], *, one_line: bool) -> dict[str, Part]:
    """The decoded parts of the events, by the name of their field.

    `one_line` says that no part holds a line break, as in events that stood in a line each. Raises msgspec.DecodeError
    (or ValidationError, which is one) and UnicodeDecodeError where a part is not what PARTS says.
    """
    # comprehensions, for they are several times as fast as getattr here
    raws = {
        "api_version": [event.api_version for event in events],
        "level": [event.level for event in events],
        "stage": [event.stage for event in events],
        "verb": [event.verb for event in events],
        "user": [event.user for event in events],
        "impersonated": [event.impersonated for event in events],
        "source_ips": [event.source_ips for event in events],
        "user_agent": [event.user_agent for event in events],
        "status": [event.status for event in events],
        "metadata": [event.metadata for event in events],
        "annotations": [event.annotations for event in events],
        "collector_level": [event.collector_level for event in events],
    }
    return {name: _part(parts, PARTS[name], one_line) for name, parts in raws.items()}


def refs_of(events: Sequence[Event], *, one_line: bool) -> list[ObjectRef | None]:
    """The object of each event: most are distinct, so each is decoded by itself. Raises as `parts_of` does."""
    decoder, raws = PARTS["object_ref"], [event.object_ref for event in events]
    if not one_line:
        return [None if raw is NO_BODY else decoder.decode(raw) for raw in raws]
    joined = b"\n".join(raws)
    if NO_BODY in raws:
        joined = b"\n".join([raw if raw is not NO_BODY else _NULL for raw in raws])
    refs = decoder.decode_lines(joined)
    if len(refs) != len(events):
        raise msgspec.DecodeError("a part of an event is not one value")
    return refs


def _part(raws: list[Raw], decoder: msgspec.json.Decoder[Any], one_line: bool) -> Part:
    count = len(raws)
    if one_line:
        joined = b"\n".join(raws)
        if len(joined) == max(count - 1, 0):  # absent from every event
            return Part(pl.repeat("", count, dtype=pl.String, eager=True), pl.Series([""], dtype=pl.String), [None])
        keys = pl.Series("key", [joined.decode()]).str.split("\n").explode()
    else:
        keys = pl.Series("key", [bytes(raw).replace(b"\n", b" ").decode() for raw in raws], dtype=pl.String)
    texts = keys.unique()
    told = texts.to_list()
    values = decoder.decode_lines("\n".join(text or "null" for text in told))
    if len(values) != len(told) or len(keys) != count:
        raise msgspec.DecodeError("a part of an event is not one value")
    return Part(keys, texts, values)
