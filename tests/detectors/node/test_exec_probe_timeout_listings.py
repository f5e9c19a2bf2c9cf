"""What saved process listings add to exec probes that run into their timeout."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.detectors.node.exec_probe_timeout import DETECTOR
from analyzer.frames import PROCESSES
from analyzer.model import Confidence, Severity
from tests.build import remarks, rows, run
from tests.detectors.node.test_exec_probe_timeout import ID, Given, Row, call, figures, logs, pairs, probe, started


def zombies(*parents: int, command: str = "sh", **more: Any) -> list[Row]:
    """A container's process 1 (4711), and a defunct process below each of those parents."""
    first = {"pid": 4711, "ppid": 4690, "state": "S", "command": "java", "listing": 1, "time": 60.0, "host": "n1"}
    first |= more
    below = [
        first | {"pid": 10_000 + at, "ppid": parent, "state": "Z", "command": command}
        for at, parent in enumerate(parents)
    ]
    return [first, *below]


def listing(*processes: Row, source: str = "ps.txt") -> Given:
    return {PROCESSES: rows(PROCESSES, *processes, source=source)}


def test_a_process_listing_turns_the_bound_into_a_number() -> None:
    [finding] = run(DETECTOR, {**logs(*pairs(3)), **listing(*zombies(*[4711] * 5, 1))})
    assert finding.summary == (
        "3 exec probes of shop/web container web ran into the timeout of 1 s; "
        "6 defunct processes with names of its command stand in a process listing of n1."
    )
    assert figures(finding)["defunct processes"] == 6
    assert "processes left, at the most" not in figures(finding)
    assert next(iter(figures(finding))) == "timeouts", "a comparison goes by the first figure"
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.formula) == (6, "defunct processes of the listing")
    table = finding.evidence.tables[-1]
    assert table.caption == "Defunct processes by parent, in ps.txt"
    assert table.rows == (("java", "4711", 5, "sh", 2), (None, "1", 1, "sh", 7))
    assert [one.number for one in finding.evidence.records if one.source == "ps.txt"] == [1, 2, 4, 6, 7]
    assert "saved at 2026-03-14 09:01:00 UTC" in finding.confidence_reason
    assert "/proc/PID/cgroup" in finding.refuted_by
    assert any("grep -c -- '<defunct>'" in command for command in finding.verify)


@pytest.mark.parametrize(("count", "severity"), [(999, Severity.LOW), (1000, Severity.HIGH)])
def test_the_threshold_of_high_is_held_against_the_number_in_the_listing(count: int, severity: Severity) -> None:
    [finding] = run(DETECTOR, {**logs(*pairs(3)), **listing(*zombies(*[4711] * count))})
    assert (figures(finding)["defunct processes"], finding.severity) == (count, severity)


def test_a_listing_without_defunct_processes_is_told_as_such() -> None:
    [finding] = run(DETECTOR, {**logs(*pairs(6)), **listing(*zombies())}, processes_per_probe=1000)
    assert finding.summary.endswith("; no defunct process stands in a process listing of n1.")
    assert (figures(finding)["defunct processes"], finding.severity) == (0, Severity.LOW)


def test_cgroups_tell_whose_the_defunct_processes_are() -> None:
    own, other = zombies(4711, 4711, command="x", container_id=ID), zombies(4712, container_id="cd" * 32, pid=4712)
    calls = logs(*(call(i * 10) for i in range(3)))
    [finding] = run(DETECTOR, {**calls, **listing(*own, *other)})
    assert finding.summary.endswith("2 defunct processes of the container stand in a process listing of n1.")
    assert finding.confidence is Confidence.HIGH
    [finding] = run(DETECTOR, {**calls, **listing(*zombies(container_id=ID, host=None), *other)})
    assert figures(finding)["defunct processes"] == 0, "the container is there, and has none"


def test_defunct_processes_that_nothing_ties_to_the_probe_leave_the_bound() -> None:
    [finding] = run(DETECTOR, {**logs(*pairs(3)), **listing(*zombies(*[4711] * 5, command="chrome"))})
    assert finding.summary.endswith("up to 6 processes may have been left.")
    assert figures(finding)["defunct processes of the node"] == 5
    assert figures(finding)["processes left, at the most"] == 6
    assert "nothing tells whose they are" in finding.confidence_reason
    two = [
        one
        for n, pod in enumerate(("shop/web-1", "shop/cart-0"))
        for i in range(3)
        for one in (started(-1, pod, f"{n:064x}"), call(i * 10, container=f"{n:064x}"), probe(i * 10 + 0.1, pod=pod))
    ]
    found = run(DETECTOR, {**logs(*two), **listing(*zombies(*[4711] * 5))})
    assert ["processes left, at the most" in figures(one) for one in found] == [True, True], "both run sh"


def test_a_listing_of_before_or_of_another_node_says_nothing() -> None:
    bound = "up to 6 processes may have been left."
    for processes in (zombies(4711, time=-1.0), zombies(4711, host="n2")):
        [finding] = run(DETECTOR, {**logs(*pairs(3)), **listing(*processes)})
        assert finding.summary.endswith(bound)
    elsewhere = [one | {"host": "n2"} for one in pairs(3)]
    given = {**logs(*pairs(3), *elsewhere), **listing(*zombies(4711, host=None))}
    assert all(finding.summary.endswith("up to 12 processes may have been left.") for finding in run(DETECTOR, given))


@pytest.mark.parametrize("source", ["sosreport-n1-2026-03-14-abc/sos_commands/process/ps_aux", "ps-N1.txt", "ps.txt"])
def test_the_path_of_a_listing_names_the_node_or_there_is_only_one(source: str) -> None:
    [finding] = run(DETECTOR, {**logs(*pairs(3)), **listing(*zombies(4711, host=None, time=None), source=source)})
    assert figures(finding)["defunct processes"] == 1
    assert ("the listing names no node" in finding.confidence_reason) is (source == "ps.txt")
    assert "which holds no time" in finding.confidence_reason


@pytest.mark.parametrize(("count", "told"), [(99, False), (100, True)])
def test_many_defunct_processes_without_timeouts_are_a_remark(count: int, told: bool) -> None:
    given = {**logs(started(0)), **listing(*zombies(*[4711] * count))}
    assert run(DETECTOR, given) == []
    text = "ps.txt shows 100 defunct processes of java (4711), and no timeout of an exec probe here explains them"
    assert any(one.startswith(text) for one in remarks(DETECTOR, given)) is told


def test_unrelated_processes_change_nothing() -> None:
    more = [{"pid": 50_000 + n, "ppid": 1, "state": "S", "listing": 1, "host": "n1", "time": 60} for n in range(500)]
    given, with_more = zombies(4711, 4711), [*zombies(4711, 4711), *more]
    [plain], [beside] = (run(DETECTOR, {**logs(*pairs(3)), **listing(*one)}) for one in (given, with_more))
    assert (plain.impact, plain.evidence) == (beside.impact, beside.evidence)
