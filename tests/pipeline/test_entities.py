"""Whom findings touch: what they name, and what that belongs to."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from analyzer.frames import AUDIT_ADDRESSES, AUDIT_EVENTS, KERNEL_MESSAGES, KLOG_LINES
from analyzer.model import Column, Entity, EvidenceTable, Finding, Run, Status
from analyzer.pipeline import entities
from analyzer.pipeline.entities import entities_of
from analyzer.pipeline.store import Store
from tests.build import T0, at, held, rows
from tests.pipeline.test_detect import finding

Row = dict[str, Any]
TABLES = {table.name: table for table in (AUDIT_ADDRESSES, AUDIT_EVENTS, KERNEL_MESSAGES, KLOG_LINES)}
NODE = "n1.ec2.internal"
POD = "web-6c9ff5cf4-bcdf7"
ADDRESS = "10.244.1.7"
HAD: Row = {"resource": "pods", "subresource": "status", "address": ADDRESS, "kind": "pod", "namespace": "shop"}
HAD |= {"name": POD, "uid": "u1", "node": "n1", "time": -5}


def touching(subject: str, key: str = "k", **cells: str) -> Finding:
    """A finding about the subject, with a row of evidence; `_` stands for a blank in the name of a column."""
    made = replace(finding(subject), key=key, start=at(0), end=at(60))
    columns = tuple(Column(name=name.replace("_", " ")) for name in cells)
    table = EvidenceTable(caption="c", columns=columns, rows=(tuple(cells.values()),))
    return replace(made, evidence=replace(made.evidence, tables=(table,))) if cells else made


def found(*findings: Finding, **tables: list[Row]) -> list[Entity]:
    store = Store({TABLES[name]: held(rows(TABLES[name], *data)) for name, data in tables.items()})
    return list(entities_of([Run(detector="d", title="t", status=Status.FIRED, findings=findings)], store))


def ids(every: list[Entity]) -> list[tuple[str, str]]:
    return [(one.kind, one.id) for one in every]


def request(verb: str, name: str, subresource: str | None, time: float = 0, **more: Any) -> Row:
    made = {"time": time, "stage_time": time, "stage": "ResponseComplete", "verb": verb, "resource": "pods"}
    made |= {"subresource": subresource, "namespace": "shop", "name": name, "node": NODE, "code": 200}
    return made | {"audit_id": f"{verb}{time}", "user": f"system:node:{NODE}", "agent": "kubelet"} | more


def test_an_address_leads_to_its_pod_and_the_pod_to_its_node_and_workload() -> None:
    every = found(touching(ADDRESS), audit_addresses=[HAD], audit_events=[request("patch", POD, "status")])
    assert ids(every) == [
        ("address", ADDRESS),
        ("node", NODE),
        ("pod", f"shop/{POD}"),
        ("workload", "shop/web"),
    ]
    assert all(one.findings == ("k",) for one in every)
    address, node, pod, workload = every
    assert address.label == f"pod shop/{POD} on node n1"
    assert (address.workload, pod.workload) == ("shop/web", "shop/web")
    assert (address.namespace, pod.namespace, workload.namespace, node.namespace) == ("shop", "shop", "shop", "")
    assert (pod.label, workload.label) == (f"pod shop/{POD} on node {NODE}", "Deployment shop/web")
    assert pod.known_from == "audit"


def test_a_node_with_and_without_its_domain_is_one_and_its_findings_stand_together() -> None:
    kernel = [{"host": "n1", "text": "x"}]
    every = found(
        touching("n1", "short"),
        touching(NODE, "long"),
        touching("x", "row", node="n1"),
        audit_events=[request("patch", POD, "status")],
        kernel_messages=kernel,
    )
    assert [(one.id, one.findings) for one in every if one.kind == "node"] == [(NODE, ("long", "row", "short"))]


def test_two_domains_leave_a_short_name_alone() -> None:
    other = request("patch", "api-1", "status", 1, node="n1.example.org")
    audit = [request("patch", POD, "status"), other]
    every = found(touching("x", node="n1"), touching("x", "l", node=NODE), audit_events=audit)
    assert ids(every) == [("node", "n1"), ("node", NODE)]


def test_a_pod_is_known_from_its_binding_until_it_is_gone() -> None:
    audit = [
        request("create", POD, "binding", 0, node=None),
        request("patch", POD, "status", 5),
        request("delete", POD, None, 50),
    ]
    [pod] = [one for one in found(touching("x", pod=f"shop/{POD}"), audit_events=audit) if one.kind == "pod"]
    assert (pod.since, pod.until) == (T0, at(50))


def test_a_name_without_namespace_is_a_pod_where_only_one_has_it() -> None:
    known = [request("patch", "db-0", "status")]
    every = found(touching("x", pod="db-0"), audit_events=known)
    assert ("pod", "shop/db-0") in ids(every)
    assert found(touching("x", pod="db-1"), audit_events=known) == []
    two = [*known, request("patch", "db-0", "status", 1, namespace="lab")]
    assert found(touching("x", pod="db-0"), audit_events=two) == []


def test_a_subject_is_the_workload_or_the_pod_that_is_known() -> None:
    known = [request("patch", POD, "status"), request("patch", "bare", "status", 1)]
    made = request("patch", "batch", None, 2, resource="cronjobs", node=None)
    assert ids(found(touching("shop/web"), audit_events=known)) == [("workload", "shop/web")]
    assert ids(found(touching("shop/web container c"), audit_events=known)) == [("workload", "shop/web")]
    assert ids(found(touching("shop/bare"), audit_events=known)) == [("node", NODE), ("pod", "shop/bare")]
    assert ids(found(touching("shop/batch"), audit_events=[*known, made])) == [("workload", "shop/batch")]
    assert found(touching("shop/nobody"), audit_events=known) == []


def test_agents_are_those_that_asked_the_api_server_or_stand_in_the_evidence() -> None:
    audit = [request("list", POD, None, agent="node-agent")]
    assert ids(found(touching("node-agent"), audit_events=audit)) == [("agent", "node-agent")]
    assert found(touching("registry.example.com"), audit_events=audit) == []
    [agent] = found(touching("x", user_agent="curl"), audit_events=audit)
    assert (agent.id, agent.known_from) == ("curl", "the finding's evidence")


def test_what_evidence_names_is_touched_where_no_table_tells_of_it() -> None:
    every = found(touching("x", pod=f"shop/{POD}", node="n9", workload="shop/api", client="10.0.0.9"))
    assert ids(every) == [
        ("node", "n9"),
        ("pod", f"shop/{POD}"),
        ("workload", "shop/api"),
        ("workload", "shop/web"),
    ]


@pytest.mark.parametrize("cells", [{"name": "shop/web"}, {"peer": "n1"}, {"message": NODE}, {"pod": "<b>/x y"}])
def test_other_columns_and_what_is_no_name_touch_nobody(cells: dict[str, str]) -> None:
    assert found(touching("", **cells), audit_events=[request("patch", POD, "status")]) == []


def test_a_disputed_address_leads_to_no_pod() -> None:
    told = [HAD, HAD | {"name": "web-2", "uid": "u2", "time": -4}, HAD | {"time": 0.5}]
    assert {one.kind for one in found(touching(ADDRESS), audit_addresses=told)} == {"address"}


def test_those_that_most_findings_touch_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entities, "MOST", 1)
    assert ids(found(touching("x", "a", node="n1"), touching("x", "b", node="n2"), touching("x", "c", node="n2"))) == [
        ("node", "n2")
    ]


def test_without_findings_there_is_nobody() -> None:
    assert found(audit_events=[request("patch", POD, "status")]) == []
