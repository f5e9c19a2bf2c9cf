"""What the cases of replicas and their nodes share: pods that are placed, run and end, told by all who see it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from audit import Call, Json, ref
from cluster import Cluster, Node, Pod, new_uid, rfc3339
from controlplane import MASTER, ControlPlane
from klog import KubeletLog
from workload import Events


@dataclass
class Side:
    """The control plane, the nodes' journals where they are kept, and the Events."""

    plane: ControlPlane
    events: Events
    rng: random.Random
    journals: dict[str, KubeletLog] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ordered = self.plane.actors.controller("statefulset-controller", MASTER)
        self.binder = self.plane.actors.component("kube-scheduler", MASTER, "scheduler")
        self.evictor = self.plane.actors.controller("taint-eviction-controller", MASTER)
        self.lifecycle = self.plane.actors.controller("node-controller", MASTER)

    def keep(self, node: Node) -> None:
        self.journals[node.name] = KubeletLog(node, self.rng, 900 + len(self.journals))

    def say(self, at: int, node: Node, severity: str, caller: str, text: str) -> None:
        if node.name in self.journals:
            self.journals[node.name].say(at, severity, caller, text)

    def pleg(self, at: int, pod: Pod, kind: str) -> None:
        event = f'{{"ID":"{pod.uid}","Type":"{kind}","Data":"{self.rng.getrandbits(256):064x}"}}'
        self.say(
            at, pod.node, "I", "kubelet.go:2752", f'"SyncLoop (PLEG): event for pod" pod="{pod.key}" event={event}'
        )

    def delete(self, at: int, pod: Pod, actor: object) -> None:
        """The pod is asked to end by an actor of the audit log."""
        call = Call(actor=actor, verb="delete", target=ref("pods", pod.namespace, pod.name), took=4000)  # type: ignore[arg-type]
        self.plane.log.add(at, call)

    def evict(self, at: int, pod: Pod) -> None:
        target = ref("pods", pod.namespace, pod.name, sub="eviction")
        self.plane.log.add(at, Call(actor=self.plane.deployer, verb="create", target=target, code=201, took=4000))

    def ends(self, at: int, pod: Pod, grace: int) -> int:
        """The kubelet stops the container in `grace` microseconds and removes the pod; returns when it is gone."""
        text = f'"SyncLoop DELETE" source="api" pods=["{pod.key}"]'
        self.say(at + 20_000, pod.node, "I", "kubelet.go:2740", text)
        whom = f'pod="{pod.key}" podUID="{pod.uid}" containerName="{pod.owner}"'
        ids = f'containerID="containerd://{self.rng.getrandbits(256):064x}" gracePeriod=30'
        killing = f'"Killing container with a grace period" {whom} {ids}'
        self.say(at + 22_000, pod.node, "I", "kuberuntime_container.go:915", killing)
        died = at + grace
        self.pleg(died, pod, "ContainerDied")
        target = ref("pods", pod.namespace, pod.name)
        kubelet = self.plane.kubelets[pod.node.name]
        self.plane.log.add(died + 400_000, Call(actor=kubelet, verb="delete", target=target, took=3000))
        self.say(died + 410_000, pod.node, "I", "kubelet.go:2734", f'"SyncLoop REMOVE" source="api" pods=["{pod.key}"]')
        return died + 420_000

    def runs(self, at: int, pod: Pod, ready: int) -> int:
        """The pod is bound, starts within two seconds and is ready after `ready` microseconds; returns that."""
        target = ref("pods", pod.namespace, pod.name, sub="binding")
        body: Json = {
            "kind": "Binding",
            "metadata": {"name": pod.name},
            "target": {"kind": "Node", "name": pod.node.name},
        }
        bind = Call(actor=self.binder, verb="create", target=target, code=201, took=3000)
        self.plane.log.add(at, replace(bind, level="Request", request=body))
        message = f"Successfully assigned {pod.key} to {pod.node.name}"
        self.events.tell(at, "Pod", pod.namespace, pod.name, "Scheduled", message, "default-scheduler")
        self.say(at + 60_000, pod.node, "I", "kubelet.go:2724", f'"SyncLoop ADD" source="api" pods=["{pod.key}"]')
        for wait in (1_100_000, 1_900_000):
            self.pleg(at + wait, pod, "ContainerStarted")
        kubelet = self.plane.kubelets[pod.node.name]
        status: Json = {"phase": "Running", "podIP": pod.ip, "podIPs": [{"ip": pod.ip}], "hostIP": pod.node.ip}
        self.plane.status(at + 2_000_000, kubelet, pod, status | {"startTime": rfc3339(at, 0)})
        probe = f'"SyncLoop (probe)" probe="readiness" status="ready" pod="{pod.key}"'
        self.say(at + ready, pod.node, "I", "kubelet.go:2821", probe)
        return at + ready

    def write(
        self, at: int, actor: object, name: str, namespace: str, replicas: int, owner: tuple[str, str] | None
    ) -> None:
        """A StatefulSet is written with another template."""
        meta: Json = {"name": name, "namespace": namespace}
        if owner:
            meta["ownerReferences"] = [{"apiVersion": "databases.example.com/v1", "kind": owner[0], "name": owner[1]}]
            meta["ownerReferences"][0] |= {"controller": True, "uid": new_uid(self.rng)}
        spec: Json = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "serviceName": name}
        body: Json = {"kind": "StatefulSet", "apiVersion": "apps/v1", "metadata": meta, "spec": spec}
        target = ref("statefulsets", namespace, name, group="apps")
        call = Call(actor=actor, verb="update", target=target, took=6000, level="RequestResponse")  # type: ignore[arg-type]
        self.plane.log.add(at, replace(call, request=body, response=body))

    def not_ready(self, at: int, node: Node) -> None:
        """The node controller writes what the kubelet no longer does."""
        target = ref("nodes", "", node.name, sub="status")
        self.plane.log.add(at, Call(actor=self.lifecycle, verb="update", target=target, took=4000))
        text = f"Node {node.name} status is now: NodeNotReady"
        self.events.tell(at, "Node", "", node.name, "NodeNotReady", text, "node-controller")


def ordinal(cluster: Cluster, rng: random.Random, namespace: str, owner: str, number: int, on: Node) -> Pod:
    """A pod of a StatefulSet, which keeps its name."""
    name, uid = f"{owner}-{number}", new_uid(rng)
    return Pod(namespace=namespace, owner=owner, name=name, ip=cluster.address(on), node=on, uid=uid)
