"""What to do about kills inside the grace, what it would have changed, and how to check it."""

from __future__ import annotations

from analyzer.detectors.node.termination_sigkill.groups import Group
from analyzer.detectors.node.termination_sigkill.kills import EXCEEDED, RESTART
from analyzer.facts.shell import grepped
from analyzer.model import Remedy, Saving

_DRAIN = Remedy(
    text="Drain a node, and wait until no pod of it is Terminating, before its kubelet is restarted or upgraded.",
    snippet=(
        "kubectl drain NODE --ignore-daemonsets --delete-emptydir-data\n"
        "kubectl get pods -A --field-selector spec.nodeName=NODE | grep Terminating   # none left?\n"
    ),
)
_ROTATE = Remedy(
    text="Let the kubelet rotate its client certificate while it runs, long before it runs out.",
    snippet="# KubeletConfiguration\nrotateCertificates: true\nserverTLSBootstrap: true\n",
)
_UPGRADE = Remedy(text="Use a kubelet and a runtime that take up the rest of the grace period after a restart.")
_END = Remedy(
    text="Let the program end on SIGTERM: a shell as process 1 hands no signal on, so use exec or an init.",
    snippet='# in the image\nENTRYPOINT ["/sbin/tini", "--"]\nCMD ["/app"]\n',
)
_LONGER = Remedy(
    text="Give as much grace as the preStop hook and the program's own end need together.",
    snippet="spec:\n  terminationGracePeriodSeconds: 120\n",
)
_SAVE = Remedy(text="Long work saves its state as it goes, or runs as a Job that may start again.")

REMEDIES = (_DRAIN, _ROTATE, _UPGRADE, _SAVE, _END, _LONGER)


def remedies(group: Group) -> tuple[Remedy, ...]:
    if group.variant == EXCEEDED:
        return (_END, _LONGER, _SAVE)
    if group.variant == RESTART and not group.certificates:
        return (_DRAIN, _UPGRADE, _SAVE)
    return (_ROTATE, _DRAIN, _UPGRADE)


def saving(group: Group) -> Saving | None:
    """Without the restart each container had what was left of its grace."""
    if group.variant != RESTART:
        return None
    longest = group.rows.sort("lost", descending=True, nulls_last=True)
    left, grace = longest.select("lost", "grace_seconds").row(0)
    return Saving(
        fix="the kubelet is not restarted while pods end",
        observed=group.lost,
        modelled=0.0,
        unit="seconds",
        assumption=f"each container keeps what was granted; the one cut most had {left:,.0f} s of {grace:,.0f} left",
        formula="sum of grace granted less time from the kill to the end",
    )


def verify(group: Group) -> tuple[str, ...]:
    """Commands on the original logs and on the node."""
    worst = group.rows.sort("lost", descending=True, nulls_last=True).head(1).select("source", "container_id")
    shown = [
        f"{grepped(source, container)} | grep -E 'Killing|finished|Died|Kill '"
        for source, container in worst.iter_rows()
    ]
    shown += [
        grepped(source, "Kubelet version|Version: v1|main sync loop|ertificate", "E")
        for source in group.starts["source"].unique().sort().to_list()[:1]
    ]
    if not group.rows.height and group.events.height:
        source = group.events["source"][0]
        shown.append(grepped(source, "ExceededGracePeriod", "c"))
    if group.variant != EXCEEDED:
        shown.append("openssl x509 -noout -enddate -in /var/lib/kubelet/pki/kubelet-client-current.pem   # on the node")
    return tuple(shown)
