"""The case termination-sigkill: a kubelet is restarted while matches are played to their end, another because its
certificate runs out every day; and a worker that does not hear SIGTERM."""

from __future__ import annotations

import random

from cluster import Cluster, moment, node
from klog import KubeletLog
from nodelogs import NodeJournal, container_id, finished, killing, kubelet_start, pleg
from story import HOME, Truth
from wire import SECOND, write

NAME = "termination-sigkill"
START = moment("2026-11-23T06:00:00")
MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
END = START + 52 * HOUR
RESTART = START + 3 * HOUR + 17 * MINUTE
EXPIRED = '"The currently active client certificate has expired and the server is responsive, exiting."'


def matches(cluster: Cluster, log: KubeletLog) -> tuple[int, float]:
    """Five matches may play on for an hour; a restart in between ends three, one ends before, and one by itself after.
    Returns pods killed and seconds lost."""
    lost = 0
    for number in range(5):
        pod, container = cluster.pod("games", "match", log.node), container_id(log)
        asked = RESTART - 12 * MINUTE + number * 40 * SECOND
        pleg(log, asked - HOUR, pod, container, "ContainerStarted")
        log.say(asked, "I", "kubelet.go:2740", f'"SyncLoop DELETE" source="api" pods=["{pod.key}"]')
        killing(log, asked + 2000, pod, container, 3600)
        if number == 3:
            finished(log, asked + 5 * MINUTE, pod, container, 0)
        elif number == 4:
            finished(log, RESTART + 9 * MINUTE, pod, container, 0)
        else:
            died = RESTART + 2 * SECOND + number * 100_000
            finished(log, died, pod, container, 137)
            lost += 3600 * SECOND - (died - asked - 2000)
    kubelet_start(log, RESTART, 20_113)
    return 3, lost / SECOND


def nightly(cluster: Cluster, log: KubeletLog) -> tuple[int, float]:
    """The certificate lives for a day. A job with two days of grace ends at the second restart."""
    pod, container = cluster.pod("batch", "settle", log.node), container_id(log)
    starts = [START + 2 * HOUR + day * 24 * HOUR for day in range(3)]
    asked = starts[1] - 5 * HOUR
    pleg(log, asked - HOUR, pod, container, "ContainerStarted")
    killing(log, asked, pod, container, 172_800)
    for number, at in enumerate(starts):
        log.say(at - 11 * SECOND, "E", "transport.go:131", EXPIRED)
        kubelet_start(log, at, 30_000 + number)
    died = starts[1] + 2 * SECOND
    finished(log, died, pod, container, 137)
    return 1, 172_800 - (died - asked) / SECOND


def deaf(cluster: Cluster, log: KubeletLog, journal: NodeJournal) -> tuple[int, float]:
    """Workers behind a shell that hands no signal on: each takes its whole grace and is killed."""
    waited = 0
    for number in range(4):
        pod, container = cluster.pod("platform", "worker", log.node), container_id(log)
        asked = START + 5 * HOUR + number * 70 * SECOND
        killing(log, asked, pod, container, 30)
        journal.containerd(asked + 900, "info", f'StopContainer for "{container}" with timeout 30 (s)')
        journal.containerd(asked + 1000, "info", f'Stop container "{container}" with signal terminated')
        journal.containerd(asked + 30 * SECOND + 2000, "info", f'Kill container "{container}"')
        died = asked + 30 * SECOND + 400_000 + number
        finished(log, died, pod, container, 137)
        waited += died - asked
    return 4, waited / SECOND


def main() -> None:
    rng = random.Random(NAME)
    cluster = Cluster(rng)
    games, nights, workers = (KubeletLog(node(number), rng, 1400 + number) for number in (38, 39, 40))
    journal = NodeJournal(node(40))
    for log, hours in ((games, 5), (nights, 3), (workers, 7)):
        log.murmur(cluster.pods(["shop/storefront", "search/index"], log.node), START, START + hours * HOUR)
    truth = Truth(START, END)
    pods, lost = matches(cluster, games)
    truth.findings[f"{NAME}:ip-10-0-12-38"] = {
        "pods killed inside their grace period": pods,
        "seconds of grace lost": lost,
        "kubelet restarts": 1,
        "restarts for a certificate": 0,
    }
    pods, lost = nightly(cluster, nights)
    truth.findings[f"{NAME}:ip-10-0-12-39"] = {
        "pods killed inside their grace period": pods,
        "seconds of grace lost": lost,
        "kubelet restarts": 3,
        "restarts for a certificate": 1,
        "seconds between them": 86_400.0,
    }
    pods, waited = deaf(cluster, workers, journal)
    truth.findings[f"{NAME}:platform/worker"] = {
        "pods killed at the end of their grace period": pods,
        "seconds waited for": waited,
    }
    folder = HOME / NAME
    truth.counts = {"lines of kubelets": sum(len(log.lines) for log in (games, nights, workers))}
    truth.write(folder)
    for log, number in ((games, 38), (nights, 39), (workers, 40)):
        write(folder / f"kubelet-{number}.log", log.text())
    write(folder / "journal-40.log", journal.text())
