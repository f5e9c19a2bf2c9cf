"""What a finding about SIGKILL says, and how bad it is."""

from __future__ import annotations

from analyzer.detectors.node.termination_sigkill.groups import Group
from analyzer.detectors.node.termination_sigkill.kills import EXCEEDED, RESTART
from analyzer.facts.audit_windows import counted
from analyzer.model import Severity

MANY = 10


LONG = 3600.0


def summary(group: Group) -> str:
    pods = counted(group.pods, "pod")
    if group.variant == RESTART:
        restarts = counted(group.starts.height, "restart")
        return (
            f"{pods} on {group.subject} got SIGKILL inside the grace period at {restarts} of the kubelet; "
            f"{group.lost:,.0f} s of grace were lost{group.for_certificates}."
        )
    if group.variant == EXCEEDED:
        whose = "its" if group.pods == 1 else "their"
        if not group.rows.height:
            return f"{pods} of {group.subject} did not end within {whose} grace period, as Events tell."
        return f"{pods} of {group.subject} did not end within {whose} grace period and got SIGKILL."
    return (
        f"{counted(group.starts.height, 'restart')} of the kubelet of {group.subject} came after its client "
        "certificate ran out or was rotated; each may cut grace periods short."
    )


def severity(group: Group) -> Severity:
    if group.variant == RESTART:
        return Severity.HIGH if group.pods >= MANY or group.lost >= LONG else Severity.MEDIUM
    return Severity.MEDIUM if group.variant == EXCEEDED and group.pods >= MANY else Severity.LOW


def reason(group: Group) -> str:
    if group.variant == RESTART:
        told = "exit code 137 before the grace was over" if group.sure else "the end, whose exit code is not told,"
        return f"the logs hold the kill with its grace, the kubelet's start within it, and {told}"
    if group.variant == EXCEEDED:
        if not group.sure:
            return "the containers ended when their grace was over, and nothing tells their exit code"
        return "the exit code, the runtime or an Event says that the grace was over"
    return "the kubelet says that its certificate ran out or was rotated, and starts anew within two minutes"
