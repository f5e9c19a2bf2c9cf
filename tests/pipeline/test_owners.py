"""Findings about an address name who had it, all detectors' alike; what nobody knows stays as it was."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from analyzer.frames import AUDIT_ADDRESSES, DNS_ANSWERS
from analyzer.model import Finding, Run, Status
from analyzer.pipeline.entities import entities_of
from analyzer.pipeline.owners import name_owners
from analyzer.pipeline.store import Store
from tests.build import held, rows
from tests.pipeline.test_detect import finding

ADDRESS = "10.244.1.7"
POD: dict[str, Any] = {
    "resource": "pods",
    "subresource": "status",
    "address": ADDRESS,
    "kind": "pod",
    "namespace": "shop",
}
POD |= {"name": "web-1", "uid": "u1", "node": "n1", "time": -5}


def store(*told: dict[str, Any]) -> Store:
    return Store({AUDIT_ADDRESSES: held(rows(AUDIT_ADDRESSES, *told))})


def named(made: Finding, *told: dict[str, Any]) -> tuple[Finding, list[str]]:
    run = Run(detector="d", title="t", status=Status.FIRED, findings=(made,))
    held = store(*told)
    [out] = name_owners([run], held)
    entities = [one for one in entities_of([out], held) if one.kind == "address"]
    return out.findings[0], [f"{one.id} {one.label} ({one.known_from})" for one in entities]


def about(summary: str, address: str = ADDRESS) -> Finding:
    return replace(finding(address), summary=summary)


def test_the_owner_stands_behind_the_address_with_its_source_and_confidence() -> None:
    out, entities = named(about(f"9 queries by {ADDRESS} in 2 s; {ADDRESS} asks."), POD)
    assert out.summary == f"9 queries by {ADDRESS} (pod shop/web-1 on node n1) in 2 s; {ADDRESS} asks."
    [table] = out.evidence.tables
    assert table.caption == f"Who had {ADDRESS}"
    assert table.rows == (("pod shop/web-1 on node n1", "not told", "not told", "audit pods/status", "high"),)
    assert entities == [f"{ADDRESS} pod shop/web-1 on node n1 (audit pods/status; high confidence)"]
    assert (out.subject, out.key) == (ADDRESS, "")


def test_a_namespace_that_is_said_already_gives_way_to_the_pod() -> None:
    out, _ = named(about(f"9 queries by {ADDRESS} (namespace shop) asked."), POD)
    assert out.summary == f"9 queries by {ADDRESS} (pod shop/web-1 on node n1) asked."


def test_a_namespace_that_is_said_already_and_is_all_that_is_known_is_not_said_again() -> None:
    made = about(f"9 queries by {ADDRESS} (namespace shop) asked.")
    suffix = {"rtype": "A", "protocol": "dns", "name": "10-244-1-7.shop.pod.cluster.local", "value": ADDRESS}
    run = Run(detector="d", title="t", status=Status.FIRED, findings=(made,))
    known = Store({DNS_ANSWERS: held(rows(DNS_ANSWERS, suffix))})
    [out] = name_owners([run], known)
    [entity] = entities_of([out], known)
    assert out.findings[0] is made
    assert entity.label == "namespace shop"


def test_two_owners_within_the_window_are_both_named() -> None:
    out, _ = named(about(f"by {ADDRESS}"), POD, POD | {"name": "web-2", "uid": "u2", "time": 0.5})
    assert out.summary == f"by {ADDRESS} (pod shop/web-1 on node n1, then pod shop/web-2 on node n1)"
    later, _ = named(about(f"by {ADDRESS}"), POD, POD | {"name": "web-2", "uid": "u2", "time": 50})
    assert later.summary == f"by {ADDRESS} (pod shop/web-1 on node n1)"


def test_a_disputed_address_is_nobodys() -> None:
    out, _ = named(about(f"by {ADDRESS}"), POD, POD | {"name": "web-2", "uid": "u2", "time": -4}, POD | {"time": 0.5})
    assert out.summary == f"by {ADDRESS} (claimed by 2 at once)"
    assert out.evidence.tables[0].rows[0][-1] == "high, contradicted by others"


def test_an_address_that_the_summary_leaves_out_is_said_in_a_sentence() -> None:
    out, _ = named(about("Nine queries."), POD)
    assert out.summary == f"Nine queries. {ADDRESS} is pod shop/web-1 on node n1."


@pytest.mark.parametrize(
    "made",
    [about("by 10.244.1.70", "10.244.1.70"), about("by node-agent", "node-agent"), replace(about("by x"), subject="")],
    ids=["another address", "no address", "no subject"],
)
def test_what_nobody_knows_stays_as_it_was(made: Finding) -> None:
    out, entities = named(made, POD)
    assert out is made
    assert entities == []


def test_nothing_read_that_tells_of_addresses() -> None:
    run = Run(detector="d", title="t", status=Status.FIRED, findings=(about(f"by {ADDRESS}"),))
    assert name_owners([run], Store({})) == (run,)
