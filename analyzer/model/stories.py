"""The published failure stories that detectors look for, by their numbers: what happened, and where it was told.

`stories.tsv` beside this module holds them. Titles and addresses are those of the index at k8s.af (Kubernetes Failure
Stories, by Henning Jacobs), that of the Redis operator is its publisher's; which of them told a story is known by what
happened in it. One of which no publication is certain has none.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from msgspec import Struct

FILE = Path(__file__).with_name("stories.tsv")


class PublishedStory(Struct, frozen=True, kw_only=True):
    """One line of the table: `meant` are detectors by their ids, `direct` and `partial` letters of evidence.

    `title`, `by` and `url` say where it was published; all are empty where that is not known.
    """

    number: int
    text: str
    meant: tuple[str, ...]
    direct: str
    partial: str
    title: str
    by: str
    url: str

    @property
    def where(self) -> str:
        """Title and publisher in one phrase; empty where no publication is known."""
        return f"“{self.title}” ({self.by})" if self.title else ""


@cache
def stories() -> dict[int, PublishedStory]:
    """All of them by their numbers, in their order."""
    _, *rows = FILE.read_text(encoding="utf-8").splitlines()
    return {one.number: one for one in map(_story, rows)}


def published(numbers: Iterable[int]) -> tuple[PublishedStory, ...]:
    """Those of these numbers; a number that this version does not know has no text."""
    known = stories()
    return tuple(known.get(number) or _unknown(number) for number in numbers)


def _story(row: str) -> PublishedStory:
    number, text, detectors, direct, partial, title, by, url = row.split("\t")
    meant = tuple(detectors.split(","))
    return PublishedStory(
        number=int(number), text=text, meant=meant, direct=direct, partial=partial, title=title, by=by, url=url
    )


def _unknown(number: int) -> PublishedStory:
    return PublishedStory(number=number, text=f"no. {number}", meant=(), direct="", partial="", title="", by="", url="")
