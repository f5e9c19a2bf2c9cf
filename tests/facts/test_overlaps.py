"""Log lines that two inputs hold are one line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl
import pytest

from analyzer.facts.overlaps import LOG_COPIES, log_copies, told, without_copies
from analyzer.frames import AUDIT_EVENTS, COREDNS_ERRORS, COREDNS_QUERIES, KLOG_LINES, concat
from tests.build import at, frames_for, rows

Place = tuple[str, int]


def klog(source: str, texts: Iterable[str], first: int = 1, **same: Any) -> pl.DataFrame:
    """Entries whose text names their second, numbered from `first`."""
    made = [
        {"time": float(text.split()[-1]), "text": text, "severity": "I", "caller": "a.go:1", "number": number}
        for number, text in enumerate(texts, first)
    ]
    return rows(KLOG_LINES, *made, source=source, **same).collect()


def copied(*parts: pl.DataFrame) -> list[tuple[Place, Place]]:
    found = log_copies(KLOG_LINES, concat(KLOG_LINES, list(parts)).lazy())
    return [
        ((row["source"], row["number"]), (row["original_source"], row["original_number"]))
        for row in found.sort("source", "number").iter_rows(named=True)
    ]


def test_one_input_has_no_copies() -> None:
    assert copied(klog("a", ["one 1", "one 1", "two 2"])) == []


def test_the_end_of_one_rotation_is_the_start_of_the_next() -> None:
    older = klog("kubelet.log.1", ["a 1", "b 2", "c 3", "d 4"])
    newer = klog("kubelet.log", ["c 3", "d 4", "e 5"])
    assert copied(older, newer) == [
        (("kubelet.log", 1), ("kubelet.log.1", 3)),
        (("kubelet.log", 2), ("kubelet.log.1", 4)),
    ]


def test_a_filtered_export_of_a_log_is_found_in_it() -> None:
    whole = klog("whole", [f"line {i}" for i in range(10)])
    assert len(copied(whole, klog("errors only", ["line 2", "line 5", "line 9"]))) == 3


def test_one_sentence_at_one_moment_is_not_a_copy() -> None:
    assert copied(klog("a", ["up 1", "x 2", "synced 3"]), klog("b", ["up 1", "y 2", "z 4"])) == []


def test_lines_in_another_order_are_no_copies() -> None:
    assert copied(klog("a", ["p 1", "q 1", "r 1"]), klog("b", ["r 1", "q 1", "p 1"])) == []


def test_two_nodes_that_say_the_same_are_two() -> None:
    texts = ["a 1", "b 2", "c 3"]
    assert copied(klog("a", texts, host="node-1"), klog("b", texts, host="node-2")) == []
    assert len(copied(klog("a", texts, host="node-1"), klog("b", texts))) == 3


def test_a_line_that_one_input_says_twice_counts_twice() -> None:
    texts = ["a 1", "a 1", "b 2"]
    assert len(copied(klog("a", texts), klog("b", texts))) == 3


def test_a_log_without_times_is_found_in_one_with_them() -> None:
    def queries(source: str, *, timed: bool) -> pl.DataFrame:
        made = [{"dns_id": i, "name": "a.example", "client": "10.0.0.7"} for i in range(3)]
        for at_, row in enumerate(made):
            row["time"] = float(at_) if timed else None
        return rows(COREDNS_QUERIES, *made, source=source).collect()

    both = concat(COREDNS_QUERIES, [queries("raw", timed=False), queries("with times", timed=True)])
    found = log_copies(COREDNS_QUERIES, both.lazy())
    assert found["source"].to_list() == ["raw"] * 3
    assert found["original_source"].to_list() == ["with times"] * 3


def test_the_copies_of_audit_events_are_told_in_words_and_left_out() -> None:
    events = [{"audit_id": f"id-{i}", "stage": "ResponseComplete", "stage_time": at(i)} for i in range(4)]
    later = [row | {"time": second} for second, row in enumerate(events[1:], 1)]
    table = concat(
        AUDIT_EVENTS,
        [
            rows(AUDIT_EVENTS, *events[:3], source="audit-1.log").collect(),
            rows(AUDIT_EVENTS, *later, source="audit.log").collect(),
        ],
    )
    frames = frames_for([LOG_COPIES], {AUDIT_EVENTS: table.lazy()})
    copies = frames[LOG_COPIES].collect()
    assert told(copies, "audit_events") == "2 lines of audit.log stand in audit-1.log as well and are counted once"
    assert told(copies, "klog_lines") == ""
    once = without_copies(AUDIT_EVENTS, table.lazy(), copies).collect()
    assert once["audit_id"].to_list() == ["id-0", "id-1", "id-2", "id-3"]


def test_rotations_that_overlap_by_one_line() -> None:
    older, newer = klog("kubelet.log.1", ["a 1", "b 2", "c 3"]), klog("kubelet.log", ["c 3", "d 4"])
    assert copied(older, newer) == [(("kubelet.log", 1), ("kubelet.log.1", 3))]
    assert copied(older.head(2), klog("kubelet.log", ["b 2", "c 3", "d 4"])) == [
        (("kubelet.log.1", 2), ("kubelet.log", 1))
    ]


def test_two_nodes_that_start_or_end_with_one_sentence_at_one_moment_are_two() -> None:
    assert copied(klog("a", ["up 1", "x 2", "y 3"]), klog("b", ["up 1", "z 4"])) == []
    assert copied(klog("a", ["x 2", "down 9"]), klog("b", ["z 4", "v 5", "down 9"])) == []
    older, newer = klog("a", ["a 1", "b 2"], host="n1"), klog("b", ["b 2", "c 3"], host="n2")
    assert copied(older, newer) == []


def test_an_audit_event_is_known_by_its_id_wherever_it_stands() -> None:
    event = {"audit_id": "id-1", "stage": "ResponseComplete", "time": 3.0, "stage_time": 4.0}
    others = [{"audit_id": f"o-{i}", "stage": "ResponseComplete", "time": i} for i in range(4)]
    whole = rows(AUDIT_EVENTS, *others[:2], event, *others[2:], source="whole").collect()

    def copies(**changed: Any) -> int:
        table = concat(AUDIT_EVENTS, [whole, rows(AUDIT_EVENTS, event | changed, source="found").collect()])
        return log_copies(AUDIT_EVENTS, table.lazy()).height

    assert copies() == 1
    assert copies(stage="RequestReceived") == copies(time=3.5) == copies(audit_id="id-2") == 0


@pytest.mark.parametrize(("later", "found"), [(1.0, 3), (1.1, 0)])
def test_lines_without_a_time_of_their_own_are_compared_by_that_of_their_collectors(later: float, found: int) -> None:
    def errors(source: str, offset: float) -> pl.DataFrame:
        made = [{"time": 10 * n + offset, "error": f"timeout {n}", "name": "a.example", "count": 1} for n in range(3)]
        return rows(COREDNS_ERRORS, *made, source=source).collect()

    whole = concat(COREDNS_ERRORS, [errors("a", 0), errors("b", later)])
    assert log_copies(COREDNS_ERRORS, whole.lazy()).height == found
