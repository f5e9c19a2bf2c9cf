"""Calls for a credential, from captures and from the logs of proxies, each once."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Frames
from analyzer.facts.metadata_requests import METADATA_REQUESTS
from analyzer.frames import IAM_PROXY_MESSAGES

UNAUTHORIZED = 401
"""EC2's answer to a request without a session token: the trouble of `imds-hop-limit`, not a refused credential."""

_PATH = r"^/[^/]+/meta-data/iam/security-credentials(/|$)"
_WRONG_ROLE = r"Invalid role|Error assuming role|not valid for namespace|empty role|not allowed|forbidden by policy"
"""What proxies say of a role that the pod may not have (kube2iam server/server.go, mappings/mapper.go; kiam
pkg/aws/metadata/errors.go, pkg/server/policy.go)."""

COLUMNS = ("time", "source", "number", "end", "client", "path", "status", "seconds", "wrong_role", "log")


def calls(frames: Frames) -> pl.DataFrame:
    """`time` (when it was asked), `source` and `number` (of the answer's record), `end`, `client`, `path`, `status`,
    `seconds`, `wrong_role` (the proxy said so), `log`. Of a client in capture and log the longer tale counts.
    """
    parts = []
    if METADATA_REQUESTS in frames:
        parts.append(_captured(frames[METADATA_REQUESTS]).with_columns(log=False))
    if IAM_PROXY_MESSAGES in frames:
        parts.append(_logged(frames[IAM_PROXY_MESSAGES]).with_columns(log=True))
    every = pl.concat([part.select(COLUMNS) for part in parts]).collect()
    if not every.height:
        return every
    wrong = every.filter("log", "wrong_role").select("client", "path").unique().with_columns(said=True)
    counts = every.group_by("client", "log").len().sort("client", "len", "log", descending=[False, True, False])
    first = counts.unique("client", keep="first", maintain_order=True).select("client", "log")
    return (
        every.join(first, on=["client", "log"], how="semi")
        .join(wrong, on=["client", "path"], how="left")
        .with_columns(wrong_role=pl.col("wrong_role") | pl.col("said").fill_null(False))
        .filter(pl.col("status") != UNAUTHORIZED)
        .select(COLUMNS)
        .sort("time", "source", "number")
    )


def _captured(requests: pl.LazyFrame) -> pl.LazyFrame:
    return requests.filter(
        ~pl.col("covered"), pl.col("kind").is_in(["role-list", "credential"]), pl.col("status").is_not_null()
    ).select(
        "time",
        "source",
        "client",
        "path",
        "status",
        number=pl.coalesce("answer_number", "number"),
        end=pl.coalesce("answered", "time"),
        seconds=pl.col("duration_seconds").fill_null(0.0),
        wrong_role=pl.lit(False),
    )


def _logged(messages: pl.LazyFrame) -> pl.LazyFrame:
    """One row per answered request. What the proxy says of a request before its answer tells of the role."""
    named = messages.filter(pl.col("client").is_not_null(), pl.col("path").str.contains(_PATH))
    wrong = pl.col("message").str.contains(_WRONG_ROLE)
    said = named.filter(wrong).select("source", "client", "path", second=_second()).unique().with_columns(said=True)
    # kiam tells of an error and then of the same request as processed.
    answers = named.filter(
        pl.col("status").is_not_null(), ~pl.col("message").str.starts_with("error processing request")
    )
    took = pl.col("duration_seconds").fill_null(0.0)
    return (
        answers.with_columns(second=_second())
        .join(said, on=["source", "client", "path", "second"], how="left")
        .select(
            "source",
            "number",
            "client",
            "path",
            "status",
            time=pl.col("time") - pl.duration(microseconds=(took * 1e6).cast(pl.Int64)),
            end="time",
            seconds=took,
            wrong_role=wrong | pl.col("said").fill_null(False),
        )
    )


def _second() -> pl.Expr:
    """Both lines of a request are written in one go."""
    return pl.col("time").dt.truncate("1s")
