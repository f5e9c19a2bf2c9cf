from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.facts.pod_owners import POD_OWNERS
from analyzer.frames import AUDIT_EVENTS, AUDIT_OBJECTS
from tests.build import at, frames_for, rows

DONE: dict[str, Any] = {"stage": "ResponseComplete", "code": 200, "verb": "get", "namespace": "shop"}


def named(resource: str, name: str, **changed: Any) -> dict[str, Any]:
    return DONE | {"resource": resource, "name": name} | changed


def body(resource: str, name: str, kind: str | None, owner: str | None, **changed: Any) -> dict[str, Any]:
    told = {"resource": resource, "name": name, "owner_kind": kind, "owner_name": owner, "namespace": "shop"}
    return told | {"body": "response"} | changed


def owners(*events: dict[str, Any], bodies: tuple[dict[str, Any], ...] = ()) -> list[dict[str, Any]]:
    numbered = [{"audit_id": f"id-{i}"} | event for i, event in enumerate(events)]
    given = {AUDIT_EVENTS: rows(AUDIT_EVENTS, *numbered), AUDIT_OBJECTS: rows(AUDIT_OBJECTS, *bodies)}
    return frames_for([POD_OWNERS], given)[POD_OWNERS].collect().rows(named=True)


def chain(row: dict[str, Any]) -> tuple[str | None, ...]:
    return tuple(row[key] for key in ("owner_kind", "owner", "workload_kind", "workload", "told_by"))


@pytest.mark.parametrize(
    ("pod", "told"),
    [
        ("web-74d75456f5-x2lkq", ("ReplicaSet", "web-74d75456f5", "Deployment", "web", "name")),
        ("web-4567894567-x2lkq", ("ReplicaSet", "web-4567894567", "Deployment", "web", "name")),
        ("report-29921704-ng2wl", ("Job", "report-29921704", "CronJob", "report", "name")),
        ("report-1577883600-ng2wl", ("Job", "report-1577883600", "CronJob", "report", "name")),
        ("db-0", ("StatefulSet", "db", "StatefulSet", "db", "name")),
        ("kube-dns-x2lkq", (None, None, None, None, None)),
        ("debug", (None, None, None, None, None)),
    ],
)
def test_the_form_of_a_name_tells_the_chain(pod: str, told: tuple[str | None, ...]) -> None:
    [row] = owners(named("pods", pod))
    assert chain(row) == told


def test_requests_that_name_the_owner_tell_what_a_name_leaves_open() -> None:
    [agent, import_job] = owners(
        named("pods", "agent-x2lkq"),
        named("pods", "import-9wxzk"),
        named("daemonsets", "agent"),
        named("jobs", "import"),
    )
    assert chain(agent) == ("DaemonSet", "agent", "DaemonSet", "agent", "object")
    assert chain(import_job) == ("Job", "import", "Job", "import", "object")


def test_the_chain_is_as_sure_as_its_weakest_link() -> None:
    pod, replicas = named("pods", "web-74d75456f5-x2lkq"), named("replicasets", "web-74d75456f5")
    told = [chain(owners(pod, *more)[0])[-1] for more in ((), (replicas,), (replicas, named("deployments", "web")))]
    assert told == ["name", "name", "object"]


def test_owner_references_in_bodies_are_believed_before_names() -> None:
    [row] = owners(
        named("pods", "db-0"),
        bodies=(
            body("pods", "db-0", "ReplicaSet", "odd", time=1),
            body("replicasets", "odd", "Deployment", "even", time=2),
        ),
    )
    assert chain(row) == ("ReplicaSet", "odd", "Deployment", "even", "body")


def test_a_job_of_a_cron_job_by_its_own_reference() -> None:
    [row] = owners(
        named("pods", "sync-x2lkq"),
        bodies=(body("pods", "sync-x2lkq", "Job", "sync"), body("jobs", "sync", "CronJob", "nightly")),
    )
    assert chain(row) == ("Job", "sync", "CronJob", "nightly", "body")


def test_a_static_pod_belongs_to_its_node() -> None:
    [row] = owners(named("pods", "etcd-node-1", namespace="kube-system", node="node-1"))
    assert chain(row) == ("Node", "node-1", "Node", "node-1", "object")


def test_a_namesake_in_another_namespace_tells_nothing() -> None:
    [row] = owners(named("pods", "agent-x2lkq"), named("daemonsets", "agent", namespace="pay"))
    assert chain(row) == (None,) * 5


def test_an_owner_that_was_asked_for_and_not_found_tells_nothing() -> None:
    [row] = owners(named("pods", "agent-x2lkq"), named("daemonsets", "agent", code=404))
    assert row["owner"] is None


def test_a_pod_that_calls_is_a_pod_too() -> None:
    caller = {"service_account_namespace": "shop", "caller_pod": "web-74d75456f5-x2lkq", "resource": "configmaps"}
    [row] = owners(DONE | {"namespace": "kube-system", "name": "x"} | caller)
    assert (row["namespace"], row["pod"], row["workload"]) == ("shop", "web-74d75456f5-x2lkq", "web")


def test_a_pod_stands_once_with_its_first_place() -> None:
    [row] = owners(
        named("pods", "db-0", time=5), named("pods", "db-0", time=2), bodies=(body("pods", "db-0", None, None),)
    )
    assert (row["time"], row["number"]) == (at(0), 1)


def test_requests_that_name_no_pod_give_no_row() -> None:
    assert owners(DONE | {"resource": "pods", "verb": "list"}, named("services", "db-0")) == []


def test_no_rows_give_none() -> None:
    assert owners() == []


def test_is_derived_without_bodies() -> None:
    given = {AUDIT_EVENTS: rows(AUDIT_EVENTS, named("pods", "db-0"))}
    assert frames_for([POD_OWNERS], given)[POD_OWNERS].select(pl.len()).collect().item() == 1
