"""Slices of logs: the quoted lines as they were written, without credentials."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct

from analyzer.case import Case
from analyzer.errors import InputError
from analyzer.pipeline.carve.cited import Cited, inputs_of
from analyzer.render.escape import visible
from analyzer.sources.contract import Ledger
from analyzer.sources.secrets import scrub
from analyzer.sources.stream import Opener

LINE_MOST = 64 << 10
"""Bytes of one line; an audit event without its bodies is seldom a tenth of that."""

TEXT_MOST = 64 << 20
"""Bytes of all lines together; a report that quotes more is not read by people."""


class Text(Struct, frozen=True):
    """A record's text, and whether its end is missing."""

    text: str
    cut: bool


def texts_of(cited: Iterable[Cited], case: Case, opener: Opener) -> dict[tuple[str, int], Text]:
    """The text of each record as far as it can be read again, without credentials."""
    found: dict[tuple[str, int], Text] = {}
    held = 0
    for one in inputs_of(cited, case):
        numbers = frozenset(record.number for record in one.cited)
        with suppress(InputError, OSError), opener.open(one.item, Ledger(), hashed=False) as stream:
            for number, text in sorted(one.source.quote(stream, numbers, LINE_MOST).items()):
                held += len(text)
                if held <= TEXT_MOST:
                    # A repaired byte may have grown, so that a text is called cut a little early.
                    found[one.item.id, number] = Text(scrub(text), len(text.encode("utf-8", "replace")) > LINE_MOST - 4)
    return found


def slice_of(cited: Sequence[Cited], texts: dict[tuple[str, int], Text]) -> tuple[str, bytes, list[dict[str, Any]]]:
    """The suffix of a slice, its bytes, and for each record its first line, how many it takes, and where it stood.

    JSON Lines where every record is JSON on a line of its own. Characters that could drive a terminal are escaped.
    """
    is_json = all(_is_json(texts[one.place].text) for one in cited)
    lines: list[str] = []
    index: list[dict[str, Any]] = []
    for one in cited:
        text = texts[one.place]
        # A carriage return would hide the line from who looks at it.
        mine = [_json_safe(text.text)] if is_json else visible(text.text, keep="\n\t").rstrip("\n").split("\n")
        entry = {"line": len(lines) + 1, "source": one.shown.source, "number": one.number, "time": one.shown.time}
        entry |= {"lines": len(mine)} if len(mine) > 1 else {}
        entry |= {"cut_at_bytes": LINE_MOST} if text.cut else {}
        index.append(entry | {"command": one.shown.command})
        lines += mine
    data = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
    return ("jsonl" if is_json else "log"), data, index


def _is_json(text: str) -> bool:
    if not text.startswith("{") or "\n" in text:
        return False
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


def _json_safe(text: str) -> str:
    r"""The same JSON with characters that do not print as `\u202e`; they stand in strings only."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\t" else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
