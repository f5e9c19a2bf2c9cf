"""klog inside what journald, syslog and container runtimes write around it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from analyzer.frames import KLOG_LINES
from tests.sources.klog_log import line, read


def test_entries_of_a_journal_keep_to_their_writer() -> None:
    at = "Mar 14 09:00:00 node-1"
    reading = read(
        f"{at} kubelet[1]: {line('one output=<')}",
        f"{at} containerd[2]: some words of another",
        f"{at} kubelet[1]: \tits second line",
        f"{at} systemd[1]: Started something.",
        f"{at} kubelet[1]: {line('two')}",
    )
    assert reading.column(KLOG_LINES, "text") == ["one output=<\n\tits second line", "two"]
    assert reading.skipped == {"not-a-record": 2}


def wrap_cri(text: str, at: str) -> str:
    return f"{at} stderr F {text}"


def wrap_docker(text: str, at: str) -> str:
    return json.dumps({"log": f"{text}\n", "stream": "stderr", "time": at})


def wrap_journal(text: str, at: str) -> str:
    return f"{at} node-1 kubelet[1]: {text}"


@pytest.mark.parametrize("wrap", [wrap_cri, wrap_docker, wrap_journal])
def test_every_wrapper_gives_the_rows_of_the_bare_log(wrap: Callable[[str, str], str]) -> None:
    lines = [
        line('"Probe failed" pod="shop/web-0" output=<', "0314 09:00:00.000001"),
        "\tfirst",
        " >",
        line("two", "0314 09:00:01.000002"),
        "I٠٣١٤ 09:00:00.500000 1234 x.go:1] x",
        line('"three" err="x \\" y"', "0314 09:00:02.000003"),
    ]
    bare = read(*lines)
    wrapped = read(*(wrap(text, f"2026-03-14T09:00:0{at // 2}.000000Z") for at, text in enumerate(lines)))
    alike = [name for name in KLOG_LINES.schema if name not in ("host", "stream")]
    assert wrapped.tables[KLOG_LINES].select(alike).equals(bare.tables[KLOG_LINES].select(alike))
    assert wrapped.skipped == bare.skipped
    assert "taken from its wrapper" in wrapped.notes


@pytest.mark.parametrize("wrap", [wrap_cri, wrap_docker, wrap_journal])
def test_the_stream_of_a_container_is_kept(wrap: Callable[[str, str], str]) -> None:
    [row] = read(wrap(line("one"), "2026-03-14T09:00:00.000000Z")).rows(KLOG_LINES)
    assert row.get("stream") == (None if wrap is wrap_journal else "stderr")


def test_notes_tell_what_journald_and_syslog_left_out() -> None:
    at = "Mar 14 09:00:00 node-1"
    reading = read(
        f"{at} kubelet[1]: {line('one')}",
        f"{at} systemd-journald[5]: Suppressed 12345 messages from kubelet.service",
        "-- Boot 0123456789abcdef --",
        f"{at} kubelet[1]: message repeated 500 times: [ x]",
    )
    assert "12,345 messages of kubelet were left out" in reading.notes
    assert "line 3: the node was rebooted" in reading.notes
    assert "line 4: syslog folded 500 repeated messages" in reading.notes
    assert reading.report.used == 2


def test_a_prefix_in_another_zone_is_noted_and_the_own_time_used() -> None:
    reading = read(f"Mar 14 10:00:00 node-1 kubelet[1]: {line('one')}")
    assert "the prefix is +1 h from klog's own time" in reading.notes
    assert reading.report.first_time == datetime(2026, 3, 14, 9, 0, 0, 500_000, tzinfo=UTC)


def test_one_process_of_many_components_logs_under_the_name_of_each() -> None:
    """k3s, RKE2, k0s and MicroK8s run several components in one process; its name says nothing of them."""
    callers = {
        "prober.go:107": "kubelet",
        "proxier.go:805": "kube-proxy",
        "replica_set.go:621": "kube-controller-manager",
    }
    lines = [
        f'Mar 14 09:00:00 n1 k3s[1]: I0314 09:00:00.000000    1 {caller}] "x"' for caller in [*callers, "log.go:32"]
    ]

    assert [row["component"] for row in read(*lines).rows(KLOG_LINES)] == [*callers.values(), "k3s"]
