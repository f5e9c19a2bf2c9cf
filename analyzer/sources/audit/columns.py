"""Decoded audit events to rows of the table: times, addresses and agents normalised, secrets left behind."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import polars as pl

from analyzer.frames import AUDIT_EVENTS
from analyzer.sources.audit.clock import NAMES, Clocks, clocks
from analyzer.sources.audit.event import Annotations, Event, Extra, ObjectRef, ResponseStatus, User
from analyzer.sources.secrets import scrub

MESSAGE_LIMIT = 512
"""Characters of responseStatus.message that are kept."""

NOT_TOLD = ("secrets", "tokenreviews", "tokenrequests", "selfsubjectreviews")
"""Resources whose answers may quote a secret, so their messages are not kept."""

Integers = Sequence[int] | npt.NDArray[np.int64]

_NO_USER, _NO_EXTRA, _NO_REF = User(), Extra(), ObjectRef()
_NO_STATUS, _NO_ANNOTATIONS = ResponseStatus(), Annotations()

_LATENCIES = ("latency_total_seconds", "latency_etcd_seconds", "latency_queue_seconds")
_EMPTY_IS_NONE = ("resource", "subresource", "namespace", "name", "decision", "reason")

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

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|μs|ns)", re.ASCII)
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}


@dataclass(slots=True)
class Rows:
    """Events of one batch with what is known of each beside its content; the lists are of one length."""

    events: list[Event] = field(default_factory=list)
    numbers: Integers = ()
    sizes: Integers = ()
    request: Integers = ()
    response: Integers = ()


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


def frame(rows: Rows, source: str, zone: str, tally: Tally) -> pl.DataFrame:
    """The rows as AUDIT_EVENTS; what had to be dropped or assumed is added to the tally."""
    raw = _plain(rows.events)
    versions = set(raw.pop("api_version")) - {None}
    tally.versions |= {str(version) for version in versions if not str(version).endswith("/v1")}
    read = clocks({name: raw.pop(name) for name in NAMES}, zone)
    tally.times(read)
    codes = raw.pop("code")
    table = pl.DataFrame(
        [pl.Series(name, values, dtype=pl.String) for name, values in raw.items()]
        + [
            pl.Series(
                "code", [code if code is not None and 100 <= code <= 999 else None for code in codes], dtype=pl.Int32
            ),
            pl.Series("number", rows.numbers, dtype=pl.Int64),
            pl.Series("event_bytes", rows.sizes, dtype=pl.Int64),
            pl.Series("request_body_bytes", rows.request, dtype=pl.Int64),
            pl.Series("response_body_bytes", rows.response, dtype=pl.Int64),
        ]
    )
    table = _without_secrets(table).with_columns(
        _addresses(table["source_ip"]),
        read.time.alias("time"),
        read.stage_time.alias("stage_time"),
        pl.lit(source).alias("source"),
        pl.col("user_agent").str.split_exact("/", 1).struct.field("field_0").alias("agent"),
        (pl.col("truncated") == "true").fill_null(False).alias("truncated"),
        *(_durations(table[name]) for name in _LATENCIES),
        *(pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in _EMPTY_IS_NONE),
    )
    tally.truncated += int(table["truncated"].sum())
    return AUDIT_EVENTS.check(table.select(AUDIT_EVENTS.schema.names()).lazy()).collect()


def _plain(events: list[Event]) -> dict[str, list[Any]]:
    """The fields as lists of one length. Comprehensions, for they are three times as fast as attrgetter here."""
    users = [event.user or _NO_USER for event in events]
    extras = [user.extra or _NO_EXTRA for user in users]
    refs = [event.object_ref for event in events]
    objects = [ref or _NO_REF for ref in refs]
    statuses = [event.status or _NO_STATUS for event in events]
    notes = [event.annotations or _NO_ANNOTATIONS for event in events]
    return {
        "api_version": [event.api_version for event in events],
        "audit_id": [event.audit_id for event in events],
        "level": [event.collector_level or event.level for event in events],
        "stage": [event.stage for event in events],
        "verb": [event.verb for event in events],
        "uri": [event.uri for event in events],
        "user_agent": [event.user_agent for event in events],
        "source_ip": [event.source_ips[0] if event.source_ips else None for event in events],
        "received": [event.received for event in events],
        "staged": [event.staged for event in events],
        "timestamp": [event.timestamp for event in events],
        "user": [user.username for user in users],
        "caller_pod": [extra.pod[0] if extra.pod else None for extra in extras],
        "caller_node": [extra.node[0] if extra.node else None for extra in extras],
        "api_group": [None if ref is None else ref.api_group or "" for ref in refs],
        "resource": [ref.resource for ref in objects],
        "subresource": [ref.subresource for ref in objects],
        "namespace": [ref.namespace for ref in objects],
        "name": [ref.name for ref in objects],
        "code": [status.code for status in statuses],
        "reason": [status.reason for status in statuses],
        "message": [status.message for status in statuses],
        "decision": [note.decision for note in notes],
        "truncated": [note.truncated for note in notes],
        "latency_total_seconds": [note.latency_total_seconds for note in notes],
        "latency_etcd_seconds": [note.latency_etcd_seconds for note in notes],
        "latency_queue_seconds": [note.latency_queue_seconds for note in notes],
    }


def _without_secrets(table: pl.DataFrame) -> pl.DataFrame:
    """The table without what may be a secret; texts are changed one distinct value at a time, and few need it."""
    table = table.with_columns(
        pl.when(~pl.col("resource").is_in(NOT_TOLD).fill_null(False))
        .then(pl.col("message").str.slice(0, MESSAGE_LIMIT))
        .alias("message")
    )
    told = {"uri": without_secrets, "message": scrub, "user": scrub, "user_agent": scrub, "name": scrub}
    held = [name for name in told if table[name].null_count() < table.height]
    if not held:
        return table
    suspect = table.select(pl.col(name).unique().str.contains(_MAY_HOLD_SECRET).any() for name in held).row(0)
    changed = [_mapped(table[name], told[name]) for name, found in zip(held, suspect, strict=True) if found]
    return table.with_columns(changed) if changed else table


def _mapped(column: pl.Series, clean: Callable[[str], str]) -> pl.Series:
    """The column with `clean` applied to those distinct values that may hold a secret."""
    values = column.unique().drop_nulls()
    values = values.filter(values.str.contains(_MAY_HOLD_SECRET))
    values = values.filter(values.str.contains(_CREDENTIAL)).sort()
    return column.replace({value: clean(value) for value in values}) if values.len() else column


def _durations(column: pl.Series) -> pl.Series:
    """Go durations as seconds."""
    if column.null_count() == len(column):
        return pl.repeat(None, len(column), dtype=pl.Float64(), eager=True).alias(column.name)
    known = {text: _duration(text) for text in column.unique().drop_nulls()}
    return column.replace_strict(known, default=None, return_dtype=pl.Float64)


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


def _duration(text: str) -> float | None:
    """Seconds of a Go duration such as 1m2.5s; None if it is none."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return round(sum(float(number) * _SECONDS[unit] for number, unit in parts), 9)
