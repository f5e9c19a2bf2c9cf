"""identify -> read -> derive -> detect -> tell -> Result; `run` is the only module that knows all of them.

A name is imported when somebody asks for it: a process that only reads needs nothing of what judges, whose imports
take longer than those of all readers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analyzer.pipeline.detect import kinds_behind
    from analyzer.pipeline.options import Progress, RunOptions
    from analyzer.pipeline.quote import quoted
    from analyzer.pipeline.read import usable
    from analyzer.pipeline.recognise import Known
    from analyzer.pipeline.run import chosen, ingest, investigate, tool
    from analyzer.pipeline.slices import Slices, is_slices

__all__ = [
    "Known",
    "Progress",
    "RunOptions",
    "Slices",
    "chosen",
    "ingest",
    "investigate",
    "is_slices",
    "kinds_behind",
    "quoted",
    "tool",
    "usable",
]

_MODULES = {
    "detect": ("kinds_behind",),
    "options": ("Progress", "RunOptions"),
    "quote": ("quoted",),
    "read": ("usable",),
    "recognise": ("Known",),
    "run": ("chosen", "ingest", "investigate", "tool"),
    "slices": ("Slices", "is_slices"),
}
"""Where each name stands."""


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
