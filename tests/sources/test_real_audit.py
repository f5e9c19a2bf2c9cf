"""Audit logs recorded from real apiservers and collected by other projects, where that evidence lies beside us."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest

from analyzer.detectors.apiserver import apiserver_throttle_storm, audit_log_flood
from analyzer.errors import InputError
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import AUDIT_EVENTS
from analyzer.frames.contract import concat
from analyzer.model import Finding
from analyzer.sources.audit import SOURCE
from analyzer.sources.contract import Item, Ledger, ReadOptions
from tests.build import run

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
REAL = SHARED / "real"

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f"no evidence in {SHARED}")


def paths(case: str) -> list[Path]:
    return sorted((REAL / case).glob("audit*.log*"))


def read(path: Path) -> tuple[pl.DataFrame, Ledger]:
    ledger = Ledger()
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        batches = SOURCE.read(stream, Item(id=path.name, path=path), ReadOptions(), ledger)
        parts = [batch[AUDIT_EVENTS] for batch in batches]
    return concat(AUDIT_EVENTS, parts), ledger


def table(case: str) -> pl.LazyFrame:
    return concat(AUDIT_EVENTS, [read(path)[0] for path in paths(case)]).lazy()


def findings(case: str) -> dict[str, list[Finding]]:
    given = {AUDIT_EVENTS: table(case)}
    return {one.id: run(one, given) for one in (apiserver_throttle_storm.DETECTOR, audit_log_flood.DETECTOR)}


def test_the_storm_against_max_requests_inflight_is_found_to_the_request() -> None:
    truth = json.loads((REAL / "b1_storm_maxinflight" / "truth.json").read_text())["by_resource_and_code"]
    rejected = truth["pods 429"] + truth["services 429"]
    found = findings("b1_storm_maxinflight")
    [storm] = found["apiserver-throttle-storm"]
    assert storm.subject == "datadog-agent"
    assert storm.figure("rejected requests") == storm.figure("rejected requests of the offender") == rejected
    sent = {row[2]: row[4] for row in storm.evidence.tables[1].rows if row[1] == "list"}
    assert sent == {"pods": truth["pods 429"], "services": truth["services 429"]}
    assert storm.saving is not None
    assert storm.saving.modelled == 0
    assert found["audit-log-flood"] == []


def test_the_flood_of_one_operator_is_found_to_the_record() -> None:
    truth = json.loads((REAL / "c_audit_flood" / "truth.json").read_text())
    found = findings("c_audit_flood")
    [flood] = found["audit-log-flood"]
    assert flood.subject == "system:serviceaccount:operators:widget-operator"
    assert flood.figure("records of the writer") == 2 * sum(truth["counts"].values())
    assert flood.figure("records per second during") == pytest.approx(19392 / 15, rel=0.01)
    assert flood.saving is not None
    assert flood.saving.modelled < 0.05 * flood.saving.observed
    assert found["apiserver-throttle-storm"] == []


@pytest.mark.parametrize(
    "case",
    [
        "a_baseline",
        "e_webhook_latest",
        "f_discovery",
        "h_node_delete_localpv",
        "j0_evictions_instant",
        "k_kubelet_faults",
    ],
)
def test_other_incidents_and_the_quiet_cluster_are_neither(case: str) -> None:
    assert findings(case) == {"apiserver-throttle-storm": [], "audit-log-flood": []}


def test_requests_of_the_quiet_cluster_are_counted_once() -> None:
    events = table("a_baseline")
    requests = AUDIT_REQUESTS.derive({AUDIT_EVENTS: events}).collect()
    assert (events.collect().height, requests.height) == (6060, 2861)


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_columns_are_what_jq_reads() -> None:
    [path] = paths("e_webhook_latest")
    fields = (
        "[.auditID,.stage,.verb,.user.username,.objectRef.resource,.objectRef.apiGroup,.responseStatus.code,"
        '.annotations["authorization.k8s.io/decision"],(.requestObject!=null),(.responseObject!=null)]'
    )
    told = subprocess.run(["jq", "-c", fields, str(path)], capture_output=True, check=True).stdout.splitlines()
    events, ledger = read(path)
    assert ledger.skipped == 0
    rows = events.select(
        *("audit_id", "stage", "verb", "user", "resource", "api_group", "code", "decision"),
        pl.col("request_body_bytes") > 0,
        pl.col("response_body_bytes") > 0,
    ).rows()
    wanted = [tuple(json.loads(line)) for line in told]
    assert [(*row[:5], row[5] or None, *row[6:]) for row in rows] == wanted


def test_event_bytes_add_up_to_the_file() -> None:
    for path in paths("a_baseline"):
        assert read(path)[0]["event_bytes"].sum() == path.stat().st_size


@pytest.mark.parametrize(
    "path", sorted((SHARED / "data" / "audit").rglob("*.*")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_logs_of_other_projects_are_read_or_refused(path: Path) -> None:
    head = path.read_bytes()[: 64 << 10]
    foreign = path.name.startswith(("gke_audit", "other_events", "fal_01")) or path.name.endswith("_manifest.yaml")
    if foreign:
        assert SOURCE.identify(head) is None
        with pytest.raises(InputError):
            read(path)
    else:
        assert SOURCE.identify(head) is not None
        events, ledger = read(path)
        assert events.height == ledger.used > 0


OWN = ("namespace", "namespaces")
"""The apiserver says that a namespace lies in itself, and the other translator that it lies in none."""

BRIDGE = SHARED / "data" / "audit" / "sysdiglabs__stackdriver-webhook-bridge"


@pytest.mark.parametrize("path", sorted(BRIDGE.glob("log_entries__*.json")), ids=lambda path: path.name)
def test_entries_of_gke_become_the_events_that_another_translator_makes_of_them(path: Path) -> None:
    """stackdriver-webhook-bridge turns the same entries into audit events for Falco, by rules of its own."""
    other = path.with_name(path.name.replace("log_entries", "k8s_audit_events"))
    if not other.exists():
        pytest.skip(f"no {other.name}")
    wanted = [json.loads(line) for line in other.read_text().splitlines() if line.strip()]
    table, ledger = read(path)
    assert ledger.skipped == 0
    assert table.height == len(wanted)
    for row, told in zip(table.rows(named=True), wanted, strict=True):
        ref = told.get("objectRef", {})
        assert row["audit_id"] == told["auditID"]
        # it takes every stream for a beginning, also where the entry is the last of its operation
        assert row["stage"] == told["stage"] or ref["subresource"] in ("exec", "attach")
        assert row["verb"] == told["verb"]
        assert row["user"] == told["user"]["username"]
        assert row["source_ip"] == told["sourceIPs"][0]
        assert row["user_agent"] == told["userAgent"]
        assert row["decision"] == told["annotations"]["authorization.k8s.io/decision"]
        assert told["requestURI"].removeprefix("core/").startswith(row["uri"].split("/", 2)[2])
        named = [name for name in ("resource", "subresource", "namespace", "name") if (name, row["resource"]) != OWN]
        assert [row[name] for name in named] == [ref.get(name) for name in named]
        # it leaves out the code of a stream, which is 101 by inference
        inferred = "inferred" in told.get("responseStatus", {}).get("status", "")
        assert inferred or row["code"] == told["responseStatus"]["code"]


@pytest.mark.parametrize("indent", [None, 2])
def test_real_events_in_envelopes_are_the_same_events(indent: int | None) -> None:
    """Every envelope around a real log gives the rows that the log gives without it."""
    path = paths("a_baseline")[0]
    lines = path.read_bytes().splitlines()[:3000]
    texts = [line.decode() for line in lines]
    plain, _ = read_bytes(b"\n".join(lines))
    for made in (
        {"events": [{"timestamp": 1, "message": text, "ingestionTime": 2} for text in texts]},
        {"records": [{"category": "kube-audit", "properties": {"log": text}} for text in texts]},
        {"results": [[{"field": "@message", "value": text}] for text in texts]},
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": text}} for text in texts]}]}]},
        [{"Category": "kube-audit", "log_s": text} for text in texts],
    ):
        table, ledger = read_bytes(json.dumps(made, indent=indent).encode())
        assert ledger.skipped == 0
        assert table.drop("number").equals(plain.drop("number"))
        assert table["number"].to_list() == list(range(1, len(lines) + 1))


def read_bytes(data: bytes) -> tuple[pl.DataFrame, Ledger]:
    ledger = Ledger()
    batches = SOURCE.read(io.BytesIO(data), Item(id="a", path=Path("a")), ReadOptions(), ledger)
    return concat(AUDIT_EVENTS, [batch[AUDIT_EVENTS] for batch in batches]), ledger
