"""An hour of an apiserver's audit log in which much goes wrong: polls of all nodes, a storm of 429, a loop that floods
the log, runs of discovery, denials of pods, rollouts with bodies, a slow spell.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from benchmarks.logs import clock

NODES = 200
HOUR = 3600
STORM, FLOOD, SLOW = range(1200, 1320), range(2400, 2700), range(3000, 3120)
"""Seconds of the hour."""

Event = dict[str, Any]


def incident(count: int, chance: random.Random) -> Iterator[bytes]:
    for i in range(count):
        second = i * HOUR // count
        event = _event(i, second, chance)
        yield json.dumps(event, separators=(",", ":")).encode() + b"\n"


def _event(i: int, second: int, chance: random.Random) -> Event:
    kind = chance.random()
    if second in STORM and kind < 0.5:
        return _throttled(i, second, chance)
    if second in FLOOD and kind < 0.7:
        return _written(i, second, "operators", "widget-operator", "configmaps")
    if kind < 0.30:
        return _lease(i, second, chance)
    if kind < 0.60:
        return _listed(i, second, chance)
    if kind < 0.62:
        return _discovered(i, second, chance)
    if kind < 0.65:
        return _denied(i, second, chance)
    if kind < 0.68:
        return _rolled(i, second, chance)
    return _read(i, second, chance)


def _base(i: int, second: int, user: str, agent: str, verb: str, ip: str, **more: Any) -> Event:
    """Fields in the order of the apiserver, bodies before the times."""
    latency = 4000 if second not in SLOW else 900_000
    begun = second * 10**6 + i % 10**6
    level = "RequestResponse" if "responseObject" in more else "Metadata"
    status = more.pop("responseStatus", {"metadata": {}, "code": 200})
    decision = {} if status["code"] == 429 else {"authorization.k8s.io/decision": "allow"}
    uri = more.pop("requestURI", "/api/v1/x")
    target: Event = {"objectRef": more.pop("objectRef")} if "objectRef" in more else {}
    return {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": level,
        "auditID": f"{i:08x}-0000-4000-8000-{i:012x}",
        "stage": "ResponseComplete",
        "requestURI": uri,
        "verb": verb,
        "user": {"username": user, "groups": ["system:authenticated"]},
        "sourceIPs": [ip],
        "userAgent": f"{agent}/v1.36.2 (linux/amd64) kubernetes/3d8a7f2",
        **target,
        "responseStatus": status,
        **more,
        "requestReceivedTimestamp": clock(begun) + "Z",
        "stageTimestamp": clock(begun + latency) + "Z",
        "annotations": decision,
    }


def _ref(resource: str, namespace: str = "", name: str = "", group: str = "") -> Event:
    told = {"resource": resource, "namespace": namespace, "name": name, "apiGroup": group, "apiVersion": "v1"}
    return {key: value for key, value in told.items() if value}


def _account(namespace: str, name: str) -> str:
    return f"system:serviceaccount:{namespace}:{name}"


def _lease(i: int, second: int, chance: random.Random) -> Event:
    node = chance.randrange(NODES)
    ref = _ref("leases", "kube-node-lease", f"node-{node}", "coordination.k8s.io")
    return _base(i, second, f"system:node:node-{node}", "kubelet", "update", f"10.0.1.{node}", objectRef=ref)


def _listed(i: int, second: int, chance: random.Random) -> Event:
    node, agent = chance.randrange(NODES), chance.choice(("node-agent", "log-shipper", "mesh-agent"))
    uri = "/api/v1/pods?limit=500&resourceVersion=0"
    user = _account("monitoring", agent)
    return _base(i, second, user, agent, "list", f"10.0.1.{node}", requestURI=uri, objectRef=_ref("pods"))


def _throttled(i: int, second: int, chance: random.Random) -> Event:
    made = _listed(i, second, chance) if chance.random() < 0.9 else _lease(i, second, chance)
    return made | {"responseStatus": {"metadata": {}, "code": 429}, "annotations": {}}


def _discovered(i: int, second: int, chance: random.Random) -> Event:
    uri = f"/apis/group-{i % 40}.example.com/v1?timeout=32s"
    return _base(i, second, _account("ops", "backup"), "kubectl", "get", "10.0.12.9", requestURI=uri)


def _denied(i: int, second: int, chance: random.Random) -> Event:
    text = 'admission webhook "image-policy.example.com" denied the request: image tag is not allowed'
    status = {"metadata": {}, "status": "Failure", "message": text, "code": 403}
    namespace = f"team-{chance.randrange(20)}"
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"web-{i % 30}-5d9c7f6b8", "controller": True}
    body = {"metadata": {"generateName": "web-", "ownerReferences": [owner]}, "spec": _pod(i)}
    user = _account("kube-system", "replicaset-controller")
    ref, agent = _ref("pods", namespace), "kube-controller-manager"
    made = _base(
        i, second, user, agent, "create", "10.0.12.5", objectRef=ref, responseStatus=status, requestObject=body
    )
    return made | {"level": "Request"}


def _pod(i: int) -> Event:
    requests = {"cpu": "250m", "memory": "256Mi"}
    return {"containers": [{"name": "web", "image": f"web:{i % 100}", "resources": {"requests": requests}}]}


def _rolled(i: int, second: int, chance: random.Random) -> Event:
    namespace, name = f"team-{chance.randrange(20)}", f"web-{chance.randrange(30)}"
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": name}}, "template": {"spec": _pod(i)}}
    body = {"kind": "Deployment", "metadata": {"name": name, "namespace": namespace}, "spec": spec}
    ref = _ref("deployments", namespace, name, "apps")
    user = _account("ci", "deployer")
    more = {"objectRef": ref, "requestObject": body, "responseObject": body}
    return _base(i, second, user, "kubectl", "patch", "10.0.12.90", **more)


def _written(i: int, second: int, namespace: str, account: str, resource: str) -> Event:
    body = {"kind": "ConfigMap", "data": {"state": "x" * 600}}
    ref = _ref(resource, namespace, "state")
    more = {"objectRef": ref, "requestObject": body, "responseObject": body}
    return _base(i, second, _account(namespace, account), account, "update", "10.244.3.7", **more)


def _read(i: int, second: int, chance: random.Random) -> Event:
    agent = f"controller-{chance.randrange(40)}"
    ref = _ref(chance.choice(("services", "endpoints", "configmaps")), f"team-{i % 20}", f"x-{i % 300}")
    verb = chance.choice(("get", "get", "watch", "update"))
    status: Event = {"metadata": {}, "code": 500 if second in SLOW and i % 50 == 0 else 200}
    user = _account(f"team-{i % 20}", agent)
    return _base(i, second, user, agent, verb, f"10.244.{i % 8}.9", objectRef=ref, responseStatus=status)
