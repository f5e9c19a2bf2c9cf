"""One of two DNS queries that leave together is lost, in the trace shapes of glibc, musl and Go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl
import pytest
from msgspec.structs import replace

from analyzer.detectors.dns.dns_client_timeout import DETECTOR
from analyzer.frames import COREDNS_QUERIES, DNS_MESSAGES, NO_REPLY, Table, empty
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, remarks, run
from tests.lookups import POD, Row, capture, exchange, log

Given = dict[Table, pl.LazyFrame]

NAME = "api.example.com"


def seen(*parts: Iterable[Row]) -> Given:
    # One more packet long after, so that the capture goes on where an answer might have come.
    return {DNS_MESSAGES: capture(*parts, exchange(9000, "later.example.com", client="10.0.0.99"))}


def fine(time: float, *, ids: int, **more: object) -> list[Row]:
    """A lookup whose halves are both answered."""
    return [
        *exchange(time, NAME, "NOERROR", dns_id=ids, **more),  # type: ignore[arg-type]
        *exchange(time + 0.0001, NAME, "NOERROR", qtype="AAAA", dns_id=ids + 1, **more),  # type: ignore[arg-type]
    ]


def glibc(
    time: float, *, lost: str = "AAAA", ids: int = 7, wait: float = 5.0, apart: float = 0.0001, port: int = 40001
) -> list[Row]:
    """Both from one socket; after 5 s both again, one after the other, from the same socket with the same ids."""
    kept = "A" if lost == "AAAA" else "AAAA"
    ended = {kept: "NOERROR", lost: None}
    return [
        *exchange(time, NAME, ended["A"], qtype="A", dns_id=ids, port=port),
        *exchange(time + apart, NAME, ended["AAAA"], qtype="AAAA", dns_id=ids + 1, port=port),
        *exchange(time + wait, NAME, "NOERROR", qtype=kept, dns_id=ids + (kept == "AAAA"), port=port),
        *exchange(time + wait + 0.002, NAME, "NOERROR", qtype=lost, dns_id=ids + (lost == "AAAA"), port=port),
    ]


def musl(time: float, *, ids: int = 7, wait: float = 2.5) -> list[Row]:
    """Only what was not answered is sent again."""
    return [
        *exchange(time, NAME, "NOERROR", dns_id=ids, port=40002),
        *exchange(time + 0.0001, NAME, None, qtype="AAAA", dns_id=ids + 1, port=40002),
        *exchange(time + wait, NAME, "NOERROR", qtype="AAAA", dns_id=ids + 1, port=40002),
    ]


def go(time: float, *, ids: int = 7, wait: float = 5.0) -> list[Row]:
    """A socket for each half, and another for the second try."""
    return [
        *exchange(time, NAME, "NOERROR", dns_id=ids, port=40003),
        *exchange(time + 0.0001, NAME, None, qtype="AAAA", dns_id=ids + 1, port=40004),
        *exchange(time + wait, NAME, "NOERROR", qtype="AAAA", dns_id=ids + 2, port=40005),
    ]


def several(shape: object, count: int = 3, every: float = 60, **more: object) -> list[Row]:
    return [row for i in range(count) for row in shape(i * every, ids=100 + 10 * i, **more)]  # type: ignore[operator]


def healthy(count: int, start: float = 1000) -> list[Row]:
    return [row for i in range(count) for row in fine(start + i, ids=5000 + 2 * i)]


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


def test_fires_on_three_lookups_of_glibc() -> None:
    [finding] = run(DETECTOR, seen(several(glibc), healthy(17)))
    assert finding.subject == POD
    assert finding.summary == (
        "3 of 20 lookups by 10.0.0.7 lost exactly one of their two queries and waited 15.0 s in all for the resolver "
        "to ask again."
    )
    assert figures(finding) == {
        "pairs with exactly one answer": 3,
        "of them by glibc": 3,
        "added seconds": pytest.approx(15.009),
        "lookups in all": 20,
        "lookups without any answer": 0,
    }
    assert (finding.start, finding.end) == (at(0), at(125.003))
    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.MEDIUM)
    assert finding.stories == (39,)


@pytest.mark.parametrize(("shape", "name", "seconds"), [(glibc, "glibc", 5), (musl, "musl", 2.5), (go, "Go", 5)])
def test_each_resolver_has_its_own_trace(shape: object, name: str, seconds: float) -> None:
    [finding] = run(DETECTOR, seen(several(shape)))
    assert figures(finding)[f"of them by {name}"] == 3
    assert figures(finding)["added seconds"] == pytest.approx(3 * seconds, rel=0.01)
    assert figures(finding)["lookups in all"] == 3
    assert [row[3] for row in finding.evidence.tables[0].rows] == [name] * 3


def test_either_half_may_be_lost() -> None:
    [finding] = run(DETECTOR, seen(several(glibc, lost="A")))
    assert [row[2] for row in finding.evidence.tables[0].rows] == ["A"] * 3


@pytest.mark.parametrize(("count", "others", "found"), [(3, 3997, 1), (2, 3998, 0), (2, 1998, 1), (2, 1999, 0)])
def test_thresholds_three_lookups_or_one_in_a_thousand(count: int, others: int, found: int) -> None:
    assert len(run(DETECTOR, seen(several(glibc, count), healthy(others)))) == found


@pytest.mark.parametrize(("others", "severity"), [(297, Severity.HIGH), (298, Severity.MEDIUM)])
def test_severity_follows_the_share(others: int, severity: Severity) -> None:
    [finding] = run(DETECTOR, seen(several(glibc), healthy(others)))
    assert finding.severity is severity


def test_fewer_than_three_lookups_are_a_weak_sign() -> None:
    [finding] = run(DETECTOR, seen(several(glibc, 1)))
    assert finding.confidence is Confidence.LOW


def test_silent_on_no_rows() -> None:
    assert not run(DETECTOR, {DNS_MESSAGES: empty(DNS_MESSAGES).lazy()})


def test_silent_without_a_capture() -> None:
    assert not run(DETECTOR, {COREDNS_QUERIES: log(healthy(5))})


def test_silent_on_the_cured_client() -> None:
    assert not run(DETECTOR, seen(healthy(50)))


@pytest.mark.parametrize("wait", [2.0, 4.0, 4.7, 5.3])
def test_silent_on_waits_that_no_resolver_has(wait: float) -> None:
    assert not run(DETECTOR, seen(several(glibc, wait=wait)))


@pytest.mark.parametrize(("apart", "found"), [(0.0009, 1), (0.0011, 0)])
def test_threshold_of_leaving_together(apart: float, found: int) -> None:
    assert len(run(DETECTOR, seen(several(glibc, apart=apart)))) == found


def test_silent_where_a_type_is_never_answered() -> None:
    """A server that drops AAAA: the half is lost again when it is asked alone."""
    lost = [row for row in several(glibc) if not (row["response"] and row["qtype"] == "AAAA")]
    assert not run(DETECTOR, seen(lost))


def test_silent_where_both_halves_are_lost_as_often() -> None:
    dead = [row for row in several(fine, 3, every=50) if not row["response"]]
    dead = [row | {"time": row["time"] + 3000} for row in dead]
    given = seen(several(glibc), dead)
    assert not run(DETECTOR, given)
    assert "both halves of 3" in remarks(DETECTOR, given)[0]


def test_silent_where_lone_queries_are_lost_as_well() -> None:
    alone = [
        row for i in range(24) for row in exchange(2000 + 40 * i, f"n{i}.example.com", None if i % 2 else "NOERROR")
    ]
    given = seen(several(glibc), healthy(5), alone)
    assert not run(DETECTOR, given)
    assert "12 of 30 queries that left alone" in remarks(DETECTOR, given)[0]


def test_silent_on_glibc_that_asks_one_after_the_other() -> None:
    """It has lost two before: a socket for each half, and the same ids when it asks again. No race can be lost."""
    reopened = [
        row
        for i in range(3)
        for row in (
            *exchange(60 * i, NAME, "NOERROR", dns_id=100 + i, port=41000 + i),
            *exchange(60 * i + 0.0009, NAME, None, qtype="AAAA", dns_id=200 + i, port=42000 + i),
            *exchange(60 * i + 5, NAME, "NOERROR", dns_id=100 + i, port=43000 + i),
            *exchange(60 * i + 5.002, NAME, "NOERROR", qtype="AAAA", dns_id=200 + i, port=44000 + i),
        )
    ]
    assert not run(DETECTOR, seen(reopened))


def test_halves_that_one_socket_asks_one_after_the_other_are_one_lookup() -> None:
    """Where the first answer is quicker than the second query, as between processes of one machine."""
    serial = [
        row
        for i in range(10)
        for row in (
            *exchange(500 + i, NAME, "NOERROR", dns_id=i, port=41000 + i),
            *exchange(500.002 + i, NAME, "NOERROR", qtype="AAAA", dns_id=50 + i, port=41000 + i),
        )
    ]
    [finding] = run(DETECTOR, seen(several(glibc), serial))
    assert figures(finding)["lookups in all"] == 13


def test_two_clients_are_two_findings() -> None:
    other = [row | ({"dst": "10.0.0.8"} if row["response"] else {"src": "10.0.0.8"}) for row in several(musl)]
    assert [one.subject for one in run(DETECTOR, seen(several(glibc), other))] == [POD, "10.0.0.8"]


def test_a_log_that_lacks_the_lost_half_proves_that_it_never_arrived() -> None:
    rows = [*several(glibc), *healthy(10)]
    [finding] = run(DETECTOR, seen(rows) | {COREDNS_QUERIES: log(_answered(rows))})
    assert finding.confidence is Confidence.HIGH
    assert (figures(finding)["lost before CoreDNS"], figures(finding)["lost on the way back"]) == (3, 0)


def test_a_log_that_answered_the_lost_half_shows_the_loss_on_the_way_back() -> None:
    rows = [*several(glibc), *healthy(10)]
    arrived = [
        row
        for i in range(3)
        for row in exchange(i * 60 + 0.0001, NAME, "NOERROR", qtype="AAAA", dns_id=101 + 10 * i, port=40001)
    ]
    [finding] = run(DETECTOR, seen(rows) | {COREDNS_QUERIES: log(_answered(rows), arrived)})
    assert finding.confidence is Confidence.MEDIUM
    assert (figures(finding)["lost before CoreDNS"], figures(finding)["lost on the way back"]) == (0, 3)


@pytest.mark.parametrize(("failed", "found"), [(1, 1), (2, 0)])
def test_silent_on_halves_that_failed_behind_coredns_by_its_log(failed: int, found: int) -> None:
    """Its upstream drops what it is asked: the other half was answered in time. Half of them decide."""
    rows = [*several(glibc, 4), *healthy(10)]
    lines = [
        row
        for i in range(failed)
        for row in exchange(i * 60 + 0.0001, NAME, NO_REPLY, qtype="AAAA", dns_id=101 + 10 * i, port=40001, after=2)
    ]
    given = seen(rows) | {COREDNS_QUERIES: log(_answered(rows), lines)}
    assert len(run(DETECTOR, given)) == found
    if not found:
        assert "of which 2 had reached CoreDNS and failed behind it" in remarks(DETECTOR, given)[0]


def test_silent_on_halves_that_coredns_asked_its_upstream_for_in_vain() -> None:
    """The capture holds both sides of CoreDNS. Each lookup has a name of its own."""
    pod, upstream = "10.244.1.9", "10.0.12.2"
    rows = [row | {"name": f"{int(row['time'] // 60)}.{NAME}"} for row in several(glibc)]
    lost = [row for row in rows if not row["response"] and row["qtype"] == "AAAA" and row["time"] % 60 < 1]
    handed_on = [
        row
        for one in lost
        for row in exchange(one["time"] + 0.0005, one["name"], None, qtype="AAAA", client=pod, server=upstream)
    ]
    known = [row for i in range(20) for row in exchange(i, f"{i}.example.net", "NOERROR", client=pod, server=upstream)]
    served = [row for i in range(20) for row in exchange(i - 0.0005, f"{i}.example.net", "NOERROR", after=0.003)]
    assert run(DETECTOR, seen(rows, known, served)), "without what was handed on they were lost on the way"
    given = seen(rows, handed_on, known, served)
    assert not run(DETECTOR, given)
    assert "its upstream does not answer" in " ".join(remarks(DETECTOR, given))


def test_a_log_of_one_of_several_servers_tells_nothing() -> None:
    rows = [*several(glibc), *healthy(10)]
    [finding] = run(DETECTOR, seen(rows) | {COREDNS_QUERIES: log(_answered(rows)[0::4], _answered(rows)[1::4])})
    assert "lost before CoreDNS" not in figures(finding)


def _answered(rows: list[Row]) -> list[Row]:
    """The exchanges that a server saw: every query that is followed by its answer."""
    made: list[Row] = []
    for one, after in zip(rows, [*rows[1:], None], strict=True):
        if after is not None and not one["response"] and after["response"]:
            made += [one, after]
    return made


def test_the_option_of_glibc_is_not_advised_to_others() -> None:
    [first] = run(DETECTOR, seen(several(glibc)))
    [second] = run(DETECTOR, seen(several(go)))
    assert "single-request-reopen" in first.remedies[0].snippet
    assert all("single-request-reopen" not in remedy.snippet for remedy in second.remedies)


def test_says_what_asking_one_after_the_other_would_cost() -> None:
    [finding] = run(DETECTOR, seen(several(glibc), healthy(17)))
    assert finding.saving is not None
    assert finding.saving.observed == pytest.approx(15.009)
    assert finding.saving.modelled == pytest.approx(20 * 0.001)


def test_quotes_what_was_lost_and_what_was_asked_again() -> None:
    rows = several(glibc, 3)
    [finding] = run(DETECTOR, seen(rows))
    lost_and_again = [
        i + 1
        for i, row in enumerate(sorted(rows, key=lambda row: row["time"]))
        if row["qtype"] == "AAAA" and not row["response"]
    ]
    assert [record.number for record in finding.evidence.records] == lost_and_again


@pytest.mark.parametrize("shape", [glibc, musl, go])
def test_the_evidence_carries_the_finding_and_unrelated_rows_change_nothing(shape: object) -> None:
    """Without the second try, without the lost query, and without the answered half nothing is found."""
    rows = several(shape, 4)
    [finding] = run(DETECTOR, seen(rows, healthy(20)))
    first = [row for row in rows if row["time"] % 60 < 1]
    assert not run(DETECTOR, seen(first, healthy(20)))
    lost = [row for row in first if not row["response"] and row["qtype"] == "AAAA"]
    assert not run(DETECTOR, seen([row for row in rows if row not in lost], healthy(20)))
    assert not run(DETECTOR, seen([row for row in rows if row["time"] % 60 > 1 or row["qtype"] != "A"], healthy(20)))
    again = run(DETECTOR, seen(rows, healthy(20), unrelated()))
    assert [_without_places(one) for one in again] == [_without_places(finding)]


def unrelated() -> list[Row]:
    """500 lookups of others: answered, denied, asked of another server, lost with both halves."""
    made: list[Row] = []
    for i in range(500):
        rcode = ("NOERROR", "NXDOMAIN", "NOERROR", None)[i % 4]
        more: dict[str, Any] = {"client": f"10.0.9.{i % 7}", "port": 30000 + i, "dns_id": 9000 + i}
        if i % 4 == 2:
            more["server"] = "10.0.0.2"
        for qtype in ("A", "AAAA"):
            made += exchange(i * 0.7, f"{i}.example.net", rcode, qtype=qtype, **more)
    return made


def _without_places(finding: Finding) -> Finding:
    """Frames have other numbers among others."""
    return replace(finding, evidence=replace(finding.evidence, records=()))
