"""A query that a capture shows unanswered is looked for in CoreDNS's log."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
import pytest

from analyzer.facts.dns import DNS_TRANSACTIONS
from analyzer.facts.dns_witness import Witness, ask
from analyzer.frames import DNS_MESSAGES, NO_REPLY
from tests.build import frames_for
from tests.lookups import Row, capture, exchange, log

FINE = [row for i in range(20) for row in exchange(i, f"{i}.example.com", "NOERROR", dns_id=i)]
LOST = exchange(10, "lost.example.com", None, dns_id=500)


def witness(seen: Iterable[Row], logged: Iterable[Row]) -> Witness:
    # One more packet long after, so that the capture goes on where an answer might have come.
    given = {DNS_MESSAGES: capture(seen, exchange(900, "later.example.com", client="10.0.0.99"))}
    queries = frames_for([DNS_TRANSACTIONS], given)[DNS_TRANSACTIONS].collect()
    return ask(
        queries.filter(pl.col("rcode") == NO_REPLY), queries.filter(pl.col("answered").is_not_null()), log(logged)
    )


def test_what_the_log_lacks_was_lost_before_coredns() -> None:
    assert witness([*FINE, *LOST], FINE) == Witness(before=1)


def test_what_it_answered_was_lost_on_the_way_back() -> None:
    arrived = exchange(10.001, "lost.example.com", "NXDOMAIN", dns_id=500)
    assert witness([*FINE, *LOST], [*FINE, *arrived]) == Witness(after=1)


@pytest.mark.parametrize("rcode", [NO_REPLY, "SERVFAIL", "REFUSED"])
def test_what_it_could_not_answer_was_not_lost(rcode: str) -> None:
    arrived = exchange(10.001, "lost.example.com", rcode, dns_id=500, after=2)
    told = witness([*FINE, *LOST], [*FINE, *arrived])
    assert told == Witness(failed=1)
    assert told.sentence.endswith("1 failed there")


@pytest.mark.parametrize("wait", [2.5, 5.0])
def test_a_line_of_the_second_try_is_not_about_the_first(wait: float) -> None:
    """musl asks the same again from its socket after 2.5 s, glibc after 5 s."""
    again = exchange(10 + wait, "lost.example.com", "NOERROR", dns_id=500)
    assert witness([*FINE, *LOST, *again], [*FINE, *again]) == Witness(before=1)


def test_both_tries_may_have_arrived() -> None:
    again = exchange(12.5, "lost.example.com", "NOERROR", dns_id=500)
    arrived = exchange(10.001, "lost.example.com", "NOERROR", dns_id=500)
    assert witness([*FINE, *LOST, *again], [*FINE, *arrived, *again]) == Witness(after=1)


@pytest.mark.parametrize(("held", "told"), [(18, Witness(before=1)), (17, Witness())])
def test_a_log_that_lacks_what_was_answered_tells_nothing(held: int, told: Witness) -> None:
    """A log of one of several CoreDNS pods: nine in ten of the answered queries must be in it."""
    last = exchange(30, "end.example.com", "NOERROR", dns_id=700)
    first = exchange(-1, "begin.example.com", "NOERROR", dns_id=701)
    around = [row for row in FINE if row["dns_id"] < held]
    ends = [*first, *last]
    clients = [{**row, "src": "10.0.0.98"} if not row["response"] else {**row, "dst": "10.0.0.98"} for row in ends]
    assert witness([*FINE, *LOST], [*around, *ends]) == told
    assert witness([*FINE, *LOST], clients) == Witness()


def test_a_log_of_another_time_tells_nothing() -> None:
    later = [row | {"time": row["time"] + 7200} for row in FINE]
    assert witness([*FINE, *LOST], later) == Witness()
