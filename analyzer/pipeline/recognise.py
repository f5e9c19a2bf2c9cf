"""Say of every input what it is, by its first bytes; members of archives are inputs like files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from analyzer import sources
from analyzer.case import is_case
from analyzer.errors import InputError, UsageError
from analyzer.model import InputReport
from analyzer.pipeline.slices import is_slices
from analyzer.sources.archives import NESTED, Listing, is_archive
from analyzer.sources.contract import Item, Ledger, Match, ReadOptions, Source
from analyzer.sources.discover import discover
from analyzer.sources.stream import Opener

UNKNOWN = "unknown"
REFUSED = "refused"
KEPT = "a case that was kept is not read with the directory around it: name it as an input of its own"
COPIED = "slices of evidence that this tool wrote are not read with the directory around them"

ARCHIVE = "archive"
"""Kind of the report on an archive in which something was lost; its members have reports of their own."""


class Known(Struct, frozen=True, kw_only=True):
    """An input and what it was recognised as; `report` stands instead where it cannot be read."""

    item: Item
    source: Source | None = None
    match: Match | None = None
    report: InputReport | None = None


def recognise(
    paths: Sequence[Path],
    kind: str | None = None,
    outputs: Sequence[Path] = (),
    how: ReadOptions | None = None,
) -> list[Known]:
    """Every input below `paths`, in the order of ids, with its source; `how` they will be read may tell what they are.
    Raises UsageError for an unknown kind."""
    replaced = {identity for path in outputs if (identity := _file(path))}

    def left_out(folder: Path) -> str | None:
        if _file(folder) in replaced:
            return ""
        if is_slices(folder):
            return COPIED
        return KEPT if is_case(folder) else None

    items, refused = discover([path for path in paths if not is_case(path)], left_out)
    items = [item for item in items if not replaced or _file(item.path) not in replaced]
    known = [Known(item=Item(id=name, path=Path(name)), report=_unread(name, REFUSED, why)) for name, why in refused]
    ids = {one.item.id for one in known} | {item.id for item in items}
    with Opener() as opener:
        for item in items:
            one = _recognise(item, kind, opener, how)
            known += [one] if one is not None else _members(item, kind, opener, ids, how)
    return sorted(known, key=lambda one: one.item.id)


def _members(item: Item, kind: str | None, opener: Opener, ids: set[str], how: ReadOptions | None) -> list[Known]:
    """The members of an archive, each recognised while the archive is listed; what it lost is a report of its own."""
    listing = Listing(opener.archive(item), item, ids)
    found = [(member, _recognise(member, kind, opener, how)) for member in listing]
    known = [
        Known(item=Item(id=name, path=item.path), report=_unread(name, ARCHIVE if name == item.id else REFUSED, why))
        for name, why in listing.refused
    ]
    for member, one in found:
        settled = listing.settled(member)
        if one is None:
            one = Known(item=settled, report=_unread(settled.id, REFUSED, NESTED))
        report = replace(one.report, bytes=size_of(settled)) if one.report is not None else None
        known.append(replace(one, item=settled, report=report))
    return known


def _recognise(item: Item, kind: str | None, opener: Opener, how: ReadOptions | None) -> Known | None:
    """What an input is by its head; None for an archive."""
    try:
        with opener.open(item, Ledger()) as stream:
            head = stream.peek(sources.HEAD)
            best = sources.identify(head, how) if kind is None else None
            certain = best is not None and best[1].confidence == sources.CERTAIN
            if not certain and is_archive(head):
                return None
            if kind is None and best is None:
                stream.beware()
    except (InputError, OSError) as error:
        return Known(item=item, report=_unread(item.id, REFUSED, sentence(error), size_of(item)))
    if kind is not None:
        return Known(item=item, source=source_of(kind), match=Match(1.0, "as the command says"))
    if not head:
        return Known(item=item, report=_unread(item.id, UNKNOWN, "empty file", size_of(item)))
    if best is None:
        first = head[:8].hex(" ")
        why = f"not a capture or a log that is known here (first bytes: {first}); force a kind with --as"
        return Known(item=item, report=_unread(item.id, UNKNOWN, why, size_of(item)))
    return Known(item=item, source=best[0], match=best[1])


def source_of(kind: str) -> Source:
    for source in sources.each():
        if source.name == kind:
            return source
    raise UsageError(f"there is no kind {kind}; there are {', '.join(source.name for source in sources.load())}")


def sentence(error: InputError | OSError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _unread(name: str, kind: str, why: str, size: int = 0) -> InputReport:
    return replace(Ledger().report(path=name, kind=kind, sha256="", size=size), error=why)


def size_of(item: Item) -> int:
    if item.member is not None:
        return item.member.size
    try:
        return item.path.stat().st_size
    except OSError:
        return 0


def _file(path: Path) -> tuple[int, int] | None:
    """What tells a file from every other, whatever its name."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
