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
        "complete chains": 20,
        "broken chains": 0,
        "suffixes per chain": 4,
        "added seconds": pytest.approx(4.0),
        "wasted bytes": 16_000,
        "lookups that rely on the search list": 0,
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
    names, domains, kinds = finding.evidence.tables
    assert names.rows == (("a.example.com", 9, 18, 72, 14_400), ("b.example.com", 3, 6, 24, 4_800))
    assert [row[1] for row in domains.rows] == list(LIST)
    assert kinds.rows == (("external", "the search list", 24, 0, 96),)


def test_broken_chains_and_other_kinds_are_told_apart() -> None:
    lost = [row for row in walk(300, "api.example.com") if ".shop." not in row["name"]]
    typo = walk(310, "paymnets", ends="NXDOMAIN")
    inside = walk(320, "payments.billing", found_under="svc.cluster.local")
    turned = [row for qtype in ("A", "AAAA") for row in exchange(330, "a.b.c.d.e.nosuch", qtype=qtype)]
    turned += walk(330.002, "a.b.c.d.e.nosuch")[:16]
    cut = walk(340, "new.example.com")[:8]
    [finding] = run(DETECTOR, seen(lookups(10), lost, typo, inside, turned, cut))
    told = figures(finding)
    assert (told["complete chains"], told["broken chains"]) == (20, 2)
    assert (told["lookups walked"], told["wasted queries"], told["in-cluster wasted queries"]) == (11, 86, 2)
    assert finding.evidence.tables[2].rows == (
        ("external", "the search list", 20, 2, 86),
        ("in-cluster-search", "the search list", 2, 0, 2),
        ("typo-walk", "the search list", 2, 0, 8),
        ("typo-walk", "the name as it stands", 2, 0, 8),
        ("open", "the search list", 0, 2, 4),
    )


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


def test_verify_shows_commands_for_the_inputs_and_the_cluster() -> None:
    [captured] = run(DETECTOR, INCIDENT)
    assert captured.verify[0].startswith("tshark -r node.pcap")
    assert "ip.dst == 10.0.0.7" in captured.verify[0]
    assert "status.podIP=10.0.0.7" in captured.verify[1]
    assert ".spec.dnsConfig" in captured.verify[1]
    assert "cat /etc/resolv.conf; ls /lib/ld-musl-*" in captured.verify[2]
    [logged] = run(DETECTOR, {COREDNS_QUERIES: log(lookups(10), source="my log")})
    assert logged.verify[0] == "zcat -f < 'my log' | grep -F -- ' 10.0.0.7:' | grep -c ' NXDOMAIN '"


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


def test_four_walks_are_below_the_threshold_whatever_their_share() -> None:
    four = [row for i in range(4) for row in walk(i * 10, "api.example.com", qtypes="A")]
    assert run(DETECTOR, seen(four)) == []


@pytest.mark.parametrize(
    ("others", "severity"),
    [
        (0, Severity.HIGH),
        (60, Severity.HIGH),  # 80 of 160
        (61, Severity.MEDIUM),
        (700, Severity.MEDIUM),  # 80 of 800
        (701, Severity.LOW),
    ],
)
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


def test_no_denials_no_finding() -> None:
    answered = INCIDENT[DNS_MESSAGES].filter(~pl.col("response") | (pl.col("rcode") != "NXDOMAIN"))
    assert run(DETECTOR, {DNS_MESSAGES: answered}) == []
    bare = INCIDENT[DNS_MESSAGES].filter(~pl.col("name").str.ends_with(".shop.svc.cluster.local"))
    assert run(DETECTOR, {DNS_MESSAGES: bare}) == []


def test_unrelated_rows_change_no_figure_but_the_number_of_queries() -> None:
    noise = [row for i in range(500) for row in exchange(i / 7, f"{i}.example.net", "NOERROR", client="10.0.9.9")]
    noise += [row for i in range(500) for row in exchange(i / 9, f"{i}.nosuch.example", client="10.0.9.8")]
    [before] = run(DETECTOR, seen(lookups(10, step=0.1)))
    [after] = run(DETECTOR, seen(lookups(10, step=0.1), noise))
    assert figures(after) == figures(before) | {"queries in the evidence": 1100}
    assert (after.saving, after.alternatives) == (before.saving, before.alternatives)
    assert (after.summary, after.severity, after.remedies) == (before.summary, before.severity, before.remedies)
