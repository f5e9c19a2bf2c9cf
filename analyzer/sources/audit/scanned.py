"""Audit events of a window by compiled kernels: only the distinct texts of what many events share are decoded."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from analyzer.sources.audit.body import Cut
from analyzer.sources.audit.clock import usual
from analyzer.sources.audit.event import PARTS, REQUEST_KEY, RESPONSE_KEY, VERSIONS, Event, ObjectRef
from analyzer.sources.audit.parts import Part, Parts, decoded
from analyzer.sources.audit.rows import Rows, Singles
from analyzer.sources.audit.servers import COLLECTED
from analyzer.sources.jsonspans import Field, Kind, Spans, fields, lengths, spans_of, texts

Places = npt.NDArray[np.int64]

_SHARED = [name for name in PARTS if name != "object_ref"]

_KINDS = {
    **dict.fromkeys(("kind", *_SHARED), Kind.DISTINCT),
    **dict.fromkeys(("audit_id", "uri"), Kind.TEXT),
    **dict.fromkeys(("received", "staged"), Kind.MOMENT),
}
_KEYS = {
    name: (key, _KINDS.get(name, Kind.PLAIN))
    for name, key in zip(Event.__struct_fields__, Event.__struct_encode_fields__, strict=True)
}
_OBJECT = {
    name: (key, Kind.TEXT if name == "api_group" else Kind.TOLD)
    for name, key in zip(ObjectRef.__struct_fields__, ObjectRef.__struct_encode_fields__, strict=True)
}
_EVENT = [b'"Event"']

SHORTEST = 100
"""Bytes of the shortest event with its kind, its version and two times: columns for more lines are not asked for."""


def scanned(data: bytes, starts: Places, ends: Places, numbers: Places, sizes: Places, cut: Cut | None) -> Rows | None:
    """The rows of the lines that lie there: what `rows_of` makes of the same events.

    `cut` finds the bodies that were taken out before. None where the kernels are not there, or a line is not one event
    by its own word with both of its times. Raises msgspec.DecodeError and UnicodeDecodeError where a part is not what
    PARTS says.
    """
    if len(data) < SHORTEST * len(starts):
        return None
    found = fields(data, spans_of(starts, ends), _KEYS)
    if found is None or found["kind"].distinct()[0] != _EVENT or found["timestamp"].count:
        return None
    times = usual(found["received"].moments(), found["staged"].moments())
    objects = fields(data, found["object_ref"].spans, _OBJECT)
    if times is None or objects is None:
        return None
    parts = Parts(len(starts), {name: _part(name, found[name]) for name in _SHARED})
    if not set(parts.values("api_version")) <= VERSIONS:
        return None
    asked, answered = found["request_body"].spans, found["response_body"].spans
    request, response = _measured(asked, REQUEST_KEY), _measured(answered, RESPONSE_KEY)
    if cut is not None:
        request, response = np.maximum(request, cut.request), np.maximum(response, cut.response)

    def bodies(place: int) -> tuple[bytes, bytes]:
        out = cut.bodies(place) if cut else (b"", b"")
        left = texts(data, np.array([asked[place], answered[place]]))
        return out[0] or left[0], out[1] or left[1]

    singles = Singles(
        audit_id=found["audit_id"].strings("audit_id"),
        uri=found["uri"].strings("uri"),
        objects=_objects(objects, found["object_ref"].spans),
        times=times,
        collected={name: texts(data, found[name].spans) for name in COLLECTED if found[name].count},
    )
    return Rows(numbers, sizes, request, response, parts, singles, bodies)


def _part(name: str, found: Field) -> Part:
    told, codes = found.distinct()
    return Part(decoded(name, told), pl.Series(codes) if len(told) > 1 else None)


def _objects(found: Mapping[str, Field], refs: Spans) -> list[pl.Series]:
    """The columns of the objects, as `rows._objects` makes them."""
    group = found["api_group"].strings("api_group").fill_null("")
    if not refs.all():
        group = pl.select(pl.when(pl.Series(refs != 0)).then(group)).to_series()
    return [group, *(found[name].strings(name) for name in ("resource", "subresource", "namespace", "name"))]


def _measured(bodies: Spans, key: int) -> Places:
    """The bytes of each body with its key and comma; 0 if absent."""
    sizes = lengths(bodies)
    return np.where(sizes > 0, sizes + key, 0)
