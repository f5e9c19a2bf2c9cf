"""Requests in klog: HTTP logs of both eras, traces with their steps, failed handshakes."""

from __future__ import annotations

import polars as pl
import pytest

from analyzer.facts.klog_requests import http_logs, tls_errors, trace_field, traces
from analyzer.frames import KLOG_LINES
from analyzer.sources.klog import SOURCE
from tests.sources.texts import read_text


def table(*lines: str) -> pl.LazyFrame:
    first, *more = lines
    lines = (f"I0314 09:00:00.000000       1 x.go:1] {first}", *more, "I0314 09:00:01.000000       1 x.go:2] other")
    return read_text(SOURCE, lines, year=2026).tables[KLOG_LINES].lazy()


HTTP = (
    '"HTTP" verb="LIST" URI="/api/v1/pods?limit=500" latency="12.5ms" userAgent="kubectl/v1.30.0 (linux/amd64)" '
    'audit-ID="1be50096-f08d-418a-93fe-bcada09c6e22" srcIP="10.0.0.1:5000" apf_pl="workload-low" resp=429'
)
OLD = "GET /api/v1/pods?limit=500: (12.5ms) 429 [kubectl/v1.9.0 (linux/amd64) kubernetes/ab 10.0.0.1:5000]"
OLDEST = "GET /api/v1/pods?limit=500: (12.5ms) 429 [[kubectl/v1.5.0 (linux/amd64)] 10.0.0.1:5000]"


@pytest.mark.parametrize(("text", "verb"), [(HTTP, "LIST"), (OLD, "GET"), (OLDEST, "GET")])
def test_requests_of_both_eras_have_the_same_columns(text: str, verb: str) -> None:
    rows = http_logs(table(text)).collect().to_dicts()
    [row] = rows
    assert (row["verb"], row["uri"], row["code"]) == (verb, "/api/v1/pods?limit=500", 429)
    assert row["latency_seconds"] == pytest.approx(0.0125)
    assert row["client"] == "10.0.0.1:5000"
    assert str(row["user_agent"]).startswith("kubectl/v1.")


NEW_TRACE = (
    (
        'Trace[50627258]: "List" accept:application/json, */*,client:127.0.0.1,url:/api/v1/services,verb:LIST '
        "(14-Mar-2026 09:00:00.000) (total time: 1299ms):"
    ),
    'Trace[50627258]: ---"About to \\"List\\"" 100ms (09:00:00.100)',
    'Trace[50627258]: ---"Writing http response done" count:12 1199ms (09:00:01.299)',
    "Trace[50627258]: [1.299775064s] [1.299775064s] END",
)
OLD_TRACE = (
    'Trace[7]: "List /api/v1/pods" (started: 2018-03-14 09:00:00.1 +0000 UTC m=+1.5) (total time: 1.5s):',
    "Trace[7]: [1s] [1s] Listing from storage done",
    "Trace[7]: [1.5s] [500ms] END",
)


def test_a_trace_has_its_numbers_its_fields_and_its_steps() -> None:
    [row] = traces(table(*NEW_TRACE)).with_columns(trace_field("url"), trace_field("accept")).collect().to_dicts()
    assert (row["trace"], row["operation"], row["url"]) == ("50627258", "List", "/api/v1/services")
    assert row["accept"] == "application/json, */*"
    assert row["total_seconds"] == pytest.approx(1.299)
    steps = [(step["step"], step["seconds"]) for step in row["steps"]]
    assert steps == [('About to \\"List\\"', pytest.approx(0.1)), ("Writing http response done", pytest.approx(1.199))]


def test_a_trace_of_the_older_form_too() -> None:
    [row] = traces(table(*OLD_TRACE)).collect().to_dicts()
    assert (row["operation"], row["total_seconds"]) == ("List /api/v1/pods", 1.5)
    assert row["steps"] == [{"step": "Listing from storage done", "seconds": 1.0}]


def test_failed_handshakes_name_client_and_reason() -> None:
    text = "http: TLS handshake error from 10.0.0.1:5000: remote error: tls: bad certificate"
    [row] = tls_errors(table(text)).collect().to_dicts()
    assert (row["client"], row["reason"]) == ("10.0.0.1:5000", "remote error: tls: bad certificate")
