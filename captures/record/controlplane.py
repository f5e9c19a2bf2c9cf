"""The steady traffic of a healthy control plane: leases, elections, watches, controllers, people."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from audit import PDB, TOO_MANY, Actor, Actors, AuditLog, Call, Json, ref
from cluster import AGENT_TAIL, Node, Pod, new_uid, rfc3339
from wire import SECOND

MASTER = "10.0.12.5"
REPLACED = 3_200_000
"""How long a node is without its agent while a DaemonSet rolls."""


@dataclass
class ControlPlane:
    """One API server and those who talk to it. While the overload lasts it turns requests away."""

    log: AuditLog
    nodes: Sequence[Node]
    rng: random.Random
    kubelets: dict[str, Actor] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    """Rejections by user agent family, each request once."""
    overload: tuple[int, int] = (0, 0)
    refuse: float = 0.0
    """The share of requests that are rejected while the overload lasts."""
    turned_away: list[tuple[int, Call]] = field(default_factory=list)
    gave_up: list[tuple[int, Call]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.actors = Actors(self.rng)
        for node in self.nodes:
            self.kubelets[node.name] = self.actors.kubelet(node)
        self.manager = self.actors.component("kube-controller-manager", MASTER, "leader-election")
        self.scheduler = self.actors.component("kube-scheduler", MASTER, "leader-election")
        self.server = self.actors.apiserver("::1")
        self.deployer = self.actors.account("ci", "deployer", f"kubectl/{AGENT_TAIL}", "10.0.12.90", "deploy")
        self.replicas = self.actors.controller("replicaset-controller", MASTER)
        self.deployments = self.actors.controller("deployment-controller", MASTER)
        self.slices = self.actors.controller("endpointslice-controller", MASTER)

    def put(self, at: int, call: Call, tries: int = 4) -> int:
        """Send a request. While the server is overloaded it may be turned away; the client waits a second and asks
        again. Returns when it was answered at last, or given up."""
        for _ in range(tries):
            begin, end = self.overload
            if not (begin <= at < end and self.rng.random() < self.refuse):
                self.log.add(at, call)
                return at + call.took
            self.refuse_one(at, call)
            at += SECOND + self.rng.randrange(20_000, 90_000)
        self.gave_up.append((at, call))
        return at

    def refuse_one(self, at: int, call: Call) -> None:
        """Turn one request away: no body, no annotations, under a millisecond."""
        target = {key: value for key, value in (call.target or {}).items() if key not in ("uid", "resourceVersion")}
        took = self.rng.randrange(40, 700)
        self.log.add(at, replace(call, target=target or None, status=TOO_MANY, took=took, request=None, response=None))
        family = call.actor.agent.split("/", 1)[0]
        self.rejected[family] = self.rejected.get(family, 0) + 1
        self.turned_away.append((at, call))

    def beat(self, start: int, end: int) -> None:
        """Everything that happens by itself."""
        for node in self.nodes:
            self.kubelet(node, start, end)
        for actor, lease in ((self.manager, "kube-controller-manager"), (self.scheduler, "kube-scheduler")):
            self._renew(actor, "kube-system", lease, start, end, 2 * SECOND, "5s")
        self._renew(self.server, "kube-system", "apiserver-4qk7c2mwz5hxnbd3tj6pvgr8fy", start, end, 10 * SECOND, "")
        self._watches(start, end)
        self._controllers(start, end)

    def _renew(self, actor: Actor, namespace: str, name: str, start: int, end: int, period: int, timeout: str) -> None:
        lease = ref("leases", namespace, name, group="coordination.k8s.io")
        lease["uid"] = new_uid(self.rng)
        version = self.rng.randrange(4_000_000, 5_000_000)
        at = start + self.rng.randrange(period)
        while at < end:
            version += self.rng.randrange(1, 40)
            target = lease | {"resourceVersion": str(version)}
            query = f"timeout={timeout}" if timeout else ""
            took = self.rng.randrange(1500, 6000)
            self.put(at, Call(actor=actor, verb="update", target=target, query=query, took=took))
            at += period + self.rng.randrange(period // 25)

    def kubelet(self, node: Node, start: int, end: int) -> None:
        kubelet = self.kubelets[node.name]
        self._renew(kubelet, "kube-node-lease", node.name, start, end, 10 * SECOND, "10s")
        target = ref("nodes", "", node.name, sub="status")
        at = start + self.rng.randrange(300 * SECOND)
        while at < end:
            body: Json = {"status": {"conditions": [{"lastHeartbeatTime": rfc3339(at, 0), "type": "Ready"}]}}
            took = self.rng.randrange(3000, 9000)
            call = Call(
                actor=kubelet,
                verb="patch",
                target=target,
                query="timeout=10s",
                level="Request",
                request=body,
                took=took,
            )
            self.put(at, call)
            at += 300 * SECOND + self.rng.randrange(9 * SECOND)

    def _watches(self, start: int, end: int) -> None:
        dns = self.actors.account(
            "kube-system", "coredns", "coredns/v0.0.0 (linux/amd64) kubernetes/$Format", "10.244.31.4", "system:coredns"
        )
        proxy = self.actors.account(
            "kube-system", "kube-proxy", f"kube-proxy/{AGENT_TAIL}", MASTER, "system:node-proxier"
        )
        kinds = (("services", ""), ("endpointslices", "discovery.k8s.io"), ("namespaces", ""))
        for actor in (dns, proxy, self.server):
            for resource, group in kinds:
                target = ref(resource, group=group)
                at = start + self.rng.randrange(240 * SECOND)
                while at < end:
                    life = self.rng.randrange(300, 600)
                    version = self.rng.randrange(4_000_000, 5_000_000)
                    query = f"allowWatchBookmarks=true&resourceVersion={version}&timeout={life // 60}m{life % 60}s"
                    query += f"&timeoutSeconds={life}&watch=true"
                    if at + life * SECOND < end:
                        self.put(at, Call(actor=actor, verb="watch", target=target, query=query, took=life * SECOND))
                    at += life * SECOND + self.rng.randrange(9000)

    def _controllers(self, start: int, end: int) -> None:
        """Quota and garbage collectors that reread the API groups, tokens for pods, someone with kubectl."""
        quota = self.actors.controller("resourcequota-controller", MASTER)
        garbage = self.actors.controller("generic-garbage-collector", MASTER)
        human = self.actors.account("ops", "oncall", f"kubectl/{AGENT_TAIL}", "10.0.12.91", "view")
        for actor, period in ((quota, 30), (garbage, 30)):
            for at in range(start + self.rng.randrange(period * SECOND), end, period * SECOND):
                for path in ("/api", "/apis"):
                    self.put(at, Call(actor=actor, verb="get", path=path, took=self.rng.randrange(700, 2500)))
        for at in range(start + 4 * SECOND, end, 9 * SECOND):
            node = self.rng.choice(list(self.nodes))
            name = self.rng.choice(("default", "storefront", "ledger", "catalog"))
            target = ref("serviceaccounts", "shop", name, sub="token")
            took = self.rng.randrange(2000, 5000)
            at += self.rng.randrange(4 * SECOND)
            self.put(at, Call(actor=self.kubelets[node.name], verb="create", target=target, code=201, took=took))
        for at in range(start + 47 * SECOND, end, 173 * SECOND):
            target = ref("pods", self.rng.choice(("shop", "payments", "checkout")))
            took = self.rng.randrange(9000, 40000)
            self.put(
                at + self.rng.randrange(SECOND),
                Call(actor=human, verb="list", target=target, query="limit=500", took=took),
            )

    def apply(self, at: int, resource: str, namespace: str, name: str, body: Json, verb: str = "patch") -> None:
        """The deployment pipeline changes an object."""
        target = ref(resource, namespace, "" if verb == "create" else name, group="apps")
        answer: Json = {
            "kind": {"deployments": "Deployment", "daemonsets": "DaemonSet"}[resource],
            "apiVersion": "apps/v1",
        }
        answer |= {"metadata": {"name": name, "namespace": namespace, "generation": self.rng.randrange(2, 40)}} | body
        path_query = "fieldManager=kubectl-client-side-apply&fieldValidation=Strict"
        call = Call(
            actor=self.deployer, verb=verb, target=target, query=path_query, took=self.rng.randrange(6000, 15000)
        )
        call = replace(call, code=201 if verb == "create" else 200)
        self.log.add(at, replace(call, level="RequestResponse", request=body, response=answer))

    def roll(self, at: int, old: Sequence[Pod], new: Sequence[Pod], step: int) -> list[int]:
        """A DaemonSet's pods are replaced node after node, `step` microseconds apart; returns when each is deleted."""
        actor = self.actors.controller("daemon-set-controller", MASTER)
        deleted = []
        for was, will in zip(old, new, strict=True):
            kubelet, target = self.kubelets[was.node.name], ref("pods", was.namespace, was.name)
            self.log.add(at, Call(actor=actor, verb="delete", target=target, took=4000))
            self.log.add(at + 400_000, Call(actor=kubelet, verb="delete", target=target, took=4000))
            create = Call(actor=actor, verb="create", target=ref("pods", will.namespace), code=201, took=5000)
            self.log.add(at + 420_000, create)
            running: Json = {"phase": "Running", "podIP": will.ip, "podIPs": [{"ip": will.ip}]}
            self.status(at + REPLACED, kubelet, will, running)
            deleted.append(at)
            at += step
        return deleted

    def evict(self, at: int, namespace: str, pod: str, budget: str) -> None:
        """The autoscaler drains a node and a disruption budget says no: also code 429, but the server was not busy."""
        agent = "cluster-autoscaler/v1.36.0 (linux/amd64) kubernetes/7a1c0de"
        actor = self.actors.account("kube-system", "cluster-autoscaler", agent, "10.0.12.6", "cluster-autoscaler")
        cause = f"The disruption budget {budget} needs 4 healthy pods and has 4 currently"
        status = PDB | {"details": {"causes": [{"reason": "DisruptionBudget", "message": cause}]}}
        self.log.add(
            at, Call(actor=actor, verb="create", target=ref("pods", namespace, pod, sub="eviction"), status=status)
        )

    def start_pod(self, at: int, pod: Pod, scheduled: bool = True) -> int:
        """A new pod: created, bound, its status patched twice, at last with its address. Returns when it runs."""
        kubelet = self.kubelets[pod.node.name]
        if scheduled:
            took = self.rng.randrange(4000, 9000)
            self.put(
                at, Call(actor=self.replicas, verb="create", target=ref("pods", pod.namespace), code=201, took=took)
            )
            at += self.rng.randrange(15_000, 40_000)
            binder = self.actors.component("kube-scheduler", MASTER, "scheduler")
            target = ref("pods", pod.namespace, pod.name, sub="binding")
            self.put(at, Call(actor=binder, verb="create", target=target, code=201, took=3000))
        at += self.rng.randrange(40_000, 90_000)
        waiting = {"name": pod.owner, "state": {"waiting": {"reason": "ContainerCreating"}}, "ready": False}
        self.status(at, kubelet, pod, {"phase": "Pending", "containerStatuses": [waiting], "hostIP": pod.node.ip})
        at += self.rng.randrange(1400_000, 2600_000)
        running = {"name": pod.owner, "image": pod.image, "ready": True, "restartCount": 0, "state": {"running": {}}}
        running["state"] = {"running": {"startedAt": rfc3339(at, 0)}}
        addresses: Json = {"podIP": pod.ip, "podIPs": [{"ip": pod.ip}]}
        self.status(at, kubelet, pod, {"containerStatuses": [running], "phase": "Running"} | addresses)
        return at

    def status(self, at: int, kubelet: Actor, pod: Pod, status: Json) -> None:
        """What a kubelet says of a pod; its uid guards against a namesake."""
        target = ref("pods", pod.namespace, pod.name, sub="status")
        body = {"metadata": {"uid": pod.uid}, "status": status}
        self.put(at, Call(actor=kubelet, verb="get", target=ref("pods", pod.namespace, pod.name), took=1800))
        self.put(at + 2500, Call(actor=kubelet, verb="patch", target=target, level="Request", request=body, took=4200))

    def stop_pod(self, at: int, pod: Pod) -> None:
        """The ReplicaSet controller deletes a pod, the kubelet removes it half a minute later."""
        target = ref("pods", pod.namespace, pod.name)
        self.put(at, Call(actor=self.replicas, verb="delete", target=target, took=5000))
        done = at + 31 * SECOND + self.rng.randrange(SECOND)
        self.put(done, Call(actor=self.kubelets[pod.node.name], verb="delete", target=target, took=5000))
