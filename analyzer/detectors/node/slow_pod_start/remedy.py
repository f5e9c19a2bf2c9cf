"""What to do about slow starts, what it would change, and how to check it."""

from __future__ import annotations

from analyzer.detectors.node.slow_pod_start.measure import Starts
from analyzer.facts.shell import grep, grepped, piped
from analyzer.model import Remedy, Saving

REMEDIES = (
    Remedy(
        text="Look at the node's disk first: a burst balance that ran out makes every sandbox, mount and pull slow. "
        "Give it a volume with provisioned throughput.",
        snippet="iostat -x 5 3\n# EBS: metric BurstBalance of the root volume; then\n"
        "aws ec2 modify-volume --volume-id VOLUME --volume-type gp3 --iops 6000 --throughput 250\n",
    ),
    Remedy(
        text="Move what writes most off the node, and stop what nobody reads: debug logs, an audit daemon left on.",
        snippet="kubectl cordon NODE\niotop -boqqqk -n 3\nauditctl -s\n",
    ),
    Remedy(
        text="Drain and replace a node that stays slow; let fewer pods start on one at a time.",
        snippet="kubectl drain NODE --ignore-daemonsets --delete-emptydir-data\n",
    ),
)


def saving(starts: Starts, slo: float) -> Saving:
    """The node at the median of the others, else at the SLO."""
    usual = slo if starts.elsewhere is None else starts.elsewhere
    observed = round(float(starts.rows["own"].sum()), 6)
    return Saving(
        fix="the node starts pods as the others do" if starts.elsewhere is not None else "the node keeps the SLO",
        observed=observed,
        modelled=round(min(observed, starts.pods * usual), 6),
        unit="pod-seconds",
        assumption=f"Each of the {starts.pods:,} pods takes {usual:.3f} s of the node, "
        + (
            "the median elsewhere." if starts.elsewhere is not None else "which the SLO allows; no other node is known."
        ),
        formula="pods * seconds of one",
    )


def verify(starts: Starts) -> tuple[str, ...]:
    pod, source = starts.rows.select("pod", "source").row(0)
    name = pod.rsplit("/", 1)[-1]
    if starts.rows["basis"][0] == "event":
        chosen = '(.items // [.])[] | select(.reason | test("Scheduled|Pull|Started|Mount|Attach"))'
        return (f"{piped(source)} | jq -c '{chosen} | [.firstTimestamp, .reason, .message]' | {grep(name)}",)
    return (
        f"{grepped(source, name)} | grep -E 'SyncLoop|MountVolume|PLEG|Observed pod startup'",
        f"{piped(source)} | grep -oE 'podStart(SLO|E2E)[Dd]uration=[^ ]*' | sort | uniq -c | sort -rn | head",
        "# after the fix: the same lines tell seconds, as on the other nodes",
    )
