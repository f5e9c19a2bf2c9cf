"""Which words of a result are names, as the tables tell: for a report that hides them."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.frames import TABLES
from analyzer.pipeline.store import Store
from analyzer.redact.words import ATOM, PUBLIC, is_quantity

KINDS = {
    "ns": ("namespace", "service_account_namespace"),
    "pod": ("pod", "caller_pod"),
    "container": ("container",),
    "node": ("node", "caller_node", "node_name"),
    "user": ("service_account", "user", "impersonated_user", "role", "wanted_role"),
    "object": ("owner_name", "name"),
    "agent": ("agent",),
}
"""Kinds of tokens, and the columns that hold such names; the surest first."""

OBJECTS = "audit_objects", "audit_events", "audit_addresses", "kube_events"
"""Tables whose column `name` is that of an object; elsewhere it is a DNS name, which is hidden label by label."""


def identities(store: Store, atoms: frozenset[str]) -> dict[str, str]:
    """The atoms that are names, with their kinds. Names that every cluster has are none."""
    found: dict[str, str] = {}
    for kind, columns in KINDS.items():
        for column in columns:
            for value in _values(store, column):
                for atom in ATOM.findall(value):
                    if atom in atoms and atom not in PUBLIC and not is_quantity(atom):
                        found.setdefault(atom, kind)
    return found


def _values(store: Store, column: str) -> Iterator[str]:
    for table in TABLES:
        holds = column in table.schema and (column != "name" or table.name in OBJECTS)
        if holds and (frame := store.get(table)) is not None:
            distinct = frame.select(pl.col(column).cast(pl.String)).unique().collect()
            yield from distinct[column].drop_nulls().sort()
