"""A report for others: names and addresses give way to tokens, the same everywhere, and come back by a private map.

Everything that is counted, every time and every word of the program stays, so the findings are those of the whole
report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import fields, replace

from analyzer.model import Result
from analyzer.redact.names import TOKEN, Map, Names, new_map, read_map, shown_again, write_map
from analyzer.redact.words import ATOM

__all__ = ["Map", "atoms_of", "new_map", "read_map", "redacted", "redacted_texts", "shown_again", "write_map"]

OURS = {
    *(
        "Tool",
        "SettingValue.detector",
        "SettingValue.name",
        "Figure",
        "Column",
        "SkippedReason.reason",
        "Result.schema",
    ),
    *(
        "Run.detector",
        "Run.title",
        "Finding.detector",
        "Finding.variant",
        "Finding.title",
        "Compared.detector",
        "Saving.unit",
    ),
    *("InputReport.kind", "Moment.kind", "Cause.rule", "CauseEnd.kind", "Entity.kind"),
    *("Term.side", "Term.origin", "Coverage.table", "Series.id", "Series.unit", "EvidenceSeries.unit", "FigureChange"),
    *("Curve.id", "Curve.unit", "Curve.counted", "Heat.id", "Heat.unit"),
    *("Collect.source", "Collect.command", "Offset.matched_by"),
    *("Run.about", "Caller.kind", "Series.never", "Label.name"),
}
"""Types and fields whose texts are this program's own: codes that other programs compare."""


def redacted(result: Result, kept: Map, known: Mapping[str, str]) -> Result:
    """The result without names; what replaced what is added to the map.

    `known` leads from names to their kinds (ns, pod, node ...): what tables tell to be a name is hidden even where it
    is a common word too. Everything else that is no word of this program is hidden as well.
    """
    ours = {run.detector for run in result.runs}
    taken = frozenset(token for text in _texts(result) for token in TOKEN.findall(text))
    names = Names(kept, {name: kind for name, kind in known.items() if name not in ours}, taken)
    hidden: Result = _walk(result, names)
    return hidden


def redacted_texts(texts: Sequence[str], kept: Map, known: Mapping[str, str]) -> list[str]:
    """Texts that go with a redacted result, without names: the same tokens for the same names, others for others."""
    taken = frozenset(token for text in texts for token in TOKEN.findall(text))
    names = Names(kept, known, taken)
    return [names.hide(text) for text in texts]


def atoms_of(result: Result | tuple[str, ...]) -> frozenset[str]:
    """Every name that a result, or texts beside it, may hold, whole and by its labels, among other words."""
    atoms = {atom for text in _texts(result) for atom in ATOM.findall(text)}
    return frozenset(atoms | {label for atom in atoms if "." in atom for label in atom.split(".")})


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, Struct):
        for name in _theirs(value):
            yield from _texts(getattr(value, name))


def _theirs(value: Struct) -> list[str]:
    """The fields of a record that may hold words of the evidence."""
    kind = type(value).__name__
    return [] if kind in OURS else [f.name for f in fields(value) if f"{kind}.{f.name}" not in OURS]


def _walk(value: Any, names: Names) -> Any:
    if type(value) is str:
        return names.hide(value)
    if isinstance(value, tuple):
        return tuple(_walk(one, names) for one in value)
    if not isinstance(value, Struct):
        return value
    return replace(value, **{name: _walk(getattr(value, name), names) for name in _theirs(value)})
