"""Names of at least ndots dots: asked as they stand first, and then searched."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
import pytest

from analyzer.facts.search import SEARCH_CHAINS
from analyzer.frames import COREDNS_QUERIES, DNS_MESSAGES
from tests.build import at, frames_for
from tests.lookups import LIST, Row, capture, exchange, log, walk

WEB = ("web.svc.cluster.local", *LIST[1:])
NOWHERE = "a.b.c.d.nosuch.example.org"
KNOWN = walk(900, "api.example.com") + walk(930, "other.example.com")
"""By which the search list is known."""


def chains(*parts: Iterable[Row]) -> pl.DataFrame:
    return frames_for([SEARCH_CHAINS], {DNS_MESSAGES: capture(*parts)})[SEARCH_CHAINS].collect()


def turned(
    time: float, base: str, *, answers: int = 0, rcode: str = "NXDOMAIN", qtypes: tuple[str, ...] = ("A",)
) -> list[Row]:
    """The name as it stands, then every domain, all in vain."""
    names = [base, *(f"{base}.{domain}" for domain in LIST)]
    return [
        row
        for i, name in enumerate(names)
        for qtype in qtypes
        for row in exchange(time + i * 0.002, name, rcode if i == 0 else "NXDOMAIN", qtype=qtype, answers=answers)
    ]


def test_it_is_one_walk_and_complete() -> None:
    [row] = chains(turned(0, NOWHERE), KNOWN).filter(base=NOWHERE).to_dicts()
    assert (row["kind"], row["complete"], row["absolute_first"]) == ("typo-walk", True, True)
    assert (row["steps"], row["wasted"], row["absolute"], row["added_seconds"]) == (5, 4, 1, 0)
    assert (row["time"], row["end"], row["number"], row["last_number"]) == (at(0), at(0.008), 1, 9)


@pytest.mark.parametrize("every", [0.012, 10])
def test_walks_one_after_another_are_told_apart(every: float) -> None:
    qtypes = ("A", "AAAA")
    frame = chains(*(turned(i * every, NOWHERE, qtypes=qtypes) for i in range(6)), KNOWN).filter(base=NOWHERE)
    assert frame["steps"].to_list() == [5] * 12
    assert frame["complete"].all()
    assert frame["absolute_first"].all()
    assert frame["lookup"].n_unique() == 6


def test_a_lost_step_breaks_its_own_walk_only() -> None:
    lost = [row for row in turned(0, NOWHERE) if row["name"] != f"{NOWHERE}.svc.cluster.local"]
    frame = chains(lost, *(turned(i * 0.012, NOWHERE) for i in range(1, 6)), KNOWN).filter(base=NOWHERE)
    assert frame["steps"].to_list() == [4] + [5] * 5
    assert frame["complete"].to_list() == [False] + [True] * 5


def test_a_log_without_times_tells_the_same() -> None:
    lines = log(*(turned(i * 10, NOWHERE) for i in range(6)), KNOWN, timed=False)
    frame = frames_for([SEARCH_CHAINS], {COREDNS_QUERIES: lines})[SEARCH_CHAINS].collect().filter(base=NOWHERE)
    assert frame.select("steps", "complete", "absolute_first").rows() == [(5, True, True)] * 6


def test_a_name_without_a_record_as_it_stands_is_searched_too() -> None:
    [row] = chains(turned(0, NOWHERE, rcode="NOERROR"), KNOWN).filter(base=NOWHERE).to_dicts()
    assert (row["steps"], row["absolute_first"]) == (5, True)


def test_a_name_of_the_cluster_is_found_after_all() -> None:
    """ndots:1 and `payments.shop`: glibc and Go fall back to the list."""
    first = exchange(0, "payments.shop", "NXDOMAIN")
    rest = walk(0.002, "payments.shop", domains=WEB, found_under="svc.cluster.local", qtypes="A")
    known = [row for i in range(2) for row in walk(900 + i, f"{i}.example.com", domains=WEB)]
    [row] = chains(first, rest, known).filter(base="payments.shop").to_dicts()
    assert (row["kind"], row["complete"], row["absolute_first"]) == ("in-cluster-search", True, True)
    assert (row["steps"], row["wasted"], row["found_under"]) == (3, 1, "svc.cluster.local")


def test_usual_walks_are_not_turned() -> None:
    frame = chains(walk(0, "api.example.com"), walk(5, "paymnets", ends="NXDOMAIN"), KNOWN)
    assert not frame["absolute_first"].any()
    assert frame["found_under"].to_list() == [None] * frame.height


def test_a_walk_whose_beginning_was_not_captured_does_not_turn_the_next_ones() -> None:
    rest = [row for row in walk(0, "paymnets", ends="NXDOMAIN", qtypes="A") if row["name"] == "paymnets"]
    whole = [row for i in range(1, 4) for row in walk(i * 0.012, "paymnets", ends="NXDOMAIN", qtypes="A")]
    frame = chains(rest, whole, KNOWN).filter(base="paymnets")
    assert frame.select("steps", "complete", "absolute_first").rows() == [(5, True, False)] * 3


def test_musl_ends_its_walk_at_a_servers_failure() -> None:
    """`name_from_dns` of musl gives up unless the answer is NXDOMAIN; what was denied before that was asked in vain."""
    steps = walk(0, "new.example.com", qtypes="A")[:4]
    failed = [row | {"rcode": "SERVFAIL"} if row.get("rcode") and row["time"] > at_step(1) else row for row in steps]
    [row] = chains(failed, KNOWN).filter(base="new.example.com").to_dicts()
    assert (row["kind"], row["complete"], row["steps"], row["wasted"]) == ("open", False, 2, 1)


def at_step(number: int) -> float:
    return number * 0.002


def test_the_port_of_the_first_query_is_kept() -> None:
    frame = chains(walk(0, "api.example.com", port=40123))
    assert frame["client_port"].to_list() == [40123, 40123]
