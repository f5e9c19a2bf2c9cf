"""The published failure stories: which detectors look for each, which cases show it, what evidence it needs.

`analyzer/model/stories.tsv` states each story with the detectors that are meant for it, the kinds of evidence in which
it shows and where it was published; which detector claims it and which case fires is taken from the code and the
committed results.
"""

from __future__ import annotations

from functools import cache

from msgspec import Struct

from analyzer import detectors
from analyzer.model.stories import stories as told
from tests.cases import CASES, REPORTS, committed

KINDS = {
    "P": "capture",
    "C": "CoreDNS log",
    "A": "audit log",
    "K": "kubelet log",
    "O": "Events, kernel or component logs",
}
"""Letters of the table, in the order of the page."""


class Story(Struct, frozen=True, kw_only=True):
    """One line of the table: `meant` are detectors by their ids, `direct` and `partial` kinds of evidence in words."""

    number: int
    text: str
    meant: tuple[str, ...]
    direct: tuple[str, ...]
    partial: tuple[str, ...]
    where: str
    url: str


@cache
def stories() -> tuple[Story, ...]:
    """All of them, by number."""
    return tuple(
        Story(
            number=one.number,
            text=one.text,
            meant=one.meant,
            direct=_kinds(one.direct),
            partial=_kinds(one.partial),
            where=one.where,
            url=one.url,
        )
        for one in told().values()
    )


def _kinds(letters: str) -> tuple[str, ...]:
    return tuple(KINDS[letter] for letter in KINDS if letter in letters)


def claimed(number: int) -> tuple[str, ...]:
    """Detectors that say they look for the story, in the order of their ids."""
    return tuple(detector.id for detector in detectors.load() if number in detector.stories)


@cache
def _shown() -> dict[int, dict[str, set[str]]]:
    """Story to case to the detectors whose finding there names the story."""
    found: dict[int, dict[str, set[str]]] = {}
    for case in CASES:
        if not (REPORTS / f"{case}.json").is_file():
            continue
        for finding in committed(case).findings:
            for number in finding.stories:
                found.setdefault(number, {}).setdefault(case, set()).add(finding.detector)
    return found


def shown(number: int) -> tuple[str, ...]:
    """Cases whose committed result has a finding that names the story, by a detector that claims it."""
    mine = set(claimed(number))
    return tuple(sorted(case for case, by in _shown().get(number, {}).items() if by & mine))


def page() -> str:
    """`docs/stories.md` without its first line."""
    parts = [
        "# Published stories\n\n",
        "Failures that people told of in public, as far as a detector looks for them. A case is named where its\n",
        "committed report has a finding of that pattern. What shows a story directly is enough to find it; what\n",
        "shows it in part makes it surer, or hints at it.\n\n",
        "| no. | story | detectors | cases that show it | shows directly | shows in part | published |\n",
        "|---|---|---|---|---|---|---|\n",
    ]
    for story in stories():
        known = claimed(story.number)
        looks = ", ".join(f"[{name}](detectors.md#{name})" for name in known) or "none yet"
        cases = ", ".join(f"[{case}](../captures/{case}/)" for case in shown(story.number)) or "none yet"
        text = story.text.replace("|", "\\|")
        kinds = f"{', '.join(story.direct) or '–'} | {', '.join(story.partial) or '–'}"
        where = f"[{story.where}]({story.url})" if story.url else "–"
        parts.append(f"| {story.number} | {text} | {looks} | {cases} | {kinds} | {where} |\n")
    return "".join(parts)
