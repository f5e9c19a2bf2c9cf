"""A CoreDNS log of class `denial error` says nothing of how many queries there were."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.facts.dns_log_classes import DNS_LOG_CLASSES
from analyzer.frames import COREDNS_QUERIES
from analyzer.pipeline.coverage import coverage_of
from analyzer.pipeline.store import Store
from tests.build import frames_for, held, rows


def answers(**counts: int) -> list[dict[str, Any]]:
    return [{"qtype": "A", "rcode": rcode} for rcode, count in counts.items() for _ in range(count)]


def classes(*lines: dict[str, Any]) -> list[dict[str, Any]]:
    given = {COREDNS_QUERIES: rows(COREDNS_QUERIES, *lines)}
    return frames_for([DNS_LOG_CLASSES], given)[DNS_LOG_CLASSES].collect().to_dicts()


@pytest.mark.parametrize(
    ("counts", "filtered"),
    [
        ({"NXDOMAIN": 100}, True),
        ({"NXDOMAIN": 80, "SERVFAIL": 10, "NO_REPLY": 10}, True),
        ({"NXDOMAIN": 990, "NOERROR": 10}, True),  # names that have AAAA alone
        ({"NXDOMAIN": 989, "NOERROR": 11}, False),
        ({"NXDOMAIN": 99}, False),  # too few to tell
        ({"NO_REPLY": 1000}, False),  # an upstream that is gone denies nothing
    ],
)
def test_a_log_that_denies_much_and_answers_nothing_leaves_answers_out(counts: dict[str, int], filtered: bool) -> None:
    [row] = classes(*answers(**counts), *[{"qtype": "AAAA", "rcode": "NOERROR"}] * 50)
    assert row["filtered"] == filtered
    assert row["queries"] == sum(counts.values()) + 50
    told = {"NXDOMAIN": row["denials"], "NO_REPLY": row["unanswered"], "NOERROR": row["successes"]}
    assert told == {rcode: counts.get(rcode, 0) for rcode in told}


def test_each_log_and_pod_is_looked_at_by_itself() -> None:
    denials = [line | {"source": "denials.log"} for line in answers(NXDOMAIN=100)]
    whole = [line | {"source": "whole.log", "pod": "coredns-a"} for line in answers(NXDOMAIN=50, NOERROR=50)]
    assert [(row["source"], row["pod"], row["filtered"]) for row in classes(*denials, *whole)] == [
        ("denials.log", None, True),
        ("whole.log", "coredns-a", False),
    ]


def test_the_coverage_of_the_table_says_it_with_its_numbers() -> None:
    def remark(*lines: dict[str, Any]) -> str:
        [coverage] = coverage_of(Store({COREDNS_QUERIES: held(rows(COREDNS_QUERIES, *lines))}), ())
        return coverage.remark

    assert remark(*answers(NXDOMAIN=990, NOERROR=10)).startswith("10 of 1,000 A queries in t succeeded")
    assert remark(*answers(NXDOMAIN=500, NOERROR=500)) == ""
