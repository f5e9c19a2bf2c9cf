"""The case node-log-lookalikes: a boot, a burst of denials, a drained node, files that end early or have a hole, a
container that is hardly ever throttled, while nothing is wrong."""

from __future__ import annotations

import random

from audit import Actors, AuditLog, Call, ref
from cluster import Cluster, moment, new_uid, node, rfc3339
from kernel import KernelLog
from klog import KubeletLog
from story import HOME, Truth
from wire import SECOND, write

NAME = "node-log-lookalikes"
MINUTE = 60 * SECOND
START = moment("2026-11-19T14:00:00")
END = START + 70 * MINUTE
BOOT = START + 22 * MINUTE
DENIALS = START + 31 * MINUTE
DRAINED = START + 28 * MINUTE + 40 * SECOND


def boots(log: KernelLog) -> None:
    """A node that starts again: for four minutes systemd, the runtime and kube-proxy make audit events."""
    log.serial = 60_110
    log.quiet(START, BOOT - 90 * SECOND)
    log.serial = 0
    log.say(BOOT, "Linux version 6.8.0-1021-aws (buildd@lcy02-amd64-014) (gcc 13.2.0) #23-Ubuntu SMP")
    log.event(BOOT + 900_000, 2000, "state=initialized audit_enabled=0 res=1")
    log.flood(BOOT + 5 * SECOND, BOOT + 4 * MINUTE, 12)
    log.quiet(BOOT + 4 * MINUTE, END)


def denied(log: KernelLog) -> None:
    """A container under a new SELinux policy: fifteen denials a second for five minutes."""
    log.serial = 22_870
    log.quiet(START, DENIALS)
    for at in range(DENIALS, DENIALS + 5 * MINUTE, SECOND):
        for number in range(15):
            log.serial += 1
            if number < 2:
                log.record(
                    at + number * 1000,
                    1400,
                    'avc:  denied  { read } for  pid=4711 comm="exporter" name="stat" dev="proc" ino=4026532034 '
                    "scontext=system_u:system_r:container_t:s0:c12,c400 tcontext=system_u:object_r:proc_t:s0 "
                    "tclass=file permissive=0",
                )
    log.quiet(DENIALS + 5 * MINUTE, END)


def drained(log: AuditLog, actors: Actors, name: str) -> None:
    person = actors.account(
        "platform", "operator", "kubectl/v1.36.2 (linux/amd64) kubernetes/3d8a7f2", "10.0.12.9", "edit"
    )
    log.add(DRAINED, Call(actor=person, verb="patch", target=ref("nodes", name=name)))
    for number in range(4):
        target = ref("pods", "shop", f"storefront-6c9f7d5b4c-x{number}k2m", sub="eviction")
        log.add(DRAINED + (2 + number) * SECOND, Call(actor=person, verb="create", target=target, code=201))
    log.add(DRAINED + 3 * MINUTE, Call(actor=person, verb="delete", target=ref("nodes", name=name)))


def counters(rng: random.Random) -> str:
    """Two containers: one is throttled in two of a hundred periods, the other has no quota."""
    text, periods, held = "", 52_000, 900
    paths = [
        f"/sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid}.slice"
        for uid in (new_uid(rng).replace("-", "_") for _ in range(2))
    ]
    scopes = [f"{path}/cri-containerd-{rng.getrandbits(256):064x}.scope" for path in paths]
    for at in range(START, END, 10 * MINUTE):
        text += rfc3339(at, 0) + "\n"
        for scope, quota in zip(scopes, (True, False), strict=True):
            values = {"usage_usec": periods * 21_000, "user_usec": periods * 15_000, "system_usec": periods * 6_000}
            if quota:
                values |= {"nr_periods": periods, "nr_throttled": held, "throttled_usec": held * 31_000}
            text += f"==> {scope}/cpu.stat <==\n" + "".join(f"{key} {value}\n" for key, value in values.items()) + "\n"
        periods, held = periods + 5_800, held + 116
    return text


def main() -> None:
    rng = random.Random(NAME)
    cluster, audit = Cluster(rng), AuditLog(rng, omit_received=True)
    boot, denial = KernelLog(node(41), rng), KernelLog(node(42), rng)
    boots(boot)
    denied(denial)
    drained(audit, Actors(rng), node(43).name)
    journals = {}
    for number in (42, 43, 44, 45, 46, 47):
        journal = journals[number] = KubeletLog(node(number), rng, 1300 + number)
        pods = cluster.pods(["shop/storefront", "checkout/cart"], node(number))
        journal.murmur(pods, START, DRAINED + 3 * MINUTE if number == 43 else END)
    shared = [line for number in (42, 43, 46, 47) for line in journals[number].lines]
    early = [line for line in journals[44].lines if line[0] < START + 30 * MINUTE]
    first = [line for line in journals[45].lines if line[0] < START + 25 * MINUTE]
    second = [line for line in journals[45].lines if line[0] >= START + 50 * MINUTE]

    truth = Truth(START, END)
    truth.counts = {"lines of kubelets": sum(len(one.lines) for one in journals.values())}
    folder = HOME / NAME
    truth.write(folder)
    for name, lines in {
        "kubelets.log": shared,
        "kubelet-44.log": early,
        "kubelet-45.log.1": first,
        "kubelet-45.log": second,
    }.items():
        write(folder / name, "".join(line for _, _, line in sorted(lines)).encode())
    write(folder / "kernel-41.log.gz", boot.text())
    write(folder / "kernel-42.log.gz", denial.text())
    write(folder / "cpu.stat.txt", counters(rng).encode())
    audit.save(folder)
