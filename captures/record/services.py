"""Services in the audit log, as people apply them and as the cloud answers; callers without a credential."""

from __future__ import annotations

from dataclasses import dataclass, field

from audit import Actor, Call, Json, ref
from cluster import new_uid, rfc3339
from controlplane import MASTER, ControlPlane
from wire import SECOND

NOBODY = "system:anonymous"


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A service with one port."""

    namespace: str
    name: str
    type: str
    port: int
    target: int | str
    node_port: int = 0
    annotations: Json = field(default_factory=dict)
    ranges: tuple[str, ...] = ()
    labels: Json = field(default_factory=dict)

    def body(self, at: int, uid: str = "", ingress: Json | None = None) -> Json:
        """As it is sent; with a uid, as the server answers."""
        metadata: Json = {"name": self.name, "namespace": self.namespace}
        metadata |= {"annotations": self.annotations} if self.annotations else {}
        port: Json = {"name": "main", "protocol": "TCP", "port": self.port, "targetPort": self.target}
        port |= {"nodePort": self.node_port} if uid and self.node_port else {}
        spec: Json = {"ports": [port], "selector": self.labels or {"app": self.name}, "type": self.type}
        spec |= {"loadBalancerSourceRanges": list(self.ranges)} if self.ranges else {}
        if uid:
            metadata |= {"uid": uid, "resourceVersion": "4480123", "creationTimestamp": rfc3339(at, 0)}
            spec |= {"clusterIP": "10.96.220.7", "clusterIPs": ["10.96.220.7"], "sessionAffinity": "None"}
        status: Json = {"loadBalancer": {"ingress": [ingress]} if ingress else {}}
        return {"kind": "Service", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": status}


def create(plane: ControlPlane, at: int, actor: Actor, one: Opened, ingress: Json | None = None) -> int:
    """Apply it, and for a load balancer say 40 s later where it stands; returns when it is there."""
    uid = new_uid(plane.rng)
    target = ref("services", one.namespace, one.name)
    first = one.body(at)
    call = Call(
        actor=actor,
        verb="create",
        target=target,
        query="fieldManager=kubectl-client-side-apply",
        code=201,
        level="RequestResponse",
        request=first,
        response=one.body(at, uid),
        took=9000,
    )
    plane.log.add(at, call)
    if ingress is None:
        return at
    controller = plane.actors.controller("service-controller", MASTER)
    later = at + 40 * SECOND
    status = ref("services", one.namespace, one.name, sub="status")
    patch: Json = {"status": {"loadBalancer": {"ingress": [ingress]}}}
    body = one.body(at, uid, ingress)
    call = Call(actor=controller, verb="patch", target=status, level="RequestResponse", request=patch, response=body)
    plane.log.add(later, call)
    return later


def nobody(ip: str, agent: str, reason: str) -> Actor:
    """A caller without a credential."""
    return Actor(username=NOBODY, groups=("system:unauthenticated",), agent=agent, ip=ip, reason=reason)
