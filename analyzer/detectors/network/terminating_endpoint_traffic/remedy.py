"""What to do about traffic to pods that end, ready to paste. Only well-formed names are written."""

from __future__ import annotations

import re
import shlex
from datetime import datetime

import polars as pl

from analyzer.detectors.network.terminating_endpoint_traffic.rollouts import Rollout
from analyzer.facts.shell import grepped, tshark
from analyzer.model import Remedy

_NAME = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
_RESOURCES = {"Deployment": "deployment", "StatefulSet": "statefulset", "DaemonSet": "daemonset"}

DRAIN = 30
"""Seconds that a server is left for its open requests once the sleep is over: the default grace period."""

GENERAL = (
    Remedy(
        text="A pod is told to stop at the moment at which its endpoints begin to be taken away: kube-proxy, ingress "
        "controllers and load balancers hear of it later. Let it go on accepting for a few seconds, or let the server "
        "itself wait after SIGTERM before it closes its listener."
    ),
    Remedy(
        text="A load balancer that sends to pods directly hears last: use its readiness gates, and a sleep longer than "
        "its deregistration delay. Clients should try once more when a connection is refused: nothing was sent."
    ),
)

_SNIPPET = """# in the pod template; the action sleep is on by default from Kubernetes 1.30 on
spec:
  template:
    spec:
      terminationGracePeriodSeconds: {grace}
      containers:
      - name: {name}
        lifecycle:
          preStop:
            sleep: {{seconds: {sleep}}}
            # before 1.30, where the image has a shell's sleep:
            # exec: {{command: ["sleep", "{sleep}"]}}
"""


def remedies(rollout: Rollout) -> tuple[Remedy, ...]:
    """The sleep that the data asks for, then the general remedies."""
    name = rollout.workload if re.fullmatch(_NAME, rollout.workload) else "app"
    now = Remedy(
        text=f"Sleep {rollout.sleep} s before SIGTERM, and let the grace period be longer than that and the time that "
        "open requests need. The container is taken to have the workload's name.",
        snippet=_SNIPPET.format(name=name, sleep=rollout.sleep, grace=rollout.sleep + DRAIN),
    )
    return (now, *GENERAL)


def verify(rollout: Rollout) -> tuple[str, ...]:
    """Commands that show the same without this tool, on the evidence and on the cluster."""
    worst = rollout.failed.group_by("server", "source").len().sort(["len", "server"], descending=[True, False])
    server, source, _ = worst.row(0)
    field = "ipv6" if ":" in server else "ip"
    since: datetime = rollout.pods.filter(pl.col("address") == server)["deleted"].min()  # type: ignore[assignment]
    when = f'frame.time >= "{since:%Y-%m-%d %H:%M:%S}Z"'
    shown = f"{field}.addr == {server} && (tcp.flags.syn == 1 || tcp.flags.reset == 1) && {when}"
    first = rollout.pods.sort("deleted").row(0, named=True)
    sound = re.fullmatch(_NAME, rollout.namespace) and re.fullmatch(_NAME, rollout.workload)
    known = sound and rollout.kind in _RESOURCES
    commands = [f"{tshark(source, '-t ud')} -Y {shlex.quote(shown)}"]
    if re.fullmatch(_NAME, first["pod"]):
        commands.append(f"{grepped(first['source'], first['pod'])} | grep -iE 'delete|evict'")
    if known:
        path = "{.spec.template.spec.containers[*].lifecycle.preStop}"
        commands.append(
            f"kubectl -n {rollout.namespace} get {_RESOURCES[rollout.kind]} {rollout.workload} -o jsonpath='{path}'"
        )
    return (*commands, "# after the fix a rollout under load leaves no reset behind a SYN in the capture")
