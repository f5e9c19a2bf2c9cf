"""Queries go to a DNS server that is no longer there."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from math import comb, inf

import polars as pl
import pytest
from msgspec.structs import replace

from analyzer.detectors.dns.dns_backend_blackhole import DETECTOR
from analyzer.detectors.dns.dns_backend_blackhole.ports import Ports, fisher
from analyzer.frames import AUDIT_EVENTS, COREDNS_QUERIES, DNS_MESSAGES, KLOG_LINES, Table, empty
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, remarks, rows, run
from tests.lookups import DNS, POD, Row, capture, exchange, log

Given = dict[Table, pl.LazyFrame]

NAME = "api.example.com"
CHANGE = 100
"""When the server goes."""

_ids = count(1)


def seen(*parts: Iterable[Row], ends: float = 2000) -> Given:
    # Somebody is answered long after, so that the capture goes on where an answer might have come.
    return {DNS_MESSAGES: capture(*parts, exchange(ends, "later.example.com", "NOERROR", client="10.0.0.99"))}


def answered(ports: Iterable[int], start: float, every: float = 1, server: str = DNS) -> list[Row]:
    asked = [exchange(start + i * every, NAME, "NOERROR", port=port, server=server) for i, port in enumerate(ports)]
    return [row for one in asked for row in one]


def lost(ports: Iterable[int], start: float, every: float = 1, tries: int = 2, **more: object) -> list[Row]:
    """Lookups that nobody answers; each socket asks again after 5 s with the same id."""
    made: list[Row] = []
    for i, port in enumerate(ports):
        dns_id = next(_ids)
        for attempt in range(tries):
            made += exchange(start + i * every + 5 * attempt, NAME, None, port=port, dns_id=dns_id, **more)  # type: ignore[arg-type]
    return made


REUSED, FRESH = range(40000, 40008), range(50000, 50030)
INCIDENT = (answered(REUSED, 80), lost(REUSED, CHANGE, every=30), answered(FRESH, CHANGE, every=7))
"""Eight sockets asked before the change and fail after it, for 210 s and a retry; thirty fresh ones are answered."""


def killed(time: float = CHANGE - 2) -> Given:
    pod = {"message": "Killing container with a grace period", "pod": "kube-system/coredns-7fbc4ff6f5-sxkrx"}
    return {KLOG_LINES: rows(KLOG_LINES, pod | {"time": time}, source="kubelet.log")}


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


def test_fires_on_ports_that_were_in_use_before() -> None:
    [finding] = run(DETECTOR, seen(*INCIDENT))
    assert finding.subject == DNS
    assert finding.summary == (
        "8 lookups at 10.96.0.10 failed in every try within 215 s; 1 client waited 80 s for them."
    )
    assert figures(finding) == {
        "unanswered queries": 16,
        "failed lookups": 8,
        "clients": 1,
        "answered lookups from reused ports": 0,
        "answered lookups from fresh ports": 30,
        "window": 215,
        "seconds waited": 80,
    }
    assert (finding.start, finding.end) == (at(CHANGE), at(CHANGE + 215))
    assert (finding.severity, finding.confidence) == (Severity.MEDIUM, Confidence.MEDIUM)
    assert finding.variant == "ipvs-timeout"
    assert finding.stories == (3,)


def test_a_change_before_it_makes_it_sure_and_is_quoted_first() -> None:
    [finding] = run(DETECTOR, seen(*INCIDENT) | killed())
    assert finding.confidence is Confidence.HIGH
    assert finding.evidence.records[0].source == "kubelet.log"
    assert "kube-system/coredns-7fbc4ff6f5-sxkrx was killed before" in finding.confidence_reason


def test_replicas_are_told_where_the_autoscaler_tells_them() -> None:
    text = "Replicas are not as expected : updating kube-system/coredns from 3 to 2"
    scaled = {KLOG_LINES: rows(KLOG_LINES, {"message": text, "text": text, "time": CHANGE - 1})}
    [finding] = run(DETECTOR, seen(*INCIDENT) | scaled)
    assert (figures(finding)["replicas before"], figures(finding)["replicas after"]) == (3, 2)
    kill = killed(CHANGE - 0.5)[KLOG_LINES].with_columns(number=pl.lit(9, pl.Int64))
    [finding] = run(DETECTOR, seen(*INCIDENT) | {KLOG_LINES: pl.concat([scaled[KLOG_LINES], kill])})
    assert (figures(finding)["replicas before"], figures(finding)["replicas after"]) == (3, 2)
    assert [record.source for record in finding.evidence.records[:2]] == ["kubelet.log", "t"]


def test_fires_on_a_change_alone() -> None:
    """Four lookups say nothing about ports, but a server was deleted just before."""
    pod = {"stage": "ResponseComplete", "verb": "delete", "resource": "pods", "namespace": "kube-system", "code": 200}
    deleted = {AUDIT_EVENTS: rows(AUDIT_EVENTS, pod | {"name": "coredns-a-b", "time": CHANGE - 1})}
    few = seen(lost(range(50000, 50004), CHANGE), answered(range(50100, 50104), CHANGE))
    assert not run(DETECTOR, few)
    [finding] = run(DETECTOR, few | deleted)
    assert finding.confidence is Confidence.MEDIUM


def test_fires_on_a_server_that_never_answers_while_clients_ask_again() -> None:
    [finding] = run(DETECTOR, seen(lost(range(50000, 50003), CHANGE)))
    assert (finding.confidence, finding.variant, finding.stories) == (Confidence.LOW, "dead-server", ())
    assert finding.saving is None


def test_silent_where_only_one_direction_was_captured() -> None:
    """Nobody asks again, so they got their answers."""
    given = seen(lost(range(50000, 50020), CHANGE, tries=1))
    assert not run(DETECTOR, given)
    assert "a capture of one direction" in remarks(DETECTOR, given)[0]


@pytest.mark.parametrize(("failed", "found"), [(3, 1), (2, 0)])
def test_threshold_of_failed_lookups(failed: int, found: int) -> None:
    assert len(run(DETECTOR, seen(lost(range(50000, 50000 + failed), CHANGE)))) == found


def test_thresholds_of_the_ports() -> None:
    [ports] = [figures(one) for one in run(DETECTOR, seen(*INCIDENT))]
    assert ports["answered lookups from fresh ports"] == 30
    chance = 1 / comb(38, 8)
    assert run(DETECTOR, seen(*INCIDENT), p_value=chance * 1.01)
    assert not run(DETECTOR, seen(*INCIDENT), p_value=chance * 0.99)
    some_fresh_fail = (*INCIDENT, lost(range(60000, 60010), CHANGE, every=10))
    assert run(DETECTOR, seen(*some_fresh_fail), risk_ratio=4)
    assert not run(DETECTOR, seen(*some_fresh_fail), risk_ratio=4.01)


@pytest.mark.parametrize(("before", "reused"), [(300, 8), (301, 0)])
def test_a_port_is_in_use_for_as_long_as_ipvs_keeps_its_server(before: float, reused: int) -> None:
    """All eight were last heard of so long before the window."""
    given = seen(answered(REUSED, CHANGE - before, every=0), lost(REUSED, CHANGE), answered(FRESH, CHANGE, every=0.1))
    [finding] = run(DETECTOR, given | killed())
    assert finding.evidence.tables[0].rows[0] == ("in use before", reused, 0)


def test_silent_where_failures_do_not_depend_on_the_port() -> None:
    """An overloaded server: half of all lookups fail, whatever their port."""
    given = seen(
        *(answered(REUSED, 80), lost(range(40000, 40004), CHANGE), answered(range(40004, 40008), CHANGE)),
        *(lost(range(50000, 50010), CHANGE), answered(range(50010, 50020), CHANGE)),
    )
    assert not run(DETECTOR, given)
    assert "an overloaded server" in remarks(DETECTOR, given)[0]


def test_silent_on_lookups_of_which_a_later_try_is_answered() -> None:
    again = [
        row
        for port in REUSED
        for row in (
            *exchange(CHANGE, NAME, None, port=port, dns_id=port),
            *exchange(CHANGE + 5, NAME, "NOERROR", port=port, dns_id=port),
        )
    ]
    assert not run(DETECTOR, seen(answered(REUSED, 80), again, answered(FRESH, CHANGE)) | killed())


def test_silent_on_the_cured_system() -> None:
    assert not run(DETECTOR, seen(answered(REUSED, 80), answered(REUSED, CHANGE), answered(FRESH, CHANGE)) | killed())


def test_silent_on_no_rows() -> None:
    assert not run(DETECTOR, {DNS_MESSAGES: empty(DNS_MESSAGES).lazy()})


@pytest.mark.parametrize(("time", "found"), [(CHANGE - 310, 1), (CHANGE - 311, 0), (CHANGE + 10, 1), (CHANGE + 11, 0)])
def test_a_change_counts_up_to_five_minutes_before(time: float, found: int) -> None:
    few = seen(lost(range(50000, 50004), CHANGE), answered(range(50100, 50104), CHANGE))
    assert len(run(DETECTOR, few | killed(time))) == found


@pytest.mark.parametrize(
    ("last", "variant", "stories"),
    [
        (1, "lameduck", ()),
        (2, "conntrack-unreplied", (5,)),
        (30, "conntrack-unreplied", (5,)),
        (115, "conntrack-stream", (5,)),
        (180, "conntrack-stream", (5,)),
        (300, "ipvs-timeout", (3,)),
        (600, "backend-kept", (4,)),
    ],
)
def test_the_length_of_the_window_tells_what_kept_the_server(last: float, variant: str, stories: tuple[int]) -> None:
    """The last lookup begins so long after the change, and its second try is 5 s later."""
    every = last / (len(REUSED) - 1)
    given = seen(answered(REUSED, 80), lost(REUSED, CHANGE, every=every), answered(FRESH, CHANGE, every=last / 30))
    [finding] = run(DETECTOR, given)
    assert (finding.variant, finding.stories) == (variant, stories)
    text = "Replicas are not as expected : updating kube-system/coredns from 3 to 2"
    scaled = {KLOG_LINES: rows(KLOG_LINES, {"message": text, "text": text, "time": CHANGE - 1})}
    [finding] = run(DETECTOR, given | scaled)
    assert finding.stories == tuple(sorted({*stories, 5}))


def test_a_capture_that_ends_meanwhile_tells_no_length() -> None:
    [finding] = run(DETECTOR, seen(*INCIDENT, ends=CHANGE + 230))
    assert (finding.variant, finding.stories) == ("", (3, 4, 5))
    assert "the capture ends while it lasts" in finding.why


def test_two_servers_are_two_findings() -> None:
    other = [lost(REUSED, CHANGE, every=30, server="10.96.0.11"), answered(REUSED, 80, server="10.96.0.11")]
    both = run(DETECTOR, seen(*INCIDENT, *other, answered(FRESH, CHANGE, every=7, server="10.96.0.11")))
    assert [one.subject for one in both] == [DNS, "10.96.0.11"]


def test_windows_five_minutes_apart_are_two_findings() -> None:
    again = lost(range(60000, 60003), CHANGE + 215 + 300)
    near = lost(range(60000, 60003), CHANGE + 215 + 299)
    assert len(run(DETECTOR, seen(lost(REUSED, CHANGE, every=30), again))) == 2
    assert len(run(DETECTOR, seen(lost(REUSED, CHANGE, every=30), near))) == 1


def test_says_what_would_have_failed_without_stale_entries() -> None:
    [finding] = run(DETECTOR, seen(*INCIDENT, lost(range(60000, 60001), CHANGE)))
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (9, 1)
    assert finding.evidence.tables[0].rows == (("in use before", 8, 0), ("fresh", 1, 30))


def test_a_log_that_lacks_them_shows_that_they_never_arrived() -> None:
    arrived = [*answered(REUSED, 80), *answered(FRESH, CHANGE, every=7)]
    given = seen(arrived, lost(REUSED, CHANGE, every=20))
    [finding] = run(DETECTOR, given | {COREDNS_QUERIES: log(arrived)})
    assert (figures(finding)["lost before CoreDNS"], figures(finding)["lost on the way back"]) == (16, 0)
    assert "never reached CoreDNS's log" in finding.confidence_reason


def test_waiting_of_five_minutes_is_severe() -> None:
    many = lost(range(40000, 40030), CHANGE, every=7)
    given = seen(answered(range(40000, 40030), 60, every=0.5), many, answered(FRESH, CHANGE, every=7))
    [finding] = run(DETECTOR, given)
    assert (figures(finding)["seconds waited"], finding.severity) == (300, Severity.HIGH)
    assert run(DETECTOR, given, high_seconds=301)[0].severity is Severity.MEDIUM


@pytest.mark.parametrize(
    ("table", "p"), [((8, 0, 0, 30), 1 / comb(38, 8)), ((1, 1, 1, 1), 5 / 6), ((0, 5, 5, 0), 1.0), ((0, 0, 0, 0), 1.0)]
)
def test_the_exact_test(table: tuple[int, int, int, int], p: float) -> None:
    assert fisher(*table) == pytest.approx(p)


def test_the_risk_ratio() -> None:
    assert Ports(8, 0, 0, 30).risk_ratio == inf
    assert Ports(4, 4, 5, 15).risk_ratio == 2
    assert Ports(0, 0, 5, 15).risk_ratio == 1
    assert Ports(0, 8, 0, 30).risk_ratio == 1


def test_one_socket_that_asks_for_one_name_again_and_again_makes_many_lookups() -> None:
    """A pool of sockets lives as long as its program; A and AAAA that leave together are one lookup."""
    pool = [row for i in range(6) for row in lost((40000,), CHANGE + 20 * i)]
    both = [
        row
        for qtype, dns_id in (("A", 901), ("AAAA", 902))
        for tries in (0, 5)
        for row in exchange(CHANGE + 130 + tries, NAME, None, qtype=qtype, dns_id=dns_id, port=40000)
    ]
    [finding] = run(DETECTOR, seen(answered((40000,), 80), pool, both) | killed())
    assert (figures(finding)["failed lookups"], figures(finding)["seconds waited"]) == (7, 70)


def test_clients_are_listed_by_their_failures() -> None:
    other = lost(REUSED[:2], CHANGE, client="10.0.0.8")
    [finding] = run(DETECTOR, seen(*INCIDENT, other))
    assert finding.evidence.tables[1].rows == ((POD, 8, 16, NAME), ("10.0.0.8", 2, 4, NAME))


def test_silent_on_queries_that_reached_their_server_and_failed_behind_it() -> None:
    """CoreDNS hands them on to an upstream that answers nothing: the pod's queries are in the capture too."""
    pod, upstream = "10.244.1.9", "10.0.12.2"
    # Asked for under names of their own, so that what is handed on can be told from one another.
    failed = [
        row | {"name": f"{row['src_port']}.example.com"} for row in lost(range(40000, 40008), CHANGE, every=30, tries=2)
    ]
    handed_on = [
        row
        for one in failed
        for row in exchange(one["time"] + 0.0005, one["name"], None, client=pod, server=upstream, port=33000)
    ]
    known = [row for i in range(20) for row in exchange(i, f"{i}.example.net", "NOERROR", client=pod, server=upstream)]
    served = [row for i in range(20) for row in exchange(i - 0.0005, f"{i}.example.net", "NOERROR", after=0.003)]
    given = seen(failed, handed_on, known, served)
    assert not run(DETECTOR, given)
    assert "16 queries that clients were not answered had reached their server" in " ".join(remarks(DETECTOR, given))
    assert run(DETECTOR, seen(failed, known, served)), "without what was handed on they went into a hole"


def test_the_evidence_carries_the_finding_and_unrelated_rows_change_nothing() -> None:
    before, failed, fresh = INCIDENT
    [finding] = run(DETECTOR, seen(*INCIDENT) | killed())
    assert not run(DETECTOR, seen(before, fresh) | killed()), "without the failed lookups"
    assert not run(DETECTOR, seen(failed, fresh)), "without the change and the use of the ports before it"
    told = [
        answer
        for row in failed
        for answer in exchange(row["time"], NAME, "NOERROR", port=row["src_port"], dns_id=row["dns_id"])
    ]
    assert not run(DETECTOR, seen(before, told, fresh) | killed()), "where the tries are answered"
    noise = [
        row
        for i in range(500)
        for row in exchange(
            60 + i * 0.7,
            f"{i}.example.net",
            ("NOERROR", "NXDOMAIN", "SERVFAIL")[i % 3],
            client=f"10.0.9.{i % 7}",
            port=30000 + i,
            server="10.96.0.11",
        )
    ]
    [again] = run(DETECTOR, seen(*INCIDENT, noise) | killed())
    assert _without_places(again) == _without_places(finding)


def _without_places(finding: Finding) -> Finding:
    """Frames have other numbers among others."""
    return replace(finding, evidence=replace(finding.evidence, records=()))
