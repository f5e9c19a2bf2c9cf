"""Query lines whose parts have names: older formats, a format that was given, and JSON."""

from __future__ import annotations

from typing import Any

import msgspec
import polars as pl

from analyzer.frames import NO_REPLY, TIME
from analyzer.sources.coredns.formats import NAME, compile_format
from analyzer.sources.coredns.values import (
    ANSWER_LIMIT,
    FLAGS,
    QTYPE,
    QUERY_COLUMNS,
    RCODE,
    addresses,
    clients,
    fits,
    modern,
    names,
    ports,
    seconds,
)
from analyzer.sources.times import parse_rfc3339

_OLDER = (
    r"^(?:\[INFO\] )?(?P<remote>[^ ]+) - (?:\[(?P<when>[^\]]+)\] )?(?:(?P<id>[0-9]+) )?"
    rf'"(?P<type>[^ "]+) [^ "]+ (?P<name>{NAME}) (?P<proto>[^ "]+) (?P<size>[0-9]+) [^ "]+ [0-9]+" '
    r"(?P<rcode>[^ ]+) (?:(?P<rflags>[a-z,]+|-) )?(?P<rsize>[0-9]+) (?P<duration>[0-9][0-9.a-zµμ]*)"
    r'(?: "[^"]*")?$'
)
"""Every CommonLogFormat since CoreDNS 011 (plugin/log/log.go): flags came with 1.0.0, the id with 1.0.5, the port with
1.0.7; the time was in brackets until 1.2.5. `combined` adds the opcode."""

_TEXTS = ("remote", "type", "name", "rcode")
_ANY = msgspec.json.Decoder(dict[str, Any])
_FAULTS = (msgspec.DecodeError, RecursionError, UnicodeError)

_KEYS = {
    **dict.fromkeys(("remote", "client", "clientip", "clientaddr", "remoteip", "remoteaddr", "src", "srcip"), "remote"),
    **dict.fromkeys(("port", "clientport", "remoteport", "srcport"), "port"),
    **dict.fromkeys(("id", "queryid", "msgid", "transactionid", "dnsid"), "id"),
    **dict.fromkeys(("type", "qtype", "querytype", "recordtype"), "type"),
    **dict.fromkeys(("name", "qname", "queryname", "query", "domain"), "name"),
    **dict.fromkeys(("proto", "protocol", "transport"), "proto"),
    **dict.fromkeys(("size", "querysize", "qsize", "reqsize", "requestsize"), "size"),
    **dict.fromkeys(("rcode", "responsecode", "returncode", "rcodename", "status"), "rcode"),
    **dict.fromkeys(("rflags", "flags", "responseflags"), "rflags"),
    **dict.fromkeys(("rsize", "responsesize", "answersize", "respsize"), "rsize"),
    **dict.fromkeys(("duration", "latency", "responsetime", "took"), "duration"),
    **dict.fromkeys(("time", "timestamp", "when", "ts"), "stamp"),
}
"""The keys that people give to the plugin's placeholders, in lower case and without signs between their words."""


def older(lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of older formats and of names with escaped spaces, and the lines that are something else."""
    found = lines["text"].str.extract_groups(_OLDER).struct.unnest()
    rows, valid = found_rows(lines, found, whole=True)
    return rows.filter(valid), lines.filter(~valid)


def custom(lines: pl.DataFrame, given: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of lines in the format that was given, and the other lines."""
    if not lines.height:
        return found_rows(lines, pl.DataFrame({"name": [], "type": []}))[0], lines
    found = lines["text"].str.extract_groups(compile_format(given)).struct.unnest()
    rows, valid = found_rows(lines, found)
    return rows.filter(valid), lines.filter(~valid)


def json_lines(lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of lines that are JSON objects with a name and a type or code, and the other lines."""
    bodies = lines["text"].str.extract(r"^(?:\[INFO\] )?\s*(\{.*\})\s*$", 1)
    if not bodies.is_not_null().any():
        return found_rows(lines.clear(), pl.DataFrame({"name": [], "type": []}))[0], lines
    objects = _decode(bodies)
    columns = dict.fromkeys(("name", "type", "rcode"))
    for value in objects:
        columns |= dict.fromkeys(value)
    found = pl.DataFrame([pl.Series(name, [value.get(name) for value in objects], pl.String) for name in columns])
    said = found["name"].is_not_null() & (found["type"].is_not_null() | found["rcode"].is_not_null())
    rows, valid = found_rows(lines, found, said=said)
    return rows.filter(valid), lines.filter(~valid)


def _decode(bodies: pl.Series) -> list[dict[str, str]]:
    """The known keys of every object, values as text; nothing for a line that is none. All lines in one call."""
    whole: list[dict[str, Any]] = []
    if not bodies.has_nulls():
        try:
            whole = _ANY.decode_lines(bodies.str.join("\n")[0])
        except _FAULTS:
            whole = []
    if len(whole) != bodies.len():
        whole = [_decode_one(body) for body in bodies.to_list()]
    named: dict[str, str | None] = {}
    return [_known(value, named) for value in whole]


def _decode_one(body: str | None) -> dict[str, Any]:
    try:
        return _ANY.decode(body) if body is not None else {}
    except _FAULTS:
        return {}


def _known(value: dict[str, Any], named: dict[str, str | None]) -> dict[str, str]:
    kept: dict[str, str] = {}
    for key, inner in value.items():
        if key not in named and len(named) < 4096:
            named[key] = _KEYS.get("".join(filter(str.isalnum, key)).lower())
        name = named.get(key)
        if name is not None and name not in kept and isinstance(inner, str | int | float):
            kept[name] = str(inner)
    return kept


def found_rows(
    place: pl.DataFrame, found: pl.DataFrame, *, whole: bool = False, said: pl.Series | None = None
) -> tuple[pl.DataFrame, pl.Series]:
    """COREDNS_QUERIES without what is put to every row at the end, and which rows hold only what they may.

    `found` has the text of each placeholder that the format has, null where a line is in another format. With
    `whole`, what a format of CoreDNS's own always has must be there. `-` stands for a value that there was not
    (replacer.EmptyValue).
    """
    raw = _texts(place.height, found)
    cell = {name: pl.select(pl.when(text != "-").then(text)).to_series() for name, text in raw.items()}
    host, port = clients(cell["remote"])
    host, port = addresses(host), pl.select(pl.coalesce(port, ports(cell["port"]))).to_series()
    name, qtype = names(cell["name"]), modern(cell["type"].str.to_uppercase())
    rcode, took = cell["rcode"].str.to_uppercase(), seconds(cell["duration"])
    number = {key: cell[key].cast(pl.Int64, strict=False) for key in ("id", "size", "rsize")}
    when = cell["when"].str.to_datetime("%d/%b/%Y:%H:%M:%S %z", time_unit="us", strict=False).cast(TIME)
    time = pl.select(pl.coalesce(place["time"], when, parse_rfc3339(cell["stamp"]))).to_series().cast(TIME)
    frame = pl.DataFrame(
        {
            "time": time,
            "number": place["number"],
            "client": host,
            "client_port": port,
            "dns_id": number["id"].cast(pl.Int32, strict=False),
            "name": name,
            "qtype": qtype,
            "transport": cell["proto"],
            "rcode": rcode,
            "flags": raw["rflags"],
            "query_bytes": number["size"],
            "answer_bytes": number["rsize"],
            "duration_seconds": took,
            "line_bytes": place["line_bytes"],
            "pod": place["pod"],
        }
    )
    told = [
        *((cell[key], made) for key, made in (("remote", host), ("type", qtype), ("rcode", rcode), ("duration", took))),
        *((cell[key], made) for key, made in number.items()),
        (cell["port"], port),
    ]
    valid = name.is_not_null() if said is None else said & name.is_not_null()
    for text, made in told:
        valid &= text.is_null() | made.is_not_null()
    valid &= _in_shape(frame)
    if whole:
        valid &= _whole(frame, cell["remote"], when.is_not_null())
    return _settled(frame, (raw["rcode"] == "-").fill_null(False)), valid.fill_null(False)


def _texts(height: int, found: pl.DataFrame) -> dict[str, pl.Series]:
    """The text of every placeholder; null where the format lacks it."""
    null = pl.Series([None], dtype=pl.String).new_from_index(0, height)
    return {name: found[name] if name in found.columns else null for name in (*_KEYS.values(), "when")}


def _in_shape(frame: pl.DataFrame) -> pl.Series:
    """Whether every text that is there has its form, and every number its size."""
    good = pl.Series([True]).new_from_index(0, frame.height)
    for name, form in (("rcode", RCODE), ("flags", FLAGS), ("qtype", QTYPE), ("transport", "[a-z]+")):
        good &= frame[name].is_null() | fits(frame[name], form).fill_null(False)
    for name, limit in (("dns_id", 65_535), ("query_bytes", 65_535), ("answer_bytes", ANSWER_LIMIT)):
        good &= frame[name].is_null() | frame[name].is_between(0, limit)
    return good


def _whole(frame: pl.DataFrame, remote: pl.Series, bracketed: pl.Series) -> pl.Series:
    """Whether all is there that CoreDNS's own formats have. Before 1.0.7 there was no port, but a time in brackets."""
    there = frame["client"].is_not_null() & frame["duration_seconds"].is_not_null()
    port = frame["client_port"].is_not_null() | (bracketed & ~remote.str.contains(r"[^:\]]:[0-9]+$"))
    return there & port & frame["transport"].is_in(["udp", "tcp"])


def _settled(frame: pl.DataFrame, none: pl.Series) -> pl.DataFrame:
    """The codes of queries without an answer, and when each query arrived.

    Without flags in the format, a code `-` says so (`none`, since 1.8.5), or an answer of no bytes (before).
    """
    took = pl.duration(microseconds=(pl.col("duration_seconds") * 1e6).round(0).cast(pl.Int64, strict=False))
    empty = (pl.col("answer_bytes") == 0).fill_null(False) & pl.col("rcode").is_not_null()
    silent = pl.when(pl.col("flags").is_not_null()).then(pl.col("flags") == "-").otherwise(empty | none)
    return frame.with_columns(
        (pl.col("time") - took).cast(TIME).alias("query_time"),
        pl.when(silent).then(pl.lit(NO_REPLY)).otherwise("rcode").alias("rcode"),
    ).select(QUERY_COLUMNS)
