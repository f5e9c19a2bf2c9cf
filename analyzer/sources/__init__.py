"""All sources: every module or package of this folder that has a constant SOURCE. They are found by scanning."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache

from msgspec.structs import replace

from analyzer.sources.contract import Match, Source

HEAD = 64 << 10
"""Bytes that identification looks at."""

UNSURE = 0.3
"""Below this confidence an input is listed as unknown rather than read as the wrong thing."""

CERTAIN = 1.0

BY_MAGIC = ("capture",)
"""The modules whose source has `magic`: they are asked first, and what they know costs no import of the others."""


@cache
def load() -> tuple[Source, ...]:
    """Every source, sorted by name."""
    every = [source for found in pkgutil.iter_modules(__path__) if (source := _of(found.name)) is not None]
    return tuple(sorted(every, key=lambda source: source.name))


def each() -> Iterator[Source]:
    """Every source, those with magic first; a module is imported only when somebody asks so far."""
    first = [source for name in BY_MAGIC if (source := _of(name)) is not None]
    yield from first
    yield from (source for source in load() if source not in first)


def _of(module: str) -> Source | None:
    source: Source | None = getattr(importlib.import_module(f"{__name__}.{module}"), "SOURCE", None)
    return source


def identify(head: bytes) -> tuple[Source, Match] | None:
    """The source that is surest of these first bytes, or None where none is sure enough."""
    matches: list[tuple[Source, Match]] = []
    for source in each():
        if (match := source.identify(head)) is None:
            continue
        if source.magic and match.confidence == CERTAIN:
            return source, match
        matches.append((source, match))
    best = max(matches, key=lambda pair: pair[1].confidence, default=None)
    if best is None or best[1].confidence < UNSURE:
        return None
    source, match = best
    wrapped = "" if source.magic else importlib.import_module(f"{__name__}.wrappers").describe(head)
    return source, replace(match, reason=f"{match.reason}; {wrapped}") if wrapped else match
