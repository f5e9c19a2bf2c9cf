"""Wrappers inside wrappers, as agents and stores make them: every line is read, whatever was put around it."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
import zstandard

from analyzer import sources
from analyzer.frames import AUDIT_EVENTS, COREDNS_QUERIES, KLOG_LINES
from analyzer.sources.audit import SOURCE as AUDIT
from analyzer.sources.coredns import SOURCE as COREDNS
from analyzer.sources.klog import SOURCE as KLOG
from analyzer.sources.shapes import Kind
from analyzer.sources.wrappers import detect_wrapper
from tests.sources import wrapped
from tests.sources.bundles import reading
from tests.sources.texts import read_text

COUNT = 12
FORMATS = {
    "klog": (KLOG, KLOG_LINES, wrapped.klog),
    "coredns": (COREDNS, COREDNS_QUERIES, wrapped.coredns),
    "audit": (AUDIT, AUDIT_EVENTS, wrapped.audit),
}
PAIRS = [
    ("Fluent Bit json_lines", "docker"),  # a parser that was forgotten: the record stands in `log` as text
    ("Filebeat", "docker"),
    ("Fluent Bit out_file", "docker"),
    ("logcli -o jsonl", "Container Insights"),  # Fluent Bit's output to Loki with line_format json
    ("logcli", "Fluent Bit json_lines"),
    ("Grafana, text", "docker"),
    ("Loki's API", "Fluent Bit json_lines"),
    ("Grafana, JSON", "Container Insights"),
    ("RFC 5424", "ViaQ"),  # OpenShift's forwarding to syslog
    ("rsyslog", "ViaQ"),
    ("CRI", "Fluent Bit json_lines"),  # an agent that prints its records
    ("kubectl --timestamps", "Filebeat"),
    ("kubectl --prefix", "Filebeat"),
    ("stern", "docker"),
    ("CloudWatch subscription", "Container Insights"),
    ("aws logs get-query-results", "Container Insights"),
    ("CloudWatch Logs Insights", "Container Insights"),
    ("a hit of Elasticsearch", "docker"),
    ("Fluent Bit that knows no CRI", "Fluent Bit json_lines"),
]


@pytest.mark.parametrize(("outer", "inner"), PAIRS)
@pytest.mark.parametrize("name", FORMATS)
def test_the_lines_are_read(name: str, outer: str, inner: str) -> None:
    source, table, line = FORMATS[name]
    lines = [wrapped.LINES[inner](number, line(number)) for number in range(COUNT)]
    data = wrapped.wrap(outer, lines)
    found = sources.identify(data)
    assert found is not None
    assert found[0] is source
    got, plain = read_text(source, data, year=2026), read_text(source, [line(n) for n in range(COUNT)], year=2026)
    beside = [
        "source",
        "number",
        "time",
        "host",
        "component",
        "pod",
        "line_bytes",
        "event_bytes",
        "query_time",
        "stream",
    ]
    assert got.tables[table].drop(beside, strict=False).equals(plain.tables[table].drop(beside, strict=False))
    assert got.tables[table]["time"].null_count() == 0
    assert got.report.used == got.report.records == COUNT


def test_an_agent_s_export_of_cri_lines_of_klog_json_in_a_compressed_archive(tmp_path: Path) -> None:
    def entry(number: int) -> str:
        told = {"ts": wrapped.nanos(number) / 1e6, "caller": "kubelet/kubelet.go:1", "msg": f"m {number}", "v": 2}
        return json.dumps(told, separators=(",", ":"))

    data = wrapped.wrap("Fluent Bit that knows no CRI", [entry(number) for number in range(COUNT)])
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        info = tarfile.TarInfo("export/kubelet.json")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    path = tmp_path / "export.tar.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(packed.getvalue()))

    assert reading(path).used == {"export.tar.zst!export/kubelet.json": COUNT}


@pytest.mark.parametrize("outer", ["CRI", "docker", "kubectl --timestamps", "logcli", "RFC 5424"])
@pytest.mark.parametrize(
    "own",
    [
        {"level": "info", "time": "2026-03-14T09:00:00Z", "message": "started"},
        {"level": "info", "ts": 1.5, "msg": "started", "log": {"a": 1}},
        {"metadata": {"name": "e"}, "reason": "BackOff", "message": "Back-off", "involvedObject": {"kind": "Pod"}},
    ],
)
def test_a_program_s_own_json_is_no_wrapper(outer: str, own: dict[str, object]) -> None:
    found = detect_wrapper(wrapped.wrap(outer, [json.dumps(own)] * COUNT))
    assert found.inner is None
    assert found.kind is not Kind.RAW


def test_records_of_an_agent_behind_the_names_of_their_pods() -> None:
    """kubectl's prefix and the record both name pod and container."""
    lines = [
        f"[pod/fluent-bit-x/fluent-bit] {wrapped.LINES['stern -o json'](n, wrapped.coredns(n))}" for n in range(COUNT)
    ]
    assert set(read_text(COREDNS, lines).column(COREDNS_QUERIES, "pod")) == {"web-0"}
