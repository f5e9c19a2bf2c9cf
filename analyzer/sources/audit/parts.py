"""The parts of many events as columns: each distinct text of a part is decoded once, and joined back to its events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import polars as pl
from msgspec import Raw, Struct

from analyzer.sources.audit.event import NO_BODY, PARTS, Event, ObjectRef

_NULL = Raw(b"null")

SAMPLE = 4096
"""Bytes in which the first two texts of a part are looked for, to see whether it may be the same for all."""

Columns = Callable[[list[Any]], list[pl.Series]]


class Part(Struct, frozen=True):
    """One part of many events: which of the distinct `values` each has; `places` is None where all have the first."""

    values: list[Any]
    places: pl.Series | None


class Parts(Struct, frozen=True):
    """The parts of `count` events by the name of their field."""

    count: int
    named: dict[str, Part]

    def values(self, name: str) -> list[Any]:
        """The distinct values of a part, None among them where an event has none."""
        return self.named[name].values

    def spread(self, wanted: Mapping[str, Columns]) -> list[pl.Series]:
        """The columns that are made of the distinct values of each part, for each event."""
        spread = list[pl.Series]()
        for name, columns in wanted.items():
            part = self.named[name]
            made = columns(part.values)
            if part.places is None:
                spread += [column.new_from_index(0, self.count) for column in made]
            else:
                spread += pl.DataFrame(made)[part.places].get_columns()
        return spread


def parts_of(events: Sequence[Event], *, one_line: bool) -> Parts:
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
        "openshift_level": [event.openshift_level for event in events],
    }
    return Parts(len(events), {name: _part(name, parts, one_line) for name, parts in raws.items()})


def _part(name: str, raws: list[Raw], one_line: bool) -> Part:
    if one_line:
        joined = b"\n".join(raws)
        first, _, rest = joined[:SAMPLE].partition(b"\n")
        if rest.startswith(first) and joined == b"\n".join([first] * len(raws)):
            return Part(decoded(name, [first]), None)
        texts = joined.split(b"\n")
    else:
        texts = [bytes(raw).replace(b"\n", b" ") for raw in raws]
    # a text that is not known yet gets the next number; no line of Python runs for the others
    seen: defaultdict[bytes, int] = defaultdict()
    seen.default_factory = seen.__len__
    places = list(map(seen.__getitem__, texts))
    if len(places) != len(raws):
        raise msgspec.DecodeError("a part of an event is not one line")
    return Part(decoded(name, list(seen)), pl.Series(places, dtype=pl.UInt32) if len(seen) > 1 else None)


def decoded(name: str, texts: list[bytes]) -> list[Any]:
    """The values of that part, b"" being none. Raises as `parts_of` does, also where a text is not one value."""
    values = PARTS[name].decode_lines(b"\n".join([text or b"null" for text in texts]))
    if len(values) != len(texts):
        raise msgspec.DecodeError("a part of an event is not one value")
    return values


def refs_of(events: Sequence[Event], *, one_line: bool) -> list[ObjectRef | None]:
    """The object of each event: most are distinct, so each is decoded by itself. Raises as `parts_of` does."""
    decoder, raws = PARTS["object_ref"], [event.object_ref for event in events]
    if not one_line:
        return [None if raw is NO_BODY else decoder.decode(raw) for raw in raws]
    if NO_BODY in raws:
        raws = [_NULL if raw is NO_BODY else raw for raw in raws]
    refs = decoder.decode_lines(b"\n".join(raws))
    if len(refs) != len(events):
        raise msgspec.DecodeError("a part of an event is not one value")
    return refs
