from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from analyzer.detector import NotObservable
from analyzer.detectors.apiserver.discovery_burst import DETECTOR
from analyzer.frames import KLOG_LINES
from analyzer.model import Confidence, Finding, Severity
from analyzer.sources import audit as audit_source
from tests.build import at, rows, run
from tests.calls import audit, call
from tests.recordings import needed, read

USER = "system:serviceaccount:jobs:minutely"
KUBECTL: dict[str, Any] = {"verb": "get", "agent": "kubectl", "user": USER, "source_ip": "10.0.0.7"}
PATHS = ["/api", "/apis", "/api/v1", *(f"/apis/group-{i}.example.com/v1" for i in range(42))]


def cold(start: float, paths: int = 45, apart: float = 0.02, **same: Any) -> list[dict[str, Any]]:
    """One run without a cache: so many paths of discovery, then what it came for."""
    gets = [
        call(start + i * apart, path=path, uri=f"{path}?timeout=32s", **(KUBECTL | same))
        for i, path in enumerate(PATHS[:paths])
    ]
    return [*gets, call(start + 1, resource="pods", **(KUBECTL | same | {"verb": "list"}))]


def minutely(runs: int, paths: int = 45, period: float = 60, **same: Any) -> list[dict[str, Any]]:
    return [event for turn in range(runs) for event in cold(turn * period, paths, **same)]


def only(findings: list[Finding]) -> Finding:
    [finding] = findings
    return finding


def test_fires_on_a_cron_job_without_a_cache() -> None:
    finding = only(run(DETECTOR, audit(minutely(10))))
    assert finding.subject == USER
    assert finding.summary == (
        f"10 runs of kubectl by {USER} asked for discovery with 45 GETs each, 450 in all, about every 60 s."
    )
    assert (finding.start, finding.end) == (at(0), at(540.88))
    assert (finding.severity, finding.confidence) == (Severity.LOW, Confidence.HIGH)
    assert {figure.name: figure.value for figure in finding.impact} == {
        "runs": 10,
        "GETs per run": 45,
        "GETs": 450,
        "seconds per run": 0.88,
        "period": 60,
        "client addresses": 1,
        "GETs per day": round(450 / 540.88 * 86_400),
        "rejected GETs": 0,
    }


def test_the_saving_replays_a_cache_over_the_runs_that_are_there() -> None:
    finding = only(run(DETECTOR, audit(minutely(10))))
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (450, 45)
    [aggregated] = finding.alternatives
    assert (aggregated.observed, aggregated.modelled) == (450, 20)


def test_a_cache_that_is_good_for_a_shorter_time_saves_less() -> None:
    finding = only(run(DETECTOR, audit(minutely(10)), cache_seconds=300))
    assert finding.saving is not None
    assert finding.saving.modelled == 2 * 45


def test_each_address_keeps_a_cache_of_its_own() -> None:
    runs = [event for turn in range(6) for event in cold(turn * 60, source_ip=f"10.0.0.{turn % 2}")]
    finding = only(run(DETECTOR, audit(runs)))
    assert finding.saving is not None
    assert (finding.figure("client addresses"), finding.saving.modelled) == (2, 90)


def test_runs_at_the_same_time_from_one_address_are_told_apart() -> None:
    both = [*minutely(3), *[event | {"time": event["time"] + 0.01} for event in minutely(3)]]
    finding = only(run(DETECTOR, audit(both)))
    assert (finding.figure("runs"), finding.figure("GETs per run")) == (6, 45)
    assert finding.figure("period") == 60


def test_container_starts_on_its_node_are_counted() -> None:
    lines = [
        {"time": 10, "host": "n1", "text": '"SyncLoop (PLEG)" event={"Type":"ContainerStarted"}'},
        {"time": 10, "host": "n2", "text": '"SyncLoop (PLEG)" event={"Type":"ContainerStarted"}'},
    ]
    given = audit(minutely(3, caller_node="n1")) | {KLOG_LINES: rows(KLOG_LINES, *lines)}
    assert only(run(DETECTOR, given)).figure("container starts on its nodes meanwhile") == 1


def test_severity_follows_the_rate_and_rejections() -> None:
    assert only(run(DETECTOR, audit(minutely(30)))).severity is Severity.MEDIUM
    rejected = minutely(3, code=429, decision=None)
    assert only(run(DETECTOR, audit(rejected))).severity is Severity.HIGH


def test_runs_without_a_clock_are_less_sure() -> None:
    odd = [event for moment in (0, 5, 200, 230, 900) for event in cold(moment)]
    assert only(run(DETECTOR, audit(odd))).confidence is Confidence.MEDIUM


def test_two_users_are_two_findings() -> None:
    other = minutely(4, user="system:serviceaccount:jobs:other")
    assert len(run(DETECTOR, audit(minutely(4), other))) == 2


@pytest.mark.parametrize(("paths", "findings"), [(9, 0), (10, 1)])
def test_threshold_of_paths(paths: int, findings: int) -> None:
    assert len(run(DETECTOR, audit(minutely(4, paths)))) == findings


@pytest.mark.parametrize(("runs", "findings"), [(2, 0), (3, 1)])
def test_threshold_of_runs(runs: int, findings: int) -> None:
    assert len(run(DETECTOR, audit(minutely(runs)))) == findings


@pytest.mark.parametrize(("apart", "findings"), [(2.0, 1), (2.001, 0)])
def test_threshold_of_the_gap(apart: float, findings: int) -> None:
    assert len(run(DETECTOR, audit(minutely(3, 12, 600, apart=apart)))) == findings


def test_silent_on_a_first_use_after_an_upgrade_and_on_the_start_of_an_operator() -> None:
    person, operator = (
        cold(0, user="alice"),
        cold(30, user="system:serviceaccount:data:db-operator", agent="db-operator"),
    )
    assert run(DETECTOR, audit(person, operator)) == []


def test_silent_on_a_warm_cache_and_on_aggregated_discovery() -> None:
    """Two paths in each run, twelve runs at once: 24 GETs within two seconds are no burst."""
    assert run(DETECTOR, audit([event for turn in range(12) for event in cold(turn * 0.08, 2)])) == []


@pytest.mark.parametrize(
    "own",
    [
        {"user": "system:kube-controller-manager", "agent": "kube-controller-manager"},
        {"user": "system:serviceaccount:kube-system:generic-garbage-collector", "agent": "kube-controller-manager"},
        {
            "user": "system:serviceaccount:openshift-apiserver-operator:o",
            "agent": "cluster-openshift-apiserver-operator",
        },
        {"user": "system:apiserver", "agent": "kube-apiserver"},
    ],
)
def test_silent_on_the_collectors_of_the_control_plane(own: dict[str, Any]) -> None:
    assert run(DETECTOR, audit(minutely(20, period=30, **own))) == []


def test_silent_without_rows() -> None:
    assert run(DETECTOR, audit([])) == []


@pytest.mark.parametrize("verb", ["create", "list"])
def test_a_log_without_gets_or_without_paths_cannot_show_it(verb: str) -> None:
    with pytest.raises(NotObservable, match="no get at all"):
        run(DETECTOR, audit([call(0, verb=verb, resource="pods")]))
    with pytest.raises(NotObservable, match="no request to a path that is no resource"):
        run(DETECTOR, audit([call(0, verb="get", resource="pods")]))


def test_take_the_paths_away_and_it_goes_add_unrelated_rows_and_it_stays() -> None:
    health = call(0.5, verb="get", path="/healthz", user="u", agent="curl")
    assert run(DETECTOR, audit([event for event in minutely(10) if event.get("resource")], [health])) == []
    noise = [call(i, verb="get", path="/healthz", user="u", agent="curl") for i in range(500)]
    [one], [other] = (run(DETECTOR, audit(minutely(10), more)) for more in ([], noise))
    assert one.impact == other.impact
    assert one.saving == other.saving


def test_the_same_rows_in_any_order_give_the_same_finding() -> None:
    given = audit(minutely(10))
    assert run(DETECTOR, given) == run(DETECTOR, {table: frame.reverse() for table, frame in given.items()})


def test_the_snippets_can_be_pasted() -> None:
    for remedy in DETECTOR.remedies:
        assert not remedy.snippet or yaml.safe_load(remedy.snippet)


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_the_command_to_verify_runs(tmp_path: Path) -> None:
    finding = only(run(DETECTOR, audit(minutely(4))))
    lines = [
        {
            "stage": "ResponseComplete",
            "verb": "get",
            "user": {"username": USER},
            "requestURI": uri,
            "requestReceivedTimestamp": "2026-03-14T09:00:00.000000Z",
        }
        for uri in ("/apis/apps/v1?timeout=32s", "/api", "/healthz")
    ]
    (tmp_path / "t").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = subprocess.run(["sh", "-c", finding.verify[0]], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "2026-03-14T09:00"]


@needed
@pytest.mark.parametrize("case", ["f_discovery", "a_baseline", "b1_storm_maxinflight", "k_kubelet_faults"])
def test_recordings_of_clients_that_know_aggregated_discovery_are_quiet(case: str) -> None:
    """f_discovery: 12 runs of kubectl 1.36 without a cache cost two GETs each; its README says: not the burst."""
    assert run(DETECTOR, read(audit_source.SOURCE, f"{case}/audit.log")) == []
