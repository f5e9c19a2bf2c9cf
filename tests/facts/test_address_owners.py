"""Who had an address when: by whatever tells it, one after another, at the node's address, and where it is disputed."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.facts.address_owners import ADDRESS_OWNERS
from analyzer.facts.owner_names import label, with_owners, within
from analyzer.frames import AUDIT_ADDRESSES, AUDIT_EVENTS, COREDNS_QUERIES, DNS_ANSWERS, KLOG_LINES, KUBE_EVENTS, Table
from tests.build import at, frames_for, rows

UID = "7d0c5d2e-0000-4000-8000-000000000001"
POD = {
    "resource": "pods",
    "subresource": "status",
    "kubelet": True,
    "address": "10.244.1.7",
    "kind": "pod",
    "namespace": "shop",
    "name": "web-1",
    "uid": "u1",
    "node": "n1",
}
NEXT = POD | {"name": "web-2", "uid": "u2"}
NODE = {"resource": "pods", "subresource": "status", "address": "10.0.0.1", "kind": "node", "name": "n1"}
GONE = {"resource": "pods", "verb": "delete", "node": "n1", "code": 200, "namespace": "shop", "name": "web-1"}

Given = dict[Table, pl.LazyFrame]


def owners(given: Given) -> pl.DataFrame:
    return frames_for([ADDRESS_OWNERS], given)[ADDRESS_OWNERS].collect()


def bodies(*told: dict[str, Any]) -> Given:
    return {AUDIT_ADDRESSES: rows(AUDIT_ADDRESSES, *told)}


def spans(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    return frame.select("name", "since", "until", "contradicted").rows()


def test_an_address_goes_from_pod_to_pod() -> None:
    told = owners(bodies(POD | {"time": 10}, POD | {"time": 20}, NEXT | {"time": 60}))
    assert spans(told) == [("web-1", None, at(60), False), ("web-2", at(60), None, False)]
    assert told["confidence"].unique().to_list() == ["high"]
    assert told["known_from"].unique().to_list() == ["audit pods/status"]


def test_a_pods_start_is_the_beginning_but_not_before_its_forerunner_was_last_seen() -> None:
    told = owners(bodies(POD | {"time": 10, "start_time": 2}, NEXT | {"time": 60, "start_time": 5}))
    assert spans(told) == [("web-1", at(2), at(10), False), ("web-2", at(10), None, False)]


@pytest.mark.parametrize("how", ["deleted by its kubelet", "succeeded"])
def test_a_pod_that_is_gone_has_no_address(how: str) -> None:
    given = bodies(POD | {"time": 10}, POD | {"time": 40, "phase": "Succeeded" if how == "succeeded" else "Running"})
    if how != "succeeded":
        given[AUDIT_EVENTS] = rows(AUDIT_EVENTS, GONE | {"time": 40}, GONE | {"time": 30, "node": None})
    assert spans(owners(given)) == [("web-1", None, at(40), False)]


def test_two_pods_by_turns_contradict_each_other() -> None:
    told = owners(bodies(POD | {"time": 10}, NEXT | {"time": 20}, POD | {"time": 30}))
    assert told["contradicted"].to_list() == [True, True]
    asked = pl.DataFrame({"client": ["10.244.1.7"], "time": [at(25)]})
    assert with_owners(asked, told)["owner_contradicted"].to_list() == [True]


def test_two_pods_that_one_record_tells_of_contradict_each_other() -> None:
    assert owners(bodies(POD | {"time": 10}, NEXT | {"time": 10}))["contradicted"].to_list() == [True, True]


def test_a_record_without_a_time_tells_of_no_interval() -> None:
    assert spans(owners(bodies(POD | {"time": None}, NEXT | {"time": 20}))) == [("web-2", None, None, False)]


def test_five_hundred_other_pods_change_nothing() -> None:
    ours = [POD | {"time": 10, "start_time": 2}, NEXT | {"time": 60}]
    others = [POD | {"address": f"10.245.{i // 250}.{i % 250}", "name": f"x{i}", "uid": f"x{i}"} for i in range(500)]
    told = owners(bodies(*ours, *others)).filter(pl.col("address") == "10.244.1.7")
    assert told.equals(owners(bodies(*ours)))
    assert owners(bodies(*others)).filter(pl.col("address") == "10.244.1.7").is_empty()


def test_a_copy_of_a_finished_pod_that_is_read_late_contradicts_nobody() -> None:
    told = owners(bodies(POD | {"time": 10}, NEXT | {"time": 20}, POD | {"time": 30, "phase": "Succeeded"}))
    assert told["contradicted"].to_list() == [False, False]


def test_pods_at_their_nodes_address_are_the_nodes() -> None:
    [row] = owners(bodies(NODE, POD | {"address": "10.0.0.1"})).to_dicts()
    assert (row["kind"], row["name"], row["host_network"]) == ("node", "n1", True)
    assert label(row) == "node n1, host network"


def test_a_nodes_old_address_may_become_a_pods() -> None:
    other = POD | {"address": "10.0.0.1", "node": "n2", "time": 60}
    told = owners(bodies(NODE | {"time": 10}, other))
    assert spans(told) == [("n1", None, at(60), False), ("web-1", at(60), None, False)]


def test_callers_of_the_apiserver_have_the_address_they_call_from() -> None:
    node = {"node": "n1", "source_ip": "10.0.0.1"}
    pod = {"caller_pod": "web-1", "service_account_namespace": "shop", "source_ip": "10.244.1.7"}
    told = owners({AUDIT_EVENTS: rows(AUDIT_EVENTS, node, pod, node, pod)})
    assert [label(row) for row in told.to_dicts()] == ["node n1", "pod shop/web-1"]
    assert told["confidence"].to_list() == ["medium", "medium"]


def test_what_all_kubelets_call_from_is_a_balancers_and_loopback_is_nobodys() -> None:
    calls = [{"node": f"n{i % 2}", "source_ip": "10.0.9.9"} for i in range(4)]
    assert owners({AUDIT_EVENTS: rows(AUDIT_EVENTS, *calls, {"node": "n1", "source_ip": "127.0.0.1"})}).is_empty()


PATCH_119 = (
    f'Patch status for pod "web-1_shop({UID})" with '
    r'"{\"status\":{\"hostIP\":\"10.0.0.1\",\"phase\":\"Running\",\"podIP\":\"10.244.1.7\",'
    r'\"podIPs\":[{\"ip\":\"10.244.1.7\"}],\"startTime\":\"2026-03-14T09:00:02Z\"}}"'
)
PATCH_131 = (
    f'"Patch status for pod" pod="shop/web-1" podUID="{UID}" patch='
    r'"{\"metadata\":{\"uid\":\"' + UID + r'\"},\"status\":{\"podIP\":\"10.244.1.7\"}}"'
)
HOSTS = '"Creating hosts mount for container" pod="shop/web-1" containerName="c" podIPs=["10.244.1.7"] path=true'
SANDBOX = '"Determined the ip for pod after sandbox changed" IPs=["10.244.1.7"] pod="shop/web-1"'
PROBE = r'"Probe failed" probeType="Readiness" pod="shop/web-1" output="Get \"http://10.244.1.7:80/\": dial tcp"'


@pytest.mark.parametrize(
    ("text", "since", "confidence"),
    [
        (PATCH_119, at(2), "high"),
        (PATCH_131, None, "high"),
        (HOSTS, None, "high"),
        (SANDBOX, None, "high"),
        (PROBE, None, "low"),
    ],
    ids=["status patch up to 1.19", "status patch from 1.27 on", "hosts mount", "sandbox", "probe"],
)
def test_lines_of_a_kubelet(text: str, since: object, confidence: str) -> None:
    message = text.split('"')[1] if text.startswith('"') else text
    line = {"message": message, "text": text, "pod": "shop/web-1", "host": "n1", "time": 9}
    told = owners({KLOG_LINES: rows(KLOG_LINES, line)}).filter(pl.col("kind") == "pod")
    assert told.select("address", "name", "node", "since", "confidence").rows() == [
        ("10.244.1.7", "web-1", "n1", since, confidence)
    ]


def test_events_of_a_network_plugin_and_of_probes() -> None:
    same = {"kind": "Pod", "namespace": "shop", "name": "web-1", "uid": "u1"}
    added = same | {"reason": "AddedInterface", "message": "Add eth0 [10.244.1.7/23] from ovn-kubernetes"}
    probe = same | {"reason": "Unhealthy", "message": 'Readiness probe failed: Get "http://10.244.1.9:80/": EOF'}
    told = owners({KUBE_EVENTS: rows(KUBE_EVENTS, added, probe)})
    assert told.select("address", "confidence").rows() == [("10.244.1.7", "medium"), ("10.244.1.9", "low")]


def test_answers_of_the_clusters_resolver() -> None:
    reverse = {"rtype": "PTR", "protocol": "dns"}
    plain = {"rtype": "A", "protocol": "dns"}
    told = owners(
        {
            DNS_ANSWERS: rows(
                DNS_ANSWERS,
                reverse | {"name": "10.0.96.10.in-addr.arpa", "value": "kube-dns.kube-system.svc.cluster.local"},
                reverse | {"name": "7.1.244.10.in-addr.arpa", "value": "10-244-1-7.web.shop.svc.cluster.local"},
                plain | {"name": "db-0.db.shop.svc.cluster.local", "value": "10.244.1.8"},
                plain | {"name": "10-244-1-9.shop.pod.cluster.local", "value": "10.244.1.9"},
                plain | {"name": "web.shop.svc.cluster.local", "value": "10.96.1.1"},
                plain | {"name": "api.example.com", "value": "192.0.2.1"},
            )
        }
    )
    assert {row["address"]: (label(row), row["confidence"]) for row in told.to_dicts()} == {
        "10.96.0.10": ("service kube-system/kube-dns", "medium"),
        "10.244.1.7": ("an endpoint of service shop/web", "medium"),
        "10.244.1.8": ("pod shop/db-0", "medium"),
        "10.244.1.9": ("namespace shop", "low"),
    }


def test_the_search_list_tells_the_namespace_where_nothing_else_does() -> None:
    names = ("api.example.com.shop.svc.cluster.local", "api.example.com.svc.cluster.local", "api.example.com")
    walk = [{"client": "10.244.1.7", "name": name, "query_time": i, "qtype": "A"} for i, name in enumerate(names)]
    given = {COREDNS_QUERIES: rows(COREDNS_QUERIES, *walk)}
    [row] = owners(given).to_dicts()
    assert (label(row), row["confidence"], row["since"], row["until"]) == ("namespace shop", "low", None, None)
    both = owners(given | bodies(POD))
    assert [label(row) for row in within(both, "10.244.1.7", at(0), at(9)).to_dicts()] == ["pod shop/web-1 on node n1"]


def test_rows_are_named_by_the_best_that_is_known_at_their_time() -> None:
    told = owners(bodies(POD | {"time": 10, "start_time": 5}, NEXT | {"time": 60}))
    asked = pl.DataFrame({"client": ["10.244.1.7"] * 4 + ["10.9.9.9"], "time": [at(70), at(1), at(20), None, at(20)]})
    assert with_owners(asked, told)["owner_name"].to_list() == ["web-2", None, "web-1", None, None]


def test_nothing_told_is_no_row() -> None:
    assert owners({AUDIT_EVENTS: rows(AUDIT_EVENTS)}).is_empty()
    assert with_owners(pl.DataFrame({"client": ["a"], "time": [at(0)]}), owners({AUDIT_EVENTS: rows(AUDIT_EVENTS)}))[
        "owner_kind"
    ].to_list() == [None]
