"""What a source is: how one kind of input is recognised, read into tables, and quoted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

import polars as pl
from msgspec import Struct, field

from analyzer.frames.contract import Table
from analyzer.model import InputReport, SkippedReason

PLACES_KEPT = 3
"""Places named per reason for skipping."""

Batch = Mapping[Table, pl.DataFrame]


class Member(Struct, frozen=True, kw_only=True):
    """Where a file lies in an archive.

    `start` and `stored`: its bytes in the archive, which for a tar is the decompressed one. `size`: how many they are
    once unpacked, by the archive's own word for a zip. `missing`: bytes that the archive ends too soon for. `method`
    and `check` are those of a zip. `modified`: seconds since 1970, as the archive says. `archive_bytes`: size of the
    archive itself, by which a changed one is told. `notes`: what is known of it beside its bytes. `name`: as the
    archive has it; empty where it is too long.
    """

    kind: str  # tar or zip
    start: int
    stored: int
    size: int
    missing: int = 0
    method: int = 0
    check: int | None = None
    modified: float | None = None
    archive_bytes: int = 0
    notes: tuple[str, ...] = ()
    name: str = ""


class Item(Struct, frozen=True, kw_only=True):
    """One input: `id` is how results name it (the path relative to what the user gave), `path` where it lies.

    A `member` of an archive is an input of its own: its id is that of the archive, `!` and the member's name.
    """

    id: str
    path: Path
    member: Member | None = None

    @property
    def file_name(self) -> str:
        """The last part of the name."""
        name = self.id.rsplit("/", 1)[-1]
        return name.rsplit("!", 1)[-1] if self.member else name

    def modified(self) -> float:
        """When it was last changed, in seconds since 1970. Raises OSError where nothing tells."""
        if self.member is not None and self.member.modified is not None:
            return self.member.modified
        return self.path.stat().st_mtime


class ReadOptions(Struct, frozen=True, kw_only=True):
    """`tz` is for times without a zone, `year` for times without a year; `dated_span` is what dated inputs cover; a
    large input may be decoded by so many threads (`jobs`; None: as many as pay), which never changes the rows.
    `coredns_format` is the format of CoreDNS's log plugin where it is neither common nor combined nor JSON."""

    tz: str = "UTC"
    year: int | None = None
    dated_span: tuple[datetime, datetime] | None = None
    jobs: int | None = None
    coredns_format: str | None = None


class Match(Struct, frozen=True):
    """How sure a source is that it can read an input, from 0 to 1, and why."""

    confidence: float
    reason: str


class ByteStream(Protocol):
    """The decompressed bytes of one input. `read` returns b'' at the end and only there."""

    def read(self, size: int) -> bytes: ...


class SkippingStream(ByteStream, Protocol):
    """One that can pass over bytes, at less cost than reading them where the input allows."""

    def skip(self, size: int) -> None: ...


@runtime_checkable
class FillingStream(ByteStream, Protocol):
    """One that puts its next bytes into room that nobody changes afterwards: how many, 0 only at the end."""

    def fill(self, room: memoryview) -> int: ...


@runtime_checkable
class HashedStream(ByteStream, Protocol):
    """One that is hashed on the way, in a thread of its own unless somebody has better use for the cores: then part by
    part in whatever thread calls the function, until that says False. None: there is nothing to hash."""

    def hash_by_turns(self) -> Callable[[], bool] | None: ...


class Quote(Protocol):
    """The text of the records of those numbers, each at most `most` bytes of it; without, at most 2 KiB."""

    def __call__(self, stream: ByteStream, numbers: frozenset[int], /, most: int = ...) -> dict[int, str]: ...


class Marks(Struct, frozen=True):
    """Where some records of one input start, in its decompressed bytes: record 1 and each `every`-th after it."""

    every: int
    offsets: tuple[int, ...]


class Ledger(Struct):
    """What became of every record of one input: records = used + skipped + incomplete tail, always.

    `marks` are left by a source that can quote by them.
    """

    used: int = 0
    incomplete_tail: int = 0
    first_time: datetime | None = None
    last_time: datetime | None = None
    notes: list[str] = field(default_factory=list)
    marks: Marks | None = None
    _skipped: dict[str, int] = field(default_factory=dict)
    _places: dict[str, list[str]] = field(default_factory=dict)

    def use(self, count: int) -> None:
        self.used += count

    def skip(self, reason: str, places: Iterable[int | str] = (), count: int = 1) -> None:
        """Count records that were not used; the first three places (frame or line numbers) are kept per reason."""
        if count <= 0:
            return
        self._skipped[reason] = self._skipped.get(reason, 0) + count
        kept = self._places.setdefault(reason, [])
        for place in places:
            if len(kept) >= PLACES_KEPT:
                break
            kept.append(str(place))

    def tail(self) -> None:
        """The input ends inside a record: it was cut, or is still being written."""
        self.incomplete_tail = 1

    def note(self, text: str) -> None:
        """One sentence on what was assumed or lost; said once however often it is noted."""
        if text not in self.notes:
            self.notes.append(text)

    def span(self, first: datetime | None, last: datetime | None) -> None:
        """Widen the time that the used records cover."""
        if first is not None and (self.first_time is None or first < self.first_time):
            self.first_time = first
        if last is not None and (self.last_time is None or last > self.last_time):
            self.last_time = last

    @property
    def skipped(self) -> int:
        return sum(self._skipped.values())

    @property
    def records(self) -> int:
        return self.used + self.skipped + self.incomplete_tail

    def report(self, *, path: str, kind: str, sha256: str, size: int, error: str = "") -> InputReport:
        reasons = sorted(self._skipped.items(), key=lambda item: (-item[1], item[0]))
        return InputReport(
            path=path,
            kind=kind,
            sha256=sha256,
            bytes=size,
            records=self.records,
            used=self.used,
            skipped=self.skipped,
            skipped_reasons=tuple(
                SkippedReason(reason=reason, count=count, places=tuple(self._places[reason]))
                for reason, count in reasons
            ),
            incomplete_tail=self.incomplete_tail,
            first_time=self.first_time,
            last_time=self.last_time,
            notes=tuple(self.notes),
            error=error,
        )


class Source(Struct, frozen=True, kw_only=True):
    """One input format.

    `identify` sees the first 64 KiB of the decompressed bytes. `read` yields bounded batches of table rows and fills
    the ledger; it raises InputError only where nothing at all can be read. `quote` gives the text of the records of
    those numbers, at most 2 KiB or `most` bytes each, from the same bytes; `quote_by` the same by the marks that were
    left in the ledger, or less where they do not fit the input; `ready` imports what both need, where that takes long.
    `identify_as_told` stands in place of `identify` where
    options may say what an input looks like. A source with `needs_dates` is read after the others, so that it can take
    the year from their span. One with `magic` is known by its first bytes and is asked first: where it
    is certain, nobody looks for text in what is none.
    """

    name: str
    title: str
    tables: tuple[Table, ...]
    identify: Callable[[bytes], Match | None]
    read: Callable[[ByteStream, Item, ReadOptions, Ledger], Iterator[Batch]]
    quote: Quote
    quote_by: Callable[[SkippingStream, frozenset[int], Marks], dict[int, str]] | None = None
    ready: Callable[[], None] | None = None
    identify_as_told: Callable[[bytes, ReadOptions], Match | None] | None = None
    needs_dates: bool = False
    magic: bool = False
