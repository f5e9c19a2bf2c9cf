"""Who is touched by what: per workload, node, account and address every finding that is about it or names it.

It rests on the result alone: subjects, the cells of evidence tables by the names of their columns, and `entities`,
which say whose an address was.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

from msgspec import Struct, field

from analyzer.model import Entity, Finding
from analyzer.render.format import seconds_of

KINDS = ("workload", "node", "user agent", "account", "address", "other")

_HEADINGS = dict(
    zip(KINDS, ("Workloads", "Nodes", "User agents", "Accounts", "Addresses of unknown owners", "Others"), strict=True)
)

_COLUMNS = {
    **dict.fromkeys(("pod", "container of", "about", "host or pod", "who it is", "owner", "workload"), "object"),
    **dict.fromkeys(("user agent", "agent"), "user agent"),
    **dict.fromkeys(("client", "address", "peer", "server"), "address"),
    "node": "node",
    "user": "account",
}
"""What the cells of a column name, by its name; other columns name nobody."""

_SUBJECTS = {
    **dict.fromkeys(("apiserver-throttle-storm", "watch-list-amplification"), "user agent"),
    **dict.fromkeys(
        ("kernel-audit-flood", "kubelet-status-lag", "log-silence", "runtime-stall", "slow-pod-start"), "node"
    ),
    "termination-sigkill": "node",
    "admission-denial-loop": "other",
}
"""What a subject is, by detector, where its form does not tell: a quota is called `namespace/name` like a workload."""

_SAFE = "[bcdfghjklmnpqrstvwxz2456789]"  # k8s.io/apimachinery/pkg/util/rand: the letters of generated names
_GENERATED = rf"(?:-{_SAFE}{{6,10}})?-{_SAFE}{{5}}$|-[0-9]{{1,4}}$"
_OBJECT = r"^([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)/([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)(?= |$)"
_LABEL = r"^(pod|service|endpoint|namespace|node) (\S+)(?: on node (\S+))?"
_ACCOUNT = r"^system:serviceaccount:([^:]+):(.+)$"
_NODE = "system:node:"


class Touched(Struct):
    """`about` are the findings that it is the subject of, `named` those whose evidence names it, in their order."""

    kind: str
    name: str
    namespace: str = ""
    about: dict[str, Finding] = field(default_factory=dict)
    named: dict[str, Finding] = field(default_factory=dict)
    members: dict[str, None] = field(default_factory=dict)  # pods and addresses by which it was met

    @property
    def findings(self) -> list[Finding]:
        return list({**self.about, **self.named}.values())

    @property
    def severity(self) -> str:
        """That of the worst finding."""
        return max((f.severity for f in self.findings), key=lambda severity: severity.rank).value

    @property
    def span(self) -> tuple[float | None, float | None]:
        """Seconds since 1970 of the first and the last moment of its findings; None where one has no time."""
        starts = [f.start or f.end for f in self.findings]
        ends = [f.end or f.start for f in self.findings]
        first = None if None in starts else min(seconds_of(t) for t in starts if t is not None)
        last = None if None in ends else max(seconds_of(t) for t in ends if t is not None)
        return first, last


def touched(findings: Sequence[Finding], ids: dict[str, str], entities: Sequence[Entity]) -> list[Touched]:
    """Everybody that the findings touch: by kind, then the worst first. `ids` leads from keys to the page's numbers."""
    owners: dict[str, list[Entity]] = {}
    for entity in entities:
        owners.setdefault(entity.id, []).append(entity)
    rows: dict[tuple[str, str], Touched] = {}
    for finding in findings:
        if (id_ := ids.get(finding.key)) is None:
            continue
        for kind, name, member in _mentions(_subject(finding), finding.subject, owners):
            _row(rows, kind, name, member).about[id_] = finding
        for kind, text in _cells(finding):
            for found, name, member in _mentions(kind, text, owners):
                row = _row(rows, found, name, member)
                if id_ not in row.about:
                    row.named[id_] = finding
    return sorted(rows.values(), key=_order)


def grouped(rows: Sequence[Touched]) -> tuple[tuple[str, tuple[Touched, ...]], ...]:
    """The rows by their kinds, with a heading each."""
    kinds = dict.fromkeys(row.kind for row in rows)
    return tuple((_HEADINGS[kind], tuple(row for row in rows if row.kind == kind)) for kind in kinds)


def by_title(findings: dict[str, Finding], titles: dict[str, str]) -> list[tuple[str, list[str]]]:
    """The numbers of the findings by the titles of their detectors."""
    out: dict[str, list[str]] = {}
    for id_, finding in findings.items():
        out.setdefault(finding.title or titles.get(finding.detector, finding.detector), []).append(id_)
    return list(out.items())


def namespaces(rows: Iterable[Touched]) -> dict[str, tuple[str, ...]]:
    """Of every finding the namespaces of those that it touches, by its number on the page."""
    out: dict[str, set[str]] = {}
    for row in rows:
        for id_ in (*row.about, *row.named):
            out.setdefault(id_, set()).update([row.namespace] if row.namespace else [])
    return {id_: tuple(sorted(names)) for id_, names in out.items()}


def _order(row: Touched) -> tuple[int, int, int, int, str]:
    worst = max(f.severity.rank for f in row.findings)
    return KINDS.index(row.kind), -worst, -len(row.about), -len(row.findings), row.name


def _row(rows: dict[tuple[str, str], Touched], kind: str, name: str, member: str) -> Touched:
    row = rows.setdefault((kind, name), Touched(kind, name, _namespace(kind, name)))
    if member and member != name:
        row.members[member] = None
    return row


def _namespace(kind: str, name: str) -> str:
    if kind == "workload":
        return name.partition("/")[0]
    account = re.match(_ACCOUNT, name) if kind == "account" else None
    return account[1] if account else ""


def _subject(finding: Finding) -> str:
    text = finding.subject
    if text.startswith("system:"):
        return "account"
    if _is_address(text):
        return "address"
    return _SUBJECTS.get(finding.detector) or ("object" if re.match(_OBJECT, text) else "other")


def _cells(finding: Finding) -> Iterable[tuple[str, str]]:
    """What the evidence tables name, each once."""
    seen: dict[tuple[str, str], None] = {}
    for table in finding.evidence.tables:
        for at, column in enumerate(table.columns):
            if kind := _COLUMNS.get(column.name):
                cells = (row[at] for row in table.rows if at < len(row))
                seen |= dict.fromkeys((kind, cell) for cell in cells if isinstance(cell, str) and cell)
    return seen


def _mentions(kind: str, text: str, owners: dict[str, list[Entity]]) -> list[tuple[str, str, str]]:
    """Kind, name and member of everybody that a text of that kind names; nobody where it is of no known form."""
    if _is_address(text):
        known = [found for one in owners.get(text, ()) for found in _labelled(one.label, one.workload, text)]
        return known or [("address", text, "")]
    if kind == "address":
        return []
    if text.startswith(_NODE):
        return [("node", _short(text.removeprefix(_NODE)), "")]
    if kind == "object":
        met = re.match(_OBJECT, text)
        return [("workload", _workload(met[0]), met[0])] if met else _labelled(text, "", "")
    return [(kind, _short(text) if kind == "node" else text, "")]


def _labelled(label: str, workload: str, address: str) -> list[tuple[str, str, str]]:
    """Of `pod NAMESPACE/NAME on node NODE` its workload and its node; a namespace alone is nobody."""
    met = re.match(_LABEL, label)
    if met is None:
        return []
    what, name, node = met.groups()
    out = []
    if what == "node":
        out.append(("node", _short(name), address))
    elif re.match(_OBJECT, name):
        out.append(("workload", workload or (_workload(name) if what == "pod" else name), name))
    elif address:
        out.append(("address", address, f"{what} {name}"))
    if node:
        out.append(("node", _short(node), ""))
    return out


def _workload(pod: str) -> str:
    """The name without what a ReplicaSet, DaemonSet, Job or StatefulSet adds; a name that has none of it stays."""
    return re.sub(_GENERATED, "", pod) or pod


def _short(node: str) -> str:
    return node if _is_address(node) else node.partition(".")[0]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
