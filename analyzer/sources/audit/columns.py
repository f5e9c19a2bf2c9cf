"""Decoded audit events to rows of the table: times, addresses and agents normalised, secrets left behind."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import attrgetter
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from analyzer.frames import AUDIT_EVENTS
from analyzer.frames.contract import TIME
from analyzer.sources.audit.event import Annotations, Event, Extra, ObjectRef, ResponseStatus, User
from analyzer.sources.secrets import scrub

MESSAGE_LIMIT = 512
"""Characters of responseStatus.message that are kept."""

EARLIEST, LATEST = datetime(2010, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
"""Times outside are damage (Go's zero time is year 1): Kubernetes began in 2014."""

NOT_TOLD = ("secrets", "tokenreviews", "tokenrequests", "selfsubjectreviews")
"""Resources whose answers may quote a secret, so their messages are not kept."""

Integers = Sequence[int] | npt.NDArray[np.int64]

_NO_USER, _NO_EXTRA, _NO_REF = User(), Extra(), ObjectRef()
_NO_STATUS, _NO_ANNOTATIONS = ResponseStatus(), Annotations()

_SECRET_NAME = re.compile(
    r"token|secret|passw|pwd|bearer|authorization|api[-_.]?key|signature|credential|jwt|assertion|^(?:code|sig|key|auth)$",
    re.IGNORECASE,
)
_MAY_HOLD_SECRET = (
    r"(?i)token|secret|passw|pwd|bearer|authorization|key|signature|credential|jwt|assertion|eyJ|AKIA|ASIA"
    r"|[?&;](?:code|sig|auth)=|[?&;][^=&;]*%[^=&;]*=|://[^/]*@"
)
_JWT = re.compile(r"eyJ[\w-]{8,}(?:(?:\.|%2[Ee])[\w-]*){0,2}")
_PARAMETER = re.compile(r"([?&;#])([^=&;#]*)=([^&;#]*)")
_CREDENTIALS_IN_URI = re.compile(r"://[^/@\s]*@")

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?\s?([Zz]|[+-]\d\d:?\d\d)?", re.ASCII)
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
    events = rows.events
    raw = _plain(events)
    table = pl.DataFrame(
        {name: pl.Series(name, values, dtype=pl.String, strict=True) for name, values in raw.items()}
        | {"code": pl.Series("code", [_code((e.status or _NO_STATUS).code) for e in events], dtype=pl.Int32)}
        | {
            name: pl.Series(name, values, dtype=pl.Int64)
            for name, values in (
                ("number", rows.numbers),
                ("event_bytes", rows.sizes),
                ("request_body_bytes", rows.request),
                ("response_body_bytes", rows.response),
            )
        }
    )
    texts = {name: table[name] for name in ("received", "staged", "timestamp")}
    times = {name: _times(text, zone) for name, text in texts.items()}
    strange = {name: (time < EARLIEST) | (time >= LATEST) for name, time in times.items()}
    tally.unreadable_times += _any(times[name].is_null() & text.is_not_null() for name, text in texts.items())
    tally.strange_times += _any(strange.values())
    received, staged, single = (time.set(strange[name].fill_null(False), None) for name, time in times.items())
    time = received.fill_null(single)
    alone = texts["received"].is_null() & texts["timestamp"].is_null()
    tally.missing_times += int((alone & texts["staged"].is_null()).sum())
    # the only time there is cannot be both ends of a request
    time, staged = pl.select(
        pl.when(alone).then(staged).otherwise(time).alias("time"), pl.when(~alone).then(staged).alias("stage_time")
    ).get_columns()
    tally.single_time += int((staged.is_null() & time.is_not_null()).sum())
    tally.backward += int((staged < time).sum())
    tally.truncated += int((table["truncated"] == "true").sum())
    tally.versions |= {v for v in table["api_version"].unique().drop_nulls() if not v.endswith("/v1")}
    table = table.with_columns(time.alias("time"), staged.alias("stage_time"), pl.lit(source).alias("source"))
    table = _normalised(table)
    return AUDIT_EVENTS.check(table.select(AUDIT_EVENTS.schema.names()).lazy()).collect()


def _plain(events: list[Event]) -> dict[str, list[str | None]]:
    users = [event.user or _NO_USER for event in events]
    extras = [user.extra or _NO_EXTRA for user in users]
    refs = [event.object_ref or _NO_REF for event in events]
    statuses = [event.status or _NO_STATUS for event in events]
    notes = [event.annotations or _NO_ANNOTATIONS for event in events]
    columns: dict[str, tuple[Sequence[object], str]] = {
        "api_version": (events, "api_version"),
        "audit_id": (events, "audit_id"),
        "stage": (events, "stage"),
        "verb": (events, "verb"),
        "uri": (events, "uri"),
        "user_agent": (events, "user_agent"),
        "received": (events, "received"),
        "staged": (events, "staged"),
        "timestamp": (events, "timestamp"),
        "user": (users, "username"),
        "resource": (refs, "resource"),
        "subresource": (refs, "subresource"),
        "namespace": (refs, "namespace"),
        "name": (refs, "name"),
        "reason": (statuses, "reason"),
        "message": (statuses, "message"),
        "decision": (notes, "decision"),
        "latency_total_seconds": (notes, "total"),
        "latency_etcd_seconds": (notes, "etcd"),
        "latency_queue_seconds": (notes, "queue"),
        "truncated": (notes, "truncated"),
    }
    plain: dict[str, list[str | None]] = {
        name: list(map(attrgetter(attribute), objects)) for name, (objects, attribute) in columns.items()
    }
    plain["level"] = [event.collector_level or event.level for event in events]
    plain["source_ip"] = [event.source_ips[0] if event.source_ips else None for event in events]
    plain["api_group"] = [None if event.object_ref is None else event.object_ref.api_group or "" for event in events]
    plain["caller_pod"] = [extra.pod[0] if extra.pod else None for extra in extras]
    plain["caller_node"] = [extra.node[0] if extra.node else None for extra in extras]
    return plain


def _times(texts: pl.Series, zone: str) -> pl.Series:
    """RFC 3339 times as UTC microseconds, unreadable ones null; those without a zone are read in `zone`."""
    fast = texts.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False).dt.replace_time_zone("UTC")
    missed = texts.filter(fast.is_null() & texts.is_not_null())
    if len(missed):
        known = {text: _time(text, zone) for text in missed.unique().sort()}
        fast = fast.fill_null(texts.replace_strict(known, default=None, return_dtype=TIME))
    return fast.cast(TIME)


def _any(masks: Iterable[pl.Series]) -> int:
    """Rows for which any of the masks holds."""
    return int(pl.select(pl.any_horizontal(*(pl.lit(mask.fill_null(False)) for mask in masks)).sum()).item())


def _time(text: str, zone: str) -> datetime | None:
    found = _TIME.fullmatch(text.strip())
    if found is None:
        return None
    day, clock, fraction, offset = found.groups()
    offset = "+00:00" if offset in ("Z", "z") else offset or ""
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0')[:6]:0<6}{offset}")
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(zone))
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _code(value: int | None) -> int | None:
    return value if value is not None and 100 <= value <= 999 else None


def _normalised(table: pl.DataFrame) -> pl.DataFrame:
    """The wanted columns in their final form; each function of text is called once per distinct value."""
    table = table.with_columns(
        pl.col("user_agent").str.split_exact("/", 1).struct.field("field_0").alias("agent"),
        (pl.col("truncated") == "true").fill_null(False).alias("truncated"),
        pl.when(~pl.col("resource").is_in(NOT_TOLD).fill_null(False))
        .then(pl.col("message").str.slice(0, MESSAGE_LIMIT))
        .alias("message"),
        *(
            pl.when(pl.col(name) != "").then(pl.col(name)).alias(name)
            for name in ("resource", "subresource", "namespace", "name", "decision", "reason")
        ),
    )
    table = table.with_columns(
        _mapped(table["source_ip"], _address),
        *(_mapped(table[name], _duration, pl.Float64()) for name in table.columns if name.startswith("latency_")),
        _mapped(table["uri"], without_secrets, only=_MAY_HOLD_SECRET),
        *(_mapped(table[name], scrub, only=_MAY_HOLD_SECRET) for name in ("message", "user", "user_agent", "agent")),
    )
    return table


def _mapped(
    column: pl.Series, change: Callable[[str], object], dtype: pl.DataType | None = None, only: str = ""
) -> pl.Series:
    """The column with `change` applied to its distinct values, or to those alone that match the regex `only`."""
    values = column.unique().drop_nulls()
    if only:
        values = values.filter(values.str.contains(only))
    if not len(values) and dtype is None:
        return column
    changed = {value: change(value) for value in values.sort()}
    if dtype is None:
        return column.replace(changed)
    return column.replace_strict(changed, default=None, return_dtype=dtype)


def without_secrets(uri: str) -> str:
    """The URI without the values of token-like query parameters, tokens in its path, and user:password@."""

    def cleared(found: re.Match[str]) -> str:
        mark, name, value = found.groups()
        return f"{mark}{name}={'' if _SECRET_NAME.search(unquote(name)) else value}"

    return scrub(_JWT.sub("", _CREDENTIALS_IN_URI.sub("://", _PARAMETER.sub(cleared, uri))))


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
