"""One thing that is open to strangers, with all that was seen at it."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from msgspec import Struct

from analyzer.detectors.security.exposed_admin_service.catalogue import CONSOLE_EXEC
from analyzer.model import Confidence, Severity

COMMANDS = ("exec", "attach", "ephemeralcontainers")
WRITES = ("create", "update", "patch", "delete", "deletecollection")
NO_CHANGE = ("exec", "attach", "portforward", "proxy")
"""Subresources that are asked for with `create` and change no object."""
REVIEWS = r"reviews$"
"""Nor do questions of who may do what: subjectaccessreviews, tokenreviews."""

EMPTY = pl.DataFrame(
    schema={
        "time": pl.Datetime("us", "UTC"),
        "source": pl.String(),
        "number": pl.Int64(),
        "client": pl.String(),
        "server": pl.String(),
        "server_port": pl.Int32(),
        "method": pl.String(),
        "path": pl.String(),
        "verb": pl.String(),
        "resource": pl.String(),
        "subresource": pl.String(),
        "done": pl.Boolean(),
        "status": pl.Int32(),
        "end": pl.Datetime("us", "UTC"),
    }
)


class Exposed(Struct, frozen=True, kw_only=True):
    """`variant`: service, connections (seen in a capture only), anonymous or exec. `writes` opened it; `connections`
    and `http` came from public addresses; `anonymous` and `account` are requests to the API server, `done` if they
    succeeded."""

    subject: str
    variant: str
    product: str
    port: int | None = None
    ports: tuple[int, ...] = ()
    """All ports by which it is reached: of the service, its pods, the nodes."""
    sure: bool = True
    reach: str = ""
    namespace: str = ""
    actor: str = ""
    since: datetime | None = None
    until: datetime | None = None
    writes: pl.DataFrame = EMPTY
    connections: pl.DataFrame = EMPTY
    http: pl.DataFrame = EMPTY
    anonymous: pl.DataFrame = EMPTY
    account: pl.DataFrame = EMPTY

    @property
    def strangers(self) -> int:
        return self.connections["client"].n_unique()

    @property
    def allowed(self) -> int:
        return self.http.height + self.anonymous.height

    @property
    def execs(self) -> int:
        """Commands in containers among the requests of strangers."""
        console = self.http.filter(pl.col("path").str.contains(CONSOLE_EXEC)).height
        return console + self.anonymous.filter("done", pl.col("subresource").is_in(COMMANDS)).height

    @property
    def changes(self) -> int:
        idle = pl.col("subresource").is_in(NO_CHANGE) | pl.col("resource").str.contains(REVIEWS)
        return self.anonymous.filter("done", pl.col("verb").is_in(WRITES), ~idle.fill_null(value=False)).height

    @property
    def _times(self) -> pl.Series:
        frames = (self.writes, self.connections, self.http, self.anonymous, self.account)
        found = [frame["time"].cast(pl.Datetime("us", "UTC")) for frame in frames]
        told = pl.Series([one for one in (self.since, self.until) if one], dtype=pl.Datetime("us", "UTC"))
        return pl.concat([*found, self.connections["end"], told]).drop_nulls()

    @property
    def start(self) -> datetime | None:
        found = self._times.min()
        return found if isinstance(found, datetime) else None

    @property
    def end(self) -> datetime | None:
        found = self._times.max()
        return found if isinstance(found, datetime) else None


def severity(one: Exposed) -> Severity:
    if one.execs or one.changes:
        return Severity.CRITICAL
    if not one.sure:
        return Severity.LOW
    if one.variant == "service" and one.reach == "nodes" and not one.connections.height:
        return Severity.MEDIUM
    return Severity.HIGH


def confidence(one: Exposed) -> Confidence:
    if one.anonymous.height or one.http.height or (one.variant == "service" and one.sure and one.connections.height):
        return Confidence.HIGH
    if one.variant == "service" and (not one.sure or one.reach == "nodes"):
        return Confidence.LOW
    return Confidence.MEDIUM


def reason(one: Exposed) -> str:
    if one.anonymous.height:
        return "the API server says that it allowed requests of system:anonymous"
    if one.http.height:
        return "requests from public addresses were answered with success"
    if one.connections.height:
        told = "the audit log tells that it was opened, and " if one.variant == "service" else ""
        return f"{told}connections from public addresses were answered; what was asked is not readable"
    if one.variant == "exec":
        return "the audit log names the account; who used it is not in the evidence"
    if not one.sure:
        return "the port alone, which others use too"
    if one.reach == "nodes":
        return "whether the nodes can be reached from outside is not in the evidence"
    return "the audit log tells that it was opened; nobody was seen at it"
