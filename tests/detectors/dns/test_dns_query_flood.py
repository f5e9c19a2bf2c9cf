"""One client floods the cluster's resolver."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
import pytest

from analyzer.detectors.dns.dns_query_flood import DETECTOR
from analyzer.facts.addresses import NODE_LOCAL_DNS
from analyzer.frames import COREDNS_QUERIES, DNS_ANSWERS, DNS_MESSAGES, Table, empty
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, remarks, rows, run
from tests.lookups import POD, Row, capture, exchange, log, walk

Given = dict[Table, pl.LazyFrame]

QUIETER = ("10.0.0.11", "10.0.0.12", "10.0.0.13", "10.0.0.14")


def seen(*parts: Iterable[Row]) -> Given:
    return {DNS_MESSAGES: capture(*parts)}


def asks(
    count: int, seconds: float, *, names: int = 1, start: float = 0, rcode: str | None = "NOERROR", **more: object
) -> list[Row]:
    """So many queries, evenly spread from `start` on; the last one comes `seconds` after the first."""
    step = seconds / (count - 1)
    return [
        row
        for i in range(count)
        for row in exchange(start + i * step, f"api-{i % names}.example.com", rcode, **more)  # type: ignore[arg-type]
    ]


def others(each: int = 2, seconds: float = 59) -> list[Row]:
    return [row for client in QUIETER for row in asks(each, seconds, client=client)]


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


def test_fires_on_a_client_at_the_rate_for_a_minute() -> None:
    [finding] = run(DETECTOR, seen(asks(600, 60, names=3), others()), rate=10)
    assert finding.subject == POD
    assert finding.summary == (
        "600 queries by 10.0.0.7 in 60 s (10 a second, 99% of all) asked for 3 names; with a cache it "
        "would have asked 6."
    )
    assert figures(finding) == {
        "queries of the client": 600,
        "rate of the client": 10,
        "share of all queries": pytest.approx(600 / 608, abs=1e-6),
        "distinct names": 3,
    }
    assert (finding.start, finding.end) == (at(0), at(60))
    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.HIGH)
    assert finding.stories == (19,)


def test_silent_just_below_the_threshold_of_the_rate() -> None:
    assert not run(DETECTOR, seen(asks(599, 60)), rate=10)
    assert not run(DETECTOR, seen(asks(600, 60.1)), rate=10)


def test_the_minute_may_begin_anywhere() -> None:
    calm = asks(60, 300, start=0)
    [finding] = run(DETECTOR, seen(calm, asks(600, 59, start=310.5)), rate=10)
    assert finding.start is not None
    assert finding.start >= at(300)


def test_fires_on_a_share_of_ten_times_the_others() -> None:
    """20 a minute of each other client, 600 of this one: 30 times their median, seven eighths of all."""
    [finding] = run(DETECTOR, seen(asks(600, 59), others(20)))
    assert (finding.severity, finding.confidence) == (Severity.MEDIUM, Confidence.MEDIUM)
    assert figures(finding)["share of all queries"] == pytest.approx(600 / 680, abs=1e-6)
    assert finding.evidence.tables[1].rows[0] == (POD, 600)


@pytest.mark.parametrize(
    ("changed", "found"),
    [({}, 1), ({"share": 0.89}, 0), ({"step": 31}, 0), ({"least_rate": 10.1}, 0), ({"step": 30}, 1)],
)
def test_thresholds_of_the_share(changed: dict[str, float], found: int) -> None:
    assert len(run(DETECTOR, seen(asks(600, 59), others(20)), **changed)) == found


def test_silent_without_others_to_compare_a_share_with() -> None:
    few = [row for client in QUIETER[:3] for row in asks(2, 59, client=client)]
    assert not run(DETECTOR, seen(asks(600, 59), few))


def test_silent_on_the_cured_client() -> None:
    """Its cache asks once in 30 s."""
    assert not run(DETECTOR, seen(asks(3, 60), others()), rate=10)


@pytest.mark.parametrize("table", [DNS_MESSAGES, COREDNS_QUERIES])
def test_silent_on_no_rows(table: Table) -> None:
    assert not run(DETECTOR, {table: empty(table).lazy()})


def test_two_clients_are_two_findings() -> None:
    both = run(DETECTOR, seen(asks(600, 60), asks(700, 60, client="10.0.0.8")), rate=10)
    assert [(one.subject, figures(one)["queries of the client"]) for one in both] == [(POD, 600), ("10.0.0.8", 700)]


def test_windows_of_one_client_apart_by_five_quiet_minutes_are_two_findings() -> None:
    near = seen(asks(600, 60), asks(600, 60, start=350))
    far = seen(asks(600, 60), asks(600, 60, start=361))
    assert [len(run(DETECTOR, given, rate=10)) for given in (near, far)] == [1, 2]


def test_retries_and_what_is_seen_twice_are_not_counted() -> None:
    """A socket that asks again with the same id, and the log of what the capture holds."""
    asked = asks(500, 50)
    again = [exchange(i * 0.1, "slow.example.com", None, dns_id=7, port=50000) for i in range(200)]
    given = {DNS_MESSAGES: capture(asked, *again), COREDNS_QUERIES: log(asked)}
    assert not run(DETECTOR, given, rate=10)
    [finding] = run(DETECTOR, given, rate=500 / 60)
    assert figures(finding)["queries of the client"] == 501


def test_a_log_alone_tells_what_it_costs_to_write() -> None:
    logged = log(asks(600, 60), others()).with_columns(line_bytes=pl.lit(180, pl.Int64))
    [finding] = run(DETECTOR, {COREDNS_QUERIES: logged}, rate=10)
    assert figures(finding)["log bytes per second"] == pytest.approx(608 * 180 / 60)
    assert figures(finding)["log bytes per day"] == 608 * 180 * 1440
    assert finding.verify[0] == "zcat -f < coredns.log | grep -cF -- ' 10.0.0.7:'"


@pytest.mark.parametrize(("ttl", "asked"), [(0, 600), (5, 12), (30, 2), (300, 2)])
def test_the_replay_keeps_each_answer_for_its_own_life_but_never_over_half_a_minute(ttl: int, asked: int) -> None:
    messages = seen(asks(600, 59.9))[DNS_MESSAGES]
    told = messages.filter("response").select("source", "number", "name", client="dst").collect().to_dicts()
    answers = rows(DNS_ANSWERS, *({"ttl": ttl, "rtype": "A"} | one for one in told))
    [finding] = run(DETECTOR, {DNS_MESSAGES: messages, DNS_ANSWERS: answers}, rate=10)
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (600, asked)
    assert "100% of the answers tell theirs" in finding.saving.assumption


def test_denials_are_kept_for_their_own_life() -> None:
    [finding] = run(DETECTOR, seen(asks(600, 59.9, rcode="NXDOMAIN", negative_ttl=6)), rate=10)
    assert finding.saving is not None
    assert finding.saving.modelled == 10


def test_names_that_are_ever_new_cannot_be_kept() -> None:
    [finding] = run(DETECTOR, seen(asks(600, 60, names=600)), rate=10)
    assert finding.saving is not None
    assert finding.saving.modelled == 600
    assert "ever new names" in finding.why


def test_silent_on_a_client_that_gets_no_answers() -> None:
    """It asks again for want of an answer; from half of the queries on, this is the likelier reason."""
    mostly = seen(asks(300, 60, rcode="SERVFAIL"), asks(300, 60, port=41000))
    assert not run(DETECTOR, mostly, rate=10)
    assert "50% of them failed" in remarks(DETECTOR, mostly, rate=10)[0]
    assert run(DETECTOR, seen(asks(299, 60, rcode="SERVFAIL"), asks(301, 60, port=41000)), rate=10)


def test_silent_on_a_proxy_that_asks_for_pods_of_several_namespaces() -> None:
    shop = [row for i in range(40) for row in walk(i, f"a{i}.example.com")]
    billing = ("billing.svc.cluster.local", "svc.cluster.local", "cluster.local", "ec2.internal")
    bill = [row for i in range(40) for row in walk(i + 0.5, f"b{i}.example.com", domains=billing)]
    given = seen(shop, bill)
    assert not run(DETECTOR, given, rate=10)
    assert "for pods of 2 namespaces" in remarks(DETECTOR, given, rate=10)[0]
    assert run(DETECTOR, seen(shop, [row for i in range(40) for row in walk(i + 0.5, f"b{i}.example.com")]), rate=10)


def test_silent_on_the_cache_of_a_node() -> None:
    given = seen(asks(600, 60, client=NODE_LOCAL_DNS))
    assert not run(DETECTOR, given, rate=10)
    [remark] = remarks(DETECTOR, given, rate=10)
    assert remark.startswith("169.254.20.10 asked 600 queries in 60 s for the pods of its node: a proxy")
    assert remark.endswith("its busiest name is api-0.example.com (600 queries).")


def test_quotes_queries_from_the_first_to_the_last() -> None:
    [finding] = run(DETECTOR, seen(asks(600, 60)), rate=10)
    numbers = [record.number for record in finding.evidence.records]
    assert numbers == sorted(set(numbers))
    assert (numbers[0], numbers[-1]) == (1, 1199)
    assert finding.evidence.series[0].step_seconds == 1
    assert sum(finding.evidence.series[0].values) == 600


def test_the_evidence_carries_the_finding_and_unrelated_rows_change_nothing() -> None:
    flood = asks(600, 60, names=3)
    [finding] = run(DETECTOR, seen(flood, others()), rate=10)
    assert not run(DETECTOR, seen(others()), rate=10), "without the client's queries"
    assert not run(DETECTOR, seen([row for row in flood if row["dns_id"] % 2], others()), rate=10), "half of them"
    apart = [
        row
        | ({"dst": f"10.1.{row['dns_id'] % 200}.9"} if row["response"] else {"src": f"10.1.{row['dns_id'] % 200}.9"})
        for row in flood
    ]
    assert not run(DETECTOR, seen(apart, others()), rate=10), "by many clients"
    later = [
        row
        for i in range(500)
        for row in exchange(600 + i, f"{i}.example.net", ("NOERROR", "NXDOMAIN")[i % 2], client=f"10.0.9.{i % 7}")
    ]
    [again] = run(DETECTOR, seen(flood, others(), later), rate=10)
    assert (figures(again), again.severity, again.confidence) == (
        figures(finding),
        finding.severity,
        finding.confidence,
    )
    assert (again.saving, again.summary, again.evidence.series) == (
        finding.saving,
        finding.summary,
        finding.evidence.series,
    )
