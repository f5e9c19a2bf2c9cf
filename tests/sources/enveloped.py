"""Audit events in the envelopes of exports: one check of what every such input owes, and how they are written."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from analyzer.sources.audit import SOURCE
from tests.sources.audit_log import event, line, read

KLOG = "I0501 10:00:00.000001      11 httplog.go:132] verb=GET"


def text(number: int = 0, **changed: Any) -> str:
    return line(number, **changed).decode()


def dumped(*values: object, indent: int | None = None) -> bytes:
    return "\n".join(json.dumps(value, indent=indent) for value in values).encode()


def check(data: bytes, *ids: str, where: str = "", skipped: int = 0, tail: int = 0) -> None:
    """The input is recognised, its events are read, each can be quoted by its number, the rest is counted."""
    match = SOURCE.identify(data[: 64 << 10])
    assert match is not None
    assert match.confidence > 0.9
    assert where in match.reason
    table, ledger = read(data)
    assert table["audit_id"].to_list() == list(ids)
    assert (ledger.skipped, ledger.incomplete_tail) == (skipped, tail)
    assert not where or any(where in note for note in ledger.notes)
    quoted = SOURCE.quote(io.BytesIO(data), frozenset(table["number"].to_list()))
    for number, audit_id in table.select("number", "audit_id").rows():
        assert audit_id in quoted[number]


def as_csv(columns: list[str], *rows: list[str]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows([columns, *rows])
    return out.getvalue().encode()


def diagnostic(message: str, category: str = "kube-audit") -> dict[str, object]:
    """One record of a diagnostic setting, as it comes to Event Hubs and storage accounts."""
    return {
        "operationName": "Microsoft.ContainerService/managedClusters/diagnosticLogs/Read",
        "category": category,
        "ccpNamespace": "5eb2d1cf3ad61f0001a668a5",
        "resourceId": "/SUBSCRIPTIONS/X/RESOURCEGROUPS/Y/PROVIDERS/MICROSOFT.CONTAINERSERVICE/MANAGEDCLUSTERS/Z",
        "properties": {"log": message + "\n", "stream": "stdout", "pod": "kube-apiserver-6df5497d6d-g2vd7"},
        "time": "2030-05-08T22:44:17Z",
    }


def table_row(number: int = 0, **changed: Any) -> dict[str, Any]:
    """A row of AKSAudit; the columns of https://learn.microsoft.com/azure/azure-monitor/reference/tables/aksaudit."""
    told = event(number, **changed)
    return {
        "TenantId": "00000000-0000-0000-0000-000000000000",
        "TimeGenerated": "2030-01-01T00:00:00Z",
        "Level": told["level"],
        "AuditId": told["auditID"],
        "Stage": told["stage"],
        "RequestUri": told["requestURI"],
        "Verb": told["verb"],
        "User": told["user"],
        "SourceIps": told["sourceIPs"],
        "UserAgent": told["userAgent"],
        "ObjectRef": told["objectRef"],
        "ResponseStatus": told["responseStatus"],
        "RequestObject": changed.get("requestObject"),
        "RequestReceivedTime": told["requestReceivedTimestamp"],
        "StageReceivedTime": told["stageTimestamp"],
        "Annotations": told["annotations"],
        "PodName": "kube-apiserver-6df5497d6d-g2vd7",
        "Type": "AKSAudit",
    }


def as_text(row: dict[str, Any]) -> dict[str, str]:
    """Dynamic columns as exports give them: JSON as text."""
    return {
        name: value if isinstance(value, str) else "" if value is None else json.dumps(value)
        for name, value in row.items()
    }
