from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.facts.server_starts import SERVER_STARTS
from analyzer.sources import audit as audit_source
from tests.build import at, frames_for
from tests.calls import audit, call
from tests.recordings import needed, read


def informers(moment: float, count: int = 6, apart: float = 0.01) -> list[dict[str, Any]]:
    own: dict[str, Any] = {"user": "system:apiserver", "agent": "kube-apiserver", "verb": "watch"}
    return [call(moment + i * apart, **own, resource=f"kind{i}") for i in range(count)]


def renewals(start: float, end: float, agent: str = "kubelet") -> list[dict[str, Any]]:
    return [call(start + i, verb="list", resource="pods", agent=agent, user="u") for i in range(int(end - start))]


def starts(*parts: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    frame = frames_for([SERVER_STARTS], audit(*parts))[SERVER_STARTS]
    return frame.select("time", "told_by", "silent_seconds", "relists", "relist_agents").collect().rows()


def test_informers_that_begin_together_tell_of_a_start() -> None:
    found = starts(renewals(0, 60), informers(100), renewals(101, 111))
    assert found == [(at(100), "informers", 41.0, 10, 1)]


def test_watches_that_are_renewed_one_by_one_do_not() -> None:
    assert starts(renewals(0, 60), informers(20, 40, 7.5)) == []


@pytest.mark.parametrize(("count", "found"), [(4, 0), (5, 1)])
def test_threshold_of_informers(count: int, found: int) -> None:
    assert len(starts(renewals(0, 60), informers(30, count))) == found


def test_where_the_log_begins_with_the_start_there_was_no_silence() -> None:
    assert starts(informers(0), renewals(1, 30)) == [(at(0), "informers", None, 29, 1)]


def test_a_silence_after_which_several_agents_list_tells_of_one_too() -> None:
    after = [*renewals(200, 210), *renewals(200.5, 210, "other")]
    assert [row[:3] for row in starts(renewals(0, 100), after)] == [(at(200), "silence", 101.0)]
    assert starts(renewals(0, 100), renewals(200, 210)) == []


def test_a_sparse_log_is_no_silence() -> None:
    polls = [call(60 * i, verb="list", agent=f"a{i % 2}", resource="pods") for i in range(20)]
    assert starts(polls) == []


def test_no_requests_no_starts() -> None:
    assert starts([]) == []


@needed
def test_each_recording_begins_with_the_start_of_its_server() -> None:
    for case in ("a_baseline", "b1_storm_maxinflight", "k_kubelet_faults"):
        given = read(audit_source.SOURCE, f"{case}/audit.log")
        found = frames_for([SERVER_STARTS], given)[SERVER_STARTS].collect()
        assert found.select(pl.col("told_by"), pl.col("silent_seconds")).rows() == [("informers", None)], case
