"""Denials by check and owner, and which owners were stuck."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from msgspec import Struct

from analyzer.detectors.workload.admission_denial_loop.owners import Limits, Owner, owner_of, too_many
from analyzer.facts import admission_texts

MAX_BACKOFF = 1000
"""Seconds after which a controller tries again at the latest (client-go `util/workqueue/default_rate_limiters.go`,
DefaultTypedControllerRateLimiter: 5 ms doubled up to 1000 s)."""

PER_NAMESPACE = (admission_texts.POD_SECURITY, admission_texts.QUOTA, admission_texts.RANGE)
"""Checks that are a matter of one namespace."""

KEY = ["check", "policy", "place"]


class Loop(Struct, frozen=True, kw_only=True):
    """One check that denied owners again and again; `rows` are the denials, in order of time. `namespace` is given
    where the check is a matter of one."""

    check: str
    policy: str
    cause: str
    namespace: str
    owners: tuple[Owner, ...]
    rows: pl.DataFrame
    end: datetime | None

    @property
    def denials(self) -> int:
        return sum(owner.denials for owner in self.owners)

    @property
    def stuck(self) -> tuple[Owner, ...]:
        return tuple(owner for owner in self.owners if owner.until is None)

    @property
    def start(self) -> datetime | None:
        return min((owner.first for owner in self.owners if owner.first), default=None)

    @property
    def seconds(self) -> float | None:
        """From the first denial to the last cure, or to the end of the evidence where an owner is stuck."""
        return (self.end - self.start).total_seconds() if self.start and self.end else None

    @property
    def subject(self) -> str:
        name = f"{self.namespace}/{self.policy}" if self.namespace else self.policy
        return f"{name} ({self.cause})" if self.cause else name


def loops(denied: pl.DataFrame, writes: pl.DataFrame, until: datetime | None, limits: Limits) -> list[Loop]:
    """Every check that denied an owner too often, in order of time, with all whom it denied then.

    `denied` is what `denials` gives, `writes` are the rows of WORKLOAD_WRITES in the same namespaces, `until` is the
    end of the evidence.
    """
    named = writes.partition_by("namespace", "workload", as_dict=True)
    unnamed = writes.partition_by("namespace", "actor", as_dict=True)
    found = []
    for _, rows in denied.group_by(*KEY, "round", maintain_order=True):
        owners, often = [], False
        for (namespace, owned), part in rows.group_by("namespace", "owned", maintain_order=True):
            known = part["workload"].drop_nulls().len() > 0
            own = (named if known else unnamed).get((namespace, owned if known else part["actor"][0]), writes.clear())
            owners.append(owner_of(part, own))
            often |= too_many(part, owners[-1], until, limits)
        if often:
            found.append(_loop(rows, owners, until))
    return found


def _loop(rows: pl.DataFrame, owners: list[Owner], until: datetime | None) -> Loop:
    cured = [owner.until for owner in owners if owner.until]
    causes = rows["cause"].drop_nulls().value_counts(sort=True).sort(["count", "cause"], descending=[True, False])
    return Loop(
        check=rows["check"][0],
        policy=rows["policy"][0] or "",
        cause=causes["cause"][0] if causes.height else "",
        namespace=rows["place"][0] or "",
        owners=tuple(sorted(owners, key=lambda owner: (-owner.denials, owner.label))),
        rows=rows,
        end=max(cured) if len(cured) == len(owners) else until,
    )


def denials(writes: pl.LazyFrame) -> pl.DataFrame:
    """Denials of controllers; `owned` is the workload, `place` the namespace where the check is a matter of one, and
    `round` counts times that lie further apart than a controller waits.

    An audit log without bodies does not tell whose pod was denied. Where another source names the workload, its rows
    stand; else the namespace and the controller stand for it. Of the rows of one Event the last counts.
    """
    denied = writes.filter((pl.col("what") == "denied") & pl.col("controller")).collect()
    whole = pl.col("event_uid").is_not_null()
    last = denied.filter(whole).sort("count", "time").unique("event_uid", keep="last", maintain_order=True)
    denied = pl.concat([denied.filter(~whole), last]).with_columns(pl.col("namespace").fill_null(""))
    known = pl.col("workload").drop_nulls()
    same = ["check", "policy", "namespace"]
    only = pl.when(known.n_unique().over(same) == 1).then(known.first().over(same))
    stands = pl.format("({})", pl.col("actor").str.extract("([^:]*)$", 1).fill_null("unknown owner"))
    named = denied.with_columns(workload=pl.coalesce("workload", only), named=known.len().over(same)).filter(
        pl.col("workload").is_not_null() | (pl.col("named") == 0)
    )
    gap = (pl.col("time") - pl.col("time").shift(1)).dt.total_seconds() > 2 * MAX_BACKOFF
    return (
        named.with_columns(
            owned=pl.coalesce("workload", stands),
            place=pl.when(pl.col("check").is_in(PER_NAMESPACE)).then("namespace"),
        )
        .sort("time", "source", "number", nulls_last=True)
        .with_columns(gap.fill_null(False).cum_sum().over(KEY).alias("round"))
    )
