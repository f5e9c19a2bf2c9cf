"""What to do about a runtime that stands still, and how to check it."""

from __future__ import annotations

from analyzer.detectors.node.runtime_stall.stall import Stall
from analyzer.facts.shell import grepped
from analyzer.model import Remedy

_DRAIN = Remedy(
    text="Drain the node and boot it again: a task that hangs in the kernel ends with it only.",
    snippet="kubectl drain NODE --ignore-daemonsets --delete-emptydir-data --force --timeout=5m\n",
)
_FREEZER = Remedy(
    text="Upgrade kernel and runtime, and use cgroup v2, whose freezer lets SIGKILL through; until then thaw by hand.",
    snippet=(
        "cat /sys/fs/cgroup/freezer/kubepods/*/*/freezer.state   # cgroup v1: FROZEN or FREEZING?\n"
        "echo THAWED > /sys/fs/cgroup/freezer/kubepods/POD/CONTAINER/freezer.state\n"
    ),
)
_DISK = Remedy(
    text="Give the disk of the runtime more operations a second, or one of its own; look for used-up burst credits.",
    snippet="iostat -x 5 3   # on the node: w_await and %util of the disk with /var/lib/containerd\n",
)
_RUNTIME = Remedy(
    text="Take the runtime's goroutines before it is restarted, restart it, and upgrade it.",
    snippet=("kill -USR1 $(pidof containerd)   # writes its stacks to its log\nsystemctl restart containerd\n"),
)
_NPD = Remedy(
    text="Run node-problem-detector, and let something that drains nodes act on its conditions.",
)

REMEDIES = (_DRAIN, _FREEZER, _DISK, _RUNTIME, _NPD)


def remedies(stall: Stall) -> tuple[Remedy, ...]:
    first = {"frozen cgroup": _FREEZER, "blocked I/O": _DISK}.get(stall.variant, _RUNTIME)
    return (first, _DRAIN, *(one for one in (_RUNTIME, _NPD) if one is not first))


def verify(stall: Stall) -> tuple[str, ...]:
    """Commands on the original logs and on the node."""
    patterns = {
        "pleg was last seen active": ("PLEG",),
        "StopContainer|StopPodSandbox|RunPodSandbox": ("stop deadline", "sandbox deadline"),
        "blocked for more than|refrigerator|freezer": ("hung task", "freezer"),
    }
    shown = []
    for pattern, kinds in patterns.items():
        rows = stall.of(*kinds)
        if rows.height:
            shown.append(grepped(rows["source"][0], pattern, "cE"))
    return (*shown, "crictl ps -a   # on the node: does it answer?", "ps -eo pid,stat,wchan:32,comm | awk '$2 ~ /^D/'")
