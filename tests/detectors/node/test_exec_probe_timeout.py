"""Exec probes run into their timeout and leave processes behind."""

from __future__ import annotations

import re
import shlex
from typing import Any

import polars as pl
import pytest

from analyzer.detector import NotObservable
from analyzer.detectors.node.exec_probe_timeout import DETECTOR
from analyzer.frames import (
    KERNEL_MESSAGES,
    KLOG_LINES,
    KUBE_EVENTS,
    LOG_SUPPRESSIONS,
    RUNTIME_MESSAGES,
    Table,
    empty,
)
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, remarks, rows, run

Row = dict[str, Any]
Given = dict[Table, pl.LazyFrame]

ID = "ab" * 32
UID = "5da5612b-9738-493c-af51-a213072997f6"
LATE = (
    "rpc error: code = DeadlineExceeded desc = failed to exec in container: timeout 1s exceeded: "
    "context deadline exceeded"
)


def line(time: float, text: str, **more: Any) -> Row:
    message = text[1:].split('"', 1)[0] if text.startswith('"') else text
    return {"time": time, "host": "n1", "component": "kubelet", "text": text, "message": message} | more


def call(time: float, *, container: str = ID, error: str = LATE, cmd: str = '["sh","-c","/check"]', **more: Any) -> Row:
    text = f'"ExecSync cmd from runtime service failed" err="{error}" containerID="{container}" cmd={cmd}'
    return line(time, text, error=error, **more)


def old_call(time: float) -> Row:
    error = "rpc error: code = DeadlineExceeded desc = context deadline exceeded"
    return line(time, f"ExecSync {ID} 'sh -c /check' from runtime service failed: {error}")


def probe(time: float, *, pod: str = "shop/web-1", era: str = "1.36", output: str = "", **more: Any) -> Row:
    told = {
        "1.36": 'command timed out: \\"sh -c /check\\" timed out after 1s',
        "1.25": 'command \\"sh -c /check\\" timed out',
    }.get(era, "")
    text = f'"Probe failed" probeType="Readiness" pod="{pod}" podUID="{UID}" containerName="web" '
    return line(time, text + f'probeResult="failure" output="{output or told}"', pod=pod, **more)


def old_probe(time: float) -> Row:
    error = "rpc error: code = DeadlineExceeded desc = context deadline exceeded"
    return line(time, f'Readiness probe for "web-1_shop({UID}):web" errored: {error}')


def status(time: float, ready: bool) -> Row:
    told = "ready" if ready else ""
    return line(time, f'"SyncLoop (probe)" probe="readiness" status="{told}" pod="shop/web-1"', pod="shop/web-1")


def started(time: float, pod: str = "shop/web-1", container: str = ID) -> Row:
    event = f'{{"ID":"{UID}","Type":"ContainerStarted","Data":"{container}"}}'
    return line(time, f'"SyncLoop (PLEG): event for pod" pod="{pod}" event={event}', pod=pod)


def logs(*lines: Row) -> Given:
    return {KLOG_LINES: rows(KLOG_LINES, *lines, source="kubelet.log")}


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


def pairs(count: int, every: float = 10, **more: Any) -> list[Row]:
    return [one for i in range(count) for one in (call(i * every, **more), probe(i * every + 0.001))]


INCIDENT = (started(0), *pairs(6), status(21, ready=False), status(81, ready=True))


def test_fires_where_the_calls_and_the_probes_agree() -> None:
    [finding] = run(DETECTOR, logs(*INCIDENT))
    assert finding.subject == "shop/web container web"
    assert finding.summary == (
        "6 exec probes of shop/web container web ran into the timeout of 1 s; up to 12 processes may have been left."
    )
    assert figures(finding) == {
        "timeouts": 6,
        "timeouts of the container": 6,
        "containers": 1,
        "processes left, at the most": 12,
        "period": 10.0,
        "timeout of the probe": 1.0,
        "seconds not ready": 60.0,
    }
    assert (finding.severity, finding.confidence) == (Severity.MEDIUM, Confidence.HIGH)
    assert finding.confidence_reason == "told by ExecSync, probe"
    assert (finding.start, finding.end, finding.stories) == (at(0), at(50.001), (16,))
    assert {record.number for record in finding.evidence.records} >= {2, 3, 12, 13}
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (12, 0)
    assert "after 30 s of timeouts" in finding.why
    assert finding.evidence.tables[0].rows == (("shop/web-1", "n1", 6, "03-14 09:00:00", "03-14 09:00:50"),)
    assert "timeoutSeconds: 5" in finding.remedies[0].snippet
    assert any("kubelet.log" in command for command in finding.verify)


@pytest.mark.parametrize(("pod", "pasted"), [("shop/web-1", True), ("shop/--kubeconfig=x", False), ("-x/web-1", False)])
def test_a_name_that_would_be_an_option_is_not_pasted_into_a_command(pod: str, pasted: bool) -> None:
    [finding] = run(DETECTOR, logs(*(probe(i * 10, pod=pod) for i in range(6))))
    assert any("kubectl get pod" in command for command in finding.verify) is pasted


@pytest.mark.parametrize("era", ["1.36", "1.25"])
def test_fires_on_the_probes_alone_in_every_era(era: str) -> None:
    [finding] = run(DETECTOR, logs(*(probe(i * 10, era=era) for i in range(3))))
    assert (figures(finding)["timeouts"], finding.confidence) == (3, Confidence.MEDIUM)
    [finding] = run(DETECTOR, logs(*(old_probe(i * 10) for i in range(3))))
    assert finding.subject == "shop/web container web"


def test_fires_on_the_calls_alone_and_says_what_their_log_cannot_tell() -> None:
    [finding] = run(DETECTOR, logs(*(call(i * 10) for i in range(3))))
    assert finding.subject == f"container {ID[:12]}"
    assert "the log of n1 holds no line of verbosity 1" in finding.confidence_reason
    [finding] = run(DETECTOR, logs(*(old_call(i * 10) for i in range(3))))
    assert figures(finding)["timeouts"] == 3


def test_containers_without_a_name_that_run_the_same_command_belong_together() -> None:
    lines = [call(i * 10 + n / 10, container=f"{n:064x}") for i in range(3) for n in range(8)]
    [finding] = run(DETECTOR, logs(*lines))
    assert (finding.subject, figures(finding)["timeouts"]) == ("8 containers that run sh -c /check", 24)


@pytest.mark.parametrize(
    "error", ["rpc error: code = DeadlineExceeded desc = context deadline exceeded", 'command \\"/check\\" timed out']
)
def test_fires_on_probes_that_errored(error: str) -> None:
    text = f'"Probe errored" err="{error}" probeType="Liveness" pod="shop/web-1" podUID="u" containerName="web"'
    plain = error.replace("\\", "")
    lines = [line(i * 10, text, pod="shop/web-1", error=plain) for i in range(3)]
    [finding] = run(DETECTOR, logs(*lines))
    assert finding.subject == "shop/web container web"


def old_errored(time: float, *, pod: str = "web-1") -> Row:
    error = LATE.replace("DeadlineExceeded", "Unknown")
    return line(time, f'Liveness probe for "{pod}_shop({UID}):web" errored: {error}')


def test_a_probe_that_errored_names_no_command_and_is_still_of_the_call_before_it() -> None:
    lines = [one for i in range(5) for one in (old_call(i * 10), old_errored(i * 10 + 0.001))]
    [finding] = run(DETECTOR, logs(*lines))
    assert (finding.subject, figures(finding)["timeouts"]) == ("shop/web container web", 5)
    assert finding.confidence_reason == "told by ExecSync, probe", "such a line is of verbosity 1: the log is not terse"
    assert remarks(DETECTOR, logs(lines[1])) == []


def test_calls_of_two_containers_at_once_are_told_apart_by_what_follows_most_often() -> None:
    def two(first: int, second: int, start: float) -> list[Row]:
        calls = [call(start, container=f"{first:064x}"), call(start + 0.001, container=f"{second:064x}")]
        return [*calls, *(old_errored(start + 0.002 * n, pod=f"app{k}-0") for n, k in enumerate((first, second), 1))]

    alone = [
        one
        for i in range(1, 4)
        for k in (1, 2)
        for one in (call(i * 10 + k, container=f"{k:064x}"), old_errored(i * 10 + k + 0.001, pod=f"app{k}-0"))
    ]
    found = run(DETECTOR, logs(*two(1, 2, 0), *alone))
    assert {(one.subject, figures(one)["timeouts"]) for one in found} == {
        ("shop/app1 container web", 4),
        ("shop/app2 container web", 4),
    }


@pytest.mark.parametrize("said", ["command timed out", "command timed out\n"])
def test_fires_on_what_cri_o_answers(said: str) -> None:
    [finding] = run(DETECTOR, logs(*(probe(i * 10, output=said.replace("\n", "\\n")) for i in range(3))))
    assert finding.subject == "shop/web container web"
    event = {"time": 20, "first_time": 0, "count": 3, "reason": "Unhealthy", "kind": "Pod", "event_uid": "e1"}
    event |= {"namespace": "shop", "name": "web-1", "message": f"Liveness probe failed: {said}"}
    assert len(run(DETECTOR, {KUBE_EVENTS: rows(KUBE_EVENTS, event, source="events.json")})) == 1
    early = "rpc error: code = Unknown desc = command error: command timed out, stdout: , stderr: , exit code -1"
    text = f'"Probe errored" err="{early}" probeType="Liveness" pod="shop/web-1" podUID="u" containerName="web"'
    assert len(run(DETECTOR, logs(*(line(i * 10, text, pod="shop/web-1", error=early) for i in range(3))))) == 1


@pytest.mark.parametrize(("every", "told"), [(60, 60.0), (61, None)])
def test_timeouts_further_apart_than_a_period_that_is_believed_tell_no_period(every: float, told: float | None) -> None:
    [finding] = run(DETECTOR, logs(*(call(i * every) for i in range(3))), periods=99)
    assert figures(finding).get("period") == told
    assert ("failureThreshold" in finding.why) is (told is not None)


@pytest.mark.parametrize(
    ("lines", "seen"),
    [
        ([call(i * 10) for i in range(3)], 3),
        ([old_call(i * 10) for i in range(3)], 3),
        ([probe(i * 10) for i in range(3)], 3),
        ([probe(i * 10, era="1.25") for i in range(3)], 3),
        ([old_probe(i * 10) for i in range(3)], 3),
        ([old_errored(i * 10) for i in range(3)], 3),
        ([probe(i * 10, output="command timed out") for i in range(3)], 3),
    ],
)
def test_the_command_that_counts_finds_the_lines_of_every_era(lines: list[Row], seen: int) -> None:
    [finding] = run(DETECTOR, logs(*lines))
    [command] = [one for one in finding.verify if one.startswith("zcat -f < kubelet.log | grep -cE ")]
    pattern = shlex.split(command)[-1]
    web = probe(0, output='Get \\"http://10.0.0.1/\\": context deadline exceeded')
    assert sum(bool(re.search(pattern, one["text"])) for one in [*lines, web]) == seen, "no probe by HTTP"


def test_a_journal_that_left_messages_out_makes_counts_lower_bounds() -> None:
    lost = {"component": "kubelet.service", "kind": "left out", "count": 1200}
    given = {**logs(*INCIDENT), LOG_SUPPRESSIONS: rows(LOG_SUPPRESSIONS, lost, lost | {"kind": "repeated"})}
    assert "The journal left out 1,200 messages of kubelet: counts are lower bounds." in remarks(DETECTOR, given)


def test_an_absence_of_probes_in_a_terse_log_is_no_health() -> None:
    terse = logs(line(0, "x"))
    assert run(DETECTOR, terse) == []
    assert remarks(DETECTOR, terse)[0].startswith("The log of 1 kubelet (n1) holds no line of verbosity 1")
    assert remarks(DETECTOR, logs(started(0))) == []
    with pytest.raises(NotObservable):
        run(DETECTOR, logs(line(0, "x", component="kube-scheduler")))


def test_fires_on_events_and_counts_their_occurrences() -> None:
    event = {"time": 90, "first_time": 0, "count": 10, "reason": "Unhealthy", "kind": "Pod", "event_uid": "e1"}
    event |= {"namespace": "shop", "name": "web-1"}
    event |= {"message": 'Readiness probe failed: command timed out: "sh -c /check" timed out after 1s'}
    earlier = event | {"time": 40, "count": 4}
    [finding] = run(DETECTOR, {KUBE_EVENTS: rows(KUBE_EVENTS, earlier, event, source="events.json")})
    assert (figures(finding)["timeouts"], figures(finding)["period"]) == (10, 10.0)
    often = event | {"time": 9990, "count": 1000}
    [finding] = run(DETECTOR, {KUBE_EVENTS: rows(KUBE_EVENTS, often, source="events.json")})
    assert (figures(finding)["timeouts"], figures(finding)["period"], finding.start) == (1000, 10.0, at(0))
    errored = event | {"message": "Liveness probe errored and resulted in unknown state: " + LATE}
    assert len(run(DETECTOR, {KUBE_EVENTS: rows(KUBE_EVENTS, errored, source="events.json")})) == 1
    http = event | {"message": 'Readiness probe failed: Get "http://10.0.0.1/": context deadline exceeded'}
    assert run(DETECTOR, {KUBE_EVENTS: rows(KUBE_EVENTS, http, source="events.json")}) == []


def test_fires_on_the_runtimes_log() -> None:
    told = [
        {"time": i * 10, "host": "n1", "message": f'ExecSync for "{ID}" failed', "error": LATE, "container_id": ID}
        for i in range(3)
    ]
    [finding] = run(DETECTOR, {RUNTIME_MESSAGES: rows(RUNTIME_MESSAGES, *told, source="containerd.log")})
    assert (finding.subject, figures(finding)["timeout of the probe"]) == (ID, 1.0), "the runtime names no command"


def test_a_process_that_dockershim_saw_run_on_is_the_lower_bound() -> None:
    still = [
        line(i * 10 + 1, f"Exec session {i:064x} in container {ID} terminated but process still running!")
        for i in range(3)
    ]
    [finding] = run(DETECTOR, logs(*(old_call(i * 10) for i in range(3)), *still))
    assert (figures(finding)["processes seen to run on"], figures(finding)["timeouts"]) == (3, 3)


@pytest.mark.parametrize(("last", "fires"), [(100, True), (101, False)])
def test_three_in_ten_periods_are_the_threshold(last: float, fires: bool) -> None:
    assert bool(run(DETECTOR, logs(call(0), call(10), call(last)))) is fires


@pytest.mark.parametrize(("last", "fires"), [(3600, True), (3601, False)])
def test_ten_in_an_hour_are_the_threshold_too(last: float, fires: bool) -> None:
    lines = [call(i * 400) for i in range(9)] + [call(last)]
    assert bool(run(DETECTOR, logs(*lines), timeouts=99)) is fires


def test_two_timeouts_are_below_the_threshold() -> None:
    assert run(DETECTOR, logs(call(0), call(10))) == []


@pytest.mark.parametrize(("per_probe", "severity"), [(166, Severity.MEDIUM), (167, Severity.HIGH)])
def test_a_thousand_processes_are_the_threshold_of_high(per_probe: int, severity: Severity) -> None:
    [finding] = run(DETECTOR, logs(*INCIDENT), processes_per_probe=per_probe)
    assert finding.severity is severity


def test_restarts_for_the_probe_are_counted() -> None:
    killed = line(55, '"SyncLoop (probe)" probe="liveness" status="unhealthy" pod="shop/web-1"', pod="shop/web-1")
    [finding] = run(DETECTOR, logs(*INCIDENT, killed))
    assert (figures(finding)["restarts for a failed probe"], finding.severity) == (1, Severity.HIGH)


@pytest.mark.parametrize(
    "output",
    [
        'Get \\"http://10.0.0.1:8080/healthz\\": context deadline exceeded (Client.Timeout exceeded)',
        "dial tcp 10.0.0.1:8080: i/o timeout",
        'timeout: failed to connect service \\"10.0.0.1:80\\" within 1s: context deadline exceeded',
        "cannot reach the database: timed out",
        "rpc error: code = DeadlineExceeded desc = what the command itself printed",
    ],
)
def test_silent_on_probes_without_an_exec_timeout(output: str) -> None:
    assert run(DETECTOR, logs(*(probe(i * 10, output=output) for i in range(20)))) == []


def test_silent_on_calls_that_fail_for_another_reason() -> None:
    for error in (
        "rpc error: code = NotFound desc = task not found",
        "rpc error: code = Unknown desc = OCI exec failed",
    ):
        assert run(DETECTOR, logs(*(call(i * 10, error=error) for i in range(20)))) == []


def test_silent_on_a_container_that_is_told_to_end() -> None:
    text = f'"Killing container with a grace period" pod="shop/web-1" podUID="{UID}" containerName="web" '
    kill = line(-1, text + f'containerID="containerd://{ID}" gracePeriod=30', pod="shop/web-1")
    assert run(DETECTOR, logs(kill, *pairs(6))) == []
    assert len(run(DETECTOR, logs(kill, *pairs(12)))) == 1, "the grace and half a minute are over"
    ended = [kill, *(call(58 + i * 0.25) for i in range(5))]
    assert run(DETECTOR, logs(*ended)) == []
    [finding] = run(DETECTOR, logs(*ended, *(call(59.1 + i) for i in range(3))))
    assert figures(finding)["timeouts"] == 3, "from half a minute after the grace on"


def test_silent_on_a_node_that_is_late_as_a_whole_and_says_so() -> None:
    many = [
        one
        for i in range(6)
        for n in range(5)
        for one in (call(i * 10 + n / 10, container=f"{n:064x}"), started(-1, f"shop/app{n}-0", f"{n:064x}"))
    ]
    assert run(DETECTOR, logs(*many)) == []
    assert remarks(DETECTOR, logs(*many))[0].startswith("30 records of exec timeouts of 5 workloads came together")
    four = [one for one in many if f"{4:064x}" not in one["text"]]
    assert len(run(DETECTOR, logs(*four))) == 4


def test_silent_beside_a_stall_of_the_node() -> None:
    hung = rows(KERNEL_MESSAGES, {"time": 20, "host": "n1", "kind": "hung_task"}, source="kern.log")
    assert run(DETECTOR, {**logs(*INCIDENT), KERNEL_MESSAGES: hung}) == []
    pleg = line(20, '"Skipping pod synchronization" err="PLEG is not healthy: pleg was last seen active 3m1s ago"')
    assert run(DETECTOR, logs(*INCIDENT, pleg)) == []
    assert len(run(DETECTOR, logs(*INCIDENT, pleg | {"host": "n2"}))) == 1


@pytest.mark.parametrize(("hung_at", "fires"), [(-300, False), (-301, True), (320, False), (321, True)])
def test_five_minutes_around_a_stall_are_the_threshold(hung_at: float, fires: bool) -> None:
    """Timeouts at 0, 10 and 20 s."""
    hung = rows(KERNEL_MESSAGES, {"time": hung_at, "host": "n1", "kind": "hung_task"}, source="kern.log")
    calls = [call(i * 10) for i in range(3)] if hung_at > 0 else [call(0), call(0.1), call(0.2)]
    found = run(DETECTOR, {**logs(*calls), KERNEL_MESSAGES: hung}, timeouts=1 if fires else 3)
    assert bool(found) is fires


@pytest.mark.parametrize(("after", "told"), [(60, 40.0), (61, 0.0)])
def test_a_minute_after_the_last_timeout_is_the_threshold_of_not_ready(after: float, told: float) -> None:
    fell = [status(50.001 + after, ready=False), status(50.001 + after + 40, ready=True)]
    [finding] = run(DETECTOR, logs(started(0), *pairs(6), *fell))
    assert figures(finding)["seconds not ready"] == told


@pytest.mark.parametrize(("count", "severity"), [(99, Severity.LOW), (100, Severity.MEDIUM)])
def test_a_hundred_timeouts_are_the_threshold_of_medium(count: int, severity: Severity) -> None:
    [finding] = run(DETECTOR, logs(*(call(i * 10) for i in range(count))))
    assert finding.severity is severity


@pytest.mark.parametrize(("later", "named"), [(2, True), (2.1, False)])
def test_a_probe_two_seconds_after_a_call_is_of_that_call(later: float, named: bool) -> None:
    lines = [call(i * 10, cmd="sh -c /check") for i in range(3)]
    found = run(DETECTOR, logs(*lines, probe(20 + later)))
    assert found[0].subject == ("shop/web container web" if named else f"container {ID[:12]}")


def test_silent_on_the_cured_container() -> None:
    assert run(DETECTOR, logs(started(0), status(1, ready=True))) == []


def test_two_workloads_have_a_finding_each_and_replicas_share_one() -> None:
    lines = [
        one
        for n, pod in enumerate(("shop/web-1", "shop/web-2", "shop/cart-0"))
        for i in range(3 + n)
        for one in (started(-1, pod, f"{n:064x}"), call(i * 10, container=f"{n:064x}"), probe(i * 10 + 0.1, pod=pod))
    ]
    found = run(DETECTOR, logs(*lines))
    assert [(one.subject, figures(one)["timeouts"], figures(one)["containers"]) for one in found] == [
        ("shop/web container web", 7, 2),
        ("shop/cart container web", 5, 1),
    ]


def test_unrelated_rows_change_nothing_and_without_the_evidence_there_is_no_finding() -> None:
    more = [line(i, '"Caches populated" type="*v1.ConfigMap"', host="n3") for i in range(500)]
    assert run(DETECTOR, logs(*INCIDENT, *more))[0].impact == run(DETECTOR, logs(*INCIDENT))[0].impact
    kept = [one for one in INCIDENT if "timed out" not in one["text"] and "ExecSync" not in one["text"]]
    assert run(DETECTOR, logs(*kept)) == []


def test_silent_on_no_rows() -> None:
    with pytest.raises(NotObservable):
        run(DETECTOR, {KLOG_LINES: empty(KLOG_LINES).lazy()})


def test_of_many_workloads_the_ten_with_most_timeouts_are_told() -> None:
    lines = [
        call(600 * i + 10 * n, container=f"{i:064x}", cmd=f'["/check{i}"]') for i in range(12) for n in range(3 + i)
    ]
    given = {KLOG_LINES: rows(KLOG_LINES, *lines, source="kubelet.log")}
    found = run(DETECTOR, given)
    assert [finding.figure("timeouts") for finding in found] == [14, 13, 12, 11, 10, 9, 8, 7, 6, 5]
    assert "2 more workloads with dense timeouts, none with more: not listed." in remarks(DETECTOR, given)
