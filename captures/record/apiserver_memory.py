"""The case apiserver-memory: an API server has neither the CPU nor the memory for its nodes, and the kernel kills it.

For three minutes requests take seconds, hardly any of which are etcd's, and one in eight runs out of time; then the
server is killed for its memory, is silent for 38 s, and starts again, after which its clients list again.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields
from datetime import UTC, datetime

from apiserver_overload import LATE
from audit import AuditLog, Call, ref
from cluster import moment, node
from controlplane import ControlPlane
from story import HOME, Truth
from wire import SECOND, write

NAME = "apiserver-memory"
START = moment("2026-11-26T06:00:00")
MINUTE = 60 * SECOND
END = START + 12 * MINUTE
SLOW = (START + 5 * MINUTE + 5 * SECOND, START + 8 * MINUTE)
GONE = (SLOW[1], SLOW[1] + 38 * SECOND)
NODES = range(31, 45)


@dataclass
class BusyLog(AuditLog):
    """Makes requests of the bad minutes late, and lets some of them run out of time; counts what it makes."""

    failed: int = 0
    slow: int = 0

    def add(self, at: int, call: Call) -> tuple[int, int]:
        if GONE[0] <= at < GONE[1]:
            return 0, 0  # nobody listens
        if SLOW[0] <= at < SLOW[1] and call.verb != "watch" and call.target:
            call = self.worse(call)
        return super().add(at, call)

    def worse(self, call: Call) -> Call:
        made = {one.name: getattr(call, one.name) for one in fields(Call)}
        draw = self.rng.random()
        took = self.rng.randrange(1_300_000, 4_500_000) if draw < 0.7 else call.took
        if draw < 0.12:
            took = 10_000_000
            made |= {"status": LATE, "request": None, "response": None}
            self.failed += 1
        self.slow += took > (5_000_000 if call.verb == "list" else 1_000_000)
        if took > 500_000:
            made["notes"] = (
                ("apiserver.latency.k8s.io/etcd", f"{took * 0.03 / 1000:.6f}ms"),
                ("apiserver.latency.k8s.io/total", f"{took / 1000:.6f}ms"),
            )
        return Call(**(made | {"took": took}))


def start_again(plane: ControlPlane) -> None:
    """The informers of the server, then the lists of every node's kube-proxy."""
    at = GONE[1]
    for place, resource in enumerate(("namespaces", "services", "secrets", "nodes", "pods", "serviceaccounts")):
        query = "allowWatchBookmarks=true&watch=true"
        call = Call(actor=plane.server, verb="watch", target=ref(resource), query=query, took=3 * MINUTE)
        plane.log.add(at + place * 30_000, call)
    for one in plane.nodes:
        actor = plane.actors.account("kube-system", "kube-proxy", "kube-proxy/v1.36.2", one.ip, "node-proxier")
        for resource in ("services", "nodes"):
            when = at + 2 * SECOND + plane.rng.randrange(20 * SECOND)
            plane.log.add(when, Call(actor=actor, verb="list", target=ref(resource), query="resourceVersion=0"))


def kernel() -> str:
    """What the kernel of the control plane's node says, as `journalctl -k -o short-iso-precise` prints it."""
    lines = (
        "kube-apiserver invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=-997",
        (
            "Out of memory: Killed process 2210 (kube-apiserver) total-vm:9126012kB, anon-rss:7811204kB, file-rss:0kB, "
            "shmem-rss:0kB, UID:0 pgtables:15804kB oom_score_adj:-997"
        ),
    )
    when = datetime.fromtimestamp(GONE[0] / SECOND, UTC)
    return "".join(f"{when:%Y-%m-%dT%H:%M:%S.%f}+0000 ip-10-0-12-5 kernel: {line}\n" for line in lines)


def main() -> None:
    rng = random.Random(NAME)
    log = BusyLog(rng, omit_received=True)
    plane = ControlPlane(log, [node(number) for number in NODES], rng)
    plane.beat(START, END)
    start_again(plane)
    truth = Truth(START, END)
    truth.findings["apiserver-overload:kube-apiserver"] = {
        "5xx answers": log.failed,
        "504 answers": log.failed,
        "slow requests": log.slow,
        "restarts of the server": 1,
        "etcd's share while slow": 0.03,
    }
    truth.counts = {"requests": len(log.times), "audit records": len(log.lines)}
    folder = HOME / NAME
    log.save(folder, (START + 11 * MINUTE,))
    write(folder / "kernel.log", kernel().encode())
    truth.write(folder)


if __name__ == "__main__":
    main()
