"""Which entities a finding is about: its subject, what its tables name, and who they were then by facts.

No finding states its entities in a form of their own, so they are read where every detector puts them: the subject,
whose kind follows from the detector, and columns of evidence that bear the names below.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence

import polars as pl

from analyzer.facts.address_owners import ADDRESS_OWNERS
from analyzer.facts.owner_names import within
from analyzer.facts.pod_life import POD_LIFE
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.resolver_changes import RESOLVER, SYSTEM
from analyzer.facts.workload_names import of_pod
from analyzer.model import CauseEnd, EvidenceTable, Finding
from analyzer.story.causes.of_names import RESOLVER_KEY
from analyzer.story.causes.of_nodes import API_SERVER_KEY, COMM
from analyzer.story.causes.signs import Sign, key, keyed
from analyzer.story.series import Get

SUBJECTS = {
    "apiserver-throttle-storm": ("agent",),
    "watch-list-amplification": ("agent", "process"),
    "audit-log-flood": ("account",),
    "discovery-burst": ("account",),
    "admission-denial-loop": ("webhook",),
    "image-pull-stampede": ("registry",),
    "exposed-admin-service": ("service",),
    "cpu-throttle-hint": ("pod",),
    "exec-probe-timeout": ("container",),
    "kernel-audit-flood": ("node",),
    "kubelet-status-lag": ("node",),
    "log-silence": ("node",),
    "runtime-stall": ("node",),
    "slow-pod-start": ("node", "resolver-node"),
    "termination-sigkill": ("node",),
    "node-crash-cascade": ("workload",),
    "replica-collapse": ("workload",),
    "stateful-simultaneous-restart": ("workload",),
    "terminating-endpoint-traffic": ("workload",),
    "unschedulable-backlog": ("workload",),
}
"""What the subject of a detector's findings is. One row for a new detector; addresses are known by their form, and
`namespace/name` is never a node."""

COLUMNS = {
    "pod": "pod",
    "container of": "pod",
    "node": "node",
    "address": "address",
    "workload": "workload",
    "owner": "workload",
    "image": "image",
}
"""Columns of evidence that name an entity of the finding."""

MOST_KEYS = 2_000
"""Entities of one finding that are looked for."""

API_SERVER = ("apiserver-throttle-storm", "apiserver-overload")
"""Findings about requests that were not served: the nodes whose kubelets were among those that were not are theirs."""

WHO_HAD = "Who had "
"""How the table begins in which the pipeline names the owners of an address: in words, so it is not read."""

_OBJECT = r"^[a-z0-9.-]+/[a-z0-9.-]+$"
_UID = r"[0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}"
"""The UID of a pod, as it stands in paths of cgroups too."""


def signs_of(findings: Sequence[Finding], get: Get) -> list[Sign]:
    """The findings that have a time, with their entities, in order of time."""
    timed = [finding for finding in findings if finding.start is not None]
    named = [(finding, set(_own(finding))) for finding in timed]
    _add_owners(named, get)
    _add_workloads([names for _, names in named])
    refused, resolvers = _refused(timed, get), _resolvers(timed, get)
    made = []
    for finding, names in named:
        if finding.detector in API_SERVER and refused is not None:
            names |= _within(refused, finding)
        if finding.detector in API_SERVER:
            names.add(API_SERVER_KEY)
        if finding.detector == "dns-query-flood" and resolvers is not None:
            names |= _answering(resolvers, finding)
        if finding.detector == "dns-backend-blackhole" and _may_be_resolver(names):
            names.add(RESOLVER_KEY)
        names.add(key("finding", finding.key))
        made.append(_sign(finding, frozenset(names)))
    return sorted(made, key=lambda one: (one.time, one.end.id))


def _sign(finding: Finding, names: frozenset[str]) -> Sign:
    assert finding.start is not None
    records = finding.evidence.records
    return Sign(
        kind=finding.detector,
        time=finding.start,
        until=max(finding.start, finding.end or finding.start),
        keys=names,
        end=CauseEnd(kind="finding", id=finding.key, text=finding.summary),
        source=records[0].source if records else "",
    )


def is_address(text: str) -> bool:
    """Whether it is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def entities(finding: Finding) -> Iterator[str]:
    """What the subject and the tables of a finding name, with the workloads of its pods."""
    own = set(_own(finding))
    _add_workloads([own])
    yield from sorted(own)


def _own(finding: Finding) -> Iterator[str]:
    """What the subject and the tables say by themselves."""
    if uid := re.search(_UID, finding.subject):
        yield key("uid", uid[0].replace("_", "-"))
    subject = finding.subject.split(" ", 1)[0]
    host = subject.rsplit(":", 1)[0] if subject.count(":") == 1 else subject
    if is_address(host):
        yield key("address", host)
    elif re.match(_OBJECT, subject) and finding.detector in SUBJECTS:
        kinds = [kind for kind in SUBJECTS[finding.detector] if kind not in ("node", "resolver-node", "container")]
        yield from (key(kind, subject) for kind in kinds or ["workload"])
    else:
        for kind in SUBJECTS.get(finding.detector, ()):
            yield key(kind, subject[:COMM] if kind == "process" else subject)
    namespace = subject.split("/", 1)[0] if re.match(_OBJECT, subject) else ""
    left = MOST_KEYS
    for table in finding.evidence.tables:
        if not table.caption.startswith(WHO_HAD):
            for one in _cells(table, namespace):
                if left:
                    left -= 1
                    yield one


def _cells(table: EvidenceTable, namespace: str) -> Iterator[str]:
    for at, column in enumerate(table.columns):
        kind = COLUMNS.get(column.name)
        for row in table.rows if kind else ():
            cell = row[at] if at < len(row) else None
            if not isinstance(cell, str) or not cell:
                continue
            if kind in ("pod", "workload") and "/" not in cell:
                if not namespace:
                    continue
                cell = f"{namespace}/{cell}"
            yield key(kind or "", cell)


def _add_owners(named: Sequence[tuple[Finding, set[str]]], get: Get) -> None:
    """Add to each address the pod, node or service that had it within the finding's window."""
    wanted = {one.removeprefix("address:") for _, names in named for one in names if one.startswith("address:")}
    fact = get(ADDRESS_OWNERS) if wanted else None
    if fact is None:
        return
    owners = fact.filter(pl.col("address").is_in(pl.Series(sorted(wanted)).implode())).collect()
    by_address = {str(address[0]): part for address, part in owners.partition_by("address", as_dict=True).items()}
    for finding, names in named:
        for address in [one.removeprefix("address:") for one in names if one.startswith("address:")]:
            if address in by_address:
                for row in within(by_address[address], address, finding.start, finding.end).iter_rows(named=True):
                    names |= set(_of_owner(row["kind"], row["namespace"], row["name"], row["node"]))
                    names |= {key("uid", row["uid"])} if row["uid"] else set()


def _of_owner(kind: str, namespace: str | None, name: str | None, node: str | None) -> Iterator[str]:
    if node:
        yield key("node", node)
    if kind == "pod" and namespace and name:
        yield key("pod", f"{namespace}/{name}")
    if kind in ("service", "endpoint") and namespace and name:
        yield key("service", f"{namespace}/{name}")


def _add_workloads(named: Sequence[set[str]]) -> None:
    """Add to each pod what its name says that it belongs to."""
    pods = pl.DataFrame({"pod": sorted({one for names in named for one in names if one.startswith("pod:")})})
    if pods.is_empty():
        return
    parts = pl.col("pod").str.strip_prefix("pod:").str.splitn("/", 2).struct
    made = pods.select("pod", namespace=parts[0], workload=of_pod(parts[1]).struct.field("workload"))
    workloads = {pod: key("workload", f"{namespace}/{name}") for pod, namespace, name in made.iter_rows() if name}
    for names in named:
        names |= {workloads[one] for one in names if one in workloads}


def _refused(findings: Sequence[Finding], get: Get) -> pl.DataFrame | None:
    """Which nodes' kubelets asked in vain in which minute (columns minute, key)."""
    asked = get(AUDIT_REQUESTS) if any(one.detector in API_SERVER for one in findings) else None
    if asked is None:
        return None
    in_vain = pl.col("throttled").fill_null(value=False) | (pl.col("code") >= 500).fill_null(value=False)
    return (
        asked.filter(in_vain, pl.col("node").is_not_null(), pl.col("time").is_not_null())
        .select(minute=pl.col("time").dt.truncate("1m"), key=keyed("node", pl.col("node")))
        .unique()
        .collect()
    )


def _within(refused: pl.DataFrame, finding: Finding) -> set[str]:
    assert finding.start is not None
    begun = finding.start.replace(second=0, microsecond=0)
    return set(refused.filter(pl.col("minute").is_between(begun, finding.end or finding.start))["key"])


def _resolvers(findings: Sequence[Finding], get: Get) -> pl.DataFrame | None:
    """The nodes of the servers of the cluster's resolver, and from when until when each was there as far as it is told
    (columns key, since, until)."""
    life = get(POD_LIFE) if any(one.detector == "dns-query-flood" for one in findings) else None
    if life is None:
        return None
    own = (pl.col("namespace") == SYSTEM) & pl.col("pod").str.contains(RESOLVER)
    time, what = pl.col("time"), pl.col("what")
    pods = (
        life.filter(own)
        .group_by("pod")
        .agg(
            pl.col("node").drop_nulls().unique(),
            since=time.filter(what == "placed").min(),
            until=time.filter(what.is_in(["deleted", "evicted", "gone"])).min(),
        )
    )
    named = pods.explode("node", empty_as_null=True).filter(pl.col("node").is_not_null())
    return named.select("since", "until", key=keyed("resolver-node", pl.col("node"))).collect()


def _answering(resolvers: pl.DataFrame, finding: Finding) -> set[str]:
    """The nodes where one of them was at some time of the finding: there the queries are answered and logged."""
    there = (pl.col("since") <= (finding.end or finding.start)).fill_null(value=True)
    there &= (pl.col("until") >= finding.start).fill_null(value=True)
    return set(resolvers.filter(there)["key"])


def _may_be_resolver(names: set[str]) -> bool:
    """Whether nothing says that the server that was asked belongs to something else than the cluster's resolver."""
    owners = [one.split(":", 1)[1] for one in names if one.startswith(("service:", "pod:"))]
    pattern = re.compile(RESOLVER)
    return not owners or any(
        owner.startswith(f"{SYSTEM}/") and pattern.search(owner.split("/", 1)[1]) for owner in owners
    )
