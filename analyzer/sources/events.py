"""Kubernetes Events: saved by kubectl as JSON, YAML or text, written by a watch, or by an exporter one a line.

An Event object stands for all its occurrences until its time. A file that was written while events came in holds the
same object again and again, each time with a higher count: the rows are objects, `event_uid` tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import islice

import msgspec
import polars as pl

from analyzer.frames import KUBE_EVENTS
from analyzer.sources import eventsyaml
from analyzer.sources.audit.records import records
from analyzer.sources.audit.shape import Ahead, Kind, Shape, shape_of
from analyzer.sources.contract import Batch, ByteStream, Item, Ledger, Match, ReadOptions, Source
from analyzer.sources.eventsrows import event_in, events_of
from analyzer.sources.eventstable import is_table, read_table
from analyzer.sources.lines import QUOTE_LIMIT, quote_lines, text_head, windows
from analyzer.sources.textwindow import Window
from analyzer.sources.wrappers import Wrapper, detect_wrapper, unwrap

LOOKED_AT = 20
"""Elements of the first bytes that are tried."""

ROWS = 10_000
"""Objects in a batch."""

_FAULTS = (msgspec.DecodeError, RecursionError, UnicodeError, ValueError)


_NAMES = (b"involvedObject", b"regarding")
"""The field of an Event that names its object, in core/v1 and events.k8s.io/v1."""


def identify(head: bytes) -> Match | None:
    """Sure where one of the first objects is an Event, or the first line is the header of kubectl's table."""
    text = text_head(head)
    if is_table(text):
        return Match(0.95, "begins like the table of kubectl get events")
    if eventsyaml.begins_like_yaml(text):
        sure = b"involvedObject:" in text or b"regarding:" in text
        tried = [*eventsyaml.elements(BytesIO(text), Ledger())][:LOOKED_AT] if sure else []
        return Match(0.9, "a YAML list of Events") if any(event_in(_yaml(one.data)) for one in tried) else None
    if not any(name in text for name in _NAMES):  # every input is asked, and few hold Events
        return None
    if (shape := _document(head)) is None:
        candidates: Iterable[bytes] = _lines_of(text, _wrapper(head))
    else:
        candidates = [data for batch in records(BytesIO(text), Ledger(), shape) for _, data in batch][:LOOKED_AT]
    if any(event_in(_json(candidate)) for candidate in candidates):
        return Match(0.9, "holds Event objects")
    return None


def read(stream: ByteStream, item: Item, options: ReadOptions, ledger: Ledger) -> Iterator[Batch]:
    """Rows of KUBE_EVENTS in batches. Objects of other kinds are `not-a-record`, what cannot be parsed is
    `malformed object`."""
    ahead = Ahead(stream)
    text = text_head(ahead.head)
    if is_table(text):
        for rows in read_table(ahead, item, ledger, text):
            yield _used(rows, ledger)
        return
    objects = _objects(ahead, ledger)
    while batch := list(islice(objects, ROWS)):
        rows, others = events_of(batch, item.id)
        ledger.skip("not-a-record", others[:3], len(others))
        if rows.height:
            yield _used(rows, ledger)


def _used(rows: pl.DataFrame, ledger: Ledger) -> Batch:
    ledger.use(rows.height)
    ledger.span(rows["time"].min(), rows["time"].max())  # type: ignore[arg-type]  # untyped by polars
    return {KUBE_EVENTS: rows}


def _objects(ahead: Ahead, ledger: Ledger) -> Iterator[tuple[int, object]]:
    """Every object with the number that names it."""
    for number, data, is_last in _texts(ahead, ledger):
        found = data if not isinstance(data, bytes) else _json(data)
        if found is not None:
            yield number, found
        elif is_last:
            ledger.tail()
        else:
            ledger.skip("malformed object", [number])


def _texts(ahead: Ahead, ledger: Ledger) -> Iterator[tuple[int, bytes | object, bool]]:
    """Every object, as JSON text or parsed from YAML, with its number, and whether the input ends within it."""
    text = text_head(ahead.head)
    if eventsyaml.begins_like_yaml(text):
        for element in eventsyaml.elements(ahead, ledger):
            yield element.line, _yaml(element.data), False
        return
    if (shape := _document(ahead.head)) is None:
        for frame in unwrap(windows(ahead, ledger), _wrapper(ahead.head), ledger):
            for number, line, is_open in frame.select("number", "text", "open").iter_rows():
                yield number, line.encode(), is_open
        return
    for batch in records(ahead, ledger, shape):
        for number, data in batch:
            yield number, data, False


def quote(stream: ByteStream, numbers: frozenset[int], most: int = QUOTE_LIMIT) -> dict[int, str]:
    """The text of those objects, each cut at `most` bytes."""
    ahead, found = Ahead(stream), dict[int, str]()
    if (shape := _document(ahead.head)) is not None:
        for batch in records(ahead, Ledger(), shape):
            for number, data in batch:
                if number in numbers:
                    found[number] = data[:most].decode("utf-8", "replace")
        return found
    if not eventsyaml.begins_like_yaml(text_head(ahead.head)):
        return quote_lines(ahead, numbers, most)
    for element in eventsyaml.elements(ahead, Ledger()):
        if element.line in numbers:
            found[element.line] = element.data[:most].decode("utf-8", "replace")
    return found


def _document(head: bytes) -> Shape | None:
    """How Events lie in a JSON document; None where there is one a line."""
    shape = shape_of(head)
    return shape if shape.kind is Kind.DOCUMENT else None


def _wrapper(head: bytes) -> Wrapper:
    """None where the lines are Events themselves: they have a `message`, as the records of log shippers do."""
    if any(event_in(_json(line)) for line in _lines_of(text_head(head), Wrapper())):
        return Wrapper()
    return detect_wrapper(head)


def _lines_of(text: bytes, wrapper: Wrapper) -> list[bytes]:
    frames = list(unwrap([Window(1, text)], wrapper, Ledger()))
    return [line.encode() for frame in frames for line in frame["text"].head(LOOKED_AT)]


def _json(data: bytes) -> object | None:
    try:
        found: object = msgspec.json.decode(data)
    except _FAULTS:
        return None
    return found


def _yaml(data: bytes) -> object | None:
    try:
        return eventsyaml.parse(data)
    except ValueError:
        return None


SOURCE = Source(
    name="events",
    title="Kubernetes Events (kubectl get events, exporters)",
    tables=(KUBE_EVENTS,),
    identify=identify,
    read=read,
    quote=quote,
)
