"""Whom the findings of a run touch: addresses, pods, nodes, workloads and user agents, each once.

A finding touches what it names (`mentions.py`), and what that belongs to: whose an address was at that time, the node
that a pod was on and the workload that made it. Facts are only asked for what is named, so the cost follows the
findings. A node is one entity with and without its domain, as kubelets log a host name and the API a node's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import polars as pl
from msgspec.structs import replace

from analyzer.facts import workload_names
from analyzer.facts.address_owners import ADDRESS_OWNERS
from analyzer.facts.owner_names import Owner, at_the_time, label
from analyzer.facts.pod_life import POD_LIFE
from analyzer.facts.pod_life import TABLE as LIFE
from analyzer.frames import AUDIT_EVENTS, KERNEL_MESSAGES, KLOG_LINES
from analyzer.model import Entity, Finding, Run
from analyzer.pipeline.mentions import Mention, mentions
from analyzer.pipeline.store import Store

MOST = 500
"""Entities in a result; those that most findings touch are kept."""

WORKLOADS = ("deployments", "daemonsets", "statefulsets", "cronjobs", "jobs", "replicasets", "replicationcontrollers")

FROM_EVIDENCE = "the finding's evidence"


class _Found:
    """Entities as they are found, with the keys of the findings that touch them."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str, str], Entity] = {}
        self._keys: dict[tuple[str, str, str], set[str]] = {}

    def add(self, entity: Entity, keys: Iterable[str]) -> None:
        """One entity of its kind, id and label; what is told of it first counts."""
        at = (entity.kind, entity.id, entity.label if entity.kind == "address" else "")
        self._made.setdefault(at, entity)
        self._keys.setdefault(at, set()).update(keys)

    def every(self) -> tuple[Entity, ...]:
        order = sorted(self._made, key=lambda at: (-len(self._keys[at]), at))[:MOST]
        return tuple(replace(self._made[at], findings=tuple(sorted(self._keys[at]))) for at in sorted(order))


def entities_of(runs: Sequence[Run], store: Store) -> tuple[Entity, ...]:
    """Every entity that a finding touches, by kind, id and label."""
    findings = {finding.key: finding for run in runs for finding in run.findings}
    named = mentions(findings.values())
    if not named:
        return ()
    found = _Found()
    owned = _addresses(found, findings, named, store)
    pods = _Pods(store, [*(one.name for one in named if one.kind == "pod"), *(pod for pod, _, _ in owned)])
    asked = [one.name for one in named if one.kind == "node"]
    nodes = _Nodes(store, [*asked, *(node for _, node, _ in owned), *pods.nodes()])
    for one in named:
        if one.kind == "pod":
            _pod(found, pods, nodes, findings[one.key], one.name, unsure=one.unsure)
        elif one.kind == "node" and (not one.unsure or nodes.knows(one.name)):
            nodes.add(found, one.name, [one.key])
        elif one.kind == "workload":
            pods.add_workload(found, one.name, [one.key])
    for pod, node, key in owned:
        if pod:
            _pod(found, pods, nodes, findings[key], pod, unsure=False, node=node)
        elif node:
            nodes.add(found, node, [key])
    _agents(found, named, store)
    return found.every()


def _addresses(
    found: _Found, findings: Mapping[str, Finding], named: Sequence[Mention], store: Store
) -> list[tuple[str, str, str]]:
    """Adds the addresses whose owner is known; gives their owners as (pod, node, key of the finding)."""
    wanted = sorted({one.name for one in named if one.kind == "address"})
    if not wanted or (fact := store.get(ADDRESS_OWNERS)) is None:
        return []
    of_pod = pl.when(pl.col("kind") == "pod").then(workload_names.of_pod(pl.col("name")).struct.field("workload"))
    owners = fact.filter(pl.col("address").is_in(wanted)).with_columns(
        workload=pl.format("{}/{}", "namespace", of_pod).fill_null("")
    )
    owners_of: dict[str, list[Owner]] = {}
    for owner in owners.collect().iter_rows(named=True):
        owners_of.setdefault(owner["address"], []).append(owner)
    owned = []
    for one in named:
        if one.kind != "address":
            continue
        finding = findings[one.key]
        for row in at_the_time(owners_of.get(one.name, ()), finding.start, finding.end):
            found.add(
                Entity(
                    kind="address",
                    id=row["address"],
                    label=label(row),
                    known_from=f"{row['known_from']}; {row['confidence']} confidence",
                    workload=row["workload"],
                    namespace=row["namespace"] or "",
                    since=row["since"],
                    until=row["until"],
                ),
                [one.key],
            )
            if row["kind"] in ("pod", "node") and not row["contradicted"]:
                pod = f"{row['namespace']}/{row['name']}" if row["kind"] == "pod" else ""
                owned.append((pod, row["node"] or "", one.key))
    return owned


class _Pods:
    """What is known of the pods of these names, `namespace/name` or a bare name."""

    def __init__(self, store: Store, names: Iterable[str]) -> None:
        bare = {name.rpartition("/")[2] for name in names}
        spaced = {name for name in names if "/" in name}
        life = store.get(POD_LIFE)
        rows = pl.DataFrame(schema=LIFE.schema)
        if life is not None and bare:
            workload = pl.col("namespace") + "/" + pl.col("workload")
            rows = life.filter(pl.col("pod").is_in(sorted(bare)) | workload.is_in(sorted(spaced))).collect()
        self.turns: dict[str, list[tuple[datetime, str, str | None, str]]] = {}
        self.workload_of: dict[str, tuple[str, str]] = {}
        self.kinds = self._made(store, sorted(spaced))
        columns = ("time", "what", "node", "channel", "namespace", "pod", "workload_kind", "workload")
        for time, what, node, channel, namespace, pod, kind, workload in rows.select(columns).iter_rows():
            name = f"{namespace}/{pod}"
            self.turns.setdefault(name, []).append((time, what, node, channel))
            self.workload_of.setdefault(name, (kind or "", f"{namespace}/{workload}"))
            if workload != pod:
                self.kinds.setdefault(f"{namespace}/{workload}", kind or "")
        self._bare: dict[str, set[str]] = {}
        for name in self.turns:
            self._bare.setdefault(name.rpartition("/")[2], set()).add(name)

    @staticmethod
    def _made(store: Store, names: list[str]) -> dict[str, str]:
        """Workloads of these names that requests name, with the kind of the object."""
        events = store.get(AUDIT_EVENTS)
        if events is None or not names:
            return {}
        whole = pl.col("namespace") + "/" + pl.col("name")
        rows = (
            events.filter(pl.col("resource").is_in(WORKLOADS), whole.is_in(names), pl.col("code") < 300)
            .select("resource", name=whole)
            .unique()
            .sort("name", pl.col("resource").replace_strict(list(WORKLOADS), list(range(len(WORKLOADS)))))
            .unique("name", keep="first", maintain_order=True)
            .collect()
        )
        return {name: resource.removesuffix("s") for resource, name in rows.iter_rows()}

    def whole(self, name: str) -> str:
        """`namespace/name` of a pod; '' of a bare name that none or several have."""
        if "/" in name:
            return name
        known = self._bare.get(name, set())
        return next(iter(known)) if len(known) == 1 else ""

    def nodes(self) -> set[str]:
        """All nodes that any of them was on."""
        return {node for turns in self.turns.values() for _, _, node, _ in turns if node}

    def node(self, name: str, until: datetime | None) -> str:
        """The node that it was last known to be on at a time, else the first that is known."""
        known = [(time, node) for time, _, node, _ in self.turns.get(name, ()) if node]
        before = [node for time, node in known if until is None or time <= until]
        return before[-1] if before else known[0][1] if known else ""

    def span(self, name: str) -> tuple[datetime | None, datetime | None]:
        """When it was placed and when it was gone for good; null where that is not told."""
        turns = self.turns.get(name, [])
        placed = [time for time, what, _, _ in turns if what == "placed"]
        gone = turns[-1][0] if turns and turns[-1][1] == "gone" else None
        return (min(placed) if placed else None), gone

    def add_workload(self, found: _Found, name: str, keys: Sequence[str], kind: str | None = None) -> None:
        told = self.kinds.get(name)
        kind = told if told is not None else (kind or "")
        words = f"{kind or 'workload'} {name}"
        known = "objects and names of pods" if told is not None else FROM_EVIDENCE
        space = name.partition("/")[0]
        found.add(Entity(kind="workload", id=name, label=words, known_from=known, namespace=space), keys)


def _pod(
    found: _Found, pods: _Pods, nodes: _Nodes, finding: Finding, name: str, *, unsure: bool, node: str = ""
) -> None:
    """Adds a pod with its node and workload, or the workload that the name is of."""
    whole = pods.whole(name)
    if not whole:
        return
    if unsure and whole not in pods.turns:
        if whole in pods.kinds:
            pods.add_workload(found, whole, [finding.key])
        return
    turns = pods.turns.get(whole, [])
    node = nodes.whole(pods.node(whole, finding.end) or node)
    space, _, short = whole.partition("/")
    kind, workload = pods.workload_of.get(whole) or _by_name(space, short)
    own = workload != whole
    since, until = pods.span(whole)
    found.add(
        Entity(
            kind="pod",
            id=whole,
            label=f"pod {whole}{f' on node {node}' if node else ''}",
            known_from=", ".join(sorted({channel for *_, channel in turns})) or FROM_EVIDENCE,
            workload=workload if own else "",
            namespace=space,
            since=since,
            until=until,
        ),
        [finding.key],
    )
    if node:
        nodes.add(found, node, [finding.key])
    if own:
        pods.add_workload(found, workload, [finding.key], kind)


def _by_name(namespace: str, pod: str) -> tuple[str, str]:
    """Kind and `namespace/name` of the workload that the form of a pod's name tells."""
    told = pl.select(workload_names.of_pod(pl.lit(pod)).alias("told")).item()
    return told["kind"], f"{namespace}/{told['workload']}"


class _Nodes:
    """Names of nodes: that with a domain stands for the one without, where only one has it."""

    def __init__(self, store: Store, names: Iterable[str]) -> None:
        shorts = sorted({name.partition(".")[0] for name in names if name})
        known: set[str] = set()
        for need, column in (
            (AUDIT_EVENTS, pl.col("node")),
            (KLOG_LINES, pl.col("host")),
            (KERNEL_MESSAGES, pl.col("host")),
            (POD_LIFE, pl.col("node")),
            (ADDRESS_OWNERS, pl.col("node")),
        ):
            frame = store.get(need) if shorts else None
            if frame is not None:
                same = frame.select(name=column).filter(pl.col("name").str.extract(r"^([^.]*)", 1).is_in(shorts))
                known |= set(same.unique().collect()["name"])
        self._known = known
        longer: dict[str, set[str]] = {}
        for name in known:
            short = name.partition(".")[0]
            if short != name and not short.isdigit():
                longer.setdefault(short, set()).add(name)
        self._whole = {short: next(iter(whole)) for short, whole in longer.items() if len(whole) == 1}

    def knows(self, name: str) -> bool:
        return name in self._known or name in self._whole

    def whole(self, name: str) -> str:
        """The name with its domain, where that is known."""
        return self._whole.get(name, name)

    def add(self, found: _Found, name: str, keys: Sequence[str]) -> None:
        told = "requests, logs and objects that name it" if self.knows(name) else FROM_EVIDENCE
        whole = self.whole(name)
        found.add(Entity(kind="node", id=whole, label=f"node {whole}", known_from=told), keys)


def _agents(found: _Found, named: Sequence[Mention], store: Store) -> None:
    """Adds user agents: those that evidence lists, and subjects that asked the API server."""
    wanted = [one for one in named if one.kind == "agent"]
    events = store.get(AUDIT_EVENTS)
    if not wanted:
        return
    names = sorted({one.name for one in wanted})
    known: set[str] = set()
    if events is not None:
        known = set(events.select(pl.col("agent").unique()).filter(pl.col("agent").is_in(names)).collect()["agent"])
    for one in wanted:
        if one.name in known or not one.unsure:
            told = "audit userAgent" if one.name in known else FROM_EVIDENCE
            found.add(Entity(kind="agent", id=one.name, label=f"user agent {one.name}", known_from=told), [one.key])
