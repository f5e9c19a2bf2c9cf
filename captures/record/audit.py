"""kube-apiserver's audit log: events field by field in the order in which the server writes them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cluster import AGENT_TAIL, Node, new_uid, rfc3339
from wire import write

Json = dict[str, Any]
REF_ORDER = ("resource", "namespace", "name", "uid", "apiGroup", "apiVersion", "resourceVersion", "subresource")
WRITES = ("create", "update", "patch")
STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete")
TOO_MANY: Json = {"metadata": {}, "code": 429}
"""All that the audit log says of a request that the server was too busy for."""
PDB: Json = {
    "metadata": {},
    "status": "Failure",
    "message": "Cannot evict pod as it would violate the pod's disruption budget.",
    "reason": "TooManyRequests",
    "details": {"causes": [{"reason": "DisruptionBudget", "message": ""}]},
    "code": 429,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asks: identity, credential, program and address."""

    username: str
    groups: tuple[str, ...]
    agent: str
    ip: str
    reason: str = ""
    uid: str = ""
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def user(self) -> Json:
        user: Json = {"username": self.username}
        if self.uid:
            user["uid"] = self.uid
        user["groups"] = list(self.groups)
        if self.extra:
            user["extra"] = {key: [value] for key, value in self.extra}
        return user


@dataclass
class Actors:
    """Makes identities with their credentials."""

    rng: random.Random

    def _certificate(self) -> tuple[tuple[str, str], ...]:
        return (("authentication.kubernetes.io/credential-id", f"X509SHA256={self.rng.getrandbits(256):064x}"),)

    def kubelet(self, node: Node) -> Actor:
        return Actor(
            username=f"system:node:{node.name}",
            groups=("system:nodes", "system:authenticated"),
            agent=f"kubelet/{AGENT_TAIL}",
            ip=node.ip,
            extra=self._certificate(),
        )

    def component(self, name: str, ip: str, tail: str = "") -> Actor:
        """The scheduler or the controller manager under its own certificate."""
        own = f'"system:{name}"'
        reason = f"RBAC: allowed by ClusterRoleBinding {own} of ClusterRole {own} to User {own}"
        groups = ("system:authenticated",)
        agent = f"{name}/{AGENT_TAIL}" + (f"/{tail}" if tail else "")
        return Actor(
            username=f"system:{name}", groups=groups, agent=agent, ip=ip, reason=reason, extra=self._certificate()
        )

    def account(
        self, namespace: str, name: str, agent: str, ip: str, role: str, pod: str = "", node: str = ""
    ) -> Actor:
        """A service account. `pod` and `node` are known where the token is bound to a pod."""
        extra = [("authentication.kubernetes.io/credential-id", f"JTI={new_uid(self.rng)}")]
        if node:
            extra += [("authentication.kubernetes.io/node-name", node)]
            extra += [("authentication.kubernetes.io/node-uid", new_uid(self.rng))]
        if pod:
            extra += [("authentication.kubernetes.io/pod-name", pod)]
            extra += [("authentication.kubernetes.io/pod-uid", new_uid(self.rng))]
        subject = f'ServiceAccount "{name}/{namespace}"'
        return Actor(
            username=f"system:serviceaccount:{namespace}:{name}",
            uid=new_uid(self.rng),
            groups=("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"),
            agent=agent,
            ip=ip,
            reason=f'RBAC: allowed by ClusterRoleBinding "{name}" of ClusterRole "{role}" to {subject}',
            extra=tuple(sorted(extra)),
        )

    def controller(self, name: str, ip: str) -> Actor:
        """A controller inside the controller manager."""
        agent = f"kube-controller-manager/{AGENT_TAIL}/system:serviceaccount:kube-system:{name}"
        return self.account("kube-system", name, agent, ip, f"system:controller:{name}")

    def apiserver(self, ip: str) -> Actor:
        groups = ("system:authenticated", "system:masters")
        uid = new_uid(self.rng)
        return Actor(username="system:apiserver", uid=uid, groups=groups, agent=f"kube-apiserver/{AGENT_TAIL}", ip=ip)


def ref(
    resource: str, namespace: str = "", name: str = "", *, group: str = "", sub: str = "", version: str = "v1"
) -> Json:
    """An objectRef; only what is not empty, in the order of the type."""
    values = {"resource": resource, "namespace": namespace, "name": name, "apiGroup": group, "apiVersion": version}
    values["subresource"] = sub
    return {key: value for key, value in values.items() if value}


def uri(target: Json, query: str = "") -> str:
    """The request's path for an objectRef."""
    group = target.get("apiGroup")
    parts = ["/apis", group, target["apiVersion"]] if group else ["/api", target["apiVersion"]]
    if target.get("namespace"):
        parts += ["namespaces", target["namespace"]]
    parts += [target["resource"], target.get("name"), target.get("subresource")]
    return "/".join(str(part) for part in parts if part) + (f"?{query}" if query else "")


def stored(target: Json, actor: Actor) -> Json:
    """A small object of that kind, as the server would return it."""
    group = target.get("apiGroup")
    version = f"{group}/{target['apiVersion']}" if group else target["apiVersion"]
    kind = {"leases": "Lease", "nodes": "Node", "pods": "Pod", "configmaps": "ConfigMap"}.get(
        target["resource"], "Object"
    )
    metadata = {key: target[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in target}
    return {"kind": kind, "apiVersion": version, "metadata": metadata, "spec": {"holderIdentity": actor.username}}


def encode(document: Json) -> bytes:
    """JSON as Go writes it: no blanks, and `&`, `<`, `>` escaped."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e").encode() + b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. `took` in microseconds; for a watch, how long it stayed open."""

    actor: Actor
    verb: str
    target: Json | None = None
    path: str = ""
    query: str = ""
    code: int = 200
    took: int = 2000
    status: Json | None = None
    level: str = "Metadata"
    request: Json | None = None
    response: Json | None = None
    notes: tuple[tuple[str, str], ...] = ()
    """Further annotations; they stand for those of the latency."""


@dataclass
class AuditLog:
    """Collects the events of one server and cuts them into files."""

    rng: random.Random
    omit_received: bool = False
    level: str = ""
    """The level of a policy with one rule for everything; empty where each request says its own."""
    lines: list[tuple[int, int, bytes]] = field(default_factory=list)
    times: list[tuple[int, str]] = field(default_factory=list)
    """When each request came, and who sent it."""

    def add(self, at: int, call: Call) -> tuple[int, int]:
        """Write one request; returns how many events it is and their bytes."""
        call = self._by_policy(call)
        head: Json = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": call.level,
            "auditID": new_uid(self.rng),
        }
        where: Json = {"requestURI": call.path or uri(call.target or {}, call.query), "verb": call.verb}
        where |= {"user": call.actor.user, "sourceIPs": [call.actor.ip], "userAgent": call.actor.agent}
        status = call.status or {"metadata": {}, "code": call.code}
        rejected = status == TOO_MANY
        stages = list(STAGES if call.verb == "watch" else STAGES[::2])[1 if self.omit_received else 0 :]
        started = at + min(call.took, 1500)
        size = 0
        for stage in stages:
            event = head | {"stage": stage} | where
            if call.target:
                known = ("uid", "resourceVersion") if stage == "RequestReceived" else ()
                event["objectRef"] = {
                    key: call.target[key] for key in REF_ORDER if key in call.target and key not in known
                }
            then = {"RequestReceived": at, "ResponseStarted": started, "ResponseComplete": at + call.took}[stage]
            if stage != "RequestReceived":
                event["responseStatus"] = status
            if stage == "ResponseComplete":
                event |= {"requestObject": call.request} if call.request else {}
                event |= {"responseObject": call.response} if call.response else {}
            event |= {"requestReceivedTimestamp": rfc3339(at), "stageTimestamp": rfc3339(then)}
            if stage != "RequestReceived" and not rejected:
                event["annotations"] = self._annotations(call)
            line = encode(event)
            size += len(line)
            # The server's writers overtake one another by a moment.
            self.lines.append((then + self.rng.randrange(400), len(self.lines), line))
        self.times.append((at, call.actor.username))
        return len(stages), size

    def _by_policy(self, call: Call) -> Call:
        """Metadata for all drops the bodies; RequestResponse for all makes them where the request has none, but for
        tokens, which every policy should spare."""
        if not self.level or (call.target or {}).get("subresource") == "token":
            return call
        if self.level == "Metadata":
            return replace(call, level="Metadata", request=None, response=None)
        call = replace(call, level=self.level)
        if call.response or not call.target or call.status or call.verb not in (*WRITES, "get"):
            return call
        body = stored(call.target, call.actor)
        return replace(call, request=call.request or (body if call.verb in WRITES else None), response=body)

    def _annotations(self, call: Call) -> Json:
        notes: Json = {}
        if call.notes:
            notes |= dict(call.notes)
        elif call.took > 500_000 and call.verb != "watch":
            notes["apiserver.latency.k8s.io/etcd"] = f"{call.took * 0.11 / 1000:.6f}ms"
            notes["apiserver.latency.k8s.io/response-write"] = "1.012µs"
            notes["apiserver.latency.k8s.io/serialize-response-object"] = f"{call.took * 0.2 / 1000:.6f}ms"
            notes["apiserver.latency.k8s.io/total"] = f"{call.took / 1000:.6f}ms"
        notes |= {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": call.actor.reason}
        return notes

    def save(self, folder: Path, cuts: Sequence[int] = ()) -> None:
        """`audit.log`, and for every cut a rotated part named after the moment at which it was put aside."""
        ordered = sorted(self.lines)
        for old in folder.glob("audit*.log*"):
            old.unlink()
        begin = 0
        for cut in [*cuts, None]:
            end = len(ordered) if cut is None else sum(1 for at, _, _ in ordered if at < cut)
            data = b"".join(line for _, _, line in ordered[begin:end])
            begin = end
            if cut is None:
                write(folder / "audit.log", data)
            else:
                stamp = rfc3339(cut).replace(":", "-")[:23]
                write(folder / f"audit-{stamp}.log.gz", data)
