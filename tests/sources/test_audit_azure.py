"""Audit events in what Azure Monitor gives: Event Hubs, storage accounts, Log Analytics."""

from __future__ import annotations

import json
from typing import Any

from tests.sources.audit_log import lines, read
from tests.sources.enveloped import KLOG, as_csv, as_text, check, diagnostic, dumped, table_row, text


def test_event_hubs_records_of_aks() -> None:
    records = [diagnostic(text(0)), diagnostic(KLOG, "kube-apiserver"), diagnostic(text(1))]
    for data in (
        dumped({"records": records}),
        dumped({"records": records}, indent=2),
        dumped({"records": records[:1]}, {"records": records[1:]}),
        dumped(*records) + b"\n",
        dumped(records, indent=2),
        dumped(*({"p_log_type": "Azure.MonitorActivity", **record} for record in records)) + b"\n",
        dumped(*(record | {"properties": json.dumps(record["properties"])} for record in records)) + b"\n",
    ):
        check(data, "id-0", "id-1", where="Azure diagnostic records", skipped=1)
        assert read(data)[0]["time"].dt.year().to_list() == [2026, 2026]


def test_the_category_without_get_and_list_is_told() -> None:
    _, ledger = read(dumped(diagnostic(text(0), "kube-audit-admin")) + b"\n")
    assert any("leaves out get and list" in note for note in ledger.notes)


def test_rows_of_azure_diagnostics() -> None:
    rows = [{"TimeGenerated": "2030-01-01T00:00:00Z", "Category": "kube-audit", "log_s": text(i)} for i in range(2)]
    check(dumped(rows, indent=1), "id-0", "id-1", where="AzureDiagnostics")
    check(dumped(*rows) + b"\n", "id-0", "id-1", where="AzureDiagnostics")
    check(as_csv(list(rows[0]), *(list(row.values()) for row in rows)), "id-0", "id-1", where="AzureDiagnostics")


def log_analytics(*rows: dict[str, Any]) -> dict[str, Any]:
    """The answer of the query API (https://learn.microsoft.com/rest/api/loganalytics/query)."""
    columns = [{"name": name, "type": "dynamic"} for name in rows[0]]
    primary = {"name": "PrimaryResult", "columns": columns, "rows": [list(row.values()) for row in rows]}
    return {"tables": [primary]}


def test_rows_of_the_table_aks_audit() -> None:
    rows = [table_row(i) for i in range(3)]
    texts = [as_text(row) for row in rows]
    wanted, _ = read(lines(0, 1, 2))
    same = [name for name in wanted.columns if name not in ("number", "event_bytes", "server")]
    for data in (
        dumped(rows, indent=2),
        dumped(texts),
        dumped(*rows) + b"\n",
        dumped(log_analytics(*rows)),
        dumped(log_analytics(*texts), indent=2),
        as_csv(list(texts[0]), *(list(row.values()) for row in texts)),
    ):
        check(data, "id-0", "id-1", "id-2", where="AKSAudit")
        assert read(data)[0].select(same).equals(wanted.select(same))


def test_a_table_says_what_azure_left_out() -> None:
    row = table_row(requestObject="skipped-too-big-size-object") | {"Type": "AKSAuditAdmin"}
    table, ledger = read(dumped(row) + b"\n")
    assert table["request_body_bytes"].to_list() == [0]
    notes = "\n".join(ledger.notes)
    assert "because of its size" in notes
    assert "leaves out get and list" in notes


def test_times_of_the_portal_are_read() -> None:
    row = as_text(table_row())
    del row["RequestReceivedTime"], row["StageReceivedTime"]
    named = row | {
        "RequestReceivedTime [UTC]": "5/1/2024, 12:00:01.250 AM",
        "StageReceivedTime [UTC]": "5/1/2024, 1:02:03 PM",
    }
    table, _ = read(as_csv(list(named), list(named.values())))
    told = [str(table[name][0])[:22] for name in ("time", "stage_time")]
    assert told == ["2024-05-01 00:00:01.25", "2024-05-01 13:02:03+00"]


def test_a_broken_row_of_a_csv_costs_that_row() -> None:
    rows = [[f"2024-05-01 10:00:0{i}", text(i)] for i in range(4)]
    good = as_csv(["@timestamp", "@message"], *rows)
    for old, new in ((b'""id-1""', b'"id-1""'), (b"2024-05-01 10:00:01", b"2024-05-01,10:00:01")):
        check(good.replace(old, new), "id-0", "id-2", "id-3", skipped=1)
    check(good[:-60], "id-0", "id-1", "id-2", tail=1)
    assert read(good)[0]["number"].to_list() == [2, 3, 4, 5]
