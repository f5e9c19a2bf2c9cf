"""Logs of the kernel and of a container runtime in the records of shippers, with a writer beside them and without."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from analyzer import sources
from analyzer.frames import KERNEL_MESSAGES, RUNTIME_MESSAGES
from tests.sources import wrapped
from tests.sources.texts import Reading, read_text

COUNT = 12
WITHOUT_WRITER = ["docker", "Fluent Bit json_lines", "Container Insights", "Filebeat", "Vector", "logcli -o jsonl"]
WITH_WRITER = [
    *("Filebeat, journal", "ViaQ, journal", "Container Insights, data plane", "journalctl json", "rsyslog, JSON"),
    "Syslog of Azure Monitor",
]


def containerd(number: int) -> str:
    return f'time="{wrapped.iso(number)}" level=info msg="StartContainer for \\"{number:064x}\\" returns successfully"'


def kernel(number: int) -> str:
    return f"[{number + 5:5d}.123456] Out of memory: Killed process {100 + number} (java) total-vm:1kB, anon-rss:1kB"


def read(form: str, line: Callable[[int], str], writer: str) -> Reading:
    data = wrapped.wrap(form, [line(number) for number in range(COUNT)]).replace(b"kubelet", writer.encode())
    found = sources.identify(data)
    assert found is not None
    return read_text(found[0], data, year=2026)


@pytest.mark.parametrize("form", [*WITH_WRITER, *WITHOUT_WRITER])
def test_a_runtime(form: str) -> None:
    reading = read(form, containerd, "containerd")

    assert reading.column(RUNTIME_MESSAGES, "container_id") == [f"{number:064x}" for number in range(COUNT)]
    assert set(reading.column(RUNTIME_MESSAGES, "component")) == {"containerd"}
    assert reading.report.used == COUNT


@pytest.mark.parametrize("form", [*WITH_WRITER, *WITHOUT_WRITER])
def test_the_kernel(form: str) -> None:
    reading = read(form, kernel, "kernel")

    assert reading.column(KERNEL_MESSAGES, "pid") == [100 + number for number in range(COUNT)]
    assert set(reading.column(KERNEL_MESSAGES, "kind")) == {"oom_kill"}
    assert reading.report.used == COUNT


def test_gke_names_the_log_of_any_runtime_alike() -> None:
    lines = [
        json.dumps(
            {
                "insertId": f"{number}",
                "jsonPayload": {"MESSAGE": containerd(number)},
                "logName": "projects/p/logs/container-runtime",
                "resource": {"type": "k8s_node", "labels": {"node_name": "n"}},
                "timestamp": wrapped.iso(number),
            }
        )
        for number in range(COUNT)
    ]
    found = sources.identify("\n".join(lines).encode())
    assert found is not None
    assert len(read_text(found[0], lines).rows(RUNTIME_MESSAGES)) == COUNT


def test_a_damaged_record_costs_only_itself() -> None:
    lines = wrapped.wrap("Filebeat, journal", [kernel(number) for number in range(COUNT)]).splitlines(keepends=True)
    lines = [line.replace(b"kubelet", b"kernel") for line in lines]
    lines[3] = lines[3][:40] + b"\n"
    data = b"".join(lines)
    found = sources.identify(data)
    assert found is not None
    reading = read_text(found[0], data)

    assert len(reading.rows(KERNEL_MESSAGES)) == COUNT - 1
    assert reading.report.records == COUNT
