"""The case quiet-workloads: what looks like denied, waiting and vanishing pods, and is as it should be."""

from __future__ import annotations

import random

from admission_denial_loop import denied
from audit import AuditLog, Call, Json, ref
from cluster import Cluster, moment, node, suffix
from controlplane import ControlPlane
from story import HOME, Truth
from unschedulable_backlog import CPU, Scheduler
from wire import SECOND, write
from workload import ComponentLog, Events, Maker, Scaled

NAME = "quiet-workloads"
START = moment("2026-11-24T09:00:00")
MINUTE = 60 * SECOND
END = START + 40 * MINUTE
GANG = 'pod group "training-7" is not ready, 3 Pending, 1 Running; 4 minAvailable'


def people(plane: ControlPlane) -> None:
    """A pipeline is denied, twenty times; a namespace that is being deleted refuses new pods."""
    refusal = denied("registry.example.com/banner:latest")
    for number in range(20):
        target = ref("pods", "shop", "banner-test")
        at = START + 4 * MINUTE + number * 3 * SECOND
        plane.log.add(at, Call(actor=plane.deployer, verb="create", target=target, code=403, status=refusal, took=8000))
    text = 'pods "old-app-x2k8m" is forbidden: unable to create new content in namespace preview-17 because it is '
    text += "being terminated"
    status: Json = {"metadata": {}, "status": "Failure", "message": text, "reason": "Forbidden", "code": 403}
    for number in range(9):
        call = Call(actor=plane.replicas, verb="create", target=ref("pods", "preview-17"), code=403, status=status)
        plane.log.add(START + 6 * MINUTE + number * 40_000, call)


def waiting(seen: Scheduler, cluster: Cluster, rng: random.Random) -> None:
    """Pods of a gang wait on purpose; a scale-up brings a node; runs of a CronJob wait for seconds."""
    for _ in range(3):
        seen.waits(START + 9 * MINUTE, END - MINUTE, "research", f"training-7-{suffix(rng, 5)}", GANG, "gang")
    owner = f"storefront-{cluster.template_hash('storefront')}"
    for number in range(60):
        pod, at = f"{owner}-{suffix(rng, 5)}", START + 14 * MINUTE + number * 50_000
        seen.waits(at, at + 4 * MINUTE, "shop", pod, CPU, "ordered")
        text = "pod triggered scale-up: [{workers 5->11 (max: 12)}]"
        seen.events.tell(at + 12 * SECOND, "Pod", "shop", pod, "TriggeredScaleUp", text, "cluster-autoscaler")
        seen.binds(at + 4 * MINUTE + 250_000, "shop", pod, "ip-10-0-12-36.ec2.internal")
    for due in range(START, END - MINUTE, 5 * MINUTE):
        pod = f"sweep-{due // MINUTE}-{suffix(rng, 5)}"
        seen.waits(due + 120_000, due + 9 * SECOND, "platform", pod, CPU, "cron")
        seen.binds(due + 9 * SECOND + 250_000, "platform", pod, "ip-10-0-12-31.ec2.internal")


def main() -> None:
    rng = random.Random(NAME)
    nodes = [node(number) for number in (31, 32, 33)]
    cluster = Cluster(rng)
    plane = ControlPlane(AuditLog(rng, omit_received=True), nodes, rng)
    plane.beat(START, END)
    events = Events(rng)
    people(plane)
    seen = Scheduler(plane, ComponentLog(1), events)
    waiting(seen, cluster, rng)
    sets = Maker(plane, plane.replicas, ComponentLog(1), events, rng)
    for number in range(6):
        owner = f"cart-{cluster.template_hash('cart')}"
        sets.make(START + 20 * MINUTE + number * SECOND, "checkout", owner, "registry.example.com/cart:3")

    def deployment(namespace: str, name: str, replicas: int) -> Scaled:
        made = Scaled(plane, events, rng, namespace, name, f"{name}-{cluster.template_hash(name)}")
        made.grow(replicas)
        return made

    index = deployment("search", "index", 8)
    index.scale(START + 22 * MINUTE, index.autoscaler, 1)
    stock = deployment("logistics", "stock", 6)
    stock.apply(START + 24 * MINUTE, plane.deployer, 6, 6)
    stock.scale(START + 25 * MINUTE, plane.deployer, 1)
    # What Git no longer holds is pruned: the Deployment is deleted, and its pods with it.
    tax = deployment("payments", "tax", 5)
    gone = ref("deployments", "payments", "tax", group="apps")
    plane.log.add(START + 27 * MINUTE, Call(actor=plane.deployer, verb="delete", target=gone, took=6000))
    for number, pod in enumerate(tax.pods):
        call = Call(actor=plane.replicas, verb="delete", target=ref("pods", "payments", pod), took=4000)
        plane.log.add(START + 27 * MINUTE + (2 + number) * SECOND, call)

    truth = Truth(START, END)
    truth.counts = {
        "audit records": len(plane.log.lines),
        "log lines": len(seen.log.lines),
        "events": len(events.items),
    }
    folder = HOME / NAME
    plane.log.save(folder, (END - 5 * MINUTE,))
    write(folder / "kube-scheduler.log", seen.log.text())
    write(folder / "events.json", events.text())
    truth.write(folder)
