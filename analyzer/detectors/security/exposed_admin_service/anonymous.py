"""Requests without a credential that the API server allowed, and commands run by the accounts of consoles."""

from __future__ import annotations

import polars as pl
from msgspec.structs import replace

from analyzer.detectors.security.exposed_admin_service.catalogue import ACCOUNTS, by_design
from analyzer.detectors.security.exposed_admin_service.exposed import COMMANDS, Exposed
from analyzer.facts.callers import ANONYMOUS, SERVICE_ACCOUNT
from analyzer.facts.contract import Frames
from analyzer.facts.requests import AUDIT_REQUESTS, dry_run

COLUMNS = (
    *("time", "source", "number", "verb", "uri_class", "resource", "subresource", "namespace", "name", "code"),
    *("user", "agent", "source_ip", "service_account_namespace", "done"),
)


def done() -> pl.Expr:
    """Whether it took place: what was allowed may fail still, and a command is asked for once more where the upgrade of
    its connection failed. Of a command the code is 101 (Switching Protocols) or 200."""
    code = pl.col("code")
    return (code.is_null() | (code == 101) | code.is_between(200, 299)) & ~dry_run().fill_null(value=False)


def anonymous(found: list[Exposed], frames: Frames, least: int) -> list[Exposed]:
    """Further things that are open. Services in `found` whose account ran commands are replaced in place."""
    if AUDIT_REQUESTS not in frames:
        return []
    allowed = (pl.col("decision") == "allow") | (pl.col("decision").is_null() & (pl.col("code") < 400))
    requests = frames[AUDIT_REQUESTS].filter(allowed.fill_null(value=False)).with_columns(done=done())
    strangers = requests.filter((pl.col("caller") == ANONYMOUS) & ~by_design()).select(COLUMNS)
    rows = strangers.sort("time", "source", "number", nulls_last=True).collect()
    told = []
    if rows.height >= least:
        told.append(
            Exposed(subject="system:anonymous", variant="anonymous", product="the Kubernetes API", anonymous=rows)
        )
    spaces = {one.namespace for one in found if one.variant == "service" and one.sure}
    console = pl.col("user").str.contains(ACCOUNTS) | pl.col("service_account_namespace").is_in(list(spaces))
    commands = (
        requests.filter(pl.col("caller") == SERVICE_ACCOUNT, pl.col("resource") == "pods")
        .filter(pl.col("subresource").is_in(COMMANDS), console, "done", pl.col("impersonated_user").is_null())
        .select(COLUMNS)
        .sort("time", "source", "number", nulls_last=True)
        .collect()
    )
    for place, one in enumerate(found):
        mine = pl.col("service_account_namespace") == one.namespace
        if one.variant == "service" and one.sure and commands.filter(mine).height:
            found[place] = replace(one, account=commands.filter(mine))
            commands = commands.filter(~mine)
    for (user,), ran in commands.group_by(["user"], maintain_order=True):
        told.append(Exposed(subject=str(user), variant="exec", product="a console", account=ran))
    return told
