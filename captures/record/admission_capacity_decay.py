"""The case admission-capacity-decay: a webhook denies a Deployment's new pods while its old ones end one by one with
their nodes; another Deployment was denied for five minutes, and then rolled out as it should."""

from __future__ import annotations

import random
from dataclasses import replace

from admission_denial_loop import LATEST, QUOTA, WEBHOOK, Refusal, denied, forbidden, replica_set
from admission_denial_loop import Stage as Scene
from audit import AuditLog, Call, ref
from cluster import Cluster, Pod, moment, node, suffix
from controlplane import ControlPlane
from klog import KubeletLog
from starts import Parts, begin
from story import HOME, Truth
from wire import SECOND, write
from workload import ComponentLog, Events, Maker, backoff

NAME = "admission-capacity-decay"
MINUTE = 60 * SECOND
START = moment("2026-12-03T08:00:00")
END = START + 28 * MINUTE
CREATED = START + 2 * MINUTE
DENIED = START + 5 * MINUTE
LOST = ((31, START + 9 * MINUTE), (32, START + 15 * MINUTE), (33, START + 21 * MINUTE))
"""Spot nodes that are taken away, and when their pods are told to end."""
NEW = (34, 35, 36)
QUOTA_FROM, QUOTA_TO = START + 6 * MINUTE, START + 10 * MINUTE
INVOICES = Refusal("billing", "invoices", 2, QUOTA)


class Kubelets:
    """The logs of all nodes, and who moves pods."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.logs = {number: KubeletLog(node(number), scene.rng, 1300 + number) for number in (31, 32, 33, *NEW)}

    def stop(self, at: int, pod: Pod) -> None:
        gone = Call(actor=self.scene.plane.deployer, verb="delete", target=ref("pods", pod.namespace, pod.name))
        self.scene.plane.log.add(at, gone)
        self.log(pod).stop_pod(at, pod)

    def make(self, at: int, like: Pod, number: int) -> None:
        """A new pod of the same ReplicaSet on another node."""
        owner = like.name.rsplit("-", 1)[0]
        name = self.scene.sets.make(at, like.namespace, owner, like.image)
        pod = replace(self.scene.cluster.pod(like.namespace, like.owner, node(number)), name=name)
        begin(self.log(pod), at + 30_000, pod, Parts())

    def log(self, pod: Pod) -> KubeletLog:
        return self.logs[int(pod.node.ip.rsplit(".", 1)[1])]


def decay(scene: Scene, kubelets: Kubelets) -> list[int]:
    """Somebody asks for six pods instead of four, and the two are denied; then nodes go. When pods were denied."""
    ledger, index = (
        [replace(scene.cluster.pod(space, name, node(number)), image=image) for number, _ in LOST]
        for space, name, image in (("payments", "ledger", LATEST), ("search", "index", "registry.example.com/index:4"))
    )
    target = ref("validatingwebhookconfigurations", "", WEBHOOK, group="admissionregistration.k8s.io")
    scene.plane.log.add(CREATED, Call(actor=scene.plane.deployer, verb="create", target=target, code=201, took=7000))
    owner = ledger[0].name.rsplit("-", 1)[0]
    tries = backoff(DENIED, END)
    for at in tries:
        scene.sets.refused(at, "payments", owner, LATEST, denied(LATEST))
    for mine, other, (number, at), new in zip(ledger, index, LOST, NEW, strict=True):
        kubelets.stop(at, mine)
        kubelets.stop(at + SECOND, other)
        # What is not denied comes back at once, on another node.
        kubelets.make(at + 3 * SECOND, other, new)
        scene.events.tell(at, "Node", "", node(number).name, "SpotInterruption", "Spot Interruption", "karpenter")
    return tries


def rollout(scene: Scene, kubelets: Kubelets) -> list[int]:
    """A quota stands in the way of a rollout, is raised, and the rollout does what it is for."""
    old = [scene.cluster.pod("billing", "invoices", node(number)) for number in NEW[:2]]
    fresh = f"invoices-{scene.cluster.template_hash('billing/invoices@2')}"
    replica_set(scene, QUOTA_FROM, "billing", "invoices", fresh, 2)
    tries = backoff(QUOTA_FROM + 100_000, QUOTA_TO)[:7]
    for at in tries:
        status = forbidden(f"{fresh}-{suffix(scene.rng, 5)}", INVOICES)
        scene.sets.refused(at, "billing", fresh, "registry.example.com/invoices:2.0.1", status)
    for place, (pod, number) in enumerate(zip(old, reversed(NEW), strict=False)):
        at = QUOTA_TO + MINUTE + place * 40 * SECOND
        image = "registry.example.com/invoices:2.0.1"
        kubelets.make(at, replace(pod, name=f"{fresh}-x", owner="invoices@2", image=image), number)
        kubelets.stop(at + 20 * SECOND, pod)
    return tries


def main() -> None:
    rng = random.Random(NAME)
    nodes = [node(number) for number in (31, 32, 33, *NEW)]
    plane = ControlPlane(AuditLog(rng, omit_received=True), nodes, rng)
    log, events = ComponentLog(1), Events(rng)
    scene = Scene(plane, Cluster(rng), Maker(plane, plane.replicas, log, events, rng), log, events, rng)
    kubelets = Kubelets(scene)
    tries, refused = decay(scene, kubelets), rollout(scene, kubelets)

    truth = Truth(START, END)
    webhook = f"admission-denial-loop:{WEBHOOK}"
    truth.findings[webhook] = {"denials": len(tries), "owners stuck": 1, "owners stuck at the end": 1}
    truth.findings["admission-denial-loop:billing/compute"] = {
        "denials": len(refused),
        "owners stuck": 1,
        "owners stuck at the end": 0,
    }
    truth.link("c11", webhook, "observation")
    truth.counts = {"audit records": len(plane.log.lines), "log lines": len(log.lines), "pods lost": len(LOST)}
    folder = HOME / NAME
    plane.log.save(folder)
    write(folder / "kube-controller-manager.log", log.text())
    write(folder / "events.json", events.text())
    for number, one in kubelets.logs.items():
        write(folder / f"kubelet-{number}.log", one.text())
    truth.write(folder)
