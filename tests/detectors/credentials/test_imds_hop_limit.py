"""Session tokens of the metadata service never arrive."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
import pytest

from analyzer.detectors.credentials.imds_hop_limit import DETECTOR
from analyzer.frames import HTTP_MESSAGES, ICMP_ERRORS, Table, empty
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, remarks, rows, run
from tests.refreshes import BOTOCORE, CREDENTIAL, METADATA, POD, ROLES, TOKEN, Row, capture, exchange, refresh

Given = dict[Table, pl.LazyFrame]


def lost(count: int, *, wait: float = 1, every: float = 100, status: int = 200, **more: object) -> list[Row]:
    """Refreshes whose token is lost: after the wait they go on without one."""
    return [
        row
        for i in range(count)
        for row in (
            *exchange(i * every, TOKEN, None, method="PUT", **more),  # type: ignore[arg-type]
            *exchange(i * every + wait, ROLES, status, **more),  # type: ignore[arg-type]
            *exchange(i * every + wait + 0.01, CREDENTIAL, status, **more),  # type: ignore[arg-type]
        )
    ]


def given(*parts: Iterable[Row]) -> Given:
    return {HTTP_MESSAGES: capture(*parts)}


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


def test_fires_where_tokens_never_arrive_and_other_requests_are_answered() -> None:
    [finding] = run(DETECTOR, given(lost(5)))
    assert (finding.detector, finding.subject, finding.variant) == ("imds-hop-limit", POD, "")
    assert finding.summary == (
        "5 of 5 metadata token requests by 10.0.0.7 were never answered and cost 5.0 s before it went on without a "
        "token."
    )
    assert figures(finding) == {
        "token requests without an answer": 5,
        "token requests": 5,
        "seconds waited for tokens": pytest.approx(5.0),
        "median wait": pytest.approx(1.0),
        "other metadata requests": 10,
        "other metadata requests answered": 10,
        "requests refused for lack of a token": 0,
    }
    assert (finding.severity, finding.confidence) == (Severity.LOW, Confidence.MEDIUM)
    assert (finding.start, finding.end) == (at(0), at(401))
    assert finding.saving is not None
    assert finding.saving.observed == pytest.approx(5.0)
    assert finding.saving.modelled == pytest.approx(0.01)
    assert "--http-put-response-hop-limit 2" in finding.remedies[0].snippet
    assert [record.number for record in finding.evidence.records] == [1, 6, 11, 16, 21]
    assert finding.evidence.tables[0].rows == ((BOTOCORE, 5, 5.0, 1.0),)


def bounced(messages: pl.LazyFrame, **more: object) -> pl.LazyFrame:
    """The node's message about the answer to each token request."""
    asked = messages.filter(pl.col("method") == "PUT").collect()
    told = [
        {
            "time": row["time"] + pl.select(pl.duration(milliseconds=3)).item(),
            "number": 9000 + i,
            "src": "10.0.0.1",
            "dst": METADATA,
            "icmp_type": 11,
            "icmp_code": 0,
            "quoted_src": METADATA,
            "quoted_src_port": 80,
            "quoted_dst": POD,
            "quoted_dst_port": row["src_port"],
            "duplicate": False,
        }
        | more
        for i, row in enumerate(asked.iter_rows(named=True))
    ]
    return rows(ICMP_ERRORS, *told, source="node.pcap")


def granted_on_the_node(count: int) -> list[Row]:
    """The node sees the answer that the pod never gets."""
    return [
        row
        for i in range(count)
        for row in (
            *exchange(i * 100, TOKEN, 200, method="PUT"),
            *exchange(i * 100 + 1, ROLES),
            *exchange(i * 100 + 1.01, CREDENTIAL),
        )
    ]


def test_a_message_of_the_node_about_the_answer_makes_it_certain() -> None:
    messages = capture(granted_on_the_node(4))
    [finding] = run(DETECTOR, {HTTP_MESSAGES: messages, ICMP_ERRORS: bounced(messages)})
    assert finding.confidence is Confidence.HIGH
    assert figures(finding)["token requests without an answer"] == 4
    assert figures(finding)["time exceeded messages"] == 4
    assert figures(finding)["answers dropped for want of a hop"] == 4
    assert {9000, 9001} <= {record.number for record in finding.evidence.records}


@pytest.mark.parametrize(
    "more", [{"icmp_type": 3}, {"quoted_dst_port": 7}, {"quoted_src": "192.0.2.1"}, {"duplicate": True}]
)
def test_silent_on_messages_about_something_else(more: dict[str, object]) -> None:
    messages = capture(granted_on_the_node(4))
    assert run(DETECTOR, {HTTP_MESSAGES: messages, ICMP_ERRORS: bounced(messages, **more)}) == []


def test_without_a_credential_the_severity_is_high() -> None:
    [finding] = run(DETECTOR, given(lost(3, status=401)))
    assert finding.severity is Severity.HIGH
    assert figures(finding)["requests refused for lack of a token"] == 6
    assert finding.summary.endswith("without a token. 6 requests without one were then refused.")


@pytest.mark.parametrize(("count", "severity"), [(59, Severity.LOW), (60, Severity.MEDIUM)])
def test_a_minute_of_waiting_is_the_threshold_of_medium(count: int, severity: Severity) -> None:
    assert [finding.severity for finding in run(DETECTOR, given(lost(count)))] == [severity]


def test_three_lost_tokens_are_the_threshold() -> None:
    assert run(DETECTOR, given(lost(2))) == []
    assert len(run(DETECTOR, given(lost(3)))) == 1
    assert len(run(DETECTOR, given(lost(2)), min_lost=2)) == 1


@pytest.mark.parametrize(("wait", "fires"), [(0.49, False), (0.5, True), (4.9, True)])
def test_the_wait_of_the_client_is_a_threshold(wait: float, fires: bool) -> None:
    assert bool(run(DETECTOR, given(lost(5, wait=wait)))) is fires


def test_a_client_that_goes_on_much_later_is_not_held_to_have_waited() -> None:
    rows_ = [*lost(5), *exchange(5000, TOKEN, None, method="PUT"), *exchange(6000, ROLES)]
    [finding] = run(DETECTOR, given(rows_))
    assert (figures(finding)["token requests without an answer"], figures(finding)["seconds waited for tokens"]) == (
        6,
        5,
    )


def test_the_last_request_of_a_capture_is_not_lost() -> None:
    [finding] = run(DETECTOR, given(lost(5), exchange(900, TOKEN, None, method="PUT")))
    assert (figures(finding)["token requests without an answer"], figures(finding)["token requests"]) == (5, 5)


def test_silent_where_the_service_answers_nothing() -> None:
    rows_ = [row for row in lost(5) if not row["response"]]
    assert run(DETECTOR, given(rows_)) == []
    [remark] = remarks(DETECTOR, given(rows_))
    assert remark.startswith("5 token requests by 10.0.0.7 were not answered, and of its 10 other")


@pytest.mark.parametrize(("good", "fires"), [(1, True), (2, False)])
def test_silent_on_tokens_that_are_lost_by_chance_at_the_threshold_of_the_share(good: int, fires: bool) -> None:
    granted = [row for i in range(good) for row in refresh(5000 + i * 100, version=2)]
    assert bool(run(DETECTOR, given(lost(9), granted))) is fires


def test_silent_on_refused_tokens() -> None:
    assert run(DETECTOR, given([row for i in range(50) for row in refresh(i * 10, version=1)])) == []


def test_silent_on_the_cured_client() -> None:
    assert run(DETECTOR, given([row for i in range(50) for row in refresh(i * 10, version=2)])) == []


def test_two_clients_have_a_finding_each() -> None:
    found = run(DETECTOR, given(lost(3), lost(4, client="10.0.0.8")))
    assert [(f.subject, figures(f)["token requests"]) for f in found] == [(POD, 3), ("10.0.0.8", 4)]


def test_programs_of_one_address_do_not_end_each_others_waits() -> None:
    other = [row for i in range(500) for row in exchange(i + 0.1, ROLES, agent="other/1")]
    [finding] = run(DETECTOR, given(lost(5), other))
    assert figures(finding)["seconds waited for tokens"] == pytest.approx(5.0)


def test_unrelated_rows_change_nothing_and_without_the_evidence_there_is_no_finding() -> None:
    others = [row for i in range(500) for row in exchange(i, "/latest/meta-data/", client="10.0.0.99")]
    whole = given(lost(5))
    assert [f.impact for f in run(DETECTOR, given(lost(5), others))] == [f.impact for f in run(DETECTOR, whole)]
    assert run(DETECTOR, {HTTP_MESSAGES: whole[HTTP_MESSAGES].filter(pl.col("path") != TOKEN)}) == []


def test_silent_on_no_rows() -> None:
    assert run(DETECTOR, {table: empty(table).lazy() for table in (HTTP_MESSAGES, ICMP_ERRORS)}) == []
