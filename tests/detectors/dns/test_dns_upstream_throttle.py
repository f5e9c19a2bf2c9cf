"""CoreDNS gets no answers from the servers that it forwards to."""

from __future__ import annotations

import polars as pl
import pytest

from analyzer.detectors.dns.dns_upstream_throttle import DETECTOR
from analyzer.frames import (
    COREDNS_ERRORS,
    COREDNS_QUERIES,
    DNS_ANSWERS,
    DNS_MESSAGES,
    NO_REPLY,
)
from analyzer.model import Confidence, Severity
from tests.build import at, rows, run
from tests.detectors.dns.upstreams import (
    COREDNS,
    DOMAINS,
    INSIDE,
    RISE,
    UPSTREAM,
    answered,
    error,
    errors,
    errors_of,
    failing,
    figures,
    forwarded,
    inside,
    logged,
    outside,
)
from tests.lookups import capture, exchange, log


def test_fires_on_timeouts_in_the_log() -> None:
    [finding] = run(DETECTOR, logged(failing(20), outside(60, "NOERROR", start=0.2), inside(30)))
    assert (finding.subject, finding.variant) == (UPSTREAM, "timeouts")
    assert finding.summary == (
        "20 queries that CoreDNS hands on to 10.0.0.2 failed within 10 s (50% of them): the upstream leaves queries "
        "unanswered; clients waited 40 s for them."
    )
    assert (finding.start, finding.end) == (at(0), at(9.5))
    assert (finding.severity, finding.confidence) == (Severity.MEDIUM, Confidence.MEDIUM)
    assert figures(finding) == {
        "failed queries": 20,
        "queries without reply": 20,
        "seconds waited": 40,
        "cluster-zone answers meanwhile": 10,
        "forwarded queries": 40,
        "failed share of forwarded queries": 0.5,
        "names affected": 20,
        "errors logged": 20,
    }
    assert finding.evidence.tables[0].rows[0] == ("example.co.uk", 5, 10, 5)
    assert finding.evidence.tables[1].rows == (("timeout", UPSTREAM, 20),)
    assert finding.stories == (2,)
    assert any("plugin/errors" in command for command in finding.verify)


def test_fires_on_a_rate_that_the_upstream_does_not_exceed() -> None:
    given = {DNS_MESSAGES: capture(forwarded(RISE, 25))}
    [finding] = run(DETECTOR, given)
    lost = sum(count - 25 for count in RISE if count > 25)
    assert (finding.subject, finding.variant) == (UPSTREAM, "rate-limit")
    assert "answers 25 queries a second and no more" in finding.summary
    assert finding.confidence is Confidence.HIGH
    told = figures(finding)
    assert (told["failed queries"], told["queries without reply"], told["seconds waited"]) == (lost, lost, 5 * lost)
    assert (told["upstream queries"], told["upstream queries unanswered"]) == (355, lost)
    assert told["upstream queries per forwarded query"] == 1
    assert told["upstream answers at most"] == 25
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.assumption[:21]) == (355, "CoreDNS's own queries")


@pytest.mark.parametrize(
    ("sent", "level", "variant"),
    [
        ([5] * 4 + RISE[10:18], 25, "timeouts"),  # four calm seconds are no contrast
        ([5] * 10 + [40, 30, 60, 45], 25, "timeouts"),  # four seconds of loss are none either
        ([60] * 5 + [5] * 10, 9, "timeouts"),  # too few answers to tell them from chance
        ([60] * 5 + [5] * 10, 10, "rate-limit"),
    ],
)
def test_threshold_of_the_seconds_that_show_a_limit(sent: list[int], level: int, variant: str) -> None:
    [finding] = run(DETECTOR, {DNS_MESSAGES: capture(forwarded(sent, level))})
    assert finding.variant == variant


@pytest.mark.parametrize(
    ("sent", "counts", "variant"),
    [
        (RISE, [min(count, 25) for count in RISE], "rate-limit"),
        (RISE, [count // 2 for count in RISE], "timeouts"),  # half of whatever is asked
        (RISE, [5] * 8 + [3] * 2 + [min(count, 25) for count in RISE[10:]], "timeouts"),  # calm seconds lose some too
        ([60] * 5 + RISE, [60] * 5 + [min(count, 25) for count in RISE], "timeouts"),  # more was answered before
        ([5] * 10 + [60] * 8, [5] * 10 + [25, 5, 25, 8, 25, 10, 25, 25], "timeouts"),  # answers are not flat
    ],
)
def test_loss_that_does_not_depend_on_the_rate_is_no_limit(sent: list[int], counts: list[int], variant: str) -> None:
    [finding] = run(DETECTOR, answered(sent, counts))
    assert finding.variant == variant


def test_the_limit_of_a_vpc_is_named() -> None:
    sent = [100] * 6 + [1100, 1150, 1200, 1180, 1120, 1090]
    [finding] = run(DETECTOR, {DNS_MESSAGES: capture(forwarded(sent, 1024))})
    assert "the limit of a VPC's resolver for one interface" in finding.why


def test_fires_on_the_concurrency_limit() -> None:
    """CoreDNS logs no code for what it rejects, and that at once; the client gets REFUSED."""
    text = "concurrent queries exceeded maximum 1000"
    given = logged(failing(20, after=0.0001), inside(), kind="overload", upstream=None, error=text)
    [finding] = run(DETECTOR, given)
    assert (finding.subject, finding.variant) == ("upstream of CoreDNS", "concurrency-limit")
    assert finding.stories == ()
    assert "max_concurrent allows (1000)" in finding.why
    assert finding.confidence is Confidence.HIGH
    assert figures(finding)["seconds waited"] == pytest.approx(0.002)


def test_clients_that_are_refused_while_nothing_is_handed_on_meet_the_concurrency_limit() -> None:
    handed_on = forwarded([4] * 5, 4)
    refused = outside(20, "REFUSED", every=0.2, after=0.0005, port=45000)
    [finding] = run(DETECTOR, {DNS_MESSAGES: capture(handed_on, refused)})
    assert finding.variant == "concurrency-limit"


@pytest.mark.parametrize("kind", ["no healthy upstream", "connection refused", "backend unreachable"])
def test_an_upstream_that_cannot_be_reached(kind: str) -> None:
    [finding] = run(DETECTOR, logged(failing(), outside(9, "NOERROR"), inside(), kind=kind))
    assert finding.variant == "upstream-unhealthy"


def test_an_upstream_that_answers_nothing_at_all() -> None:
    [finding] = run(DETECTOR, logged(failing(), inside()))
    assert finding.variant == "upstream-unhealthy"
    assert "answers nothing at all" in finding.why


def test_an_upstream_that_answers_with_errors() -> None:
    [finding] = run(DETECTOR, {COREDNS_QUERIES: log(outside(20, "SERVFAIL"), outside(20, "NOERROR"), inside())})
    assert (finding.variant, finding.confidence) == ("upstream-errors", Confidence.LOW)
    assert figures(finding)["queries without reply"] == 0
    assert figures(finding)["seconds waited"] == pytest.approx(20 * 0.02)


def test_servfail_after_the_timeout_of_forward_is_no_answer_of_the_upstream() -> None:
    """CoreDNS 1.14.5 and later log what the client got."""
    given = {COREDNS_QUERIES: log(outside(20, "SERVFAIL", after=2.001), outside(20, "NOERROR"), inside())}
    [finding] = run(DETECTOR, given)
    assert (finding.variant, figures(finding)["queries without reply"]) == ("timeouts", 20)


def test_reverse_names_that_an_upstream_drops_tell_of_its_limit_all_the_same() -> None:
    reversed_ = [row | {"name": f"{row['name'].split('.')[0]}.2.0.192.in-addr.arpa"} for row in forwarded(RISE, 25)]
    kept = [row for row in reversed_ if row["dst"] == UPSTREAM or row["src"] == UPSTREAM]
    [finding] = run(DETECTOR, {DNS_MESSAGES: capture(kept, forwarded([5] * 30, 5))})
    assert (finding.subject, finding.variant) == (UPSTREAM, "rate-limit")
    broken = [row | ({"rcode": "SERVFAIL"} if row["response"] else {}) for row in kept]
    assert not run(DETECTOR, {DNS_MESSAGES: capture(broken[:80], forwarded([5] * 30, 5))})


def test_autopath_is_known_by_searched_names_that_are_answered_from_elsewhere() -> None:
    """Its answers lack the AA bit; a failure of the upstream shows under the searched name."""
    searched = [f"{i}.{DOMAINS[i % 4]}.{space}.svc.cluster.local" for i in range(20) for space in ("shop", "billing")]
    good = [row for i, name in enumerate(searched) for row in exchange(i * 0.2, name, "NOERROR", after=0.01)]
    bad = [row for i, name in enumerate(searched[:20]) for row in exchange(5 + i * 0.2, name, NO_REPLY, after=2)]
    lines = log(good, bad, inside()).with_columns(
        flags=pl.when(pl.col("name") == INSIDE).then("flags").otherwise(pl.lit("qr,rd,ra"))
    )
    [finding] = run(DETECTOR, {COREDNS_QUERIES: lines, COREDNS_ERRORS: errors_of(bad)})
    assert (finding.variant, finding.stories) == ("autopath", (2,))
    assert {row[0] for row in finding.evidence.tables[0].rows} == set(DOMAINS)
    off = finding.alternatives[-1]
    assert (off.fix, off.observed > off.modelled) == ("autopath off", True)


def test_autopath_is_known_by_its_alias_in_a_capture() -> None:
    searched = [f"{i}.{DOMAINS[i % 4]}.shop.svc.cluster.local" for i in range(20)]
    asked = [row for i, name in enumerate(searched) for row in exchange(i * 0.2, name, "NOERROR")]
    refused = [row for i, name in enumerate(searched) for row in exchange(4 + i * 0.2, name, "SERVFAIL")]
    messages = capture(asked, refused, inside())
    told = messages.filter(pl.col("response") & (pl.col("rcode") == "NOERROR")).collect()
    aliases = [
        {"number": row["number"], "name": row["name"], "value": row["name"].removesuffix(".shop.svc.cluster.local")}
        for row in told.filter(pl.col("name") != INSIDE).to_dicts()
    ]
    answers = rows(DNS_ANSWERS, *aliases, rtype="CNAME", ttl=30, source="node.pcap")
    [finding] = run(DETECTOR, {DNS_MESSAGES: messages, DNS_ANSWERS: answers})
    assert figures(finding)["forwarded queries"] == 40
    assert "autopath off" in {one.fix for one in finding.alternatives}


def test_fires_on_errors_alone() -> None:
    """The Corefile that Kubernetes ships logs no queries."""
    made = [error(i, f"{i}.{DOMAINS[i % 4]}") for i in range(10)]
    [finding] = run(DETECTOR, {COREDNS_ERRORS: errors(made)})
    assert finding.subject == UPSTREAM
    assert figures(finding) == {"failed queries": 10, "names affected": 10, "errors logged": 10}
    assert "waited" not in finding.summary
    assert finding.confidence is Confidence.MEDIUM
    assert not run(DETECTOR, {COREDNS_ERRORS: errors(made[:9])})


def test_a_consolidated_line_stands_for_many_errors() -> None:
    line = error(30, None, upstream=None, qtype=None, period_seconds=30.0)
    [finding] = run(DETECTOR, {COREDNS_ERRORS: errors([line | {"count": 30}])})
    assert figures(finding)["failed queries"] == 30
    assert not run(DETECTOR, {COREDNS_ERRORS: errors([line | {"count": 29}])})


def test_errors_beside_query_lines_are_not_counted_twice() -> None:
    given = logged(failing(), inside())
    other = errors([error(i / 2, f"{i}.{DOMAINS[i % 4]}") for i in range(12)], source="other.log")
    [finding] = run(DETECTOR, given | {COREDNS_ERRORS: pl.concat([given[COREDNS_ERRORS], other])})
    assert figures(finding)["failed queries"] == 20 + 12


def test_one_refusal_among_timeouts_shows_a_process_that_is_gone() -> None:
    """The kernel of the upstream says so of one query a second; nothing is answered from the first to the last."""
    lost = failing(20, start=3, every=0.3)
    given = logged(outside(10, "NOERROR", every=0.25), lost, inside(20))
    told = [error(5, "0.example.com", "connection refused"), *errors_of(lost).collect().to_dicts()]
    [finding] = run(DETECTOR, given | {COREDNS_ERRORS: errors(told)})
    assert (finding.variant, figures(finding)["errors logged"]) == ("upstream-unhealthy", 21)
    assert "refuses connections" in finding.summary
    [finding] = run(DETECTOR, given)
    assert (finding.variant, "answers nothing at all" in finding.summary) == ("upstream-unhealthy", True)
    between = outside(1, "NOERROR", start=6)
    [finding] = run(DETECTOR, logged(outside(10, "NOERROR", every=0.25), between, lost, inside(20)))
    assert finding.variant == "timeouts"


@pytest.mark.parametrize(("every", "variant"), [(5 / 19, "upstream-unhealthy"), (4.9 / 19, "timeouts")])
def test_threshold_of_the_silence_that_shows_a_dead_upstream(every: float, variant: str) -> None:
    given = logged(outside(10, "NOERROR", every=0.25), failing(20, start=3, every=every), inside(20))
    assert [finding.variant for finding in run(DETECTOR, given)] == [variant]


def test_probes_of_the_forward_plugin_are_no_queries_that_it_hands_on() -> None:
    """It asks an upstream that failed for the name servers of the root, twice a second."""
    both = forwarded(RISE, 25)
    probes = [
        row
        for i in range(40)
        for row in exchange(10 + i / 4, "", None, qtype="NS", client=COREDNS, server=UPSTREAM, port=52000 + i)
    ]
    [before] = run(DETECTOR, {DNS_MESSAGES: capture(both)})
    [after] = run(DETECTOR, {DNS_MESSAGES: capture(both, probes)})
    assert figures(after) == figures(before)
