"""A container runs out of its CPU quota."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest

from analyzer.detector import NotObservable
from analyzer.detectors.node.cpu_throttle_hint import DETECTOR
from analyzer.facts.cpu_throttling import CPU_THROTTLING
from analyzer.frames import CGROUP_CPU, HTTP_MESSAGES, KLOG_LINES, METRIC_SAMPLES, Table, empty
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, frames_for, remarks, rows, run

Row = dict[str, Any]
Given = dict[Table, pl.LazyFrame]

UID = "00621f04-c657-4a61-ac23-2d5c10a0a001"
ID = "a" * 64
PATH = f"/sys/fs/cgroup/cpu/kubepods/burstable/pod{UID}/{ID}"


def snapshot(time: float | None, periods: int | None, throttled: int | None, **more: Any) -> Row:
    row: Row = {"time": time, "path": PATH, "pod_uid": UID, "container_id": ID, "periods": periods}
    return row | {"throttled_periods": throttled, "throttled_seconds": (throttled or 0) * 0.05} | more


def cgroups(*snapshots: Row) -> Given:
    return {CGROUP_CPU: rows(CGROUP_CPU, *snapshots, source="cpu.stat")}


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


def test_fires_by_the_difference_of_two_snapshots() -> None:
    """What was throttled before the first does not count."""
    [finding] = run(DETECTOR, cgroups(snapshot(0, 9000, 8000), snapshot(60, 9300, 8090), snapshot(120, 9600, 8150)))
    assert finding.subject == f"pod {UID} {ID[:12]}"
    assert figures(finding) == {
        "periods": 600,
        "throttled periods": 150,
        "share throttled": 0.25,
        "throttled seconds": pytest.approx(7.5),
    }
    assert finding.summary == f"150 of 600 periods of pod {UID} {ID[:12]} were throttled (25%), 7.5 s in all."
    assert (finding.severity, finding.confidence) == (Severity.MEDIUM, Confidence.HIGH)
    assert (finding.start, finding.end) == (at(0), at(120))
    assert finding.stories == (29, 30)
    assert [record.number for record in finding.evidence.records] == [1, 2, 3]
    assert finding.evidence.series[0].values == (0.3, 0.2)
    assert finding.saving is not None
    assert finding.saving.observed == pytest.approx(7.5)
    assert finding.saving.modelled == 0


@pytest.mark.parametrize(("throttled", "fires"), [(49, False), (50, True)])
def test_five_percent_are_the_threshold(throttled: int, fires: bool) -> None:
    found = run(DETECTOR, cgroups(snapshot(0, 0, 0), snapshot(100, 1000, throttled)))
    assert bool(found) is fires
    assert [one.severity for one in found] == [Severity.LOW] * fires


@pytest.mark.parametrize(("throttled", "fires"), [(9, False), (10, True)])
def test_ten_periods_are_the_threshold(throttled: int, fires: bool) -> None:
    assert bool(run(DETECTOR, cgroups(snapshot(0, 0, 0), snapshot(10, 20, throttled)))) is fires


@pytest.mark.parametrize(("throttled", "severity"), [(249, Severity.LOW), (250, Severity.MEDIUM)])
def test_a_quarter_is_the_threshold_of_medium(throttled: int, severity: Severity) -> None:
    [finding] = run(DETECTOR, cgroups(snapshot(0, 0, 0), snapshot(100, 1000, throttled)))
    assert finding.severity is severity


def test_one_snapshot_tells_the_whole_life_and_is_less_sure() -> None:
    [finding] = run(DETECTOR, cgroups(snapshot(None, 1000, 300, usage_seconds=42.0)))
    assert "were throttled since its start" in finding.summary
    assert (finding.confidence, finding.start) == (Confidence.MEDIUM, None)
    assert figures(finding)["CPU seconds used"] == 42


def test_a_counter_that_falls_began_anew() -> None:
    [finding] = run(DETECTOR, cgroups(snapshot(0, 9000, 8000), snapshot(60, 100, 60), snapshot(120, 200, 110)))
    assert (figures(finding)["periods"], figures(finding)["throttled periods"]) == (200, 110)


def test_snapshots_without_a_time_are_ordered_by_their_counters() -> None:
    [finding] = run(DETECTOR, cgroups(snapshot(None, 300, 90), snapshot(None, 100, 10)))
    assert (figures(finding)["periods"], figures(finding)["throttled periods"]) == (200, 80)


def test_silent_on_a_container_without_a_quota_and_on_the_cured_one() -> None:
    with pytest.raises(NotObservable):
        run(DETECTOR, cgroups(snapshot(0, None, None), snapshot(60, None, None)))
    assert run(DETECTOR, cgroups(snapshot(0, 0, 0), snapshot(60, 0, 0))) == []
    assert run(DETECTOR, cgroups(snapshot(0, 100, 90), snapshot(60, 700, 92))) == []


def test_silent_on_the_sum_of_a_pod_whose_containers_are_told() -> None:
    whole: Row = {"container_id": None, "path": f"/sys/fs/cgroup/cpu/kubepods/burstable/pod{UID}"}
    both = [snapshot(0, 0, 0), snapshot(0, 0, 0) | whole, snapshot(60, 600, 300), snapshot(60, 600, 400) | whole]
    [finding] = run(DETECTOR, cgroups(*both))
    assert figures(finding)["throttled periods"] == 300
    [finding] = run(DETECTOR, cgroups(*(one for one in both if not one["container_id"])))
    assert figures(finding)["throttled periods"] == 400


def scrape(time: float | None, periods: float, throttled: float, *, old: bool = False, **more: str) -> Iterator[Row]:
    names = ("pod_name", "container_name") if old else ("pod", "container")
    labels = {"namespace": "shop", names[0]: "cart-7d4b", names[1]: "app", "id": f"/kubepods/pod{UID}/{'b' * 64}"}
    text = json.dumps(labels | more, sort_keys=True, separators=(",", ":"))
    values = {"periods": periods, "throttled_periods": throttled, "throttled_seconds": throttled / 20}
    for name, value in values.items():
        yield {"time": time, "metric": f"container_cpu_cfs_{name}_total", "labels": text, "value": value}


def scrapes(*samples: Row) -> Given:
    return {METRIC_SAMPLES: rows(METRIC_SAMPLES, *samples, source="cadvisor.txt")}


@pytest.mark.parametrize("old", [False, True])
def test_fires_by_scrapes_in_every_era(old: bool) -> None:
    [finding] = run(DETECTOR, scrapes(*scrape(0, 100, 10, old=old), *scrape(60, 700, 310, old=old)))
    assert finding.subject == "shop/cart-7d4b app"
    assert figures(finding)["throttled periods"] == 300
    assert figures(finding)["throttled seconds"] == pytest.approx(15)
    assert "container_cpu_cfs" in finding.verify[0]


def test_silent_on_sandboxes_and_what_the_cgroup_tells_already() -> None:
    with pytest.raises(NotObservable):
        run(DETECTOR, scrapes(*scrape(0, 0, 0, container="POD"), *scrape(60, 600, 300, container="POD")))
    same = f"/kubepods/pod{UID}/{ID}"
    told = scrapes(*scrape(0, 0, 0, id=same), *scrape(60, 600, 300, id=same))
    assert len(run(DETECTOR, told | cgroups(snapshot(0, 0, 0), snapshot(60, 600, 300)))) == 1


def test_probes_of_the_pod_that_took_too_long_are_told() -> None:
    lines = [
        {"time": 30, "pod": "shop/cart-7d4b", "message": "Probe failed", "text": '"Probe failed" output="timeout"'},
        {"time": 31, "pod": "shop/other", "message": "Probe failed", "text": '"Probe failed" output="timeout"'},
        {"time": 32, "pod": "shop/cart-7d4b", "message": "Probe failed", "text": '"Probe failed" output="HTTP 500"'},
        {"time": 99, "pod": "shop/cart-7d4b", "message": "Probe failed", "text": '"Probe failed" output="timeout"'},
    ]
    base = scrapes(*scrape(0, 100, 10), *scrape(60, 700, 310))
    [finding] = run(DETECTOR, base | {KLOG_LINES: rows(KLOG_LINES, *lines, source="kubelet.log")})
    assert figures(finding)["probes of the pod that took too long"] == 1
    assert ("kubelet.log", 1) in {(one.source, one.number) for one in finding.evidence.records}


def test_of_many_containers_ten_have_a_finding_and_the_others_are_counted() -> None:
    samples = [one for i in range(13) for one in (*scrape(0, 0, 0, id=str(i)), *scrape(60, 600, 100 + i, id=str(i)))]
    names = [one | {"labels": one["labels"].replace("cart", f"cart{i // 6}")} for i, one in enumerate(samples)]
    found = run(DETECTOR, scrapes(*names))
    assert [figures(one)["throttled periods"] for one in found] == list(range(112, 102, -1))
    assert remarks(DETECTOR, scrapes(*names)) == ["3 more containers were throttled above the threshold."]


def exchange(time: float, took: float, port: int, server: str = "10.244.33.18") -> list[Row]:
    ends = {"src": "10.244.33.2", "src_port": port, "dst": server, "dst_port": 8080}
    back = {"src": server, "src_port": 8080, "dst": "10.244.33.2", "dst_port": port}
    return [
        {"time": time, "response": False, "method": "GET", "path": "/price", **ends},
        {"time": time + took, "response": True, "status": 200, **back},
    ]


def requests(kind: str, count: int = 80, server: str = "10.244.33.18", slow: int | None = None) -> list[Row]:
    """Requests at any moment. `quota`: every second is held up until 7 ms after a multiple of 100 ms. `timer`: it takes
    100 ms. `batch`: all leave at a multiple of 100 ms. `ack`: 40 ms more. `mixed`: slow for reasons of its own."""
    rng, found = random.Random(kind + server), []
    for number in range(count):
        time = 10 + number * 0.7 + rng.random() * 0.3
        quick = 0.003 + rng.random() * 0.02
        held = number % 2 if slow is None else number < slow
        beat = (math.floor(time * 10) + 2) / 10 - time
        took = {
            "quota": beat + 0.007 + rng.random() * 0.01 if held else quick,
            "timer": 0.1 + rng.random() * 0.002,
            "batch": beat - 0.1 if beat > 0.101 else beat,
            "ack": quick + 0.04 * held,
            "mixed": rng.random() * 0.2 if held else quick,
        }[kind]
        found += exchange(time, took, 20_000 + number, server)
    return found


def capture(*messages: Row) -> Given:
    ordered = sorted(messages, key=lambda one: one["time"])
    return {HTTP_MESSAGES: rows(HTTP_MESSAGES, *ordered, source="node.pcap", duplicate=False, metadata=False)}


def test_fires_on_answers_that_leave_at_the_beat_of_the_period() -> None:
    [finding] = run(DETECTOR, capture(*requests("quota")))
    assert finding.subject == "10.244.33.18"
    told = figures(finding)
    assert (told["answers"], told["answers held up"]) == (80, 40)
    assert told["beat of the held-up answers"] > 0.9
    assert told["beat of the other answers"] < 0.5
    assert told["seconds held up"] == pytest.approx(40 * 0.15, rel=0.2)
    assert told["median of the other answers"] == pytest.approx(0.013, abs=0.004)
    assert (finding.severity, finding.confidence) == (Severity.LOW, Confidence.LOW)
    assert "consistent with" in finding.summary
    assert finding.saving is not None
    assert finding.saving.modelled == pytest.approx(40 * told["median of the other answers"], rel=0.01)
    assert finding.evidence.records
    assert {tenth for tenth, _ in finding.evidence.tables[0].rows} == {0, 1}


@pytest.mark.parametrize("kind", ["timer", "batch", "ack", "mixed"])
def test_silent_on_what_keeps_no_beat_or_keeps_it_always(kind: str) -> None:
    assert run(DETECTOR, capture(*requests(kind, 200))) == []


@pytest.mark.parametrize(("slow", "fires"), [(29, False), (30, True)])
def test_thirty_answers_are_the_threshold(slow: int, fires: bool) -> None:
    assert bool(run(DETECTOR, capture(*requests("quota", slow=slow)))) is fires


def test_silent_on_a_client_that_asks_at_the_beat() -> None:
    """Answers leave in phase because their requests came in phase."""
    messages = [one for i in range(100) for one in exchange(10 + i * 0.5, 0.06 if i % 2 else 0.01, 20_000 + i)]
    assert run(DETECTOR, capture(*messages)) == []


def test_silent_on_a_timer_whose_slow_requests_keep_the_beat_and_whose_others_do_not() -> None:
    """What is slow is asked for each half second, and takes as long each time; the rest comes at any moment."""
    slow = [one for i in range(60) for one in exchange(10 + i * 0.5, 0.06, 20_000 + i)]
    rng = random.Random("any moment")
    quick = [one for i in range(60) for one in exchange(10 + i * 0.5 + rng.random() * 0.4, 0.01, 21_000 + i)]
    assert run(DETECTOR, capture(*slow, *quick)) == []


@pytest.mark.parametrize(("count", "fires"), [(49, False), (50, True)])
def test_twenty_quick_answers_are_needed_to_see_that_they_keep_no_beat(count: int, fires: bool) -> None:
    assert bool(run(DETECTOR, capture(*requests("quota", count, slow=30)))) is fires


def test_two_servers_have_a_finding_each_and_peers_are_told() -> None:
    one, two, free = (
        requests(kind, server=f"10.244.33.{n}") for kind, n in (("quota", 18), ("quota", 19), ("ack", 20))
    )
    found = run(DETECTOR, capture(*one, *two, *free))
    assert [finding.subject for finding in found] == ["10.244.33.18", "10.244.33.19"]
    assert figures(found[0])["share held up at its peers"] == pytest.approx(0.5, abs=0.3)


def test_unrelated_rows_change_nothing_and_without_the_evidence_there_is_no_finding() -> None:
    base = capture(*requests("quota"))
    noise = [one for i in range(500) for one in exchange(i / 10, 0.002, 30_000 + i, "10.244.40.9")]
    assert run(DETECTOR, capture(*requests("quota"), *noise))[0].impact[:6] == run(DETECTOR, base)[0].impact[:6]
    assert run(DETECTOR, {HTTP_MESSAGES: base[HTTP_MESSAGES].filter(~pl.col("response"))}) == []


def test_silent_on_no_rows() -> None:
    nothing = {table: empty(table).lazy() for table in (CGROUP_CPU, METRIC_SAMPLES, HTTP_MESSAGES)}
    with pytest.raises(NotObservable):
        run(DETECTOR, nothing)


def test_the_fact_names_both_snapshots() -> None:
    given = cgroups(snapshot(0, 0, 0), snapshot(60, 600, 300))
    [row] = frames_for([CPU_THROTTLING], given)[CPU_THROTTLING].collect().to_dicts()
    assert (row["since"], row["since_number"], row["time"], row["number"]) == (at(0), 1, at(60), 2)
    assert (row["subject"], row["pod_uid"], row["told_by"]) == (ID, UID, "cgroup")


def test_more_throttled_periods_than_periods_are_damage() -> None:
    assert run(DETECTOR, cgroups(snapshot(0, 0, 0), snapshot(60, 100, 900), snapshot(120, 1100, 905))) == []
