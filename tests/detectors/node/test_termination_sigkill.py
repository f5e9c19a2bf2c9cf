"""Containers are killed by SIGKILL while they end."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.detectors.node.termination_sigkill import DETECTOR
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES, KUBE_EVENTS, RUNTIME_MESSAGES, UNIT_MESSAGES, Table, empty
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, remarks, rows, run

Row = dict[str, Any]
Given = dict[Table, pl.LazyFrame]


def ident(number: int) -> str:
    return f"{number:064x}"


def uid(number: int) -> str:
    return f"00621f04-c657-4a61-ac23-{number:012d}"


def line(time: float, text: str, *, host: str = "n1", pod: str | None = None) -> Row:
    message = text[1:].split('"', 1)[0] if text.startswith('"') else text
    return {"time": time, "host": host, "component": "kubelet", "text": text, "message": message, "pod": pod}


def kill(time: float, number: int, grace: int, **more: Any) -> Row:
    pod = f"games/match-{number}"
    text = f'"Killing container with a grace period" pod="{pod}" podUID="{uid(number)}" containerName="game" '
    return line(time, text + f'containerID="containerd://{ident(number)}" gracePeriod={grace}', pod=pod, **more)


def end(time: float, number: int, code: int | None, **more: Any) -> list[Row]:
    event = f'{{"ID":"{uid(number)}","Type":"ContainerDied","Data":"{ident(number)}"}}'
    pod = f"games/match-{number}"
    lines = [line(time + 0.1, f'"SyncLoop (PLEG): event for pod" pod="{pod}" event={event}', pod=pod, **more)]
    if code is not None:
        text = f'podID="{uid(number)}" containerID="{ident(number)}" exitCode={code}'
        lines.insert(0, line(time, f'"Generic (PLEG): container finished" {text}', **more))
    return lines


def start(time: float, **more: Any) -> list[Row]:
    return [
        line(time, '"Kubelet version" kubeletVersion="v1.33.1"', **more),
        line(time + 3, '"Starting kubelet main sync loop"', **more),
    ]


EXPIRED = '"The currently active client certificate has expired and the server is responsive, exiting."'


def given(*lines: Row) -> Given:
    return {KLOG_LINES: rows(KLOG_LINES, *lines, source="kubelet.log")}


def incident(code: int | None = 137, *, first: int = 1, **more: Any) -> list[Row]:
    """Two pods with an hour of grace are deleted; the kubelet starts anew after ten minutes, and both die at once."""
    return [
        line(0, "x", **more),
        kill(10, first, 3600, **more),
        kill(12, first + 1, 3600, **more),
        line(599, "x", **more),
        *start(610, **more),
        *end(612, first, code, **more),
        *end(613, first + 1, code, **more),
    ]


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


def test_fires_where_the_kubelet_starts_anew_inside_a_grace_period() -> None:
    [finding] = run(DETECTOR, given(*incident()))
    assert (finding.subject, finding.variant) == ("n1", "kubelet restart")
    assert finding.summary == (
        "2 pods on n1 got SIGKILL inside the grace period at 1 restart of the kubelet; 5,997 s of grace were lost."
    )
    assert figures(finding) == {
        "pods killed inside their grace period": 2,
        "containers killed": 2,
        "seconds of grace lost": 5997.0,
        "kubelet restarts": 1,
        "restarts for a certificate": 0,
    }
    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.HIGH)
    assert (finding.start, finding.end, finding.stories) == (at(10), at(613), (23,))
    assert {record.number for record in finding.evidence.records} == {2, 3, 5, 7, 9}
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (5997.0, 0.0)
    assert finding.evidence.tables[0].rows[0] == ("games/match-2", "game", "03-14 09:00:12", 3600.0, 601.0, 137, 2999.0)
    assert finding.evidence.series[0].values == (2.0,) * 11
    assert "kubectl drain" in finding.remedies[0].snippet
    assert any("kubelet.log" in command for command in finding.verify)


def test_fires_where_systemd_alone_tells_of_the_restart() -> None:
    lines = [one for one in incident() if "Kubelet version" not in one["text"] and "main sync loop" not in one["text"]]
    assert run(DETECTOR, given(*lines)) == []
    units = [{"time": time, "host": "n1", "unit": "kubelet", "what": what} for time, what in ENDS_AND_STARTS]
    told = {UNIT_MESSAGES: rows(UNIT_MESSAGES, *units, source="journal.log")}
    [finding] = run(DETECTOR, {**given(*lines), **told})
    assert (finding.variant, figures(finding)["kubelet restarts"]) == ("kubelet restart", 1)
    assert ("journal.log", 2) in {(record.source, record.number) for record in finding.evidence.records}


ENDS_AND_STARTS = ((609, "exited"), (610, "started"))


def test_the_start_with_which_a_log_begins_is_no_restart() -> None:
    [finding] = run(DETECTOR, given(*start(-500), *incident()))
    assert figures(finding)["kubelet restarts"] == 1


def test_fires_without_exit_codes_and_is_less_sure() -> None:
    [finding] = run(DETECTOR, given(*incident(None)))
    assert (figures(finding)["pods killed inside their grace period"], finding.confidence) == (2, Confidence.MEDIUM)


def test_an_end_without_an_exit_code_counts_up_to_its_threshold_after_the_restart() -> None:
    lines = [kill(10, 1, 3600), *start(610), *end(669.8, 1, None)]
    assert len(run(DETECTOR, given(*lines))) == 1
    lines = [kill(10, 1, 3600), *start(610), *end(670.0, 1, None)]
    assert run(DETECTOR, given(*lines)) == []


@pytest.mark.parametrize(("grace", "fires"), [(59, False), (60, True)])
def test_a_short_grace_without_an_exit_code_is_below_the_threshold(grace: int, fires: bool) -> None:
    assert bool(run(DETECTOR, given(kill(10, 1, grace), *start(30), *end(34, 1, None)))) is fires
    assert len(run(DETECTOR, given(kill(10, 1, grace), *start(30), *end(34, 1, 137)))) == 1


@pytest.mark.parametrize(("ended", "variant"), [(68.9, "kubelet restart"), (69.0, "grace exceeded")])
def test_the_grace_is_the_threshold_to_a_second(ended: float, variant: str) -> None:
    [finding] = run(DETECTOR, given(kill(10, 1, 60), *start(60), *end(ended, 1, 137)))
    assert finding.variant == variant


def test_the_kubelets_second_kill_of_a_container_is_the_same_kill() -> None:
    [finding] = run(DETECTOR, given(*incident(), kill(611, 1, 30)))
    assert figures(finding)["seconds of grace lost"] == 5997.0


def test_fires_on_restarts_for_a_certificate() -> None:
    day = 86_400
    lines: list[Row] = []
    for number in range(3):
        lines += [line(number * day, EXPIRED), *start(number * day + 10)]
    [finding] = run(DETECTOR, given(*lines))
    assert (finding.variant, finding.severity, finding.stories) == ("certificate restarts", Severity.LOW, (24,))
    assert figures(finding) == {
        "pods killed inside their grace period": 0,
        "containers killed": 0,
        "seconds of grace lost": 0.0,
        "kubelet restarts": 3,
        "restarts for a certificate": 3,
        "seconds between them": float(day),
    }
    assert finding.saving is None
    assert "rotateCertificates: true" in finding.remedies[0].snippet
    assert run(DETECTOR, given(*lines[:3])) == [], "one restart is below the threshold"
    victim = [kill(day - 7200, 1, 2 * day), *end(day + 12, 1, 137)]
    [finding] = run(DETECTOR, given(*lines, *victim))
    assert (finding.variant, finding.stories, finding.severity) == ("kubelet restart", (23, 24), Severity.HIGH)
    assert "1 of the restarts for its certificate" in finding.summary


def test_fires_on_programs_that_do_not_end_in_time() -> None:
    [finding] = run(DETECTOR, given(kill(10, 1, 30), *end(40.2, 1, 137)))
    assert (finding.subject, finding.variant, finding.stories) == ("games/match", "grace exceeded", ())
    assert figures(finding) == {
        "pods killed at the end of their grace period": 1,
        "seconds waited for": pytest.approx(30.2),
    }
    assert (finding.severity, finding.confidence) == (Severity.LOW, Confidence.HIGH)
    assert run(DETECTOR, given(kill(10, 1, 30), *end(40.2, 1, 137)), exceeded=2) == []


@pytest.mark.parametrize(("ended", "fires"), [(39.8, False), (39.9, True), (159.9, True), (160.0, False)])
def test_without_an_exit_code_the_whole_grace_is_the_threshold(ended: float, fires: bool) -> None:
    old = line(10, f'Killing container "docker://{ident(1)}" with 30 second grace period')
    found = run(DETECTOR, given(old, *end(ended, 1, None)))
    assert [(one.subject, one.variant, one.confidence) for one in found] == [
        ("games/match", "grace exceeded", Confidence.MEDIUM)
    ] * fires
    assert all("nothing tells their exit code" in one.confidence_reason for one in found)
    assert run(DETECTOR, given(old, *start(20), *end(ended, 1, None))) == [], "the new kubelet grants its grace anew"


def test_the_command_that_reads_a_certificate_is_for_restarts_only() -> None:
    [finding] = run(DETECTOR, given(kill(10, 1, 30), *end(40.2, 1, 137)))
    assert not any("openssl" in command for command in finding.verify)
    [finding] = run(DETECTOR, given(*incident()))
    assert any("openssl" in command for command in finding.verify)


def test_fires_on_the_event_and_on_the_runtimes_line() -> None:
    event = {"reason": "ExceededGracePeriod", "kind": "Pod", "namespace": "games", "name": "match-1"}
    [finding] = run(DETECTOR, {KUBE_EVENTS: rows(KUBE_EVENTS, event, source="events.json")})
    assert (finding.subject, figures(finding)) == ("games/match", {"pods killed at the end of their grace period": 1})
    assert finding.summary == "1 pod of games/match did not end within its grace period, as Events tell."
    assert any("grep -c -- ExceededGracePeriod" in command for command in finding.verify)
    runtime = [
        {"time": 10, "message": f'StopContainer for "{ident(1)}" with timeout 30 (s)'},
        {"time": 40, "message": f'Kill container "{ident(1)}"'},
    ]
    [finding] = run(DETECTOR, {RUNTIME_MESSAGES: rows(RUNTIME_MESSAGES, *runtime, source="containerd.log")})
    assert finding.variant == "grace exceeded"


@pytest.mark.parametrize("code", [0, 143, 1])
def test_silent_on_a_kubelet_that_takes_up_the_grace_again(code: int) -> None:
    assert run(DETECTOR, given(*incident(code))) == []


def test_silent_on_a_liveness_kill() -> None:
    event = {"time": 9, "reason": "Killing", "kind": "Pod", "namespace": "games", "name": "match-1"}
    event |= {"message": "Container game failed liveness probe, will be restarted"}
    events = rows(KUBE_EVENTS, event, source="events.json")
    lines = [kill(10, 1, 30), *end(40.2, 1, 137)]
    assert run(DETECTOR, given(*lines)) != []
    assert run(DETECTOR, {**given(*lines), KUBE_EVENTS: events}) == []
    text = '"SyncLoop (probe)" probe="liveness" status="unhealthy" pod="games/match-1"'
    assert run(DETECTOR, given(line(9, text, pod="games/match-1"), *lines)) == []


@pytest.mark.parametrize(("failed", "fires"), [(-50, False), (-51, True), (70, False), (71, True)])
def test_a_minute_around_the_kill_is_the_threshold_of_a_failed_probe(failed: float, fires: bool) -> None:
    text = '"SyncLoop (probe)" probe="liveness" status="unhealthy" pod="games/match-1"'
    lines = [line(failed, text, pod="games/match-1"), kill(10, 1, 90), *end(100.2, 1, 137)]
    assert bool(run(DETECTOR, given(*lines))) is fires


@pytest.mark.parametrize(
    ("oom", "named", "fires"), [(30.2, True, False), (30.1, True, True), (38.2, False, False), (38.1, False, True)]
)
def test_ten_seconds_before_the_end_are_the_threshold_of_an_oom_kill(oom: float, named: bool, fires: bool) -> None:
    """Two where it names no container."""
    row = {"time": oom, "kind": "cgroup_oom", "container_id": ident(1) if named else None, "host": "n1"}
    kernel = {KERNEL_MESSAGES: rows(KERNEL_MESSAGES, row, source="kern.log")}
    assert bool(run(DETECTOR, {**given(kill(10, 1, 30), *end(40.2, 1, 137)), **kernel})) is fires


@pytest.mark.parametrize(("grace", "severity"), [(4201, Severity.MEDIUM), (4202, Severity.HIGH)])
def test_an_hour_of_lost_grace_is_the_threshold_of_high(grace: int, severity: Severity) -> None:
    [finding] = run(DETECTOR, given(line(599, "x"), kill(10, 1, grace), *start(610), *end(612, 1, 137)))
    assert (figures(finding)["seconds of grace lost"], finding.severity) == (float(grace - 602), severity)


@pytest.mark.parametrize(("pods", "high"), [(9, False), (10, True)])
def test_ten_pods_are_the_threshold_of_the_severity(pods: int, high: bool) -> None:
    cut = [one for n in range(pods) for one in (kill(500, n, 200), *end(612, n, 137))]
    [finding] = run(DETECTOR, given(line(599, "x"), *cut, *start(610)))
    assert finding.severity is (Severity.HIGH if high else Severity.MEDIUM)
    [finding] = run(DETECTOR, given(*(one for n in range(pods) for one in (kill(10, n, 30), *end(40.2, n, 137)))))
    assert finding.severity is (Severity.MEDIUM if high else Severity.LOW)


@pytest.mark.parametrize(("before", "certificates"), [(120, 1), (121, 0)])
def test_two_minutes_before_the_start_are_the_threshold_of_a_certificate(before: float, certificates: int) -> None:
    lines = [line(610 - before, EXPIRED), line(599, "x"), kill(10, 1, 3600), *start(610), *end(612, 1, 137)]
    [finding] = run(DETECTOR, given(*sorted(lines, key=lambda row: float(row["time"]))))
    assert figures(finding)["restarts for a certificate"] == certificates


@pytest.mark.parametrize(("before", "fires"), [(600, False), (601, True)])
def test_ten_minutes_before_the_start_are_the_threshold_of_a_boot(before: float, fires: bool) -> None:
    boot = rows(KERNEL_MESSAGES, {"time": 610 - before, "kind": "boot", "host": "n1"}, source="kern.log")
    assert bool(run(DETECTOR, {**given(*incident()), KERNEL_MESSAGES: boot})) is fires


@pytest.mark.parametrize(("later", "starts"), [(60, 1), (61, 2)])
def test_what_a_kubelet_says_within_a_minute_is_one_start(later: float, starts: int) -> None:
    again = line(610 + later, '"Starting kubelet main sync loop"')
    [finding] = run(DETECTOR, given(*incident(), again))
    assert figures(finding)["kubelet restarts"] == starts


def test_silent_on_an_oom_kill_and_says_so() -> None:
    oom = {"time": 40, "kind": "cgroup_oom", "container_id": ident(1), "host": "n1"}
    kernel = rows(KERNEL_MESSAGES, oom, source="kern.log")
    assert run(DETECTOR, {**given(kill(10, 1, 30), *end(40.2, 1, 137)), KERNEL_MESSAGES: kernel}) == []
    base = {**given(line(0, "x"), *end(40.2, 1, 137), *end(50, 2, 137)), KERNEL_MESSAGES: kernel}
    assert run(DETECTOR, base) == []
    [remark] = remarks(DETECTOR, base)
    assert remark.startswith("1 container exited with 137 though nothing tells")
    assert "1 container by an OOM kill" in remark


@pytest.mark.parametrize("reason", ["OOMKilling", "SystemOOM"])
def test_silent_on_an_oom_kill_that_an_event_tells(reason: str) -> None:
    event = {
        "time": 41,
        "kind": "Node",
        "name": "n1",
        "reason": reason,
        "message": "Killed process 7 (game) total-vm:1kB",
    }
    events = {KUBE_EVENTS: rows(KUBE_EVENTS, event, source="events.json")}
    killed = given(kill(10, 1, 30), *end(40.2, 1, 137))
    assert len(run(DETECTOR, killed)) == 1
    assert run(DETECTOR, {**killed, **events}) == []
    elsewhere = rows(KUBE_EVENTS, event | {"name": "n2"}, source="events.json")
    assert len(run(DETECTOR, {**killed, KUBE_EVENTS: elsewhere})) == 1
    nobody = {**given(line(0, "x"), *end(40.2, 1, 137), *end(50, 2, 137)), **events}
    assert "1 container by an OOM kill" in remarks(DETECTOR, nobody)[0]


def test_silent_on_a_node_that_boots_or_shuts_down() -> None:
    boot = rows(KERNEL_MESSAGES, {"time": 600, "kind": "boot", "host": "n1"}, source="kern.log")
    assert run(DETECTOR, {**given(*incident()), KERNEL_MESSAGES: boot}) == []
    down = line(9, '"Shutdown manager detected new shutdown event" event="shutdown"')
    assert run(DETECTOR, given(down, kill(10, 1, 30), *end(40.2, 1, 137))) == []


def test_silent_on_forced_deletions_and_on_another_nodes_kubelet() -> None:
    assert run(DETECTOR, given(kill(10, 1, 1), *end(12, 1, 137))) == []
    other = [kill(10, 1, 3600), *start(610, host="n2"), *end(612, 1, 137)]
    assert run(DETECTOR, given(*other)) == []


def test_silent_on_a_restart_while_nothing_ends() -> None:
    assert run(DETECTOR, given(kill(10, 1, 30), *end(15, 1, 0), *start(610))) == []


def test_two_nodes_have_a_finding_each() -> None:
    found = run(DETECTOR, given(*incident(), *incident(first=11, host="n2")))
    assert [finding.subject for finding in found] == ["n1", "n2"]
    assert [figures(finding)["pods killed inside their grace period"] for finding in found] == [2, 2]


def test_unrelated_rows_change_nothing_and_without_the_evidence_there_is_no_finding() -> None:
    more = [line(i / 10, '"Caches populated" type="*v1.ConfigMap"', host="n3") for i in range(500)]
    [finding] = run(DETECTOR, given(*incident(), *more))
    assert finding.impact == run(DETECTOR, given(*incident()))[0].impact
    for gone in ("Killing", "Kubelet version", "exitCode"):
        kept = [one for one in incident() if gone not in one["text"] and "main sync" not in one["text"]]
        kept = [one for one in kept if gone != "exitCode" or "ContainerDied" not in one["text"]]
        assert run(DETECTOR, given(*kept)) == []


def test_silent_on_no_rows() -> None:
    tables = (KLOG_LINES, RUNTIME_MESSAGES, KUBE_EVENTS, KERNEL_MESSAGES)
    assert run(DETECTOR, {table: empty(table).lazy() for table in tables}) == []


def test_of_a_cluster_of_builds_the_worst_ten_are_told() -> None:
    lines: list[Row] = []
    for i in range(12):
        lines += [kill(100 * i, i, 30), *end(100 * i + 30.4, i, 137)]
    lines += [kill(5000, 3, 30), *end(5030.4, 3, 137)]
    for row in lines:
        for column in ("text", "pod"):
            row[column] = row[column] and row[column].replace("games/match-", "ci/runner-x-project-7-concurrent-0abc")
    given = {KLOG_LINES: rows(KLOG_LINES, *lines, source="kubelet.log")}
    found = run(DETECTOR, given)
    assert len(found) == 10
    assert found[0].summary.startswith("1 pod of ci/runner-x-project-7-concurrent-0abc0 did not end within its grace")
    assert "2 more workloads (grace exceeded, 2 pods) are like these: not listed." in remarks(DETECTOR, given)


@pytest.mark.parametrize(("ended", "fires"), [(70, False), (99.5, True)])
def test_what_ended_while_the_kubelet_still_wrote_is_none_of_its_restart(ended: float, fires: bool) -> None:
    """A drain before an upgrade: one of its pods ends with 137 at once, the kubelet is restarted a minute later."""
    alive = [line(time, '"SyncLoop (housekeeping)"') for time in range(0, 100, 10)]
    lines = [*alive, kill(10, 1, 300), *end(ended, 1, 137), *start(100)]
    given = {KLOG_LINES: rows(KLOG_LINES, *sorted(lines, key=lambda row: row["time"]), source="kubelet.log")}
    assert bool(run(DETECTOR, given)) is fires
