"""How the forms speak of what stands elsewhere in them: a finding by its number and name, a folder by its name."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from msgspec import Struct

from analyzer.model import CauseEnd, Result
from analyzer.render.format import duration

AT_THE_INPUTS = "Run the commands where the inputs lie."

_FIRST_INPUT = 2  # after the tool's name and the command's


def short_name(end: CauseEnd, ids: Mapping[str, str]) -> str:
    """What a link says of one of its ends. `ids`: numbers of findings by key.

    A finding that has a number is named by its key, for its sentence stands there; what has none tells it.
    """
    return end.id if end.kind == "finding" and end.id in ids else end.text


def numbered_name(end: CauseEnd, ids: Mapping[str, str]) -> str:
    """The same with the number before it, for forms without links."""
    number = ids.get(end.id, "") if end.kind == "finding" else ""
    return f"{number} {short_name(end, ids)}".lstrip()


def numbers(result: Result) -> dict[str, str]:
    """F1, F2 and so on by the keys of the findings."""
    ids: dict[str, str] = {}
    for at, finding in enumerate(result.findings, 1):
        ids.setdefault(finding.key, f"F{at}")
    return ids


def where(result: Result) -> str:
    """Where the commands are to be run: paths in them are relative to the folder that was given.

    A result holds no path of the machine it was made on, so the folder is told by its name.
    """
    try:
        words = shlex.split(result.command)[_FIRST_INPUT:]
    except ValueError:  # a quote that is never closed: another program wrote this result
        return AT_THE_INPUTS
    given = words[: next((at for at, word in enumerate(words) if word.startswith("-")), len(words))]
    known = {report.path for report in result.inputs}
    if len(given) != 1 or given[0] in known or not known:
        return AT_THE_INPUTS
    return f"Run the commands inside {given[0]}: their paths are relative to it."


class Related(Struct, frozen=True):
    """A finding that a rule links to another: its number, its key, and how the rule says it."""

    id: str
    key: str
    words: str


def related(result: Result, ids: Mapping[str, str]) -> dict[str, tuple[Related, ...]]:
    """By key of a finding those that links lead to and from; each once, those before it first."""
    before: dict[str, dict[str, Related]] = {}
    after: dict[str, dict[str, Related]] = {}
    for cause in result.story.causes:
        ends = (cause.from_, cause.to)
        if all(end.kind == "finding" and end.id in ids for end in ends) and cause.from_.id != cause.to.id:
            first, then = (end.id for end in ends)
            lag = duration(cause.lag_seconds)
            before.setdefault(then, {}).setdefault(first, Related(ids[first], first, f"began {lag} before it"))
            after.setdefault(first, {}).setdefault(then, Related(ids[then], then, f"began {lag} after it"))
    keys = before.keys() | after.keys()
    return {key: tuple((before.get(key, {}) | after.get(key, {})).values()) for key in sorted(keys)}
