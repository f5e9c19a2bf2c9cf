"""Whether the inputs are of one cluster: those of several look like one that restarts, with causes that are none.

Two ways to tell, and else nothing is said. A mark that only one cluster has differs: its name in the export of a cloud,
the UID of kube-system, the address of the service default/kubernetes, the host of a managed API server. Or audit logs
and Events of the same time share no node, no pod and no namespace beyond those that every cluster has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct, field

from analyzer.facts.cluster_marks import CLUSTER_MARKS, HOST, MARKS, NAMESPACE, NODE, POD, SERVICE, SERVICE_6, UID
from analyzer.frames import AUDIT_EVENTS, KUBE_EVENTS
from analyzer.model import Cluster, InputReport
from analyzer.story.series import Get

NAME = "name"

LEAST_NODES = 2
LEAST_NAMESPACES = 2
"""A group of inputs that names fewer nodes and namespaces of its own is no proof of another cluster [an engineering
default]: it may be of one part of the cluster."""

MOST = 100
"""Groups that are held against each other."""

SHOWN = 3

_WORDS = {
    NAME: "cluster {} by its export",
    UID: "UID {} of namespace kube-system",
    SERVICE: "address {} of service default/kubernetes",
    SERVICE_6: "address {} of service default/kubernetes",
    HOST: "API server {}",
}

Apart = Mapping[str, int]
"""The cluster of each input of which one is known, by its place in the list."""

NOWHERE: Apart = {}


class _Group(Struct):
    """Inputs that are of one cluster, and what they tell of it."""

    inputs: list[str]
    told: dict[str, set[str]] = field(default_factory=dict)
    first: datetime | None = None
    last: datetime | None = None
    wide: bool = False

    def has(self, kind: str) -> set[str]:
        return self.told.get(kind, set())

    def take(self, other: _Group) -> None:
        self.inputs += other.inputs
        self.wide |= other.wide
        for kind, values in other.told.items():
            self.told[kind] = self.has(kind) | values
        self.span(other.first, other.last)

    def span(self, *times: datetime | None) -> None:
        known = [time for time in (self.first, self.last, *times) if time is not None]
        self.first, self.last = (min(known), max(known)) if known else (None, None)


def clusters(get: Get, reports: Sequence[InputReport]) -> tuple[Cluster, ...]:
    """The clusters that the inputs are of, where they are of several; else nothing."""
    each = _inputs(get, reports)
    if len(each) < 2:
        return ()
    found = _by_marks(each) or _by_names(each)
    return tuple(Cluster(inputs=tuple(sorted(group.inputs)), told_by=why) for group, why in found)


def homes(found: Sequence[Cluster]) -> Apart:
    """The cluster of each input; one that is of several is of none."""
    told: dict[str, int] = {}
    twice = set()
    for at, one in enumerate(found):
        twice |= {name for name in one.inputs if name in told}
        told |= dict.fromkeys(one.inputs, at)
    return {name: at for name, at in told.items() if name not in twice}


def apart(known: Apart, ones: Iterable[str], others: Iterable[str]) -> bool:
    """Whether two sets of inputs are of different clusters for certain."""
    left, right = ({known.get(name) for name in names} for names in (ones, others))
    return bool(left) and bool(right) and None not in left | right and not left & right


def remark(found: Sequence[Cluster]) -> tuple[str, ...]:
    """What the summary says of it."""
    if not found:
        return ()
    parts = [f"{_listed(one.inputs)} ({one.told_by})" for one in found]
    head = f"These inputs are of {len(found)} clusters: {'; '.join(parts)}."
    return (
        f"{head} No cause is drawn between them, but figures and timeline hold all of them: look at each by itself.",
    )


def _inputs(get: Get, reports: Sequence[InputReport]) -> list[_Group]:
    """Each input as a group of its own."""
    groups = {
        report.path: _Group([report.path], {NAME: {report.cluster}} if report.cluster else {})
        for report in reports
        if report.used
    }
    marks = get(CLUSTER_MARKS)
    for row in marks.collect().iter_rows(named=True) if marks is not None else ():
        group = groups.get(row["source"])
        if group is not None:
            group.told.setdefault(row["kind"], set()).add(row["value"])
            group.span(row["time"], row["last"])
    for table in (AUDIT_EVENTS, KUBE_EVENTS):
        frame = get(table)
        for name in frame.select("source").unique().collect()["source"] if frame is not None else ():
            if name in groups:
                groups[name].wide = True
    return [groups[name] for name in sorted(groups) if groups[name].told]


def _joined(groups: Sequence[_Group], kinds: Sequence[str]) -> list[_Group]:
    """The groups, those that share a value of these kinds made one."""
    parent = list(range(len(groups)))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    first: dict[tuple[str, str], int] = {}
    for at, group in enumerate(groups):
        for kind in kinds:
            for value in group.has(kind):
                parent[root(at)] = root(first.setdefault((kind, value), at))
    made: dict[int, _Group] = {}
    for at, group in enumerate(groups):
        made.setdefault(root(at), _Group([])).take(group)
    return list(made.values())


def _by_marks(each: Sequence[_Group]) -> list[tuple[_Group, str]]:
    """By marks that differ; an input without any goes with the one cluster whose nodes or pods it names."""
    kinds = (NAME, *MARKS)
    marked = _joined([one for one in each if any(one.has(kind) for kind in kinds)], kinds)
    # No two of these share a value, so of one kind of mark each has others.
    told = Counter(kind for one in marked for kind in kinds if one.has(kind))
    differ = [one for one in marked if any(one.has(kind) and told[kind] > 1 for kind in kinds)]
    if not differ:
        return []
    taken = {name for group in differ for name in group.inputs}
    rest = [one for one in each if not taken.issuperset(one.inputs)]
    for one in rest:
        near = [group for group in differ if any(one.has(kind) & group.has(kind) for kind in (NODE, POD))]
        if len(near) == 1:
            near[0].inputs += one.inputs
    return [(one, _marks_of(one)) for one in sorted(differ, key=lambda group: min(group.inputs))]


def _marks_of(group: _Group) -> str:
    told = [_WORDS[kind].format(_listed(sorted(group.has(kind)))) for kind in (NAME, *MARKS) if group.has(kind)]
    return "; ".join(told)


def _by_names(each: Sequence[_Group]) -> list[tuple[_Group, str]]:
    """By what audit logs and Events of the same time name, where it has nothing in common."""
    whole = [
        one
        for one in _joined(each, (NODE, POD, NAMESPACE))
        if one.wide and len(one.has(NODE)) >= LEAST_NODES and len(one.has(NAMESPACE)) >= LEAST_NAMESPACES
    ]
    meanwhile = [one for one in whole[:MOST] if any(_overlap(one, other) for other in whole[:MOST] if other is not one)]
    return [(one, _names_of(one)) for one in sorted(meanwhile, key=lambda group: min(group.inputs))]


def _overlap(one: _Group, other: _Group) -> bool:
    if one.first is None or one.last is None or other.first is None or other.last is None:
        return False
    return one.first <= other.last and other.first <= one.last


def _names_of(group: _Group) -> str:
    nodes, spaces = (_listed(sorted(group.has(kind))) for kind in (NODE, NAMESPACE))
    return f"nodes {nodes}, namespaces {spaces}, and none of those of the others"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(name[:120] for name in names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
