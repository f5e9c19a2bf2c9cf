"""What a finding about a stall says, how bad it is, and how sure."""

from __future__ import annotations

from analyzer.detectors.node.runtime_stall.stall import STRONG, Stall
from analyzer.facts.audit_windows import counted
from analyzer.model import Confidence, Severity

WHY = {
    "frozen cgroup": "Processes in a frozen cgroup take no signal, not even SIGKILL, and whoever asks them waits.",
    "blocked I/O": "Tasks wait for a disk or a file server in the kernel, and the runtime waits for them.",
    "runtime does not answer": "The runtime answers neither the kubelet's list of containers nor its orders in time.",
}


def why(stall: Stall) -> str:
    if stall.hung_alone and stall.variant == "blocked I/O":
        return "Tasks wait for a disk or a file server in the kernel; a runtime that needs the same waits with them."
    return WHY[stall.variant]


def summary(stall: Stall) -> str:
    if stall.hung_alone:
        tasks = counted(stall.hung or stall.count("hung task Event"), "hung task")
        return f"Tasks of {stall.name} stood still in the kernel: {tasks}; nothing tells whether its runtime did."
    parts = []
    if stall.count("PLEG"):
        parts.append(f"the kubelet's PLEG was away for {stall.longest:,.0f} s ({counted(stall.count('PLEG'), 'line')})")
    calls = stall.count("stop deadline", "sandbox deadline")
    if calls:
        parts.append(f"{counted(calls, 'call')} of the runtime past the deadline")
    if hung := stall.hung or stall.count("hung task Event"):
        parts.append(counted(hung, "hung task"))
    if stall.count("failed health check") and not parts:
        parts.append(f"{counted(stall.count('failed health check'), 'health check')} of node-problem-detector failed")
    if stall.down and not parts:
        parts.append(f"it was down for {stall.down:,.0f} s")
    return f"The container runtime of {stall.name} stood still: {', '.join(parts)}."


def severity(stall: Stall, high: float) -> Severity:
    if stall.longest >= high or stall.fell:
        return Severity.HIGH
    return Severity.MEDIUM if stall.count("PLEG") or (stall.kubelet and stall.kernel) else Severity.LOW


def confidence(stall: Stall) -> Confidence:
    if stall.kubelet and stall.kernel:
        return Confidence.HIGH
    return Confidence.MEDIUM if stall.count("PLEG") else Confidence.LOW


def reason(stall: Stall) -> str:
    if stall.kubelet and stall.kernel:
        return "the kubelet's log and the kernel's messages agree"
    if stall.count("PLEG"):
        return "the kubelet says so itself; the kernel's messages do not tell why, or are not here"
    kinds = [kind for kind in (*STRONG, "runtime down") if stall.count(kind)]
    return f"one kind of witness only ({', '.join(kinds)})"
