"""The table of callers: who asked the cluster for how much, column by column."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from analyzer.model import Caller
from analyzer.render.format import number, size
from analyzer.render.limits import Budget, Cut
from analyzer.render.touched import Touched

COLUMNS = (
    ("requests", "API requests"),
    ("watches", "Watches"),
    ("throttled", "429"),
    ("server_errors", "5xx"),
    ("audit_bytes", "Audit log"),
    ("dns_queries", "DNS queries"),
    ("dns_nxdomain", "NXDOMAIN"),
    ("dns_failed", "DNS failed"),
    ("metadata_requests", "Metadata"),
)
_HEADINGS = {"user agent": "User agents", "account": "Accounts", "pod": "Pods", "address": "Addresses of unknown pods"}
_LOUD = 0.5


class Row(Struct, frozen=True):
    """One caller: each cell with whether it holds half or more of its column, and the findings that are about it."""

    name: str
    cells: tuple[tuple[str, bool], ...]
    ids: tuple[str, ...]


class League(Struct, frozen=True):
    """The table, by kind of caller; columns of which nothing is known are left out."""

    headers: tuple[str, ...] = ()
    groups: tuple[tuple[str, Cut[Row]], ...] = ()


def league(callers: Sequence[Caller], rows: Sequence[Touched], budget: Budget, most: int) -> League:
    """The callers as rows, at most `most` of each kind."""
    known = [(name, title) for name, title in COLUMNS if any(getattr(one, name) is not None for one in callers)]
    about = {name: tuple(row.about) for row in rows for name in (row.name, *row.members)}
    groups = []
    for kind in dict.fromkeys(one.kind for one in callers):
        group = [one for one in callers if one.kind == kind]
        sums = {name: sum(getattr(one, name) or 0 for one in group) for name, _ in known}
        made = [_row(one, [name for name, _ in known], sums, about) for one in group]
        groups.append((_HEADINGS.get(kind, kind), budget.take(made, most)))
    return League(tuple(title for _, title in known), tuple(groups))


def _row(one: Caller, names: Sequence[str], sums: dict[str, int], about: dict[str, tuple[str, ...]]) -> Row:
    cells = []
    for name in names:
        value: int | None = getattr(one, name)
        text = "–" if value is None else size(value) if name == "audit_bytes" else number(value)
        cells.append((text, bool(value) and (value or 0) >= _LOUD * sums[name]))
    return Row(one.name, tuple(cells), about.get(one.name, ()))
