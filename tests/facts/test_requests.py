from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import AUDIT_EVENTS
from tests.build import at, rows

DONE: dict[str, Any] = {"stage": "ResponseComplete", "code": 200, "verb": "list", "resource": "pods", "audit_id": "a"}


def requests(*events: dict[str, Any]) -> pl.DataFrame:
    derived = AUDIT_REQUESTS.derive({AUDIT_EVENTS: rows(AUDIT_EVENTS, *events)})
    return AUDIT_REQUESTS.table.check(derived).collect()


def test_one_request_of_two_events_is_one_row_and_has_the_latency_between_them() -> None:
    table = requests(
        DONE | {"stage": "RequestReceived", "code": None, "time": 0, "stage_time": 0},
        DONE | {"time": 0, "stage_time": 0.25},
    )
    assert table.select("number", "code", "latency_seconds").rows() == [(2, 200, 0.25)]


def test_a_rejected_watch_answers_twice_and_counts_once() -> None:
    watch = {"audit_id": "w", "verb": "watch", "code": 429, "time": 0}
    table = requests(
        watch | {"stage": "ResponseStarted", "stage_time": 0.001},
        watch | {"stage": "ResponseComplete", "stage_time": 0.002},
    )
    assert table.select("stage", "throttled", "latency_seconds").rows() == [("ResponseComplete", True, None)]


def test_a_watch_still_open_at_the_end_counts_by_its_start() -> None:
    watch = {"audit_id": "w", "verb": "watch", "code": 200, "time": 0}
    table = requests(watch | {"stage": "RequestReceived"}, watch | {"stage": "ResponseStarted", "stage_time": 1})
    told = table.select("stage", "long_running", "open", "latency_seconds").rows()
    assert told == [("ResponseStarted", True, True, None)]


def test_a_watch_that_was_only_received_is_open_and_neither_failed_nor_slow() -> None:
    table = requests({"audit_id": "w", "verb": "watch", "stage": "RequestReceived", "time": 0, "stage_time": 0})
    assert table.select("open", "code", "latency_seconds", "throttled").rows() == [(True, None, None, False)]


def test_a_request_that_ended_is_not_open() -> None:
    assert requests(DONE, DONE | {"audit_id": "w", "verb": "watch"})["open"].to_list() == [False, False]


def test_a_watch_whose_answer_began_with_a_refusal_is_not_open() -> None:
    refused = {"audit_id": "w", "verb": "watch", "stage": "ResponseStarted", "code": 429}
    assert requests(refused).select("open", "throttled").rows() == [(False, True)]


@pytest.mark.parametrize(
    ("uri", "followed"),
    [
        ("/x/log?follow=true", True),
        ("/x/log?container=a&follow=1", True),
        ("/x/log?follow=", True),
        ("/x/log?follow=false", False),
        ("/x/log?follow=0&tailLines=1", False),
        ("/x/log?tailLines=1", False),
        ("/x/log", False),
    ],
)
def test_a_log_is_followed_as_the_apiserver_reads_the_parameter(uri: str, followed: bool) -> None:
    assert requests(DONE | {"subresource": "log", "uri": uri})["long_running"].to_list() == [followed]


def test_a_panic_ends_a_request() -> None:
    assert requests(DONE | {"stage": "Panic", "code": 500})["stage"].to_list() == ["Panic"]


def test_a_request_that_was_only_received_has_no_answer_and_is_left_out() -> None:
    assert requests(DONE | {"stage": "RequestReceived", "code": None}).height == 0


def test_a_client_that_sends_one_audit_id_for_all_its_requests_hides_none() -> None:
    assert requests(*[DONE | {"code": 429, "time": second} for second in range(20)]).height == 20


def test_copies_of_an_event_in_overlapping_files_count_once() -> None:
    copies = [DONE | {"time": 0, "source": source} for source in ("audit.log", "audit-1.log")]
    assert requests(*copies)["source"].to_list() == ["audit-1.log"]


def test_events_without_an_id_are_requests_of_their_own() -> None:
    assert requests(*[DONE | {"audit_id": None, "time": 0}] * 3).height == 3


def test_an_export_without_stages_counts_its_answers() -> None:
    assert requests(DONE | {"stage": None}, DONE | {"stage": None, "code": None, "audit_id": "b"}).height == 1


def test_long_running_requests_have_no_latency() -> None:
    kinds = (
        {"verb": "watch"},
        {"subresource": "exec"},
        {"subresource": "attach"},
        {"subresource": "portforward"},
        {"subresource": "log", "uri": "/api/v1/namespaces/a/pods/b/log?follow=true"},
    )
    table = requests(*[DONE | kind | {"time": i, "stage_time": i + 60} for i, kind in enumerate(kinds)])
    assert table["long_running"].all()
    assert table["latency_seconds"].null_count() == len(kinds)


def test_a_log_that_is_not_followed_has_a_latency() -> None:
    table = requests(DONE | {"subresource": "log", "uri": "/x/log?tailLines=10", "time": 0, "stage_time": 2})
    assert table["latency_seconds"].to_list() == [2.0]


def test_a_negative_latency_is_unknown() -> None:
    assert requests(DONE | {"time": 5, "stage_time": 4})["latency_seconds"].to_list() == [None]


def test_throttled_is_a_429_before_authorization_and_no_eviction() -> None:
    cases: tuple[tuple[dict[str, Any], bool], ...] = (
        ({"code": 429}, True),
        ({"code": 200}, False),
        ({"code": None, "stage": "Panic"}, False),
        ({"code": 429, "decision": "allow"}, False),
        ({"code": 429, "subresource": "eviction"}, False),
        ({"code": 429, "subresource": "status"}, True),
    )
    table = requests(*[DONE | change | {"audit_id": str(i)} for i, (change, _) in enumerate(cases)])
    assert table["throttled"].to_list() == [wanted for _, wanted in cases]


def test_rows_come_in_order_of_time_source_and_number() -> None:
    table = requests(DONE | {"time": 2}, DONE | {"time": 1}, DONE | {"time": None, "audit_id": "n"})
    assert table["time"].to_list() == [None, at(1), at(2)]


def test_no_rows_give_no_requests() -> None:
    assert requests().height == 0
