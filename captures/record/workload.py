"""What the cases of workloads share: pods with their owners, logs of the control plane's components, saved Events."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime

from audit import Actor, Call, Json, ref
from cluster import new_uid, rfc3339, suffix
from controlplane import MASTER, ControlPlane
from wire import SECOND


@dataclass
class ComponentLog:
    """klog as a component of the control plane writes it into its file: no year, no prefix."""

    pid: int
    lines: list[tuple[int, int, str]] = field(default_factory=list)

    def say(self, at: int, severity: str, caller: str, text: str) -> None:
        when = datetime.fromtimestamp(at // SECOND, UTC)
        line = f"{severity}{when:%m%d %H:%M:%S}.{at % SECOND:06d} {self.pid:7d} {caller}] {text}\n"
        self.lines.append((at, len(self.lines), line))

    def text(self) -> bytes:
        return "".join(line for _, _, line in sorted(self.lines)).encode()


@dataclass
class Events:
    """Event objects as `kubectl get events -A -o json` saves them: one for all occurrences of a text."""

    rng: random.Random
    items: dict[tuple[str, ...], Json] = field(default_factory=dict)

    def tell(
        self, at: int, kind: str, namespace: str, name: str, reason: str, message: str, component: str, count: int = 1
    ) -> None:
        key = (kind, namespace, name, reason, message)
        if (known := self.items.get(key)) is not None:
            known["count"] += count
            known["lastTimestamp"] = rfc3339(at, 0)
            return
        group = {"Pod": "v1", "Node": "v1", "Job": "batch/v1", "CronJob": "batch/v1"}.get(kind, "apps/v1")
        warned = reason.startswith(("Failed", "NotTrigger"))
        self.items[key] = {
            "apiVersion": "v1",
            "count": count,
            "eventTime": None,
            "firstTimestamp": rfc3339(at, 0),
            "involvedObject": {
                "apiVersion": group,
                "kind": kind,
                "name": name,
                "namespace": namespace,
                "uid": new_uid(self.rng),
            },
            "kind": "Event",
            "lastTimestamp": rfc3339(at, 0),
            "message": message,
            "metadata": {
                "creationTimestamp": rfc3339(at, 0),
                "name": f"{name}.{self.rng.getrandbits(64):016x}",
                "namespace": namespace or "default",
                "uid": new_uid(self.rng),
            },
            "reason": reason,
            "reportingComponent": component,
            "reportingInstance": "",
            "source": {"component": component},
            "type": "Warning" if warned else "Normal",
        }

    def text(self) -> bytes:
        items = sorted(self.items.values(), key=lambda item: (item["lastTimestamp"], item["metadata"]["name"]))
        document = {"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}}
        return json.dumps(document, indent=4, ensure_ascii=False).encode() + b"\n"


def backoff(start: int, end: int, first: int = 5_000, most: int = 1000 * SECOND) -> list[int]:
    """When a controller tries: at once, then after pauses that double from 5 ms up to 1000 s."""
    times, at, pause = [], start, first
    while at < end:
        times.append(at)
        at += pause + 40_000
        pause = min(2 * pause, most)
    return times


def pod_body(namespace: str, owner: str, kind: str, image: str) -> Json:
    """The pod that a controller asks for: the server is to make its name."""
    app = owner.rsplit("-", 1)[0]
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "generateName": f"{owner}-",
            "namespace": namespace,
            "labels": {"app": app},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": owner, "controller": True}],
        },
        "spec": {"containers": [{"name": app, "image": image}], "schedulerName": "default-scheduler"},
    }


@dataclass
class Maker:
    """A controller that makes pods; the API server answers it, and its log and the Events tell of failures."""

    plane: ControlPlane
    actor: Actor
    log: ComponentLog
    events: Events
    rng: random.Random

    def make(
        self, at: int, namespace: str, owner: str, image: str, kind: str = "ReplicaSet", level: str = "Request"
    ) -> str:
        """A pod is made and bound; returns its name."""
        name = f"{owner}-{suffix(self.rng, 5)}"
        body = pod_body(namespace, owner, kind, image)
        answer = body | {"metadata": body["metadata"] | {"name": name}}
        call = Call(actor=self.actor, verb="create", target=ref("pods", namespace), code=201, took=6000)
        self.plane.log.add(at, self._with(call, level, body, answer))
        self.events.tell(
            at, kind, namespace, owner, "SuccessfulCreate", f"Created pod: {name}", "replicaset-controller"
        )
        binder = self.plane.actors.component("kube-scheduler", self.actor.ip, "scheduler")
        target = ref("pods", namespace, name, sub="binding")
        self.plane.log.add(at + 30_000, Call(actor=binder, verb="create", target=target, code=201, took=3000))
        return name

    def refused(
        self,
        at: int,
        namespace: str,
        owner: str,
        image: str,
        status: Json,
        kind: str = "ReplicaSet",
        level: str = "Request",
    ) -> None:
        """A pod is asked for and denied: one record, one line, one more occurrence of an Event."""
        call = Call(
            actor=self.actor,
            verb="create",
            target=ref("pods", namespace),
            code=status["code"],
            status=status,
            took=9000,
        )
        self.plane.log.add(at, self._with(call, level, pod_body(namespace, owner, kind, image), None))
        text = status["message"]
        failed = f'sync "{namespace}/{owner}" failed with {text}'.replace('"', '\\"')
        self.log.say(at + 9_400, "E", "replica_set.go:640", f'"Unhandled Error" err="{failed}" logger="UnhandledError"')
        message = f"Error creating: {text}"
        self.events.tell(at, kind, namespace, owner, "FailedCreate", message, "replicaset-controller")

    @staticmethod
    def _with(call: Call, level: str, request: Json, response: Json | None) -> Call:
        if level == "Metadata":
            return call
        known = {key: getattr(call, key) for key in ("actor", "verb", "target", "code", "status", "took")}
        return Call(**known, level="RequestResponse" if response else level, request=request, response=response)


@dataclass
class Scaled:
    """A Deployment whose replicas are written: by a person, a pipeline or its autoscaler, with the pods that follow."""

    plane: ControlPlane
    events: Events
    rng: random.Random
    namespace: str
    name: str
    replicaset: str
    pods: list[str] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    """When each pod was deleted."""

    def __post_init__(self) -> None:
        self.autoscaler = self.plane.actors.controller("horizontal-pod-autoscaler", MASTER)

    def grow(self, count: int) -> None:
        self.pods += [f"{self.replicaset}-{suffix(self.rng, 5)}" for _ in range(count)]

    def body(self, replicas: int | None) -> Json:
        """The Deployment as it is written: `replicas` None takes the field away, as a patch does."""
        labels = {"app": self.name}
        spec: Json = {"replicas": replicas, "selector": {"matchLabels": labels}}
        return {"metadata": {"name": self.name, "namespace": self.namespace}, "spec": spec}

    def scale(self, at: int, actor: Actor, replicas: int) -> None:
        """The subresource scale is written: by its autoscaler, or by kubectl scale."""
        body: Json = {
            "metadata": {"name": self.name},
            "spec": {"replicas": replicas},
            "status": {"replicas": len(self.pods)},
        }
        target = ref("deployments", self.namespace, self.name, group="apps", sub="scale")
        self._write(at, actor, "update" if actor is self.autoscaler else "patch", target, body, body)
        if actor is self.autoscaler:
            reason = "cpu resource utilization (percentage of request) above target"
            text = f"New size: {replicas}; reason: {reason}"
            self.events.tell(
                at + 9000,
                "HorizontalPodAutoscaler",
                self.namespace,
                self.name,
                "SuccessfulRescale",
                text,
                "horizontal-pod-autoscaler",
            )
        self.follow(at + 60_000, replicas)

    def apply(self, at: int, actor: Actor, replicas: int | None, stored: int) -> None:
        """The Deployment is patched by kubectl apply; the server stores so many replicas."""
        target = ref("deployments", self.namespace, self.name, group="apps")
        self._write(at, actor, "patch", target, self.body(replicas), self.body(stored))
        self.follow(at + 60_000, stored)

    def _write(self, at: int, actor: Actor, verb: str, target: Json, request: Json, response: Json) -> None:
        call = Call(
            actor=actor,
            verb=verb,
            target=target,
            took=7000,
            level="RequestResponse",
            request=request,
            response=response,
        )
        self.plane.log.add(at, call)

    def follow(self, at: int, replicas: int) -> None:
        """The ReplicaSet is scaled, and pods are made or deleted, ten a second."""
        had = len(self.pods)
        if had == replicas:
            return
        way = "up" if replicas > had else "down"
        text = f"Scaled {way} replica set {self.replicaset} from {had} to {replicas}"
        self.events.tell(
            at, "Deployment", self.namespace, self.name, "ScalingReplicaSet", text, "deployment-controller"
        )
        actor = self.plane.replicas
        for number in range(abs(replicas - had)):
            when = at + 30_000 + number * 100_000
            if way == "down":
                target = ref("pods", self.namespace, self.pods.pop())
                self.plane.log.add(when, Call(actor=actor, verb="delete", target=target, took=4000))
                self.deleted.append(when)
                continue
            self.grow(1)
            body = pod_body(self.namespace, self.replicaset, "ReplicaSet", "registry.example.com/app:1")
            answer = body | {"metadata": body["metadata"] | {"name": self.pods[-1]}}
            target = ref("pods", self.namespace)
            call = Call(
                actor=actor,
                verb="create",
                target=target,
                code=201,
                took=5000,
                level="RequestResponse",
                request=body,
                response=answer,
            )
            self.plane.log.add(when, call)
