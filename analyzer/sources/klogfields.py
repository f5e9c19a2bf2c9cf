"""klog entries taken apart: header, message, pod= and err=, in the text and in the JSON format."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import polars as pl

from analyzer.frames.contract import TIME
from analyzer.sources.klogentries import TEXT_LIMIT
from analyzer.sources.secrets import scrub

FIELDS = pl.Schema(
    {
        "severity": pl.String(),
        "caller": pl.String(),
        "message": pl.String(),
        "text": pl.String(),
        "pod": pl.String(),
        "error": pl.String(),
    }
)

_BLOCK = r"=<\n((?:\t[^\n]*\n)*) ?>?"
_HINTS = (
    r"assw|ASSW|ecret|SECRET|oken|TOKEN|pi-key|pi_key|piKey|pikey|pi-Key|PI-KEY|PI_KEY|redential|REDENTIAL|uthoriz|UTHORIZ|ookie|OOKIE"
    r"|earer |asic |eyJ|AKIA|ASIA|ABIA|ACCA|rivate|PRIVATE|://"
)
"""Parts of what a credential's name or shape holds; only such lines are searched for credentials."""

_CREDENTIAL = (
    r"(?i)(?:pass(?:word|wd)?|secret(?:_?access_?key|_?key)?|token|api[_-]?key|private[_-]?key|credential|authorization"
    r"|cookie)[\"']?\s?[:=]\s?\[?\s?[\"']?[^\s\"'&,;}{\\]{6}|\b(?:bearer|basic)\s\S{8}|eyJ[a-z0-9_-]{8}"
    r"|(?:AKIA|ASIA|ABIA|ACCA)[a-z0-9]{12}|PRIVATE KEY|://[^/@\s]*@|[a-z0-9]{6}\.[a-z0-9]{16}"
)
"""What `scrub` may find something in, so that few lines are handled one by one."""

_MILLISECONDS_LIMIT = 253_402_300_800_000.0
"""The first millisecond of the year 10000."""


def text_fields(entries: pl.DataFrame) -> pl.DataFrame:
    """FIELDS of entries in the text format, and `clock`: their local time held in the year DUMMY."""
    raw = entries["text"]
    text = _safe(raw.str.slice(entries["body"]))
    there = text.str.contains("=<\n", literal=True)
    outside = _without_blocks(text, there) if there.any() else text
    return pl.DataFrame(
        {
            "severity": raw.str.head(1),
            "caller": entries["caller"],
            "message": _message(text),
            "text": text,
            "pod": _pod(outside),
            "error": _error(text, outside),
            "clock": entries["clock"].cast(pl.Datetime("us")),
        }
    )


def _safe(text: pl.Series) -> pl.Series:
    """At most TEXT_LIMIT bytes, without anything that looks like a credential."""
    hinted = text.str.contains(_HINTS).fill_null(False).arg_true()
    suspect = hinted.filter(text.gather(hinted).str.contains(_CREDENTIAL))
    if suspect.len():
        cleaned = [scrub(one) for one in text.gather(suspect).to_list()]
        text = text.clone().scatter(suspect, pl.Series(cleaned, dtype=pl.String))
    long = (text.str.len_bytes() > TEXT_LIMIT).fill_null(False)
    if long.any():
        cut = [one.encode()[:TEXT_LIMIT].decode("utf-8", "ignore") for one in text.filter(long).to_list()]
        text = text.clone().scatter(long.arg_true(), pl.Series(cut, dtype=pl.String))
    return text


def _message(text: pl.Series) -> pl.Series:
    """What stands between the quotes of a structured entry, unescaped; else the whole text."""
    quoted = text.str.starts_with('"')
    if not quoted.any():
        return text
    found = _until_quote(text.str.slice(1) if quoted.all() else text.filter(quoted).str.slice(1))
    if found.has_nulls():
        quoted = quoted.clone().scatter(quoted.arg_true().filter(found.is_null()), False)
        found = found.drop_nulls()
    found = _unescape(found)
    return found if quoted.all() else _put(text, quoted, found)


def _put(text: pl.Series, where: pl.Series, values: pl.Series) -> pl.Series:
    """The texts with other values where the mask is true."""
    return text.clone().scatter(where.arg_true(), values)  # scatter writes into the series itself


def _ascii(text: pl.Series) -> bool:
    """Whether places in bytes, which `find` counts, are places in characters, which `slice` counts."""
    return bool(text.str.len_bytes().sum() == text.str.len_chars().sum())


def _until_quote(text: pl.Series) -> pl.Series:
    """The text up to the first quote that is not escaped, still escaped; null where there is none."""
    if _ascii(text):
        end = text.str.find('"', literal=True)
        found = text.str.slice(0, end)
        if end.has_nulls():
            found = pl.select(pl.when(end.is_not_null()).then(found)).to_series()
    else:
        cut = text.str.splitn('"', 2).struct.unnest()
        found = cut["field_0"]
        if cut["field_1"].has_nulls():
            found = pl.select(pl.when(cut["field_1"].is_not_null()).then(found)).to_series()
    odd = found.str.contains("\\", literal=True).fill_null(False)
    if odd.any():
        # anchored, so that it is matched in one pass
        found = found.scatter(odd.arg_true(), text.filter(odd).str.extract(r'^((?:[^"\\]|\\.)*)"', 1))
    return found


def _after(text: pl.Series, part: str) -> pl.Series:
    """What follows the first occurrence of a part; null where there is none."""
    if not _ascii(text):
        return text.str.splitn(part, 2).struct.field("field_1")
    at = text.str.find(part, literal=True)
    rest = text.str.slice(at + len(part))
    return pl.select(pl.when(at.is_not_null()).then(rest)).to_series() if at.has_nulls() else rest


def _pod(text: pl.Series) -> pl.Series:
    """pod= as namespace/name. Values of other keys cannot imitate it: in them quotes are escaped or lines indented."""
    there = text.str.contains(" pod=", literal=True)
    if not there.any():
        return _nothing(text)
    lines = text if there.all() else text.filter(there)
    value = _until_quote(_after(lines, ' pod="'))
    odd = value.is_null() | value.str.contains("\\", literal=True)
    if odd.any():
        value = value.scatter(odd.arg_true(), _odd_pod(lines.filter(odd)))
    old = ~value.str.contains("/", literal=True).fill_null(True)
    if old.any():  # before 1.21: name_namespace(uid)
        turned = value.filter(old).str.replace(r"^([^_ ]+)_([^_( ]+)(?:\([^)]*\))?$", "$2/$1")
        value = value.scatter(old.arg_true(), turned)
    return value if there.all() else _put(_nothing(text), there, value)


def _odd_pod(lines: pl.Series) -> pl.Series:
    """pod= where it is no plain text in quotes."""
    named = _after(lines, " pod=").str.extract_groups(r'^\{"name":"([^"]+)","namespace":"([^"]+)"').struct.unnest()
    bare = _after(_without_quoted(lines), " pod=").str.extract(r"^([^ \"<{&\\\n]+)", 1)
    return (named.to_series(1) + "/" + named.to_series(0)).fill_null(bare)


def _error(text: pl.Series, outside: pl.Series) -> pl.Series:
    """err=, unescaped; null where it says that there was none. `outside`: the texts without what stands in blocks."""
    there = text.str.contains(" err=", literal=True)
    if not there.any():
        return _nothing(text)
    lines, outside = text.filter(there), outside.filter(there)
    found = _until_quote(_after(outside, ' err="'))
    found = _put(found, found.is_not_null(), _unescape(found.drop_nulls())) if found.has_nulls() else _unescape(found)
    odd = found.is_null()
    if odd.any():
        block = _after(lines.filter(odd), " err=<\n").str.extract(r"^((?:\t[^\n]*(?:\n|$))*)", 1)
        found = found.scatter(odd.arg_true(), block.str.replace_all(r"(?m)^\t", "").str.strip_suffix("\n"))
        odd = found.is_null()
    if odd.any():
        bare = _after(_without_quoted(outside.filter(odd)), " err=").str.extract(r'^([^ "<\\\n][^ \n]*)', 1)
        bare = pl.select(pl.when(~bare.is_in(["null", "nil"])).then(bare)).to_series()
        found = found.scatter(odd.arg_true(), bare)
    return _put(_nothing(text), there, found)


def _without_blocks(lines: pl.Series, there: pl.Series) -> pl.Series:
    """The lines with what stands in `=<` blocks taken out: it may look like anything."""
    return _put(lines, there, lines.filter(there).str.replace_all(_BLOCK, "=<>"))


def _without_quoted(lines: pl.Series) -> pl.Series:
    """The lines with what stands in quotes taken out."""
    return lines.str.replace_all(r'"(?:[^"\\]|\\.)*"', '""')


def _nothing(text: pl.Series) -> pl.Series:
    return pl.Series([None], dtype=pl.String).new_from_index(0, text.len())


def _unescape(text: pl.Series) -> pl.Series:
    """Undo Go's strconv.Quote for what it commonly writes, in one pass from left to right."""
    there = text.str.contains("\\", literal=True)
    if not there.any():
        return text
    plain = text.filter(there).str.replace_many(list(_ESCAPES), list(_ESCAPES.values()))
    return text.clone().scatter(there.arg_true(), plain)


_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n", "\\t": "\t", "\\r": "\r"}

_JSON = msgspec.json.Decoder(dict[str, Any])


def json_fields(entries: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """FIELDS of entries in the JSON format with `time`, and which of them are whole.

    The text is written as the text format has it, so that one pattern fits both. Lines without `v` are errors
    (component-base writes the verbosity of info lines only). Each line is handled alone: nothing in them is fixed but
    three keys.
    """
    rows = [_json_row(text) for text in entries["text"].to_list()]
    whole = pl.Series([row is not None for row in rows], dtype=pl.Boolean)
    empty = (None,) * 7
    frame = pl.DataFrame([row or empty for row in rows], schema={**FIELDS, "micros": pl.Int64()}, orient="row")
    text = _safe(frame["text"])
    return frame.with_columns(
        text, _safe(frame["message"]), _safe(frame["error"]), pl.col("micros").cast(TIME).alias("time")
    ).drop("micros"), whole


def _json_row(raw: str) -> tuple[Any, ...] | None:
    line, _, more = raw.partition("\n")
    try:
        found = _JSON.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
    ts, message = found.get("ts"), found.get("msg")
    if not isinstance(ts, int | float) or not 0 <= ts < _MILLISECONDS_LIMIT or not isinstance(message, str):
        return None
    caller = found.get("caller")
    keys = [key for key in found if key not in {"ts", "caller", "msg", "v", "logger"}]
    text = message
    if keys:
        pairs = " ".join(f"{key}={_value(key, found[key])}" for key in keys)
        text = f"{json.dumps(message, ensure_ascii=False)} {pairs}"
    error = found.get("err")
    return (
        "I" if "v" in found else "E",
        caller.rsplit("/", 1)[-1] if isinstance(caller, str) else None,
        message,
        f"{text}\n{more}" if more else text,
        _named(found.get("pod")),
        error if isinstance(error, str) else None,
        round(ts * 1000),
    )


def _value(key: str, value: object) -> str:
    named = _named(value) if isinstance(value, dict) else None
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        names = [_named(one) for one in value]
        value = names if all(names) else value
    return json.dumps(named or value, ensure_ascii=False, separators=(",", ":"))


def _named(value: object) -> str | None:
    """namespace/name of a text or of an object that has no other keys."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and isinstance(value.get("name"), str) and set(value) <= {"name", "namespace"}:
        namespace = value.get("namespace")
        return f"{namespace}/{value['name']}" if namespace else value["name"]
    return None
