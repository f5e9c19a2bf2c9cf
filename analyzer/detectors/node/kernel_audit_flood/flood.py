"""A flood of audit events on one node, and the thresholds that make one."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from msgspec import Struct

from analyzer.facts.audit_types import DENIALS, SIDE

MOSTLY = 0.8
"""Share of denials from which a flood is one of a security module, and of changes of the firewall, from which it is
one of those."""


class Limits(Struct, frozen=True, kw_only=True):
    """Thresholds; see the detector's settings."""

    rate: float
    factor: float
    alone: float
    much: float
    minutes: int
    quiet_minutes: int


class Flood(Struct, frozen=True, kw_only=True):
    """Minutes of one boot of one node in which audit events came far too fast.

    `rows` are the records in them, in order, `placed` those whose serials stand in order too, each event once, and
    `course` the same with the half hour before; `told` is what the node said beside them. `events` are counted by
    serial, or by line where the log holds none. `before` is the rate of the quiet time of this boot, None where there
    was none; `since_boot` is how many seconds after the boot it began, None where unknown.
    """

    node: str
    rows: pl.DataFrame
    placed: pl.DataFrame
    course: pl.DataFrame
    told: pl.DataFrame
    events: int
    before: float | None
    since_boot: float | None

    @property
    def start(self) -> datetime:
        found: datetime = self.rows["time"].item(0)
        return found

    @property
    def end(self) -> datetime:
        found: datetime = self.rows["time"].item(-1)
        return found

    @property
    def seconds(self) -> float:
        return max((self.end - self.start).total_seconds(), 1.0)

    @property
    def rate(self) -> float:
        return self.events / self.seconds

    @property
    def by_serial(self) -> bool:
        """Whether the kernel's serials count the events, and not the lines of journald."""
        return bool(self.rows["is_numbered"].all())

    @property
    def seen(self) -> int:
        return self.rows["serial"].n_unique()

    @property
    def denials(self) -> float:
        """The share of records that a security module made."""
        made = self.rows.filter(~pl.col("type").is_in(["SYSCALL", *SIDE]))
        return made.filter(pl.col("type").is_in(DENIALS)).height / made.height if made.height else 0.0

    @property
    def firewall(self) -> float:
        """The share of events that are a change of iptables or nftables. The kernel reports each of them, without a
        rule that asks, as long as auditing is on (kernel include/linux/audit.h, audit_log_nfcfg)."""
        changed = self.rows.filter(pl.col("type") == "NETFILTER_CFG")["serial"].n_unique()
        return changed / self.seen if self.seen else 0.0

    def after(self, moment: datetime) -> int:
        """Events later than a moment, by serial."""
        later = self.placed.filter(pl.col("time") > moment)["serial"]
        return int(later[-1] - later[0]) + 1 if later.len() else 0
