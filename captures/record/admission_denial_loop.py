"""The case admission-denial-loop: a webhook refuses what already runs, and then cannot be called at all; a quota, a
PodSecurity level and a ValidatingAdmissionPolicy refuse rollouts."""

from __future__ import annotations

import random
from dataclasses import dataclass

from audit import AuditLog, Call, Json, ref
from cluster import Cluster, moment, node, suffix
from controlplane import ControlPlane
from story import HOME, Truth
from wire import SECOND, write
from workload import ComponentLog, Events, Maker, backoff

NAME = "admission-denial-loop"
START = moment("2026-11-21T08:00:00")
MINUTE = 60 * SECOND
END = START + 40 * MINUTE
WEBHOOK = "image-policy.example.com"
CREATED = START + 5 * MINUTE
DRAINED = START + 9 * MINUTE + 12 * SECOND
BROKEN = START + 22 * MINUTE + 30 * SECOND
CHECKED = START + 16 * MINUTE
MENDED = START + 31 * MINUTE + 5 * SECOND
LATEST = "registry.example.com/ledger:latest"
TAGGED = "registry.example.com/storefront:7.2.0"


def denied(image: str) -> Json:
    text = f"admission webhook \"{WEBHOOK}\" denied the request: image tag ':latest' is not allowed: {image}"
    return {"metadata": {}, "status": "Failure", "message": text, "code": 403}


def failed() -> Json:
    text = f'failed calling webhook "{WEBHOOK}": failed to call webhook: Post "https://image-policy.policy.svc:443'
    text += '/validate?timeout=5s": no endpoints available for service "image-policy"'
    details = {"causes": [{"message": text}]}
    status = {"metadata": {}, "status": "Failure", "message": f"Internal error occurred: {text}"}
    return status | {"reason": "InternalError", "details": details, "code": 500}


@dataclass(frozen=True)
class Refusal:
    """A rollout that one of the server's own checks refuses."""

    namespace: str
    deployment: str
    replicas: int
    why: str
    code: int = 403
    reason: str = "Forbidden"


QUOTA = "exceeded quota: compute, requested: requests.cpu=500m, used: requests.cpu=9800m, limited: requests.cpu=10"
"""apiserver `pkg/admission/plugin/resourcequota/controller.go`, CheckRequest."""
SECURITY = (
    'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "tracer" must set '
    'securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "tracer" must set '
    'securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "tracer" must set '
    'securityContext.runAsNonRoot=true), seccompProfile (pod or container "tracer" must set '
    'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
)
"""pod-security-admission `admission/admission.go` and `policy/check_*.go`."""
POLICY = "ValidatingAdmissionPolicy 'require-owner' with binding 'require-owner-everywhere' denied request: "
POLICY += "the label owner is missing"
"""apiserver `pkg/admission/plugin/policy/validating/dispatcher.go`: the reason is Invalid unless a policy names one."""

REFUSALS = (
    Refusal("search", "index", 3, QUOTA),
    Refusal("tools", "tracer", 2, SECURITY),
    Refusal("billing", "invoices", 4, POLICY, 422, "Invalid"),
)
SUBJECTS = ("search/compute", "tools/restricted:latest", "require-owner")
TRIES = 7
"""Fewer than the ten similar Events that client-go's recorder puts together."""


def forbidden(name: str, refusal: Refusal) -> Json:
    """How admission plugins refuse (apiserver `pkg/admission/errors.go`, NewForbidden)."""
    details: Json = {"name": name, "kind": "pods"}
    if refusal.reason == "Invalid":
        details["causes"] = [{"message": refusal.why}]
    message = f'pods "{name}" is forbidden: {refusal.why}'
    status = {"metadata": {}, "status": "Failure", "message": message, "reason": refusal.reason}
    return status | {"details": details, "code": refusal.code}


@dataclass
class Stage:
    """The cluster and those who tell of it."""

    plane: ControlPlane
    cluster: Cluster
    sets: Maker
    log: ComponentLog
    events: Events
    rng: random.Random


def drain(stage: Stage) -> tuple[list[int], list[str]]:
    """A node is drained: what ran there is deleted. Tagged images come back, the others do not."""
    plane, sets = stage.plane, stage.sets
    ledger, front = (f"{name}-{stage.cluster.template_hash(name)}" for name in ("ledger", "storefront"))
    target = ref("validatingwebhookconfigurations", "", WEBHOOK, group="admissionregistration.k8s.io")
    plane.log.add(CREATED, Call(actor=plane.deployer, verb="create", target=target, code=201, took=7000))
    evicted = [f"{ledger}-{end}" for end in ("4bn7k", "x2k8m")]
    for number, name in enumerate([*evicted, f"{front}-9dzqt"]):
        namespace = "payments" if name in evicted else "shop"
        gone = Call(actor=plane.deployer, verb="delete", target=ref("pods", namespace, name), took=5000)
        plane.log.add(DRAINED + number * 300_000, gone)
    sets.make(DRAINED + SECOND, "shop", front, TAGGED)
    tries = backoff(DRAINED + 2 * SECOND, BROKEN)
    for at in tries:
        sets.refused(at, "payments", ledger, LATEST, denied(LATEST))
    # The policy does its work on people: nobody is stuck for that.
    for at in (START + 12 * MINUTE, START + 14 * MINUTE, START + 14 * MINUTE + 20 * SECOND):
        status = denied("registry.example.com/banner:latest")
        target = ref("pods", "shop", "banner-test")
        plane.log.add(at, Call(actor=plane.deployer, verb="create", target=target, code=403, status=status, took=8000))
    return tries, evicted


def replica_set(stage: Stage, at: int, namespace: str, deployment: str, name: str, replicas: int) -> None:
    """The Deployment controller makes a ReplicaSet."""
    body: Json = {"metadata": {"name": name, "ownerReferences": [owner(deployment)]}, "spec": {"replicas": replicas}}
    made = Call(
        actor=stage.plane.deployments,
        verb="create",
        target=ref("replicasets", namespace, name, group="apps"),
        code=201,
        took=6000,
        level="RequestResponse",
        request=body,
        response=body,
    )
    stage.plane.log.add(at, made)


def fail_closed(stage: Stage) -> tuple[list[int], int]:
    """The webhook's own pods die; it fails closed. A rollout of the storefront makes no pod for eight minutes."""
    template: Json = {"spec": {"replicas": 4, "template": {"spec": {"containers": [{"image": TAGGED}]}}}}
    stage.plane.apply(BROKEN, "deployments", "shop", "storefront", template)
    fresh = f"storefront-{stage.cluster.template_hash('storefront@2')}"
    replica_set(stage, BROKEN + 200_000, "shop", "storefront", fresh, 2)
    broken = backoff(BROKEN + 300_000, MENDED)
    for at in broken:
        stage.sets.refused(at, "shop", fresh, TAGGED, failed())
    cured = MENDED + 4 * MINUTE
    for number in range(2):
        stage.sets.make(cured + number * 20_000, "shop", fresh, TAGGED)
    return broken, cured


def check(stage: Stage) -> None:
    """Three rollouts that a quota, the PodSecurity level of a namespace and a policy refuse, each name by itself."""
    for number, one in enumerate(REFUSALS):
        begun = CHECKED + number * MINUTE
        fresh = f"{one.deployment}-{stage.cluster.template_hash(one.deployment)}"
        replica_set(stage, begun, one.namespace, one.deployment, fresh, one.replicas)
        for at in backoff(begun + 100_000, END)[:TRIES]:
            status = forbidden(f"{fresh}-{suffix(stage.rng, 5)}", one)
            stage.sets.refused(at, one.namespace, fresh, f"registry.example.com/{one.deployment}:2.0.1", status)


def main() -> None:
    rng = random.Random(NAME)
    nodes = [node(number) for number in (31, 32, 33)]
    cluster = Cluster(rng)
    plane = ControlPlane(AuditLog(rng, omit_received=True), nodes, rng)
    plane.beat(START, END)
    log, events = ComponentLog(1), Events(rng)
    stage = Stage(plane, cluster, Maker(plane, plane.replicas, log, events, rng), log, events, rng)
    tries, evicted = drain(stage)
    broken, cured = fail_closed(stage)
    check(stage)

    truth = Truth(START, END)
    stuck = {"owners stuck": 1, "owners stuck at the end": 1}
    truth.findings[f"{NAME}:{WEBHOOK}"] = {"denials": len(tries), **stuck, "replicas missing": len(evicted)}
    truth.findings[f"{NAME}:{WEBHOOK} (unreachable)"] = {
        "denials": len(broken),
        "owners stuck": 1,
        "owners stuck at the end": 0,
        "replicas missing": 0,
        "seconds since the first denial": (cured - broken[0]) / SECOND,
    }
    for subject, one in zip(SUBJECTS, REFUSALS, strict=True):
        truth.findings[f"{NAME}:{subject}"] = {"denials": TRIES, **stuck, "replicas missing": one.replicas}
    truth.counts = {"audit records": len(plane.log.lines), "log lines": len(log.lines), "events": len(events.items)}
    folder = HOME / NAME
    plane.log.save(folder)
    write(folder / "kube-controller-manager.log", log.text())
    write(folder / "events.json", events.text())
    truth.write(folder)


def owner(name: str) -> Json:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "controller": True}
