"""What came before a flood, and what left while it went on: DaemonSets, and settings of the audit system."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import polars as pl
from msgspec import Struct

from analyzer.detectors.node.kernel_audit_flood.flood import Flood

BEFORE = timedelta(minutes=30)
"""How long before the onset a DaemonSet may have been written: as long as the story looks back for changes."""

NEAR = timedelta(minutes=2)
"""How far from the onset a setting of the audit system may lie, and from each other a daemon's end and its deletion."""

AFTER = timedelta(minutes=5)
"""A flood that lasts so long after its writer left has outlived it: what waited in the queue is written by then."""

_AUDITORS = r"(?i)audit|falco|osquery|sysdig|laurel|tetragon|kubearmor"
"""Names of agents that set audit rules or read audit records; of a DaemonSet whose making is not in the log."""


class Cause(Struct, frozen=True, kw_only=True):
    """`settings` are CONFIG_CHANGE records around the onset; `written` and `removed` are rows of the change ledger;
    `left` is when the writer was gone, by the API server or by the kernel, and the flood went on, else None."""

    settings: pl.DataFrame
    written: pl.DataFrame
    removed: pl.DataFrame
    ended: pl.DataFrame
    left: datetime | None

    @property
    def told(self) -> bool:
        """Whether anything tells who asked for the records."""
        return bool(self.settings.height or self.written.height or self.removed.height or self.left)

    @property
    def writer(self) -> str | None:
        """The DaemonSet that is named, where it is one only."""
        rows = self.removed if self.removed.height else self.written
        names = rows.select(pl.concat_str("namespace", pl.lit("/"), "name", ignore_nulls=True)).to_series().unique()
        return names[0] if names.len() == 1 else None


def cause_of(flood: Flood, audit: pl.LazyFrame, ledger: pl.LazyFrame | None) -> Cause:
    set_ = audit.filter(
        pl.col("node") == flood.node,
        pl.col("setting").is_not_null(),
        pl.col("time").is_between(flood.start - NEAR, flood.end),
    ).collect()
    written = removed = _NONE
    if ledger is not None:
        sets = ledger.filter(pl.col("resource") == "daemonsets", ~pl.col("routine"), pl.col("name").is_not_null())
        near = sets.filter(pl.col("time").is_between(flood.start - BEFORE, flood.end)).select(_NONE.columns).collect()
        gone = pl.col("verb") == "delete"
        written = near.filter(~gone, pl.col("time") <= flood.start + NEAR)
        removed = _removed(near.filter(gone), written)
    ended = set_.filter(pl.col("setting") == "audit_pid", pl.col("value") == 0, pl.col("before") != 0)
    moments = [*removed["time"].to_list(), *ended["time"].to_list()]
    left = max((one for one in moments if flood.end - one >= AFTER), default=None)
    return Cause(
        settings=set_.filter(pl.col("time") <= flood.start + NEAR).head(10),
        written=written,
        removed=removed,
        ended=ended,
        left=left,
    )


def _removed(gone: pl.DataFrame, written: pl.DataFrame) -> pl.DataFrame:
    """Deletions of what was written before the onset; where nothing was, of what bears the name of such an agent."""
    key = ["namespace", "name"]
    known = gone.join(written.select(key).unique(), on=key, how="semi", maintain_order="left")
    if known.height or written.height:
        return known
    named = [bool(re.search(_AUDITORS, name)) for name in gone["name"].to_list()]  # deletions of DaemonSets are rare
    return gone.filter(pl.Series(named, dtype=pl.Boolean))


_NONE = pl.DataFrame(
    schema={
        "time": pl.Datetime("us", "UTC"),
        "source": pl.String,
        "number": pl.Int64,
        "namespace": pl.String,
        "name": pl.String,
        "verb": pl.String,
        "what": pl.String,
    }
)
