"""All detectors: every module `family/pattern` has one constant, DETECTOR. They are found by scanning."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

from analyzer.detector import Detector


@cache
def load() -> tuple[Detector[Any], ...]:
    """Every detector, sorted by id."""
    families = [importlib.import_module(f"{__name__}.{family.name}") for family in pkgutil.iter_modules(__path__)]
    names = [
        f"{family.__name__}.{module.name}"
        for family in families
        for module in pkgutil.iter_modules(family.__path__)
        if not module.name.startswith("_")
    ]
    found: list[Detector[Any]] = [importlib.import_module(name).DETECTOR for name in names]
    return tuple(sorted(found, key=lambda detector: detector.id))
