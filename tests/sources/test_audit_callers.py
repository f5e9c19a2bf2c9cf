"""Who called, as whom and from where; and the annotations that only few events have."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from analyzer.frames import AUDIT_ANNOTATIONS
from tests.sources.audit_log import line, one, read, rows_of

KCM = "kube-controller-manager/v1.36.2 (linux/amd64) kubernetes/98b3519"


@pytest.mark.parametrize(
    ("user", "namespace", "account", "node"),
    [
        ("system:serviceaccount:shop:web", "shop", "web", None),
        ("system:node:ip-10-0-0-1.ec2.internal", None, None, "ip-10-0-0-1.ec2.internal"),
        ("system:serviceaccount:shop", None, None, None),
        ("system:node:", None, None, None),
        ("system:kube-scheduler", None, None, None),
        ("alice@example.com", None, None, None),
    ],
)
def test_service_accounts_and_nodes_are_told_from_other_users(
    user: str, namespace: str | None, account: str | None, node: str | None
) -> None:
    row = one(user={"username": user})
    assert (row["service_account_namespace"], row["service_account"], row["node"]) == (namespace, account, node)


def test_a_bound_token_names_its_pod_and_its_node_and_the_credential_is_dropped() -> None:
    prefix = "authentication.kubernetes.io/"
    extra = {
        f"{prefix}pod-name": ["web-1"],
        f"{prefix}pod-uid": ["7d0c5d2e-0000-4000-8000-000000000001"],
        f"{prefix}node-name": ["node-1"],
        f"{prefix}credential-id": ["JTI=c0ffee00-0000-4000-8000-000000000002"],
    }
    row = one(user={"username": "system:serviceaccount:shop:web", "extra": extra})
    assert (row["caller_pod"], row["caller_node"]) == ("web-1", "node-1")
    assert row["caller_pod_uid"] == "7d0c5d2e-0000-4000-8000-000000000001"
    assert "c0ffee00" not in str(row)


def test_the_impersonated_user_and_both_ends_of_the_way_are_kept() -> None:
    row = one(impersonatedUser={"username": "bob"}, sourceIPs=["::ffff:192.0.2.1", "198.51.100.2", "10.0.0.9"])
    assert row["impersonated_user"] == "bob"
    assert (row["source_ip"], row["last_source_ip"]) == ("192.0.2.1", "10.0.0.9")
    assert one()["impersonated_user"] is None


@pytest.mark.parametrize(
    ("agent", "family", "controller"),
    [
        ("kubelet/v1.36.2 (linux/amd64) kubernetes/98b3519", "kubelet", None),
        (
            f"{KCM}/system:serviceaccount:kube-system:replicaset-controller",
            "kube-controller-manager",
            "replicaset-controller",
        ),
        (
            "kube-scheduler/v1.22.8 (linux/amd64) kubernetes/2dca91e/leader-election",
            "kube-scheduler",
            "leader-election",
        ),
        ("coredns/v0.0.0 (linux/amd64) kubernetes/$Format", "coredns", None),
        ("Go-http-client/2.0", "Go-http-client", None),
        ("Helm/3.14.2", "Helm", None),
        ("curl", "curl", None),
        ("", "", None),
    ],
)
def test_the_family_of_an_agent_and_the_controller_in_it(agent: str, family: str, controller: str | None) -> None:
    row = one(userAgent=agent)
    assert (row["agent"], row["controller"]) == (family, controller)


def test_the_path_of_what_is_no_resource_comes_without_its_query() -> None:
    assert one(objectRef=None, requestURI="/readyz?verbose=1")["path"] == "/readyz"
    assert one()["path"] is None


def test_the_reason_of_a_decision_is_kept_and_an_empty_one_is_none() -> None:
    reason = 'RBAC: allowed by ClusterRoleBinding "a" of ClusterRole "b" to Group "c"'
    notes = {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": reason}
    assert one(annotations=notes)["decision_reason"] == reason
    assert one()["decision_reason"] is None


def test_the_oldest_events_have_their_time_in_their_metadata() -> None:
    old = {"requestReceivedTimestamp": None, "stageTimestamp": None, "apiVersion": "audit.k8s.io/v1alpha1"}
    row = one(**old, metadata={"creationTimestamp": "2017-09-11T19:55:05Z"})
    assert (row["time"], row["stage_time"]) == (datetime(2017, 9, 11, 19, 55, 5, tzinfo=UTC), None)
    assert one(metadata={"creationTimestamp": None})["time"] == datetime(2026, 1, 1, tzinfo=UTC)
    assert one(metadata={"creationTimestamp": "2017-09-11T19:55:05Z"})["time"] == datetime(2026, 1, 1, tzinfo=UTC)


def test_events_with_different_callers_keep_their_own() -> None:
    """Parts are decoded once for each distinct text, and must come back to the events that had it."""
    users = ["a", "b", "a", "c", "b", "a"]
    data = b"".join(line(i, user={"username": user}, userAgent=f"{user}/1") + b"\n" for i, user in enumerate(users))
    table, _ = read(data + line(6, user=None) + b"\n")
    assert table["user"].to_list() == [*users, None]
    assert table["agent"].to_list() == [*users, "web"]


def test_a_part_that_is_no_json_costs_its_line_only() -> None:
    broken = line(1).replace(b'"allow"', rb'"al\qlow"')
    table, ledger = read(line(0) + b"\n" + broken + b"\n" + line(2) + b"\n")
    assert table["audit_id"].to_list() == ["id-0", "id-2"]
    assert ledger.skipped == 1


def kept(**notes: Any) -> list[tuple[Any, ...]]:
    rows = rows_of(AUDIT_ANNOTATIONS, line(annotations=notes["notes"]) + b"\n")
    return [(row["annotation"], row["value"], row["seconds"], row["configuration"], row["mutated"]) for row in rows]


def test_latencies_of_the_parts_of_a_request_are_seconds() -> None:
    prefix = "apiserver.latency.k8s.io/"
    notes = {f"{prefix}total": "1.002s", f"{prefix}mutating-webhook": "750ms", f"{prefix}etcd": "nonsense"}
    assert kept(notes=notes) == [
        (f"{prefix}total", None, 1.002, None, None),
        (f"{prefix}mutating-webhook", None, 0.75, None, None),
    ]


def test_admission_webhooks_are_named_without_their_place() -> None:
    mutation = {"configuration": "mesh", "webhook": "inject.mesh.example", "mutated": True}
    notes = {
        "mutation.webhook.admission.k8s.io/round_0_index_2": json.dumps(mutation),
        "patch.webhook.admission.k8s.io/round_0_index_2": json.dumps({"patch": [{"op": "add", "value": "s3cret"}]}),
        "failed-open.mutation.webhook.admission.k8s.io/round_0_index_1": "label.example",
        "failed-open.validating.webhook.admission.k8s.io/round_0_index_0": "policy.example",
        "mutation.webhook.admission.k8s.io/round_1_index_0": "no JSON",
    }
    assert kept(notes=notes) == [
        ("mutation.webhook.admission.k8s.io", "inject.mesh.example", None, "mesh", True),
        ("failed-open.mutation.webhook.admission.k8s.io", "label.example", None, None, None),
        ("failed-open.validating.webhook.admission.k8s.io", "policy.example", None, None, None),
    ]


def test_pod_security_and_deprecated_apis_are_kept_and_others_are_not() -> None:
    notes = {
        "pod-security.kubernetes.io/audit-violations": 'would violate PodSecurity "restricted:latest"',
        "k8s.io/deprecated": "true",
        "k8s.io/removed-release": "1.25",
        "example.com/note": "x",
        "authorization.k8s.io/decision": "allow",
    }
    assert [row[:2] for row in kept(notes=notes)] == list(notes.items())[:3]


def test_annotations_belong_to_the_events_that_had_them() -> None:
    plain, old = {"a": "b"}, {"k8s.io/deprecated": "true"}
    data = b"".join(line(i, annotations=notes) + b"\n" for i, notes in enumerate((plain, old, plain, old)))
    assert [(row["number"], row["audit_id"]) for row in rows_of(AUDIT_ANNOTATIONS, data)] == [(2, "id-1"), (4, "id-3")]
