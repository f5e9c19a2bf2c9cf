"""What happened to pods, by every channel, and their stops."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.facts.pod_life import POD_LIFE
from analyzer.facts.pod_stops import POD_STOPS
from analyzer.frames import AUDIT_EVENTS, AUDIT_OBJECTS, KLOG_LINES, KUBE_EVENTS, Table
from tests.build import at, frames_for, rows

Given = dict[Table, pl.LazyFrame]
NODE = "system:node:n1"


def life(given: Given) -> list[tuple[Any, ...]]:
    frame = frames_for([POD_LIFE], given)[POD_LIFE].collect()
    return frame.select("channel", "what", "namespace", "pod", "node").rows()


def request(seconds: float, **changed: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"time": seconds, "stage": "ResponseComplete", "resource": "pods", "namespace": "data"}
    return made | {"audit_id": f"a{seconds}", "code": 200, "name": "db-0", "user": "ops", "verb": "delete"} | changed


def klog(*lines: tuple[float, str, str]) -> Given:
    made = [
        {"time": time, "text": text, "pod": pod or None, "host": "n1"}
        | {"message": text.split('"')[1] if text.startswith('"') else text}
        for time, text, pod in lines
    ]
    return {KLOG_LINES: rows(KLOG_LINES, *made)}


def pleg(kind: str, pod: str = "data/db-0") -> str:
    return f'"SyncLoop (PLEG): event for pod" pod="{pod}" event={{"ID":"x","Type":"{kind}","Data":"y"}}'


def test_requests_tell_of_deletions_placements_and_whom_a_kubelet_has() -> None:
    events = [
        request(1, verb="create", subresource="binding", code=201),
        request(2, verb="patch", subresource="status", user=NODE, node="n1"),
        request(3, verb="patch", subresource="status", user=NODE, node="n1"),
        request(4, verb="get", user=NODE, node="n1"),
        request(5, verb="create", subresource="eviction", code=201),
        request(6),
        request(7, user=NODE, node="n1"),
        request(8, code=404),
        request(8.5, uri="/api/v1/namespaces/data/pods/db-0?dryRun=All"),
        request(9, verb="list", name=None),
    ]
    body = {"time": 1, "number": 1, "resource": "pods", "subresource": "binding", "node_name": "n1", "body": "request"}
    given = {AUDIT_EVENTS: rows(AUDIT_EVENTS, *events), AUDIT_OBJECTS: rows(AUDIT_OBJECTS, body)}
    assert life(given) == [
        ("audit", "placed", "data", "db-0", "n1"),
        ("audit", "told", "data", "db-0", "n1"),
        ("audit", "told", "data", "db-0", "n1"),
        ("audit", "evicted", "data", "db-0", None),
        ("audit", "deleted", "data", "db-0", None),
        ("audit", "gone", "data", "db-0", "n1"),
    ]


@pytest.mark.parametrize(
    ("text", "pod", "what"),
    [
        (pleg("ContainerStarted"), "data/db-0", "started"),
        (pleg("ContainerDied"), "data/db-0", "died"),
        ('SyncLoop (PLEG): "db-0_data(u)", event: &pleg.PodLifecycleEvent{ID:"u", Type:"ContainerDied", Data:"y"}',
         "data/db-0", "died"),
        ('"SyncLoop DELETE" source="api" pods=["data/db-0"]', "", "deleted"),
        ('"SyncLoop REMOVE" source="api" pods=["data/db-0"]', "", "gone"),
        ('SyncLoop (DELETE, "api"): "db-0_data(u)"', "data/db-0", "deleted"),
        ('SyncLoop (REMOVE, "api"): "db-0_data(u)"', "data/db-0", "gone"),
        ('"SyncLoop (probe)" probe="readiness" status="ready" pod="data/db-0"', "data/db-0", "ready"),
        ('"SyncLoop (probe)" probe="readiness" status="" pod="data/db-0"', "data/db-0", "unready"),
        ('"SyncLoop (probe)" probe="readiness" status="not ready" pod="data/db-0"', "data/db-0", "unready"),
        ('"Killing container with a grace period" pod="data/db-0" podUID="u"', "data/db-0", "killing"),
        ('Killing container "docker://ab" with 30 second grace period', "data/db-0", "killing"),
    ],
)  # fmt: skip
def test_a_kubelet_tells_of_every_turn(text: str, pod: str, what: str) -> None:
    assert life(klog((1, text, pod))) == [("log", what, "data", "db-0", "n1")]


@pytest.mark.parametrize(
    "text",
    ['"SyncLoop (probe)" probe="liveness" status="unhealthy" pod="data/db-0"', pleg("ContainerRemoved"), '"Other"'],
)
def test_other_lines_tell_nothing(text: str) -> None:
    assert life(klog((1, text, "data/db-0"))) == []


def test_a_scheduler_tells_where_it_placed_a_pod() -> None:
    line = '"Successfully bound pod to node" pod="data/db-0" node="n7" evaluatedNodes=5 feasibleNodes=1'
    assert life(klog((1, line, "data/db-0"))) == [("log", "placed", "data", "db-0", "n7")]


def test_events_tell_of_their_first_and_last_occurrence() -> None:
    event = {"kind": "Pod", "namespace": "data", "name": "db-0", "type": "Normal", "count": 1, "event_uid": "e"}
    placed = event | {"reason": "Scheduled", "message": "Successfully assigned data/db-0 to n2", "event_uid": "f"}
    started = event | {"reason": "Started", "message": "Started container db", "node": "n2", "count": 3}
    given = {KUBE_EVENTS: rows(KUBE_EVENTS, placed | {"time": 1}, started | {"time": 90, "first_time": 5})}
    assert life(given) == [
        ("event", "placed", "data", "db-0", "n2"),
        ("event", "started", "data", "db-0", "n2"),
        ("event", "started", "data", "db-0", "n2"),
    ]


def stops(given: Given) -> list[tuple[Any, ...]]:
    frame = frames_for([POD_STOPS], given)[POD_STOPS].collect()
    return frame.select("time", "pod", "how", "again", "back").rows()


KILL = '"Killing container with a grace period" pod="data/db-0" podUID="u"'
READY = '"SyncLoop (probe)" probe="readiness" status="ready" pod="data/db-0"'


def test_a_stop_runs_from_the_deletion_to_readiness() -> None:
    given = klog(
        (1, pleg("ContainerStarted"), "data/db-0"),
        (300, '"SyncLoop DELETE" source="api" pods=["data/db-0"]', ""),
        (300.1, KILL, "data/db-0"),
        (330, pleg("ContainerDied"), "data/db-0"),
        (332, pleg("ContainerStarted"), "data/db-0"),
        (334, pleg("ContainerDied"), "data/db-0"),
        (335, pleg("ContainerStarted"), "data/db-0"),
        (350, READY, "data/db-0"),
    )
    assert stops(given) == [(at(300), "db-0", "deleted", at(332), at(350))]


def test_without_readiness_the_last_start_counts_and_an_old_start_begins_another_stop() -> None:
    given = klog(
        (1, KILL, "data/db-0"),
        (3, pleg("ContainerStarted"), "data/db-0"),
        (70, pleg("ContainerDied"), "data/db-0"),
    )
    assert stops(given) == [(at(1), "db-0", "killing", at(3), at(3)), (at(70), "db-0", "died", None, None)]


def test_init_containers_of_a_new_pod_are_no_stop() -> None:
    place = '"Successfully bound pod to node" pod="data/db-0" node="n1"'
    given = klog(
        (1, place, "data/db-0"),
        (2, pleg("ContainerStarted"), "data/db-0"),
        (200, pleg("ContainerDied"), "data/db-0"),
        (201, pleg("ContainerStarted"), "data/db-0"),
    )
    assert stops(given) == []
