"""Where the thresholds of dns-upstream-throttle lie, and what only looks like it."""

from __future__ import annotations

import polars as pl
import pytest

from analyzer.detectors.dns.dns_upstream_throttle import DETECTOR
from analyzer.frames import (
    COREDNS_ERRORS,
    COREDNS_EVENTS,
    COREDNS_QUERIES,
    DNS_MESSAGES,
    NO_REPLY,
    Table,
    empty,
)
from analyzer.model import Confidence, Severity
from tests.build import at, remarks, rows, run
from tests.detectors.dns.upstreams import (
    COREDNS,
    DOMAINS,
    INSIDE,
    OTHER,
    RISE,
    UPSTREAM,
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
from tests.lookups import Row, capture, exchange, log


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
    back = [row for i in range(3) for row in exchange(i * 0.5, f"{i}.back.test", "NOERROR", dns_id=800 + i)]
    early = [row for i in range(6) for row in exchange(i * 0.5, f"{i}.lost.test", None, dns_id=900 + i)]
    around = inside(40)
    given = {DNS_MESSAGES: capture(seen, fine, early, _asked(back), around)}
    [finding] = run(DETECTOR, given | logged(known, fine, back, around))
    told = figures(finding)
    assert told["failed queries"] == 20
    fates = ("lost before CoreDNS", "lost on the way back", "failed in CoreDNS")
    assert tuple(told[fate] for fate in fates) == (6, 3, 20)
    assert (
        "6 of the lost queries never reached CoreDNS's log, 3 were answered there, 20 failed there"
        in finding.confidence_reason
    )


def _asked(made: list[Row]) -> list[Row]:
    return [row for row in made if not row["response"]]


def test_a_log_of_another_time_is_no_witness() -> None:
    seen = forwarded(RISE, 30)
    later = outside(40, "NOERROR", start=9000)
    [finding] = run(DETECTOR, {DNS_MESSAGES: capture(seen), COREDNS_QUERIES: log(later)})
    assert "lost before CoreDNS" not in figures(finding)


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
