"""The case unschedulable-backlog: three ways in which pods wait for a node, and one in which it comes."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from audit import AuditLog, Call, ref
from cluster import Cluster, moment, node, suffix
from controlplane import ControlPlane
from story import HOME, Truth
from wire import SECOND, write
from workload import ComponentLog, Events

NAME = "unschedulable-backlog"
START = moment("2026-11-22T10:00:00")
MINUTE = 60 * SECOND
END = START + 75 * MINUTE
PERIOD = 10 * MINUTE
DELETED = START + 31 * MINUTE + 10 * SECOND
LAST = END - 5 * SECOND
ASKED = {"cpu": "1200m", "memory": "512Mi"}
AGENT = START + 40 * MINUTE + 20 * SECOND
AFTER = ". preemption: 0/6 nodes are available: 6 Preemption is not helpful for scheduling."
TAINT = "0/6 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, "
TAINT += "2 node(s) had untolerated taint {batch: reports}, 3 node(s) didn't match Pod's node affinity/selector" + AFTER
VOLUME = "0/5 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, "
VOLUME += "4 node(s) didn't match PersistentVolume's node affinity" + AFTER.replace("6 ", "5 ").replace("/6", "/5")
CPU = "0/5 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, "
CPU += "4 Insufficient cpu. preemption: 0/5 nodes are available: 1 Preemption is not helpful for scheduling, "
CPU += "4 No preemption victims found for incoming pod."


@dataclass
class Scheduler:
    """The scheduler's log and Events, and what the audit log holds of them: bindings and the pods it deletes."""

    plane: ControlPlane
    log: ComponentLog
    events: Events
    attempts: dict[str, int] = field(default_factory=dict)
    begun: dict[str, list[int]] = field(default_factory=dict)
    """When each of the pods that wait to the end was tried first."""

    def waits(self, at: int, end: int, namespace: str, pod: str, reason: str, key: str) -> None:
        """A pod is tried at once and every five minutes, until `end`."""
        for when in range(at, end, 5 * MINUTE):
            said = f'"Unable to schedule pod; no fit; waiting" pod="{namespace}/{pod}" err="{reason}"'
            self.log.say(when, "I", "schedule_one.go:1239", said)
            self.events.tell(when, "Pod", namespace, pod, "FailedScheduling", reason, "default-scheduler")
            self.attempts[key] = self.attempts.get(key, 0) + 1
        self.begun.setdefault(key, []).append(at)

    def binds(self, at: int, namespace: str, pod: str, where: str) -> None:
        self.log.say(
            at, "I", "schedule_one.go:314", f'"Successfully bound pod to node" pod="{namespace}/{pod}" node="{where}"'
        )
        text = f"Successfully assigned {namespace}/{pod} to {where}"
        self.events.tell(at, "Pod", namespace, pod, "Scheduled", text, "default-scheduler")
        target = ref("pods", namespace, pod, sub="binding")
        self.plane.log.add(
            at - 3000, Call(actor=self.plane.scheduler, verb="create", target=target, code=201, took=3000)
        )

    def preempts(self, at: int, namespace: str, pod: str, for_whom: str, where: str) -> None:
        text = f"Preempted by pod {for_whom} on node {where}"
        self.events.tell(at, "Pod", namespace, pod, "Preempted", text, "default-scheduler")
        target = ref("pods", namespace, pod)
        self.plane.log.add(at, Call(actor=self.plane.scheduler, verb="delete", target=target, took=4000))


def daily_report(seen: Scheduler, rng: random.Random) -> int:
    """A CronJob whose pods do not tolerate the taint of the nodes that they select, once in ten minutes. How many."""
    dues = range(START + 2 * MINUTE, END - MINUTE, PERIOD)
    for due in dues:
        pod = f"daily-report-{due // MINUTE}-{suffix(rng, 5)}"
        seen.waits(due + 150_000, LAST, "batch", pod, TAINT, "report")
    return len(dues)


def dead_node(seen: Scheduler) -> None:
    """A node is deleted; the claim of db-1 is bound to a volume on it."""
    target = ref("nodes", "", "ip-10-0-12-34.ec2.internal")
    seen.plane.log.add(DELETED, Call(actor=seen.plane.deployer, verb="delete", target=target, took=6000))
    seen.waits(DELETED + 48 * SECOND, LAST, "data", "db-1", VOLUME, "db")


def squeeze(seen: Scheduler, cluster: Cluster, rng: random.Random) -> int:
    """An agent with requests and a priority comes to every node: two pods are sent away; they and eight others wait."""
    agent = {"name": "agent", "image": "registry.example.com/trace-agent:3.1", "resources": {"requests": ASKED}}
    template = {"spec": {"containers": [agent], "priorityClassName": "agents"}}
    seen.plane.apply(AGENT, "daemonsets", "monitoring", "trace-agent", {"spec": {"template": template}}, verb="create")
    agents = [f"trace-agent-{suffix(rng, 5)}" for _ in range(2)]
    hashes = {owner: cluster.template_hash(owner) for owner in ("cart", "index")}
    for number, name in enumerate(agents):
        victim, where = f"cart-{hashes['cart']}-{suffix(rng, 5)}", seen.plane.nodes[number].name
        seen.preempts(AGENT + (4 + number) * SECOND, "checkout", victim, f"monitoring/{name}", where)
        seen.binds(AGENT + (36 + number) * SECOND, "monitoring", name, where)
    waiting = [("checkout", f"cart-{hashes['cart']}-{suffix(rng, 5)}") for _ in agents]
    waiting += [("search", f"index-{hashes['index']}-{suffix(rng, 5)}") for _ in range(8)]
    for number, (namespace, pod) in enumerate(waiting):
        seen.waits(AGENT + 38 * SECOND + number * 700_000, LAST, namespace, pod, CPU, "squeeze")
    return len(waiting)


def ordered(seen: Scheduler, cluster: Cluster, rng: random.Random) -> None:
    """Four pods wait for a node that the autoscaler orders, and it comes: nothing is wrong with that."""
    for number in range(4):
        pod = f"storefront-{cluster.template_hash('storefront')}-{suffix(rng, 5)}"
        at = START + 12 * MINUTE + number * 90_000
        seen.waits(at, at + 3 * MINUTE, "shop", pod, CPU, "ordered")
        text = "pod triggered scale-up: [{workers 5->6 (max: 12)}]"
        seen.events.tell(at + 11 * SECOND, "Pod", "shop", pod, "TriggeredScaleUp", text, "cluster-autoscaler")
        seen.binds(at + 3 * MINUTE + 250_000, "shop", pod, seen.plane.nodes[2].name)


def truth_of(seen: Scheduler, pods: dict[str, int]) -> Truth:
    """What must be found; `pods` says how many wait for each reason."""
    written = max(at for at, _, _ in seen.plane.log.lines)
    truth = Truth(START, END)
    for key, subject in (("report", "batch/daily-report"), ("db", "data/db"), ("squeeze", "resources (2 workloads)")):
        truth.findings[f"{NAME}:{subject}"] = {
            "pods pending": pods[key],
            "pods pending at the end": pods[key],
            "scheduling attempts": seen.attempts[key],
            "pod-seconds pending": sum(written - at for at in seen.begun[key]) / SECOND,
        }
    truth.findings[f"{NAME}:batch/daily-report"]["pods added per period"] = 1
    truth.findings[f"{NAME}:resources (2 workloads)"] |= {
        "CPU that DaemonSets took on every node": 1.2,
        "memory that DaemonSets took on every node": 512 << 20,
    }
    truth.counts = {
        "audit records": len(seen.plane.log.lines),
        "log lines": len(seen.log.lines),
        "events": len(seen.events.items),
    }
    return truth


def main() -> None:
    rng = random.Random(NAME)
    nodes = [node(number) for number in (31, 32, 33)]
    cluster = Cluster(rng)
    plane = ControlPlane(AuditLog(rng, omit_received=True), nodes, rng)
    plane.beat(START, END)
    seen = Scheduler(plane, ComponentLog(1), Events(rng))
    reports = daily_report(seen, rng)
    dead_node(seen)
    waiting = squeeze(seen, cluster, rng)
    ordered(seen, cluster, rng)
    seen.events.tell(LAST, "Node", "", nodes[0].name, "NodeHasSufficientMemory", "status is now: x", "kubelet")
    truth = truth_of(seen, {"report": reports, "db": 1, "squeeze": waiting})
    folder = HOME / NAME
    plane.log.save(folder, (END - 9 * MINUTE,))
    write(folder / "kube-scheduler.log", seen.log.text())
    write(folder / "events.json", seen.events.text())
    truth.write(folder)
