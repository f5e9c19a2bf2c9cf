"""Evidence is data: a name read from a packet may not steer a terminal, reorder a line or become markup.

Everything that does not print is written as its escape, so that it stays visible. Escaping for HTML comes on top.
"""

from __future__ import annotations

import json
import unicodedata
from functools import lru_cache
from typing import Any

MOST_CHARACTERS = 2_000
_MOST_MARKS = 3  # more marks on one letter smear over the lines above and below
_FOR_SCRIPT = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def visible(text: str, keep: str = "") -> str:
    r"""The text with control, format, bidi and surrogate characters as `\x1b` or `\u202e`, those of `keep` apart."""
    if text.isascii() and text.isprintable():
        return text
    out: list[str] = []
    marks = 0
    for char in text:
        plain, mark = _seen(char)
        marks = marks + 1 if mark else 0
        out.append(char if char in keep else plain if marks <= _MOST_MARKS else _escape(char))
    return "".join(out)


@lru_cache(maxsize=4096)
def _seen(char: str) -> tuple[str, bool]:
    """How the character is shown, and whether it is a mark on the one before it."""
    mark = unicodedata.category(char) in {"Mn", "Me"}
    return (char if char.isprintable() else _escape(char)), mark


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def shown(text: str, most: int = MOST_CHARACTERS, keep: str = "") -> str:
    """The visible text, cut after `most` characters with the number of those left out."""
    whole = visible(text[: most + 1], keep)
    if len(text) <= most and len(whole) <= most:
        return whole
    head = whole[:most]
    return f"{head}… ({len(text) - most:,} more characters)" if len(text) > most else f"{head}…"


def for_markup(text: str) -> str:
    """Text that can stand in an element or an attribute: as html.escape, whose module brings 2,000 entities along."""
    whole = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return whole.replace('"', "&quot;").replace("'", "&#x27;")


def for_script(value: Any) -> str:
    """JSON that can stand inside a script element: no character of it can end the element or start a comment."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.translate(_FOR_SCRIPT)
