"""What kind of flood it is, and why it comes."""

from __future__ import annotations

from analyzer.detectors.node.kernel_audit_flood.causes import Cause
from analyzer.detectors.node.kernel_audit_flood.flood import MOSTLY, Flood
from analyzer.facts.audit_windows import short


def variant(flood: Flood, cause: Cause) -> str:
    if cause.left is not None:
        return "persists after its writer's removal"
    if flood.denials >= MOSTLY:
        return "denials of a security module"
    return "changes of the firewall" if of_firewall(flood, cause) else ""


def of_firewall(flood: Flood, cause: Cause) -> bool:
    """Whether it is only what pods that come and go make kube-proxy and the CNI write: nobody turned anything on."""
    return flood.firewall >= MOSTLY and not cause.told


def why(flood: Flood, cause: Cause) -> str:
    who = f"DaemonSet {short(cause.writer)}" if cause.writer else "an agent"
    if cause.left is not None:
        return f"Auditing was turned on for {who}; it stays on in the kernel when its writer has gone."
    if flood.denials >= MOSTLY:
        return "A security module denies the same again and again; a program lacks a permission and tries on."
    if of_firewall(flood, cause):
        return (
            "The kernel reports each change of iptables or nftables as long as auditing is on; kube-proxy and the CNI "
            "make one for each pod that comes or goes, builds above all. No rule asks for them."
        )
    return "Rules of the audit system match what the node does all day" + (
        f"; DaemonSet {short(cause.writer)} was written before." if cause.writer else "."
    )
