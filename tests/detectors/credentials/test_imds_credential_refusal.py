"""The metadata service, or a proxy before it, refuses credentials."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl
import pytest

from analyzer.detectors.credentials.imds_credential_refusal import DETECTOR
from analyzer.frames import (
    AUDIT_EVENTS,
    AUDIT_OBJECTS,
    HTTP_MESSAGES,
    IAM_PROXY_MESSAGES,
    KLOG_LINES,
    Table,
    empty,
)
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, rows, run
from tests.refreshes import CREDENTIAL, POD, ROLES, TOKEN, Row, capture, exchange

Given = dict[Table, pl.LazyFrame]

TERMINATING, NO_ADDRESS, WRONG_ROLE = "terminating pods", "pods without an address yet", "pods with a wrong role"


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


def asked(*statuses: tuple[float, int], client: str = POD, path: str = ROLES, after: float = 2) -> list[Row]:
    """Calls at those times with those answers, each after two seconds, as kube2iam's retries take."""
    return [row for time, status in statuses for row in exchange(time, path, status, client=client, after=after)]


def given(*parts: Iterable[Row]) -> Given:
    return {HTTP_MESSAGES: capture(*parts)}


def deleted(time: float, name: str = "logstash-0", **more: object) -> Row:
    return {
        "time": time,
        "stage_time": time,
        "stage": "ResponseComplete",
        "audit_id": f"delete-{name}",
        "verb": "delete",
        "resource": "pods",
        "namespace": "logs",
        "name": name,
        "code": 200,
    } | more


def address(time: float, name: str = "logstash-0", ip: str = POD) -> Row:
    return {
        "time": time,
        "audit_id": f"patch-{name}",
        "body": "request",
        "verb": "patch",
        "code": 200,
        "resource": "pods",
        "subresource": "status",
        "namespace": "logs",
        "name": name,
        "pod_ip": ip,
    }


def audit(*objects: Row, events: Iterable[Row] = ()) -> Given:
    return {
        AUDIT_OBJECTS: rows(AUDIT_OBJECTS, *objects, source="audit.log"),
        AUDIT_EVENTS: rows(AUDIT_EVENTS, *events, source="audit.log"),
    }


ENDING: Given = {
    **given(
        asked((10, 200), (100, 200), (210, 404), (220, 404), (230, 404), (240, 404)),
        asked((215, 200), client="10.0.0.8"),
    ),
    **audit(address(0), events=[deleted(200)]),
}


def test_fires_on_a_pod_that_is_refused_after_its_deletion() -> None:
    [finding] = run(DETECTOR, ENDING)
    assert finding.subject == TERMINATING
    assert finding.summary == (
        "4 requests for credentials by logs/logstash-0 were refused (terminating pods), which blocked 32.0 s in all; "
        "1 others were granted meanwhile."
    )
    assert figures(finding) == {
        "refused requests": 4,
        "pods": 1,
        "seconds blocked": 32.0,
        "granted requests meanwhile": 1,
    }
    assert (finding.severity, finding.confidence) == (Severity.MEDIUM, Confidence.HIGH)
    assert (finding.start, finding.end) == (at(210), at(242))
    assert finding.stories == (22,)
    assert "0.10.5" in finding.remedies[0].text
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (32.0, 0)
    assert finding.evidence.tables[0].rows == (("logs/logstash-0", POD, 4, "404", 32.0, "09:03:20"),)
    assert finding.evidence.series[0].values == (3.0, 1.0)


def test_the_kubelet_tells_of_a_deletion_too() -> None:
    line = {
        "time": 200,
        "message": "SyncLoop DELETE",
        "text": '"SyncLoop DELETE" source="api" pods=["logs/logstash-0"]',
    }
    old = {
        "time": 200,
        "message": 'SyncLoop (DELETE, "api"): "logstash-0_logs(1)"',
        "text": 'SyncLoop (DELETE, "api"): "logstash-0_logs(1)"',
        "pod": "logs/logstash-0",
    }
    for one in (line, old):
        klog = {KLOG_LINES: rows(KLOG_LINES, one, source="kubelet.log")}
        [finding] = run(DETECTOR, {**ENDING, **audit(address(0)), **klog})
        assert (finding.subject, finding.confidence) == (TERMINATING, Confidence.HIGH)


def test_a_pod_that_starts_without_an_address_is_told_from_one_that_ends() -> None:
    """Refused for 60 s; its address reaches the API server at 60 s."""
    calls = asked((1, 404), (11, 404), (31, 404), (51, 404), (61, 200))
    [finding] = run(DETECTOR, {**given(calls), **audit(address(60))})
    assert (finding.subject, finding.confidence) == (NO_ADDRESS, Confidence.HIGH)
    assert figures(finding)["seconds blocked"] == 62
    assert "kubeAPIQPS: 50" in finding.remedies[0].snippet
    [alone] = run(DETECTOR, given(calls))
    assert (alone.subject, alone.confidence) == (NO_ADDRESS, Confidence.MEDIUM)


def test_an_address_that_another_pod_held_before_is_the_new_pods() -> None:
    calls = asked((1000, 404), (1010, 404), (1020, 404), (1061, 200))
    event = 'event={"ID":"00621f04-c657-4a61-ac23-464946a25bcf","Type":"ContainerStarted","Data":"x"}'
    started = {"time": 999, "message": "SyncLoop (PLEG): event for pod", "pod": "logs/logstash-1"}
    klog = rows(KLOG_LINES, started | {"text": f'"SyncLoop (PLEG): event for pod" pod="logs/logstash-1" {event}'})
    told = audit(address(0), address(1060, "logstash-1"), events=[deleted(900)])
    [finding] = run(DETECTOR, {**given(calls), **told, KLOG_LINES: klog})
    assert (finding.subject, finding.evidence.tables[0].rows[0][0]) == (NO_ADDRESS, "logs/logstash-1")


@pytest.mark.parametrize("status", [403, 404, 500])
def test_nothing_but_refusals_for_a_minute_is_a_wrong_role(status: int) -> None:
    [finding] = run(DETECTOR, given(asked(*((i * 20.0, status) for i in range(10)), path=CREDENTIAL)))
    assert (finding.subject, finding.severity) == (WRONG_ROLE, Severity.LOW)
    assert finding.confidence is (Confidence.HIGH if status == 403 else Confidence.MEDIUM)
    assert finding.saving is None


@pytest.mark.parametrize(("apart", "subject"), [(28.9, "pods, cause unknown"), (29, WRONG_ROLE)])
def test_a_minute_is_the_threshold_of_constant(apart: float, subject: str) -> None:
    [finding] = run(DETECTOR, given(asked(*((i * apart, 500) for i in range(3)))))
    assert finding.subject == subject


def test_refusals_between_grants_have_no_known_cause() -> None:
    [finding] = run(DETECTOR, given(asked((0, 200), (10, 500), (20, 500), (30, 500), (40, 200))))
    assert (finding.subject, finding.confidence) == ("pods, cause unknown", Confidence.LOW)


def test_throttling_is_a_cause_of_its_own() -> None:
    [finding] = run(DETECTOR, given(asked((0, 200), (10, 429), (20, 503), (30, 429), (40, 200))))
    assert (finding.subject, finding.confidence) == ("throttled pods", Confidence.HIGH)


def test_three_refusals_are_the_threshold() -> None:
    assert run(DETECTOR, given(asked((0, 404), (10, 404), (20, 200)))) == []
    assert len(run(DETECTOR, given(asked((0, 404), (10, 404), (15, 404), (20, 200))))) == 1
    assert len(run(DETECTOR, given(asked((0, 404), (10, 404), (20, 200))), min_refused=2)) == 1


@pytest.mark.parametrize(("pods", "severity"), [(9, Severity.MEDIUM), (10, Severity.HIGH)])
def test_ten_pods_are_the_threshold_of_high(pods: int, severity: Severity) -> None:
    calls = [asked((i, 404), (i + 5, 200), client=f"10.0.1.{i}") for i in range(pods)]
    [finding] = run(DETECTOR, given(*calls))
    assert (finding.severity, figures(finding)["pods"]) == (severity, pods)
    assert finding.summary.startswith(f"{pods} requests for credentials by {pods} pods")


def logged(time: float, status: int, **more: Any) -> Row:
    return {
        "time": time,
        "component": "kube2iam",
        "level": "info",
        "message": f"GET {ROLES} ({status}) took 2000 ms",
        "client": POD,
        "method": "GET",
        "path": ROLES,
        "status": status,
        "duration_seconds": 2.0,
    } | more


def proxy(*lines: Row) -> Given:
    return {IAM_PROXY_MESSAGES: rows(IAM_PROXY_MESSAGES, *lines, source="kube2iam.log")}


def test_fires_from_the_log_of_a_proxy_alone() -> None:
    known = {"time": 0, "level": "debug", "message": "Pod OnUpdate", "pod": "logs/logstash-0", "pod_ip": POD}
    lines = [known, logged(100, 200), *(logged(202 + i * 10, 404) for i in range(4))]
    gone = audit(events=[deleted(200)])
    [finding] = run(DETECTOR, {**proxy(*lines), **gone})
    assert (finding.subject, finding.detector) == (TERMINATING, "imds-credential-refusal")
    assert figures(finding)["refused requests"] == 4
    assert figures(finding)["seconds blocked"] == 32.0
    assert finding.verify == ("zcat -f < kube2iam.log | grep -F -- 10.0.0.7",)


def test_what_the_proxy_says_of_a_role_counts_before_the_order_of_answers() -> None:
    said = {"level": "error", "message": "Error assuming role AccessDenied: not authorized", "status": None}
    lines = [row for i in range(3) for row in (logged(i * 5, 500) | said, logged(i * 5, 500))]
    [finding] = run(DETECTOR, proxy(*lines, logged(90, 200)))
    assert (finding.subject, figures(finding)["refused requests"]) == (WRONG_ROLE, 3)


def test_kiam_tells_of_a_refused_request_twice_and_it_counts_once() -> None:
    error = {"level": "error", "message": "error processing request: error fetching credentials: pod not found"}
    lines = [
        row
        for i in range(4)
        for row in (logged(i * 20, 500, **error), logged(i * 20, 500, message="processed request"))
    ]
    [finding] = run(DETECTOR, proxy(*lines))
    assert figures(finding)["refused requests"] == 4


def test_a_client_that_capture_and_log_tell_of_counts_once() -> None:
    calls = asked((0, 404), (10, 404), (20, 404), (30, 404), (40, 200))
    [finding] = run(DETECTOR, {**given(calls), **proxy(*(logged(i * 10 + 2, 404) for i in range(3)))})
    assert figures(finding)["refused requests"] == 4


def test_two_causes_have_a_finding_each() -> None:
    wrong = asked(*((i * 20.0, 403) for i in range(10)), client="10.0.0.9")
    found = run(
        DETECTOR, {**ENDING, HTTP_MESSAGES: pl.concat([ENDING[HTTP_MESSAGES], capture(wrong, source="b.pcap")])}
    )
    assert [(finding.subject, finding.stories) for finding in found] == [(WRONG_ROLE, ()), (TERMINATING, (22,))]


def test_silent_on_requests_without_a_session_token() -> None:
    assert run(DETECTOR, given(asked(*((i, 401) for i in range(50))))) == []


def test_silent_on_refused_tokens_and_other_paths() -> None:
    other = asked(*((i, 404) for i in range(50)), path="/latest/meta-data/spot/instance-action")
    tokens = [row for i in range(50) for row in exchange(i, TOKEN, 404, method="PUT")]
    assert run(DETECTOR, given(other, tokens)) == []
    assert run(DETECTOR, proxy(*(logged(i, 404, path="/latest/meta-data/") for i in range(50)))) == []


def test_silent_on_a_pod_that_ends_and_is_served() -> None:
    served = asked((10, 200), (100, 200), (210, 200), (220, 200))
    assert run(DETECTOR, {**given(served), **audit(address(0), events=[deleted(200)])}) == []


def test_unrelated_rows_change_nothing_and_without_the_deletion_the_cause_is_unknown() -> None:
    others = asked(*((i / 2, 200) for i in range(500)), client="10.0.0.99", path="/latest/meta-data/")
    more = {**ENDING, HTTP_MESSAGES: pl.concat([ENDING[HTTP_MESSAGES], capture(others, source="z.pcap")])}
    assert [f.impact for f in run(DETECTOR, more)] == [f.impact for f in run(DETECTOR, ENDING)]
    [finding] = run(DETECTOR, {**ENDING, **audit(address(0))})
    assert finding.subject == "pods, cause unknown"
    [refused] = run(DETECTOR, {**ENDING, **audit(address(0), events=[deleted(200, code=403)])})
    assert refused.subject == "pods, cause unknown"


def test_silent_on_no_rows() -> None:
    tables = (HTTP_MESSAGES, IAM_PROXY_MESSAGES, AUDIT_EVENTS, AUDIT_OBJECTS, KLOG_LINES)
    assert run(DETECTOR, {table: empty(table).lazy() for table in tables}) == []
