"""The case node-lookalikes: what looks like exec timeouts, a stall, or SIGKILL inside a grace period, and is none."""

from __future__ import annotations

import json
import random

from cluster import Cluster, moment, node
from klog import KubeletLog
from nodelogs import NodeJournal, about, container_id, event, finished, killing, kubelet_start, pleg
from story import HOME, Truth
from wire import SECOND, write

NAME = "node-lookalikes"
START = moment("2026-11-27T10:00:00")
MINUTE = 60 * SECOND
END = START + 40 * MINUTE
LATE = "rpc error: code = DeadlineExceeded desc = failed to exec in container: timeout 1s exceeded"
GONE = 'rpc error: code = Unavailable desc = connection error: desc = \\"transport: error while dialing\\"'


def probes(cluster: Cluster, log: KubeletLog) -> None:
    """HTTP probes time out for ten minutes; a script fails in time; six workloads time out in one and the same minute;
    an exec probe times out while its container ends."""
    pods = cluster.pods(["shop/storefront", "shop/catalog"], log.node)
    for number in range(60):
        at = START + 2 * MINUTE + number * 10 * SECOND
        for pod, output in (
            (pods[0], f'Get \\"http://{pods[0].ip}:8080/healthz\\": context deadline exceeded'),
            (pods[1], "store is not there: timed out"),
        ):
            whom = f'pod="{pod.key}" podUID="{pod.uid}" containerName="{pod.owner}"'
            text = f'"Probe failed" probeType="Readiness" {whom} probeResult="failure" output="{output}"'
            log.say(at + log.rng.randrange(SECOND), "I", "prober.go:122", text)
    owners = ["a/one", "b/two", "c/three", "d/four", "e/five", "f/six"]
    for pod in cluster.pods(owners, log.node):
        container = container_id(log)
        pleg(log, START + SECOND, pod, container, "ContainerStarted")
        for number in range(4):
            at = START + 20 * MINUTE + number * 10 * SECOND + log.rng.randrange(SECOND)
            text = f'"ExecSync cmd from runtime service failed" err="{LATE}" containerID="{container}" cmd=["/check"]'
            log.say(at, "E", "remote_runtime.go:636", text)
    pod, container = cluster.pod("shop", "cart", log.node), container_id(log)
    killing(log, START + 30 * MINUTE, pod, container, 60)
    for number in range(5):
        text = f'"ExecSync cmd from runtime service failed" err="{LATE}" containerID="{container}" cmd=["/check"]'
        log.say(START + 30 * MINUTE + (number + 1) * 9 * SECOND, "E", "remote_runtime.go:636", text)
    finished(log, START + 30 * MINUTE + 55 * SECOND, pod, container, 0)


def starts(log: KubeletLog, journal: NodeJournal) -> None:
    """A kubelet starts; a runtime is restarted and refuses calls; a housekeeping and a cgroup's path are late."""
    kubelet_start(log, START + 4 * MINUTE, 2117)
    ago = "PLEG is not healthy: pleg was last seen active 3m2.1s ago; threshold is 3m0s"
    log.say(START + 8 * MINUTE, "E", "kubelet.go:2661", f'"Skipping pod synchronization" err="{ago}"')
    journal.containerd(START + 15 * MINUTE, "info", "Stop CRI service")
    for number in range(6):
        at = START + 15 * MINUTE + number * 3 * SECOND
        text = f'"StopContainer from runtime service failed" err="{GONE}" containerID="{container_id(log)}"'
        log.say(at, "E", "remote_runtime.go:345", text)
        log.say(at + 900, "E", "kubelet.go:2661", '"Skipping pod synchronization" err="container runtime is down"')
    journal.containerd(START + 15 * MINUTE + 20 * SECOND, "info", "containerd successfully booted in 0.071s")
    housekeeping = 'err="Housekeeping took longer than expected" expected="1s" actual="1.7s"'
    log.say(START + 25 * MINUTE, "E", "kubelet.go:2560", f'"housekeeping took too long" {housekeeping}')
    path = 'cgroupName=["kubepods","besteffort","podx"] err="unable to destroy cgroup paths"'
    log.say(START + 26 * MINUTE, "I", "pod_container_manager_linux.go:210", f'"Failed to delete cgroup paths" {path}')


def kills(cluster: Cluster, log: KubeletLog, journal: NodeJournal) -> bytes:
    """A liveness kill whose program is deaf, an OOM kill, a forced deletion, a restart that a program outlives."""
    live, oom, forced, outlives = cluster.pods(
        ["shop/storefront", "search/index", "batch/settle", "games/match"], log.node
    )
    ids = [container_id(log) for _ in range(4)]
    at = START + 6 * MINUTE
    log.say(
        at - 4000, "I", "kubelet.go:2790", f'"SyncLoop (probe)" probe="liveness" status="unhealthy" pod="{live.key}"'
    )
    killing(log, at, live, ids[0], 30)
    finished(log, at + 31 * SECOND, live, ids[0], 137)
    text = "Memory cgroup out of memory: Killed process 4411 (index) total-vm:1291648kB, anon-rss:129304kB, "
    journal.kernel(at + 2 * MINUTE, text + "file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:412kB oom_score_adj:999")
    finished(log, at + 2 * MINUTE + 400_000, oom, ids[1], 137)
    killing(log, at + 4 * MINUTE, forced, ids[2], 1)
    finished(log, at + 4 * MINUTE + 2 * SECOND, forced, ids[2], 137)
    killing(log, at + 6 * MINUTE, outlives, ids[3], 1800)
    kubelet_start(log, at + 10 * MINUTE, 3301)
    killing(log, at + 10 * MINUTE + 3 * SECOND, outlives, ids[3], 1557)
    finished(log, at + 15 * MINUTE, outlives, ids[3], 0)
    message = f"Container {live.owner} failed liveness probe, will be restarted"
    return json.dumps(
        {"kind": "List", "apiVersion": "v1", "items": [event(at, "Killing", message, about(live))]}
    ).encode()


def main() -> None:
    rng = random.Random(NAME)
    cluster = Cluster(rng)
    logs = [KubeletLog(node(number), rng, 1300 + number) for number in (41, 42, 43)]
    journals = [NodeJournal(log.node) for log in logs]
    for log in logs:
        log.murmur(cluster.pods(["logistics/stock", "payments/ledger"], log.node), START, END)
    probes(cluster, logs[0])
    starts(logs[1], journals[1])
    events = kills(cluster, logs[2], journals[2])
    truth = Truth(START, END)
    truth.counts = {"lines of kubelets": sum(len(log.lines) for log in logs)}
    folder = HOME / NAME
    truth.write(folder)
    for log, number in zip(logs, (41, 42, 43), strict=True):
        write(folder / f"kubelet-{number}.log", log.text())
    write(folder / "journal-42.log", journals[1].text())
    write(folder / "journal-43.log", journals[2].text())
    write(folder / "events.json", events)
