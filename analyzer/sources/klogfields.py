"""klog entries taken apart: header, message, pod= and err=, in the text and in the JSON format."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import polars as pl

from analyzer.frames.contract import TIME
from analyzer.sources.goquotes import GO_ESCAPES
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

_QUOTED = r'^((?:[^"\\]|\\.)*)"'
"""What stands before the first quote that is not escaped; anchored, so that it is matched in one pass."""

_BLOCK = r"=<\n((?:\t[^\n]*\n)*) ?>?"
_POD_IN_TEXT = (
    r"([a-z0-9][a-z0-9.-]{0,252})_([a-z0-9][a-z0-9-]{0,62})\([0-9a-f][0-9a-f-]{7,35}\)"
    r'|\bpod "([a-z0-9][a-z0-9.-]{0,252})_([a-z0-9][a-z0-9-]{0,62})"'
)
"""Lengths of names are those of RFC 1123 and 1035."""

_WITH_UID = r"^([^/]+/[^/]+)/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_UID_BYTES = 36

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
    raw = pl.col("text")
    cut = entries.select(
        raw.str.head(1).alias("severity"),
        "caller",
        raw.str.slice(pl.col("body")).alias("text"),
        pl.col("clock").cast(pl.Datetime("us")),
    )
    cut = cut.with_columns(_safe(cut["text"]))
    ascii_only = cut["text"].str.len_bytes() == cut["text"].str.len_chars()
    if ascii_only.all():
        return _with_values(cut, by_place=True)
    parts = [
        _with_values(part, by_place=by_place)
        for part, by_place in ((cut.filter(ascii_only), True), (cut.filter(~ascii_only), False))
        if part.height
    ]
    order = pl.concat([ascii_only.arg_true(), (~ascii_only).arg_true()]).arg_sort()
    return pl.concat(parts)[order]


def _with_values(cut: pl.DataFrame, *, by_place: bool) -> pl.DataFrame:
    """Message, pod and error of texts; `by_place`: all are ASCII, so that bytes are characters."""
    text = pl.col("text")
    seen = cut.select(
        text.str.contains("=<\n", literal=True).alias("block"),
        text.str.contains(" err=", literal=True).alias("err"),
        text.str.contains(" pod=", literal=True).alias("pod"),
        text.str.contains("\\", literal=True).alias("escape"),
    )
    block, err, pod, escape = seen.get_columns()
    inside = (
        cut.with_columns(outside=_without_blocks(cut["text"], block)) if block.any() else cut.with_columns(outside=text)
    )
    message = _message(inside, escape, by_place)
    nothing = pl.lit(None, pl.String)
    pods = _some(inside, pod, _pod, by_place) if pod.any() else _nothing(cut["text"])
    free = ~cut["text"].str.starts_with('"') & pods.is_null()
    if free.any():
        pods = _put(pods, free, _named_in_text(cut["text"].filter(free)))
    return cut.select(
        "severity",
        "caller",
        message.alias("message"),
        "text",
        pods.alias("pod"),
        _some(inside, err, _error, by_place).alias("error") if err.any() else nothing.alias("error"),
        "clock",
    )


def _some(
    texts: pl.DataFrame, there: pl.Series, values: Callable[[pl.DataFrame, bool], pl.Series], by_place: bool
) -> pl.Series:
    """The values of some of the texts; null for the others."""
    if there.all():
        return values(texts, by_place)
    return _put(_nothing(texts["text"]), there, values(texts.filter(there), by_place))


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


def _message(texts: pl.DataFrame, escape: pl.Series, by_place: bool) -> pl.Series:
    """What stands between the quotes of a structured entry, unescaped; else the whole text."""
    text = texts["text"]
    quoted = text.str.starts_with('"')
    if not quoted.any():
        return text
    found = _until_quote(text.str.slice(1), by_place)
    if not quoted.all() or found.has_nulls():
        found = pl.select(pl.when(quoted & found.is_not_null()).then(found).otherwise(text)).to_series()
    odd = escape & quoted
    if odd.any():
        odd &= found.str.contains("\\", literal=True)
    if not odd.any():
        return found
    whole = text.filter(odd)
    return _put(found, odd, pl.select(pl.coalesce(_quoted(whole.str.slice(1)), whole)).to_series())


def _put(text: pl.Series, where: pl.Series, values: pl.Series) -> pl.Series:
    """The texts with other values where the mask is true."""
    return text.clone().scatter(where.arg_true(), values)  # scatter writes into the series itself


def _after(text: pl.Series, part: str, by_place: bool) -> pl.Series:
    """What follows the first occurrence of a part; null where there is none.

    `find` counts bytes and `slice` characters, so that only ASCII can be cut by place, which is cheaper.
    """
    if by_place:
        return text.str.slice(text.str.find(part, literal=True) + len(part))
    return text.str.splitn(part, 2).struct.field("field_1")


def _until_quote(text: pl.Series, by_place: bool) -> pl.Series:
    """The text up to its first quote; null where there is none."""
    if by_place:
        end = text.str.find('"', literal=True)
        found, whole = text.str.slice(0, end), end.is_not_null()
    else:
        cut = text.str.splitn('"', 2).struct.unnest()
        found, whole = cut["field_0"], cut["field_1"].is_not_null()
    return found if whole.all() else pl.select(pl.when(whole).then(found)).to_series()


def _quoted(texts: pl.Series) -> pl.Series:
    """The text up to the first quote that is not escaped, unescaped; null where there is none."""
    return _unescape(texts.str.extract(_QUOTED, 1))


def _pod(texts: pl.DataFrame, by_place: bool) -> pl.Series:
    """pod= as namespace/name. Values of other keys cannot imitate it: in them quotes are escaped or lines indented."""
    value = _until_quote(_after(texts["outside"], ' pod="', by_place), by_place)
    long = (value.str.len_bytes() > _UID_BYTES).fill_null(False)
    if long.any():
        value = _put(value, long, value.filter(long).str.replace(_WITH_UID, "$1"))
    odd = value.is_null() | ~value.str.contains("/", literal=True) | value.str.contains("\\", literal=True)
    if not odd.any():
        return value
    values = value.filter(odd)
    other = values.is_null() | values.str.contains("\\", literal=True)
    if other.any():
        values = _put(values, other, _odd_pod(texts.filter(odd)["outside"].filter(other)))
    # before 1.21: name_namespace(uid)
    return _put(value, odd, values.str.replace(r"^([^_ /]+)_([^_( /]+)(?:\([^)]*\))?$", "$2/$1"))


def _named_in_text(texts: pl.Series) -> pl.Series:
    """The pod that free text names as `name_namespace(uid)` or, in 2015, `pod "name_namespace"`; null if several.

    kubelet/util/format/pod.go and container/helpers.go; structured entries since 1.21 have pod= instead.
    """
    there = texts.str.contains(_POD_IN_TEXT)
    if not there.any():
        return _nothing(texts)
    found = texts.filter(there).str.extract_all(_POD_IN_TEXT)
    pods = found.list.eval(pl.element().str.replace(_POD_IN_TEXT, "$2$4/$1$3")).list.unique()
    return _put(_nothing(texts), there, pl.select(pl.when(pods.list.len() == 1).then(pods.list.first())).to_series())


def _odd_pod(lines: pl.Series) -> pl.Series:
    """pod= where it is no plain text in quotes."""
    after = lines.str.splitn(" pod=", 2).struct.field("field_1")
    named = after.str.extract_groups(r'^\{"name":"([^"]+)","namespace":"([^"]+)"').struct.unnest()
    unquoted = _without_quoted(lines).str.splitn(" pod=", 2).struct.field("field_1")
    bare = unquoted.str.extract(r"^([^ \"<{&\\\n]+)", 1)
    return (named.to_series(1) + "/" + named.to_series(0)).fill_null(bare)


def _error(texts: pl.DataFrame, by_place: bool) -> pl.Series:
    """err=, unescaped; null where it says that there was none."""
    after = _after(texts["outside"], ' err="', by_place)
    found = _until_quote(after, by_place)
    odd = found.str.contains("\\", literal=True).fill_null(False)
    if odd.any():
        found = _put(found, odd, _quoted(after.filter(odd)))
    odd = found.is_null()
    if odd.any():
        block = (
            texts["text"]
            .filter(odd)
            .str.splitn(" err=<\n", 2)
            .struct.field("field_1")
            .str.extract(r"^((?:\t[^\n]*(?:\n|$))*)", 1)
        )
        found = _put(found, odd, block.str.replace_all(r"(?m)^\t", "").str.strip_suffix("\n"))
        odd = found.is_null()
    if odd.any():
        bare = _without_quoted(texts["outside"].filter(odd)).str.splitn(" err=", 2).struct.field("field_1")
        bare = bare.str.extract(r'^([^ "<\\\n][^ \n]*)', 1)
        found = _put(found, odd, pl.select(pl.when(~bare.is_in(["null", "nil"])).then(bare)).to_series())
    return found


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
    plain = text.filter(there).str.replace_many(list(GO_ESCAPES), list(GO_ESCAPES.values()))
    return text.clone().scatter(there.arg_true(), plain)


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
