"""Whom findings name: by their subject, and in the columns of their evidence that hold names of one kind."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from analyzer.model import Finding

COLUMNS = {
    "pod": "pod",
    "container of": "pod",
    "host or pod": "node or pod",
    "about": "pod",
    "node": "node",
    "host": "node",
    "workload": "workload",
    "owner": "workload",
    "client": "address",
    "address": "address",
    "user agent": "agent",
    "agent": "agent",
}
"""Columns of evidence, and what stands in them. A column of peers or of names is none: whom it lists is not touched."""

KUBELET = "system:node:"

_NAME = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"
NAMESPACED = rf"({_NAME})/({_NAME})"
BARE = _NAME
"""Names of objects in their namespace, and of nodes: RFC 1123 subdomains (apimachinery `IsDNS1123Subdomain`)."""

AGENT_MOST = 200


class Mention(Struct, frozen=True):
    """One name in one finding. `kind`: address, pod, node, workload or agent; `unsure` where it may be another kind."""

    key: str
    kind: str
    name: str
    unsure: bool = False


def mentions(findings: Iterable[Finding]) -> list[Mention]:
    """Every name once per finding, kind and sureness, in the order of findings."""
    return list(dict.fromkeys(one for finding in findings for one in _of(finding)))


def _of(finding: Finding) -> Iterator[Mention]:
    yield from _subject(finding)
    for table in finding.evidence.tables:
        for place, column in enumerate(table.columns):
            kind = COLUMNS.get(column.name)
            for row in table.rows if kind is not None else ():
                cell = row[place]
                if isinstance(cell, str) and kind is not None:
                    yield from _cell(finding.key, kind, cell)


def _subject(finding: Finding) -> Iterator[Mention]:
    """`10.0.0.1`, `ns/name` (a pod or a workload), `ns/name container web`, a node, a kubelet's user, a user agent."""
    subject = finding.subject
    first = subject.split(" ", 1)[0]
    if is_address(first):
        yield Mention(finding.key, "address", first)
    elif re.fullmatch(NAMESPACED, first):
        yield Mention(finding.key, "pod", first, unsure=True)
    elif subject.startswith(KUBELET):
        yield Mention(finding.key, "node", subject.removeprefix(KUBELET))
    elif subject and len(subject) <= AGENT_MOST:
        if re.fullmatch(BARE, subject):
            yield Mention(finding.key, "node", subject, unsure=True)
        yield Mention(finding.key, "agent", subject, unsure=True)


def _cell(key: str, kind: str, text: str) -> Iterator[Mention]:
    if is_address(text):
        yield Mention(key, "address", text)
    elif kind == "agent":
        if 0 < len(text) <= AGENT_MOST:
            yield Mention(key, "agent", text)
    elif re.fullmatch(NAMESPACED, text):
        yield Mention(key, "workload" if kind == "workload" else "pod", text)
    elif kind in ("node", "node or pod") and re.fullmatch(BARE, text):
        yield Mention(key, "node", text)
    elif kind == "pod" and re.fullmatch(BARE, text):
        yield Mention(key, "pod", text, unsure=True)


def is_address(text: str) -> bool:
    """Whether the text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
