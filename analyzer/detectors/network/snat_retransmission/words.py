"""What is said of where the loss lies, and how sure it is."""

from __future__ import annotations

from analyzer.detectors.network.snat_retransmission.judge import Verdict
from analyzer.facts.audit_windows import counted
from analyzer.model import Confidence

PORTS = "SYNs are lost beside another pod's SYN to the same server surely more often than alone"


def sure(verdict: Verdict) -> tuple[Confidence, str]:
    """Confidence and its reason."""
    sides = verdict.sides
    if verdict.clash:
        if sides.within:
            return Confidence.HIGH, f"{PORTS}; {_located(verdict)}"
        if verdict.clashes.one_port:
            return Confidence.HIGH, f"{PORTS}, and mostly from the same source port as the other"
        return Confidence.MEDIUM, (
            f"{PORTS}, but from other source ports than the other: a limit of new connections behind the node looks "
            "the same, and a capture behind the address translation would tell"
        )
    located = f"; {_located(verdict)}" if sides.stayed or sides.left else ""
    if not verdict.networks:
        text = "without one network's servers the loss is gone: it may lie there as well as here"
        return Confidence.LOW, text + located
    text = "the 95 % intervals are apart, and the loss remains without the worst server and network"
    return Confidence.MEDIUM, text + located


def _located(verdict: Verdict) -> str:
    sides = verdict.sides
    if sides.behind:
        part, there, so = sides.left, "are in", "left"
    else:
        part, there, so = sides.stayed, "are not in", "never left"
    of = f"{part:,} of {counted(sides.stayed + sides.left, 'lost SYN')}"
    return f"{of} {there} {sides.source}, behind the address translation: they {so} the node"


def located(verdict: Verdict) -> str:
    """A sentence of the summary; empty where nothing was looked for, or found, behind the node."""
    sides = verdict.sides
    if not sides.behind and not sides.within:
        return ""
    part, told = (sides.left, "left the node") if sides.behind else (sides.stayed, "never left the node")
    whole = counted(sides.stayed + sides.left, "lost SYN")
    return f" All {whole} {told}." if part == sides.stayed + sides.left else f" {part:,} of {whole} {told}."


def why(verdict: Verdict) -> str:
    if verdict.clash:
        return (
            "Two pods that connect to one server at the same moment are given the same port of the node, and one "
            "packet is dropped."
        )
    if verdict.sides.behind:
        return (
            "SYNs to several servers leave the node and are lost behind it, and far fewer within: a limit of new "
            "connections at a gateway or firewall, or the line out; not address translation on this node."
        )
    if verdict.sides.within:
        return "SYNs to several servers are dropped within the node, after the pods sent them and before its uplink."
    return (
        "Packets to several servers are lost on the way out, and far fewer within: address translation on the node or "
        "the gateway, or the line out."
    )


def refuted_by(verdict: Verdict) -> str:
    if verdict.sides.behind:
        return "A count of insert_failed on the node that grows as SYNs are lost, or a capture that began later."
    return (
        "A count of insert_failed that does not grow while SYNs are lost, or the same loss at a capture behind the "
        "address translation."
    )
