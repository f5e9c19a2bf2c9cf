"""Findings of one detector about several pods of one workload: one trouble for a reader, told once in a summary.

The findings themselves stay as they are, each with its number, evidence and commands.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from analyzer.model import Entity, Finding

LEAST = 3
"""Findings that make a group: two are read as fast as a line that stands for them."""


class Group(Struct, frozen=True, kw_only=True):
    """What stands below the gravest finding of a group; `ids` are the numbers of the others, in their order.

    `lesser` are severities of those that have another than the gravest, `pods` says that each is of another pod.
    """

    workload: str
    ids: tuple[str, ...]
    lesser: dict[str, str]
    pods: bool

    @property
    def words(self) -> str:
        """`and 3 more pods of payments/charge-api`; findings, where not each is of a pod of its own."""
        return f"and {len(self.ids):,} more {'pods' if self.pods else 'findings'} of {self.workload}"

    def named(self, id_: str) -> str:
        """The number, with its severity where that is not that of the gravest."""
        return f"{id_} ({self.lesser[id_]})" if id_ in self.lesser else id_

    @property
    def sentence(self) -> str:
        """All in one line, for forms without links."""
        return f"{self.words}: {', '.join(map(self.named, self.ids))}"


def groups(findings: Sequence[Finding], entities: Sequence[Entity]) -> dict[str, Group]:
    """The groups by the number of their gravest finding. `findings` are ranked, the first is F1.

    The workload of a finding is that of the pod or address that it is about, as far as `entities` tell one.
    """
    owners = _owners(entities)
    found: dict[tuple[str, str], list[tuple[str, Finding, str]]] = {}
    for at, finding in enumerate(findings, 1):
        workload, pod = _owner(finding, owners)
        if workload:
            found.setdefault((finding.detector, workload), []).append((f"F{at}", finding, pod))
    out = {}
    for (_, workload), members in found.items():
        if len(members) < LEAST:
            continue
        (first, gravest, _), *others = members
        lesser = {id_: one.severity.value for id_, one, _ in others if one.severity is not gravest.severity}
        pods = {pod for *_, pod in members if pod}
        ids = tuple(id_ for id_, *_ in others)
        out[first] = Group(workload=workload, ids=ids, lesser=lesser, pods=len(pods) == len(members))
    return out


_Owners = dict[tuple[str, str], dict[str, str]]


def _owners(entities: Sequence[Entity]) -> _Owners:
    """By id of a pod or address and key of a finding: pods by their workloads."""
    owners: _Owners = {}
    for one in entities:
        if one.kind in ("pod", "address") and one.workload:
            for key in one.findings:
                pod = one.id if one.kind == "pod" else one.label
                owners.setdefault((one.id, key), {})[one.workload] = pod
    return owners


def _owner(finding: Finding, owners: _Owners) -> tuple[str, str]:
    """The workload and the pod that a finding is about; nothing where none or several are told.

    A container is named after its pod: `NAMESPACE/POD CONTAINER`.
    """
    whose = owners.get((finding.subject.partition(" ")[0], finding.key), {})
    return next(iter(whose.items())) if len(whose) == 1 else ("", "")
