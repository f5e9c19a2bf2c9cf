"""Requests to instance metadata services with their answers."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.copies import copies
from analyzer.facts.http_pairs import KEY, with_answers
from analyzer.frames import HTTP_MESSAGES, TIME, Col, Table
from analyzer.frames.contract import PLACE

TOKEN_LIFE = pl.duration(seconds=21600)
"""Life that SDKs ask for a metadata session token (botocore utils.py)."""

REQUESTS = Table(
    "metadata_requests",
    "One row per HTTP request to an instance metadata service. Count the rows that are not covered.",
    (
        *PLACE,
        Col("answer_number", pl.Int64(), "Frame of the answer; null if none was seen."),
        Col("answered", TIME, "When the answer was seen; null if none was."),
        Col("client", pl.String(), "Address that asked."),
        Col("client_port", pl.Int32(), "Port that asked."),
        Col("server", pl.String(), "Metadata address, or the proxy that stands in for it."),
        Col("server_port", pl.Int32(), "Port that was asked."),
        Col(
            "provider", pl.String(), "aws-v1, aws-v2, ecs, eks-pod-identity, gcp or azure; null if the path tells none."
        ),
        Col("kind", pl.String(), "token (the session token of IMDSv2), role-list, credential or other."),
        Col("method", pl.String(), "Request method."),
        Col("path", pl.String(), "Request path."),
        Col("user_agent", pl.String(), "User-Agent; null if absent."),
        Col("status", pl.Int32(), "Status of the answer; null if none was seen."),
        Col("duration_seconds", pl.Float64(), "Request to answer; null if none was seen."),
        Col("expires_at", TIME, "When the credential in the answer expires; null if it holds none."),
        Col("remaining_seconds", pl.Float64(), "Life left when it was answered; null if unknown."),
        Col("covered", pl.Boolean(), "Another capture, or the same at another interface, tells of it: count it out."),
    ),
)

_PROXIED = r"^/([^/]+/meta-data/iam/security-credentials(/|$)|computeMetadata/.*/token$|metadata/identity/oauth2/token)"
"""What is asked of a proxy that stands in for a metadata service; nobody else serves these paths."""

_TOKEN = r"^/latest/api/token$"
_ROLES = r"^/[^/]+/meta-data/iam/security-credentials/?$"
_EC2 = r"^/[^/]+/meta-data/iam/security-credentials/[^/]+$"
_EC2_ANY = r"^/(latest|\d{4}-\d{2}-\d{2}|1\.0)(/|$)"
_ECS = r"^/v2/credentials(/|$)"
_EKS = r"^/v1/credentials(/|$)"
_GCP = r"^/computeMetadata/v1/instance/service-accounts/[^/]+/token$"
_GCP_ANY = r"^/computeMetadata/"
_AZURE = r"^/metadata/identity/oauth2/token$"
_AZURE_ANY = r"^/metadata/"


def _kind() -> pl.Expr:
    path = pl.col("path").str.replace(r"\?.*$", "")
    credential = pl.any_horizontal(path.str.contains(one) for one in (_EC2, _ECS, _EKS, _GCP, _AZURE))
    return (
        pl.when((pl.col("method") == "PUT") & path.str.contains(_TOKEN))
        .then(pl.lit("token"))
        .when(path.str.contains(_ROLES))
        .then(pl.lit("role-list"))
        .when(credential)
        .then(pl.lit("credential"))
        .otherwise(pl.lit("other"))
    )


def _provider() -> pl.Expr:
    """EC2's second version is told by a session token that was granted to the client within its life."""
    path = pl.col("path").str.replace(r"\?.*$", "")
    granted = pl.when((pl.col("kind") == "token") & (pl.col("status") == 200)).then(pl.col("time"))
    latest = granted.forward_fill().over("client")
    second = (pl.col("kind") == "token") | (pl.col("time") - latest <= TOKEN_LIFE)
    return (
        pl.when(path.str.contains(_EC2_ANY))
        .then(pl.when(second).then(pl.lit("aws-v2")).otherwise(pl.lit("aws-v1")))
        .when(path.str.contains(_ECS))
        .then(pl.lit("ecs"))
        .when(path.str.contains(_EKS))
        .then(pl.lit("eks-pod-identity"))
        .when(path.str.contains(_GCP_ANY))
        .then(pl.lit("gcp"))
        .when(path.str.contains(_AZURE_ANY))
        .then(pl.lit("azure"))
    )


def _served(messages: pl.LazyFrame) -> pl.LazyFrame:
    """Messages of connections to a metadata service, and of those where a proxy at another port answers for it.

    kiam's agent listens at 3100, metadataproxy at 45001 by default (cmd/kiam/agent.go; metadataproxy/settings.py).
    """
    ends = ["source", "src", "src_port", "dst", "dst_port"]
    back = dict(zip(ends, ["source", "dst", "dst_port", "src", "src_port"], strict=True))
    plain = messages.filter(~pl.col("metadata"))
    asked = plain.filter(pl.col("path").str.contains(_PROXIED)).select(ends).unique()
    sockets = pl.concat([asked, asked.select(pl.col(name).alias(other) for name, other in back.items()).select(ends)])
    return pl.concat([messages.filter("metadata"), plain.join(sockets.unique(), on=ends, how="semi")])


def _derive(frames: Frames) -> pl.LazyFrame:
    requests = with_answers(_served(frames[HTTP_MESSAGES]))
    requests = requests.with_columns(kind=_kind()).with_columns(provider=_provider())
    return (
        requests.with_columns(
            remaining_seconds=(pl.col("expires_at") - pl.col("answered")).dt.total_microseconds() / 1e6,
            covered=copies(requests, KEY),
        )
        .select(list(REQUESTS.schema))
        .lazy()
    )


METADATA_REQUESTS = Fact(table=REQUESTS, needs_any=((HTTP_MESSAGES,),), derive=_derive)
