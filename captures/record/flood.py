"""The operator that two cases share: it reads and writes one object as fast as it can."""

from __future__ import annotations

from dataclasses import replace

from audit import Actor, Call, Json, ref
from cluster import new_uid, rfc3339, suffix
from controlplane import ControlPlane
from wire import SECOND

OPERATOR = "queue-operator"
USER = f"system:serviceaccount:platform:{OPERATOR}"


def operator(plane: ControlPlane, address: str, pod: str, node: str) -> Actor:
    agent = f"{OPERATOR}/v0.0.0 (linux/amd64) kubernetes/$Format"
    return plane.actors.account("platform", OPERATOR, agent, address, OPERATOR, pod=pod, node=node)


def state(plane: ControlPlane, made: int, size: int) -> Json:
    """A Queue, an object of the operator's own, of about so many bytes, made at that time."""
    shards = {f"shard-{number:03d}": "owner=queue-0;epoch=17;lag=0;" for number in range(size // 46)}
    metadata: Json = {"name": "queue-state", "namespace": "platform", "uid": new_uid(plane.rng), "resourceVersion": "0"}
    metadata["creationTimestamp"] = rfc3339(made, 0)
    return {
        "kind": "Queue",
        "apiVersion": "platform.example.com/v1",
        "metadata": metadata,
        "status": {"shards": shards},
    }


def hot_loop(
    plane: ControlPlane, actor: Actor, start: int, end: int, pause: tuple[int, int], size: int
) -> tuple[int, int]:
    """Get, update, get, update: with bodies, as the policy asks for. Some updates meet one another and fail.

    Returns how many events were written, and their bytes.
    """
    rng = plane.rng
    target = ref("queues", "platform", "queue-state", group="platform.example.com")
    body = state(plane, start - 86_400 * SECOND, size)
    version = rng.randrange(4_000_000, 5_000_000)
    at, events, written = start + rng.randrange(20_000), 0, 0
    while at < end:
        body["metadata"]["resourceVersion"] = str(version)
        read = Call(
            actor=actor,
            verb="get",
            target=target,
            level="RequestResponse",
            response=body,
            took=rng.randrange(900, 2500),
        )
        count, size = plane.log.add(at, read)
        events, written = events + count, written + size
        at += read.took + rng.randrange(1000, 4000)
        known = target | {"uid": body["metadata"]["uid"], "resourceVersion": str(version)}
        asked: Json = body | {"status": body["status"] | {"holder": suffix(rng, 5)}}
        call = Call(
            actor=actor,
            verb="update",
            target=known,
            level="RequestResponse",
            request=asked,
            took=rng.randrange(2500, 6000),
        )
        count, size = plane.log.add(at, conflict(call) if rng.random() < 0.12 else accepted(call, version + 3))
        version += 3
        events, written = events + count, written + size
        at += call.took + rng.randrange(*pause)
    return events, written


def accepted(call: Call, version: int) -> Call:
    asked = call.request or {}
    stored = asked | {"metadata": asked["metadata"] | {"resourceVersion": str(version)}}
    return replace(call, response=stored)


def conflict(call: Call) -> Call:
    text = 'Operation cannot be fulfilled on queues.platform.example.com "queue-state": the object has been modified; '
    text += "please apply your changes to the latest version and try again"
    status: Json = {"metadata": {}, "status": "Failure", "message": text, "reason": "Conflict"}
    status |= {"details": {"name": "queue-state", "group": "platform.example.com", "kind": "queues"}, "code": 409}
    return replace(call, code=409, status=status, response={"kind": "Status", "apiVersion": "v1"} | status)
