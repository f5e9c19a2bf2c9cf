"""Every wrapper around lines of every format: recognised, taken off, timed, quoted, and nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import polars as pl
import pytest

from analyzer import sources
from analyzer.frames import AUDIT_EVENTS, COREDNS_QUERIES, KLOG_LINES, Table
from analyzer.sources.audit import SOURCE as AUDIT
from analyzer.sources.contract import Source
from analyzer.sources.coredns import SOURCE as COREDNS
from analyzer.sources.klog import SOURCE as KLOG
from tests.sources import wrapped
from tests.sources.texts import Reading, read_text

FORMATS: dict[str, tuple[Source, Table, Callable[[int], str]]] = {
    "coredns": (COREDNS, COREDNS_QUERIES, wrapped.coredns),
    "klog": (KLOG, KLOG_LINES, wrapped.klog),
    "audit": (AUDIT, AUDIT_EVENTS, wrapped.audit),
}
COUNT = 12
BESIDES = ["source", "number", "time", "host", "component", "pod", "line_bytes", "event_bytes", "query_time", "stream"]
"""Columns that tell of the wrapper, or of its own time."""


def lines_of(name: str, count: int = COUNT) -> list[str]:
    return [FORMATS[name][2](number) for number in range(count)]


def said(name: str, reading: Reading) -> pl.DataFrame:
    table = reading.tables[FORMATS[name][1]]
    return table.sort("number").drop(BESIDES, strict=False)


@pytest.mark.parametrize("form", wrapped.EVERY)
@pytest.mark.parametrize("name", FORMATS)
def test_what_the_lines_say_is_the_same_in_every_wrapper(name: str, form: str) -> None:
    if (name, form) == ("klog", "Fluent Bit as msgpack"):
        pytest.skip("out_stdout does not escape quotes as JSON does: text after an inner quote may be lost")
    source, table, _ = FORMATS[name]
    data = wrapped.wrap(form, lines_of(name))
    found = sources.identify(data)
    assert found is not None
    assert found[0] is source
    reading = read_text(source, data, year=2026)
    plain = read_text(source, lines_of(name), year=2026)
    assert said(name, reading).equals(said(name, plain))
    assert reading.report.records == reading.report.used == COUNT
    times = reading.tables[table].sort("number")["time"]
    if name != "coredns" or form not in wrapped.TIMELESS:
        assert [time.replace(microsecond=0) for time in times] == [
            wrapped.START.replace(second=second, microsecond=0) for second in range(COUNT)
        ]
    number = int(reading.tables[table]["number"].min())  # type: ignore[arg-type]  # untyped by polars
    assert source.quote(BytesIO(data), frozenset({number}))[number]


@pytest.mark.parametrize("form", [*wrapped.LINES, "Loki's API", "Grafana, JSON", "journalctl json-pretty"])
def test_a_reader_is_told_what_was_taken_off(form: str) -> None:
    found = sources.identify(wrapped.wrap(form, lines_of("klog")))
    assert found is not None
    assert form == "carriage returns" or "; wrapped: " in found[1].reason


@pytest.mark.parametrize("form", ["CRI", "docker", "logcli", "journalctl short-full", "stern", "RFC 5424"])
def test_foreign_lines_at_the_head_cost_only_themselves(form: str) -> None:
    head = b"# saved by hand\nfrom node-1, first attempt\n\n"
    reading = read_text(KLOG, head + wrapped.wrap(form, lines_of("klog")), year=2026)
    assert said("klog", reading).equals(said("klog", read_text(KLOG, lines_of("klog"), year=2026)))
    assert reading.report.skipped == 2


PODS = [
    *(
        "Filebeat",
        "stern -o json",
        "logcli",
        "Grafana, JSON",
        "Cloud Logging, container",
        "ContainerLogV2",
        "Splunk, export",
    ),
    *("Container Insights in CloudWatch", "a hit of Elasticsearch", "Datadog", "OpenTelemetry, lines", "Event Hubs"),
]


@pytest.mark.parametrize("form", PODS)
def test_the_pod_is_known(form: str) -> None:
    reading = read_text(COREDNS, wrapped.wrap(form, lines_of("coredns")))
    assert set(reading.column(COREDNS_QUERIES, "pod")) == {"web-0"}


@pytest.mark.parametrize("form", ["Fluent Bit out_file", "Fluentd out_file", "Vector"])
def test_the_pod_is_read_from_the_name_of_its_log(form: str) -> None:
    reading = read_text(COREDNS, wrapped.wrap(form, lines_of("coredns")))
    assert set(reading.column(COREDNS_QUERIES, "pod")) == {"web-0"}


JOURNALS = ["oc adm node-logs", "journalctl export", "journalctl with-unit", "RFC 5424", "ViaQ, journal"]


@pytest.mark.parametrize("form", [*JOURNALS, "Filebeat, journal", "Syslog of Azure Monitor", "rsyslog, JSON"])
def test_host_and_program_are_known(form: str) -> None:
    reading = read_text(KLOG, wrapped.wrap(form, lines_of("klog")), year=2026)
    assert {str(host)[:5] for host in reading.column(KLOG_LINES, "host")} == {"node-"}
    assert set(reading.column(KLOG_LINES, "component")) == {"kubelet"}


@pytest.mark.parametrize(
    "form", ["CloudWatch subscription", "Event Hubs", "CloudWatch Logs Insights", "AKSControlPlane"]
)
def test_the_part_of_a_control_plane_is_known_by_its_stream_or_category(form: str) -> None:
    reading = read_text(KLOG, wrapped.wrap(form, lines_of("klog")), year=2026)
    assert set(reading.column(KLOG_LINES, "component")) == {"kube-scheduler"}
