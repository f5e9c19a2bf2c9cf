"""What a storm did to others, and what the log can show of it at all."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.detector import NotObservable
from analyzer.detectors.apiserver.apiserver_throttle_storm import DETECTOR
from analyzer.detectors.apiserver.apiserver_throttle_storm.flowschema import flow_api
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import AUDIT_ANNOTATIONS, AUDIT_EVENTS, KLOG_LINES, Table
from analyzer.model import Confidence, EvidenceTable, Finding, Severity
from tests.build import frames_for, remarks, rows, run
from tests.detectors.apiserver.test_apiserver_throttle_storm import (
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
LEADER = {
    "agent": "kube-scheduler",
    "user": "system:kube-scheduler",
    "verb": "update",
    "api_group": "coordination.k8s.io",
    "resource": "leases",
    "namespace": "kube-system",
    "name": "kube-scheduler",
}
BARE = asked(AGENT, every(0.5, 300, 330), cost=0.4) + asked(AGENT, every(0.25, 300.1, 330.1), code=429, cost=0)


def table(finding: Finding, caption: str) -> EvidenceTable:
    [found] = [one for one in finding.evidence.tables if caption in one.caption]
    return found


def captions(finding: Finding) -> str:
    return "\n".join(one.caption for one in finding.evidence.tables)


# --- retries ---------------------------------------------------------------------------------------------------------


def wish(*moments: float, served: float | None = None, **changed: Any) -> list[dict[str, Any]]:
    """One request that was rejected at these moments, and served then."""
    who = AGENT | {"uri": "/api/v1/pods?limit=1"} | changed
    return asked(who, moments, code=429, cost=0) + (asked(who, [served], cost=0.5) if served is not None else [])


def test_retries_are_the_same_request_of_the_same_client_after_its_rejection() -> None:
    crowd = asked(OPERATOR, every(2, 300, 330), code=429, cost=0)
    finding, _ = run(DETECTOR, log(wish(300, 301, 303, served=307), crowd), retry_within_seconds=1.5)
    # 300 -> 301 is a retry; 303 and 307 come too late to be one
    assert finding.figure("retries after a rejection") == 1
    finding, _ = run(DETECTOR, log(wish(300, 301, 303, served=307), crowd), retry_within_seconds=5)
    agent, operator = sorted(table(finding, "Retries").rows)
    assert agent == ("datadog-agent", 1, 3, 0, 1, 7.0, 0)
    assert operator == ("operator", 1, 14, 0, 0, 0.0, 1)
    assert finding.figure("retries after a rejection") == 17
    assert finding.figure("seconds until retries were served") == 7
    assert finding.figure("requests sent for each wanted") == pytest.approx(19 / 2)


def test_other_clients_pods_verbs_and_uris_are_no_retries() -> None:
    others = [
        event
        for i in range(20)
        for event in wish(300 + i, uri=f"/api/v1/pods?limit={100 + i}")
        + wish(300 + i, source_ip=f"198.51.100.{i}")
        + wish(300 + i, caller_pod=f"p{i}")
    ]
    [finding] = run(DETECTOR, log(others))
    assert finding.figure("retries after a rejection") == 0
    assert finding.figure("requests sent for each wanted") == 1
    assert "Retries" not in captions(finding)


def test_a_retry_that_does_not_wait_is_told() -> None:
    hasty = wish(*every(0.25, 300, 305), served=305.2)
    [finding] = run(DETECTOR, log(hasty))
    assert table(finding, "Retries").rows == (("datadog-agent", 1, 20, 20, 1, 5.2, 0),)


def test_a_retry_that_is_served_after_the_storm_counts() -> None:
    [finding] = run(DETECTOR, log(wish(*every(1, 300, 312), served=320)))
    assert finding.figure("seconds until retries were served") == 20


# --- heartbeats ------------------------------------------------------------------------------------------------------


def test_leases_that_were_not_renewed_in_time_make_it_critical() -> None:
    few = asked(LEASE, [300.5, 310.5, 320.5], code=429, cost=0)
    renewed = asked(LEASE, [290, 331])
    [finding] = run(DETECTOR, log(BARE, few, renewed, asked(OPERATOR, every(1, 0, 600))))
    assert finding.figure("rejected heartbeats and leader elections") == 3
    assert finding.figure("leases not renewed in time") == 1
    assert finding.severity is Severity.CRITICAL
    assert table(finding, "Heartbeats").rows == (("node lease", 3, 1, 41.0, 40.0, 1),)


@pytest.mark.parametrize(("back", "over"), [(305, 0), (305.001, 1)])
def test_threshold_of_a_leader_election_is_its_lease(back: float, over: int) -> None:
    hit = asked(LEADER, [300.5, 302.5], code=429, cost=0)
    [finding] = run(DETECTOR, log(BARE, hit, asked(LEADER, [290, back, *every(5, back, 340)])))
    assert finding.figure("leases not renewed in time") == over
    [row] = table(finding, "Heartbeats").rows
    assert row[0] == "leader election"


def test_a_lease_that_nobody_renews_any_more_runs_to_the_end_of_the_log() -> None:
    hit = asked(LEASE, [300.5], code=429, cost=0)
    [finding] = run(DETECTOR, log(BARE, hit, asked(LEASE, [290]), asked(OPERATOR, [600])))
    assert table(finding, "Heartbeats").rows[0][3] == 310.0


def test_renewals_of_another_node_are_not_its_own() -> None:
    hit = asked(LEASE, [300.5], code=429, cost=0)
    others = asked(LEASE | {"name": "node-2"}, every(10, 0, 600))
    [finding] = run(DETECTOR, log(BARE, hit, others, asked(LEASE, [280, 330])))
    assert table(finding, "Heartbeats").rows == (("node lease", 1, 1, 50.0, 40.0, 1),)


def test_locks_in_config_maps_are_leader_elections_too() -> None:
    lock = LEADER | {"api_group": "", "resource": "configmaps"}
    [finding] = run(
        DETECTOR, log(BARE, asked(lock, [300.5], code=429, cost=0), asked(lock, [290, *every(2, 302, 340)]))
    )
    assert table(finding, "Heartbeats").rows == (("leader election", 1, 1, 12.0, 15.0, 0),)


def test_status_of_nodes_stands_apart_and_has_no_lease() -> None:
    status = KUBELET | {"resource": "nodes", "subresource": "status", "verb": "patch", "name": "node-1"}
    [finding] = run(DETECTOR, log(BARE, asked(status, [300.5], code=429, cost=0)))
    assert table(finding, "Heartbeats").rows == (("node status", 1, 1, None, None, 0),)


def test_without_heartbeats_among_the_rejected_nothing_is_said_of_them() -> None:
    [finding] = run(DETECTOR, log(BARE, asked(LEASE, every(10, 0, 600))))
    assert "Heartbeats" not in captions(finding)
    with pytest.raises(KeyError):
        finding.figure("rejected heartbeats and leader elections")


# --- priority levels -------------------------------------------------------------------------------------------------


def test_priority_levels_are_those_of_the_bootstrap_configuration_unless_logged() -> None:
    [finding] = run(DETECTOR, log(QUIET, STORM))
    assert table(finding, "Priority levels").rows == (
        ("workload-low", "service-accounts", "by default", 184, 120, 120, 0, None),
        ("node-high", "system-node-high", "by default", 4, 2, 0, 0, None),
    )


def noted(finding: dict[Table, pl.LazyFrame], of: str) -> list[str]:
    frame = finding[AUDIT_EVENTS].filter((pl.col("agent") == of) & (pl.col("code") == 429))
    return frame.collect()["audit_id"].to_list()


def test_logged_annotations_are_believed() -> None:
    given = log(STORM)
    notes = [
        {"audit_id": one, "annotation": key, "value": value}
        for one in noted(given, "kubelet")
        for key, value in (("apf_pl", "system"), ("apf_fs", "custom"))
    ]
    [finding] = run(DETECTOR, given | {AUDIT_ANNOTATIONS: rows(AUDIT_ANNOTATIONS, *notes)})
    assert ("system", "custom", "logged", 2, 2, 0, 0, None) in table(finding, "Priority levels").rows


def test_http_lines_of_the_apiserver_tell_levels_by_audit_id() -> None:
    given = log(STORM)
    told = '"HTTP" verb="PUT" URI="/x" latency="1ms" audit-ID="{}" apf_pl="node-high" apf_fs="mine" resp=429'
    lines = [{"message": "HTTP", "text": told.format(one)} for one in noted(given, "kubelet")]
    [finding] = run(DETECTOR, given | {KLOG_LINES: rows(KLOG_LINES, *lines)})
    assert ("node-high", "mine", "logged", 2, 2, 0, 0, None) in table(finding, "Priority levels").rows


def test_waits_in_queues_are_told_where_annotations_have_them() -> None:
    slow = asked(AGENT | {"latency_queue_seconds": 3.5}, [301], cost=4)
    [finding] = run(DETECTOR, log(STORM, slow))
    assert table(finding, "Priority levels").rows[0][6:] == (1, 3.5)


# --- the storm without each ------------------------------------------------------------------------------------------


def test_the_storm_is_replayed_without_each_agent() -> None:
    [finding] = run(DETECTOR, log(QUIET, STORM))
    left = {row[0]: row[1] for row in table(finding, "without each").rows}
    # without the kubelet its two rejections are gone, without the operator none
    assert left == {"datadog-agent": 0, "kubelet": 120, "operator": 122}


def test_two_that_filled_the_server_together_are_each_of_them_half_of_it() -> None:
    second = AGENT | {"agent": "fluentd", "user": "system:serviceaccount:logging:fluentd"}
    both = [
        event
        for who in (AGENT, second)
        for event in asked(who, every(1, 300, 330), cost=0.9) + asked(who, every(1, 300.5, 330.5), code=429, cost=0)
    ]
    one, two = run(DETECTOR, log(both))
    assert (one.subject, two.subject) == ("datadog-agent", "fluentd")
    for finding in (one, two):
        # what the other wanted, rejected ones and all, is as much as was in flight
        assert finding.saving is not None
        assert (finding.saving.observed, finding.saving.modelled) == (60, 30)


# --- look-alikes -----------------------------------------------------------------------------------------------------


def test_silent_on_evictions_told_by_their_message_only() -> None:
    """An export that lost subresources and annotations."""
    message = {"message": "Cannot evict pod as it would violate the pod's disruption budget."}
    refused = [event | message for event in asked(OPERATOR, every(1, 0, 60), code=429)]
    assert run(DETECTOR, log(QUIET, refused)) == []
    assert "60 evictions" in remarks(DETECTOR, log(QUIET, refused))[0]


def test_silent_on_a_shutdown_whose_refusals_are_in_the_log() -> None:
    message = {"message": "The apiserver is shutting down, please try again later."}
    refused = [event | message for event in asked(OPERATOR, every(0.5, 600, 630), code=429)]
    assert run(DETECTOR, log(QUIET, refused)) == []
    assert remarks(DETECTOR, log(QUIET, refused)) == [
        "60 requests were answered 429 by a server that was shutting down: no overload."
    ]


def test_silent_on_clients_that_throttle_themselves() -> None:
    lines = rows(
        KLOG_LINES,
        *[{"text": '"Waited before sending request" reason="client-side throttling"', "time": i} for i in range(60)],
    )
    assert run(DETECTOR, log(QUIET) | {KLOG_LINES: lines}) == []


def test_evictions_beside_a_storm_are_not_counted_in_it() -> None:
    refused = [
        event | {"subresource": "eviction", "decision": "allow"}
        for event in asked(OPERATOR, every(1, 300, 330), code=429)
    ]
    [finding] = run(DETECTOR, log(QUIET, STORM, refused))
    assert finding.figure("rejected requests") == 122
    assert "30 evictions" in remarks(DETECTOR, log(QUIET, STORM, refused))[0]


# --- what the log can show -------------------------------------------------------------------------------------------

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


# --- the remedy ------------------------------------------------------------------------------------------------------


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


# --- many storms ----------------------------------------------------------------------------------------------------


def test_of_many_storms_the_largest_are_told_one_by_one() -> None:
    storms = [asked(AGENT, every(0.5, 600 * i, 600 * i + 10 + i), code=429, cost=0) for i in range(5)]
    found = run(DETECTOR, log(*storms), most_storms=3)
    assert [finding.figure("rejected requests") for finding in found] == [24, 26, 28]
    assert remarks(DETECTOR, log(*storms), most_storms=3) == [
        "2 smaller storms with 42 rejected requests in all are not told one by one."
    ]


# --- the gate --------------------------------------------------------------------------------------------------------


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
