"""Requests to instance metadata services with their answers."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.copies import copies
from analyzer.frames import HTTP_MESSAGES, TIME, Col, Table
from analyzer.frames.contract import PLACE

SILENCE = pl.duration(seconds=60)
"""After so long a pause a socket's next request is no longer waiting behind an unanswered one: the port was reused."""

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

_SOCKET = ["source", "client", "client_port", "server", "server_port"]
_KEY = ["client", "client_port", "method", "path"]

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


def _turned(messages: pl.DataFrame) -> pl.DataFrame:
    """Requests and answers with client and server, numbered within their socket: `burst` ends where a request follows
    an answer or a long pause, `nth` counts each direction within it. HTTP/1 answers in the order of the requests."""
    answer = pl.col("response")
    ends = {
        "client": pl.when(answer).then("dst").otherwise("src"),
        "client_port": pl.when(answer).then("dst_port").otherwise("src_port"),
        "server": pl.when(answer).then("src").otherwise("dst"),
        "server_port": pl.when(answer).then("src_port").otherwise("dst_port"),
    }
    follows_answer = pl.col("response").shift(1).over(_SOCKET).fill_null(True)
    pause = (pl.col("time") - pl.col("time").shift(1).over(_SOCKET) > SILENCE).fill_null(False)
    return (
        messages.with_columns(**ends)
        .with_columns(burst=(~answer & (follows_answer | pause)).cum_sum().over(_SOCKET))
        .with_columns(nth=pl.int_range(pl.len()).over(*_SOCKET, "burst", "response"))
    )


def _derive(frames: Frames) -> pl.LazyFrame:
    interim = (pl.col("status") < 200).fill_null(False)
    messages = frames[HTTP_MESSAGES].filter(~pl.col("duplicate").fill_null(False), ~interim)
    turned = _turned(messages.sort("time", "source", "number").collect())
    key = [*_SOCKET, "burst", "nth"]
    answers = turned.filter("response").select(*key, "status", "expires_at", answered="time", answer_number="number")
    requests = (
        turned.filter(~pl.col("response"))
        .drop("status", "expires_at")
        .join(answers, on=key, how="left")
        .sort("time", "source", "number")
        .with_columns(kind=_kind(), origin=pl.lit("capture"))
        .with_columns(provider=_provider())
    )
    return (
        requests.with_columns(
            duration_seconds=(pl.col("answered") - pl.col("time")).dt.total_microseconds() / 1e6,
            remaining_seconds=(pl.col("expires_at") - pl.col("answered")).dt.total_microseconds() / 1e6,
            covered=copies(requests, _KEY),
        )
        .select(list(REQUESTS.schema))
        .lazy()
    )


METADATA_REQUESTS = Fact(table=REQUESTS, needs_any=((HTTP_MESSAGES,),), derive=_derive)
