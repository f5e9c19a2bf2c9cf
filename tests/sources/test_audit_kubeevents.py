"""Kubernetes Events in the bodies of audit events are rows of the table of Events, each once."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from analyzer.facts.overlaps import log_copies
from analyzer.frames import KUBE_EVENTS, concat
from analyzer.sources.audit import SOURCE
from analyzer.sources.contract import Item, Ledger, ReadOptions
from analyzer.sources.events import SOURCE as EVENTS
from tests.sources.audit_log import line
from tests.sources.texts import read_text

REF = {"resource": "events", "namespace": "shop", "name": "web-0.17cd2", "apiVersion": "v1"}
SENT: dict[str, Any] = {
    "kind": "Event",
    "apiVersion": "v1",
    "metadata": {"name": "web-0.17cd2", "namespace": "shop", "creationTimestamp": None},
    "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web-0", "uid": "p"},
    "reason": "BackOff",
    "message": "Back-off restarting; password=hunter2",
    "source": {"component": "kubelet", "host": "node-1"},
    "firstTimestamp": "2026-01-01T00:00:00Z",
    "lastTimestamp": "2026-01-01T00:00:00Z",
    "count": 1,
    "type": "Warning",
}
STORED = SENT | {"metadata": {"name": "web-0.17cd2", "namespace": "shop", "uid": "e-1"}}
AGAIN = STORED | {"count": 2, "lastTimestamp": "2026-01-01T00:00:30Z"}
PATCH = {"count": 2, "lastTimestamp": "2026-01-01T00:00:30Z"}


def wrote(number: int, verb: str = "create", code: int = 201, **changed: Any) -> bytes:
    told = {"level": "RequestResponse", "verb": verb, "objectRef": REF, "responseStatus": {"code": code}} | changed
    return line(number, **told) + b"\n"


def events_of(data: bytes) -> list[dict[str, Any]]:
    ledger = Ledger()
    batches = list(SOURCE.read(io.BytesIO(data), Item(id="audit.log", path=Path("x")), ReadOptions(), ledger))
    assert ledger.used == ledger.records
    return concat(KUBE_EVENTS, [batch[KUBE_EVENTS] for batch in batches if KUBE_EVENTS in batch]).rows(named=True)


@pytest.mark.parametrize("padding", [0, 3000], ids=["decoded whole", "bodies cut"])
def test_what_was_created_and_patched_are_rows_at_their_lines(padding: int) -> None:
    long = {"requestObject": {"data": "x" * padding}} if padding else {}
    data = b"".join(
        [
            line(1, **long) + b"\n",
            wrote(2, requestObject=SENT, responseObject=STORED),
            wrote(3, "patch", 200, requestObject=PATCH, responseObject=AGAIN),
        ]
    )
    rows = events_of(data)

    told = ("number", "count", "reason", "kind", "name", "component", "node", "event_uid")
    assert [tuple(row[name] for name in told) for row in rows] == [
        (2, 1, "BackOff", "Pod", "web-0", "kubelet", "node-1", "e-1"),
        (3, 2, "BackOff", "Pod", "web-0", "kubelet", "node-1", "e-1"),
    ]
    assert "hunter2" not in str(rows)


def test_a_request_tells_what_was_created_and_a_patch_alone_does_not() -> None:
    data = wrote(1, requestObject=SENT) + wrote(2, "patch", 200, requestObject=PATCH)
    [row] = events_of(data)
    assert (row["number"], row["count"], row["event_uid"]) == (1, 1, None)


@pytest.mark.parametrize(
    "changed",
    [
        {"code": 403},
        {"verb": "delete"},
        {"stage": "Panic"},
        {"objectRef": REF | {"resource": "pods"}},
        {"responseStatus": None},
    ],
)
def test_what_was_not_stored_is_no_event(changed: dict[str, Any]) -> None:
    assert events_of(wrote(1, **{"requestObject": SENT, "responseObject": STORED} | changed)) == []


@pytest.mark.parametrize("body", [{"a": 1}, "x", [STORED], STORED | {"involvedObject": 7}, STORED | {"reason": None}])
def test_a_body_of_another_shape_costs_nothing(body: object) -> None:
    assert events_of(wrote(1, responseObject=body)) == []


@pytest.mark.parametrize("first", [{"responseObject": STORED}, {"requestObject": SENT}], ids=["answer", "request only"])
def test_an_export_beside_the_audit_log_does_not_count_twice(first: dict[str, Any]) -> None:
    other = STORED | {"metadata": {"uid": "e-2"}, "message": "another", "involvedObject": {"kind": "Pod", "name": "b"}}
    saved = read_text(EVENTS, json.dumps({"kind": "List", "apiVersion": "v1", "items": [other, STORED]}), "events.json")
    batches = SOURCE.read(io.BytesIO(wrote(1, **first)), Item(id="audit.log", path=Path("x")), ReadOptions(), Ledger())
    [held] = [batch[KUBE_EVENTS] for batch in batches]

    whole = concat(KUBE_EVENTS, [saved.tables[KUBE_EVENTS], held])
    [copy] = log_copies(KUBE_EVENTS, whole.lazy()).rows(named=True)

    assert (copy["source"], copy["number"], copy["original_source"], copy["original_number"]) == (
        "audit.log",
        1,
        "events.json",
        2,
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"metadata": {"uid": "e-3"}},
        {"count": 2},
        {"lastTimestamp": "2026-01-01T00:00:31Z"},
        {"source": {"component": "default-scheduler"}},
    ],
    ids=str,
)
def test_another_event_of_the_same_words_is_another(changed: dict[str, Any]) -> None:
    parts = [
        read_text(EVENTS, json.dumps(one) + "\n", name).tables[KUBE_EVENTS]
        for name, one in (("a", STORED), ("b", STORED | changed))
    ]
    assert not log_copies(KUBE_EVENTS, concat(KUBE_EVENTS, parts).lazy()).height
