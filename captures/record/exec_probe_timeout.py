"""The case exec-probe-timeout: a readiness probe runs a script for a second at most, and its store needs longer."""

from __future__ import annotations

import random

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
PER_PROBE = 2
"""The shell's children: the script and grep."""


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

    truth = Truth(START, END)
    truth.findings[f"{NAME}:checkout/cart container cart"] = {
        "timeouts": timeouts,
        "timeouts of the container": timeouts,
        "containers": 1,
        "processes left, at the most": timeouts * PER_PROBE,
        "timeout of the probe": 1.0,
        "seconds not ready": not_ready / SECOND,
    }
    truth.counts = {"lines of the kubelet": len(log.lines), "lines of containerd": len(journal.lines)}
    folder = HOME / NAME
    truth.write(folder)
    write(folder / "kubelet-36.log", log.text())
    write(folder / "journal-36.log", journal.text())
