"""Lines that a log shipper wrote as JSON objects: docker's json-file, journald's JSON export, Filebeat, Fluent Bit."""

from __future__ import annotations

from typing import Any

import msgspec
import polars as pl

JSON_LINES = pl.Schema(
    {
        "text": pl.String(),
        "time": pl.String(),
        "micros": pl.Int64(),
        "stream": pl.String(),
        "pod": pl.String(),
        "host": pl.String(),
        "component": pl.String(),
        "docker": pl.Boolean(),
    }
)
"""`text` is null where the line is no such object; `time` is RFC 3339 text, `micros` are UTC microseconds; `docker`
says that the text came under `log`, where a missing newline means that the line goes on."""

_MICROS_LIMIT = 253_402_300_800_000_000
"""The first microsecond of the year 10000."""


class _Line(msgspec.Struct, gc=False):
    """The keys in use, when all values have the type that their writers give them."""

    log: str | None = None
    message: str | None = None
    journal: str | None = msgspec.field(default=None, name="MESSAGE")
    stream: str | None = None
    time: str | None = None
    stamp: str | None = msgspec.field(default=None, name="@timestamp")
    realtime: str | None = msgspec.field(default=None, name="__REALTIME_TIMESTAMP")
    hostname: str | None = msgspec.field(default=None, name="_HOSTNAME")
    identifier: str | None = msgspec.field(default=None, name="SYSLOG_IDENTIFIER")
    command: str | None = msgspec.field(default=None, name="_COMM")
    kubernetes: dict[str, Any] | None = None
    kind: str | None = None


_STRICT = msgspec.json.Decoder(_Line)
_ANY = msgspec.json.Decoder(dict[str, Any])
_FAULTS = (msgspec.DecodeError, RecursionError, UnicodeError)


def decode_json_lines(lines: pl.Series) -> pl.DataFrame:
    """One row of JSON_LINES per line. All lines are decoded in one call; only where that fails, each line alone."""
    rows = _decode_all(lines)
    known = pl.DataFrame(
        {
            name: pl.Series(name, [getattr(row, name) for row in rows], dtype=pl.String)
            for name in _Line.__struct_fields__
            if name != "kubernetes"
        }
    )
    places = [row.kubernetes for row in rows]
    pods = [_place(place, "pod_name", "pod") for place in places] if any(places) else [None] * len(rows)
    hosts = [_place(place, "host", "node") for place in places] if any(places) else [None] * len(rows)
    known = known.with_columns(pl.Series("pod", pods, dtype=pl.String), pl.Series("node", hosts, dtype=pl.String))
    journal = pl.col("journal").is_not_null() | pl.col("realtime").is_not_null()
    # an audit event has a kind and may have a message, but is not somebody's log line
    own = pl.col("kind").is_null()
    micros = pl.col("realtime").cast(pl.Int64, strict=False)
    return known.select(
        pl.when(journal).then("journal").when(own).then(pl.coalesce("log", "message")).alias("text"),
        pl.coalesce("time", "stamp").alias("time"),
        pl.when(micros.is_between(0, _MICROS_LIMIT, closed="left")).then(micros).alias("micros"),
        "stream",
        "pod",
        pl.coalesce("hostname", "node").alias("host"),
        pl.coalesce("identifier", "command").alias("component"),
        (own & ~journal & pl.col("log").is_not_null()).alias("docker"),
    )


def _decode_all(lines: pl.Series) -> list[_Line]:
    if not lines.len():
        return []
    try:
        rows = _STRICT.decode_lines(lines.str.join("\n")[0])
    except _FAULTS:
        rows = []
    return rows if len(rows) == lines.len() else [_decode(line) for line in lines.to_list()]


def _decode(line: str) -> _Line:
    try:
        return _STRICT.decode(line)
    except _FAULTS:
        pass
    try:
        found = _ANY.decode(line)
    except _FAULTS:
        return _Line()
    named = {field.name: field.encode_name for field in msgspec.structs.fields(_Line)}
    values = {name: found.get(key) for name, key in named.items()}
    values["journal"] = _bytes_as_text(values["journal"])
    place = values.pop("kubernetes")
    kept = {name: value for name, value in values.items() if isinstance(value, str)}
    return _Line(**kept, kubernetes=place if isinstance(place, dict) else None)


def _bytes_as_text(message: object) -> object:
    """journald gives a list of byte values where a message is not UTF-8 (systemd, Journal JSON Format)."""
    if isinstance(message, list) and all(isinstance(byte, int) and 0 <= byte < 256 for byte in message):
        return bytes(message).decode("utf-8", "replace")
    return message


def _place(place: dict[str, Any] | None, flat: str, nested: str) -> str | None:
    """A name from Kubernetes metadata: Fluent Bit writes `pod_name`, Filebeat `pod: {name}`."""
    if not place:
        return None
    inner = place.get(nested)
    for value in (place.get(flat), inner.get("name") if isinstance(inner, dict) else None):
        if isinstance(value, str) and value:
            return value
    return None
