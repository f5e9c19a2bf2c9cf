"""Decoded audit events to rows of the table: times, addresses and agents normalised, secrets left behind."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from urllib.parse import unquote

import polars as pl
from msgspec import Raw, Struct, field

from analyzer.frames import (
    AUDIT_ADDRESSES,
    AUDIT_ANNOTATIONS,
    AUDIT_CONTAINERS,
    AUDIT_EVENTS,
    AUDIT_FIELDS,
    AUDIT_OBJECTS,
    AUDIT_SERVICE_PORTS,
    KUBE_EVENTS,
    Table,
)
from analyzer.sources.audit.addresses import address_rows
from analyzer.sources.audit.annotations import annotation_rows
from analyzer.sources.audit.clock import Clocks, Texts, clocks
from analyzer.sources.audit.durations import seconds_of
from analyzer.sources.audit.endings import ending_rows
from analyzer.sources.audit.event import LATENCY, Extra, Metadata, ResponseStatus, User
from analyzer.sources.audit.fields import field_rows
from analyzer.sources.audit.kubeevents import event_rows
from analyzer.sources.audit.objects import object_rows
from analyzer.sources.audit.parts import Columns, Parts
from analyzer.sources.audit.rows import Rows, text_column
from analyzer.sources.audit.servers import COLLECTED, server_in, server_told
from analyzer.sources.audit.services import service_rows
from analyzer.sources.secrets import scrub

MESSAGE_LIMIT = 512
"""Characters of responseStatus.message that are kept."""

NOT_TOLD = ("secrets", "tokenreviews", "tokenrequests", "selfsubjectreviews")
"""Resources whose answers may quote a secret, so their messages are not kept."""

_NO_USER, _NO_EXTRA, _NO_STATUS = User(), Extra(), ResponseStatus()
_NO_ANNOTATIONS: dict[str, str | None] = {}

_AUTHZ = "authorization.k8s.io/"
_LATENCIES = {
    "latency_total_seconds": "total",
    "latency_etcd_seconds": "etcd",
    "latency_queue_seconds": "apf-queue-wait",
}

_CONTROLLER = re.compile(r"[^/]+/\S+ \([^)]*\) kubernetes/[^/ ]+/(?:system:serviceaccount:[^:/]+:)?(.+)")
"""What client-go appends to its user agent (`DefaultKubernetesUserAgent` and `AddUserAgent` in `rest/config.go`)."""

_ACCOUNT = re.compile(r"system:serviceaccount:([^:]+):([^:]+)")
_NODE = "system:node:"

MANY = 256
"""Distinct texts of a window from which it pays to look at all of them at once."""
LONGEST_KNOWN = 1024
"""Characters of a text that is remembered from window to window."""

_SECRET_NAME = re.compile(
    r"token|secret|passw|pwd|bearer|authorization|api[-_.]?key|signature|credential|jwt|assertion|^(?:code|sig|key|auth)$",
    re.IGNORECASE,
)
_MAY_HOLD_SECRET = (
    r"(?i)token|secret|passw|pwd|bearer|authorization|key|signature|credential|jwt|assertion|eyJ|AKIA|ASIA"
    r"|ABIA|ACCA|cookie|basic|[?&;](?:code|sig|auth)=|[?&;][^=&;]*%[^=&;]*=|://[^/]*@"
)
_CREDENTIAL = (
    r"(?i)[?&;#][^=&;#]*(?:token|secret|passw|pwd|bearer|authorization|api[-_.]?key|signature|credential|jwt|assertion|%)"
    r"[^=&;#]*=|[?&;#](?:code|sig|key|auth)\n?=|eyJ|AKIA|ASIA|ABIA|ACCA|://[^/]*@|PRIVATE KEY|[a-z0-9]{6}\.[a-z0-9]{16}"
    r"|(?:pass(?:word|wd)?|secret(?:_?access_?key|_?key)?|token|(?:api|private)[_-]?key|credential|authorization|cookie)"
    r"[\"']?[\s\x1c-\x1f]?[:=]|(?:bearer|basic)[\s\x1c-\x1f]"
)
"""What must stand in a text that `without_secrets` or `scrub` changes: dearer to look for, and far rarer."""

_JWT = re.compile(r"eyJ[\w-]{8,}(?:(?:\.|%2[Ee])[\w-]*){0,2}")
_PARAMETER = re.compile(r"([?&;#])([^=&;#]*)=([^&;#]*)")
_CREDENTIALS_IN_URI = re.compile(r"://[^/@\s]*@")


class Tally(Struct):
    """What the notes of one input will say."""

    unreadable_times: int = 0
    strange_times: int = 0
    missing_times: int = 0
    backward: int = 0
    single_time: int = 0
    drifted: int = 0
    not_utf8: int = 0
    truncated: int = 0
    versions: set[str] = field(default_factory=set)

    def times(self, read: Clocks) -> None:
        """Add what was wrong with the times of one batch."""
        self.unreadable_times += read.unreadable
        self.strange_times += read.strange
        self.missing_times += read.missing
        self.backward += read.backward
        self.single_time += read.single

    def notes(self) -> list[str]:
        """One sentence for each thing that happened."""
        told = (
            (self.unreadable_times, "a time cannot be read and is left empty"),
            (self.strange_times, "a time lies outside 2010 to 2099 and is left empty"),
            (self.missing_times, "there is no time, so they lie in no window of time"),
            (self.backward, "the end lies before the beginning, so the latency is not used"),
            (self.single_time, "there is a single timestamp (old API version) and no latency"),
            (self.drifted, "fields have a wrong type; what cannot be converted is left empty"),
            (self.not_utf8, "the text is not valid UTF-8; the bad bytes became U+FFFD"),
            (self.truncated, "the apiserver had removed the bodies (audit.k8s.io/truncated)"),
        )
        old = [f"events of the old API version {version}" for version in sorted(self.versions)]
        return [f"{count} event{'s' if count > 1 else ''}: {what}" for count, what in told if count] + old


def tables(rows: Rows, source: str, zone: str, tally: Tally) -> dict[Table, pl.DataFrame]:
    """The rows as AUDIT_EVENTS, and what their annotations and bodies tell, where that is anything.

    What had to be dropped or assumed is added to the tally.
    """
    parts, singles = rows.parts, rows.singles
    tally.versions |= {str(text) for text in parts.values("api_version") if text and not text.endswith("/v1")}
    read = _times(singles.times, parts, zone)
    tally.times(read)
    count = len(rows.numbers)
    table = _without_secrets(
        pl.DataFrame(
            [
                read.time.alias("time"),
                pl.Series("source", [source], dtype=pl.String).new_from_index(0, count),
                pl.Series("number", rows.numbers, dtype=pl.Int64),
                read.stage_time.alias("stage_time"),
                singles.audit_id.alias("audit_id"),
                singles.uri.alias("uri"),
                *singles.objects,
                _servers(rows, source),
                _flags("translated", rows.grpc, count),
                pl.Series("event_bytes", rows.sizes, dtype=pl.Int64),
                pl.Series("request_body_bytes", rows.request, dtype=pl.Int64),
                pl.Series("response_body_bytes", rows.response, dtype=pl.Int64),
                *parts.spread(_COLUMNS),
            ]
        )
    )
    tally.truncated += int(table["truncated"].sum())
    found = {AUDIT_ANNOTATIONS: annotation_rows(parts, table)}
    if table["request_body_bytes"].max() or table["response_body_bytes"].max():
        found |= {name: read_bodies(rows.bodies, table) for name, read_bodies in _OF_BODIES.items()}
    return {AUDIT_EVENTS: table} | {name: rows for name, rows in found.items() if rows.height}


_OF_BODIES = {
    AUDIT_OBJECTS: object_rows,
    AUDIT_FIELDS: field_rows,
    AUDIT_CONTAINERS: ending_rows,
    AUDIT_ADDRESSES: address_rows,
    AUDIT_SERVICE_PORTS: service_rows,
    KUBE_EVENTS: event_rows,
}


def _times(told: Mapping[str, Texts] | Clocks, parts: Parts, zone: str) -> Clocks:
    """The times of the events; the oldest of them have theirs in `metadata.creationTimestamp` only."""
    if isinstance(told, Clocks):
        return told
    single = told["timestamp"]
    if any(found is not None and found.created is not None for found in parts.values("metadata")):
        [created] = parts.spread(
            {"metadata": lambda found: [text_column("at", [one and one.created for one in found])]}
        )
        texts = zip(single, created, told["received"], told["staged"], strict=True)
        single = [alone or (None if began or ended else at) for alone, at, began, ended in texts]
    return clocks({**told, "timestamp": single}, zone)


def _created(values: list[Metadata | None]) -> list[pl.Series]:
    return [text_column("at", [found.created if found else None for found in values])]


def _servers(rows: Rows, source: str) -> pl.Series:
    """Who wrote each event: by its envelope, a prefix or a collector's fields, else by the name of the input."""
    told = rows.servers if rows.servers is not None and any(rows.servers) else None
    for name in COLLECTED:
        if (raws := rows.singles.collected.get(name)) is not None:
            known = {raw: server_told(Raw(raw)) for raw in set(raws) if raw}
            own = [known.get(raw) for raw in raws]
            told = own if told is None else [one or other for one, other in zip(told, own, strict=True)]
    by_name = server_in(source)
    if told is None:
        return text_column("server", [by_name]).new_from_index(0, len(rows.numbers))
    return text_column("server", [one or by_name for one in told])


def _flags(name: str, values: list[bool] | None, count: int) -> pl.Series:
    if values is None or not any(values):
        return pl.Series(name, [False], dtype=pl.Boolean).new_from_index(0, count)
    return pl.Series(name, values, dtype=pl.Boolean)


def _text_of(name: str) -> Columns:
    return lambda values: [text_column(name, values)]


def _caller(values: list[User | None]) -> list[pl.Series]:
    """Who called: service accounts and nodes by the prefix of the name (apiserver `serviceaccount.MakeUsername`)."""
    users = [user or _NO_USER for user in values]
    extras = [user.extra or _NO_EXTRA for user in users]
    names = _scrubbed([user.username for user in users])
    accounts = [_ACCOUNT.fullmatch(name) if name else None for name in names]
    return [
        text_column("user", names),
        text_column("service_account_namespace", [found[1] if found else None for found in accounts]),
        text_column("service_account", [found[2] if found else None for found in accounts]),
        text_column(
            "node", [name[len(_NODE) :] or None if name and name.startswith(_NODE) else None for name in names]
        ),
        text_column("caller_pod", _scrubbed([extra.pod[0] if extra.pod else None for extra in extras])),
        text_column("caller_pod_uid", _scrubbed([extra.pod_uid[0] if extra.pod_uid else None for extra in extras])),
        text_column("caller_node", _scrubbed([extra.node[0] if extra.node else None for extra in extras])),
    ]


def _impersonated(values: list[User | None]) -> list[pl.Series]:
    return [text_column("impersonated_user", _scrubbed([user.username if user else None for user in values]))]


def _sources(values: list[list[str] | None]) -> list[pl.Series]:
    return [
        text_column("source_ip", [_address(ips[0]) if ips else None for ips in values]),
        text_column("last_source_ip", [_address(ips[-1]) if ips else None for ips in values]),
    ]


def _agent(values: list[str | None]) -> list[pl.Series]:
    agents = _scrubbed(values)
    controllers = [_CONTROLLER.match(agent) if agent else None for agent in agents]
    return [
        text_column("user_agent", agents),
        text_column("agent", [None if agent is None else agent.split("/", 1)[0] for agent in agents]),
        text_column("controller", [found[1] if found else None for found in controllers]),
    ]


def _answer(values: list[ResponseStatus | None]) -> list[pl.Series]:
    told = [status or _NO_STATUS for status in values]
    codes = [status.code if status.code is not None and 100 <= status.code <= 999 else None for status in told]
    return [
        pl.Series("code", codes, dtype=pl.Int32),
        text_column("reason", _scrubbed([status.reason or None for status in told])),
        text_column("message", _scrubbed([status.message and status.message[:MESSAGE_LIMIT] for status in told])),
    ]


def _annotations(values: list[dict[str, str | None] | None]) -> list[pl.Series]:
    told = [notes or _NO_ANNOTATIONS for notes in values]
    reasons = [(notes.get(f"{_AUTHZ}reason") or "")[:MESSAGE_LIMIT] or None for notes in told]
    return [
        text_column("decision", [notes.get(f"{_AUTHZ}decision") or None for notes in told]),
        text_column("decision_reason", _scrubbed(reasons)),
        pl.Series("truncated", [notes.get("audit.k8s.io/truncated") == "true" for notes in told], dtype=pl.Boolean),
        *(
            pl.Series(name, [seconds_of(notes.get(f"{LATENCY}{key}")) for notes in told], dtype=pl.Float64)
            for name, key in _LATENCIES.items()
        ),
    ]


_COLUMNS: dict[str, Columns] = {
    **{name: _text_of(name) for name in ("level", "stage", "verb", "collector_level", "openshift_level")},
    "user": _caller,
    "impersonated": _impersonated,
    "source_ips": _sources,
    "user_agent": _agent,
    "status": _answer,
    "annotations": _annotations,
}
"""What becomes of the distinct values of each part."""


def _without_secrets(table: pl.DataFrame) -> pl.DataFrame:
    """AUDIT_EVENTS without what may be a secret and stands in no part; few texts need to be changed, and what no event
    has is not looked at."""
    texts = ("uri", "name")
    suspect = table.select(pl.col(texts).str.contains(_MAY_HOLD_SECRET).any()).row(0, named=True)
    told = {"uri": without_secrets, "name": scrub}
    table = table.with_columns(_mapped(table[name], told[name]) for name in texts if suspect[name])
    there = {
        name for name in ("message", "collector_level", "openshift_level") if table[name].null_count() < table.height
    }
    path = pl.lit(None, pl.String)
    if table["resource"].null_count():
        path = pl.when(pl.col("resource").is_null()).then(pl.col("uri").str.extract(r"^([^?#;]+)"))
    made = [path.alias("path")]
    if "message" in there:
        quiet = pl.col("resource").is_in(NOT_TOLD)
        made.append(pl.when(quiet.fill_null(False).not_()).then(pl.col("message")).alias("message"))
    if len(there) > ("message" in there):
        made.append(pl.coalesce("collector_level", "openshift_level", "level").alias("level"))
    columns = {column.name: column for column in table.with_columns(made).get_columns()}
    schema = AUDIT_EVENTS.schema
    whole = pl.DataFrame([columns[name] for name in schema])
    return whole if whole.schema == schema else AUDIT_EVENTS.check(whole.lazy()).collect()


def _scrubbed(values: list[str | None]) -> list[str | None]:
    """Distinct texts without secrets. Windows hold the same few; where there are many, all are looked at in one go."""
    if len(values) > MANY:
        column = pl.Series(values, dtype=pl.String)
        return _mapped(column, scrub).to_list()
    return [_known(text) if text and len(text) <= LONGEST_KNOWN else text and scrub(text) for text in values]


_known = lru_cache(maxsize=1 << 12)(scrub)


def _mapped(column: pl.Series, clean: Callable[[str], str]) -> pl.Series:
    """The column with `clean` applied to those distinct values that may hold a secret."""
    values = column.unique().drop_nulls()
    values = values.filter(values.str.contains(_MAY_HOLD_SECRET))
    values = values.filter(values.str.contains(_CREDENTIAL)).sort()
    return column.replace({value: clean(value) for value in values}) if values.len() else column


def without_secrets(uri: str) -> str:
    """The URI without the values of token-like query parameters, tokens in its path, and user:password@."""

    def cleared(found: re.Match[str]) -> str:
        mark, name, value = found.groups()
        return f"{mark}{name}={'' if _SECRET_NAME.search(unquote(name)) else value}"

    return scrub(_JWT.sub("", _CREDENTIALS_IN_URI.sub("://", _PARAMETER.sub(cleared, uri))))


@lru_cache(maxsize=1 << 12)
def _address(text: str) -> str:
    """The canonical text of an address; what is none (`@` of a socket) stays as it is."""
    try:
        address = ipaddress.ip_address(text.strip("[] "))
    except ValueError:
        return text
    return str(getattr(address, "ipv4_mapped", None) or address)
