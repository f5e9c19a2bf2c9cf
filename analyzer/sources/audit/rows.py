"""Audit events on their way into the table: what many of them share, what each has for itself, and their bodies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Struct

from analyzer.sources.audit.body import Bodies, Cut
from analyzer.sources.audit.clock import Clocks, Texts
from analyzer.sources.audit.event import NO_BODY, Event, ObjectRef, request_bytes, response_bytes
from analyzer.sources.audit.parts import Parts, parts_of, refs_of

Integers = Sequence[int] | npt.NDArray[np.int64]

_NO_REF = ObjectRef()


class Singles(Struct, frozen=True):
    """What differs from event to event, as columns.

    `objects` are the columns of the object: api_group, resource, subresource, namespace, name. `times` are the times,
    or the texts `received`, `staged` and `timestamp` where they have to be read one by one. `collected` holds the
    values of those fields of a collector that any event has, b"" where one has not.
    """

    audit_id: pl.Series
    uri: pl.Series
    objects: list[pl.Series]
    times: Mapping[str, Texts] | Clocks
    collected: Mapping[str, list[bytes]]


class Rows(Struct):
    """Events of one batch with what is known of each beside its content.

    `numbers` are those of their lines, `sizes` their bytes, `request` and `response` those of their bodies. `grpc` says
    which codes were gRPC codes, `servers` who wrote the events as far as what is around them tells; None where nothing
    is around them.
    """

    numbers: Integers
    sizes: Integers
    request: Integers
    response: Integers
    parts: Parts
    singles: Singles
    bodies: Bodies
    grpc: list[bool] | None = None
    servers: list[str | None] | None = None


def rows_of(events: list[Event], numbers: Integers, sizes: Integers, cut: Cut | None = None, *, one_line: bool) -> Rows:
    """The rows of decoded events. `cut` finds the bodies that were taken out before.

    `one_line` says that no part holds a line break. Raises as `parts_of` does.
    """
    parts, refs = parts_of(events, one_line=one_line), refs_of(events, one_line=one_line)
    request, response = (cut.request, cut.response) if cut else np.zeros((2, len(events)), np.int64)
    asked, answered = [event.request_body for event in events], [event.response_body for event in events]
    if asked.count(NO_BODY) + answered.count(NO_BODY) < 2 * len(events):
        request = np.maximum(request, np.fromiter(map(request_bytes, events), np.int64, len(events)))
        response = np.maximum(response, np.fromiter(map(response_bytes, events), np.int64, len(events)))

    def bodies(place: int) -> tuple[bytes, bytes]:
        out, left = cut.bodies(place) if cut else (b"", b""), events[place]
        return out[0] or bytes(left.request_body), out[1] or bytes(left.response_body)

    return Rows(numbers, sizes, request, response, parts, _singles(events, refs), bodies)


def _singles(events: list[Event], refs: list[ObjectRef | None]) -> Singles:
    times = {
        "received": [event.received for event in events],
        "staged": [event.staged for event in events],
        "timestamp": [event.timestamp for event in events],
    }
    raws = {
        "log_source": [event.log_source for event in events],
        "tag": [event.tag for event in events],
        "filename": [event.filename for event in events],
        "file": [event.file for event in events],
    }
    return Singles(
        audit_id=text_column("audit_id", [event.audit_id for event in events]),
        uri=text_column("uri", [event.uri for event in events]),
        objects=_objects(refs),
        times=times,
        collected={name: list(map(bytes, told)) for name, told in raws.items() if told.count(NO_BODY) < len(events)},
    )


def _objects(refs: list[ObjectRef | None]) -> list[pl.Series]:
    """The columns of the objects; an absent group is the core group, an empty text is none."""
    objects = [ref or _NO_REF for ref in refs]
    return [
        text_column("api_group", [None if ref is None else ref.api_group or "" for ref in refs]),
        text_column("resource", [ref.resource or None for ref in objects]),
        text_column("subresource", [ref.subresource or None for ref in objects]),
        text_column("namespace", [ref.namespace or None for ref in objects]),
        text_column("name", [ref.name or None for ref in objects]),
    ]


def text_column(name: str, values: Sequence[str | None]) -> pl.Series:
    """A column of texts, which all may be absent."""
    return pl.Series(name, values, dtype=pl.String)
