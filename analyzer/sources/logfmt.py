"""logfmt as Go's logrus writes it (text_formatter.go): `time="..." level=info msg="a \\"b\\"" key=value`.

A value is bare if it holds letters, digits and `-._/@^+` only, else it is quoted by strconv.Quote. Fields are told
apart by a scan from left to right over quotes and escapes, in one pass of a linear regular expression.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

HEAD = r'^time="[^"]{8,48}" level=[a-z]{4,7} '
"""How a line begins; the time is RFC 3339, with a space instead of the T in CRI-O."""

_FIELD = r'[^ ="]+=(?:"(?:[^"\\]|\\.)*"|[^ "]*)(?: +|$)'
_PLAIN = {"\\\\": "\\", '\\"': '"', "\\n": "\n", "\\t": "\t", "\\r": "\r"}
_ESCAPE = re.compile(r'\\(?:([\\"abfnrtv])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))')
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}


def fields(text: pl.Series, keys: Sequence[str]) -> tuple[pl.DataFrame, pl.Series]:
    """A column for each of the keys, unescaped, null where the line does not have it; and which lines are whole.

    Of a key that stands twice the first counts. A line is whole if nothing in it is left over between the fields.
    """
    cut = pl.DataFrame({"row": pl.Series(range(text.len()), dtype=pl.UInt32), "field": text.str.extract_all(_FIELD)})
    length = cut["field"].list.eval(pl.element().str.len_bytes()).list.sum()
    whole = (length == text.str.len_bytes()).fill_null(False)
    pair = pl.col("field").str.strip_chars_end(" ").str.splitn("=", 2).struct.rename_fields(["key", "value"])
    parts = cut.explode("field", empty_as_null=False).select("row", pair.alias("pair"))
    parts = parts.unnest("pair").filter(pl.col("key").is_in(list(keys)))
    found = cut.select("row")
    for key in keys:
        own = parts.filter(pl.col("key") == key).unique("row", keep="first", maintain_order=True)
        found = found.join(own.select("row", pl.col("value").alias(key)), on="row", how="left", maintain_order="left")
    return found.select([_unquoted(found[key]).alias(key) for key in keys]), whole


def _unquoted(value: pl.Series) -> pl.Series:
    quoted = value.str.starts_with('"').fill_null(False)
    inner = value.filter(quoted).str.slice(1)
    inner = inner.str.head(-1)
    return value.clone().scatter(quoted.arg_true(), unescape(inner)) if quoted.any() else value


def unescape(text: pl.Series) -> pl.Series:
    """Undo Go's strconv.Quote. Only texts with the rare escapes (`\\x1b`, `\\u00ad`) are handled one by one."""
    there = text.str.contains("\\", literal=True)
    if not there.any():
        return text
    escaped = text.filter(there)
    odd = escaped.str.contains(r"\\[abfvxuU]")
    plain = escaped.str.replace_many(list(_PLAIN), list(_PLAIN.values()))
    if odd.any():
        slow = [_ESCAPE.sub(_letter, one) for one in escaped.filter(odd).to_list()]
        plain = plain.scatter(odd.arg_true(), pl.Series(slow, dtype=pl.String))
    return text.clone().scatter(there.arg_true(), plain)


def _letter(found: re.Match[str]) -> str:
    """What an escape stands for; bytes that are no UTF-8 and what is no character become U+FFFD."""
    if found[1]:
        return _LETTERS.get(found[1], found[0])
    if found[2]:
        byte = int(found[2], 16)
        return chr(byte) if byte < 0x80 else "\ufffd"
    code = int(found[3] or found[4], 16)
    return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
