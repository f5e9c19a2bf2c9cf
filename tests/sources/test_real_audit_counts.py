"""Counts of every recorded audit log against jq, where that evidence and jq are."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import AUDIT_ANNOTATIONS, AUDIT_EVENTS, AUDIT_OBJECTS, Table, concat
from analyzer.sources.audit import SOURCE
from analyzer.sources.contract import Item, Ledger, ReadOptions

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
LOGS = [
    *sorted((SHARED / "real").glob("*/audit*.log*")),
    *sorted((SHARED / "data" / "audit").glob("falcosecurity__falco/*.json")),
    *sorted((SHARED / "data" / "audit").glob("*/*.log")),
]

pytestmark = [
    pytest.mark.skipif(not LOGS, reason=f"no evidence in {SHARED}"),
    pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed"),
    pytest.mark.parametrize("path", LOGS, ids=lambda path: f"{path.parent.name}/{path.name}"),
]

EVENT = 'select(type=="object" and has("auditID"))'
LONG = (
    '(.verb=="watch" or .verb=="proxy" or (.objectRef.subresource as $s | ["exec","attach","portforward","proxy"]'
    '| index($s)) or (.objectRef.subresource=="log" and (.requestURI | test("[?&]follow=(true|1)"))))'
)


def data(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def jq(path: Path, query: str) -> list[Any]:
    done = subprocess.run(["jq", "-c", query], input=data(path), capture_output=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def read(path: Path) -> dict[Table, pl.DataFrame]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        batches = list(SOURCE.read(stream, Item(id=path.name, path=path), ReadOptions(), Ledger()))
    return {table: concat(table, [batch[table] for batch in batches if table in batch]) for table in SOURCE.tables}


def events_of(path: Path) -> dict[Table, pl.DataFrame]:
    if not jq(path, EVENT):
        pytest.skip("no audit event stands bare in it")
    return read(path)


def test_stages_codes_users_verbs_and_resources_are_those_of_jq(path: Path) -> None:
    fields = (
        "[.stage,.responseStatus.code,.user.username,.impersonatedUser.username,.verb,.objectRef.resource,"
        '.objectRef.subresource,.objectRef.namespace,.sourceIPs[-1],.userAgent,.annotations["authorization.k8s.io/reason"]]'
    )
    columns = ("stage", "code", "user", "impersonated_user", "verb", "resource", "subresource", "namespace")
    rows = events_of(path)[AUDIT_EVENTS].select(*columns, "last_source_ip", "user_agent", "decision_reason").rows()
    wanted = [(*row[:10], (row[10] or "")[:512] or None) for row in jq(path, f"{EVENT} | {fields}")]
    assert Counter(rows) == Counter(wanted)


def test_requests_are_those_of_jq_by_id_and_last_stage(path: Path) -> None:
    events = events_of(path)[AUDIT_EVENTS]
    derived = AUDIT_REQUESTS.derive({AUDIT_EVENTS: events.lazy()}).collect()
    told = jq(path, f"{EVENT} | [.auditID, .requestReceivedTimestamp, .stage, .responseStatus.code, {LONG}]")
    ended = {(one[0], one[1]) for one in told if one[2] in ("ResponseComplete", "Panic")}
    begun = {
        (one[0], one[1]): one[3]
        for one in told
        if one[2] == "ResponseStarted" or (one[2] == "RequestReceived" and one[4])
    }
    still = {key for key in begun if key not in ended}
    assert derived.height == len(ended | still)
    assert derived.filter("open").height == sum(1 for key in still if not begun[key] or begun[key] < 400)
    assert derived.filter("open")["latency_seconds"].null_count() == derived.filter("open").height


def test_annotations_are_those_of_jq(path: Path) -> None:
    kept = "^(apiserver.latency.k8s.io|pod-security.kubernetes.io|k8s.io)/"
    told = jq(path, f'{EVENT} | .annotations // {{}} | keys[] | select(test("{kept}"))')
    assert Counter(events_of(path)[AUDIT_ANNOTATIONS]["annotation"]) == Counter(told)


def test_addresses_of_pods_and_items_of_lists_are_those_of_jq(path: Path) -> None:
    rows = events_of(path)[AUDIT_OBJECTS]
    pods = (
        f'{EVENT} | select(.objectRef.resource=="pods" and (.objectRef.subresource as $s | [null,"status","binding"]'
        '| index([$s]) != null or index($s) != null)) | select(.verb != "list") '
        '| (if (.verb | startswith("delete")) then empty else .requestObject end), '
        "(if (.responseStatus.code // 200) < 300 then .responseObject else empty end) "
        '| select(type=="object") | .status.podIP? // empty'
    )
    assert Counter(rows["pod_ip"].drop_nulls()) == Counter(jq(path, pods))
    counted = (
        f'{EVENT} | select(.verb=="list" and (.responseStatus.code // 200) < 300 and .responseObject.items != null) '
        "| [.objectRef.resource, (.responseObject.items | length)]"
    )
    told = Counter((resource, count) for resource, count in jq(path, counted))
    assert not Counter(rows.filter(pl.col("items").is_not_null()).select("resource", "items").rows()) - told
