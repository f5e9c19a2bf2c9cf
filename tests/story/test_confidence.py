"""How sure a finding is: its terms one by one, and the one level that a met rule adds."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from analyzer.facts.address_owners import ADDRESS_OWNERS
from analyzer.facts.contract import Fact
from analyzer.frames import KERNEL_MESSAGES, Table
from analyzer.model import Confidence, Coverage, Evidence, Finding, Gap, Record, Run, Side, Status
from analyzer.story import Told, tell
from analyzer.story.merge import merged
from tests.build import at, rows
from tests.story.chains import END, START, Given, finding, one

SLOW = finding("slow-pod-start", "node-1", source="kubelet.log")
STALL = one(KERNEL_MESSAGES, START + 10, kind="hung_task", host="node-1")


def story(*findings: Finding, given: Given | None = None, coverage: tuple[Coverage, ...] = ()) -> Told:
    runs = [
        Run(
            detector=name,
            title=name,
            status=Status.FIRED,
            findings=tuple(one for one in findings if one.detector == name),
        )
        for name in dict.fromkeys(one.detector for one in findings)
    ]
    held: dict[Table | Fact, Any] = dict(given or {})
    return tell(held.get, runs, coverage)


def only(told: Told) -> Finding:
    [found] = [finding for run in told.runs for finding in run.findings]
    return found


def terms(finding: Finding, side: Side) -> list[tuple[str, str, bool]]:
    return [(term.origin, term.text, term.raised) for term in finding.terms if term.side is side]


def test_the_terms_of_a_detector_stand_one_by_one() -> None:
    found = only(story(SLOW))
    assert terms(found, Side.FOR) == [("detector", "one sign", False), ("detector", "another sign", False)]
    assert terms(found, Side.AGAINST) == []
    assert terms(found, Side.REFUTES) == [("detector", "The opposite.", False)]
    assert (found.confidence, found.confidence_reason) == (SLOW.confidence, SLOW.confidence_reason)


def test_a_met_rule_of_another_input_raises_confidence_by_one_level_and_says_so() -> None:
    found = only(story(SLOW, given=STALL))
    why = "the kernel of node-1 told of tasks that were blocked (kernel log)"
    assert found.confidence is Confidence.MEDIUM
    assert found.confidence_reason == f"{SLOW.confidence_reason}; raised from low to medium by rule c12: {why}"
    assert terms(found, Side.FOR)[-1] == ("c12", why, True)


def test_two_met_rules_raise_by_one_level_only() -> None:
    stall = finding("runtime-stall", "node-1", source="runtime.log")
    [slow] = [one for run in story(SLOW, stall, given=STALL).runs for one in run.findings if one.key == SLOW.key]
    assert slow.confidence is Confidence.MEDIUM
    assert [term.raised for term in slow.terms if term.origin == "c12"] == [True, False]


def test_nothing_is_surer_than_high() -> None:
    found = only(story(replace(SLOW, confidence=Confidence.HIGH), given=STALL))
    assert found.confidence is Confidence.HIGH
    assert "raised" not in found.confidence_reason
    assert terms(found, Side.FOR)[-1][2] is False


def test_what_was_read_in_the_input_of_the_finding_itself_raises_nothing() -> None:
    row = {"time": START + 10, "kind": "hung_task", "host": "node-1"}
    told = story(SLOW, given={KERNEL_MESSAGES: rows(KERNEL_MESSAGES, row, source="kubelet.log")})
    assert len(told.story.causes) == 1
    assert only(told).confidence is Confidence.LOW


def test_an_explanation_that_the_finding_does_not_name_speaks_against_it() -> None:
    probe = finding("exec-probe-timeout", "shop/web container web", node="node-1")
    found = only(story(probe, given=STALL))
    assert found.confidence is Confidence.LOW
    assert [origin for origin, _, _ in terms(found, Side.AGAINST)] == ["c12"]


def test_a_hole_in_an_input_of_the_finding_within_its_window_speaks_against_it() -> None:
    def covered(start: float, end: float, source: str = "kubelet.log") -> Coverage:
        gap = Gap(start=at(start), end=at(end), reason="r")
        return Coverage(table="klog_lines", rows=1, first_time=None, last_time=None, sources=(source,), gaps=(gap,))

    hole = only(story(SLOW, coverage=(covered(START + 10, END + 50),)))
    assert terms(hole, Side.AGAINST) == [
        ("inputs", "klog_lines holds nothing from 09:16:50 to 09:22:30 UTC, within the window", False)
    ]
    for other in (covered(START - 50, START), covered(END, END + 9), covered(START, END, "other.log")):
        assert terms(only(story(SLOW, coverage=(other,))), Side.AGAINST) == []


COUNTED = replace(finding("cpu-throttle-hint", "shop/web-1 app", source="cgroup"), confidence=Confidence.MEDIUM)
SEEN = replace(finding("cpu-throttle-hint", "10.244.1.7", source="node.pcap"), variant="stalls in a capture")
OWNER = {"address": "10.244.1.7", "kind": "pod", "namespace": "shop", "confidence": "high", "contradicted": False}


def test_one_pod_by_counters_and_by_packets_is_one_finding() -> None:
    found = only(story(COUNTED, SEEN, given=one(ADDRESS_OWNERS, 0, **OWNER, name="web-1", since=0)))
    assert (found.key, found.merged) == (COUNTED.key, (SEEN.key,))
    assert [record.source for record in found.evidence.records] == ["cgroup", "node.pcap"]
    assert found.confidence is Confidence.HIGH
    assert ("merge", f"stalls in a capture shows the same: {SEEN.summary}", True) in terms(found, Side.FOR)


def test_another_pod_another_time_or_an_unknown_owner_are_findings_of_their_own() -> None:
    other = one(ADDRESS_OWNERS, 0, **OWNER, name="web-2", since=0)
    same = one(ADDRESS_OWNERS, 0, **OWNER, name="web-1", since=0)
    later = replace(SEEN, start=at(END + 1), end=at(END + 60))
    for findings, given in (((COUNTED, SEEN), other), ((COUNTED, later), same), ((COUNTED, SEEN), {})):
        told = story(*findings, given=given)
        assert [one.key for run in told.runs for one in run.findings] == [COUNTED.key, SEEN.key]


def test_the_silence_of_a_node_in_its_log_and_in_its_flow_is_one_finding() -> None:
    stream = finding("log-silence", "node-1.internal", source="kubelet.log")
    flow = finding("log-silence", "10.0.0.7", source="node.pcap")
    owner = {**OWNER, "address": "10.0.0.7", "kind": "node", "namespace": None, "name": "node-1", "node": "node-1"}
    found = only(story(stream, flow, given=one(ADDRESS_OWNERS, 0, **owner, since=0)))
    assert {found.key, *found.merged} == {stream.key, flow.key}


@pytest.mark.parametrize(
    ("homes", "left"),
    [
        ({"cgroup": 0, "node.pcap": 1}, 2),
        ({"cgroup": 0, "node.pcap": 0}, 1),
        ({"cgroup": 0}, 1),
        ({}, 1),
    ],
)
def test_what_inputs_of_two_clusters_show_is_never_one_thing(homes: dict[str, int], left: int) -> None:
    """`shop/web-1` runs in both clusters; an input of which no cluster is known may be of either."""
    run = Run(detector=COUNTED.detector, title="t", status=Status.FIRED, findings=(COUNTED, SEEN))
    given: dict[Table | Fact, Any] = dict(one(ADDRESS_OWNERS, 0, **OWNER, name="web-1", since=0))
    [made] = merged([run], given.get, homes)
    assert len(made.findings) == left


def test_an_input_of_no_known_cluster_does_not_join_two_clusters() -> None:
    unknown = replace(COUNTED, confidence=Confidence.HIGH)
    there = replace(SEEN, key="b", evidence=Evidence(records=(Record(source="b.pcap", number=1),)))
    run = Run(detector=COUNTED.detector, title="t", status=Status.FIRED, findings=(unknown, SEEN, there))
    given: dict[Table | Fact, Any] = dict(one(ADDRESS_OWNERS, 0, **OWNER, name="web-1", since=0))
    for homes, left in (({"node.pcap": 0, "b.pcap": 1}, 2), ({"node.pcap": 0, "b.pcap": 0}, 1)):
        [made] = merged([run], given.get, homes)
        assert len(made.findings) == left


def test_windows_that_one_detector_told_apart_stay_apart() -> None:
    again = replace(SLOW, start=at(START + 5), key=f"{SLOW.key}#2")
    assert len([one for run in story(SLOW, again).runs for one in run.findings]) == 2


def test_different_detectors_of_one_node_are_linked_and_not_merged() -> None:
    told = story(SLOW, finding("runtime-stall", "node-1"))
    assert len([one for run in told.runs for one in run.findings]) == 2
    assert [cause.rule for cause in told.story.causes] == ["c12"]
