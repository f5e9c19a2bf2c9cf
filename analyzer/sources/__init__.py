"""All sources: every module or package of this folder that has a constant SOURCE. They are found by scanning."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from analyzer.sources.contract import Match, Source

UNSURE = 0.3
"""Below this confidence an input is listed as unknown rather than read as the wrong thing."""

CERTAIN = 1.0


@cache
def load() -> tuple[Source, ...]:
    """Every source, sorted by name."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    return tuple(sorted((m.SOURCE for m in modules if hasattr(m, "SOURCE")), key=lambda source: source.name))


def identify(head: bytes) -> tuple[Source, Match] | None:
    """The source that is surest of these first bytes, or None where none is sure enough."""
    matches: list[tuple[Source, Match]] = []
    for source in sorted(load(), key=lambda one: not one.magic):
        if (match := source.identify(head)) is None:
            continue
        if source.magic and match.confidence == CERTAIN:
            return source, match
        matches.append((source, match))
    best = max(matches, key=lambda pair: pair[1].confidence, default=None)
    return best if best and best[1].confidence >= UNSURE else None
