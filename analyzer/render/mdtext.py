"""Evidence inside Markdown: text that stays text in GitHub Flavored Markdown and CommonMark.

Every ASCII punctuation mark may be escaped by a backslash (CommonMark 0.31, section 2.4). Those that can start markup
are; others are left alone, because people go on editing the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from analyzer.render.escape import MOST_CHARACTERS, shown

_MARKUP = re.compile(r"[\\`*_\[\]<>|~&#$]")
_BLOCK = re.compile(r"^(\d{0,9})([-+=.)])")
"""What begins a list or underlines a heading where a line starts with it; indented text would be a code block."""

_LINKS = re.compile(r"(?i)(:)(?=//)|(?<=\bwww)(\.)")
"""GitHub makes links of bare addresses: `https://`, `www.` (GFM 0.29, section 6.9)."""

_ESCAPED_BAR = r"\\|"
_BAR = re.compile(r"(?<!\\)\|")
"""A bar ends a cell even inside a code span (GFM 0.29, section 4.10)."""


def inline(text: str, most: int = MOST_CHARACTERS) -> str:
    """Running text on one line: whatever it holds, it starts no markup, no link and no new line."""
    escaped = _BLOCK.sub(r"\1\\\2", _MARKUP.sub(r"\\\g<0>", shown(text, most).strip(" ")))
    return _LINKS.sub(lambda found: "\\" + found[0], escaped)


def code(text: str, most: int = MOST_CHARACTERS) -> str:
    """A code span on one line, longer quoted than any run of ticks in it."""
    plain = shown(text, most)
    ticks = "`" * (_longest(plain) + 1)
    pad = " " if plain[:1] in ("`", " ", "") or plain[-1:] in ("`", " ") else ""
    return f"{ticks}{pad}{plain}{pad}{ticks}"


def fence(text: str, language: str = "") -> Iterator[str]:
    """Lines of a fenced block that no line of the text can close."""
    lines = [shown(line, keep="\t") for line in text.rstrip("\n").split("\n")]
    marks = "`" * max(3, max(_longest(line) for line in lines) + 1)
    yield f"{marks}{language}"
    yield from lines
    yield marks


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[bool] = ()) -> Iterator[str]:
    """A table of cells that are Markdown already, with an empty line after it; nothing where there is no row."""
    lines = [f"| {' | '.join(_BAR.sub(_ESCAPED_BAR, cell) or ' ' for cell in row)} |" for row in rows]
    if lines:
        right = [*numeric, *(False,) * (len(headers) - len(numeric))]
        yield f"| {' | '.join(header or ' ' for header in headers)} |"
        yield f"|{'|'.join('---:' if one else '---' for one in right)}|"
        yield from lines
        yield ""


def _longest(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
