"""Values of klog entries by their key, as expressions over KLOG_LINES.

A structured entry is `"message" key=value key=value ...` (klog, internal/serialize/keyvalues.go). Values are quoted as
Go quotes (`"a \"b\""`), written as a block of indented lines (`=<`, tab, text, ` >`), as JSON, or before klog 2.80 as
`%+v` prints them. A key is looked for where a key can stand: entries are read from their start, value by value, so what
stands inside another value is never taken for it. Lines are few once they are chosen by message, caller or component,
so that nothing is taken apart for lines that nobody asks about:

    lines.filter(pl.col("message") == "Probe failed").with_columns(value("probeType"), value("output"))

An entry's text is kept to 4 KiB; of a longer one the last values may be missing. JSON entries are written in the text
form by their reader, so one expression fits both.
"""

from __future__ import annotations

import re

import polars as pl

from analyzer.sources.goquotes import GO_ESCAPES

_TEXT = pl.col("text")

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_BLOCK = r"<\n(?:\t[^\n]*\n)* ?>"
_BRACKETS = rf'[\w&*.:/-]*[\{{\[](?:[^"\n]|{_QUOTED})*?[\}}\]]'
_WORDS = r'[^ "<\n][^ \n]*(?: [^ ="\n]+)*'
_VALUE = rf"(?:{_QUOTED}|{_BLOCK}|{_BRACKETS}|{_WORDS})"
_START = rf'^{_QUOTED}(?: [^="\n]+={_VALUE})*?'
_END = r'(?: [^="\n]+=|\n|$)'

_UID = r"[0-9a-f]{8}[0-9a-f-]{4,28}"


def value(key: str) -> pl.Expr:
    """The value of a key of structured entries, unquoted, named by the key; null where there is none.

    JSON and `%+v` values stay as they were written.
    """
    raw = written(key)
    quoted = raw.str.slice(1, raw.str.len_chars() - 2).str.replace_many(list(GO_ESCAPES), list(GO_ESCAPES.values()))
    block = raw.str.replace(r"^<\n", "").str.replace(r"\n? ?>$", "").str.replace_all(r"(?m)^\t", "")
    return (
        pl.when(raw.str.starts_with('"')).then(quoted).when(raw.str.starts_with("<\n")).then(block).otherwise(raw)
    ).alias(key)


def written(key: str) -> pl.Expr:
    """The value of a key as it stands in the entry, with its quotes."""
    there = _TEXT.str.starts_with('"') & _TEXT.str.contains(f" {key}=", literal=True)
    found = pl.when(there).then(_TEXT).str.extract(rf"{_START} {re.escape(key)}=({_VALUE}){_END}", 1)
    return found.alias(key)


def number(key: str) -> pl.Expr:
    """The value of a key as Float64; null where it is no number."""
    return value(key).cast(pl.Float64, strict=False)


def seconds(key: str) -> pl.Expr:
    """The value of a key that is a Go duration (`1m2.5s`, `341.9µs`) in seconds, Float64; null where it is none."""
    return go_seconds(value(key))


def name(key: str) -> pl.Expr:
    """What a key refers to as namespace/name, or the name of what has no namespace: text, object, or name_ns(uid)."""
    return _plain(_named(value(key))).alias(key)


def names(key: str) -> pl.Expr:
    """What a key such as pods= refers to, as a list of namespace/name; null where the key is missing."""
    one = _named(value(key)).str.extract_all(r'[^\s\[\]{}",]+')
    return one.list.eval(_plain(pl.element())).alias(key)


def _named(text: pl.Expr) -> pl.Expr:
    """Objects and the form name_namespace(uid) as namespace/name, wherever they stand."""
    objects = text.str.replace_all(r'\{"name":"([^"]*)","namespace":"([^"]*)"\}', "$2/$1")
    bare = objects.str.replace_all(r'\{"name":"([^"]*)"\}', "$1")
    return bare.str.replace_all(r"([a-z0-9.-]+)_([a-z0-9-]+)\([^)]*\)", "$2/$1")


def _plain(text: pl.Expr) -> pl.Expr:
    return text.str.strip_prefix("/").str.replace(rf"^([^/]+/[^/]+)/{_UID}$", "$1")


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "[uµμ]s": 1e-6, "ns": 1e-9}
"""Of Go's time.Duration.String; both signs for micro are read."""


def go_seconds(text: pl.Expr) -> pl.Expr:
    """A Go duration (`1h2m3.5s`, `12.3ms`) in seconds, Float64; null where the text is none."""
    whole = text.str.contains(r"^-?(?:[0-9]+(?:\.[0-9]+)?(?:h|m|s|ms|[uµμ]s|ns))+$")
    parts = [
        text.str.extract(rf"([0-9]+(?:\.[0-9]+)?){unit}(?:[^a-z]|$)", 1).cast(pl.Float64, strict=False).fill_null(0.0)
        * factor
        for unit, factor in _UNITS.items()
    ]
    sign = pl.when(text.str.starts_with("-")).then(-1.0).otherwise(1.0)
    return pl.when(whole | (text == "0")).then(pl.sum_horizontal(parts) * sign)
