"""Tar, header by header: ustar, the long names of GNU, the extended headers of pax (POSIX.1-2017, pax).

The library's reader gives a cut archive a clean end and stops at the first damaged header. Here a loss is a note, and
the walk goes on at the next header whose checksum is right. No claim of a header is ever used to allocate.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from msgspec import Struct, field

from analyzer.sources import entries
from analyzer.sources.contract import Ledger, Member
from analyzer.sources.entries import DIRECTORY, Entry, as_text

BLOCK = 512

NAMES_READ = 64 << 10
"""Bytes of one extended header; a path has 4096 at most (PATH_MAX)."""

_STEP = 1 << 20
_MAGIC = b"ustar"
_MAGICS = (b"ustar\x0000", b"ustar  \0")
"""With the version behind it: POSIX, and GNU before it."""
_MAGIC_AT, _SUM_AT, _SUM_END = 257, 148, 156
_REGULAR = b"0\0007"
_EXTENDED = b"LKxXg"
_UNSIZED = b"123456"
"""Kinds that have no data, whatever their size field says."""

_LOW = bytes(range(128))
_SPARSE = "a sparse file, which is not read: unpack it by hand"
_KINDS = {
    b"1": "a hard link, not followed: the member that it names is read by its own name",
    b"2": "a symbolic link, not followed",
    b"3": "a device, not opened",
    b"4": "a device, not opened",
    b"5": DIRECTORY,
    b"6": "a named pipe, not opened",
    b"D": DIRECTORY,
    b"M": "the rest of a file that another volume begins, not read: join the volumes first",
    b"S": _SPARSE,
    b"V": DIRECTORY,  # the label of a volume
}


class Bytes(Protocol):
    """The decompressed archive. `length`: how many bytes it has, known once `read_at` came to its end."""

    def read_at(self, offset: int, size: int) -> bytes: ...
    @property
    def length(self) -> int: ...


class _Extra(Struct):
    """What extended headers say of the member after them."""

    name: bytes | None = None
    size: int | None = None
    modified: float | None = None
    sparse: bool = False


class _Losses(Struct):
    """What is no header or no good one, told once however much there is."""

    bytes: int = 0
    first: int = 0
    extended: int = 0
    first_extended: int = 0

    def add(self, start: int, end: int) -> None:
        self.first = self.first if self.bytes else start
        self.bytes += end - start

    def add_extended(self, at: int) -> None:
        self.first_extended = self.first_extended if self.extended else at
        self.extended += 1

    def tell(self, ledger: Ledger) -> None:
        if self.bytes:
            ledger.note(
                f"{self.bytes} bytes where headers should stand were passed over, from byte {self.first} on: "
                "the archive is damaged there"
            )
        if self.extended:
            ledger.note(
                f"{self.extended} extended headers are damaged or too long, the first at byte {self.first_extended}: "
                "names and sizes after them may be wrong"
            )


class _Header(Struct, frozen=True):
    name: bytes
    size: int
    kind: bytes
    modified: float | None
    more_sparse: bool


def is_tar(head: bytes) -> bool:
    """Whether a tar starts with these bytes: by magic and version, or by checksum. Text has no NUL in either."""
    if head[_MAGIC_AT : _MAGIC_AT + 8] in _MAGICS:
        return True
    return 0 in head[:BLOCK] and _header(head[:BLOCK]) is not None


def tar_entries(archive: Bytes, ledger: Ledger) -> Iterator[Entry]:
    """Everything that the archive names, in its order; what is damaged or missing is a note."""
    losses = _Losses()
    yield from _Walk(archive, ledger, losses).entries()
    losses.tell(ledger)


class _Walk(Struct):
    archive: Bytes
    ledger: Ledger
    losses: _Losses
    at: int = 0
    last: str = ""
    data_end: int = 0
    extra: _Extra = field(default_factory=_Extra)

    def entries(self) -> Iterator[Entry]:
        blank = headers = 0
        while len(block := self.archive.read_at(self.at, BLOCK)) == BLOCK:
            if block.count(0) == BLOCK:
                blank, self.at = blank + 1, self.at + BLOCK
                if blank == 2:
                    self._behind_the_end()
                    return
                continue
            if (header := _header(block)) is None:
                if not self._next_header():
                    return
                continue
            blank, headers = 0, headers + 1
            if headers > entries.MEMBERS_LIMIT:
                self.ledger.note(entries.too_many(self.at))
                return
            if (entry := self._entry(header)) is not None:
                yield entry
        self._ended(len(block), blank)

    def _entry(self, header: _Header) -> Entry | None:
        """The entry of a header, None for an extended one; goes on to the header after its data."""
        start = self.at + BLOCK
        while header.more_sparse and (more := self.archive.read_at(start, BLOCK)):
            start += BLOCK
            if len(more) < BLOCK or not more[504]:
                break
        if header.kind in _EXTENDED:
            self._extend(header, start)
            self._pass(start, header.size, "an extended header")
            return None
        extra, self.extra = self.extra, _Extra()
        name = as_text(header.name if extra.name is None else extra.name)
        size = header.size if extra.size is None else extra.size
        why = "" if header.kind in _REGULAR else _KINDS.get(header.kind, "of a kind that is not known here")
        if extra.sparse:
            why = _SPARSE
        elif not why and name.endswith("/"):
            why = DIRECTORY  # as tar wrote it before it had kinds
        if header.kind in _UNSIZED:
            size = 0
        self._pass(start, size, name)
        modified = header.modified if extra.modified is None else extra.modified
        return Entry(
            name=name, why=why, member=Member(kind="tar", start=start, stored=size, size=size, modified=modified)
        )

    def _pass(self, start: int, size: int, name: str) -> None:
        self.last, self.data_end = name, start + size
        self.at = start + -(-size // BLOCK) * BLOCK

    def _extend(self, header: _Header, start: int) -> None:
        if header.kind not in b"LxX":
            return
        if header.size > NAMES_READ:
            self.losses.add_extended(self.at)
            return
        data = self.archive.read_at(start, header.size)
        if header.kind == b"L":
            self.extra.name = data.split(b"\0", 1)[0]
        elif not _pax(data, self.extra):
            self.losses.add_extended(self.at)

    def _next_header(self) -> bool:
        """Go to the next block that is a header; False where there is none."""
        start = at = self.at
        while chunk := self.archive.read_at(at, _STEP):
            whole = len(chunk) // BLOCK
            blocks = np.frombuffer(chunk, np.uint8, whole * BLOCK).reshape(whole, BLOCK)
            marked = (blocks[:, _MAGIC_AT : _MAGIC_AT + 5] == np.frombuffer(_MAGIC, np.uint8)).all(axis=1)
            for place in np.flatnonzero(marked).tolist():
                if (found := at + place * BLOCK) > start and _header(chunk[place * BLOCK :][:BLOCK]) is not None:
                    self.losses.add(start, found)
                    self.at = found
                    return True
            if len(chunk) < _STEP:
                break
            at += whole * BLOCK
        self.losses.add(start, self.archive.length)
        return False

    def _ended(self, rest: int, blank: int) -> None:
        """Say how the archive ends, unless it ends as it should."""
        length = self.archive.length
        if self.data_end > length:
            self.ledger.note(f"the archive ends {self.data_end - length} bytes too early, inside {self.last}")
        elif rest:
            self.ledger.note(f"the archive ends inside a header, at byte {length}: members are missing")
        elif not blank:
            self.ledger.note(f"the archive has no end mark: members may be missing behind byte {length}")

    def _behind_the_end(self) -> None:
        """Padding is allowed behind the end, anything else is told."""
        there = False
        while chunk := self.archive.read_at(self.at, _STEP):
            there = there or chunk.count(0) < len(chunk)
            self.at += len(chunk)
        if there:
            self.ledger.note("bytes behind the end mark of the archive were not read: list it with `tar -i`")


def _header(block: bytes) -> _Header | None:
    """The fields of a block whose checksum is right and whose size is a number; else None."""
    if len(block) < BLOCK:
        return None
    # the field itself counts as eight spaces; some old writers summed signed bytes
    total = sum(block) - sum(block[_SUM_AT:_SUM_END]) + 8 * 32
    claimed = _number(block[_SUM_AT:_SUM_END])
    if claimed is None or (claimed != total and claimed != total - 256 * _high(block)):
        return None
    if (size := _number(block[124:136])) is None or size < 0:
        return None
    kind, magic = block[156:157], block[_MAGIC_AT : _MAGIC_AT + 6]
    name = block[:100].split(b"\0", 1)[0]
    if magic == b"ustar\0" and (prefix := block[345:500].split(b"\0", 1)[0]):
        name = prefix + b"/" + name
    modified = _number(block[136:148])
    more = kind == b"S" and bool(block[482])
    return _Header(name, size, kind, float(modified) if modified and modified < 1 << 40 else None, more)


def _high(block: bytes) -> int:
    """Bytes from 128 on, without those of the checksum."""
    return len((block[:_SUM_AT] + block[_SUM_END:]).translate(None, _LOW))


def _number(text: bytes) -> int | None:
    """Octal digits, or a binary number where the first bit is set (GNU); None for anything else."""
    if text[0] & 0x80:
        return int.from_bytes(bytes([text[0] & 0x3F]) + text[1:]) if not text[0] & 0x40 else -1
    digits = text.strip(b" \0")
    if not digits:
        return 0
    return int(digits, 8) if digits.isdigit() and not set(digits) & set(b"89") else None


def _pax(data: bytes, extra: _Extra) -> bool:
    """Take in records of the form `LENGTH KEY=VALUE\\n`; False where one is not of that form."""
    at = 0
    while at < len(data) and data[at]:
        length, blank, _ = data[at : at + 20].partition(b" ")
        if not blank or not length.isdigit() or int(length) <= len(length) + 1:
            return False
        record = data[at : at + int(length)]
        key, equals, value = record[len(length) + 1 : -1].partition(b"=")
        if not equals or len(record) < int(length) or not record.endswith(b"\n"):
            return False
        at += int(length)
        if key == b"path":
            extra.name = value
        elif key == b"size" and value.isdigit() and len(value) < 25:
            extra.size = int(value)
        elif key == b"mtime":
            extra.modified = _seconds(value)
        elif key.startswith(b"GNU.sparse."):
            extra.sparse = True
    return True


def _seconds(value: bytes) -> float | None:
    whole = value.split(b".", 1)[0]
    return float(whole) if whole.isdigit() and len(whole) < 12 else None
