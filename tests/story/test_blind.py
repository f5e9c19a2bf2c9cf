"""What to collect next time: what was missing, what that left open, and a command of our own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from analyzer.detector import Detector
from analyzer.facts.contract import Fact
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import AUDIT_EVENTS, DNS_MESSAGES, KERNEL_MESSAGES, KLOG_LINES, TABLES, Table
from analyzer.model import Collect, Confidence, Coverage, Finding, Gap, Run, Status
from analyzer.story.blind import to_collect
from analyzer.story.collecting import KINDS
from tests.build import at
from tests.pipeline.test_detect import finding

Needs = tuple[tuple[Table | Fact, ...], ...]


def detector(needs: Needs, id_: str = "d", uses: tuple[Table | Fact, ...] = ()) -> Detector[Any]:
    def nothing(*_: object) -> Iterable[Finding]:
        return ()

    return Detector(id=id_, title="t", needs_any=needs, settings=None, detect=nothing, remedies=(), uses=uses)


def run(status: Status, id_: str = "d", reason: str = "", *findings: Finding) -> Run:
    return Run(detector=id_, title="t", status=status, reason=reason, findings=findings)


def covered(
    *tables: Table, rows: int = 1, gaps: tuple[Gap, ...] = (), first: float = 0, last: float = 900
) -> list[Coverage]:
    span = {"first_time": at(first), "last_time": at(last), "sources": ("a",), "gaps": gaps}
    return [Coverage(table=table.name, rows=rows, **span) for table in tables]  # type: ignore[arg-type]


def told(*args: Any) -> list[tuple[str, str]]:
    return [(one.source, one.why) for one in to_collect(*args)]


def about(confidence: Confidence = Confidence.HIGH, start: float = 100, end: float = 500) -> Finding:
    return replace(finding("s"), key="d:s", confidence=confidence, start=at(start), end=at(end))


def test_a_check_that_was_skipped_names_the_source_that_lets_it_run() -> None:
    made = [detector(((AUDIT_REQUESTS,), (KLOG_LINES, KERNEL_MESSAGES)))]
    skipped = [run(Status.SKIPPED, reason="no input gave audit_requests or klog_lines and kernel_messages")]
    audit = ("kube-apiserver audit log", "None was given. It would let 1 more check run: d.")
    assert told(made, skipped, covered(DNS_MESSAGES)) == [audit]
    # With the kubelet's log the kernel's would do as well.
    kernel = ("kernel log", "None was given. It would let 1 more check run: d.")
    assert told(made, skipped, covered(KLOG_LINES)) == [audit, kernel]


def test_what_nothing_here_shows_another_source_may_show() -> None:
    made = [detector(((AUDIT_EVENTS,), (KLOG_LINES,)))]
    unseen = [run(Status.SKIPPED, reason="not observable: bodies are not logged")]
    assert told(made, unseen, covered(AUDIT_EVENTS)) == [
        ("kube-apiserver audit log", "What its policy wrote could not answer 1 more check: d."),
        ("kubelet log", "None was given. It would let 1 more check run: d."),
    ]


def test_an_input_without_rows_is_none() -> None:
    made = [detector(((KLOG_LINES,),))]
    unseen = [run(Status.SKIPPED, reason="not observable: nobody wrote")]
    assert [source for source, _ in told(made, unseen, covered(KLOG_LINES, rows=0))] == ["kubelet log"]


@pytest.mark.parametrize(
    ("confidence", "whys"),
    [(Confidence.HIGH, []), (Confidence.MEDIUM, ["It could confirm or refute what is not certain: d:s."])],
)
def test_a_source_that_would_tell_more_of_an_uncertain_finding(confidence: Confidence, whys: list[str]) -> None:
    made = [detector(((AUDIT_EVENTS,),), uses=(KERNEL_MESSAGES,))]
    fired = [run(Status.FIRED, "d", "", about(confidence))]
    assert told(made, fired, covered(AUDIT_EVENTS)) == [("kernel log", why) for why in whys]


def test_gaps_and_edges_within_the_time_of_the_findings() -> None:
    made, fired = [detector(((AUDIT_EVENTS,),))], [run(Status.FIRED, "d", "", about())]
    gaps = (Gap(start=at(200), end=at(300), reason="r"), Gap(start=at(600), end=at(700), reason="r"))
    [(_, why)] = told(made, fired, covered(AUDIT_EVENTS, gaps=gaps))
    assert why == (
        "It holds nothing from 2026-03-14 09:03:20 UTC to 2026-03-14 09:05:00 UTC, within the time of the findings."
    )
    [(_, why)] = told(made, fired, covered(AUDIT_EVENTS, first=161, last=439))
    assert why == (
        "It begins at 2026-03-14 09:02:41 UTC, after the first sign at 2026-03-14 09:01:40 UTC. "
        "It ends at 2026-03-14 09:07:19 UTC, before the last sign at 2026-03-14 09:08:20 UTC."
    )
    assert told(made, fired, covered(AUDIT_EVENTS, first=160, last=440)) == []


def test_many_gaps_are_counted() -> None:
    gaps = tuple(Gap(start=at(110 + 10 * i), end=at(115 + 10 * i), reason="r") for i in range(5))
    fired = [run(Status.FIRED, "d", "", about())]
    [(_, why)] = told([detector(((AUDIT_EVENTS,),))], fired, covered(AUDIT_EVENTS, gaps=gaps))
    assert why.count("It holds nothing") == 3
    assert why.endswith("It has 2 more such gaps.")


def test_where_all_ran_and_all_is_certain_there_is_nothing_to_collect() -> None:
    quiet = [run(Status.QUIET)]
    assert told([detector(((AUDIT_EVENTS,),), uses=(KLOG_LINES,))], quiet, covered(AUDIT_EVENTS)) == []


def test_commands_are_texts_of_the_program() -> None:
    made = [detector(((AUDIT_EVENTS,),))]
    hostile = replace(about(Confidence.LOW), key="d:$(reboot)", subject="$(reboot)")
    rows: tuple[Collect, ...] = to_collect(made, [run(Status.FIRED, "d", "", hostile)], covered(DNS_MESSAGES))
    known = {kind.command for kind in KINDS}
    assert rows
    assert all(row.command in known for row in rows)


def test_every_table_has_a_kind_that_collects_it() -> None:
    collected = {table for kind in KINDS for table in kind.tables}
    assert {table.name for table in TABLES} - {table.name for table in collected} == {"log_suppressions"}


def test_commands_can_be_pasted() -> None:
    for kind in KINDS:
        assert kind.command.endswith("\n")
        assert not re.search(r"[^\x20-\x7e\n]", kind.command)
        assert max(map(len, kind.command.splitlines())) <= 120
