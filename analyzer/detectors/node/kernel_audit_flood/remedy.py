"""What ends a flood of audit records, what that would have spared, and how to see the same without this tool."""

from __future__ import annotations

import re

import polars as pl

from analyzer.detectors.node.kernel_audit_flood.causes import Cause
from analyzer.detectors.node.kernel_audit_flood.flood import Flood
from analyzer.facts.audit_types import SIDE
from analyzer.facts.shell import grep, piped
from analyzer.model import Remedy, Saving

SYSCALL = "SYSCALL"
"""What rules of one's own ask for: it is their rule that is deleted, not the type that is left out."""

_KEY = r"[A-Za-z0-9_.-]{1,64}"
_TYPE = r"[A-Z][A-Z_]{1,30}"

OFF = Remedy(
    text="Turn the audit system of the node off where nobody reads its records: without a daemon the kernel prints "
    "them into its log, and they fill the journal and the disk. It stays on when the agent that turned it on has gone.",
    snippet="auditctl -s          # enabled, pid, lost, backlog\nauditctl -D          # delete all rules\n"
    "auditctl -e 0        # until the next boot; for good: audit=0 on the kernel's command line\n"
    "systemctl mask --now systemd-journald-audit.socket   # the journal takes them too\n",
)
CLEAN_UP = Remedy(
    text="Let the agent put back what it changed: a DaemonSet that turns auditing on needs a preStop hook, and a "
    "clean-up on each node after it is deleted.",
    snippet='lifecycle:\n  preStop:\n    exec:\n      command: ["sh", "-c", "auditctl -D; auditctl -e 0"]\n',
)
FEWER = Remedy(
    text="Ask for fewer records: leave types out that nobody reads, give rules for system calls a key and a narrow "
    "filter, and limit the rate in the kernel.",
    snippet="# /etc/audit/rules.d/10-exclude.rules\n-a always,exclude -F msgtype=NETFILTER_CFG\n"
    "-a always,exclude -F msgtype=BPF\n-r 100\n",
)
ALERT = Remedy(text="Alert on the node's log volume, and on `lost` and `backlog` of auditctl -s.")
GENERAL = (OFF, CLEAN_UP, FEWER, ALERT)


def remedies(flood: Flood, cause: Cause) -> tuple[Remedy, ...]:
    """What fits this flood first."""
    if cause.left is not None:
        return (OFF, CLEAN_UP, ALERT)
    most = _most(flood)
    keys = flood.rows["rule_key"].drop_nulls().unique().to_list()
    if most is not None and most[0] == SYSCALL and len(keys) == 1 and re.fullmatch(_KEY, keys[0]):
        delete = Remedy(
            text=f"Delete the rule that asks for these events (key {keys[0]}), or narrow what it matches.",
            snippet=f"auditctl -D -k {keys[0]}\n",
        )
        return (delete, *GENERAL)
    if most is None or most[0] == SYSCALL:
        return GENERAL
    exclude = Remedy(
        text=f"Leave the type out that fills the log ({most[0]}), if nobody reads it.",
        snippet=f"auditctl -a always,exclude -F msgtype={most[0]}\n",
    )
    return (exclude, *GENERAL)


def savings(flood: Flood, cause: Cause) -> tuple[Saving, ...]:
    """The events of the quiet time would have come anyway; those without the type that fills the log."""
    found = []
    if cause.left is not None:
        gone = flood.after(cause.left)
        found.append(
            Saving(
                fix="auditing is turned off when its writer is removed",
                observed=flood.events,
                modelled=flood.events - gone,
                unit="events",
                assumption="Nobody reads the records after the writer has gone.",
                formula=f"events{' by serial' if flood.by_serial else ''} less those after the removal",
            )
        )
    if flood.before is not None:
        found.append(
            Saving(
                fix="the rules that came with the onset are not set",
                observed=flood.events,
                modelled=min(round(flood.before * flood.seconds), flood.events),
                unit="events",
                assumption="Without them the node would have gone on as in its quiet time.",
                formula="rate before x seconds of the flood",
            )
        )
    most = _most(flood)
    if most is not None and most[0] != SYSCALL:
        found.append(
            Saving(
                fix=f"events of type {most[0]} are excluded",
                observed=flood.events,
                modelled=round(flood.events * (1 - most[1])),
                unit="events",
                assumption="What is not in the log is of the same types as what is.",
                formula="events x (1 - share of those with a record of the type)",
            )
        )
    return tuple(found)


def _most(flood: Flood) -> tuple[str, float] | None:
    """The type that fills the log and the share of events that have it; None where its name is not sound."""
    counts = flood.rows.group_by("type").agg(pl.col("serial").n_unique().alias("n"))
    own = counts.filter(~pl.col("type").is_in(SIDE))
    if not own.height:
        return None
    name, count = own.sort("n", "type", descending=[True, False]).row(0)
    return (name, count / flood.seen) if re.fullmatch(_TYPE, name) else None


def verify(flood: Flood) -> tuple[str, ...]:
    source = flood.rows["source"][0]
    serial = r"audit\([0-9.]+:\K[0-9]+"
    counts = (
        f"{piped(source)} | {grep(serial, 'oP')} | sed -n '1p;$p'   # first and last serial",
        f"{piped(source)} | grep -oP 'type=\\K[A-Z0-9_]+(?= (msg=)?audit)' | sort | uniq -c | sort -rn",
    )
    lines = f"{piped(source)} | grep -oP ' audit(\\[[0-9]+\\])?: \\K[A-Z0-9_]+ ' | sort | uniq -c | sort -rn"
    return (
        *(counts if flood.by_serial else (lines,)),
        "auditctl -s; auditctl -l   # on the node: lost and backlog stand still after the fix",
        "kubectl get daemonsets -A -o wide | grep -iE 'audit|falco|osquery|sysdig'",
    )
