"""Requests to instance metadata services, and the refreshes of credentials that they make up. No secret is here."""

from __future__ import annotations

import polars as pl

from analyzer.facts.application import APPLICATION_REQUESTS
from analyzer.facts.contract import Fact, Frames
from analyzer.facts.metadata_requests import METADATA_REQUESTS
from analyzer.frames import TIME, Col, Table
from analyzer.frames.contract import PLACE

UNIT_GAP = pl.duration(seconds=5)
"""The longest pause inside one refresh: botocore waits 1 s for each answer (its default metadata_service_timeout)."""

FOLLOWS = pl.duration(milliseconds=100)
"""A request to another server so soon after a refresh is what the refresh was for (detection rule of the pattern)."""

REFRESHES = Table(
    "credential_refreshes",
    "One row per refresh of a credential: a token PUT and a role list where the provider has them, and the credential.",
    (
        *PLACE,
        Col("end", TIME, "Last answer, or last request where none was seen."),
        Col("client", pl.String(), "Address that asked."),
        Col("client_port", pl.Int32(), "Port of the credential request."),
        Col("server", pl.String(), "Metadata address that was asked for the credential."),
        Col("user_agent", pl.String(), "User-Agent of the credential request; null if absent."),
        Col("provider", pl.String(), "aws-v1, aws-v2, ecs, eks-pod-identity, gcp or azure."),
        Col("path", pl.String(), "Path of the credential request."),
        Col("status", pl.Int32(), "Status of the credential answer; null if none was seen."),
        Col("requests", pl.Int32(), "HTTP requests of the refresh."),
        Col("seconds", pl.Float64(), "First request to last answer."),
        Col("expires_at", TIME, "When the credential expires; null if unknown."),
        Col("remaining_seconds", pl.Float64(), "Life left when the credential was answered; null if unknown."),
        Col("unanswered_tokens", pl.Int32(), "Token requests that nobody answered before the client went on."),
        Col("token_wait_seconds", pl.Float64(), "Time that those cost: to the client's next request."),
        Col("credential_number", pl.Int64(), "Record of the credential request."),
        Col("answer_number", pl.Int64(), "Record of its answer; null if none was seen."),
        Col(
            "application_number",
            pl.Int64(),
            "First record of the request to another server that followed; null if none.",
        ),
        Col("application_server", pl.String(), "That server; null if none."),
        Col("application_seconds", pl.Float64(), "How long that server took to answer; null if unknown."),
        Col("application_opened", TIME, "When that request's connection was first used; null if none."),
        Col("overlapping", pl.Int32(), "Further refreshes by the same program that ran meanwhile, at least."),
    ),
)

_KINDS = ("token", "role-list", "credential")


def _units(requests: pl.DataFrame) -> pl.DataFrame:
    """Number the refreshes: per client and program, everything up to a credential, unless a pause comes before."""
    who = ["client", "user_agent"]
    until = pl.coalesce("answered", "time") + UNIT_GAP
    ends = (pl.col("kind") == "credential").shift(1).over(who).fill_null(True)
    pause = (pl.col("time") > until.cum_max().shift(1).over(who)).fill_null(False)
    return (
        requests.filter(pl.col("kind").is_in(_KINDS), ~pl.col("covered"))
        .sort("time", "source", "number")
        .with_columns(unit=(ends | pause).cum_sum().over(who), later=pl.col("time").shift(-1).over(who))
    )


def _derive(frames: Frames) -> pl.LazyFrame:
    steps = _units(frames[METADATA_REQUESTS].collect())
    unanswered = (
        (pl.col("kind") == "token") & pl.col("status").is_null() & (pl.col("later") - pl.col("time") < UNIT_GAP)
    )
    last = pl.col("kind") == "credential"
    granted = pl.col("status") == 200
    steps_of = [(granted & (pl.col("kind") == kind)).sum() for kind in ("token", "role-list")]
    waited = (pl.col("later") - pl.col("time")).dt.total_microseconds() / 1e6
    of_last = [
        "client_port",
        "server",
        "provider",
        "path",
        "status",
        "expires_at",
        "remaining_seconds",
        "answer_number",
    ]
    units = (
        steps.group_by("client", "user_agent", "unit", maintain_order=True)
        .agg(
            pl.col("time", "source", "number").first(),
            pl.col(of_last).filter(last).last(),
            end=pl.coalesce("answered", "time").max(),
            credential_number=pl.col("number").filter(last).last(),
            requests=pl.len().cast(pl.Int32),
            # A program that goes on alone asks once for each step: what was granted twice belongs to two refreshes.
            overlapping=(pl.max_horizontal(steps_of).cast(pl.Int32) - 1).clip(0),
            unanswered_tokens=unanswered.fill_null(False).sum().cast(pl.Int32),
            token_wait_seconds=waited.filter(unanswered).sum(),
        )
        .filter(pl.col("credential_number").is_not_null())
        .sort("time", "source", "number")
    )
    return (
        _followed(units, frames)
        .with_columns(seconds=(pl.col("end") - pl.col("time")).dt.total_microseconds() / 1e6)
        .sort("time", "source", "number")
        .select(list(REFRESHES.schema))
        .lazy()
    )


def _followed(units: pl.DataFrame, frames: Frames) -> pl.DataFrame:
    """Add the request to another server that came within FOLLOWS of each refresh, before the next one began."""
    names = {name: f"application_{name}" for name in ("number", "server", "seconds", "opened")}
    if APPLICATION_REQUESTS not in frames:
        return units.with_columns(pl.lit(None, REFRESHES.schema[name]).alias(name) for name in names.values())
    asked = frames[APPLICATION_REQUESTS].select("time", "client", *names).rename(names).collect()
    found = units.with_columns(following=pl.col("time").shift(-1).over("client")).sort("end", "number")
    found = found.join_asof(
        asked.sort("time").with_columns(moment="time"),
        left_on="end",
        right_on="time",
        by="client",
        strategy="forward",
        tolerance=pl.select(FOLLOWS).item(),
        check_sortedness=False,
        suffix="_asked",
    )
    too_late = (pl.col("moment") >= pl.col("following")).fill_null(False)
    return found.with_columns(pl.when(~too_late).then(pl.col(name)).alias(name) for name in names.values())


CREDENTIAL_REFRESHES = Fact(
    table=REFRESHES, needs_any=((METADATA_REQUESTS,),), uses=(APPLICATION_REQUESTS,), derive=_derive
)
