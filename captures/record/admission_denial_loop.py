"""The case admission-denial-loop: a webhook refuses what already runs, and then cannot be called at all."""

from __future__ import annotations

import random

from audit import AuditLog, Call, Json, ref
from cluster import Cluster, moment, node
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


def main() -> None:
    rng = random.Random(NAME)
    nodes = [node(number) for number in (31, 32, 33)]
    cluster = Cluster(rng)
    plane = ControlPlane(AuditLog(rng, omit_received=True), nodes, rng)
    plane.beat(START, END)
    log, events = ComponentLog(1), Events(rng)
    sets = Maker(plane, plane.replicas, log, events, rng)
    ledger, front = (f"{name}-{cluster.template_hash(name)}" for name in ("ledger", "storefront"))
    target = ref("validatingwebhookconfigurations", "", WEBHOOK, group="admissionregistration.k8s.io")
    plane.log.add(CREATED, Call(actor=plane.deployer, verb="create", target=target, code=201, took=7000))

    # A node is drained: what ran there is deleted. Tagged images come back, the others do not.
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

    # The webhook's own pods die; it fails closed. A rollout of the storefront makes no pod for eight minutes.
    template: Json = {"spec": {"replicas": 4, "template": {"spec": {"containers": [{"image": TAGGED}]}}}}
    plane.apply(BROKEN, "deployments", "shop", "storefront", template)
    fresh = f"storefront-{cluster.template_hash('storefront@2')}"
    made = Call(
        actor=plane.deployments,
        verb="create",
        target=ref("replicasets", "shop", fresh, group="apps"),
        code=201,
        took=6000,
        level="RequestResponse",
        request={"metadata": {"name": fresh, "ownerReferences": [owner("storefront")]}, "spec": {"replicas": 2}},
        response={"metadata": {"name": fresh, "ownerReferences": [owner("storefront")]}, "spec": {"replicas": 2}},
    )
    plane.log.add(BROKEN + 200_000, made)
    broken = backoff(BROKEN + 300_000, MENDED)
    for at in broken:
        sets.refused(at, "shop", fresh, TAGGED, failed())
    cured = MENDED + 4 * MINUTE
    for number in range(2):
        sets.make(cured + number * 20_000, "shop", fresh, TAGGED)

    truth = Truth(START, END)
    truth.findings[f"{NAME}:{WEBHOOK}"] = {
        "denials": len(tries),
        "owners stuck": 1,
        "owners stuck at the end": 1,
        "replicas missing": len(evicted),
    }
    truth.findings[f"{NAME}:{WEBHOOK} (unreachable)"] = {
        "denials": len(broken),
        "owners stuck": 1,
        "owners stuck at the end": 0,
        "replicas missing": 0,
        "seconds since the first denial": (cured - broken[0]) / SECOND,
    }
    truth.counts = {"audit records": len(plane.log.lines), "log lines": len(log.lines), "events": len(events.items)}
    folder = HOME / NAME
    plane.log.save(folder)
    write(folder / "kube-controller-manager.log", log.text())
    write(folder / "events.json", events.text())
    truth.write(folder)


def owner(name: str) -> Json:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "controller": True}
