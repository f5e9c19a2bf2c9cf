"""The rules: which two kinds of ends a shared entity and a lag join, and in which words.

One row a rule; a newcomer is one more row, and a witness (`of_nodes`, `of_pods`, `of_names`) where it needs a kind of
observation that none gives yet. The numbers are those of the cause chains of the documentation; several rows may share
one. `c9`, changes before an onset, stands in `preceded`, as it joins every finding.

The lags are engineering defaults where no constant of the components bounds them: nothing is joined over more than half
an hour.
"""

from __future__ import annotations

from datetime import timedelta

from msgspec import Struct

MOST_LAG = timedelta(minutes=30)
IPVS_UDP = timedelta(seconds=300)
"""How long IPVS keeps a UDP entry (ip_vs_proto_udp.c, IP_VS_S_UDP): a server that went away is asked until then."""

LEASE = timedelta(seconds=60)
"""Kubelets renew their lease every 10 s and fail at the latest after 40 s; one minute with the way of the line."""

ALWAYS = timedelta(days=366)
"""A pod belongs to one workload all its life, whenever a record says so."""

GRACE = timedelta(minutes=5)
"""As long as the grace period of a pod mostly is at the most, and as the eviction of pods of a dead node waits."""

TOGETHER = timedelta(seconds=60)


class Rule(Struct, frozen=True, kw_only=True):
    """`first` and `then` are kinds of ends: detectors, or kinds of observations. They are joined if they share an
    entity of one of the kinds in `shared`, and `then` begins not before `first` and at most `within` after its last
    sign. Where `together` is set, both are sides of one thing: they overlap, or lie at most `within` apart.

    `verdict` may name `{entity}` and `{lag}`. `raises` are the ends (first, then) whose finding gains a level of
    confidence, if the other end was read in an input that the finding does not rest on. `against` are the ends whose
    finding the other end speaks against: it offers another explanation of the same signs.
    """

    id: str
    first: tuple[str, ...]
    then: tuple[str, ...]
    shared: tuple[str, ...]
    within: timedelta
    verdict: str
    together: bool = False
    raises: tuple[str, ...] = ()
    against: tuple[str, ...] = ()


SLOW = ("slow-pod-start", "kubelet-status-lag", "termination-sigkill")
API_SERVER = ("apiserver-throttle-storm", "apiserver-overload")

RULES: tuple[Rule, ...] = (
    Rule(
        id="c1",
        first=("resolver-removed",),
        then=("dns-backend-blackhole",),
        shared=("resolver",),
        within=IPVS_UDP,
        verdict="A server of the resolver went away {lag} before lookups at it failed; that explains queries into a "
        "hole for as long as nodes remember it.",
        raises=("then",),
    ),
    Rule(
        id="c2",
        first=("dns-search-chain",),
        then=("pod-owner",),
        shared=("pod",),
        within=ALWAYS,
        together=True,
        verdict="The address was that of {entity}: this tells whose manifest the walks come from.",
    ),
    Rule(
        id="c3",
        first=("not-in-log",),
        then=("dns-backend-blackhole", "dns-client-timeout"),
        shared=("finding",),
        within=TOGETHER,
        together=True,
        verdict="Queries that the capture shows and CoreDNS's log does not were lost before CoreDNS: that explains the "
        "failures by the way there (connection tracking, IPVS, the network).",
    ),
    Rule(
        id="c3",
        first=("answered-in-log",),
        then=("dns-client-timeout",),
        shared=("finding",),
        within=TOGETHER,
        together=True,
        verdict="Queries that CoreDNS's log has as answered and whose answers the capture lacks were lost on the way "
        "back: that explains a part of the failures.",
    ),
    Rule(
        id="c3",
        first=("answered-in-log",),
        then=("dns-backend-blackhole",),
        shared=("finding",),
        within=TOGETHER,
        together=True,
        verdict="Queries that CoreDNS's log has as answered went into no hole: the way back explains a part of the "
        "failures.",
        against=("then",),
    ),
    Rule(
        id="c4",
        first=("upstream-unanswered",),
        then=("dns-upstream-throttle",),
        shared=("address",),
        within=TOGETHER,
        together=True,
        verdict="CoreDNS asked {entity} and got nothing, by packets, while its clients got no answer: the upstream "
        "explains it, not CoreDNS.",
        raises=("then",),
    ),
    Rule(
        id="c5",
        first=("imds-credential-storm",),
        then=("application-requests",),
        shared=("address",),
        within=TOGETHER,
        together=True,
        verdict="The same client sent its requests while it fetched credentials again and again: they waited for them.",
    ),
    Rule(
        id="c6",
        first=("pod-deleted",),
        then=("imds-credential-refusal",),
        shared=("pod",),
        within=GRACE,
        verdict="Asked to end {lag} before credentials were refused ({entity}): a proxy that leaves ending pods out "
        "explains it.",
        raises=("then",),
    ),
    Rule(
        id="c6",
        first=("kubelet-status-lag",),
        then=("imds-credential-refusal",),
        shared=("node", "pod"),
        within=GRACE,
        together=True,
        verdict="The status of pods of {entity} came late while credentials were refused there: a proxy that knows "
        "addresses by the status explains it.",
        raises=("then",),
    ),
    Rule(
        id="c7",
        first=API_SERVER,
        then=("lease-errors+node-status-errors",),
        shared=("node",),
        within=LEASE,
        together=True,
        verdict="The API server did not serve requests of the kubelet there; that explains what its log says.",
        raises=("first",),
    ),
    Rule(
        id="c7",
        first=("apiserver-throttle-storm",),
        then=("server-throttling",),
        shared=("apiserver",),
        within=LEASE,
        together=True,
        verdict="While the API server rejected requests, its clients say that it told them to wait: both ends of the "
        "same rejections.",
        raises=("first",),
    ),
    Rule(
        id="c7",
        first=API_SERVER,
        then=("node-outage", "kubelet-status-lag", "node-crash-cascade"),
        shared=("node",),
        within=GRACE,
        verdict="The API server did not serve requests of the kubelet of {entity} {lag} before: that explains how a "
        "node that runs is taken for dead or late.",
        raises=("first",),
    ),
    Rule(
        id="c8",
        first=("container-killed",),
        then=("watch-list-amplification",),
        shared=("pod", "agent", "process"),
        within=MOST_LAG,
        together=True,
        verdict="What is killed and starts anew lists everything again ({entity}): that explains lists in a loop.",
        raises=("then",),
    ),
    Rule(
        id="c8",
        first=("watch-list-amplification",),
        then=API_SERVER,
        shared=("agent",),
        within=LEASE,
        together=True,
        verdict="The same user agent, {entity}, lists again and again on all its nodes: that explains who fills the "
        "API server.",
        raises=("then",),
    ),
    Rule(
        id="c10",
        first=("pull-denied",),
        then=("image-pull-stampede",),
        shared=("registry",),
        within=MOST_LAG,
        together=True,
        verdict="Pulls that {entity} refuses are tried again by every pod: that explains their mass.",
    ),
    Rule(
        id="c10",
        first=("image-pull-stampede",),
        then=("pull-quota",),
        shared=("registry",),
        within=MOST_LAG,
        together=True,
        verdict="The mass of pulls went on as {entity} turned images away that are in order: a quota that all share "
        "explains it.",
        raises=("first",),
    ),
    Rule(
        id="c11",
        first=("admission-denial-loop",),
        then=("pod-stopped",),
        shared=("workload",),
        within=MOST_LAG,
        verdict="Pods of {entity} ended, the first {lag} after its new ones were denied, and none came in their place: "
        "that explains how its capacity decays.",
        raises=("first",),
    ),
    Rule(
        id="c12",
        first=("kernel-stall", "pleg", "runtime-stall"),
        then=("exec-probe-timeout",),
        shared=("node",),
        within=GRACE,
        together=True,
        verdict="A node that stood still at the time ({entity}) explains probes without an answer, not the "
        "application.",
        against=("then",),
    ),
    Rule(
        id="c12",
        first=("kernel-stall", "pleg"),
        then=("slow-pod-start", "kubelet-status-lag"),
        shared=("node",),
        within=GRACE,
        together=True,
        verdict="The node itself stood still at the time ({entity}): that explains what was slow there.",
        raises=("then",),
    ),
    Rule(
        id="c12",
        first=("runtime-stall",),
        then=SLOW,
        shared=("node",),
        within=GRACE,
        together=True,
        verdict="The runtime of {entity} stood still at the time: that explains what was slow or killed there.",
        raises=("first", "then"),
    ),
    Rule(
        id="c13",
        first=("kubelet-start",),
        then=("termination-sigkill",),
        shared=("node",),
        within=TOGETHER,
        together=True,
        verdict="The kubelet of {entity} started within the grace of pods that were ending: that explains SIGKILL "
        "before its end.",
    ),
    Rule(
        id="c14",
        first=("pod-deleted",),
        then=("terminating-endpoint-traffic",),
        shared=("pod",),
        within=GRACE,
        together=True,
        verdict="Asked to end before connections to the address were refused ({entity}): clients that still knew the "
        "address explain them.",
    ),
    Rule(
        id="c15",
        first=("pod-entered",),
        then=("cryptominer-traffic",),
        shared=("pod",),
        within=MOST_LAG,
        verdict="Entered {lag} before a mining pool was spoken to ({entity}): this is a way in that fits.",
        raises=("then",),
    ),
    Rule(
        id="c15",
        first=("exposed-admin-service",),
        then=("cryptominer-traffic",),
        shared=("pod", "workload", "service"),
        within=MOST_LAG,
        verdict="Open to strangers {lag} before a mining pool was spoken to, and it reaches {entity}: this is a way in "
        "that fits.",
        raises=("then",),
    ),
    Rule(
        id="c16",
        first=("dns-query-flood",),
        then=("disk-pressure", "slow-pod-start"),
        shared=("resolver-node",),
        within=MOST_LAG,
        verdict="CoreDNS ran on {entity} during the flood, and disk or pod starts suffered there {lag} after it began: "
        "a log of queries that fills the disk explains it.",
        raises=("first",),
    ),
)
