"""Audit records that journald wrote without their serials, beside those of the kernel."""

from __future__ import annotations

from typing import Any

import polars as pl

from analyzer.detectors.node.kernel_audit_flood import DETECTOR
from analyzer.facts.kernel_audit import KERNEL_AUDIT
from analyzer.frames import KERNEL_MESSAGES
from analyzer.model import Finding
from tests.build import frames_for, rows, run

Row = dict[str, Any]


def heard(time: float, kind: str = "SYSCALL", *, host: str | None = "n1", **more: Any) -> Row:
    """A line of journald: `n1 audit[812]: SYSCALL arch=c000003e ...`."""
    return {"time": time, "kind": "audit", "audit_type": kind, "host": host, "text": f"{kind} arch=c000003e"} | more


def printed(time: float, serial: int, kind: str = "1300", *, host: str | None = "n1") -> Row:
    return heard(time, kind, host=host, audit_serial=serial, audit_time=time)


def fact(*messages: Row, **sources: list[Row]) -> pl.DataFrame:
    parts = [rows(KERNEL_MESSAGES, *messages, source="journal")] if messages else []
    parts += [rows(KERNEL_MESSAGES, *lines, source=name) for name, lines in sources.items()]
    return frames_for([KERNEL_AUDIT], {KERNEL_MESSAGES: pl.concat(parts)})[KERNEL_AUDIT].collect()


def test_records_of_one_event_have_one_number() -> None:
    found = fact(
        heard(0, "AVC"), heard(0, "SYSCALL"), heard(0, "PROCTITLE"),
        heard(1, "SYSCALL"), heard(1, "EXECVE"), heard(1, "CWD"), heard(1, "PATH"), heard(1, "PROCTITLE"),
        heard(1, "SYSCALL"), heard(1, "PROCTITLE"),
        heard(2, "NETFILTER_CFG"), heard(2, "NETFILTER_CFG"), heard(9, "SYSCALL"), heard(9, "AUDIT1334"),
    )  # fmt: skip
    assert found["serial"].to_list() == [
        *(1001, 1001, 1001, 1002, 1002, 1002, 1002, 1002, 1003, 1003, 1004, 1005, 1006, 1007)
    ]
    assert found["is_numbered"].to_list() == [False] * 14
    assert found["type"][-1] == "BPF"


def test_where_the_kernel_printed_the_same_records_these_count() -> None:
    both = [one for n in range(20) for one in (printed(n * 30, 500 + n), heard(n * 30 + 0.1))]
    found = fact(*both)
    assert found["serial"].to_list() == list(range(500, 520))
    assert found["is_numbered"].all()


def test_a_few_lines_of_the_boot_do_not_hide_what_journald_heard() -> None:
    found = fact(printed(0, 1, "2000"), printed(0, 2), *(heard(60 * n) for n in range(1, 20)))
    assert found.filter(pl.col("what") == "record")["is_numbered"].to_list() == [False] * 19
    assert found["serial"].min() == 1001


def test_logs_of_two_times_are_not_mixed_up() -> None:
    found = fact(*(printed(60 * n, 500 + n) for n in range(30)), *(heard(3600 + 60 * n) for n in range(5)))
    assert found["is_numbered"].all()
    assert found.height == 30


def test_nodes_are_judged_one_by_one() -> None:
    found = fact(*(printed(n, 500 + n) for n in range(5)), *(heard(n, host="n2") for n in range(5)))
    assert found.group_by("node").agg(pl.col("is_numbered").all()).sort("node").rows() == [("n1", True), ("n2", False)]


def test_a_dmesg_without_a_host_is_of_the_only_node_whose_journald_heard_the_same() -> None:
    lines = [printed(n, 500 + n, host=None) for n in range(50)]
    found = fact(*(heard(n + 0.2) for n in range(50)), dmesg=lines)
    assert (found["node"].unique().to_list(), found.height, found["is_numbered"].all()) == (["n1"], 50, True)
    later = [one | {"time": one["time"] + 5000, "audit_time": one["time"] + 5000} for one in lines]
    assert fact(*(heard(n + 0.2) for n in range(50)), dmesg=later)["node"].n_unique() == 2


def flood(rate: int = 6) -> list[Row]:
    """Twenty minutes with an event in ten seconds, and ten with `rate` of them a second."""
    quiet = [heard(n * 10, "SERVICE_START") for n in range(120)]
    return [*quiet, *(heard(1200 + n / rate, kind) for n in range(600 * rate) for kind in ("SYSCALL", "PROCTITLE"))]


def found_in(*messages: Row) -> list[Finding]:
    return run(DETECTOR, {KERNEL_MESSAGES: rows(KERNEL_MESSAGES, *messages, source="journal.log")})


def test_a_flood_is_found_by_lines_alone_and_says_so() -> None:
    [finding] = found_in(*flood())
    figures = {figure.name: figure.value for figure in finding.impact}
    assert (finding.subject, figures["events in the log"]) == ("n1", 3600)
    assert "records not in the log" not in figures
    assert "hold no serials" in finding.confidence_reason
    assert "by serial" not in str(finding)
    assert any("audit(" in command and "uniq -c" in command for command in finding.verify)


def test_the_thresholds_hold_for_lines_too() -> None:
    assert found_in(*flood(4)) == [], "below five a second"
    assert found_in(*(one for one in flood() if one["audit_type"] == "SERVICE_START")) == []


def test_a_flood_that_both_tell_of_is_one() -> None:
    both = [one for n in range(120) for one in (printed(n * 10, 1000 + n), heard(n * 10))]
    both += [one for n in range(3600) for one in (printed(1200 + n / 6, 1120 + n), heard(1200 + n / 6))]
    [finding] = found_in(*both)
    assert finding.impact[0].name == "records by serial"
    assert finding.impact[0].value == 3600
