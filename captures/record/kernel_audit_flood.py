"""The case kernel-audit-flood: an agent turns the kernel's audit system on; it stays on when the agent is gone."""

from __future__ import annotations

import random

from audit import Actors, AuditLog, Call, ref
from cluster import moment, node
from kernel import KernelLog
from story import HOME, Truth
from wire import SECOND, write

NAME = "kernel-audit-flood"
MINUTE = 60 * SECOND
START = moment("2026-11-21T09:00:00")
END = START + 60 * MINUTE
WRITTEN, ONSET = START + 21 * MINUTE + 12 * SECOND, START + 22 * MINUTE
FULL = START + 34 * MINUTE + 2 * SECOND
DELETED = START + 45 * MINUTE + 33 * SECOND
RATE = 30
"""Events a second."""


def flooded(log: KernelLog) -> None:
    log.serial = 180_412
    log.quiet(START, ONSET - 20 * SECOND)
    who = "auid=4294967295 ses=4294967295 subj=unconfined"
    log.event(ONSET, 1305, f"op=set audit_enabled=1 old=0 {who} res=1")
    log.event(ONSET + 1000, 1305, f'op=add_rule {who} key="exec" list=4 res=1')
    log.flood(ONSET + 2000, END - 10 * SECOND, RATE)
    for number in range(3):
        at = FULL + number * SECOND
        log.say(at, "audit: audit_backlog=65 > audit_backlog_limit=64")
        log.say(at, f"audit: audit_lost={1 + 40 * number} audit_rate_limit=0 audit_backlog_limit=64")
        log.say(at, "audit: backlog limit exceeded")


def changes(log: AuditLog, actors: Actors) -> None:
    person = actors.account(
        "platform", "deployer", "kubectl/v1.36.2 (linux/amd64) kubernetes/3d8a7f2", "10.0.12.9", "edit"
    )
    kubelet = actors.kubelet(node(33))
    for at in range(START + 5 * SECOND, END, 10 * SECOND):
        lease = ref("leases", "kube-node-lease", kubelet.username[12:], group="coordination.k8s.io")
        log.add(at, Call(actor=kubelet, verb="update", target=lease))
    target = ref("daemonsets", "security", "exec-audit", group="apps")
    log.add(WRITTEN, Call(actor=person, verb="create", target=target, code=201))
    log.add(DELETED, Call(actor=person, verb="delete", target=target))


def main() -> None:
    rng = random.Random(NAME)
    log, spared = KernelLog(node(33), rng), KernelLog(node(34), rng, serial=90_277)
    audit = AuditLog(rng, omit_received=True)
    flooded(log)
    spared.quiet(START, END)
    changes(audit, Actors(rng))

    inside = [(at, serial) for at, serial in log.printed if at >= ONSET]
    after = [serial for at, serial in inside if at > DELETED]
    events = inside[-1][1] - inside[0][1] + 1
    truth = Truth(START, END)
    truth.findings[f"{NAME}:ip-10-0-12-33"] = {
        "records by serial": events,
        "records not in the log": events - len({serial for _, serial in inside}),
        "messages suppressed": sum(held for _, held in log.suppressed),
        "records lost by the full queue": 81,
        "records that waited at most": 65,
        "records after the writer's removal": after[-1] - after[0] + 1,
    }
    truth.counts = {"lines of node 33": len(log.lines), "lines of node 34": len(spared.lines)}
    folder = HOME / NAME
    truth.write(folder)
    write(folder / "kernel-33.log.gz", log.text())
    write(folder / "kernel-34.log", spared.text())
    audit.save(folder)
