"""What to do about loss in address translation, what it would have saved, and how to check it."""

from __future__ import annotations

import shlex

from analyzer.detectors.network.snat_retransmission.judge import Verdict
from analyzer.detectors.network.snat_retransmission.measure import Traffic
from analyzer.facts.shell import tshark
from analyzer.model import Remedy, Saving

SHOWN = 3

REMEDIES = (
    Remedy(
        text="EKS: leave the translation to a NAT gateway instead of the nodes. The nodes must be in subnets that have "
        "one.",
        snippet="kubectl set env daemonset aws-node -n kube-system AWS_VPC_K8S_CNI_EXTERNALSNAT=true\n",
    ),
    Remedy(
        text="EKS: let the node choose ports at random (the default since 1.5), and leave networks that are routed, "
        "such as peered VPCs, untranslated.",
        snippet=(
            "kubectl set env daemonset aws-node -n kube-system AWS_VPC_K8S_CNI_RANDOMIZESNAT=prng "
            "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS=10.0.0.0/8\n"
        ),
    ),
    Remedy(
        text="Elsewhere: masquerade with fully random ports, so that two connections are rarely given the same one.",
        snippet="iptables -t nat -A POSTROUTING -s POD_CIDR ! -d POD_CIDR -j MASQUERADE --random-fully\n",
    ),
    Remedy(text="Keep connections to the outside open and share them: what is not opened cannot clash."),
    Remedy(
        text="Lost behind the node: look for a limit of new connections for one source address at the gateway, the "
        "firewall or the servers, and leave by more addresses, or open fewer connections at once."
    ),
)
TRANSLATION, BEHIND = REMEDIES[:-1], REMEDIES[-2:]


def remedies(verdict: Verdict) -> tuple[Remedy, ...]:
    """Those of what is known: what left the node is not helped by how the node translates."""
    if verdict.sides.behind:
        return BEHIND[::-1]
    return TRANSLATION if verdict.clash or verdict.sides.within else REMEDIES


def saving(verdict: Verdict) -> Saving:
    """The rate within, applied to what goes out; of SYNs where only they are lost."""
    out, within = verdict.outside, verdict.inside
    if not verdict.segments:
        return Saving(
            fix="as little loss as within",
            observed=out.retried,
            modelled=round(out.syns * within.syn_share),
            unit="connections",
            assumption="connections to the outside need another SYN as rarely as those within",
            formula="connections to the outside x share of connections within that needed another SYN",
        )
    return Saving(
        fix="as little loss as within",
        observed=out.again,
        modelled=round(out.segments * within.share),
        unit="segments",
        assumption="segments to the outside are lost as rarely as those within",
        formula="segments to the outside x share of segments within that were sent again",
    )


def verify(one: Traffic, verdict: Verdict) -> tuple[str, ...]:
    """Commands that print the retransmissions, and what the node's kernel counted and was told."""
    bad = verdict.peers.filter(verdict.peers["again"] > 0)
    again = "tcp.analysis.retransmission && !tcp.analysis.spurious_retransmission"
    shown = [
        f"{tshark(source, '-t a')} -Y "
        + shlex.quote(f"{again} && {'ipv6.addr' if ':' in server else 'ip.addr'} == {server}")
        for server, source in bad.select("server", "source").head(SHOWN).iter_rows()
    ]
    syns = "tcp.flags.syn == 1 && tcp.flags.ack == 0 && tcp.analysis.retransmission"
    sides, behind = verdict.sides, []
    if sides.isn is not None:
        wanted = shlex.quote(f"tcp.seq_raw == {sides.isn} && tcp.flags.syn == 1 && tcp.flags.ack == 0")
        behind = [
            f"{tshark(source, '-t a')} -Y {wanted}   # the same SYN {where}"
            for source, where in ((one.source, "at the pods"), (sides.source, "behind the address translation"))
        ]
    return (
        *shown,
        f"{tshark(one.source, '-t a')} -Y {shlex.quote(syns)}",
        *behind,
        "conntrack -S | grep -o 'insert_failed=[0-9]*'   # on the node: grows with each lost packet",
        "iptables-save -t nat | grep -E 'MASQUERADE|SNAT'   # on the node: --random-fully is missing?",
    )
