"""What kind of flood it is, and why it comes."""

from __future__ import annotations

from analyzer.detectors.node.kernel_audit_flood.causes import Cause
from analyzer.detectors.node.kernel_audit_flood.flood import MOSTLY, Flood
from analyzer.facts.audit_windows import short


def variant(flood: Flood, cause: Cause) -> str:
    if cause.left is not None:
        return "persists after its writer's removal"
    return "denials of a security module" if flood.denials >= MOSTLY else ""


def why(flood: Flood, cause: Cause) -> str:
    who = f"DaemonSet {short(cause.writer)}" if cause.writer else "an agent"
    if cause.left is not None:
        return f"Auditing was turned on for {who}; it stays on in the kernel when its writer has gone."
    if flood.denials >= MOSTLY:
        return "A security module denies the same again and again; a program lacks a permission and tries on."
    return "Rules of the audit system match what the node does all day" + (
        f"; DaemonSet {short(cause.writer)} was written before." if cause.writer else "."
    )
