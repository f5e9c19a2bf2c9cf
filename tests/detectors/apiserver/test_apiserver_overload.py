from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from analyzer.detector import NotObservable
from analyzer.detectors.apiserver.apiserver_overload import DETECTOR
from analyzer.frames import AUDIT_ANNOTATIONS, KLOG_LINES
from analyzer.model import Confidence, Finding, Severity
from analyzer.sources import audit as audit_source
from tests.build import at, remarks, rows, run
from tests.calls import audit, call
from tests.recordings import needed, read

GET: dict[str, Any] = {"verb": "get", "resource": "pods", "api_group": "", "namespace": "shop", "agent": "app"}
TIMEOUT: dict[str, Any] = {"code": 504, "message": "Timeout: request did not complete within the requested timeout"}
ETCD: dict[str, Any] = {"code": 500, "message": "etcdserver: request timed out"}


def calm(until: float = 900, start: float = 0) -> list[dict[str, Any]]:
    """Two requests a second of 5 ms."""
    return [call(start + i / 2, **GET) for i in range(round((until - start) * 2))]


def some(count: int, start: float = 400, took: float = 0.005, **same: Any) -> list[dict[str, Any]]:
    """So many requests, four a second."""
    return [call(start + i / 4, took, **(GET | same)) for i in range(count)]


def informers(moment: float) -> list[dict[str, Any]]:
    own: dict[str, Any] = {"user": "system:apiserver", "agent": "kube-apiserver", "verb": "watch"}
    return [call(moment + i / 100, **own, resource=f"kind{i}") for i in range(6)]


def only(findings: list[Finding]) -> Finding:
    [finding] = findings
    return finding


def test_fires_on_failures() -> None:
    finding = only(run(DETECTOR, audit(calm(), some(8, **TIMEOUT), some(4, 402, **ETCD), some(1, 403, code=503))))
    assert finding.subject == "kube-apiserver"
    assert (finding.variant, finding.stories) == ("errors", (35,))
    assert (finding.start, finding.end) == (at(400), at(403))
    assert (finding.figure("5xx answers"), finding.figure("504 answers")) == (13, 8)
    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.MEDIUM)
    assert finding.summary.startswith("13 of 20 requests failed and 0 were too slow in 3 s; the 99th percentile of")


def test_fires_on_latency_and_measures_it() -> None:
    slow = some(40, took=3, latency_etcd_seconds=2.4, agent="lister", stage_time=None)
    slow = [event | {"stage_time": event["time"] + 3} for event in slow]
    finding = only(run(DETECTOR, audit(calm(), slow)))
    assert (finding.variant, finding.stories) == ("etcd", (38,))
    requests = 40 + 20
    assert {figure.name: figure.value for figure in finding.impact} == {
        "5xx answers": 0,
        "504 answers": 0,
        "panics": 0,
        "slow requests": 40,
        "requests meanwhile": requests,
        "restarts of the server": 0,
        "longest gap": 0.5,
        "latency p50": 3,
        "latency p95": 3,
        "latency p99": 3,
        "quiet latency p50": 0.005,
        "seconds above the quiet median": pytest.approx(40 * 2.995, abs=0.001),
        "etcd's share while slow": 0.8,
        "failed or slow heartbeats of nodes": 0,
    }
    assert finding.saving is not None
    spent = 40 * 3 + 20 * 0.005
    assert (finding.saving.fix, finding.saving.unit) == ("an etcd that answers at once", "seconds")
    assert finding.saving.observed == pytest.approx(spent)
    assert finding.saving.modelled == pytest.approx(spent - 40 * 2.4)
    [agent] = finding.alternatives
    assert agent.fix == "no requests of lister"
    assert agent.modelled == pytest.approx(0.1)


def test_the_time_in_the_queue_is_told_apart() -> None:
    finding = only(run(DETECTOR, audit(calm(), some(20, took=3, latency_queue_seconds=2.9))))
    assert finding.variant == "queue"
    assert finding.figure("queue's share while slow") == pytest.approx(2.9 / 3, abs=1e-6)


def test_a_panic_is_a_failure() -> None:
    finding = only(run(DETECTOR, audit(calm(), some(10, stage="Panic", code=500))))
    assert (finding.figure("panics"), finding.figure("5xx answers")) == (10, 10)


def test_kubelets_that_complain_make_it_sure() -> None:
    lines = [{"time": 401 + i, "text": '"Failed to ensure lease exists, will retry" err="timeout"'} for i in range(3)]
    given = audit(calm(), some(12, resource="leases", user="system:node:n1", **ETCD))
    finding = only(run(DETECTOR, given | {KLOG_LINES: rows(KLOG_LINES, *lines)}))
    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.HIGH)
    assert finding.figure("log lines of clients that complain") == 3
    assert finding.figure("failed or slow heartbeats of nodes") == 12


def test_fires_on_a_start_after_a_silence() -> None:
    lists = [call(441 + i / 10, verb="list", resource="pods", agent=f"a{i % 3}", user="u") for i in range(30)]
    finding = only(run(DETECTOR, audit(calm(400), informers(440), lists, calm(900, 450))))
    assert (finding.variant, finding.confidence) == ("restart", Confidence.LOW)
    assert {figure.name: figure.value for figure in finding.impact} == {
        "restarts of the server": 1,
        "longest gap": 40.5,
        "lists in the two minutes after": 30,
        "user agents that listed or watched again": 3,
    }
    assert (finding.start, finding.end) == (at(399.5), at(440))


def test_a_start_within_an_overload_belongs_to_it() -> None:
    given = audit(calm(400), some(20, 380, **ETCD), informers(440), calm(900, 450))
    finding = only(run(DETECTOR, given))
    assert finding.figure("restarts of the server") == 1
    assert finding.figure("longest gap") == 40.5


def test_two_windows_are_two_findings() -> None:
    assert len(run(DETECTOR, audit(calm(2000), some(12, 100, **TIMEOUT), some(12, 1500, **TIMEOUT)))) == 2


@pytest.mark.parametrize(("count", "findings"), [(9, 0), (10, 1)])
def test_threshold_of_failures_and_of_slow_requests(count: int, findings: int) -> None:
    assert len(run(DETECTOR, audit(calm(), some(count, **TIMEOUT)))) == findings
    assert len(run(DETECTOR, audit(calm(), some(count, took=1.5)))) == findings


@pytest.mark.parametrize(("share", "findings"), [(4 / 124, 1), (0.034, 0)])
def test_threshold_of_the_share(share: float, findings: int) -> None:
    """Four in each of three minutes of 120 others: none has ten, together they are twelve."""
    events = [event for minute in range(3) for event in some(4, 300 + 60 * minute, **TIMEOUT)]
    assert len(run(DETECTOR, audit(calm(), events), share=share)) == findings


@pytest.mark.parametrize(("took", "findings"), [(1.0, 0), (1.001, 1)])
def test_threshold_of_the_latency_of_one_object(took: float, findings: int) -> None:
    assert len(run(DETECTOR, audit(calm(), some(20, took=took)))) == findings


@pytest.mark.parametrize(
    ("namespace", "took", "findings"), [("shop", 5, 0), ("shop", 6, 1), (None, 30, 0), (None, 31, 1)]
)
def test_threshold_of_the_latency_of_lists(namespace: str | None, took: float, findings: int) -> None:
    assert len(run(DETECTOR, audit(calm(), some(20, took=took, verb="list", namespace=namespace)))) == findings


@pytest.mark.parametrize(("least", "findings"), [(40.5, 1), (40.6, 0)])
def test_threshold_of_the_silence(least: float, findings: int) -> None:
    assert len(run(DETECTOR, audit(calm(400), informers(440), calm(900, 450)), silent_seconds=least)) == findings


@pytest.mark.parametrize(
    "lasting",
    [
        {"verb": "watch"},
        {"verb": "create", "subresource": "exec"},
        {"verb": "get", "subresource": "attach"},
        {"verb": "create", "subresource": "portforward"},
        {"verb": "get", "subresource": "proxy"},
        {"verb": "get", "subresource": "log", "uri": "/api/v1/namespaces/shop/pods/a/log?follow=true"},
    ],
)
def test_silent_on_requests_that_last_on_purpose(lasting: dict[str, Any]) -> None:
    assert run(DETECTOR, audit(calm(), some(50, took=200, **lasting))) == []


def test_silent_on_a_storm_of_rejections() -> None:
    assert run(DETECTOR, audit(calm(), some(100, code=429, decision=None))) == []


@pytest.mark.parametrize(
    "other",
    [
        {"code": 500, "message": 'Internal error occurred: failed calling webhook "x": context deadline exceeded'},
        {"code": 500, "message": "error dialing backend: dial tcp: lookup n1: no such host", "subresource": "log"},
        {"code": 500, "message": "Internal error occurred: nil map"},
        {"code": 500, "resource": None, "path": "/readyz"},
        {"code": 503, "resource": None, "path": "/healthz"},
        {"code": 403},
        {"code": 409},
    ],
)
def test_silent_on_failures_that_are_not_the_servers(other: dict[str, Any]) -> None:
    assert run(DETECTOR, audit(calm(), some(50, **other))) == []


def test_silent_on_an_aggregated_api_that_is_down_but_for_a_remark() -> None:
    down = some(50, code=503, api_group="metrics.k8s.io")
    assert run(DETECTOR, audit(calm(), down)) == []
    assert "metrics.k8s.io is 503" in remarks(DETECTOR, audit(calm(), down))[0]
    up = some(1, 10, api_group="metrics.k8s.io")
    assert len(run(DETECTOR, audit(calm(), down, up))) == 1


def test_silent_on_slow_webhooks_but_for_a_remark() -> None:
    given = audit(some(20, 0, took=3, verb="create"))
    notes = [
        {"number": i, "time": 0, "annotation": "apiserver.latency.k8s.io/mutating-webhook", "seconds": 2.5}
        for i in range(1, 21)
    ]
    annotated = given | {AUDIT_ANNOTATIONS: rows(AUDIT_ANNOTATIONS, *notes)}
    assert run(DETECTOR, annotated) == []
    assert "20 requests were slow because an admission webhook" in remarks(DETECTOR, annotated)[0]
    assert len(run(DETECTOR, given)) == 1


def test_silent_on_a_rollout_of_one_of_several_servers_but_for_a_remark() -> None:
    given = audit(calm(), informers(440))
    assert run(DETECTOR, given) == []
    assert "while requests went on" in remarks(DETECTOR, given)[0]


def test_silent_on_a_hole_in_the_log_but_for_a_remark() -> None:
    lists = [call(700 + i / 10, verb="list", resource="pods", agent=f"a{i % 3}", user="u") for i in range(30)]
    given = audit(calm(400), lists, calm(900, 700))
    assert run(DETECTOR, given) == []
    assert "a part of the log is missing" in remarks(DETECTOR, given)[0]


def test_silent_on_a_calm_log() -> None:
    assert run(DETECTOR, audit(calm())) == []


def test_silent_without_rows() -> None:
    assert run(DETECTOR, audit([])) == []
    assert remarks(DETECTOR, audit([])) == []


def test_a_log_without_answers_cannot_show_it() -> None:
    with pytest.raises(NotObservable, match="leaves out ResponseComplete"):
        run(DETECTOR, audit([event | {"stage": "RequestReceived", "code": None} for event in calm(30)]))


def test_what_the_log_cannot_show_is_told() -> None:
    writes = audit([event | {"verb": "update"} for event in calm()])
    assert [text[:28] for text in remarks(DETECTOR, writes)] == ["Seen in part only, by writes"]
    untimed = audit([event | {"stage_time": None} for event in calm()])
    assert remarks(DETECTOR, untimed)[0].endswith("latency is not observable.")
    failures = audit([event | {"stage_time": None} for event in [*calm(), *some(20, **TIMEOUT)]])
    finding = only(run(DETECTOR, failures))
    assert "latency p50" not in {figure.name for figure in finding.impact}
    assert finding.saving is None


def test_the_same_rows_in_any_order_give_the_same_finding() -> None:
    given = audit(calm(), some(20, **TIMEOUT), some(20, took=3))
    assert run(DETECTOR, given) == run(DETECTOR, {table: frame.reverse() for table, frame in given.items()})


def test_take_the_failures_away_and_it_goes_add_unrelated_rows_and_it_stays() -> None:
    bad = some(20, **TIMEOUT)
    assert run(DETECTOR, audit(calm(), [event | {"code": 200, "message": None} for event in bad])) == []
    noise = [call(i, **GET | {"agent": "other"}, user="u") for i in range(1000, 1500)]
    [one], [other] = (run(DETECTOR, audit(calm(), bad, more)) for more in ([], noise))
    assert one.impact == other.impact
    assert one.saving == other.saving


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_the_command_to_verify_runs(tmp_path: Path) -> None:
    finding = only(run(DETECTOR, audit(calm(), some(20, **TIMEOUT))))
    line = {
        "stage": "ResponseComplete",
        "verb": "get",
        "responseStatus": {"code": 504},
        "objectRef": {"resource": "pods"},
    }
    (tmp_path / "t").write_text(json.dumps(line) + "\n")
    done = subprocess.run(["sh", "-c", finding.verify[0]], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "504", "get", "pods"]


@needed
@pytest.mark.parametrize("case", ["a_baseline", "b1_storm_maxinflight", "e_webhook_latest", "k_kubelet_faults"])
def test_recordings_without_an_overload_are_quiet(case: str) -> None:
    """A webhook that is down (26 creates answered 500), a storm of 429, and health checks of starting servers."""
    assert run(DETECTOR, read(audit_source.SOURCE, f"{case}/audit.log")) == []
