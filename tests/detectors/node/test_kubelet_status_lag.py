"""The API server learns late that pods have started."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl
import pytest

from analyzer.detectors.node.kubelet_status_lag import DETECTOR
from analyzer.facts.status_lags import STATUS_LAGS
from analyzer.frames import AUDIT_EVENTS, AUDIT_OBJECTS, KLOG_LINES, Table, empty
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, frames_for, remarks, rows, run

Row = dict[str, Any]
Given = dict[Table, pl.LazyFrame]

NODE = "ip-10-0-12-33.ec2.internal"
HOST = "ip-10-0-12-33"


def uid(number: int) -> str:
    return f"00621f04-c657-4a61-ac23-{number:012d}"


def started(time: float, pod: int, *, era: str = "new", host: str | None = HOST) -> list[Row]:
    """The sandbox, and the first container a tenth of a second later, as the PLEG tells them."""
    name = f"build/job-{pod}"
    if era == "new":
        message = "SyncLoop (PLEG): event for pod"
        texts = [
            f'"{message}" pod="{name}" event={{"ID":"{uid(pod)}","Type":"ContainerStarted","Data":"{i:064x}"}}'
            for i in (1, 2)
        ]
        heads = [message, message]
    else:
        texts = [
            f'SyncLoop (PLEG): "job-{pod}_build({uid(pod)})", event: &pleg.PodLifecycleEvent{{ID:"{uid(pod)}", '
            f'Type:"ContainerStarted", Data:"{i:064x}"}}'
            for i in (1, 2)
        ]
        heads = texts
    common = {"component": "kubelet", "host": host, "pod": name}
    return [
        common | {"time": time - 0.1 + i / 10, "message": head, "text": text}
        for i, (head, text) in enumerate(zip(heads, texts, strict=True))
    ]


def patched(
    time: float, pod: int, *, node: str = NODE, code: int = 200, ip: bool = True, id_: str = ""
) -> tuple[Row, Row | None]:
    """The patch of the status with the address: the event and what it holds."""
    key = f"a{pod}{id_}"
    place: Row = {"audit_id": key, "verb": "patch", "resource": "pods", "subresource": "status", "namespace": "build"}
    place |= {"name": f"job-{pod}", "code": code, "time": time}
    event = place | {
        "stage": "ResponseComplete",
        "stage_time": time + 0.01,
        "node": node,
        "user": f"system:node:{node}",
    }
    return event, place | {"body": "request", "pod_ip": f"10.244.33.{pod}"} if ip else None


def given(lines: Iterable[Row], patches: Iterable[tuple[Row, Row | None]]) -> Given:
    events = list(patches)
    return {
        KLOG_LINES: rows(KLOG_LINES, *lines, source="kubelet.log"),
        AUDIT_EVENTS: rows(AUDIT_EVENTS, *(event for event, _ in events), source="audit.log"),
        AUDIT_OBJECTS: rows(AUDIT_OBJECTS, *(body for _, body in events if body), source="audit.log"),
    }


def late(*lags: float, every: float = 2, node: str = NODE, host: str = HOST, first: int = 0, **more: Any) -> Given:
    lines = [line for i in range(len(lags)) for line in started(i * every, first + i, host=host)]
    return given(lines, [patched(i * every + lag, first + i, node=node, **more) for i, lag in enumerate(lags)])


def bound(time: float, pod: int) -> Row:
    place = {"verb": "create", "resource": "pods", "subresource": "binding", "namespace": "build", "name": f"job-{pod}"}
    return place | {"time": time, "stage": "ResponseComplete", "audit_id": f"b{pod}", "code": 201}


def with_events(base: Given, *events: Row) -> Given:
    return {**base, AUDIT_EVENTS: pl.concat([base[AUDIT_EVENTS], rows(AUDIT_EVENTS, *events, source="more.log")])}


def both(*parts: Mapping[Table, pl.LazyFrame]) -> Given:
    """Numbers stay unique: each part is a file of its own."""
    return {
        table: pl.concat([part[table].with_columns(source=pl.col("source") + str(i)) for i, part in enumerate(parts)])
        for table in parts[0]
    }


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


RISING = tuple(float(i) for i in range(1, 21))
"""Twenty pods, the first told after one second, the last after twenty."""


def test_fires_where_statuses_come_later_and_later() -> None:
    [finding] = run(DETECTOR, late(*RISING))
    assert finding.subject == HOST
    assert finding.summary == (
        f"The API server learned of 15 of 20 started pods of {HOST} more than 5 s late: 95th percentile 19.0 s, "
        "largest 20.0 s."
    )
    assert figures(finding) == {
        "pods over the threshold": 15,
        "pods": 20,
        "median lag": pytest.approx(10.5),
        "95th percentile": pytest.approx(19),
        "largest lag": pytest.approx(20),
        "pods started and deleted in a minute, at most": 20,
    }
    assert (finding.severity, finding.confidence) == (Severity.LOW, Confidence.MEDIUM)
    assert (finding.start, finding.end) == (at(0), at(58))
    assert finding.stories == (26,)
    assert "kubeAPIQPS: 50" in finding.remedies[0].snippet
    assert finding.evidence.tables[0].rows[0] == ("build/job-19", "09:00:38", "09:00:58", 20.0)
    records = {(record.source, record.number) for record in finding.evidence.records}
    assert {("kubelet.log", 40), ("audit.log", 20), ("kubelet.log", 2), ("audit.log", 1)} <= records
    assert finding.evidence.series[0].values == (20.0,)


def test_other_limits_are_modelled_by_what_the_kubelet_sent_meanwhile() -> None:
    """300 requests stood before the slowest patch: 100 go at once, the others at 50 a second."""
    more = [patched(39 + i / 16, 900 + i)[0] | {"resource": "events", "subresource": None} for i in range(300)]
    base = late(*RISING)
    whole = {**base, AUDIT_EVENTS: pl.concat([base[AUDIT_EVENTS], rows(AUDIT_EVENTS, *more, source="b.log")])}
    [finding] = run(DETECTOR, whole)
    assert finding.saving is not None
    count = 300 + 10  # the other pods' patches between 38 s and 58 s
    assert finding.saving.observed == pytest.approx(20)
    assert finding.saving.modelled == pytest.approx((count - 100) / 50, abs=0.2)
    assert finding.alternatives[0].modelled == pytest.approx((count - 200) / 100, abs=0.1)


@pytest.mark.parametrize(("lag", "fires"), [(5.0, False), (5.1, True)])
def test_five_seconds_are_the_threshold_of_the_percentile(lag: float, fires: bool) -> None:
    assert bool(run(DETECTOR, late(0.1, 2.0, lag))) is fires


@pytest.mark.parametrize(("lag", "fires"), [(30.0, False), (30.1, True)])
def test_thirty_seconds_are_the_threshold_of_one_pod(lag: float, fires: bool) -> None:
    found = run(DETECTOR, late(lag))
    assert bool(found) is fires
    assert [finding.severity for finding in found] == [Severity.MEDIUM] * fires


def test_one_late_pod_of_many_is_not_the_percentile() -> None:
    assert run(DETECTOR, late(*([0.2] * 20), 20.0)) == []
    assert len(run(DETECTOR, late(*([0.2] * 18), 20.0, 20.0))) == 1


@pytest.mark.parametrize(("largest", "severity"), [(60.0, Severity.MEDIUM), (60.1, Severity.HIGH)])
def test_a_minute_is_the_threshold_of_high(largest: float, severity: Severity) -> None:
    [finding] = run(DETECTOR, late(1.0, 10.0, largest))
    assert finding.severity is severity


WAITS = {
    "1.33": {
        "message": "Waited before sending request",
        "text": '"Waited before sending request" delay="1.5s" reason="client-side throttling, not '
        'priority and fairness" verb="PATCH" URL="https://x"',
    },
    "1.21": {
        "message": "Waited for 1.5s due to client-side throttling, not priority and fairness, request: PATCH:https://x",
        "text": "Waited for 1.5s due to client-side throttling, not priority and fairness, request: PATCH:https://x",
    },
    "1.20": {
        "message": "Throttling request took 1.5s, request: PATCH:https://x",
        "text": "Throttling request took 1.5s, request: PATCH:https://x",
    },
}


def with_lines(base: Given, *lines: Row) -> Given:
    return {**base, KLOG_LINES: pl.concat([base[KLOG_LINES], rows(KLOG_LINES, *lines, source="more.log")])}


@pytest.mark.parametrize("era", sorted(WAITS))
def test_the_kubelets_own_limit_makes_the_cause_certain_in_every_era(era: str) -> None:
    lines = [WAITS[era] | {"time": i, "component": "kubelet", "host": HOST} for i in range(4)]
    [finding] = run(DETECTOR, with_lines(late(*RISING), *lines))
    assert finding.confidence is Confidence.HIGH
    assert figures(finding)["waits for the own limit"] == 4
    assert figures(finding)["seconds waited for the own limit"] == 6
    assert finding.why.startswith("The kubelet's own limit of requests a second")


@pytest.mark.parametrize("more", [{"host": "ip-10-0-12-34"}, {"component": "kube-controller-manager"}, {"time": 500}])
def test_waits_of_others_and_of_other_times_are_no_cause(more: Row) -> None:
    lines = [WAITS["1.33"] | {"time": i, "component": "kubelet", "host": HOST} | more for i in range(4)]
    [finding] = run(DETECTOR, with_lines(late(*RISING), *lines))
    assert finding.confidence is Confidence.MEDIUM


def test_a_busy_server_is_told_from_the_kubelets_own_limit() -> None:
    reason = "retries: 1, retry-after: 1s - retry-reason: due to server-side throttling, FlowSchema UID: x"
    line = {"message": "Waited before sending request", "component": "kubelet", "host": HOST, "time": 3}
    line |= {"text": f'"Waited before sending request" delay="1s" reason="{reason}" verb="PATCH" URL="https://x"'}
    [finding] = run(DETECTOR, with_lines(late(*RISING), line))
    assert (figures(finding)["waits for the server"], finding.confidence) == (1, Confidence.MEDIUM)
    assert finding.why.startswith("The API server turns requests of the kubelet away")


def test_the_lines_of_old_kubelets_tell_the_start_too() -> None:
    lines = [line for i in range(20) for line in started(i * 2, i, era="old")]
    [finding] = run(DETECTOR, given(lines, [patched(i * 2 + lag, i) for i, lag in enumerate(RISING)]))
    assert figures(finding)["largest lag"] == pytest.approx(20)


def test_without_bodies_the_next_patch_counts_and_the_finding_says_so() -> None:
    base = late(*RISING, ip=False)
    assert run(DETECTOR, base) == [], "a pod that was bound before the log began need not be told of again"
    [finding] = run(DETECTOR, with_events(base, *(bound(i * 2 - 3, i) for i in range(20))))
    assert figures(finding)["largest lag"] == pytest.approx(20)
    assert "bodies are not in the audit log" in finding.confidence_reason


def observed(time: float, lag: float, pod: int) -> Row:
    ran, watched = (f"2026-03-14 09:{int(t // 60):02d}:{t % 60:09.6f}000 +0000 UTC m=+1.5" for t in (time, time + lag))
    text = f'"Observed pod startup duration" pod="build/job-{pod}" podStartSLOduration=1.5 podStartE2EDuration="1.5s" '
    text += f'observedRunningTime="{ran}" watchObservedRunningTime="{watched}"'
    common = {"component": "kubelet", "host": HOST, "pod": f"build/job-{pod}"}
    return common | {"time": time + lag, "message": "Observed pod startup duration", "text": text}


def test_the_kubelet_alone_tells_by_its_own_clock() -> None:
    lines = [observed(i * 2, lag, i) for i, lag in enumerate(RISING)]
    [finding] = run(DETECTOR, {KLOG_LINES: rows(KLOG_LINES, *lines, source="kubelet.log")})
    assert finding.subject == HOST
    assert figures(finding)["largest lag"] == pytest.approx(20)
    assert "by its own clock" in finding.confidence_reason
    assert finding.confidence is Confidence.LOW
    assert finding.saving is None


@pytest.mark.parametrize("event", ['event={"ID":"x","Type":"ContainerDied","Data":"y"}', "CrashLoopBackOff"])
def test_silent_on_a_pod_whose_containers_never_run_at_once(event: str) -> None:
    """The second of its two moments is then that of a container that was started again."""
    head = "SyncLoop (PLEG): event for pod"
    line = {
        "time": 3,
        "host": HOST,
        "pod": "build/job-1",
        "message": head,
        "text": f'"{head}" pod="build/job-1" {event}',
    }
    lines = {KLOG_LINES: rows(KLOG_LINES, observed(0, 65, 1), line)}
    assert run(DETECTOR, lines) == []
    assert len(run(DETECTOR, {KLOG_LINES: lines[KLOG_LINES].head(1)})) == 1


def test_a_pod_whose_start_the_kubelet_did_not_see_is_left_out() -> None:
    line = observed(0, 100, 1)
    never = line | {"text": line["text"].replace("2026-03-14 09:00:00", "0001-01-01 00:00:00")}
    assert run(DETECTOR, {KLOG_LINES: rows(KLOG_LINES, never)}) == []


def test_silent_on_a_slow_pull_behind_the_sandbox() -> None:
    """The sandbox starts, an image is pulled for two minutes, the container starts and is told at once."""
    lines = [
        line | {"time": line["time"] - 120 * (i == 0)}
        for pod in range(5)
        for i, line in enumerate(started(200 + pod, pod))
    ]
    assert run(DETECTOR, given(lines, [patched(200 + pod + 0.2, pod) for pod in range(5)])) == []


def test_the_first_container_of_a_new_pod_counts_and_the_last_of_an_old_one() -> None:
    """Three containers start 20 s apart, and the address is told 1 s after the last."""
    lines = [*started(0, 1), started(20, 1)[1], started(40, 1)[1]]
    base = given(lines, [patched(41, 1)])
    assert run(DETECTOR, base) == []
    [finding] = run(DETECTOR, with_events(base, bound(-5, 1)))
    assert figures(finding)["largest lag"] == pytest.approx(41)
    assert run(DETECTOR, with_events(base, bound(-601, 1))) == []


def test_silent_on_a_kubelet_that_starts_anew_and_tells_all_that_runs() -> None:
    """An hour later the pods are deleted, and a last patch of each follows."""
    base = late(*([3600.0] * 20), ip=False)
    assert run(DETECTOR, base) == []
    assert run(DETECTOR, with_events(base, *(bound(-7000, i) for i in range(20)))) == []


def test_silent_on_a_kubelet_that_starts_anew_where_addresses_were_told_before() -> None:
    """It was restarted after a quarter of an hour, and writes every status again half a minute later."""
    pods = range(20)
    lines = [line for at in (0, 900) for pod in pods for line in started(at + pod, pod)]
    again = [patched(934 + pod, pod) for pod in pods]
    events = [bound(pod - 2, pod) for pod in pods]
    told = [*(patched(pod + 0.2, pod) for pod in pods), *again]
    assert run(DETECTOR, with_events(given(lines, told), *events)) == []
    assert run(DETECTOR, with_events(given(lines, again), *events)), "who never told them before tells them late"


def test_silent_on_static_pods_and_on_patches_of_a_successor() -> None:
    static = late(*RISING)
    no_hyphens = pl.col("text").str.replace_all(r"([0-9a-f]{8})-(\w{4})-(\w{4})-(\w{4})-(\w{12})", "$1$2$3$4$5")
    assert run(DETECTOR, {**static, KLOG_LINES: static[KLOG_LINES].with_columns(text=no_hyphens)}) == []
    other = late(*RISING)
    assert run(DETECTOR, {**other, AUDIT_OBJECTS: other[AUDIT_OBJECTS].with_columns(uid=pl.lit(uid(999)))}) == []


def test_silent_on_clocks_that_differ_and_says_so() -> None:
    base = late(*(40 + i / 50 for i in range(10)))
    assert run(DETECTOR, base) == []
    [remark] = remarks(DETECTOR, base)
    assert remark.startswith(f"the status of 10 pods of {HOST} came 40.1 s late, each by the same")


def test_silent_on_the_cured_node() -> None:
    assert run(DETECTOR, late(*(0.1 + i / 100 for i in range(50)))) == []


@pytest.mark.parametrize("more", [{"code": 409}, {"code": 500}])
def test_refused_patches_tell_nothing(more: Row) -> None:
    assert run(DETECTOR, late(*RISING, **more)) == []


def test_a_patch_before_the_event_is_no_lag() -> None:
    assert run(DETECTOR, late(*([-0.8] * 5))) == []


def test_two_nodes_have_a_finding_each() -> None:
    other = late(*RISING, node="ip-10-0-12-34.ec2.internal", host="ip-10-0-12-34", first=100, id_="b")
    found = run(DETECTOR, both(late(*RISING), other))
    assert [finding.subject for finding in found] == [HOST, "ip-10-0-12-34"]


def test_unrelated_rows_change_nothing_and_without_the_evidence_there_is_no_finding() -> None:
    base = late(*RISING)
    lines = [{"time": i / 10, "component": "kubelet", "host": HOST, "message": "x", "text": "x"} for i in range(500)]
    assert [f.impact for f in run(DETECTOR, with_lines(base, *lines))] == [f.impact for f in run(DETECTOR, base)]
    assert run(DETECTOR, {**base, KLOG_LINES: empty(KLOG_LINES).lazy()}) == []
    assert run(DETECTOR, {**base, AUDIT_EVENTS: empty(AUDIT_EVENTS).lazy()}) == []


def test_the_fact_names_both_records() -> None:
    base = late(3.0)
    [row] = frames_for([STATUS_LAGS], base)[STATUS_LAGS].collect().to_dicts()
    assert (row["source"], row["number"], row["patch_source"], row["patch_number"]) == (
        "kubelet.log",
        2,
        "audit.log",
        1,
    )
    assert (row["seconds"], row["basis"], row["told"]) == (pytest.approx(3.0), "address", at(3))


def test_silent_on_no_rows() -> None:
    assert run(DETECTOR, {table: empty(table).lazy() for table in (KLOG_LINES, AUDIT_EVENTS, AUDIT_OBJECTS)}) == []
