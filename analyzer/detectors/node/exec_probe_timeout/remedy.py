"""What to do about exec timeouts, what it would change, and how to check it."""

from __future__ import annotations

import re

from analyzer.detectors.node.exec_probe_timeout.containers import Probed
from analyzer.detectors.node.exec_probe_timeout.measured import Counted
from analyzer.detectors.node.exec_probe_timeout.witnesses import EVENT, EXEC, PROBE, RUNTIME
from analyzer.facts.shell import grepped
from analyzer.model import Remedy, Saving

FAILURES = 3
"""failureThreshold by default (kubernetes pkg/apis/core/v1/defaults.go)."""

REMEDIES = (
    Remedy(
        text="Let the probe end itself, with all that it started, before the kubelet gives up; allow more time.",
        snippet=(
            "readinessProbe:\n  exec:\n"
            '    command: ["sh", "-c", "exec timeout --kill-after=1 4 /app/check"]\n  timeoutSeconds: 5\n'
        ),
    ),
    Remedy(
        text="Let process 1 of the container reap children: an init, or the pause process for a whole pod.",
        snippet='# image\nENTRYPOINT ["/sbin/tini", "--"]\n# or pod\nspec:\n  shareProcessNamespace: true\n',
    ),
    Remedy(
        text="Ask by HTTP or gRPC instead: no process is started for it.",
        snippet="readinessProbe:\n  grpc: {port: 8080}\n  timeoutSeconds: 5\n",
    ),
    Remedy(
        text="Bound the processes of a pod, so that one cannot take those of the node.",
        snippet="# KubeletConfiguration\npodPidsLimit: 4096\n",
    ),
)


def why(one: Probed) -> str:
    """The bound that period and failure threshold give; how long the command needs stands in no log."""
    text = "The command does not end in time, and what it has started is not ended with it."
    if one.period is not None:
        text += (
            f" At one probe in {one.period:.0f} s and the default failureThreshold of {FAILURES} a pod is not ready, "
            f"or restarted, after {one.period * FAILURES:.0f} s of timeouts. How long the command needs is in no log."
        )
    return text


def saving(most: int, seen: Counted | None) -> Saving:
    """Processes that a listing counts, or as many as there can be."""
    counted = seen is not None and seen.tells
    return Saving(
        fix="the probe ends itself and its children before the kubelet's timeout",
        observed=seen.defunct if seen is not None and seen.tells else most,
        modelled=0,
        unit="processes",
        assumption=(
            "the defunct processes of the listing are those of its probe; with a timeout of the command's own, none"
            if counted
            else "a timeout leaves as many processes as the setting says; with one of the command's own, none"
        ),
        formula="defunct processes of the listing" if counted else "timeouts x processes_per_probe",
    )


_LATE = r"(DeadlineExceeded|deadline exceeded|timed out)"

_PATTERNS = {
    EXEC: rf"ExecSync .*from runtime service failed.*{_LATE}",
    RUNTIME: rf"ExecSync for .*{_LATE}",
    EVENT: rf"probe (failed|errored).*{_LATE}",
    PROBE: rf"command timed out|command .*timed out|errored.*rpc error.*{_LATE}",
}
"""What finds the records of each witness in an original, of every era: one line each. A probe's output may stand in a
line of its own."""

_POD = r"(?a)(?P<namespace>[a-z0-9][a-z0-9-]{0,62})/(?P<name>[a-z0-9][a-z0-9.-]{0,252})"
"""Names as the API server allows them (RFC 1123). A quoted `--kubeconfig=...` would still be an option of kubectl."""


def refuted_by(seen: Counted | None) -> str:
    if seen is not None and seen.tells and seen.defunct:
        return "The parents of the defunct processes belong to another container (/proc/PID/cgroup)."
    return "A process list of the node (ps -ef) without defunct processes under the container's process 1."


def verify(one: Probed, seen: Counted | None) -> tuple[str, ...]:
    """Commands on the original logs and on the node."""
    shown = [
        grepped(rows["source"][0], _PATTERNS[channel], "cE")
        for (channel,), rows in sorted(one.rows.group_by("channel", maintain_order=True), key=lambda own: str(own[0]))
        if channel in _PATTERNS
    ]
    pods = one.pods
    if pods and (sound := re.fullmatch(_POD, pods[0])):
        where = f"-n {sound['namespace']} {sound['name']}"
        shown.append(f"kubectl get pod {where} -o jsonpath='{{.spec.containers[*].readinessProbe}}'")
    if seen is not None and seen.defunct and seen.source.isprintable() and "!" not in seen.source:
        shown.append(grepped(seen.source, "<defunct>", "c"))
    return (
        *shown,
        "ps -eo ppid,stat,comm | awk '$2 ~ /^Z/ {n[$1]++} END {for (p in n) print n[p], p}' | sort -rn | head",
    )
