"""Cause rules: each joins its two ends by what they share and when, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest

from analyzer.facts.contract import Fact
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES, Table
from analyzer.model import Cause, CauseEnd, Finding, Offset
from analyzer.story.causes import RULES, WITNESSES, Rule, causes
from analyzer.story.causes.link import joined
from analyzer.story.causes.objects import SUBJECTS
from analyzer.story.causes.signs import Sign
from tests.build import at, rows
from tests.story.chains import CHAINS, END, START, Chain, Given, finding, lost_before, one

EACH = pytest.mark.parametrize("chain", CHAINS, ids=[f"{chain.rule}-{chain.findings[0].detector}" for chain in CHAINS])


def links(findings: Sequence[Finding], given: Given) -> list[Cause]:
    return list(causes(findings, (), lambda need: given.get(need)).told)


def told(chain: Chain, moment: float, who: str) -> list[Cause]:
    other = chain.told(moment, who)
    if isinstance(other, Finding):
        return links([*chain.findings, other], {})
    return links(chain.findings, other)


@EACH
def test_joins_what_shares_an_entity_within_the_lag(chain: Chain) -> None:
    [cause] = told(chain, chain.at, chain.who)
    assert cause.rule == chain.rule
    assert chain.findings[0].key in {cause.from_.id, cause.to.id}
    assert cause.lag_seconds >= 0
    if not isinstance(chain.told(chain.at, chain.who), Finding):
        [end] = [end for end in (cause.from_, cause.to) if end.kind == "observation"]
        assert end.id == "other.log:1"


@EACH
def test_joins_nothing_of_another_entity(chain: Chain) -> None:
    assert told(chain, chain.at, chain.other) == []


@EACH
def test_joins_nothing_beyond_the_lag_nor_in_the_wrong_order(chain: Chain) -> None:
    for moment in chain.never:
        assert told(chain, moment, chain.who) == [], moment


def test_queries_that_the_log_lacks_are_told_of_the_finding_that_counts_them() -> None:
    hole, log = lost_before(3)
    [cause] = links([hole], log)
    assert (cause.rule, cause.to.id) == ("c3", hole.key)
    assert cause.from_.text == "CoreDNS's log has no line of 3 of the lost queries (CoreDNS log)"
    none, log = lost_before(0)
    assert links([none], log) == []
    assert links([hole], {}) == []


def test_no_rule_speaks_of_causing_and_all_sixteen_are_there() -> None:
    assert {rule.id for rule in RULES} | {"c9"} == {f"c{number}" for number in range(1, 17)}
    for rule in RULES:
        assert "cause" not in rule.verdict, rule.verdict


def test_every_kind_of_end_is_told_by_a_witness_or_a_detector() -> None:
    known = {witness.kind for witness in WITNESSES} | {"not-in-log", "answered-in-log"}
    kinds = {kind for rule in RULES for kind in (*rule.first, *rule.then)}
    detectors = {"dns-backend-blackhole", "dns-client-timeout", "dns-upstream-throttle", "dns-search-chain"}
    detectors |= {"dns-query-flood", "imds-credential-storm", "imds-credential-refusal", "apiserver-overload"}
    detectors |= {"cryptominer-traffic", *SUBJECTS}
    assert kinds <= known | detectors


def test_several_nodes_are_one_sentence_with_all_records_counted() -> None:
    nodes = [f"node-{number}" for number in range(1, 8)]
    refused = [{"time": START + i, "node": f"{node}.example.com", "code": 429} for i, node in enumerate(nodes)]
    lines = [{"time": START + 60 + i, "host": node, "text": '"Failed to update lease"'} for i, node in enumerate(nodes)]
    given: Given = {
        AUDIT_REQUESTS: rows(AUDIT_REQUESTS.table, *refused, throttled=True),
        KLOG_LINES: rows(KLOG_LINES, *lines, *lines[:1]),
    }
    [cause] = links([finding("apiserver-throttle-storm", "agent")], given)
    who = "node-1, node-2, node-3, node-4, node-5 and 2 others"
    assert cause.to.text == f"{who} could not renew a node lease: 8 records (component log)"
    assert (cause.to.id, cause.lag_seconds) == ("t:1", 60.0)


def test_a_pair_of_findings_is_linked_once_however_many_pods_they_share() -> None:
    slow = finding("slow-pod-start", "node-1", node="node-1")
    stall = finding("runtime-stall", "node-1", node="node-1.example.com")
    assert [cause.rule for cause in links([slow, stall], {})] == ["c12"]


def test_a_lookup_server_that_is_another_service_is_not_the_resolver() -> None:
    from analyzer.facts.address_owners import ADDRESS_OWNERS
    from analyzer.facts.resolver_changes import RESOLVER_CHANGES

    hole = finding("dns-backend-blackhole", "10.96.0.10")
    gone = one(RESOLVER_CHANGES, START - 5, what="pod deleted", object="kube-system/coredns-a")
    for name, expected in (("kube-system/kube-dns", 1), ("infra/bind", 0)):
        namespace, service = name.split("/")
        owner = {"address": "10.96.0.10", "kind": "service", "namespace": namespace, "name": service}
        owned = one(ADDRESS_OWNERS, 0, **owner, confidence="high", contradicted=False, since=None, until=None)
        assert len(links([hole], gone | owned)) == expected


def test_the_pod_of_an_address_is_found_by_the_interval_in_which_it_had_it() -> None:
    from analyzer.facts.address_owners import ADDRESS_OWNERS
    from analyzer.facts.pod_owners import POD_OWNERS

    walk = finding("dns-search-chain", "10.244.1.7")
    pod = {"address": "10.244.1.7", "kind": "pod", "namespace": "shop", "name": "web-1", "confidence": "high"}
    owner = one(POD_OWNERS, 0, namespace="shop", pod="web-1", workload_kind="Deployment", workload="web")
    for until, expected in ((None, 1), (START - 1, 0)):
        given = owner | one(ADDRESS_OWNERS, 0, **pod, contradicted=False, since=0, until=until)
        assert len(links([walk], given)) == expected


@pytest.mark.parametrize(
    ("placed", "deleted", "expected"),
    [
        (0, None, 1),
        (0, START - 1, 0),
        (0, START, 1),
        (END, None, 1),
        (END + 1, None, 0),
        (None, START - 1, 0),
        (None, END + 9, 1),
    ],
)
def test_a_flood_fills_the_disks_of_nodes_where_the_resolver_was_meanwhile(
    placed: float | None, deleted: float | None, expected: int
) -> None:
    from analyzer.facts.pod_life import POD_LIFE

    pod = {"namespace": "kube-system", "pod": "coredns-5d78c9869d-abcde", "node": "node-1"}
    turns = [{"time": at, "what": what} for at, what in ((placed, "placed"), (deleted, "deleted")) if at is not None]
    life: Given = {POD_LIFE: rows(POD_LIFE.table, *(pod | turn for turn in turns))}
    flood, slow = finding("dns-query-flood", "10.244.1.7"), finding("slow-pod-start", "node-1", start=START + 60)
    made = links([flood, slow], life)
    assert [cause.rule for cause in made] == ["c16"] * expected
    if made:
        assert made[0].verdict == (
            "CoreDNS ran on node-1 during the flood, and disk or pod starts suffered there 60 s after it began: a log "
            "of queries that fills the disk explains it."
        )


@pytest.mark.parametrize(
    ("stop", "turns", "expected"),
    [
        ({"how": "deleted"}, (), 1),
        ({"how": "deleted"}, ((START + 110, "placed"),), 0),
        ({"how": "deleted"}, ((START + 161, "placed"),), 1),
        ({"how": "deleted"}, ((START - 200, "placed"),), 0),
        ({"how": "deleted"}, ((START - 201, "placed"), (START + 110, "started")), 1),
        ({"how": "deleted"}, ((START + 110, "started"),), 0),
        ({"how": "unready"}, (), 0),
        ({"how": "died", "again": START + 400}, (), 0),
        ({"how": "died", "again": START + 401}, (), 1),
    ],
)
def test_capacity_decays_by_pods_that_end_for_good_and_are_not_replaced(
    stop: dict[str, Any], turns: tuple[tuple[float, str], ...], expected: int
) -> None:
    from analyzer.facts.pod_life import POD_LIFE
    from analyzer.facts.pod_stops import POD_STOPS

    loop = finding("admission-denial-loop", "policy.example.com", owner="shop/web")
    ended = one(POD_STOPS, START + 100, namespace="shop", pod="web-1", workload="web", **stop)
    new = [{"time": at, "what": what, "pod": "web-2", "workload": "web"} for at, what in turns]
    others = [{"time": START + 101, "what": "placed", "pod": "api-1", "workload": "api"}]
    life: Given = {POD_LIFE: rows(POD_LIFE.table, *new, *others, namespace="shop")}
    made = links([loop], ended | life)
    assert [cause.rule for cause in made] == ["c11"] * expected
    if made:
        assert made[0].to.text.startswith("pods of shop/web ended and were not replaced")
        assert made[0].verdict.startswith("Pods of shop/web ended, the first 100 s after its new ones were denied")


def test_the_nearest_of_many_earlier_ends_is_named_and_time_grows_no_faster_than_their_number() -> None:
    def spent(count: int) -> float:
        stalls = [finding("runtime-stall", f"node-{i}", start=START + i % 50, end=START + 60) for i in range(count)]
        slow = [finding("slow-pod-start", f"node-{i}", start=START + 70, end=START + 90) for i in range(count)]
        began = time.perf_counter()
        assert len(links([*stalls, *slow], {})) == count
        return time.perf_counter() - began

    spent(100)
    few, many = spent(400), spent(1600)
    assert many < 12 * few + 0.1


def test_one_node_with_many_findings_has_a_bounded_number_of_links() -> None:
    stalls = [finding("runtime-stall", f"node-1.zone{i}", start=START + i, end=START + i + 1) for i in range(300)]
    slow = [finding("slow-pod-start", f"node-1.zone{i}", start=START + i, end=START + 400) for i in range(300)]
    assert len(links([*stalls, *slow], {})) <= 300


def test_tables_are_read_only_if_a_finding_could_be_joined() -> None:
    asked: list[str] = []

    def get(need: Table | Fact) -> None:
        asked.append(need.name)

    causes([finding("audit-log-flood", "somebody")], (), get)
    assert asked == []


def test_names_of_any_length_are_cut_in_sentences_and_braces_in_them_stay() -> None:
    node = "{entity}" * 1000
    probe = finding("exec-probe-timeout", "shop/web container web", node=node)
    [cause] = links([probe], one(KERNEL_MESSAGES, START, kind="hung_task", host=node))
    assert cause.rule == "c12"
    assert len(cause.verdict) < 400
    assert len(cause.from_.text) < 400
    assert "{entity}{entity}" in cause.verdict


@pytest.mark.parametrize(("spread", "count"), [(0.5, 1), (100_000.0, 0)])
def test_an_order_below_the_spread_of_the_clocks_is_none(spread: float, count: int) -> None:
    chain = next(one for one in CHAINS if one.rule == "c1")
    given = chain.told(chain.at, chain.who)
    assert not isinstance(given, Finding)
    [link] = links(chain.findings, given)
    observed = next(end.id for end in (link.from_, link.to) if end.kind == "observation").rpartition(":")[0]
    quoted = chain.findings[0].evidence.records[0].source
    assert observed != quoted
    offset = Offset(source=observed, reference=quoted, seconds=0.0, spread_seconds=spread, events=9)
    made = causes(chain.findings, (), lambda need: given.get(need), (offset,)).told
    assert len(made) == count


@pytest.mark.parametrize("rule", RULES, ids=[rule.id + "-" + rule.then[0] for rule in RULES])
def test_what_is_shared_must_be_of_a_kind_that_the_rule_names(rule: Rule) -> None:
    def end(kind: str, key: str, shared: frozenset[str]) -> Sign:
        told = CauseEnd(kind="finding", id=key, text="")
        return Sign(kind=kind, time=at(START), until=at(START), keys=shared, end=told)

    def ends(*keys: str) -> list[Sign]:
        return [end(rule.first[0], "F1", frozenset(keys)), end(rule.then[0], "F2", frozenset(keys))]

    assert joined(rule, ends("colour:red")) == []
    assert len(joined(rule, ends("colour:red", f"{rule.shared[0]}:one"))) == 1
