"""The case apiserver-overload: etcd's disk has used up its I/O credits, and everything waits for it.

For three minutes writes and reads of the store take seconds; some run into their timeouts; then the server is killed,
is silent for 46 s, and starts again, after which its clients list again.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from audit import AuditLog, Call, Json, ref
from cluster import moment, node
from controlplane import ControlPlane
from story import HOME, Truth
from wire import SECOND

NAME = "apiserver-overload"
START = moment("2026-11-25T21:00:00")
MINUTE = 60 * SECOND
END = START + 15 * MINUTE
SLOW = (START + 7 * MINUTE, START + 10 * MINUTE)
GONE = (SLOW[1], SLOW[1] + 46 * SECOND)
TIMEOUT: Json = {
    "metadata": {},
    "status": "Failure",
    "message": "etcdserver: request timed out",
    "code": 500,
}
LATE: Json = {
    "metadata": {},
    "status": "Failure",
    "message": "Timeout: request did not complete within the requested timeout - context deadline exceeded",
    "reason": "Timeout",
    "details": {},
    "code": 504,
}


@dataclass
class SlowLog(AuditLog):
    """Makes requests of the bad minutes late, and some of them fail; counts what it makes."""

    failed: int = 0
    late: int = 0
    slow: int = 0
    bad: list[int] = field(default_factory=list)

    def add(self, at: int, call: Call) -> tuple[int, int]:
        if GONE[0] <= at < GONE[1]:
            return 0, 0  # nobody listens
        if SLOW[0] <= at < SLOW[1] and call.verb != "watch" and call.target:
            call = self.worse(at, call)
        return super().add(at, call)

    def worse(self, at: int, call: Call) -> Call:
        rng, names = self.rng, {name: getattr(call, name) for name in Call.__dataclass_fields__}
        draw = rng.random()
        took = rng.randrange(1_200_000, 4_800_000) if draw < 0.7 else call.took
        if draw < 0.12:
            names["status"], took = (TIMEOUT, 7_000_000) if draw < 0.08 else (LATE, 10_000_000)
            names |= {"request": None, "response": None}
            self.failed += 1
            self.late += draw >= 0.08
        many = call.verb == "list"
        self.slow += took > (5_000_000 if many else 1_000_000)
        if took > (5_000_000 if many else 1_000_000) or draw < 0.12:
            self.bad.append(at)
        if took > 500_000:
            etcd = f"{took * 0.94 / 1000:.6f}ms"
            names["notes"] = (
                ("apiserver.latency.k8s.io/etcd", etcd),
                ("apiserver.latency.k8s.io/total", f"{took / 1000:.6f}ms"),
            )
        return Call(**(names | {"took": took}))


def start_again(plane: ControlPlane) -> int:
    """The informers of the server, then of everybody else. Returns the lists of the others."""
    at = GONE[1]
    for place, resource in enumerate(("namespaces", "services", "secrets", "nodes", "pods", "serviceaccounts")):
        query = "allowWatchBookmarks=true&watch=true"
        call = Call(actor=plane.server, verb="watch", target=ref(resource), query=query, took=3 * MINUTE)
        plane.log.add(at + place * 30_000, call)
    lists = 0
    for one in plane.nodes:
        actor = plane.actors.account("kube-system", "kube-proxy", "kube-proxy/v1.36.2", one.ip, "node-proxier")
        for resource in ("services", "nodes"):
            moment_ = at + 2 * SECOND + plane.rng.randrange(20 * SECOND)
            plane.log.add(moment_, Call(actor=actor, verb="list", target=ref(resource), query="resourceVersion=0"))
            lists += 1
    return lists


def main() -> None:
    rng = random.Random(NAME)
    nodes = [node(number) for number in range(31, 43)]
    log = SlowLog(rng, omit_received=True)
    plane = ControlPlane(log, nodes, rng)
    plane.beat(START, END)
    start_again(plane)
    truth = Truth(START, END)
    truth.findings[f"{NAME}:kube-apiserver"] = {
        "5xx answers": log.failed,
        "504 answers": log.late,
        "slow requests": log.slow,
        "restarts of the server": 1,
        "etcd's share while slow": 0.94,
    }
    truth.counts = {"requests": len(log.times), "audit records": len(log.lines)}
    folder = HOME / NAME
    log.save(folder, (START + 12 * MINUTE + 30 * SECOND,))
    truth.write(folder)
