"""What a log can show of a storm, what is done about it, and where its thresholds lie."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.detector import NotObservable
from analyzer.detectors.apiserver.apiserver_throttle_storm import DETECTOR
from analyzer.detectors.apiserver.apiserver_throttle_storm.flowschema import flow_api
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import AUDIT_EVENTS
from analyzer.model import Confidence, Severity
from tests.build import frames_for, remarks, rows, run
from tests.detectors.apiserver.storms import (
    AGENT,
    KUBELET,
    OPERATOR,
    QUIET,
    STORM,
    asked,
    every,
    log,
)

LEASE = KUBELET | {"namespace": "kube-node-lease", "name": "node-1"}
BARE = asked(AGENT, every(0.5, 300, 330), cost=0.4) + asked(AGENT, every(0.25, 300.1, 330.1), code=429, cost=0)


def wish(*moments: float, served: float | None = None, **changed: Any) -> list[dict[str, Any]]:
    """One request that was rejected at these moments, and served then."""
    who = AGENT | {"uri": "/api/v1/pods?limit=1"} | changed
    return asked(who, moments, code=429, cost=0) + (asked(who, [served], cost=0.5) if served is not None else [])


WRITER = OPERATOR | {"verb": "update"}


def test_a_log_of_writes_only_is_not_observable_and_never_quiet() -> None:
    """AKSAuditAdmin, Admin Activity of GKE, and policies with `level: None, verbs: [get, list, watch]`."""
    with pytest.raises(NotObservable, match="no get, list or watch"):
        run(DETECTOR, log(asked(WRITER, every(1, 0, 60))))


def test_a_log_without_answers_is_not_observable() -> None:
    received = [OPERATOR | {"time": i, "stage": "RequestReceived", "audit_id": f"r{i}"} for i in range(50)]
    with pytest.raises(NotObservable, match="ResponseComplete"):
        run(DETECTOR, {AUDIT_EVENTS: rows(AUDIT_EVENTS, *received)})


def test_rejected_writes_in_a_log_of_writes_are_found_and_hardly_sure() -> None:
    storm = asked(WRITER, every(0.5, 300, 330)) + asked(WRITER, every(0.25, 300.1, 330.1), code=429, cost=0)
    [finding] = run(DETECTOR, log(storm))
    assert finding.figure("rejected requests") == 120
    assert finding.confidence is Confidence.LOW
    assert "no get, list or watch" in finding.confidence_reason


def test_a_few_rejected_writes_in_a_log_of_writes_say_that_reads_are_missing() -> None:
    assert remarks(DETECTOR, log(asked(WRITER, every(1, 0, 60)), asked(WRITER, [7], code=429))) == [
        "1 requests were rejected with 429 outside of any storm: too few for a finding.",
        "Seen in part only: the log holds no get, list or watch, so who else read is not known.",
    ]


def test_without_decisions_in_the_log_it_is_less_sure() -> None:
    bare = [event | {"decision": None} for event in QUIET + STORM]
    [finding] = run(DETECTOR, log(bare))
    assert finding.confidence is Confidence.MEDIUM
    assert "no authorization decisions" in finding.confidence_reason


def test_several_accounts_of_the_offender_are_caged_together() -> None:
    second = [event | {"user": "system:serviceaccount:ops:agent"} for event in BARE[:40]]
    [finding] = run(DETECTOR, log(BARE[40:], second))
    snippet = finding.remedies[0].snippet
    assert 'serviceAccount: {namespace: "datadog", name: "datadog-agent"}' in snippet
    assert 'serviceAccount: {namespace: "ops", name: "agent"}' in snippet


def test_paths_that_are_no_resources_are_caged_by_rules_of_their_own() -> None:
    paths = AGENT | {"resource": None, "api_group": None, "verb": "get"}
    storm = [
        event | {"path": path}
        for event in asked(paths, every(0.5, 300, 330), code=429, cost=0)
        for path in ("/metrics", "/apis/apps/v1")
    ]
    [finding] = run(DETECTOR, log(storm))
    snippet = finding.remedies[0].snippet
    assert 'nonResourceURLs: ["/apis/*", "/metrics"]' in snippet
    assert "resourceRules" not in snippet


@pytest.mark.parametrize(
    "who", [KUBELET, {"agent": "kube-controller-manager", "user": "system:serviceaccount:kube-system:job-controller"}]
)
def test_kubelets_and_controllers_are_not_caged(who: dict[str, Any]) -> None:
    [finding] = run(DETECTOR, log(asked(OPERATOR | who, every(1, 300, 330), code=429, cost=0)))
    assert finding.remedies[0].snippet == ""
    assert "do not cage it" in finding.remedies[0].text


@pytest.mark.parametrize(
    ("agents", "api", "known"),
    [
        (["kube-apiserver/v1.36.2 (linux/amd64) kubernetes/98b3519"], "v1", True),
        (["kube-scheduler/v1.28.9 (linux/amd64)"], "v1beta3", True),
        (["kube-controller-manager/v1.25.16-eks-1"], "v1beta2", True),
        (["kube-scheduler/v1.20.2"], "v1beta1", True),
        (["kube-scheduler/v1.16.0"], "v1", False),
        (["kubelet/v1.20.2", None], "v1", False),
    ],
)
def test_the_version_of_the_api_is_that_of_the_control_plane(agents: list[str | None], api: str, known: bool) -> None:
    done = {"stage": "ResponseComplete", "code": 200}
    events = [done | {"user_agent": one, "agent": (one or "").split("/")[0], "audit_id": str(one)} for one in agents]
    requests = frames_for([AUDIT_REQUESTS], {AUDIT_EVENTS: rows(AUDIT_EVENTS, *events)})[AUDIT_REQUESTS]
    assert flow_api(requests) == (api, known)


def test_an_older_cluster_is_given_the_fields_that_it_knows() -> None:
    scheduler = OPERATOR | {"agent": "kube-scheduler", "user_agent": "kube-scheduler/v1.23.1 (linux/amd64)"}
    [finding] = run(DETECTOR, log(BARE, asked(scheduler, [10])))
    snippet = finding.remedies[0].snippet
    assert "flowcontrol.apiserver.k8s.io/v1beta2" in snippet
    assert "assuredConcurrencyShares: 5" in snippet
    assert "lendable" not in snippet
    assert "API is v1" not in finding.remedies[0].text


def test_of_many_storms_the_largest_are_told_one_by_one() -> None:
    storms = [asked(AGENT, every(0.5, 600 * i, 600 * i + 10 + i), code=429, cost=0) for i in range(5)]
    found = run(DETECTOR, log(*storms), most_storms=3)
    assert [finding.figure("rejected requests") for finding in found] == [24, 26, 28]
    assert remarks(DETECTOR, log(*storms), most_storms=3) == [
        "2 smaller storms with 42 rejected requests in all are not told one by one."
    ]


def test_silent_when_the_evidence_is_taken_away() -> None:
    served = [event | ({"code": 200, "decision": "allow"} if event["code"] == 429 else {}) for event in STORM]
    assert run(DETECTOR, log(QUIET, served)) == []


def test_five_hundred_unrelated_requests_change_nothing() -> None:
    """They come after the storm, of an agent that is as busy before it."""
    other = OPERATOR | {"agent": "gitops", "user": "system:serviceaccount:ops:gitops"}
    [alone] = run(DETECTOR, log(QUIET, STORM))
    [beside] = run(DETECTOR, log(QUIET, STORM, asked(other, every(0.5, 400, 600)), asked(other, every(2, 0, 200))))
    assert beside.impact == alone.impact
    assert (beside.subject, beside.severity, beside.summary) == (alone.subject, alone.severity, alone.summary)
    assert beside.saving == alone.saving


@pytest.mark.parametrize(("cost", "subjects"), [(0.25, ["datadog-agent", "fluentd"]), (0.24, ["datadog-agent"])])
def test_threshold_of_the_load_that_makes_an_offender(cost: float, subjects: list[str]) -> None:
    second = AGENT | {"agent": "fluentd", "user": "system:serviceaccount:logging:fluentd"}
    loads = asked(AGENT, every(1, 300.5, 320), cost=1) + asked(AGENT, every(1, 300, 320), code=429, cost=0)
    more = asked(second, every(1, 300.5, 320), cost=cost) + asked(second, every(1, 300, 320), code=429, cost=0)
    assert [finding.subject for finding in run(DETECTOR, log(loads, more))] == subjects


@pytest.mark.parametrize(("others", "severity"), [(27, Severity.CRITICAL), (28, Severity.HIGH)])
def test_threshold_of_the_share_of_heartbeats_that_is_critical(others: int, severity: Severity) -> None:
    hit = asked(LEASE, [300.5, 302.5, 304.5], code=429, cost=0)
    renewed = asked(LEASE, every(5, 0, 600))
    agent = asked(AGENT, every(0.3, 300, 300 + 0.3 * others), code=429, cost=0)
    served = asked(AGENT, every(0.1, 300, 310), cost=0.05)
    [finding] = run(DETECTOR, log(hit, renewed, agent, served))
    assert finding.severity is severity


@pytest.mark.parametrize(("gap", "retries"), [(35, 1), (35.001, 0)])
def test_threshold_of_the_time_within_which_it_is_a_retry(gap: float, retries: int) -> None:
    crowd = [event for i in range(12) for event in wish(300 + i, uri=f"/api/v1/pods?limit={100 + i}")]
    [finding] = run(DETECTOR, log(crowd, wish(300, served=300 + gap)))
    assert finding.figure("retries after a rejection") == retries
