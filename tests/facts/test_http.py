"""Plaintext HTTP requests with their answers."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.facts.http_requests import HTTP_REQUESTS
from analyzer.facts.metadata_requests import METADATA_REQUESTS
from analyzer.frames import HTTP_MESSAGES, empty
from tests.build import frames_for
from tests.refreshes import POD, SERVER, Row, capture, exchange


def asked(*parts: list[Row], **named: list[Row]) -> pl.DataFrame:
    frames = [capture(*parts)] if parts else []
    frames += [capture(rows, source=source) for source, rows in named.items()]
    return frames_for([HTTP_REQUESTS], {HTTP_MESSAGES: pl.concat(frames)})[HTTP_REQUESTS].collect()


def call(time: float, status: int | None = 200, *, server: str = SERVER, **more: Any) -> list[Row]:
    return exchange(time, "/orders", status, server=server, metadata=False, **more)


def test_a_request_is_joined_with_its_answer() -> None:
    [row] = asked(call(0, after=0.25, port=7, host="shop")).to_dicts()
    assert (row["number"], row["answer_number"], row["status"], row["duration_seconds"]) == (1, 2, 200, 0.25)
    assert (row["client"], row["client_port"], row["server"], row["server_port"]) == (POD, 7, SERVER, 80)
    assert (row["method"], row["path"], row["host"], row["metadata"]) == ("GET", "/orders", "shop", False)


def test_a_request_that_nobody_answered_has_no_status() -> None:
    [row] = asked(call(0, None)).to_dicts()
    assert (row["status"], row["duration_seconds"], row["answer_number"]) == (None, None, None)


def test_requests_of_one_connection_are_answered_in_their_order() -> None:
    first, second = call(0, 200, port=7, after=0.5), call(0.1, 503, port=7, after=0.5)
    assert asked(first, second)["status"].to_list() == [200, 503]


def test_switching_protocols_is_an_answer_and_continue_is_none() -> None:
    request, answer = call(0, 101, port=7)
    assert asked([request, answer])["status"].to_list() == [101]
    interim = answer | {"status": 100, "time": 0.001}
    assert asked([request, interim, answer | {"status": 200}])["status"].to_list() == [200]


def test_metadata_requests_are_among_them_and_others_are_not_among_those() -> None:
    given = {HTTP_MESSAGES: capture(call(0), exchange(1, "/latest/meta-data/"))}
    found = frames_for([HTTP_REQUESTS, METADATA_REQUESTS], given)
    assert found[HTTP_REQUESTS].collect()["metadata"].to_list() == [False, True]
    assert found[METADATA_REQUESTS].collect()["path"].to_list() == ["/latest/meta-data/"]


@pytest.mark.parametrize("clocks", [0.0, 3600.0])
def test_two_captures_of_one_request_count_it_once(clocks: float) -> None:
    found = asked(veth=call(0, port=7), node=call(clocks, port=7))
    assert found["covered"].to_list().count(False) == 1


def test_a_request_before_and_after_the_service_address_is_translated_counts_once() -> None:
    before, after = call(0, port=7, interface=3), call(0.0002, port=7, server="10.244.2.9", interface=5)
    assert asked(before, after)["covered"].to_list() == [False, True]


def test_nothing_gives_nothing() -> None:
    assert frames_for([HTTP_REQUESTS], {HTTP_MESSAGES: empty(HTTP_MESSAGES).lazy()})[HTTP_REQUESTS].collect().is_empty()
