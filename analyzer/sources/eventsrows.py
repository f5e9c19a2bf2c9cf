"""Event objects, of v1 and of events.k8s.io, made rows of KUBE_EVENTS."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl

from analyzer.frames import KUBE_EVENTS
from analyzer.sources.kernellines import bounded
from analyzer.sources.secrets import scrub_column
from analyzer.sources.times import parse_rfc3339

NAME_LIMIT = 512
"""Characters of a name that are kept; the API allows 253."""

_COUNT_LIMIT = 1 << 62

_RAW = pl.Schema(
    {"number": pl.Int64(), "count": pl.Int64()}
    | {
        name: pl.String()
        for name in (
            *("time", "first_time", "type", "reason", "message", "kind", "namespace", "name", "uid", "field_path"),
            *("component", "node", "event_uid"),
        )
    }
)


def event_in(found: object) -> dict[str, Any] | None:
    """The Event that an object is, or that a watch (`type`, `object`), an exporter (`verb`, `event`) or a store
    wrapped: GKE keeps Events in the log `events` of Cloud Logging (`jsonPayload`), Elasticsearch in a hit
    (`_source`)."""
    if not isinstance(found, dict):
        return None
    for key in ("object", "event", "jsonPayload", "_source"):
        if isinstance(found.get(key), dict) and ("involvedObject" in found[key] or "regarding" in found[key]):
            return event_in(found[key])
    version = found.get("apiVersion")
    known = version is None or version == "v1" or (isinstance(version, str) and version.startswith("events.k8s.io/"))
    about = found.get("involvedObject") or found.get("regarding")
    told = isinstance(about, dict) and isinstance(found.get("reason"), str)
    return found if known and told and found.get("kind", "Event") == "Event" else None


def events_of(objects: Iterable[tuple[int, object]], source: str) -> tuple[pl.DataFrame, list[int]]:
    """Rows of KUBE_EVENTS for numbered objects, and the numbers of those that are no Events.

    `time` and `count` are what kubectl prints: the series' last time and count, else lastTimestamp and count, else
    eventTime (pkg/printers/internalversion/printers.go, printEvent), else when the object was made. Objects are handled
    one by one: a cluster keeps its events for an hour (--event-ttl).
    """
    rows, others = [], []
    for number, found in objects:
        if (event := event_in(found)) is None:
            others.append(number)
        else:
            rows.append(_row(number, event))
    frame = pl.DataFrame(rows, schema=_RAW, orient="row")
    return KUBE_EVENTS.check(
        frame.with_columns(
            parse_rfc3339(frame["time"]),
            parse_rfc3339(frame["first_time"]),
            scrub_column(bounded(frame["message"])),
            pl.lit(source).alias("source"),
        ).lazy()
    ).collect(), others


def _row(number: int, event: dict[str, Any]) -> tuple[Any, ...]:
    about = event.get("involvedObject") or event.get("regarding")
    series, made = _dict(event.get("series")), _dict(event.get("metadata"))
    writer = _dict(event.get("source")) or _dict(event.get("deprecatedSource"))
    component = _text(writer, "component") or _text(event, "reportingComponent", "reportingController")
    first = _text(event, "firstTimestamp", "deprecatedFirstTimestamp", "eventTime") or _text(made, "creationTimestamp")
    last = _text(series, "lastObservedTime") or _text(event, "lastTimestamp", "deprecatedLastTimestamp") or first
    # the kubelet reports under the name of its node
    node = _text(writer, "host") or (_text(event, "reportingInstance") if component == "kubelet" else None)
    about = _dict(about)
    return (
        number,
        _count(series.get("count"), event.get("count"), event.get("deprecatedCount")),
        last,
        first,
        _text(event, "type"),
        _text(event, "reason"),
        event.get("message") if isinstance(event.get("message"), str) else _long(event.get("note")),
        *(_text(about, key) for key in ("kind", "namespace", "name", "uid", "fieldPath")),
        component,
        node,
        _text(made, "uid"),
    )


def _dict(found: object) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


def _long(found: object) -> str | None:
    return found if isinstance(found, str) else None


def _text(found: dict[str, Any], *keys: str) -> str | None:
    """The first of the keys that has a text; `null` is how YAML is read where scalars stay text."""
    values = (found.get(key) for key in keys)
    return next((value[:NAME_LIMIT] for value in values if isinstance(value, str) and value not in ("", "null")), None)


def _count(*values: object) -> int:
    for value in values:
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 19:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < _COUNT_LIMIT:
            return value
    return 1
