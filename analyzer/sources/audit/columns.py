"""Decoded audit events to rows of the table: times, addresses and agents normalised, secrets left behind."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import polars as pl

from analyzer.frames import AUDIT_ANNOTATIONS, AUDIT_EVENTS, AUDIT_OBJECTS, Table
from analyzer.sources.audit.annotations import annotation_rows
from analyzer.sources.audit.body import Cut
from analyzer.sources.audit.clock import Clocks, clocks
from analyzer.sources.audit.durations import seconds_of
from analyzer.sources.audit.event import LATENCY, Event, ObjectRef, ResponseStatus, User
from analyzer.sources.audit.objects import object_rows
from analyzer.sources.audit.parts import Part, parts_of, refs_of
from analyzer.sources.secrets import scrub

MESSAGE_LIMIT = 512
"""Characters of responseStatus.message that are kept."""

NOT_TOLD = ("secrets", "tokenreviews", "tokenrequests", "selfsubjectreviews")
"""Resources whose answers may quote a secret, so their messages are not kept."""

Integers = Sequence[int] | npt.NDArray[np.int64]

_NO_USER, _NO_REF, _NO_STATUS = User(), ObjectRef(), ResponseStatus()
_NO_ANNOTATIONS: dict[str, str | None] = {}

_AUTHZ = "authorization.k8s.io/"
_LATENCIES = {
    "latency_total_seconds": "total",
    "latency_etcd_seconds": "etcd",
    "latency_queue_seconds": "apf-queue-wait",
}

_CONTROLLER = r"^[^/]+/\S+ \([^)]*\) kubernetes/[^/ ]+/(?:system:serviceaccount:[^:/]+:)?(.+)$"
"""What client-go appends to its user agent (`DefaultKubernetesUserAgent` and `AddUserAgent` in `rest/config.go`)."""

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

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"^(?:{_OCTET}\.){{3}}{_OCTET}$"

_JWT = re.compile(r"eyJ[\w-]{8,}(?:(?:\.|%2[Ee])[\w-]*){0,2}")
_PARAMETER = re.compile(r"([?&;#])([^=&;#]*)=([^&;#]*)")
_CREDENTIALS_IN_URI = re.compile(r"://[^/@\s]*@")


@dataclass(slots=True)
class Rows:
    """Events of one batch with what is known of each beside its content; the lists are of one length.

    `parts` and `refs` are the decoded parts, where they were needed to tell that the events are sound. `cut` finds the
    bodies of an event that were taken out before it was decoded.
    """

    events: list[Event] = field(default_factory=list)
    numbers: Integers = ()
    sizes: Integers = ()
    request: Integers = ()
    response: Integers = ()
    parts: dict[str, Part] | None = None
    refs: list[ObjectRef | None] | None = None
    cut: Cut | None = None


@dataclass(slots=True)
class Tally:
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
    """The rows as AUDIT_EVENTS, and what their annotations and bodies tell, where that is anything."""
    parts = rows.parts or parts_of(rows.events, one_line=False)
    refs = rows.refs or refs_of(rows.events, one_line=False)
    tally.versions |= {str(text) for text in parts["api_version"].values if text and not text.endswith("/v1")}
    read = _times(rows.events, parts["metadata"], zone)
    tally.times(read)
    table = pl.DataFrame(
        [
            read.time.alias("time"),
            pl.repeat(source, len(rows.events), dtype=pl.String, eager=True).alias("source"),
            pl.Series("number", rows.numbers, dtype=pl.Int64),
            read.stage_time.alias("stage_time"),
            pl.Series("audit_id", [event.audit_id for event in rows.events], dtype=pl.String),
            pl.Series("uri", [event.uri for event in rows.events], dtype=pl.String),
            *_objects(refs),
            pl.Series("event_bytes", rows.sizes, dtype=pl.Int64),
            pl.Series("request_body_bytes", rows.request, dtype=pl.Int64),
            pl.Series("response_body_bytes", rows.response, dtype=pl.Int64),
        ]
    ).hstack(
        [
            column
            for name, columns in _COLUMNS.items()
            for column in parts[name].spread(partial(columns, name)).get_columns()
        ]
    )
    table = _without_secrets(table).with_columns(
        pl.coalesce("collector_level", "level").alias("level"),
        pl.when(pl.col("resource").is_null()).then(pl.col("uri").str.extract(r"^([^?#;]+)")).alias("path"),
    )
    tally.truncated += int(table["truncated"].sum())
    table = AUDIT_EVENTS.check(table.lazy().select(AUDIT_EVENTS.schema.names())).collect()
    found = {
        AUDIT_ANNOTATIONS: annotation_rows(parts["annotations"], table),
        AUDIT_OBJECTS: object_rows(rows.events, rows.cut, table),
    }
    return {AUDIT_EVENTS: table} | {name: rows for name, rows in found.items() if rows.height}


def _times(events: list[Event], metadata: Part, zone: str) -> Clocks:
    """The times of the events; the oldest of them have theirs in `metadata.creationTimestamp` only."""
    single = [event.timestamp for event in events]
    if any(found is not None and found.created is not None for found in metadata.values):
        created = metadata.spread(lambda found: pl.DataFrame({"at": [one.created if one else None for one in found]}))
        texts = zip(single, created["at"], events, strict=True)
        single = [told or (None if event.received or event.staged else at) for told, at, event in texts]
    told = {"received": [event.received for event in events], "staged": [event.staged for event in events]}
    return clocks(told | {"timestamp": single}, zone)


def _objects(refs: list[ObjectRef | None]) -> list[pl.Series]:
    """The columns of the objects; an absent group is the core group, an empty text is none."""
    objects = [ref or _NO_REF for ref in refs]
    return [
        _texts("api_group", [None if ref is None else ref.api_group or "" for ref in refs]),
        _texts("resource", [ref.resource or None for ref in objects]),
        _texts("subresource", [ref.subresource or None for ref in objects]),
        _texts("namespace", [ref.namespace or None for ref in objects]),
        _texts("name", [ref.name or None for ref in objects]),
    ]


def _texts(name: str, values: Sequence[str | None]) -> pl.Series:
    return pl.Series(name, values, dtype=pl.String)


def _plain(name: str, values: list[str | None]) -> pl.DataFrame:
    return pl.DataFrame([_texts(name, values)])


def _caller(_: str, values: list[User | None]) -> pl.DataFrame:
    """Who called: service accounts and nodes by the prefix of the name (apiserver `serviceaccount.MakeUsername`)."""
    users = [user or _NO_USER for user in values]
    extras = [user.extra for user in users]
    user = pl.col("user")
    return pl.DataFrame(
        [
            _clean(_texts("user", [user.username for user in users])),
            _texts("caller_pod", [extra.pod[0] if extra and extra.pod else None for extra in extras]),
            _texts("caller_pod_uid", [extra.pod_uid[0] if extra and extra.pod_uid else None for extra in extras]),
            _texts("caller_node", [extra.node[0] if extra and extra.node else None for extra in extras]),
        ]
    ).with_columns(
        user.str.extract(r"^system:serviceaccount:([^:]+):[^:]+$").alias("service_account_namespace"),
        user.str.extract(r"^system:serviceaccount:[^:]+:([^:]+)$").alias("service_account"),
        user.str.extract(r"^system:node:(.+)$").alias("node"),
    )


def _impersonated(_: str, values: list[User | None]) -> pl.DataFrame:
    return pl.DataFrame([_clean(_texts("impersonated_user", [user.username if user else None for user in values]))])


def _sources(_: str, values: list[list[str] | None]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            _addresses(_texts("source_ip", [ips[0] if ips else None for ips in values])),
            _addresses(_texts("last_source_ip", [ips[-1] if ips else None for ips in values])),
        ]
    )


def _agent(_: str, values: list[str | None]) -> pl.DataFrame:
    agent = pl.col("user_agent")
    return pl.DataFrame([_clean(_texts("user_agent", values))]).with_columns(
        agent.str.split_exact("/", 1).struct.field("field_0").alias("agent"),
        agent.str.extract(_CONTROLLER).alias("controller"),
    )


def _answer(_: str, values: list[ResponseStatus | None]) -> pl.DataFrame:
    told = [status or _NO_STATUS for status in values]
    codes = [status.code if status.code is not None and 100 <= status.code <= 999 else None for status in told]
    messages = [status.message and status.message[:MESSAGE_LIMIT] for status in told]
    return pl.DataFrame(
        [
            pl.Series("code", codes, dtype=pl.Int32),
            _clean(_texts("reason", [status.reason or None for status in told])),
            _clean(_texts("message", messages)),
        ]
    )


def _annotations(_: str, values: list[dict[str, str | None] | None]) -> pl.DataFrame:
    told = [notes or _NO_ANNOTATIONS for notes in values]
    reasons = [(reason := notes.get(f"{_AUTHZ}reason")) and reason[:MESSAGE_LIMIT] for notes in told]
    return pl.DataFrame(
        [
            _texts("decision", [notes.get(f"{_AUTHZ}decision") or None for notes in told]),
            _clean(_texts("decision_reason", [reason or None for reason in reasons])),
            pl.Series("truncated", [notes.get("audit.k8s.io/truncated") == "true" for notes in told], dtype=pl.Boolean),
            *(
                pl.Series(name, [seconds_of(notes.get(f"{LATENCY}{key}")) for notes in told], dtype=pl.Float64)
                for name, key in _LATENCIES.items()
            ),
        ]
    )


_COLUMNS: dict[str, Callable[[str, list[Any]], pl.DataFrame]] = {
    **dict.fromkeys(("level", "stage", "verb", "collector_level"), _plain),
    "user": _caller,
    "impersonated": _impersonated,
    "source_ips": _sources,
    "user_agent": _agent,
    "status": _answer,
    "annotations": _annotations,
}
"""What becomes of the distinct values of each part."""


def _without_secrets(table: pl.DataFrame) -> pl.DataFrame:
    """The table without what may be a secret; texts are changed one distinct value at a time, and few need it."""
    quiet = pl.col("resource").is_in(NOT_TOLD).fill_null(False)
    table = table.with_columns(pl.when(~quiet).then(pl.col("message")).alias("message"))
    return table.with_columns(_clean(table["uri"], without_secrets), _clean(table["name"]))


def _clean(column: pl.Series, clean: Callable[[str], str] = scrub) -> pl.Series:
    """The column with `clean` applied where a text may hold a secret."""
    if column.null_count() == len(column) or not column.str.contains(_MAY_HOLD_SECRET).any():
        return column
    return _mapped(column, clean)


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


def _addresses(column: pl.Series) -> pl.Series:
    """Canonical addresses; only what is no IPv4 address as it is usually written needs a look."""
    distinct = column.unique().drop_nulls()
    odd = distinct.filter(~distinct.str.contains(_IPV4))
    return column.replace({text: _address(text) for text in odd.to_list()}) if odd.len() else column


def _address(text: str) -> str:
    """The canonical text of an address; what is none (`@` of a socket) stays as it is."""
    try:
        address = ipaddress.ip_address(text.strip("[] "))
    except ValueError:
        return text
    return str(getattr(address, "ipv4_mapped", None) or address)
