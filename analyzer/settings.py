"""Thresholds from `analyze.toml` and `--set`; a misspelt key is an error, never ignored."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from analyzer.detector import Detector, settings_of
from analyzer.errors import UsageError
from analyzer.model import SettingValue

FILE_NAME = "analyze.toml"

MOST = 10**12
"""Greatest number of a setting: thirty thousand years in seconds, a terabyte in bytes."""

LONGEST = {"milliseconds": 315_576_000_000, "seconds": 315_576_000, "minutes": 5_259_600, "hours": 87_660}
"""Greatest number of a setting that is a time, by its unit: ten years, which may be added to any moment of a log."""

Overrides = dict[str, dict[str, Any]]


def from_file(path: Path) -> Overrides:
    """The tables of a settings file: one per detector, `[dns-search-chain] min_chains = 5`."""
    import tomllib  # most runs read no settings

    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; name a settings file that exists") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}; mend that line") from error
    flat = [name for name, value in raw.items() if not isinstance(value, dict)]
    if flat:
        raise UsageError(f"{path}: {flat[0]} stands outside a table; write it below [DETECTOR]")
    return raw


def from_options(pairs: Sequence[str]) -> Overrides:
    """`--set id.setting=value` as the same mapping; values are read as TOML, bare words as text."""
    if not pairs:
        return {}
    import tomllib

    found: Overrides = {}
    for pair in pairs:
        left, equals, text = pair.partition("=")
        detector, dot, name = left.strip().rpartition(".")
        if not (equals and dot and detector and name):
            raise UsageError(f"--set {pair}: not of the form DETECTOR.SETTING=VALUE")
        try:
            value = tomllib.loads(f"v = {text}")["v"]
        except tomllib.TOMLDecodeError:
            value = text
        found.setdefault(detector, {})[name] = value
    return found


def apply(detectors: Sequence[Detector[Any]], *layers: Overrides) -> tuple[Detector[Any], ...]:
    """The detectors with their settings changed; later layers win. Raises UsageError for unknown names and values."""
    known = [detector.id for detector in detectors]
    for layer in layers:
        for name in layer:
            if name not in known:
                raise UsageError(f"settings: there is no detector {name}{suggest(name, known)}")
    changed = []
    for detector in detectors:
        raw: dict[str, Any] = {}
        for layer in layers:
            raw |= layer.get(detector.id, {})
        changed.append(replace(detector, settings=override(detector.id, detector.settings, raw)) if raw else detector)
    return tuple(changed)


def override(detector: str, settings: Any, raw: Mapping[str, Any]) -> Any:
    """A copy of `settings` with the values of `raw`, each checked for its name, its type and its minimum."""
    known = {one.name: one for one in settings_of(settings)}
    for name, value in raw.items():
        if name not in known:
            raise UsageError(f"settings: {detector} has no setting {name}{suggest(name, list(known))}")
        kind = float if known[name].type == "float" else type(getattr(settings, name))
        if kind is float and type(value) is int:
            value = float(value)
        least, most = known[name].minimum, LONGEST.get(known[name].unit, MOST)
        if type(value) is not kind or (least is not None and not value >= least) or not _is_within(value, most):
            wanted = kind.__name__ if least is None else f"{kind.__name__} of at least {least}"
            wanted += "" if _is_within(value, most) else f" and at most {most:,}"
            raise UsageError(f"settings: {detector}.{name} = {value!r} is wrong; it wants {wanted}")
        settings = replace(settings, **{name: value})
    return settings


def _is_within(value: object, most: float) -> bool:
    """Whether detectors can reckon with it; all that is no number is."""
    return not isinstance(value, int | float) or (math.isfinite(value) and abs(value) <= most)


def effective(detectors: Sequence[Detector[Any]]) -> tuple[SettingValue, ...]:
    """Every setting of every detector with the value in force, in the order of detectors and declaration."""
    return tuple(
        SettingValue(
            detector=detector.id,
            name=one.name,
            value=str(getattr(detector.settings, one.name)),
            default=getattr(detector.settings, one.name) == one.default,
            doc=one.doc,
        )
        for detector in detectors
        for one in settings_of(detector.settings)
    )


def suggest(name: str, known: Sequence[str]) -> str:
    """The end of a sentence about an unknown name: the known name next to it, else all of them."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
