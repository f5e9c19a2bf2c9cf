from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import numpy as np
import polars as pl
import pytest

from analyzer.detector import NotObservable
from analyzer.detectors.apiserver.apiserver_throttle_storm import DETECTOR
from analyzer.detectors.apiserver.apiserver_throttle_storm.flight import occupancy
from analyzer.detectors.apiserver.apiserver_throttle_storm.priority import level
from analyzer.frames import AUDIT_EVENTS, KLOG_LINES
from analyzer.model import Confidence, Severity
from tests.build import at, remarks, rows, run
from tests.detectors.apiserver.storms import AGENT, KUBELET, OPERATOR, QUIET, STORM, asked, every, log


def test_fires_on_an_agent_that_fills_the_server_while_nodes_are_rejected() -> None:
    [finding] = run(DETECTOR, log(QUIET, STORM))
    assert finding.subject == "datadog-agent"
    assert finding.summary == (
        "122 of 188 requests were rejected with 429 in 30 s, 120 of them from datadog-agent, which asked for 100% of "
        "the load."
    )
    assert (finding.start, finding.end) == (at(300.1), at(329.85))
    assert finding.figure("rejected requests") == 122
    assert finding.figure("rejected requests of the offender") == 120
    assert finding.figure("rejected requests of others") == 2
    assert finding.figure("client addresses of the offender") == 1
    assert finding.figure("least seconds of waiting") == 122
    assert finding.figure("requests meanwhile") == 188
    assert finding.severity is Severity.HIGH
    assert finding.confidence is Confidence.HIGH
    assert finding.stories == (37,)


def test_quotes_the_first_the_last_and_some_rejected_requests_of_the_offender() -> None:
    given = log(QUIET, STORM)
    [finding] = run(DETECTOR, given)
    own = pl.col("agent") == "datadog-agent"
    rejected = given[AUDIT_EVENTS].filter(own & (pl.col("code") == 429)).collect()["number"].to_list()
    numbers = [record.number for record in finding.evidence.records]
    assert numbers[0] == rejected[0]
    assert numbers[-1] == rejected[-1]
    assert set(numbers) <= set(rejected)
    assert 10 < len(numbers) <= 20
    assert numbers == sorted(numbers)


def test_the_storm_replayed_without_its_offender_does_not_happen() -> None:
    [finding] = run(DETECTOR, log(QUIET, STORM))
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (122, 0)
    assert "Little" in finding.saving.formula
    assert "no storm" in finding.saving.assumption


def test_the_storm_remains_in_part_where_the_others_alone_reach_the_limit() -> None:
    others = asked(OPERATOR, every(0.5, 300, 330), cost=0.5) + asked(OPERATOR, every(1, 300.2, 330.2), code=429, cost=0)
    [finding] = run(DETECTOR, log(QUIET, STORM, others), inflight_limit=1.2, offender_share=0.5)
    assert finding.saving is not None
    # 30 of the operator and 2 of kubelets; what was in flight when the window begins counts in its first second
    assert finding.saving.modelled == 32
    assert "part of the storm would remain" in finding.saving.assumption


def test_requests_in_flight_are_counted_in_every_second_that_they_last() -> None:
    requests = pl.DataFrame({"at": [0.0, 0.5, 1.25], "took": [2.5, 0.25, 0.0]})
    flight = occupancy(requests, np.arange(5, dtype=np.float64))
    assert flight.tolist() == [1.25, 1.0, 0.5, 0.0]


def test_the_limit_is_the_most_that_was_in_flight_while_requests_were_rejected() -> None:
    slow = asked(AGENT, every(0.5, 300, 330), cost=2.0)
    [finding] = run(DETECTOR, log(QUIET, slow, asked(AGENT, every(0.25, 300.1, 330.1), code=429, cost=0)))
    assert finding.saving is not None
    assert (
        "of the 4.02 that are possible: no storm" in finding.saving.assumption
    )  # two a second for two seconds, and the quiet ones


def test_tables_name_who_was_rejected_vital_ones_first() -> None:
    other = asked(OPERATOR, every(2, 300, 320), code=429, cost=0)
    [finding] = run(DETECTOR, log(QUIET, STORM, other))
    agents, sent, others = finding.evidence.tables[:3]
    assert agents.rows[0][:4] == ("datadog-agent", 180, 120, 1)
    assert sent.rows[0][:5] == ("system:serviceaccount:datadog:datadog-agent", "list", "pods", 180, 120)
    assert sent.rows[0][6] == "workload-low"
    assert [row[:5] for row in others.rows] == [
        ("kubelet", "system:node:node-1", "update", "leases", 2),
        ("operator", "system:serviceaccount:shop:operator", "get", "services", 10),
    ]
    assert [row[6] for row in others.rows] == ["node-high", "workload-low"]


def test_the_offender_is_who_sends_the_load_not_who_is_rejected_most() -> None:
    heavy = asked(AGENT, every(1, 300, 330), cost=3) + asked(AGENT, [310.5], code=429, cost=0)
    victims = asked(OPERATOR, every(0.5, 300, 330), code=429, cost=0)
    [finding] = run(DETECTOR, log(QUIET, heavy, victims))
    assert finding.subject == "datadog-agent"
    assert finding.figure("rejected requests of the offender") == 1
    assert finding.figure("rejected requests of others") == 60


def test_a_controller_that_is_always_as_busy_is_no_offender() -> None:
    busy = {"agent": "kube-controller-manager", "user": "system:kube-controller-manager", "verb": "get"}
    steady = asked(busy, every(0.2, 0, 600), cost=0.2)
    hit = asked(busy, [310.05], code=429, cost=0)
    [finding] = run(DETECTOR, log(QUIET, STORM, steady, hit))
    assert finding.subject == "datadog-agent"


def test_two_offenders_are_two_findings_when_each_carries_a_fifth_of_the_load() -> None:
    second = AGENT | {"agent": "fluentd", "user": "system:serviceaccount:logging:fluentd", "source_ip": "192.0.2.8"}
    more = asked(second, every(1, 300, 330), cost=0.6) + asked(second, every(1, 300.3, 330.3), code=429, cost=0)
    findings = run(DETECTOR, log(QUIET, STORM, more))
    assert [finding.subject for finding in findings] == ["datadog-agent", "fluentd"]
    assert [finding.figure("rejected requests of the offender") for finding in findings] == [120, 30]


def test_many_agents_of_one_family_are_one_subject_with_their_addresses() -> None:
    agents = [
        event | {"source_ip": f"192.0.2.{i}"}
        for i in range(20)
        for event in asked(AGENT, every(3, 300 + i / 100, 330), code=429, cost=0)
    ]
    [finding] = run(DETECTOR, log(QUIET, agents))
    assert finding.figure("client addresses of the offender") == 20


def test_storms_with_fewer_than_five_quiet_minutes_between_them_are_one_finding() -> None:
    def burst(start: float) -> list[dict[str, Any]]:
        return asked(AGENT, every(1, start, start + 30), code=429, cost=0)

    assert len(run(DETECTOR, log(burst(0), burst(5 * 60)))) == 1
    assert len(run(DETECTOR, log(burst(0), burst(6 * 60)))) == 2


@pytest.mark.parametrize(("count", "findings"), [(9, 0), (10, 1)])
def test_threshold_of_rejections_in_a_minute(count: int, findings: int) -> None:
    served = asked(OPERATOR, every(0.05, 0, 60))
    assert len(run(DETECTOR, log(served, asked(AGENT, range(count), code=429, cost=0)))) == findings


@pytest.mark.parametrize(("requests", "findings"), [(300, 1), (500, 0)])
def test_threshold_of_the_rejected_share_of_slow_storms(requests: int, findings: int) -> None:
    served = asked(OPERATOR, every(600 / (10 * requests), 0, 600))
    slow = asked(AGENT, [60 * minute + 30 + i for minute in range(10) for i in range(4)], code=429, cost=0)
    assert len(run(DETECTOR, log(served, slow))) == findings


def test_a_burst_across_a_clock_minute_is_not_cut_in_two() -> None:
    assert len(run(DETECTOR, log(QUIET, asked(AGENT, every(1, 55, 66), code=429, cost=0)))) == 1


def test_silent_on_evictions_that_a_disruption_budget_refuses() -> None:
    refused = [
        event | {"subresource": "eviction", "decision": "allow", "verb": "create"}
        for event in asked(OPERATOR, every(1, 0, 60), code=429)
    ]
    assert run(DETECTOR, log(QUIET, refused)) == []
    assert "60 evictions" in remarks(DETECTOR, log(QUIET, refused))[0]


def test_silent_on_evictions_even_where_the_decision_was_not_logged() -> None:
    refused = [event | {"subresource": "eviction"} for event in asked(OPERATOR, every(1, 0, 60), code=429)]
    assert run(DETECTOR, log(QUIET, refused)) == []


def test_silent_on_limits_of_an_admission_plugin() -> None:
    limited = [event | {"decision": "allow"} for event in asked(OPERATOR, every(1, 0, 60), code=429)]
    assert run(DETECTOR, log(QUIET, limited)) == []
    assert "by admission" in remarks(DETECTOR, log(QUIET, limited))[0]


def test_silent_on_a_server_that_shuts_down() -> None:
    """Its 429 is given outside the audit log; what is seen are 503 and connections that end."""
    assert run(DETECTOR, log(QUIET, asked(OPERATOR, every(0.5, 600, 630), code=503))) == []


def test_silent_on_a_handful_of_rejections_and_says_so() -> None:
    handful = asked(AGENT, [300, 301, 302, 303, 304], code=429)
    assert run(DETECTOR, log(QUIET, handful)) == []
    assert remarks(DETECTOR, log(QUIET, handful)) == [
        "5 requests were rejected with 429 outside of any storm: too few for a finding."
    ]


def test_silent_on_the_quiet_system() -> None:
    assert run(DETECTOR, log(QUIET)) == []
    assert remarks(DETECTOR, log(QUIET)) == []


def test_silent_on_the_cured_system_that_sends_as_much_and_is_served() -> None:
    assert run(DETECTOR, log(QUIET, asked(AGENT, every(0.2, 300, 330)))) == []


def test_silent_without_rows() -> None:
    assert run(DETECTOR, log()) == []


def test_rejections_without_a_time_are_told() -> None:
    untimed = [AGENT | {"time": None, "code": 429, "stage": "ResponseComplete", "audit_id": f"u{i}"} for i in range(30)]
    given = {AUDIT_EVENTS: rows(AUDIT_EVENTS, *QUIET, *untimed)}
    assert run(DETECTOR, given) == []
    assert "30 requests rejected with 429 have no time" in remarks(DETECTOR, given)[0]
    with pytest.raises(NotObservable, match="has a time"):
        run(DETECTOR, {AUDIT_EVENTS: rows(AUDIT_EVENTS, *untimed)})


def test_two_events_of_a_request_count_once() -> None:
    doubled = [event | {"stage": stage} for event in STORM for stage in ("RequestReceived", "ResponseComplete")]
    named = [event | {"audit_id": f"x{i // 2}"} for i, event in enumerate(doubled)]
    [finding] = run(DETECTOR, {AUDIT_EVENTS: rows(AUDIT_EVENTS, *named)})
    assert finding.figure("rejected requests") == 122


def test_severity_follows_who_else_was_hit() -> None:
    only = asked(AGENT, every(1, 300, 330), code=429, cost=0)
    served = asked(AGENT, every(0.05, 300, 330))
    fewer = asked(AGENT, every(0.2, 300, 330))
    leases = asked(KUBELET, every(2, 300, 330), code=429, cost=0)

    def severity(*parts: list[dict[str, Any]]) -> Severity:
        [finding] = run(DETECTOR, log(*parts))
        return finding.severity

    assert severity(only, served) is Severity.LOW
    assert severity(only, fewer) is Severity.MEDIUM
    assert severity(only, served, asked(OPERATOR, [310], code=429)) is Severity.MEDIUM
    assert severity(only) is Severity.HIGH
    assert severity(only, served, asked(KUBELET, [310], code=429)) is Severity.HIGH
    assert severity(only, served, leases) is Severity.CRITICAL


def test_confidence_is_low_where_no_sender_stands_out() -> None:
    many = [
        event
        for i in range(8)
        for event in asked(OPERATOR | {"agent": f"app-{i}"}, every(1, 300 + i / 10, 330), code=429, cost=0)
    ]
    [finding] = run(DETECTOR, log(many))
    assert finding.confidence is Confidence.LOW
    assert "no sender stands out" in finding.confidence_reason


def test_kubelet_lines_that_tell_of_server_side_throttling_are_named() -> None:
    lines = rows(
        KLOG_LINES,
        {"text": '"Waited before sending request" reason="retry-reason: due to server-side throttling"', "time": 310},
        {"text": '"Waited before sending request" reason="client-side throttling"', "time": 311},
        {"text": "due to server-side throttling", "time": 900},
    )
    [finding] = run(DETECTOR, log(QUIET, STORM) | {KLOG_LINES: lines})
    assert "1 log lines of clients" in finding.confidence_reason


def test_the_snippet_cages_the_service_account() -> None:
    [finding] = run(DETECTOR, log(QUIET, STORM))
    snippet = finding.remedies[0].snippet
    assert 'serviceAccount: {namespace: "datadog", name: "datadog-agent"}' in snippet
    assert 'verbs: ["list"]' in snippet
    assert 'resources: ["pods"]' in snippet
    assert "kind: PriorityLevelConfiguration" in snippet
    assert "workload-low (100 of 245 shares)" in finding.remedies[0].text


@pytest.mark.parametrize(
    "user", ["system:serviceaccount:a:b\n- evil", 'x"; rm -rf /', "system:serviceaccount:A_B:c}", "", None, "a" * 9999]
)
def test_a_name_that_is_not_well_formed_is_not_written_into_yaml(user: str | None) -> None:
    storm = [
        event | {"user": user, "resource": "pods: []", "agent": 'a"}\n'}
        for event in STORM
        if event["agent"] != "kubelet"
    ]
    [finding] = run(DETECTOR, log(storm))
    assert finding.remedies[0].snippet == ""


def test_a_resource_that_is_not_well_formed_is_left_out_of_the_yaml() -> None:
    storm = [event | {"resource": "pods]}\nevil: ["} for event in STORM if event["agent"] != "kubelet"]
    [finding] = run(DETECTOR, log(storm))
    assert "evil" not in finding.remedies[0].snippet
    assert 'resources: ["*"]' in finding.remedies[0].snippet


def test_a_hostile_file_name_is_quoted_for_the_shell() -> None:
    given = {AUDIT_EVENTS: log(QUIET, STORM)[AUDIT_EVENTS].with_columns(pl.lit("$(touch x) 'a'.log").alias("source"))}
    [finding] = run(DETECTOR, given)
    assert """zcat -f < '$(touch x) '"'"'a'"'"'.log' |""" in finding.verify[0]


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_the_command_to_verify_counts_what_the_finding_counts(tmp_path: Any) -> None:
    given = log(QUIET, STORM)
    [finding] = run(DETECTOR, given)
    lines = [
        {
            "stage": event["stage"],
            "userAgent": f"{event['agent']}/1.0",
            "responseStatus": {"code": event["code"]},
            "objectRef": {"resource": event["resource"]},
        }
        | ({"annotations": {"authorization.k8s.io/decision": event["decision"]}} if event["decision"] else {})
        for event in given[AUDIT_EVENTS].collect().rows(named=True)
    ]
    (tmp_path / "t").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = subprocess.run(["sh", "-c", finding.verify[0]], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["120", "datadog-agent", "2", "kubelet"]


def test_priority_levels_of_the_bootstrap_configuration() -> None:
    assert level("system:node:a", "leases") == ("system-node-high", "node-high")
    assert level("system:node:a", "pods") == ("system-nodes", "system")
    assert level("system:kube-scheduler", "leases") == ("system-leader-election", "leader-election")
    assert level("system:kube-controller-manager", "pods") == ("kube-controller-manager", "workload-high")
    assert level("system:serviceaccount:kube-system:x", "pods") == ("kube-system-service-accounts", "workload-high")
    assert level("system:serviceaccount:shop:x", "pods") == ("service-accounts", "workload-low")
    assert level("alice", "pods") == ("global-default", "global-default")
    assert level(None, None) == ("global-default", "global-default")


def test_the_same_rows_in_any_order_give_the_same_findings() -> None:
    given = log(QUIET, STORM)
    turned = {AUDIT_EVENTS: given[AUDIT_EVENTS].reverse()}
    assert run(DETECTOR, given) == run(DETECTOR, turned)
