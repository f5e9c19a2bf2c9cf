"""What a storm did to others, and what looks like one."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.detectors.apiserver.apiserver_throttle_storm import DETECTOR
from analyzer.frames import AUDIT_ANNOTATIONS, AUDIT_EVENTS, KLOG_LINES, Table
from analyzer.model import EvidenceTable, Finding, Severity
from tests.build import remarks, rows, run
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


def leveled(given: dict[Table, pl.LazyFrame], but: str = "") -> dict[Table, pl.LazyFrame]:
    """The log with the priority level of every request but those of one agent: kubelets have seats of their own."""
    told = given[AUDIT_EVENTS].filter(pl.col("agent") != but).select("audit_id", "agent").collect()
    notes = [
        {"audit_id": one, "annotation": "apf_pl", "value": "node-high" if agent == "kubelet" else "workload-low"}
        for one, agent in told.rows()
    ]
    return given | {AUDIT_ANNOTATIONS: rows(AUDIT_ANNOTATIONS, *notes)}


def test_where_levels_are_known_each_is_replayed_with_its_own_limit() -> None:
    """A kubelet that was rejected in a level that others do not share is rejected without them too."""
    busy = asked(KUBELET, every(0.5, 300, 330), cost=0.4)
    given = log(QUIET, STORM, busy)
    one, each = (
        next(found for found in run(DETECTOR, log_) if found.subject == "datadog-agent")
        for log_ in (given, leveled(given))
    )
    assert one.saving is not None
    assert each.saving is not None
    assert (one.saving.observed, one.saving.modelled) == (122, 0)
    assert (each.saving.observed, each.saving.modelled) == (122, 2)
    assert "one for the whole server: the priority levels of these requests are not in the log" in one.saving.assumption
    assert "level by level: these are of workload-low, which rejected most" in each.saving.assumption


def test_levels_are_not_replayed_where_those_of_some_rejected_requests_are_not_known() -> None:
    given = log(QUIET, STORM)
    [found] = run(DETECTOR, leveled(given, but="kubelet"))
    [plain] = run(DETECTOR, given)
    assert found.saving == plain.saving


def test_a_limit_that_is_set_holds_for_the_whole_server() -> None:
    given = log(QUIET, STORM)
    [found] = run(DETECTOR, leveled(given), inflight_limit=1.2)
    [plain] = run(DETECTOR, given, inflight_limit=1.2)
    assert found.saving == plain.saving
    assert found.saving is not None
    assert "(1.2), one for the whole server." in found.saving.assumption
