"""Which defunct processes of a listing belong to a probed container."""

from __future__ import annotations

import re
from datetime import datetime

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from analyzer.detectors.node.exec_probe_timeout.containers import Probed
from analyzer.detectors.node.exec_probe_timeout.listings import Listing

_WORD = r"[A-Za-z0-9_.+-]+"
_NAME_BYTES = 15
"""The kernel keeps so much of a name (TASK_COMM_LEN without its end)."""


class Counted(Struct, frozen=True, kw_only=True):
    """What one listing shows of one container. `by`: `container` where cgroups tell whose the processes are, `command`
    where they have the names of the probe's command, `node` where nothing tells, and all of the node are meant."""

    by: str
    node: str
    assumed: bool
    time: datetime | None
    source: str
    rows: pl.DataFrame

    @property
    def defunct(self) -> int:
        return self.rows.height

    @property
    def places(self) -> frozenset[tuple[str, int]]:
        return frozenset((self.source, number) for number in self.rows["number"].to_list())

    @property
    def tells(self) -> bool:
        """Whether the number is that of the container: none of the node is none of the container."""
        return self.by != "node" or not self.rows.height


def measured(found: list[Probed], seen: list[Listing], nodes: list[str]) -> list[Counted | None]:
    """What listings show of each container. `nodes`: all that the timeouts are of. Where the commands of two have the
    same names, nothing tells whose the processes are."""
    told = [_counted(one, seen, nodes) for one in found]
    places = [one.places if one is not None and one.by == "command" else frozenset() for one in told]
    return [
        replace(one, by="node")
        if one is not None and any(places[at] & other for n, other in enumerate(places) if n != at)
        else one
        for at, one in enumerate(told)
    ]


def _counted(one: Probed, seen: list[Listing], nodes: list[str]) -> Counted | None:
    """What the listing shows that shows most, of those not older than the first timeout; None without one."""
    found: list[Counted] = []
    first, own = one.rows["time"][0], {*one.rows["node"].drop_nulls().to_list()}
    ids = one.rows["container_id"].drop_nulls().unique()
    names, one_node = _names(one), next(iter(own)) if len(own) == 1 else ""
    for it in seen:
        if it.time is not None and it.time < first:
            continue
        told = it.defunct.filter(pl.coalesce("container_id", "parent_container").is_in(ids.implode()))
        if told.height or not it.shown.isdisjoint(ids):
            found.append(
                Counted(
                    by="container", node=it.host or one_node, assumed=False, rows=told, time=it.time, source=it.source
                )
            )
            continue
        node = it.host or _named(it.source, nodes)
        where = node or (nodes[0] if len(nodes) == 1 else "")
        if where not in own:
            continue
        named = it.defunct.filter(pl.col("command").str.head(_NAME_BYTES).is_in(names))
        by, rows = ("command", named) if named.height else ("node", it.defunct)
        assumed = node is None
        found.append(Counted(by=by, node=where, assumed=assumed, rows=rows, time=it.time, source=it.source))
    ranks = ("container", "command", "node")
    return min(found, key=lambda it: (ranks.index(it.by), -it.defunct, it.source), default=None)


def _named(source: str, nodes: list[str]) -> str | None:
    """The node whose name stands in the path of a listing, the longest of several."""
    lower = source.lower()
    fits = [
        one for one in nodes if one and one in lower and re.search(rf"(?<![a-z0-9]){re.escape(one)}(?![a-z0-9])", lower)
    ]
    return max(fits, key=len, default=None)


def _names(one: Probed) -> list[str]:
    """Names that processes of the probe's command may have: its words without paths."""
    commands = one.rows["command"].drop_nulls().unique().sort().head(100).to_list()
    return sorted({word[:_NAME_BYTES] for command in commands for word in re.findall(_WORD, command)})
