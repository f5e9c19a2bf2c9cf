"""The container runtime of a node stands still."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.detector import NotObservable
from analyzer.detectors.node.runtime_stall import DETECTOR
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES, KUBE_EVENTS, RUNTIME_MESSAGES, Table, empty
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, remarks, rows, run

Row = dict[str, Any]
Given = dict[Table, pl.LazyFrame]

BUSY = "rpc error: code = DeadlineExceeded desc = context deadline exceeded"
ID = "ab" * 32


def line(time: float, text: str, *, host: str | None = "n1", **more: Any) -> Row:
    message = text[1:].split('"', 1)[0] if text.startswith('"') else text
    return {"time": time, "host": host, "component": "kubelet", "text": text, "message": message} | more


def pleg(time: float, ago: str, *, era: str = "new", **more: Any) -> Row:
    reason = f"PLEG is not healthy: pleg was last seen active {ago} ago; threshold is 3m0s"
    if era == "new":
        return line(time, f'"Skipping pod synchronization" err="{reason}"', **more)
    if era == "list":
        return line(time, f"skipping pod synchronization - [container runtime is down, {reason}]", **more)
    return line(time, f"skipping pod synchronization - {reason}", **more)


def stop(time: float, *, error: str = BUSY, number: int = 1, old: bool = False, **more: Any) -> Row:
    if old:
        return line(time, f'StopContainer "{number:064x}" from runtime service failed: {error}', **more)
    text = f'"StopContainer from runtime service failed" err="{error}" containerID="{number:064x}"'
    return line(time, text, **more)


def sandbox(time: float, *, error: str = BUSY, **more: Any) -> Row:
    return line(time, f'"RunPodSandbox from runtime service failed" err="{error}"', **more)


def hung(time: float, pid: int = 7, **more: Any) -> Row:
    text = f"INFO: task runc:[2:INIT]:{pid} blocked for more than 120 seconds."
    row = {"time": time, "host": "n1", "kind": "hung_task", "text": text, "duration_seconds": 120, "pid": pid}
    return row | {"process": "runc:[2:INIT]"} | more


def logs(*lines: Row, kernel: tuple[Row, ...] = ()) -> Given:
    found = {KLOG_LINES: rows(KLOG_LINES, *lines, source="kubelet.log")}
    return found | ({KERNEL_MESSAGES: rows(KERNEL_MESSAGES, *kernel, source="kern.log")} if kernel else {})


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


INCIDENT = (
    line(0, "x"),
    stop(500, number=1),
    stop(520, number=2),
    sandbox(560),
    pleg(600, "3m10.5s"),
    pleg(605, "3m15.5s"),
    pleg(900, "8m10s"),
    pleg(905, "8m15s"),
    line(910, '"Node became not ready" node="n1" condition={"type":"Ready","status":"False"}'),
    line(1000, '"Failed to kill all the processes attached to cgroup" cgroupName=["kubepods","x"] err="busy"'),
    line(
        1010, '"housekeeping took too long" expected="1s" actual="21.5s" err="Housekeeping took longer than expected"'
    ),
    line(1030, '"Fast updating node status as it just became ready"'),
)


def test_fires_where_pleg_calls_and_tasks_stand_still() -> None:
    [finding] = run(DETECTOR, logs(*INCIDENT, kernel=(hung(450), hung(570, 8))))
    assert (finding.subject, finding.variant) == ("n1", "blocked I/O")
    assert finding.summary == (
        "The container runtime of n1 stood still: the kubelet's PLEG was away for 495 s (4 lines), "
        "3 calls of the runtime past the deadline, 2 hung tasks."
    )
    assert figures(finding) == {
        "PLEG lines": 4,
        "longest time since last active": 495.0,
        "seconds stalled": 495.0,
        "stop deadlines": 2,
        "sandbox deadlines": 1,
        "hung tasks": 2,
        "pods or containers that did not stop": 2,
        "cgroups that were not removed": 1,
        "housekeeping of fifteen seconds or more": 1,
        "seconds not ready": 120.0,
    }
    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.HIGH)
    assert (finding.start, finding.end, finding.stories) == (at(450), at(1010), (17,))
    places = {(record.source, record.number) for record in finding.evidence.records}
    assert {("kubelet.log", 2), ("kubelet.log", 5), ("kubelet.log", 8), ("kern.log", 1)} <= places
    assert finding.saving is None
    assert finding.evidence.series[0].values[-2:] == (495.0, 0.0)
    assert "iostat" in finding.remedies[0].snippet
    assert any("kubelet.log" in command for command in finding.verify)


@pytest.mark.parametrize("era", ["new", "old", "list"])
def test_fires_on_one_line_of_the_pleg_in_every_era(era: str) -> None:
    [finding] = run(DETECTOR, logs(pleg(600, "3m10s", era=era)))
    assert figures(finding)["longest time since last active"] == 190.0
    assert (finding.severity, finding.confidence) == (Severity.MEDIUM, Confidence.MEDIUM)
    assert finding.variant == "runtime does not answer"


@pytest.mark.parametrize(("ago", "severity"), [("9m59s", Severity.MEDIUM), ("10m0s", Severity.HIGH)])
def test_ten_minutes_are_the_threshold_of_high(ago: str, severity: Severity) -> None:
    [finding] = run(DETECTOR, logs(pleg(900, ago)))
    assert finding.severity is severity


@pytest.mark.parametrize("old", [False, True])
def test_two_deadlines_are_the_threshold_and_one_beside_a_weak_sign(old: bool) -> None:
    assert run(DETECTOR, logs(stop(10, old=old))) == []
    [finding] = run(DETECTOR, logs(stop(10, old=old), stop(20, old=old, number=2)))
    assert (figures(finding)["stop deadlines"], finding.confidence, finding.severity) == (
        2,
        Confidence.LOW,
        Severity.LOW,
    )
    weak = line(30, "failed to kill all the processes attached to the [x] cgroups")
    assert len(run(DETECTOR, logs(stop(10, old=old), weak))) == 1
    assert run(DETECTOR, logs(weak)) == []


def test_fires_on_the_kernel_alone_and_names_the_freezer() -> None:
    trace = {"time": 11, "host": "n1", "kind": "call_trace", "text": " __refrigerator+0x45/0x180"}
    kernel = rows(KERNEL_MESSAGES, hung(10), hung(130), trace, source="kern.log")
    [finding] = run(DETECTOR, {KERNEL_MESSAGES: kernel})
    assert (finding.variant, finding.confidence, figures(finding)["hung tasks"]) == ("frozen cgroup", Confidence.LOW, 1)
    assert "take no signal" in finding.why
    assert "THAWED" in finding.remedies[0].snippet
    assert run(DETECTOR, {KERNEL_MESSAGES: kernel.head(1)}) == []


def test_one_task_that_the_kernel_tells_of_again_is_one_task() -> None:
    again = [hung(10), hung(131, duration_seconds=241), hung(140, 8)]
    [finding] = run(DETECTOR, {KERNEL_MESSAGES: rows(KERNEL_MESSAGES, *again, source="kern.log")})
    assert (figures(finding)["hung tasks"], "2 hung tasks" in finding.summary) == (2, True)


def test_episodes_are_told_apart_by_when_the_pleg_was_active_not_by_missing_lines() -> None:
    lines = [pleg(600, "3m10s"), pleg(900, "8m10s"), pleg(1200, "3m20s"), pleg(1205, "3m25s")]
    [finding] = run(DETECTOR, logs(*lines))
    assert figures(finding)["seconds stalled"] == 490.0 + 205.0
    [finding] = run(DETECTOR, logs(pleg(600, "3m10s"), pleg(700, "4m40s")))
    assert figures(finding)["seconds stalled"] == 190.0 + 280.0, "it was active ten seconds later"


@pytest.mark.parametrize(
    ("said", "variant"),
    [
        ("unable to freeze", "frozen cgroup"),
        ("cannot kill: container is frozen", "frozen cgroup"),
        ("failed to write FROZEN to freezer.state", "frozen cgroup"),
        ("pod ice/frozen-yoghurt-0", "runtime does not answer"),
        ("pod ice/freezer-0", "runtime does not answer"),
    ],
)
def test_a_freezer_is_what_the_runtime_says_of_a_cgroup_not_a_name(said: str, variant: str) -> None:
    [finding] = run(DETECTOR, logs(stop(10), stop(20, number=2, error=f"{BUSY}: {said}")))
    assert finding.variant == variant


def test_a_machine_that_is_suspended_is_no_frozen_cgroup() -> None:
    kernel = {"time": 20, "host": "n1", "kind": "other", "text": "Freezing user space processes"}
    [finding] = run(DETECTOR, logs(pleg(30, "4m0s"), kernel=(kernel,)))
    assert (finding.variant, finding.confidence) == ("runtime does not answer", Confidence.MEDIUM)


def test_a_container_whose_pod_is_not_told_is_not_counted_beside_the_pod_that_is() -> None:
    failed = line(12, f'"KillPod failed" err="{BUSY}" pod="shop/web-1" podUID="u" podStatus={{}}', pod="shop/web-1")
    failed |= {"message": "killPod failed"}
    [finding] = run(DETECTOR, logs(stop(10), failed))
    assert figures(finding)["pods or containers that did not stop"] == 1


def test_a_kernel_log_without_a_host_is_of_the_only_kubelet() -> None:
    [finding] = run(DETECTOR, logs(pleg(600, "4m0s"), kernel=(hung(500, host=None),)))
    assert (finding.subject, figures(finding)["hung tasks"]) == ("n1", 1)


def test_fires_on_the_runtimes_log_alone() -> None:
    told = [{"time": i, "host": "n1", "message": f'StopContainer for "{ID}" failed', "error": BUSY} for i in range(2)]
    [finding] = run(DETECTOR, {RUNTIME_MESSAGES: rows(RUNTIME_MESSAGES, *told, source="containerd.log")})
    assert figures(finding)["stop deadlines"] == 2


def test_a_container_and_its_pod_are_one_that_did_not_stop() -> None:
    whom = f'pod="shop/web-1" podUID="u" containerName="web" containerID="containerd://{1:064x}"'
    failed = line(
        12, f'"Container termination failed with gracePeriod" err="{BUSY}" {whom} gracePeriod=30', pod="shop/web-1"
    )
    [finding] = run(DETECTOR, logs(stop(10), stop(11), failed))
    assert figures(finding)["pods or containers that did not stop"] == 1


def test_silent_while_a_kubelet_starts() -> None:
    start = line(0, '"Kubelet version" kubeletVersion="v1.33.1"')
    young = line(5, '"Skipping pod synchronization" err="PLEG is not healthy: pleg has yet to be successful"')
    assert run(DETECTOR, logs(start, young, pleg(299, "4m50s"))) == []
    assert remarks(DETECTOR, logs(start, pleg(299, "4m50s")))[0].startswith("1 line about the PLEG")
    assert len(run(DETECTOR, logs(start, young, pleg(301, "5m1s")))) == 1
    assert run(DETECTOR, logs(young)) == []


def test_silent_on_a_runtime_that_is_restarted() -> None:
    gone = "rpc error: code = Unavailable desc = connection error: dial unix /run/containerd/containerd.sock"
    down = line(12, '"Skipping pod synchronization" err="container runtime is down"')
    assert run(DETECTOR, logs(stop(10, error=gone), stop(11, error=gone), sandbox(13, error=gone), down)) == []


@pytest.mark.parametrize(("last", "fires"), [(59, False), (60, True)])
def test_a_runtime_that_is_down_for_a_minute_is_the_threshold(last: float, fires: bool) -> None:
    lines = [
        line(time, '"Skipping pod synchronization" err="container runtime is down"')
        for time in (*range(0, 55, 5), last)
    ]
    found = run(DETECTOR, logs(*lines))
    assert [figures(one)["seconds the runtime was down"] for one in found] == [60.0] * fires
    assert run(DETECTOR, logs(lines[0], lines[-1] | {"time": 600})) == []


def test_silent_on_housekeeping_and_cgroups_alone() -> None:
    short = line(5, '"housekeeping took too long" expected="1s" actual="1.7s" err="x"')
    gone = line(6, '"Failed to delete cgroup paths" cgroupName=["kubepods","x"] err="no such file"')
    assert run(DETECTOR, logs(short, gone, gone | {"time": 9}, short | {"time": 10})) == []
    assert run(DETECTOR, logs(short, stop(10))) == []


def test_silent_on_other_errors_of_the_same_calls() -> None:
    missing = "rpc error: code = NotFound desc = an error occurred when try to find container"
    assert run(DETECTOR, logs(*(stop(i, error=missing, number=i) for i in range(9)))) == []


@pytest.mark.parametrize("ago", ["9" * 400 + "h", "x", "1e9h"])
def test_silent_on_a_time_that_cannot_be_true(ago: str) -> None:
    found = run(DETECTOR, logs(pleg(600, ago)))
    assert [figures(one)["longest time since last active"] for one in found] == [0.0] * len(found)


def test_silent_on_the_cured_node() -> None:
    assert run(DETECTOR, logs(line(0, "x"), line(5, '"SyncLoop (PLEG): event for pod" pod="a/b"'))) == []


def test_two_nodes_and_two_times_have_a_finding_each() -> None:
    lines = [pleg(600, "4m0s"), pleg(601, "5m0s", host="n2"), pleg(600 + 1801, "4m0s"), pleg(2402, "4m1s")]
    found = run(DETECTOR, logs(*lines))
    assert [(one.subject, figures(one)["PLEG lines"]) for one in found] == [("n1", 1), ("n1", 2), ("n2", 1)]
    joined = run(DETECTOR, logs(pleg(600, "4m0s"), pleg(2400, "4m0s")))
    assert [figures(one)["PLEG lines"] for one in joined] == [2]


def test_events_tell_how_long_the_node_was_not_ready() -> None:
    told = [
        {"time": 700, "reason": "NodeNotReady", "kind": "Node", "name": "n1.internal", "message": "x"},
        {"time": 1000, "reason": "NodeReady", "kind": "Node", "name": "n1.internal", "message": "x"},
    ]
    events = rows(KUBE_EVENTS, *told, source="events.json")
    [finding] = run(DETECTOR, {**logs(pleg(650, "4m0s")), KUBE_EVENTS: events})
    assert (figures(finding)["seconds not ready"], finding.severity) == (300.0, Severity.HIGH)


TASK = "INFO: task runc:[2:INIT]:4242 blocked for more than 120 seconds."
DEADLOCK = 'Node condition KernelDeadlock is now: True, reason: DockerHung, message: "task docker:20 blocked for ..."'


def told(*data: tuple[float, str, str], **more: Any) -> Given:
    """Events about node n1: time, reason and message."""
    made = [
        {"time": time, "reason": reason, "message": message, "kind": "Node", "name": "n1", "count": 1, **more}
        for time, reason, message in data
    ]
    return {KUBE_EVENTS: rows(KUBE_EVENTS, *made, source="events.json")}


@pytest.mark.parametrize(("first", "second"), [(("TaskHung", TASK), ("DockerHung", DEADLOCK))])
def test_fires_on_the_events_of_node_problem_detector_alone(first: tuple[str, str], second: tuple[str, str]) -> None:
    [finding] = run(DETECTOR, told((10, *first), (130, *second)))
    assert finding.summary.startswith("Tasks of n1 stood still in the kernel: 2 hung tasks;")
    assert (figures(finding)["hung tasks"], finding.confidence) == (2, Confidence.LOW)
    assert (finding.start, finding.end) == (at(10), at(130))
    assert ("hung task Event", "runc:[2:INIT]", 1) in finding.evidence.tables[-1].rows
    assert run(DETECTOR, told((10, *first))) == []
    [again] = run(DETECTOR, told((130, *first), first_time=10, count=7))
    assert (again.start, again.end) == (at(10), at(130)), "one Event that came seven times"


def test_events_beside_the_kernels_own_log_count_in_company_only() -> None:
    events = told((11, "TaskHung", TASK), (131, "TaskHung", TASK))
    [finding] = run(DETECTOR, {**logs(line(0, "x"), kernel=(hung(10), hung(130, 8))), **events})
    assert figures(finding)["hung tasks"] == 2
    alone = rows(KERNEL_MESSAGES, hung(10), source="kern.log")
    assert len(run(DETECTOR, {KERNEL_MESSAGES: alone, **events})) == 1


def test_a_health_check_of_the_runtime_and_a_failed_collection_are_signs() -> None:
    unhealthy = 'Node condition ContainerRuntimeUnhealthy is now: True, reason: ContainerdUnhealthy, message: "x"'
    check, collection = (10, "ContainerdUnhealthy", unhealthy), (400, "ContainerGCFailed", BUSY)
    [finding] = run(DETECTOR, told(check, collection))
    assert finding.summary == (
        "The container runtime of n1 stood still: 1 health check of node-problem-detector failed."
    )
    assert run(DETECTOR, told(check)) == []
    assert run(DETECTOR, told(collection, collection)) == []
    refused = (400, "ContainerGCFailed", "rpc error: code = Unavailable desc = connection refused")
    assert run(DETECTOR, told(check, refused)) == [], "a runtime that is restarted"


def test_errors_of_the_disk_say_why() -> None:
    error = (
        20,
        "Ext4Error",
        "EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm runc: reading directory",
    )
    [finding] = run(DETECTOR, {**logs(line(0, "x"), pleg(650, "4m0s")), **told(error)})
    assert (finding.variant, finding.confidence) == ("blocked I/O", Confidence.HIGH)


@pytest.mark.parametrize("own", [True, False])
def test_a_condition_about_the_pleg_counts_where_the_kubelet_does_not_tell_it(own: bool) -> None:
    text = "PLEG is not healthy: pleg was last seen active 3m10s ago; threshold is 3m0s"
    events = told((600, "KubeletNotReady", text))
    [finding] = run(DETECTOR, {**logs(pleg(605, "3m15s")), **events} if own else events)
    assert figures(finding)["PLEG lines"] == 1
    assert figures(finding)["longest time since last active"] == (195.0 if own else 190.0)


@pytest.mark.parametrize("reason", ["TaskHung", "KernelOops", "NodeHasSufficientMemory"])
def test_silent_on_other_events_of_the_node(reason: str) -> None:
    events = told(*((n * 10.0, reason, "something else") for n in range(5)))
    assert run(DETECTOR, {**logs(line(0, "x")), **events}) == []
    with pytest.raises(NotObservable):
        run(DETECTOR, events)


def test_old_kubelets_tell_how_long_the_node_was_not_ready() -> None:
    down = line(700, "Node became not ready: {Type:Ready Status:False Reason:KubeletNotReady}")
    again = line(1000, "Recording NodeReady event message for node n1")
    [finding] = run(DETECTOR, logs(pleg(650, "4m0s", era="old"), down, again))
    assert (figures(finding)["seconds not ready"], finding.severity) == (300.0, Severity.HIGH)


def test_unrelated_rows_change_nothing_and_without_the_evidence_there_is_no_finding() -> None:
    more = [line(i, '"Caches populated" type="*v1.ConfigMap"', host="n3") for i in range(500)]
    assert run(DETECTOR, logs(*INCIDENT, *more))[0].impact == run(DETECTOR, logs(*INCIDENT))[0].impact
    kept = [one for one in INCIDENT if "PLEG" not in one["text"] and "runtime service" not in one["text"]]
    assert run(DETECTOR, logs(*kept)) == []


def test_silent_on_no_rows() -> None:
    tables = (KERNEL_MESSAGES, RUNTIME_MESSAGES)
    assert run(DETECTOR, {table: empty(table).lazy() for table in tables}) == []


def test_hung_tasks_alone_tell_nothing_of_the_runtime() -> None:
    [finding] = run(DETECTOR, {KERNEL_MESSAGES: rows(KERNEL_MESSAGES, hung(10), hung(130, 8), source="kern.log")})
    assert finding.summary == (
        "Tasks of n1 stood still in the kernel: 2 hung tasks; nothing tells whether its runtime did."
    )
    assert "with them" in finding.why
    assert "longest time since last active" not in figures(finding)


@pytest.mark.parametrize("ago", ["-3m10s", "0s", "99999999999h0m0s"])
def test_a_time_since_the_last_activity_that_cannot_be_is_none(ago: str) -> None:
    assert run(DETECTOR, logs(line(0, "x"), pleg(600, ago))) == []


@pytest.mark.parametrize(("before", "severity"), [(60, Severity.HIGH), (300, Severity.HIGH), (301, Severity.LOW)])
def test_a_node_that_was_not_ready_long_before_was_so_for_another_reason(before: float, severity: Severity) -> None:
    down = line(3000 - before, '"Node became not ready" node="n1"')
    [finding] = run(DETECTOR, logs(line(0, "x"), down, stop(3000), stop(3100, number=2)))
    assert finding.severity is severity


def test_a_node_with_and_without_its_domain_is_one_subject() -> None:
    full = pleg(600, "3m10s", host="IP-10-0-1-7.ec2.internal")
    [finding] = run(DETECTOR, logs(line(0, "x", host="ip-10-0-1-7"), full, kernel=(hung(500, host="ip-10-0-1-7"),)))
    assert (finding.subject, finding.confidence) == ("ip-10-0-1-7", Confidence.HIGH)
