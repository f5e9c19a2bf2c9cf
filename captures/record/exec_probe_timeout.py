"""The case exec-probe-timeout: a readiness probe runs a script for a second at most, and its store needs longer."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from cluster import Cluster, moment, node
from klog import KubeletLog
from nodelogs import NodeJournal, container_id, pleg
from story import HOME, Truth
from wire import SECOND, write

NAME = "exec-probe-timeout"
START = moment("2026-11-26T07:00:00")
MINUTE = 60 * SECOND
END = START + 30 * MINUTE
SLOW = (START + 6 * MINUTE, START + 21 * MINUTE)
PERIOD = 10 * SECOND
COMMAND = '["sh","-c","/opt/check-store.sh | grep -q ok"]'
WORDS = "sh -c /opt/check-store.sh | grep -q ok"

LISTED = START + 25 * MINUTE
"""When somebody saved a process listing: the store is well again, and what was left is still there."""


def listing(pod_uid: str, container: str, timeouts: list[int]) -> tuple[list[str], int]:
    """`ps -eo pid,ppid,stat,user:12,etimes,comm:20,cgroup:400` of the node, and how many processes of the probe are
    defunct: the script and grep of each timeout, but for one in ten whose script ended with its shell."""
    rng = random.Random(f"{NAME} processes")
    group = f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{pod_uid.replace('-', '_')}.slice"
    own = f"{group}/cri-containerd-{container}.scope"
    row = "{:>7} {:>7} {:<4} {:<12} {:>7} {:<20} {}".format
    lines = [datetime.fromtimestamp(LISTED / SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")]
    lines.append(row("PID", "PPID", "STAT", "USER", "ELAPSED", "COMMAND", "CGROUP"))
    system = [(1, 0, "systemd", "init.scope"), (712, 1, "containerd", "system.slice/containerd.service")]
    system += [(1377, 1, "kubelet", "system.slice/kubelet.service")]
    lines += [row(pid, parent, "Ssl", "root", 901_122, name, f"0::/{place}") for pid, parent, name, place in system]
    lines += [row(20_417, 1, "Sl", "root", 88_203, "containerd-shim", "0::/system.slice/containerd.service")]
    lines += [row(20_438, 20_417, "Ss", "65535", 88_203, "pause", own.replace(container, "c4" * 32))]
    lines += [row(20_511, 20_417, "Ssl", "1000", 88_201, "java", own)]
    lines += [row(21_040 + n, 2, "I", "root", rng.randrange(900_000), f"kworker/{n}:1", "0::/") for n in range(8)]
    pid, defunct = 24_000, 0
    for at in timeouts:
        for name in ("check-store.sh", "grep")[rng.random() < 0.1 :]:
            pid += rng.randrange(1, 9)
            lines.append(row(pid, 20_511, "Z", "1000", (LISTED - at) // SECOND, f"{name} <defunct>", own))
            defunct += 1
    lines += [row(pid + 77, 20_300, "R+", "root", 0, "ps", "0::/user.slice/user-0.slice/session-12.scope")]
    return lines, defunct


def main() -> None:
    rng = random.Random(NAME)
    here, cluster = node(36), Cluster(rng)
    log, journal = KubeletLog(here, rng, 1377), NodeJournal(here)
    pods = cluster.pods(["checkout/cart", "shop/storefront", "search/index"], here)
    cart = pods[0]
    container = container_id(log)
    log.murmur(pods[1:], START, END)
    pleg(log, START + 3 * SECOND, cart, container, "ContainerStarted")
    whom = f'pod="{cart.key}" podUID="{cart.uid}" containerName="cart"'
    late = "rpc error: code = DeadlineExceeded desc = failed to exec in container: timeout 1s exceeded: "
    late += "context deadline exceeded"
    timeouts, row, since, not_ready = 0, 0, None, 0
    calls: list[int] = []
    for at in range(START + 20 * SECOND, END, PERIOD):
        slow = SLOW[0] <= at < SLOW[1] and rng.random() < 0.9
        if slow:
            done = at + SECOND + rng.randrange(2000, 9000)
            journal.containerd(done - 900, "error", f'ExecSync for "{container}" failed', late)
            text = f'"ExecSync cmd from runtime service failed" err="{late}" containerID="{container}" cmd={COMMAND}'
            log.say(done, "E", "remote_runtime.go:636", text)
            output = f'command timed out: \\"{WORDS}\\" timed out after 1s'
            failed = f'"Probe failed" probeType="Readiness" {whom} probeResult="failure" output="{output}"'
            log.say(done + 400, "I", "prober.go:122", failed)
            timeouts, row = timeouts + 1, row + 1
            calls.append(at)
            if row == 3:
                since = done + 700
                log.say(
                    since,
                    "I",
                    "kubelet.go:2790",
                    f'"SyncLoop (probe)" probe="readiness" status="not ready" pod="{cart.key}"',
                )
        else:
            row = 0
            if since is not None:
                ready = at + 60_000
                log.say(
                    ready,
                    "I",
                    "kubelet.go:2790",
                    f'"SyncLoop (probe)" probe="readiness" status="ready" pod="{cart.key}"',
                )
                not_ready, since = not_ready + ready - since, None

    processes, defunct = listing(cart.uid, container, calls)
    truth = Truth(START, END)
    truth.findings[f"{NAME}:checkout/cart container cart"] = {
        "timeouts": timeouts,
        "timeouts of the container": timeouts,
        "containers": 1,
        "defunct processes": defunct,
        "timeout of the probe": 1.0,
        "seconds not ready": not_ready / SECOND,
    }
    truth.counts = {"lines of the kubelet": len(log.lines), "lines of containerd": len(journal.lines)}
    truth.counts |= {"processes of the listing": len(processes) - 2}
    folder = HOME / NAME
    truth.write(folder)
    write(folder / "kubelet-36.log", log.text())
    write(folder / "journal-36.log", journal.text())
    write(folder / "ps-36.txt", "".join(f"{line}\n" for line in processes).encode())
