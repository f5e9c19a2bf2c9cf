"""Whether ndots can be lowered: names that rely on the search list, and resolvers that do not fall back to it."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
import pytest

from analyzer.detectors.dns.dns_search_chain import DETECTOR
from analyzer.frames import COREDNS_QUERIES, DNS_MESSAGES
from analyzer.model import EvidenceTable, Finding, Saving
from tests.build import run
from tests.lookups import LIST, POD, Row, capture, exchange, log, walk


def lookups(count: int, base: str = "api.example.com", every: float = 10, **more: object) -> list[Row]:
    return [row for i in range(count) for row in walk(i * every, base, **more)]  # type: ignore[arg-type]


def found(*parts: Iterable[Row]) -> Finding:
    [finding] = run(DETECTOR, {DNS_MESSAGES: capture(*parts)})
    return finding


def way(finding: Finding, fix: str) -> Saving:
    assert finding.saving is not None
    [one] = [one for one in (finding.saving, *finding.alternatives) if one.fix == fix]
    return one


def names(finding: Finding) -> EvidenceTable:
    return finding.evidence.tables[3]


SHORT = walk(200, "payments.billing", found_under="svc.cluster.local")
LONG = walk(201, "payments.billing.svc", found_under="cluster.local")
DENIED = [row for i in range(3) for row in exchange(210 + i, f"a.b.c.d.{i}.example.org", "NXDOMAIN")]
"""Five dots each, never searched: what musl does."""
SEARCHED = [
    *exchange(220, "a.b.c.d.e.example.org", "NXDOMAIN"),
    *walk(220.002, "a.b.c.d.e.example.org", qtypes="A", ends="NXDOMAIN")[:8],
]
"""Denied as it stands, and searched: what glibc and Go do."""


def ports_apart(rows: Iterable[Row]) -> list[Row]:
    """A and AAAA from a port each, as Go sends them."""
    return [
        row | {"dst_port" if row["response"] else "src_port": 41000} if row["qtype"] == "AAAA" else row for row in rows
    ]


def socket_each(rows: Iterable[Row]) -> list[Row]:
    """A socket for each name, from which A and AAAA leave with ids that follow each other: what musl's look like."""
    places: dict[str, int] = {}
    ports = [41000 + places.setdefault(row["name"], len(places)) for row in rows]
    return [row | {"dst_port" if row["response"] else "src_port": port} for row, port in zip(rows, ports, strict=True)]


def test_one_dot_suffices_where_nothing_relies_on_the_list() -> None:
    finding = found(lookups(10))
    assert finding.saving is not None
    assert finding.saving.fix == "ndots:1"
    assert 'value: "1"' in finding.remedies[0].snippet
    assert "no dotted name that relies on the search list was seen" in finding.remedies[0].text
    assert finding.figure("lookups that rely on the search list") == 0


def test_advises_two_dots_where_names_like_svc_ns_are_used() -> None:
    finding = found(lookups(10), SHORT, walk(205, "ledger.billing", found_under="svc.cluster.local"))
    assert finding.saving is not None
    assert finding.saving.fix == "ndots:2"
    assert 'value: "2"' in finding.remedies[0].snippet
    assert finding.remedies[0].text == (
        "Set ndots to 2 in the pod template of the workload in namespace shop: names such as ledger.billing rely on "
        "the search list (2 lookups) and are still searched first; with 1 they would be asked as they stand first."
    )
    assert finding.figure("lookups that rely on the search list") == 2
    # 20 walks of outside names; with one dot four walks of names of the cluster would begin with one query more.
    assert (way(finding, "ndots:2").observed, way(finding, "ndots:2").modelled) == (100, 20)
    assert (way(finding, "ndots:1").observed, way(finding, "ndots:1").modelled) == (100, 24)


def test_a_short_name_of_a_service_relies_on_the_list_at_any_ndots() -> None:
    finding = found(lookups(10), walk(200, "payments", domains=("web.svc.cluster.local",)), SHORT)
    assert finding.figure("lookups that rely on the search list") == 1


def test_a_pod_of_a_stateful_set_relies_on_the_first_domain() -> None:
    finding = found(lookups(10), exchange(200, "db-0.db.shop.svc.cluster.local", "NOERROR"))
    assert finding.saving is not None
    assert finding.saving.fix == "ndots:2"
    assert names(finding).rows == (("db-0.db", 1, 1, 0, LIST[0], "one query more; by musl not found", "as now"),)


def test_the_table_says_what_becomes_of_each_name() -> None:
    whole = walk(202, "kubernetes.default.svc.cluster.local")
    finding = found(lookups(10), SHORT, LONG, whole)
    assert [column.name for column in names(finding).columns][-2:] == ["with ndots:1", "with ndots:2"]
    more = "one query more; by musl not found"
    assert names(finding).rows == (
        ("kubernetes.default.svc.cluster.local", 4, 1, 8, "as it stands", "found at once", "found at once"),
        ("payments.billing", 1, 1, 2, "svc.cluster.local", more, "as now"),
        ("payments.billing.svc", 2, 1, 4, "cluster.local", more, more),
    )
    assert finding.figure("in-cluster wasted queries") == 14
    assert finding.figure("wasted queries") == 80


def test_who_does_not_search_afterwards_is_named_and_what_to_write() -> None:
    finding = found(lookups(10), SHORT, LONG, DENIED)
    assert finding.remedies[0].text.endswith(
        "names such as payments.billing rely on the search list (2 lookups); those such as payments.billing.svc (1 "
        "lookup) would be asked as they stand first and 1 lookup by 10.0.0.7 would fail (names of five dots and more "
        "that were denied were never searched, as musl does): write such names in full before, as "
        "`payments.billing.svc.cluster.local.`."
    )
    assert names(finding).rows[1][-2:] == ("not found", "not found")
    assert "Lookups of names such as payments.billing.svc would fail (1)" in way(finding, "ndots:2").assumption
    assert "Lookups of names such as payments.billing would fail (2)" in way(finding, "ndots:1").assumption


@pytest.mark.parametrize(
    "rows",
    [
        DENIED[:4],  # two names only
        [row | {"qtype": "PTR"} for row in DENIED],
        [row | {"name": row["name"].replace(".example.org", "")} for row in DENIED],  # four dots: searched by musl too
        [row | {"name": f"{row['name']}.{LIST[0]}"} for row in DENIED],  # steps of a walk
    ],
)
def test_what_is_not_enough_to_believe_that_a_client_never_searches(rows: list[Row]) -> None:
    text = found(lookups(10), LONG, rows).remedies[0].text
    assert "glibc and Go then search, musl does not" in text
    assert "what its resolver does then was not seen" in text


@pytest.mark.parametrize(
    ("rows", "because"),
    [
        ([*lookups(10), *LONG, *SEARCHED], "asked as they stand and then searched, as glibc and Go do"),
        ([*ports_apart(lookups(10)), *ports_apart(LONG)], "A and AAAA leave from a port each, as Go sends them"),
    ],
)
def test_who_searches_afterwards_is_named_too(rows: list[Row], because: str) -> None:
    finding = found(rows)
    assert "and found a query later (10.0.0.7: " in finding.remedies[0].text
    assert because in finding.remedies[0].text
    assert names(finding).rows[0][-1] == "one query more"
    assert way(finding, "ndots:2").assumption.endswith("No name that was seen would fail.")


def test_one_port_for_both_types_proves_neither() -> None:
    assert "glibc and Go then search, musl does not" in found(lookups(10), LONG).remedies[0].text


def test_names_that_are_asked_as_they_stand_first_already_stay_as_they_are() -> None:
    """ndots:2 in force: `payments.billing.svc` is denied and then found, `example.com` still walks."""
    first = exchange(200, "payments.billing.svc", "NXDOMAIN")
    rest = walk(200.002, "payments.billing.svc", found_under="cluster.local", qtypes="A")
    finding = found(lookups(10, "example.com"), first, rest)
    assert names(finding).rows == (("payments.billing.svc", 2, 1, 2, "cluster.local", "as now", "as now"),)
    assert way(finding, "ndots:1").modelled == 20  # one query for each walk of example.com, and none gained


def test_full_names_of_the_cluster_gain_no_query_when_they_are_asked_as_they_stand_first() -> None:
    finding = found(lookups(10), walk(200, "payments.billing.svc.cluster.local"))
    assert (way(finding, "ndots:2").observed, way(finding, "ndots:2").modelled) == (100, 20)
    assert "gain one query" not in way(finding, "ndots:2").assumption


def test_the_final_dot_comes_first_where_lower_ndots_saves_nothing() -> None:
    """Outside names of one dot, while names like payments.billing forbid ndots:1."""
    finding = found(lookups(10, "example.com"), SHORT)
    assert finding.saving is not None
    assert (finding.saving.fix, finding.saving.observed, finding.saving.modelled) == ("final dot", 100, 20)
    assert (way(finding, "ndots:2").modelled, way(finding, "ndots:1").modelled) == (100, 22)
    assert finding.remedies[0].text.startswith("Write outside names with a final dot")


def test_each_client_is_told_apart_where_many_share_a_finding() -> None:
    other = "10.0.0.8"
    given = {
        DNS_MESSAGES: capture(
            lookups(12, client="10.0.0.6"), lookups(10), lookups(10, client=other), LONG, DENIED,
            walk(300, "payments.billing.svc", found_under="cluster.local", client=other),
            walk(301, "payments.billing.svc", found_under="cluster.local", client=other),
        )
    }  # fmt: skip
    *_, finding = run(DETECTOR, given, max_clients=1)
    assert [row[:2] for row in names(finding).rows] == [(other, "payments.billing.svc"), (POD, "payments.billing.svc")]
    assert [row[-1] for row in names(finding).rows] == ["one query more; by musl not found", "not found"]
    assert "those such as payments.billing.svc (3 lookups)" in finding.remedies[0].text
    assert "1 lookup by 10.0.0.7 would fail (names of five dots" in finding.remedies[0].text


def test_a_cache_is_reckoned_for_each_client_by_its_own_repeats() -> None:
    """Denials live for 5 s: of a lookup each second a cache answers four in five, of one each ten seconds none."""
    seldom, often = lookups(25), lookups(25, every=1, client="10.0.0.8")
    findings = run(DETECTOR, {DNS_MESSAGES: capture(seldom, often)})
    told = {finding.subject: way(finding, "NodeLocal DNSCache") for finding in findings}
    assert {client: (one.observed, one.modelled) for client, one in told.items()} == {
        POD: (200, 200),
        "10.0.0.8": (200, 40),
    }


def test_records_are_of_the_input_that_the_walks_are_in() -> None:
    """Another input has records of the same numbers."""
    plain = [row for i in range(125) for row in exchange(1000 + i, "api.example.com", "NOERROR")]
    both = pl.concat([capture(lookups(25), source="a"), capture(plain, source="b")])
    [finding] = run(DETECTOR, {DNS_MESSAGES: both})
    assert {record.source for record in finding.evidence.records} == {"a"}


def test_default_policy_is_advised_only_where_no_name_of_the_cluster_is_asked() -> None:
    advised = [one.snippet for one in found(lookups(10)).remedies]
    assert any("dnsPolicy: Default" in snippet for snippet in advised)
    assert not any("dnsPolicy: Default" in one.snippet for one in found(lookups(10), SHORT).remedies)


def test_a_log_tells_the_same_and_no_life_of_denials() -> None:
    rows = [*lookups(10), *SHORT, *LONG, *DENIED]
    [logged] = run(DETECTOR, {COREDNS_QUERIES: log(rows)})
    captured = found(rows)
    assert logged.remedies == captured.remedies
    assert names(logged) == names(captured)
    assumed = "as a log does not tell it: the 5 s of CoreDNS's kubernetes plugin are assumed"
    assert assumed in way(logged, "NodeLocal DNSCache").assumption


def test_the_life_of_denials_is_told_where_answers_tell_it() -> None:
    whole = found(lookups(10, negative_ttl=20))
    assert "the life that their SOA record gives them (RFC 2308), at most 30 s" in whole_way(whole)
    half = found(lookups(5, negative_ttl=20), lookups(5, "b.example.com"))
    assert "of 40 that do not tell it the 5 s" in whole_way(half)


def whole_way(finding: Finding) -> str:
    return way(finding, "NodeLocal DNSCache").assumption


def test_a_log_of_denials_alone_is_not_told_that_a_cure_would_ask_nothing() -> None:
    denials = [row for i in range(30) for row in walk(i * 10, "api.example.com")[:16]]
    [finding] = run(DETECTOR, {COREDNS_QUERIES: log(denials)})
    assert (way(finding, "ndots:1").observed, way(finding, "ndots:1").modelled) == (240, 60)


UNKNOWN = "what its resolver does then was not seen"


def test_a_search_after_a_denial_proves_nothing_where_names_of_so_many_dots_are_searched_first() -> None:
    """A program wrote the name with a final dot, another one without."""
    mixed = [*exchange(220, "no.such.example", "NXDOMAIN"), *walk(220.002, "no.such.example", qtypes="A")[:8]]
    assert UNKNOWN in found(lookups(10), LONG, mixed).remedies[0].text


@pytest.mark.parametrize(("both", "known"), [(2, False), (3, True)])
def test_ports_apart_are_believed_from_three_lookups(both: int, known: bool) -> None:
    single = lookups(10, qtypes="A")
    apart = [row for i in range(both) for row in ports_apart(walk(300 + i, f"{i}.example.com"))]
    inside = walk(201, "payments.billing.svc", found_under="cluster.local", qtypes="A")
    assert (UNKNOWN not in found(single, apart, inside).remedies[0].text) is known


def test_ports_apart_in_half_of_the_lookups_prove_nothing() -> None:
    apart = [row | {"time": row["time"] + 400} for row in ports_apart(lookups(10))]
    assert UNKNOWN in found(lookups(10), apart, LONG).remedies[0].text


def test_a_search_that_was_seen_outweighs_denials_that_were_left_alone() -> None:
    assert "and found a query later" in found(lookups(10), LONG, DENIED, SEARCHED).remedies[0].text


def test_full_names_without_their_final_dot_do_not_rely_on_the_list() -> None:
    finding = found(lookups(10), walk(202, "kubernetes.default.svc.cluster.local"))
    assert finding.saving is not None
    assert finding.saving.fix == "ndots:1"
    assert finding.figure("lookups that rely on the search list") == 0


def test_the_library_that_its_queries_are_like_decides_where_no_search_was_seen() -> None:
    musl = [row for i in range(12) for row in socket_each(walk(i * 20, f"{i}.example.com"))]
    inside = socket_each(walk(301, "payments.billing.svc", found_under="cluster.local"))
    text = found(musl, inside).remedies[0].text
    assert "would fail (it asks as musl does: " in text
    searched = socket_each(SEARCHED)
    assert "it asks as musl does" not in found(musl, inside, searched).remedies[0].text
