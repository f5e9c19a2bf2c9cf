"""Formats of the log plugin that somebody wrote himself, compiled into one regular expression.

The placeholders are those of CoreDNS's plugin/log and plugin/pkg/replacer. What a format says besides is taken as it
stands; a placeholder that is not known matches anything, as metadata (`{/label}`) does.
"""

from __future__ import annotations

import re
from functools import lru_cache

import polars as pl

from analyzer.errors import UsageError

FORMAT_LIMIT = 1024
"""Characters of a format; the expression stays small enough to be compiled."""

COMMON = (
    '{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" '
    "{rcode} {>rflags} {rsize} {duration}"
)
COMBINED = COMMON + ' "{>opcode}"'
"""CommonLogFormat and CombinedLogFormat of plugin/log/log.go."""

NAME = r"(?:[^\s\"\\]|\\.)+"
"""A name in presentation form, in which a space and a quote are escaped."""

_NUMBER = "[0-9]{1,20}|-"
_FORMS = {
    "type": "[A-Za-z0-9-]+",
    "class": "[A-Za-z0-9-]+",
    "name": NAME,
    "proto": "[a-z]+|-",
    "remote": r"\[[0-9A-Fa-f:.%a-z]+\]|[0-9A-Fa-f.]+|-",
    "local": r"\[[0-9A-Fa-f:.%a-z]+\]|[0-9A-Fa-f.]+|-",
    "port": _NUMBER,
    "size": _NUMBER,
    "bufsize": _NUMBER,
    "do": "true|false|-",
    "id": _NUMBER,
    "opcode": _NUMBER,
    "rcode": "[A-Za-z0-9]+|-",
    "rsize": _NUMBER,
    "rflags": "-|[a-z]+(?:,[a-z]+)*",
    "duration": "[0-9][0-9.a-zµμ]*|-",
    "when": r"[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9:]{8} [+-][0-9]{4}",
}
"""What each placeholder can become; `when` was one until CoreDNS 1.2.5."""

_HEADERS = ("id", "opcode", "do", "bufsize", "rflags")
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")


@lru_cache(maxsize=16)
def compile_format(text: str) -> str:
    """The regular expression, with a group for each known placeholder, called like it.

    Raises UsageError for a format that names no question, or is too long.
    """
    whole = text.replace("{combined}", COMBINED).replace("{common}", COMMON)
    if len(whole) > FORMAT_LIMIT:
        raise UsageError(f"--coredns-format has {len(whole):,} characters, more than {FORMAT_LIMIT:,}")
    parts, at = list[str](), 0
    seen = set[str]()
    for found in _PLACEHOLDER.finditer(whole):
        parts += [re.escape(whole[at : found.start()]), _expression(found[0], seen)]
        at = found.end()
    parts.append(re.escape(whole[at:]))
    missing = [f"{{{name}}}" for name in ("name", "type") if name not in seen]
    if missing:
        raise UsageError(
            f"--coredns-format lacks {' and '.join(missing)}: without {'it' if len(missing) == 1 else 'them'} no "
            "line says what was asked"
        )
    pattern = rf"^(?:\[[A-Z]+\] )?{''.join(parts)}\s*$"
    try:
        pl.Series(["x"]).str.contains(pattern)
    except pl.exceptions.ComputeError as error:
        raise UsageError("--coredns-format is too complicated to be matched") from error
    return pattern


def _expression(placeholder: str, seen: set[str]) -> str:
    """Of one placeholder. The first of its name is captured; header names may be in any case."""
    inner = placeholder[1:-1]
    header = inner.startswith(">")
    name = inner[1:].lower() if header else inner
    form = _FORMS.get(name) if header == (name in _HEADERS) else None
    if form is None:
        return ".*?"
    if name in seen:
        return f"(?:{form})"
    seen.add(name)
    return f"(?P<{name}>{form})"
