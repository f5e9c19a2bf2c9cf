"""Kubernetes Events that stand in the bodies of audit events: who reports one writes it through kube-apiserver.

A new Event is created; when the same happens again, client-go patches its `count` and `lastTimestamp`
(`tools/record/events_cache.go`) or its `series`. The answer holds the whole object with its UID, so it is what counts;
a request to create one is nearly whole, and one to patch it does not say what it is about, so it gives no row.
"""

from __future__ import annotations

import msgspec
import polars as pl

from analyzer.frames import KUBE_EVENTS
from analyzer.sources.audit.body import Bodies
from analyzer.sources.eventsrows import event_in, events_of

_WRITING = ("create", "patch", "update")
_DONE = "ResponseComplete"
"""The stage that every answered request reaches once."""

_FAULTS = (msgspec.DecodeError, UnicodeError, RecursionError)


def event_rows(bodies: Bodies, table: pl.DataFrame) -> pl.DataFrame:
    """KUBE_EVENTS of these audit events, whose rows are `table`. Python runs for the bodies of Events that were written
    only: policies leave most of these out."""
    empty = pl.DataFrame(schema=KUBE_EVENTS.schema)
    wanted = (
        (pl.col("resource") == "events")
        & pl.col("subresource").is_null()
        & pl.col("verb").is_in(_WRITING)
        & (pl.col("stage") == _DONE)
        & pl.col("code").is_between(200, 299)
    )
    chosen = table.with_row_index("place").filter(wanted).select("place", "number", "source").rows()
    objects = [(number, _object(*bodies(place))) for place, number, _ in chosen]
    if not any(found is not None for _, found in objects):
        return empty
    return events_of(objects, chosen[0][2])[0]


def _object(request: bytes, response: bytes) -> object | None:
    """The Event that was answered, else the one that was sent; None where neither is whole."""
    for text in (response, request):
        try:
            found = msgspec.json.decode(text) if text else None
        except _FAULTS:
            continue
        if event_in(found) is not None:
            return found
    return None
