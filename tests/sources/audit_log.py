"""An audit log in a test: one event with the fields it is about, and the outcome of reading some bytes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import polars as pl

from analyzer.frames import AUDIT_EVENTS, Table
from analyzer.frames.contract import concat
from analyzer.sources.audit import SOURCE
from analyzer.sources.contract import Item, Ledger, ReadOptions


def event(number: int = 0, **changed: Any) -> dict[str, Any]:
    """One event in the apiserver's own order of fields; a field changed to None is left out."""
    second = f"2026-01-01T00:00:{number % 60:02d}"
    fields: dict[str, Any] = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": f"id-{number}",
        "stage": "ResponseComplete",
        "requestURI": f"/api/v1/namespaces/shop/pods/p{number}",
        "verb": "get",
        "user": {"username": "system:serviceaccount:shop:web", "groups": ["system:authenticated"]},
        "sourceIPs": ["192.0.2.7"],
        "userAgent": "web/v1.2 (linux/amd64)",
        "objectRef": {"resource": "pods", "namespace": "shop", "name": f"p{number}", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 200},
        "requestObject": None,
        "responseObject": None,
        "requestReceivedTimestamp": f"{second}.000000Z",
        "stageTimestamp": f"{second}.100000Z",
        "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
    }
    return {name: value for name, value in (fields | changed).items() if value is not None}


def line(number: int = 0, **changed: Any) -> bytes:
    """The event as the apiserver writes it, without a newline."""
    return json.dumps(event(number, **changed), separators=(",", ":")).encode()


def lines(*numbers: int) -> bytes:
    return b"".join(line(number) + b"\n" for number in numbers)


def read(data: bytes, tz: str = "UTC") -> tuple[pl.DataFrame, Ledger]:
    """All rows and the ledger; the identity of the ledger is checked on the way."""
    ledger = Ledger()
    item = Item(id="audit.log", path=Path("audit.log"))
    parts = [batch[AUDIT_EVENTS] for batch in SOURCE.read(io.BytesIO(data), item, ReadOptions(tz=tz), ledger)]
    table = concat(AUDIT_EVENTS, parts)
    assert ledger.used == table.height
    assert ledger.records == ledger.used + ledger.skipped + ledger.incomplete_tail
    return table, ledger


def rows_of(wanted: Table, data: bytes) -> list[dict[str, Any]]:
    """The rows of one of the reader's tables, without what all rows of a test share."""
    item = Item(id="audit.log", path=Path("audit.log"))
    parts = [batch[wanted] for batch in SOURCE.read(io.BytesIO(data), item, ReadOptions(), Ledger()) if wanted in batch]
    return concat(wanted, parts).rows(named=True)


def one(**changed: Any) -> dict[str, Any]:
    """The only row of a log of one event."""
    table, _ = read(line(**changed) + b"\n")
    [row] = table.rows(named=True)
    return row
