"""Containers that ended, as the bodies of pods tell it: ids, codes and times, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.facts.container_ends import CONTAINER_ENDS
from analyzer.frames import AUDIT_CONTAINERS, KLOG_LINES
from tests.build import at, frames_for, rows
from tests.sources.audit_log import line, rows_of

ID = "ab" * 32
KUBELET = {"username": "system:node:ip-10-0-12-33.ec2.internal", "groups": ["system:nodes"]}
KILLED: dict[str, Any] = {
    "containerID": f"containerd://{ID}",
    "exitCode": 137,
    "reason": "Error",
    "message": "password=s3cret",
    "startedAt": "2026-01-01T00:00:00Z",
    "finishedAt": "2026-01-01T00:00:20Z",
}


def container(end: Any, state: str = "state", name: Any = "web") -> dict[str, Any]:
    return {"name": name, "state": {"running": {}}, state: {"terminated": end}}


def status(*containers: Any, kind: str = "containerStatuses") -> dict[str, Any]:
    return {"metadata": {"uid": "u"}, "status": {"phase": "Running", kind: list(containers)}}


def patched(body: Any, **changed: Any) -> bytes:
    reference = {"resource": "pods", "namespace": "shop", "name": "web-1", "subresource": "status"}
    event = {"verb": "patch", "level": "Request", "user": KUBELET, "objectRef": reference, "requestObject": body}
    return line(**(event | changed)) + b"\n"


def told(data: bytes) -> list[dict[str, Any]]:
    return rows_of(AUDIT_CONTAINERS, data)


def test_the_status_that_a_kubelet_writes_tells_how_a_container_ended() -> None:
    [row] = told(patched(status(container(KILLED))))
    assert (row["namespace"], row["pod"], row["container"], row["container_id"]) == ("shop", "web-1", "web", ID)
    assert (row["exit_code"], row["reason"], row["node"]) == (137, "Error", "ip-10-0-12-33.ec2.internal")
    assert (row["started_at"].second, row["finished_at"].second, row["number"]) == (0, 20, 1)


@pytest.mark.parametrize("kind", ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"])
@pytest.mark.parametrize("state", ["state", "lastState"])
def test_all_kinds_of_containers_and_the_state_before(kind: str, state: str) -> None:
    assert [row["exit_code"] for row in told(patched(status(container(KILLED, state), kind=kind)))] == [137]


def test_the_pod_in_an_answer_tells_it_too_and_one_container_is_told_once() -> None:
    body = status(container(KILLED))
    [row] = told(patched(body, level="RequestResponse", responseObject=body))
    assert row["exit_code"] == 137
    reference = {"resource": "pods", "namespace": "shop", "name": "web-1"}
    read = patched(None, verb="get", objectRef=reference, level="RequestResponse", responseObject=body)
    assert len(told(read)) == 1


@pytest.mark.parametrize(
    "body",
    [
        status(container(None)),
        status(container(KILLED | {"containerID": ""})),
        status(container(KILLED | {"containerID": "containerd://<script>"})),
        status(container(KILLED | {"exitCode": "137"})),
        status(container(KILLED | {"exitCode": True})),
        status(container(KILLED | {"exitCode": 1 << 40})),
        status("terminated"),
        {"status": None, "terminated": 1},
        {"status": {"containerStatuses": {"terminated": {}}}},
    ],
)
def test_what_is_no_end_of_a_container_is_none(body: Any) -> None:
    assert told(patched(body)) == []


def test_lists_refusals_and_other_objects_are_not_looked_into() -> None:
    body = status(container(KILLED))
    assert told(patched(None, verb="list", level="RequestResponse", responseObject={"items": [body]})) == []
    assert told(patched(body, responseStatus={"metadata": {}, "code": 409})) == []
    assert told(patched(body, objectRef={"resource": "jobs", "namespace": "shop", "name": "j"})) == []


def test_no_message_and_no_odd_word_leaves_a_body() -> None:
    odd = KILLED | {"reason": "s3cret!", "startedAt": "s3cret", "finishedAt": "0001-01-01T00:00:00Z"}
    [row] = told(patched(status(container(odd, name="s3cret/../x"))))
    assert (row["container"], row["reason"], row["started_at"], row["finished_at"]) == (None, None, None, None)
    assert "s3cret" not in str(told(patched(status(container(KILLED)))))


def test_a_log_of_the_node_tells_when_and_the_status_with_which_code() -> None:
    died = (
        f'SyncLoop (PLEG): "web-1_shop(u)", event: &pleg.PodLifecycleEvent{{ID:"u", Type:"ContainerDied", Data:"{ID}"}}'
    )
    logged = {"time": 19.5, "host": "n1", "component": "kubelet", "text": died, "message": died}
    by_status = {"time": 25, "namespace": "shop", "pod": "web-1", "node": "n1.example", "container_id": ID}
    by_status |= {"exit_code": 137, "finished_at": at(19)}
    frames = {AUDIT_CONTAINERS: rows(AUDIT_CONTAINERS, by_status, source="audit.log")}
    [row] = frames_for([CONTAINER_ENDS], frames)[CONTAINER_ENDS].collect().to_dicts()
    assert (row["time"], row["exit_code"], row["node"], row["pod"]) == (at(19.999999), 137, "n1", "shop/web-1")
    frames[KLOG_LINES] = rows(KLOG_LINES, logged, source="kubelet.log")
    [row] = frames_for([CONTAINER_ENDS], frames)[CONTAINER_ENDS].collect().to_dicts()
    assert (row["time"], row["exit_code"], row["source"]) == (at(19.5), 137, "audit.log")
    frames[AUDIT_CONTAINERS] = rows(AUDIT_CONTAINERS, by_status | {"finished_at": at(17)}, source="audit.log")
    [row] = frames_for([CONTAINER_ENDS], frames)[CONTAINER_ENDS].collect().to_dicts()
    assert row["time"] == at(19.5), "the node's own log, whatever the other says"
