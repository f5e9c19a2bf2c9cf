"""CoreDNS gets no answers from the servers that it forwards to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl
import pytest

from analyzer.detectors.dns.dns_upstream_throttle import DETECTOR
from analyzer.frames import (
    COREDNS_ERRORS,
    COREDNS_EVENTS,
    COREDNS_QUERIES,
    DNS_ANSWERS,
    DNS_MESSAGES,
    NO_REPLY,
    Table,
    empty,
)
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, remarks, rows, run
from tests.lookups import POD, Row, capture, exchange, log

Given = dict[Table, pl.LazyFrame]

UPSTREAM, OTHER, COREDNS = "10.0.0.2", "172.16.0.53", "10.244.31.4"
DOMAINS = ("example.com", "example.net", "example.org", "example.co.uk")
INSIDE = "payments.shop.svc.cluster.local"


def outside(
    count: int, rcode: str, *, start: float = 0, every: float = 0.5, after: float = 0.02, **more: object
) -> list[Row]:
    """So many queries for hosts of four registered domains."""
    made = []
    for i in range(count):
        name = f"{i}.{DOMAINS[i % len(DOMAINS)]}"
        made += exchange(start + i * every, name, rcode, after=after, **more)  # type: ignore[arg-type]
    return made


def inside(count: int = 20, rcode: str = "NOERROR", start: float = 0) -> list[Row]:
    return [row for i in range(count) for row in exchange(start + i, INSIDE, rcode)]


def failing(count: int = 20, *, start: float = 0, after: float = 2.0, **more: object) -> list[Row]:
    """As CoreDNS logs what its upstream did not answer."""
    return outside(count, NO_REPLY, start=start, after=after, **more)  # type: ignore[arg-type]


def error(
    time: float, name: str | None = None, kind: str = "timeout", upstream: str | None = UPSTREAM, **more: object
) -> Row:
    return {"time": time, "name": name, "qtype": "A", "kind": kind, "upstream": upstream, "count": 1} | more


def errors(made: Iterable[Row], source: str = "coredns.log") -> pl.LazyFrame:
    return rows(COREDNS_ERRORS, *made, source=source)


def errors_of(queries: Sequence[Row], **more: object) -> pl.LazyFrame:
    """An error line for each failed query."""
    failed = [row for row in queries if row["response"] and row["rcode"] == NO_REPLY]
    return errors(error(row["time"], row["name"], **more) for row in failed)  # type: ignore[arg-type]


def logged(*parts: list[Row], **more: object) -> Given:
    whole = [row for part in parts for row in part]
    return {COREDNS_QUERIES: log(whole), COREDNS_ERRORS: errors_of(whole, **more)}


def forwarded(sent: Sequence[int], level: int, client: str = POD) -> list[Row]:
    """Second by second so many lookups that CoreDNS hands on, of which the upstream answers `level`: both sides of
    CoreDNS, as a capture on its node sees them. The client waits in vain for the others."""
    made = []
    for second, count in enumerate(sent):
        for i in range(count):
            name, time = f"{second}-{i}.{DOMAINS[i % len(DOMAINS)]}", second + (i + 0.5) / (count + 1)
            rcode = "NOERROR" if i < level else None
            made += exchange(time, name, rcode, after=0.004, client=client, port=41000 + i)
            made += exchange(time + 0.001, name, rcode, after=0.002, client=COREDNS, server=UPSTREAM, port=30000 + i)
    # A server of the cluster answers as itself, so that it is known to ask for others.
    made += exchange(0, INSIDE, "NOERROR", server=COREDNS)
    return made + exchange(len(sent) + 60, INSIDE, "NOERROR")


RISE = [5] * 10 + [40, 30, 60, 45, 50, 35, 30, 55] + [5] * 10


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


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


def answered(sent: Sequence[int], counts: Sequence[int]) -> Given:
    """As `forwarded`, each second with a count of answers of its own."""
    parts = [forwarded([asked], count) for asked, count in zip(sent, counts, strict=True)]
    return {DNS_MESSAGES: capture([{**row, "time": row["time"] + i} for i, part in enumerate(parts) for row in part])}


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
    assert finding.variant == "autopath"
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


@pytest.mark.parametrize(("failed", "found"), [(10, 1), (9, 0)])
def test_threshold_of_failures(failed: int, found: int) -> None:
    assert len(run(DETECTOR, logged(failing(failed), inside()))) == found


@pytest.mark.parametrize(("fine", "found"), [(990, 1), (991, 0)])
def test_threshold_of_the_share(fine: int, found: int) -> None:
    """Ten failures in ten seconds, of a thousand queries, and of one more."""
    whole = logged(failing(10), outside(fine, "NOERROR", every=9 / fine), inside())
    assert len(run(DETECTOR, whole)) == found


def test_threshold_of_the_median() -> None:
    """Two failures of forty in all bins, in six, and in the eleven that make them the median."""
    steady = [outside(38, "NOERROR", start=10 * i, every=0.2) for i in range(20)]
    lost = [exchange(5 * i, f"{i}.{DOMAINS[i % 4]}", NO_REPLY, after=2) for i in range(40)]
    assert not run(DETECTOR, logged(*steady, *lost, inside(200)))
    assert len(run(DETECTOR, logged(*steady, *lost[:12], inside(200)))) == 1
    assert not run(DETECTOR, logged(*steady, *lost[:21], inside(200)))


def test_an_upstream_that_fails_most_of_the_time_has_no_median_to_exceed() -> None:
    assert len(run(DETECTOR, logged(failing(12, every=5), outside(12, "NOERROR", every=5), inside(60)))) == 1


def test_silent_on_single_slow_answers() -> None:
    slow = outside(20, "NOERROR", after=1.9)
    once = [failing(1, start=70 * i) for i in range(9)]
    assert not run(DETECTOR, logged(slow, *once, inside(200)))


def test_silent_on_one_broken_authority() -> None:
    broken = [row for i in range(30) for row in exchange(i * 0.3, f"{i}.broken.test", NO_REPLY, after=2)]
    given = logged(broken, outside(30, "NOERROR"), inside())
    assert not run(DETECTOR, given)
    [remark] = remarks(DETECTOR, given)
    assert remark == (
        "30 queries that CoreDNS hands on failed, nearly all for names of broken.test, while 20 queries for other "
        "domains were answered: an authority problem of theirs, not one of the upstream."
    )


def test_three_domains_are_no_authority() -> None:
    many = [row for i in range(30) for row in exchange(i * 0.3, f"{i}.broken{i % 3}.test", NO_REPLY, after=2)]
    given = logged(many, outside(30, "NOERROR"), inside())
    assert len(run(DETECTOR, given)) == 1
    assert not run(DETECTOR, given, domains=3)


def test_two_domains_that_nothing_contrasts_with_leave_it_open() -> None:
    """Answers from the cache are none of the upstream's."""
    only = [row for i in range(30) for row in exchange(i * 0.3, f"{i}.example.com", NO_REPLY, after=2)]
    cached = outside(30, "NOERROR", after=0.0002)
    [finding] = run(DETECTOR, logged(only, cached, inside()))
    assert finding.confidence is Confidence.LOW
    assert finding.confidence_reason.startswith("only names of example.com failed, and too few others were asked")


@pytest.mark.parametrize(("others", "found"), [(2, 1), (3, 0)])
def test_threshold_of_the_contrast(others: int, found: int) -> None:
    only = [row for i in range(30) for row in exchange(i * 0.3, f"{i}.example.com", NO_REPLY, after=2)]
    fine = [row for i in range(others) for row in exchange(i, f"{i}.example.net", "NOERROR", after=0.02)]
    assert len(run(DETECTOR, logged(only, fine, inside()))) == found


@pytest.mark.parametrize(("others", "found"), [(11, 1), (12, 0)])
def test_others_that_are_answered_by_luck_are_no_contrast(others: int, found: int) -> None:
    """A third of one domain fails: eleven others may all be answered with a chance of 1.2 %."""
    codes = [NO_REPLY if i % 3 == 0 else "NOERROR" for i in range(30)]
    partly = [row for i, code in enumerate(codes) for row in exchange(i * 0.3, f"{i}.example.com", code, after=0.5)]
    fine = [row for i in range(others) for row in exchange(i * 0.5, f"{i}.example.net", "NOERROR", after=0.02)]
    assert len(run(DETECTOR, logged(partly, fine, inside()))) == found


def test_a_domain_that_others_fail_beside_is_not_to_blame() -> None:
    codes = [NO_REPLY if i % 2 else "NOERROR" for i in range(100)]
    most = [row for i in range(90) for row in exchange(i * 0.1, f"{i}.example.com", codes[i], after=0.5)]
    rest = [row for i in range(10) for row in exchange(i * 0.9, f"{i}.example.net", codes[i], after=0.5)]
    assert len(run(DETECTOR, logged(most, rest, inside()), domains=1)) == 1


def test_a_domain_that_fails_as_often_as_the_others_is_not_to_blame() -> None:
    codes = [NO_REPLY if i % 2 else "NOERROR" for i in range(90)]
    busy = [row for i, code in enumerate(codes) for row in exchange(i * 0.1, f"{i}.example.com", code, after=2)]
    rest = [*outside(4, "NOERROR", start=1, after=0.02), *failing(5, start=2)]
    assert len(run(DETECTOR, logged(busy, rest, inside()))) == 1


def test_silent_on_an_upstream_that_answers_errors_for_two_domains_always() -> None:
    broken = [row for i in range(30) for row in exchange(i * 0.3, f"{i}.broken{i % 2}.test", "SERVFAIL")]
    assert not run(DETECTOR, {COREDNS_QUERIES: log(broken, inside())})
    assert "their authorities do not" in remarks(DETECTOR, {COREDNS_QUERIES: log(broken, inside())})[0]
    now_and_then = [row for i in range(30) for row in exchange(i * 0.3, f"{i}.broken{i % 2}.test", "NOERROR")]
    assert run(DETECTOR, {COREDNS_QUERIES: log(broken, now_and_then, inside())})


def test_one_log_in_two_files_counts_once() -> None:
    asked = [*failing(), *outside(60, "NOERROR", start=0.2), *inside()]
    lines = [log(asked, source=source) for source in ("a", "b")]
    [finding] = run(DETECTOR, {COREDNS_QUERIES: pl.concat(lines)})
    assert (figures(finding)["failed queries"], figures(finding)["forwarded queries"]) == (20, 40)


def test_silent_on_errors_alone_that_are_all_of_one_domain() -> None:
    given = {COREDNS_ERRORS: errors(error(i, f"{i}.broken.test") for i in range(10))}
    assert not run(DETECTOR, given)
    assert "authority problem" in remarks(DETECTOR, given)[0]


def test_silent_where_names_of_the_cluster_fail_too() -> None:
    given = {COREDNS_QUERIES: log(failing(), inside(20, NO_REPLY)), COREDNS_ERRORS: errors_of(failing())}
    banner = rows(COREDNS_EVENTS, {"time": 3, "kind": "banner", "text": "CoreDNS-1.13.1"})
    assert not run(DETECTOR, given)
    [remark] = remarks(DETECTOR, given | {COREDNS_EVENTS: banner})
    assert "CoreDNS itself was in trouble; it started 1 times meanwhile" in remark


def test_silent_on_queries_that_never_reach_coredns() -> None:
    """A capture of clients alone: nobody knows where what is unanswered was lost."""
    lost = [row for i in range(30) for row in exchange(i, f"{i}.{DOMAINS[i % 4]}", None)]
    alone = {DNS_MESSAGES: capture(lost, inside(60))}
    assert not run(DETECTOR, alone)
    assert not run(DETECTOR, alone | {COREDNS_QUERIES: log(inside(60))})


def test_silent_on_servfail_in_a_capture_without_a_sign_of_the_cluster() -> None:
    given = {DNS_MESSAGES: capture(outside(20, "SERVFAIL"))}
    assert not run(DETECTOR, given)
    assert "neither CoreDNS's own queries nor its log" in remarks(DETECTOR, given)[0]
    assert run(DETECTOR, {DNS_MESSAGES: capture(outside(20, "SERVFAIL"), outside(20, "NOERROR"), inside())})


def test_silent_on_failures_of_reverse_names_and_of_the_loop_probe() -> None:
    reverse = [row for i in range(30) for row in exchange(i * 0.3, f"{i}.2.0.192.in-addr.arpa", "SERVFAIL")]
    probe = [error(i, f"{i}233371635671670559.{i}516366661702820294", qtype="HINFO") for i in range(30)]
    assert not run(DETECTOR, {COREDNS_ERRORS: errors(probe)})
    assert not run(DETECTOR, {COREDNS_QUERIES: log(reverse, inside()), COREDNS_ERRORS: errors(probe)})


def test_silent_on_the_cured_system() -> None:
    assert not run(DETECTOR, logged(outside(60, "NOERROR"), outside(20, "NXDOMAIN"), inside()))
    assert not run(DETECTOR, {DNS_MESSAGES: capture(forwarded(RISE, 1000))})


@pytest.mark.parametrize("table", [DNS_MESSAGES, COREDNS_QUERIES, COREDNS_ERRORS])
def test_silent_on_no_rows(table: Table) -> None:
    assert not run(DETECTOR, {table: empty(table).lazy()})


def test_a_log_that_leaves_successes_out_tells_no_share() -> None:
    denied = [row for i in range(120) for row in exchange(i * 0.05, f"{i}.example.com.{INSIDE}", "NXDOMAIN")]
    [finding] = run(DETECTOR, logged(failing(), denied))
    assert "failed share of forwarded queries" not in figures(finding)
    assert "%" not in finding.summary
    assert not run(DETECTOR, logged(failing(9), denied))


def test_a_log_without_times_has_a_finding_without_a_window() -> None:
    given = {COREDNS_QUERIES: log(failing(), outside(60, "NOERROR"), inside(), timed=False)}
    [finding] = run(DETECTOR, given)
    assert (finding.start, finding.end, finding.evidence.series) == (None, None, ())
    assert finding.summary.startswith("20 queries that CoreDNS hands on failed (25% of them)")


def test_the_domain_of_the_cluster_is_learned() -> None:
    names = [f"{name}.shop.svc.prod.internal" for name in ("web", "cart", "orders")]
    within = [row for i in range(30) for row in exchange(i / 3, names[i % 3], NO_REPLY if i % 2 else "NOERROR")]
    given = {COREDNS_QUERIES: log(failing(), outside(40, "NOERROR"), within)}
    assert not run(DETECTOR, given)
    assert "so did 15 of 30 for names of the cluster" in remarks(DETECTOR, given)[0]


def test_a_failure_of_the_cluster_among_many_is_no_answer_of_it() -> None:
    given = {COREDNS_QUERIES: log(failing(), inside(9), inside(1, NO_REPLY)), COREDNS_ERRORS: errors_of(failing())}
    [finding] = run(DETECTOR, given)
    assert figures(finding)["cluster-zone answers meanwhile"] == 9


def test_a_capture_tells_two_upstreams_apart() -> None:
    made = exchange(0, INSIDE, "NOERROR", server=COREDNS) + exchange(60, INSIDE, "NOERROR")
    for place, server in enumerate((UPSTREAM, OTHER)):
        for i in range(25):
            name, rcode = f"{i}.zone{place}{i // 2 % 4}.com", None if i % 2 else "NOERROR"
            made += exchange(i * 0.3 + place * 0.1, name, rcode, client=COREDNS, server=server)
    both = run(DETECTOR, {DNS_MESSAGES: capture(made)})
    assert [(one.subject, figures(one)["upstream queries"]) for one in both] == [(UPSTREAM, 25), (OTHER, 25)]


def test_two_upstreams_are_two_findings() -> None:
    """A stub domain's server fails besides; each has its own names."""
    corp = [row for i in range(30) for row in exchange(i * 0.3, f"{i}.corp{i % 3}.test", NO_REPLY, after=2)]
    stub = errors(error(i * 0.3 + 2, f"{i}.corp{i % 3}.test", upstream=OTHER) for i in range(30))
    given = logged(failing(), corp, outside(30, "NOERROR", start=0.2), inside())
    ours = errors_of(failing())
    both = run(DETECTOR, given | {COREDNS_ERRORS: pl.concat([ours, stub])})
    assert {(one.subject, figures(one)["failed queries"]) for one in both} == {(UPSTREAM, 20), (OTHER, 30)}


def test_upstreams_that_are_asked_for_the_same_names_are_one_subject() -> None:
    failed = failing()
    twice = [error(i, f"{i}.{DOMAINS[i % 4]}", upstream="10.0.0.3") for i in range(20)]
    given = logged(failed, inside())
    [finding] = run(DETECTOR, given | {COREDNS_ERRORS: pl.concat([given[COREDNS_ERRORS], errors(twice)])})
    assert finding.subject == "10.0.0.2, 10.0.0.3"


def test_windows_of_one_upstream_apart_by_five_quiet_minutes_are_two_findings() -> None:
    near = logged(failing(), failing(start=300, port=41000), inside(400))
    far = logged(failing(), failing(start=330, port=41000), inside(400))
    assert [len(run(DETECTOR, given)) for given in (near, far)] == [1, 2]


def test_what_a_socket_sends_again_counts_once_but_waits_again() -> None:
    once = failing(10)
    again = [dict(row, time=row["time"] + 5) for row in once]
    [finding] = run(DETECTOR, logged(once, again, inside()))
    assert (figures(finding)["failed queries"], figures(finding)["seconds waited"]) == (10, 40)


@pytest.mark.parametrize(("count", "severity"), [(59, Severity.MEDIUM), (60, Severity.HIGH)])
def test_waiting_of_five_minutes_is_severe(count: int, severity: Severity) -> None:
    """Six seconds of CoreDNS are five of a client, who has given up by then."""
    [finding] = run(DETECTOR, logged(failing(count, after=6, every=0.1), inside()))
    assert finding.severity is severity
    assert figures(finding)["seconds waited"] == 5 * count


def test_log_and_capture_count_each_query_once_and_the_log_is_the_witness() -> None:
    seen = [row for i in range(20) for row in exchange(i * 0.5, f"{i}.{DOMAINS[i % 4]}", None, dns_id=i)]
    known = [row for i in range(20) for row in exchange(i * 0.5, f"{i}.{DOMAINS[i % 4]}", NO_REPLY, after=2, dns_id=i)]
    fine = outside(40, "NOERROR", start=0.2)
    early = [row for i in range(6) for row in exchange(i * 0.5, f"{i}.lost.test", None, dns_id=900 + i)]
    around = inside(40)
    given = {DNS_MESSAGES: capture(seen, fine, early, around), **logged(known, fine, around)}
    [finding] = run(DETECTOR, given)
    told = figures(finding)
    assert (told["failed queries"], told["lost before CoreDNS"], told["in CoreDNS's log"]) == (20, 6, 20)
    assert "its log holds 20 of the queries that a capture shows unanswered, and lacks 6" in finding.confidence_reason


def test_what_clients_were_told_beside_a_log_is_not_counted_again() -> None:
    names = [f"{i}.{DOMAINS[i % 4]}" for i in range(20)]
    told = [row for i, name in enumerate(names) for row in exchange(i * 0.5, name, "SERVFAIL", after=2.001, dns_id=i)]
    lines = [row for i, name in enumerate(names) for row in exchange(i * 0.5, name, NO_REPLY, after=2, dns_id=i)]
    around = inside(40)
    [finding] = run(DETECTOR, {DNS_MESSAGES: capture(told, around), **logged(lines, around)})
    assert (figures(finding)["failed queries"], figures(finding)["seconds waited"]) == (20, 40)


def test_says_what_a_cache_and_shorter_search_lists_would_have_spared() -> None:
    asked = [row for i in range(60) for row in exchange(i * 0.1, f"api.{DOMAINS[i % 4]}", "NOERROR", after=0.02)]
    [finding] = run(DETECTOR, logged(failing(), asked, inside()))
    assert finding.saving is not None
    assert (finding.saving.fix, finding.saving.observed, finding.saving.modelled) == ("cache 30", 80, 24)
    domains = ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "ec2.internal")
    names = [(i, f"api.{DOMAINS[i]}.{domain}") for i in range(4) for domain in domains]
    walked = [row for i, name in names for row in exchange(i, name, "NXDOMAIN", after=0.01)]
    plain = [row for i in range(4) for row in exchange(i + 0.1, f"api.{DOMAINS[i]}", "NOERROR")]
    [finding] = run(DETECTOR, logged(failing(), walked, plain, inside()))
    [chains] = finding.alternatives
    assert (chains.fix, chains.observed - chains.modelled) == ("no search chains", 4)


def test_the_evidence_carries_the_finding_and_unrelated_rows_change_nothing() -> None:
    bad, good = failing(), [*outside(60, "NOERROR", start=0.2), *inside(30)]
    [finding] = run(DETECTOR, logged(bad, good))
    assert not run(DETECTOR, logged(good))
    calm = [row for i in range(250) for row in exchange(3600 + i, INSIDE, "NOERROR", client="10.0.0.99")]
    later = outside(250, "NOERROR", start=3600, every=1, client="10.0.0.99", port=42000)
    [again] = run(DETECTOR, logged(bad, good, calm, later))
    assert again == finding


def test_errors_alone_are_severe_by_the_time_that_coredns_waits() -> None:
    made = [error(i / 20, f"{i}.{DOMAINS[i % 4]}") for i in range(150)]
    for count, severity in ((149, Severity.MEDIUM), (150, Severity.HIGH)):
        [finding] = run(DETECTOR, {COREDNS_ERRORS: errors(made[:count])})
        assert finding.severity is severity


def test_quotes_frames_of_the_upstream_beside_lines_of_the_log() -> None:
    both = forwarded(RISE, 25)
    clients = [row for row in both if UPSTREAM not in (row["src"], row["dst"])]
    lines = log([row for row in clients if row["dns_id"] in {one["dns_id"] for one in clients if one["response"]}])
    [finding] = run(
        DETECTOR,
        {
            DNS_MESSAGES: capture(both),
            COREDNS_QUERIES: lines,
            COREDNS_ERRORS: errors(error(10 + i / 10, f"{i}.{DOMAINS[i % 4]}") for i in range(80)),
        },
    )
    assert {record.source for record in finding.evidence.records} == {"node.pcap", "coredns.log"}


def test_quotes_an_error_and_the_first_and_last_failure() -> None:
    [finding] = run(DETECTOR, logged(failing(), inside()))
    times = [record.time for record in finding.evidence.records]
    assert times[0] == at(2)
    assert {at(0), at(9.5)} <= {one for one in times if one is not None}
    assert sum(finding.evidence.series[0].values) == 20
