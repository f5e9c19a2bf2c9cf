"""Audit events of a window by compiled kernels: only the distinct texts of what many events share are decoded."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from analyzer.sources import jsonspans
from analyzer.sources.audit.body import Cut
from analyzer.sources.audit.clock import usual
from analyzer.sources.audit.event import PARTS, REQUEST_KEY, RESPONSE_KEY, VERSIONS, Event, ObjectRef
from analyzer.sources.audit.parts import Part, Parts, decoded
from analyzer.sources.audit.rows import Rows, Singles
from analyzer.sources.audit.servers import COLLECTED
from analyzer.sources.jsonspans import Spans

Places = npt.NDArray[np.int64]
T = TypeVar("T")

_EVENT = [b'"Event"']


class _RefusedError(Exception):
    """The kernels have no answer."""


def scanned(data: bytes, starts: Places, ends: Places, numbers: Places, sizes: Places, cut: Cut | None) -> Rows | None:
    """The rows of the lines that lie there: what `rows_of` makes of the same events.

    `cut` finds the bodies that were taken out before. None where the kernels are not there, or a line is not one event
    by its own word with both of its times. Raises msgspec.DecodeError and UnicodeDecodeError where a part is not what
    PARTS says.
    """
    found = jsonspans.scan(data, jsonspans.spans_of(starts, ends), Event.__struct_encode_fields__)
    if found is None:
        return None
    spans = dict(zip(Event.__struct_fields__, found, strict=True))
    try:
        kinds, _ = _distinct(data, spans["kind"])
        parts = Parts(len(starts), {name: _part(data, name, spans[name]) for name in PARTS if name != "object_ref"})
        if kinds != _EVENT or not set(parts.values("api_version")) <= VERSIONS:
            return None
        singles = _singles(data, spans)
    except _RefusedError:
        return None
    asked, answered = spans["request_body"], spans["response_body"]
    request, response = _measured(asked, REQUEST_KEY), _measured(answered, RESPONSE_KEY)
    if cut is not None:
        request, response = np.maximum(request, cut.request), np.maximum(response, cut.response)

    def bodies(place: int) -> tuple[bytes, bytes]:
        out = cut.bodies(place) if cut else (b"", b"")
        left = jsonspans.texts(data, np.array([asked[place], answered[place]]))
        return out[0] or left[0], out[1] or left[1]

    return Rows(numbers, sizes, request, response, parts, singles, bodies)


def _given(answer: T | None) -> T:
    if answer is None:
        raise _RefusedError
    return answer


def _distinct(data: bytes, spans: Spans) -> tuple[list[bytes], npt.NDArray[np.uint32]]:
    """The distinct texts, and which of them is at each span."""
    codes, firsts = _given(jsonspans.distinct(data, spans))
    return jsonspans.texts(data, spans[firsts]), codes


def _part(data: bytes, name: str, spans: Spans) -> Part:
    texts, codes = _distinct(data, spans) if spans.any() else ([b""], None)
    return Part(decoded(name, texts), pl.Series(codes) if len(texts) > 1 else None)


def _singles(data: bytes, spans: dict[str, Spans]) -> Singles:
    if spans["timestamp"].any():
        raise _RefusedError
    received, staged = (_given(jsonspans.moments(data, spans[name])) for name in ("received", "staged"))
    return Singles(
        audit_id=_given(jsonspans.strings(data, spans["audit_id"])),
        uri=_given(jsonspans.strings(data, spans["uri"])),
        objects=_objects(data, spans["object_ref"]),
        times=_given(usual(received, staged)),
        collected={name: jsonspans.texts(data, spans[name]) for name in COLLECTED if spans[name].any()},
    )


def _objects(data: bytes, refs: Spans) -> list[pl.Series]:
    """The columns of the objects, as `rows._objects` makes them."""
    found = _given(jsonspans.scan(data, refs, ObjectRef.__struct_encode_fields__))
    spans = dict(zip(ObjectRef.__struct_fields__, found, strict=True))
    group = _given(jsonspans.strings(data, spans["api_group"])).fill_null("")
    if not refs.all():
        group = pl.select(pl.when(pl.Series(refs != 0)).then(group)).to_series()
    names = ("resource", "subresource", "namespace", "name")
    others = (_given(jsonspans.strings(data, spans[name], only_told=True)).alias(name) for name in names)
    return [group.alias("api_group"), *others]


def _measured(bodies: Spans, key: int) -> Places:
    """The bytes of each body with its key and comma; 0 if absent."""
    sizes = jsonspans.lengths(bodies)
    return np.where(sizes > 0, sizes + key, 0)
