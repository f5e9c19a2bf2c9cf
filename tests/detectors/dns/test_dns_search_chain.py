"""Search domains multiply DNS lookups."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
import pytest

from analyzer.detectors.dns.dns_search_chain import DETECTOR
from analyzer.frames import COREDNS_QUERIES, DNS_MESSAGES, Table, empty
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, remarks, run
from tests.lookups import LIST, POD, Row, capture, exchange, log, walk

Given = dict[Table, pl.LazyFrame]


def seen(*parts: Iterable[Row]) -> Given:
    return {DNS_MESSAGES: capture(*parts)}


def lookups(count: int, base: str = "api.example.com", every: float = 10, **more: object) -> list[Row]:
    return [row for i in range(count) for row in walk(i * every, base, **more)]  # type: ignore[arg-type]


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


INCIDENT = seen(
    lookups(10, step=0.1),
    exchange(55, "payments.shop.svc.cluster.local", "NOERROR"),
    exchange(56, "other.example.com", "NOERROR", client="10.0.0.8"),
)


def test_fires_on_a_client_that_walks_its_search_list() -> None:
    [finding] = run(DETECTOR, INCIDENT)
    assert finding.subject == POD
    assert finding.summary == (
        "80 of 101 queries by 10.0.0.7 (namespace shop) asked for outside names under search domains: "
        "10 lookups walked 4 domains each."
    )
    assert figures(finding) == {
        "lookups walked": 10,
        "wasted queries": 80,
        "in-cluster wasted queries": 0,
        "queries of the client": 101,
        "queries in the evidence": 102,
        "suffixes per chain": 4,
        "added seconds": pytest.approx(4.0),
        "wasted bytes": 16_000,
    }
    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.HIGH)
    assert (finding.start, finding.end) == (at(0), at(90.4))
    assert finding.stories == (1,)


def test_quotes_the_first_walk_whole_the_last_one_and_some_between() -> None:
    [finding] = run(DETECTOR, INCIDENT)
    numbers = [record.number for record in finding.evidence.records]
    assert numbers == sorted(set(numbers))
    assert {1, 5, 9, 13, 17} <= set(numbers)
    assert max(numbers) > 180
    assert {record.source for record in finding.evidence.records} == {"node.pcap"}
    assert all(record.time is not None for record in finding.evidence.records)


def test_tables_name_the_costliest_names_and_the_search_list() -> None:
    [finding] = run(DETECTOR, seen(lookups(3, "b.example.com"), lookups(9, "a.example.com", every=7)))
    names, domains = finding.evidence.tables
    assert names.rows == (("a.example.com", 9, 18, 72, 14_400), ("b.example.com", 3, 6, 24, 4_800))
    assert [row[1] for row in domains.rows] == list(LIST)


def test_says_what_each_way_out_would_have_saved() -> None:
    [finding] = run(DETECTOR, INCIDENT)
    assert finding.saving is not None
    ways = {way.fix: (way.observed, way.modelled) for way in (finding.saving, *finding.alternatives)}
    assert finding.saving.fix == "ndots:1"
    assert ways == {
        "ndots:1": (100, 20),
        "ndots:2": (100, 20),
        "final dot": (100, 20),
        "autopath": (100, 20),
        "NodeLocal DNSCache": (80, 80),
    }
    assert all(way.assumption and way.formula for way in (finding.saving, *finding.alternatives))


def test_two_dots_do_not_help_names_of_one_dot() -> None:
    [finding] = run(DETECTOR, seen(lookups(10, "example.com")))
    ways = {way.fix: way.modelled for way in finding.alternatives}
    assert ways["ndots:2"] == 100


@pytest.mark.parametrize(("ttl", "missed"), [(5, 80), (20, 40), (300, 32)])
def test_the_cache_on_a_node_saves_what_repeats_within_a_denials_life(ttl: int, missed: int) -> None:
    """Ten lookups ten seconds apart; a denial is kept for its own life, but never over 30 s."""
    [finding] = run(DETECTOR, seen(lookups(10, negative_ttl=ttl)))
    [saving] = [way for way in finding.alternatives if way.fix == "NodeLocal DNSCache"]
    assert (saving.observed, saving.modelled) == (80, missed)


def test_advises_two_dots_where_names_like_svc_ns_are_used() -> None:
    short = walk(200, "payments.billing", found_under="svc.cluster.local")
    [finding] = run(DETECTOR, seen(lookups(10), short))
    assert finding.saving is not None
    assert finding.saving.fix == "ndots:2"
    assert 'value: "2"' in finding.remedies[0].snippet
    assert "payments.billing" in finding.remedies[0].text
    assert "still searched first" in finding.remedies[0].text


def test_advises_two_dots_where_a_pod_of_a_stateful_set_is_named() -> None:
    found = exchange(200, "db-0.db.shop.svc.cluster.local", "NOERROR")
    [finding] = run(DETECTOR, seen(lookups(10), found))
    assert finding.saving is not None
    assert finding.saving.fix == "ndots:2"


def test_says_which_names_would_break_on_musl() -> None:
    long = walk(200, "payments.shop.svc", found_under="cluster.local")
    [finding] = run(DETECTOR, seen(lookups(10), long))
    assert "payments.shop.svc" in finding.remedies[0].text
    assert "musl does not" in finding.remedies[0].text
    assert figures(finding)["in-cluster wasted queries"] == 4
    assert figures(finding)["wasted queries"] == 80


def test_verify_shows_commands_for_the_inputs_and_the_cluster() -> None:
    [captured] = run(DETECTOR, INCIDENT)
    assert captured.verify[0].startswith("tshark -r node.pcap")
    assert "ip.dst == 10.0.0.7" in captured.verify[0]
    assert ".spec.dnsConfig" in captured.verify[-1]
    [logged] = run(DETECTOR, {COREDNS_QUERIES: log(lookups(10), source="my log")})
    assert logged.verify[0] == "grep -F ' 10.0.0.7:' 'my log' | grep -c ' NXDOMAIN '"


def test_fires_from_a_log_alone_with_the_time_at_the_server_as_lower_bound() -> None:
    [finding] = run(DETECTOR, {COREDNS_QUERIES: log(lookups(10, step=0.1))})
    assert figures(finding)["wasted queries"] == 80
    assert figures(finding)["added seconds"] == pytest.approx(10 * 4 * 0.001)
    assert finding.confidence is Confidence.HIGH


def test_fires_from_a_log_without_times_at_medium_confidence() -> None:
    [finding] = run(DETECTOR, {COREDNS_QUERIES: log(lookups(10), timed=False)})
    assert figures(finding)["wasted queries"] == 80
    assert (finding.start, finding.end) == (None, None)
    assert finding.confidence is Confidence.MEDIUM


def test_a_log_of_denials_alone_is_believed_less() -> None:
    denials = [row for i in range(10) for row in walk(i * 10, "api.example.com")[:16]]
    [finding] = run(DETECTOR, {COREDNS_QUERIES: log(denials)})
    assert figures(finding)["lookups walked"] == 10
    assert finding.confidence is Confidence.MEDIUM


def test_no_share_is_told_of_a_log_that_leaves_successes_out() -> None:
    denials = [row for i in range(30) for row in walk(i * 10, "api.example.com")[:16]]
    given = {COREDNS_QUERIES: log(denials)}
    [finding] = run(DETECTOR, given)
    assert finding.severity is Severity.MEDIUM
    assert finding.confidence is Confidence.MEDIUM
    assert "240 of 240 logged queries" in finding.summary
    assert any("no share of them is told" in remark for remark in remarks(DETECTOR, given))
    whole = {COREDNS_QUERIES: log(lookups(30))}
    [finding] = run(DETECTOR, whole)
    assert finding.severity is Severity.HIGH
    assert not any("no share" in remark for remark in remarks(DETECTOR, whole))


def test_capture_and_log_of_one_incident_are_one_finding_with_the_captures_counts() -> None:
    rows = lookups(10, step=0.1)
    [finding] = run(DETECTOR, {DNS_MESSAGES: capture(rows), COREDNS_QUERIES: log(rows)})
    [alone] = run(DETECTOR, {DNS_MESSAGES: capture(rows)})
    assert finding.impact == alone.impact
    assert {record.source for record in finding.evidence.records} == {"node.pcap", "coredns.log"}


def test_two_clients_have_a_finding_each_the_costlier_first() -> None:
    other = ("web.svc.cluster.local", *LIST[1:])
    found = run(DETECTOR, seen(lookups(10), lookups(12, client="10.0.0.8", domains=other)))
    assert [finding.subject for finding in found] == ["10.0.0.8", POD]
    assert "(namespace web)" in found[0].summary
    assert figures(found[0])["lookups walked"] == 12


def test_clients_after_the_first_ones_share_a_finding() -> None:
    rows = [lookups(10 + i, client=f"10.0.1.{i}") for i in range(4)]
    found = run(DETECTOR, seen(*rows), max_clients=2)
    assert [finding.subject for finding in found] == ["10.0.1.3", "10.0.1.2", "other clients"]
    assert figures(found[2])["lookups walked"] == 21
    assert [row[0] for row in found[2].evidence.tables[-1].rows] == ["10.0.1.1", "10.0.1.0"]


def test_is_silent_just_below_the_threshold_and_fires_at_it() -> None:
    others = [row for i in range(1000) for row in exchange(i / 10, "example.com", "NOERROR")]
    for walks, fires in ((19, False), (20, True)):
        rows = [row for i in range(walks) for row in walk(i * 10, "api.example.com", qtypes="A")]
        assert bool(run(DETECTOR, seen(rows, others))) is fires


def test_a_share_of_a_tenth_is_the_threshold_for_five_walks() -> None:
    rows = [row for i in range(5) for row in walk(i * 10, "api.example.com", qtypes="A")]
    for others, fires in ((175, True), (176, False)):
        rest = [row for i in range(others) for row in exchange(i / 10, "example.com", "NOERROR")]
        assert bool(run(DETECTOR, seen(rows, rest))) is fires
    four = [row for i in range(4) for row in walk(i * 10, "api.example.com", qtypes="A")]
    assert run(DETECTOR, seen(four)) == []


@pytest.mark.parametrize(("others", "severity"), [(0, Severity.HIGH), (300, Severity.MEDIUM), (2000, Severity.LOW)])
def test_severity_follows_the_wasted_share(others: int, severity: Severity) -> None:
    rest = [row for i in range(others) for row in exchange(i / 10, "example.com", "NOERROR")]
    [finding] = run(DETECTOR, seen(lookups(10), rest))
    assert finding.severity is severity


def test_silent_on_names_that_the_cluster_answers() -> None:
    domains = ("web.svc.cluster.local", *LIST[1:])
    given = seen(lookups(30, "payments.shop", domains=domains, found_under="svc.cluster.local"))
    assert run(DETECTOR, given) == []
    [remark] = remarks(DETECTOR, given)
    assert remark.startswith("60 queries were search steps for names that the cluster itself answers")


def test_silent_on_missing_aaaa_records() -> None:
    rows = [
        row for i in range(50) for row in exchange(i, "api.shop.svc.cluster.local", "NOERROR", qtype="AAAA", answers=0)
    ]
    assert run(DETECTOR, seen(rows)) == []


def test_silent_on_names_that_do_not_exist() -> None:
    rows = [row for i in range(50) for row in exchange(i, f"{i}.nosuch.example.org")]
    assert run(DETECTOR, seen(rows)) == []


def test_silent_on_a_mistyped_name_that_is_searched_for_and_says_so() -> None:
    given = seen(lookups(30, "paymnets", ends="NXDOMAIN"))
    assert run(DETECTOR, given) == []
    [remark] = remarks(DETECTOR, given)
    assert "paymnets" in remark
    assert "exist nowhere" in remark


def test_silent_behind_autopath() -> None:
    rows = [
        row for i in range(50) for row in exchange(i, "api.example.com.shop.svc.cluster.local", "NOERROR", answers=2)
    ]
    assert run(DETECTOR, seen(rows)) == []


def test_silent_on_the_cured_client() -> None:
    rows = [row for i in range(100) for row in exchange(i, "api.example.com", "NOERROR")]
    assert run(DETECTOR, seen(rows)) == []
    assert remarks(DETECTOR, seen(rows)) == []


def test_silent_on_musl_that_asks_dotted_names_as_they_stand() -> None:
    rows = [row for i in range(50) for row in walk(i, "a.b.c.d.example.com", domains=())]
    assert run(DETECTOR, seen(rows)) == []


def test_silent_on_what_coredns_asks_upstream() -> None:
    rows = [exchange(i, "api.example.com", "NOERROR", server="10.0.0.53", after=0.5) for i in range(30)]
    onwards = [walk(i + 0.1, "api.example.com", client="10.0.0.53", server="192.0.2.1", step=0.01) for i in range(30)]
    assert run(DETECTOR, seen(*rows, *onwards)) == []


def test_a_cache_on_the_node_is_told_and_believed_less() -> None:
    given = {COREDNS_QUERIES: log(lookups(30, client="169.254.20.10"))}
    [finding] = run(DETECTOR, given)
    assert finding.confidence is Confidence.LOW
    [remark] = remarks(DETECTOR, given)
    assert "lower bounds" in remark


def test_an_address_of_several_namespaces_is_told() -> None:
    web = ("web.svc.cluster.local", *LIST[1:])
    names = [walk(i, f"{i}.example.com", domains=LIST if i % 2 else web) for i in range(20)]
    [finding] = run(DETECTOR, seen(*names))
    assert "namespace" not in finding.summary
    assert finding.confidence is Confidence.LOW
    [remark] = remarks(DETECTOR, seen(*names))
    assert "(shop, web)" in remark


def test_silent_on_no_rows() -> None:
    for table in (DNS_MESSAGES, COREDNS_QUERIES):
        assert run(DETECTOR, {table: empty(table).lazy()}) == []


def test_the_order_of_the_rows_changes_nothing() -> None:
    frame = INCIDENT[DNS_MESSAGES]
    assert run(DETECTOR, {DNS_MESSAGES: frame.reverse()}) == run(DETECTOR, INCIDENT)
