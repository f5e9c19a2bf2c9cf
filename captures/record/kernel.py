"""The kernel's part of a node's journal, as `journalctl -k -o short-iso` prints it, and its audit system."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cluster import Node
from wire import SECOND

INTERVAL, BURST = 5 * SECOND, 10
"""printk's rate limit: ten lines in five seconds (kernel.printk_ratelimit)."""


@dataclass
class KernelLog:
    """One node. `serial` is that of the last audit event, whether it was printed or not."""

    node: Node
    rng: random.Random
    serial: int = 0
    lines: list[tuple[int, int, str]] = field(default_factory=list)
    printed: list[tuple[int, int]] = field(default_factory=list)
    """Time and serial of each event of which a record was printed."""
    suppressed: list[tuple[int, int]] = field(default_factory=list)

    def say(self, at: int, text: str) -> None:
        when = datetime.fromtimestamp(at // SECOND, UTC)
        host = self.node.name.split(".", 1)[0]
        self.lines.append((at, len(self.lines), f"{when:%Y-%m-%dT%H:%M:%S}+0000 {host} kernel: {text}\n"))

    def text(self) -> bytes:
        return "".join(line for _, _, line in sorted(self.lines)).encode()

    def record(self, at: int, kind: int, rest: str) -> None:
        """One record of the event with the last serial."""
        self.say(at, f"audit: type={kind} audit({at // SECOND}.{at % SECOND // 1000:03d}:{self.serial}): {rest}")
        if self.printed[-1:] != [(at, self.serial)]:
            self.printed.append((at, self.serial))

    def event(self, at: int, kind: int, rest: str) -> None:
        """An event of one record."""
        self.serial += 1
        self.record(at, kind, rest)

    def execve(self, at: int, room: int) -> int:
        """An event of four records, of which as many are printed as there is room for; returns how many that is."""
        self.serial += 1
        pid = self.rng.randrange(2000, 60000)
        comm, path = self.rng.choice((("runc", "/usr/bin/runc"), ("sh", "/bin/sh"), ("iptables", "/usr/sbin/iptables")))
        call = "arch=c000003e syscall=59 success=yes exit=0 a0=55d0c1 a1=55d0f8 a2=55d100 a3=0 items=2 ppid=1 "
        call += f'pid={pid} auid=4294967295 uid=0 gid=0 tty=(none) ses=4294967295 comm="{comm}" exe="{path}" key="exec"'
        parts = (
            (1300, call),
            (1309, f'argc=2 a0="{comm}" a1="--version"'),
            (1302, f'item=0 name="{path}" inode={pid} dev=103:01 mode=0100755 ouid=0 ogid=0 nametype=NORMAL'),
            (1327, f"proctitle={comm.encode().hex()}"),
        )
        for kind, rest in parts[:room]:
            self.record(at, kind, rest)
        return min(room, len(parts))

    def flood(self, start: int, end: int, per_second: int) -> None:
        """So many execve events a second; of every five seconds ten lines are printed, the rest is counted."""
        for at in range(start, end, INTERVAL):
            left = BURST
            held = 0
            for number in range(per_second * INTERVAL // SECOND):
                used = self.execve(at + number * SECOND // per_second, left)
                left -= used
                held += 4 - used
            self.suppressed.append((at + INTERVAL - 1000, held))
            self.say(at + INTERVAL - 1000, f"kauditd_printk_skb: {held} callbacks suppressed")

    def quiet(self, start: int, end: int) -> None:
        """What a node with an audit system makes by itself: chains of kube-proxy, programs that systemd loads."""
        at = start + self.rng.randrange(SECOND, 9 * SECOND)
        while at < end:
            if self.rng.random() < 0.6:
                self.event(
                    at,
                    1325,
                    'table=nat:4512 family=2 entries=214 op=nft_register_rule pid=2211 comm="iptables-restor"',
                )
            else:
                self.event(at, 1334, f"prog-id={self.rng.randrange(50, 900)} op=LOAD")
            at += self.rng.randrange(5 * SECOND, 16 * SECOND)
