"""Tar and zip as folders: every regular member is an input of its own, read where it lies.

Nothing is extracted. A tar that lies open on disk, and a zip, are read by offset. A compressed tar can be read forward
only, so it is decompressed once for each pass: to list the members and look at their heads, to read those with dates,
to read those without, and to quote; whoever reads members in the order of `Member.start` pays for one decompression,
however many there are. That costs time where a copy on disk would cost the room of the whole archive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from msgspec.structs import replace

from analyzer.errors import InputError
from analyzer.sources.containers import BOMB, EXPANDED_LIMIT, compression_of, expand, is_bomb
from analyzer.sources.contract import Item, Ledger, Member
from analyzer.sources.entries import DIRECTORY, Entry
from analyzer.sources.files import File, ReadAt, Slice
from analyzer.sources.tarframes import is_tar, tar_entries
from analyzer.sources.zipframes import is_zip, unpacked, zip_entries

HEAD = 512
"""Bytes by which an archive is known: a header of tar."""

NAME_SHOWN = 512
"""Characters of a member's name; longer ones are cut in ids, so that names cannot fill the memory."""

REFUSED_BY_NAME = 20
"""Members of one archive that are refused with a sentence each; the rest are counted."""

NESTED = "an archive inside an archive is not opened: unpack the outer one and name the directory"

Refusal = tuple[str, str]


def is_archive(head: bytes) -> bool:
    """Whether these are the first bytes of a tar or a zip."""
    return is_zip(head) or is_tar(head)


class Archive:
    """One open archive. `notes`: what its compression said, once it was read to its end."""

    def __init__(self, item: Item) -> None:
        self.path = item.path
        self.file = File(item.path)
        self._compression = compression_of(self.file.read_at(0, HEAD))
        self._zip = is_zip(self.file.read_at(0, HEAD))
        self._ledger = Ledger()
        self._bytes: File | _Expanded = self.file
        if self._compression is not None:
            self._bytes = _Expanded(self.file, self._ledger)
        self._spent = 0

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._ledger.notes)

    @property
    def length(self) -> int:
        """Bytes of the decompressed archive, as far as it was read."""
        return self._bytes.length

    def entries(self, ledger: Ledger) -> Iterator[Entry]:
        """All that the archive names. Raises InputError where it cannot be read on."""
        if self._zip:
            return zip_entries(self.file.read_at, self.file.size, ledger, self.spend)
        if is_zip(self._bytes.read_at(0, HEAD)):
            raise InputError(f"a zip archive inside {self._compression}: decompress it first")
        return tar_entries(self._bytes, ledger)

    def open(self, member: Member, ledger: Ledger) -> Slice | _Unpacked:
        """The bytes of a member. Raises InputError where the archive is not the one that was listed."""
        if self.file.size != member.archive_bytes:
            raise InputError("the archive has changed since its members were listed: run it again")
        self.spend(0)
        for note in member.notes:
            ledger.note(note)
        if member.kind == "zip":
            return _Unpacked(self.file.read_at, member, ledger, self)
        if member.missing:
            ledger.note(f"the archive ends {member.missing} bytes before the end of this member")
        return Slice(self._bytes.read_at, member.start, member.size)

    def spend(self, count: int) -> None:
        """Count what members expand to, over all of them: many small bombs, or one data in many members, are one."""
        self._spent += count
        if is_bomb(self._spent, self.file.size):
            raise InputError(f"{BOMB} (all members of the archive together)")
        if self._spent > EXPANDED_LIMIT:
            raise InputError(f"the members of the archive expand beyond {EXPANDED_LIMIT >> 30} GiB, the limit")


class _Expanded:
    """A compressed file by offset in its decompressed bytes; going back costs a decompression from the start."""

    def __init__(self, file: File, ledger: Ledger) -> None:
        self._file = file
        self._start(ledger)

    def _start(self, ledger: Ledger) -> None:
        self._problem = ""
        self._chunk, self._at = b"", 0
        self._chunks = expand(Slice(self._file.read_at, 0, self._file.size).read, ledger)

    @property
    def length(self) -> int:
        return self._at + len(self._chunk)

    def read_at(self, offset: int, size: int) -> bytes:
        if offset < self._at:
            self._start(Ledger())
        parts: list[bytes] = []
        while size > 0 and (offset < self.length or self._next()):
            begin = offset - self._at
            if part := self._chunk[begin : begin + size]:
                parts.append(part)
                offset += len(part)
                size -= len(part)
        return b"".join(parts)

    def _next(self) -> bool:
        """Go on to the next chunk; False at the end, where the last one stays."""
        if self._problem:
            raise InputError(self._problem)
        try:
            chunk = next(self._chunks, None)
        except InputError as error:
            self._problem = str(error)
            raise
        if chunk is None:
            return False
        self._at, self._chunk = self.length, chunk
        return True


class _Unpacked:
    """A member of a zip from its start to its end. `size`: as claimed, and as it was once it was read."""

    def __init__(self, read_at: ReadAt, member: Member, ledger: Ledger, archive: Archive) -> None:
        self._chunks = unpacked(read_at, member, ledger, archive.spend)
        self._given = 0
        self.size = member.size

    def read(self, size: int) -> bytes:
        """The next chunk, whatever its size."""
        if (chunk := next(self._chunks, None)) is None:
            self.size = self._given
            return b""
        self._given += len(chunk)
        return chunk


class Listing:
    """The members of an archive as inputs, by the rules for directories: hidden ones are passed over, links refused.

    Iterate first; `refused` and `settled` are whole only then. `ids` are those that others have; the new ones are
    added.
    """

    def __init__(self, archive: Archive, item: Item, ids: set[str]) -> None:
        self.refused: list[Refusal] = []
        self._archive, self._item, self._ids = archive, item, ids
        self._ledger = Ledger()
        self._times: Counter[str] = Counter()
        self._uncounted: Counter[str] = Counter()
        self._found = 0

    def __iter__(self) -> Iterator[Item]:
        try:
            for entry in self._archive.entries(self._ledger):
                if entry.why == DIRECTORY or _is_hidden(entry.name):
                    continue
                self._found += 1
                name, times = self._id(entry.name)
                if entry.why:
                    self._refuse(name, entry.why)
                    continue
                notes = (f"{times} members of the archive have this name so far; they are told apart by #",) * (
                    times > 1
                )
                written = entry.name if len(entry.name) <= NAME_SHOWN else ""
                member = replace(entry.member, archive_bytes=self._archive.file.size, notes=notes, name=written)
                yield Item(id=name, path=self._item.path, member=member)
        except InputError as error:
            self._ledger.note(str(error))
        self._close()

    def settled(self, item: Item) -> Item:
        """The item with what only the end of the archive tells: where it ends, and what its compression proves."""
        member = item.member
        assert member is not None
        notes = member.notes + tuple(f"{self._item.id}: {note}" for note in self._archive.notes)
        if member.kind == "tar":
            there = max(0, min(member.size, self._archive.length - member.start))
            member = replace(member, size=there, stored=there, missing=member.size - there)
        return replace(item, member=replace(member, notes=notes))

    def _close(self) -> None:
        for why, count in sorted(self._uncounted.items()):
            self._ledger.note(f"{count} further members were not read: {why}")
        for note in self._archive.notes:
            self._ledger.note(note)
        if not self._found and not self._ledger.notes:
            self._ledger.note("the archive holds no file that could be read")
        if self._ledger.notes:
            self.refused.append((self._item.id, "; ".join(self._ledger.notes)))

    def _refuse(self, name: str, why: str) -> None:
        if len(self.refused) < REFUSED_BY_NAME:
            self.refused.append((name, why))
        else:
            self._uncounted[why] += 1

    def _id(self, name: str) -> tuple[str, int]:
        """An id that no other input has, and how often the name was met."""
        base = f"{self._item.id}!{_shown(name)}"
        self._times[base] += 1
        found = base if self._times[base] == 1 else f"{base}#{self._times[base]}"
        while found in self._ids:
            self._times[base] += 1
            found = f"{base}#{self._times[base]}"
        self._ids.add(found)
        return found, self._times[base]


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


def _shown(name: str) -> str:
    """The name as part of an id: what does not print is escaped, `./` in front is left out."""
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name[: NAME_SHOWN + 1])
    return text if len(text) <= NAME_SHOWN else f"{text[:NAME_SHOWN]}…"
