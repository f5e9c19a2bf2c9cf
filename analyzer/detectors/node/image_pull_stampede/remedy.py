"""What to do about a stampede, and how to check it on the original records."""

from __future__ import annotations

import re

from analyzer.detectors.node.image_pull_stampede.causes import Cause
from analyzer.detectors.node.image_pull_stampede.episodes import Episode
from analyzer.facts.shell import grep, piped
from analyzer.model import Remedy

REMEDIES = (
    Remedy(
        text="Let nodes start what they hold: a tag or digest that does not move, and IfNotPresent. The default for "
        "`latest` and for no tag is Always; the admission plugin AlwaysPullImages forces it.",
        snippet="containers:\n  - image: registry.example.com/team/agent@sha256:DIGEST\n"
        "    imagePullPolicy: IfNotPresent\n",
    ),
    Remedy(
        text="Put a pull-through cache of the registry inside the network, so that each image is fetched once.",
        snippet='# /etc/containerd/certs.d/docker.io/hosts.toml\nserver = "https://registry-1.docker.io"\n'
        '[host."https://mirror.internal.example.com"]\n  capabilities = ["pull", "resolve"]\n',
    ),
    Remedy(
        text="Pull with credentials, whose quota is theirs and not that of the address behind the NAT; give the NAT "
        "more addresses or reach the registry by a private endpoint.",
        snippet="imagePullSecrets:\n  - name: registry-pull\n",
    ),
    Remedy(
        text="Roll a DaemonSet out a few nodes at a time, and alert on one that crashes before it is on all of them.",
        snippet="updateStrategy:\n  type: RollingUpdate\n  rollingUpdate: {maxUnavailable: 1}\n",
    ),
)

_NAME = r"[a-z0-9][a-z0-9.-]*/[a-z0-9][a-z0-9.-]*"

_PERMISSION = Remedy(
    text="Give the nodes, or the pods' pull secret, the right to read the image again; until then scale the workload "
    "down or point it at an image that can be pulled, so that it asks no more.",
)
_CRASH = Remedy(
    text="Stop the crash first: roll the workload back, for every restart asks the registry again.",
)


def remedies(cause: Cause) -> tuple[Remedy, ...]:
    """What stops this one first."""
    first = {"permission": _PERMISSION, "crash loop": _CRASH}.get(cause.why)
    return (first, *REMEDIES) if first else REMEDIES


def verify(episode: Episode, cause: Cause) -> tuple[str, ...]:
    channel, source = episode.tries.select("channel", "source").row(0)
    image = cause.image.rsplit("/", 1)[-1]
    word = image if re.fullmatch(r"[\w.:@-]+", image) else "image"
    if channel == "event":
        chosen = '(.items // [.])[] | select(.reason=="Pulling" or .reason=="Failed" or .reason=="BackOff")'
        shown = [f"{piped(source)} | jq -r '{chosen} | [.reason, .involvedObject.name, .count, .message] | @tsv'"]
    else:
        shown = [f"{piped(source)} | grep -F 'PullImage' | {grep(word, 'cF')}"]
    shown.append(f"{piped(source)} | grep -ciE 'toomanyrequests|429 Too Many|quota'")
    namespace, _, name = cause.workload.partition("/")
    if re.fullmatch(_NAME, cause.workload):
        policy = '{range .items[*]}{.metadata.name}{"\\t"}{.spec.containers[*].imagePullPolicy}{"\\n"}{end}'
        shown.append(f"kubectl -n {namespace} get pods -o jsonpath='{policy}' | {grep(f'^{name}', 'E')}")
    shown.append("kubectl get events -A --field-selector reason=Failed --sort-by=.lastTimestamp")
    return tuple(shown)
