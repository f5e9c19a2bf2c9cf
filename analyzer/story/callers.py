"""Who asked the cluster for how much: one table over user agents, accounts, pods and addresses.

A client's address stands for the pod that had it, where only one ever had; else it stays an address. What no input can
tell is null, never zero.
"""

from __future__ import annotations

import polars as pl

from analyzer.facts.address_owners import ADDRESS_OWNERS
from analyzer.facts.dns import DNS_TRANSACTIONS
from analyzer.facts.metadata_requests import METADATA_REQUESTS
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import AUDIT_EVENTS, NO_REPLY
from analyzer.model import Caller
from analyzer.story.series import Get

MOST = 12
"""Callers of each kind: those with the greatest share of any column."""

KINDS = ("user agent", "account", "pod", "address")

_WHO = {"user agent": pl.col("agent"), "account": pl.col("user"), "pod": pl.col("caller_pod")}
_POD = pl.concat_str("service_account_namespace", "caller_pod", separator="/", ignore_nulls=True)
_UNANSWERED = (NO_REPLY, "SERVFAIL", "REFUSED")
_KEYS = ("kind", "name")


def callers(get: Get) -> tuple[Caller, ...]:
    """Those who stand out in any column, by kind; within a kind by their greatest share."""
    parts = [*_api(get), *_addressed(get)]
    if not parts:
        return ()
    sums = pl.concat(parts, how="diagonal").group_by(_KEYS).agg(_sum_or_null(pl.exclude(_KEYS)))
    figures = [name for name in Caller.__struct_fields__ if name not in _KEYS and name in sums.columns]
    shares = [(pl.col(name) / pl.col(name).sum().over("kind")).fill_nan(0).fill_null(0) for name in figures]
    ranked = (
        sums.with_columns(share=pl.max_horizontal(shares), kind_rank=pl.col("kind").replace_strict(KINDS, range(4)))
        .filter(pl.col("share") > 0)
        .sort(["kind_rank", "share", "name"], descending=[False, True, False])
        .group_by("kind", maintain_order=True)
        .head(MOST)
    )
    return tuple(Caller(**row) for row in ranked.select(*_KEYS, *figures).iter_rows(named=True))


def _sum_or_null(column: pl.Expr) -> pl.Expr:
    """A sum that is null, and not 0, where no row tells anything."""
    return pl.when(column.is_not_null().any()).then(column.sum())


def _api(get: Get) -> list[pl.DataFrame]:
    """Requests by user agent, account and pod; bytes are those that each of them cost the audit log."""
    requests, events = get(AUDIT_REQUESTS), get(AUDIT_EVENTS)
    if requests is None or events is None:
        return []
    code = pl.col("code")
    count = pl.len().cast(pl.Int64)
    figures = {
        "requests": count,
        "watches": (pl.col("verb") == "watch").sum().cast(pl.Int64),
        "throttled": pl.col("throttled").sum().cast(pl.Int64),
        "server_errors": (code >= 500).sum().cast(pl.Int64),
    }
    out = []
    for kind, who in _WHO.items():
        name = (_POD if kind == "pod" else who).alias("name")
        for frame, made in ((requests, figures), (events, {"audit_bytes": pl.col("event_bytes").sum()})):
            grouped = frame.filter(who.is_not_null()).group_by(name).agg(**made).collect()
            out.append(grouped.with_columns(kind=pl.lit(kind)))
    return out


def _addressed(get: Get) -> list[pl.DataFrame]:
    """DNS queries and requests to the metadata service, by the pod that had the client's address, else by address."""
    pods = _pods(get)
    out = []
    if (queries := get(DNS_TRANSACTIONS)) is not None:
        asked = queries.filter(~pl.col("covered"), pl.col("hop") == "client", pl.col("client").is_not_null())
        figures = {
            "dns_queries": pl.len().cast(pl.Int64),
            "dns_nxdomain": (pl.col("rcode") == "NXDOMAIN").sum().cast(pl.Int64),
            "dns_failed": pl.col("rcode").is_in(_UNANSWERED).sum().cast(pl.Int64),
        }
        out.append(asked.group_by(pl.col("client").cast(pl.String)).agg(**figures).collect())
    if (metadata := get(METADATA_REQUESTS)) is not None:
        mine = metadata.filter(~pl.col("covered"), pl.col("client").is_not_null())
        out.append(mine.group_by("client").agg(metadata_requests=pl.len().cast(pl.Int64)).collect())
    return [
        part.join(pods, left_on="client", right_on="address", how="left")
        .with_columns(
            kind=pl.when(pl.col("pod").is_null()).then(pl.lit("address")).otherwise(pl.lit("pod")),
            name=pl.coalesce("pod", "client"),
        )
        .drop("client", "pod")
        for part in out
    ]


def _pods(get: Get) -> pl.DataFrame:
    """`address` and the `pod` that alone is known to have had it."""
    owners = get(ADDRESS_OWNERS)
    if owners is None:
        return pl.DataFrame(schema={"address": pl.String, "pod": pl.String})
    return (
        owners.filter(pl.col("kind") == "pod", pl.col("confidence") != "low", ~pl.col("contradicted"))
        .select("address", pod=pl.concat_str("namespace", "name", separator="/"))
        .unique()
        .filter(pl.len().over("address") == 1)
        .collect()
    )
