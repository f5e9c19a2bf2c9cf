"""What systemd tells of the kubelet and the container runtime in a node's journal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from analyzer.frames import KLOG_LINES, UNIT_MESSAGES
from analyzer.sources.klog import SOURCE
from tests.sources.texts import read_text

KLOG = '2026-03-14T09:00:09.000001+00:00 n1 kubelet[7]: I0314 09:00:09.000000       7 util.go:30] "one"'


def journal(*texts: str, writer: str = "systemd[1]") -> list[str]:
    return [f"2026-03-14T09:00:0{n}.000001+00:00 n1 {writer}: {text}" for n, text in enumerate(texts)]


def units(*texts: str) -> list[tuple[Any, ...]]:
    reading = read_text(SOURCE, [*journal(*texts), KLOG], year=2026)
    assert reading.column(KLOG_LINES, "message") == ["one"]
    return [(row["unit"], row["what"], row.get("status")) for row in reading.rows(UNIT_MESSAGES)]


@pytest.mark.parametrize(
    ("text", "unit", "what"),
    [
        ("Started kubelet.service - kubelet: The Kubernetes Node Agent.", "kubelet", "started"),
        ("Started kubelet: The Kubernetes Node Agent.", "kubelet", "started"),
        ("Started Kubernetes kubelet.", "kubelet", "started"),
        ("Started Kubernetes Kubelet.", "kubelet", "started"),
        ("Starting kubelet.service - Kubernetes Kubelet...", "kubelet", "starting"),
        ("Stopping kubelet.service...", "kubelet", "stopping"),
        ("Stopped Kubernetes Kubelet Server.", "kubelet", "stopped"),
        ("Failed to start kubelet.service - kubelet: The Kubernetes Node Agent.", "kubelet", "failed"),
        ("Started containerd.service - containerd container runtime.", "containerd", "started"),
        ("Starting Docker Application Container Engine...", "docker", "starting"),
        ("Stopped Container Runtime Interface for OCI (CRI-O).", "crio", "stopped"),
        ("kubelet.service: Deactivated successfully.", "kubelet", "ended"),
        ("Unit kubelet.service entered failed state.", "kubelet", "failed"),
        ("kubelet.service holdoff time over, scheduling restart.", "kubelet", "restarting"),
    ],
)
def test_units_are_known_by_name_and_description(text: str, unit: str, what: str) -> None:
    assert units(text) == [(unit, what, None)]


def test_how_a_unit_ended_is_told() -> None:
    assert units(
        "kubelet.service: Main process exited, code=exited, status=1/FAILURE",
        "kubelet.service: main process exited, code=killed, status=9/KILL",
        "kubelet.service: Failed with result 'exit-code'.",
        "kubelet.service: Scheduled restart job, restart counter is at 5.",
    ) == [
        ("kubelet", "exited", "1/FAILURE"),
        ("kubelet", "exited", "9/KILL"),
        ("kubelet", "failed", "exit-code"),
        ("kubelet", "restarting", "5"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Started libcontainer container 0f32894de86e.",
        f"cri-containerd-{'ab' * 32}.scope: Deactivated successfully.",
        "Started kubelet health monitoring.",
        "kubelet.service: Consumed 1min 2.123s CPU time.",
        "kubelet.service: Current command vanished from the unit file, execution of the command list won't be resumed.",
        "Reloading.",
    ],
)
def test_other_lines_are_nothing_of_that(text: str) -> None:
    assert units(text) == []


def test_only_systemd_itself_is_believed() -> None:
    lines = [*journal("Started Kubernetes kubelet.", writer="bash[77]"), KLOG]
    assert read_text(SOURCE, lines).rows(UNIT_MESSAGES) == []


def test_rows_have_the_place_and_the_time_of_their_line() -> None:
    reading = read_text(SOURCE, [KLOG, *journal("x", "Started Kubernetes kubelet."), *journal("y")], "journal.log")
    [row] = reading.rows(UNIT_MESSAGES)
    assert (row["source"], row["number"], row["host"]) == ("journal.log", 3, "n1")
    assert row["time"] == datetime(2026, 3, 14, 9, 0, 1, 1, UTC)
    entry = f"Mar 14 09:00:09 n1 kubelet[7]: {KLOG.partition('kubelet[7]: ')[2]}"
    yearless = ["Mar 14 09:00:00 n1 systemd[1]: Stopped Kubernetes kubelet.", entry]
    [row] = read_text(SOURCE, yearless, year=2026).rows(UNIT_MESSAGES)
    assert row["time"] == datetime(2026, 3, 14, 9, 0, tzinfo=UTC)
