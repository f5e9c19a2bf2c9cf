"""One input as a stream of decompressed bytes, read once, hashed on the way, and watched for changes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol

from analyzer.errors import InputError
from analyzer.sources.archives import Archive
from analyzer.sources.bytesource import STEP
from analyzer.sources.containers import RATIO_FROM, RATIO_LIMIT, compression_of, expand
from analyzer.sources.contract import Item, Ledger
from analyzer.sources.files import File, Slice
from analyzer.sources.freed import LARGE, keep_freed
from analyzer.sources.hashing import Hashing

_CHUNK = 1 << 20
_HEAD = 16
"""Bytes that tell how an input is compressed."""
_LARGEST = 8 << 20
"""Bytes of a plain input that are read at once where so many are asked for: what is read whole need not be joined."""


@contextmanager
def open_stream(item: Item, ledger: Ledger, *, hashed: bool = True) -> Iterator[Stream]:
    """Open one input as `Opener.open` does."""
    with Opener() as opener, opener.open(item, ledger, hashed=hashed) as stream:
        yield stream


class Opener:
    """Opens inputs. The archive that was read last stays open, so that members in their order cost one pass over it."""

    def __init__(self) -> None:
        self._archive: Archive | None = None

    def __enter__(self) -> Opener:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self._archive is not None:
            self._archive.file.close()
            self._archive = None

    def archive(self, item: Item) -> Archive:
        """The archive in which the item lies, or which it is."""
        if self._archive is None or self._archive.path != item.path:
            self.close()
            self._archive = Archive(item)
        return self._archive

    @contextmanager
    def open(self, item: Item, ledger: Ledger, *, hashed: bool = True) -> Iterator[Stream]:
        """Open one input for reading only. What changes under our hands is noted in the ledger.

        Unless it is `hashed`, as for a second look at it, the stream has no sha256.
        Raises InputError where the file cannot be opened or is not regular; `peek` and `read` raise it where nothing
        can be made of its bytes.
        """
        if item.member is None:
            file, what = File(item.path), "the file"
            stream = Stream(Slice(file.read_at, 0, file.size, file.fill_at), ledger, hashed=hashed)
        else:
            archive = self.archive(item)
            file, what = archive.file, "the archive"
            stream = Stream(archive.open(item.member, ledger), ledger, archive.spend, hashed=hashed)
        if file.size >= LARGE:
            keep_freed()
        try:
            yield stream
        finally:
            stream.close()
            for change in file.changes(what):
                ledger.note(change)
            if item.member is None:
                file.close()


class Raw(Protocol):
    """The bytes of an input as they are stored, from start to end; `size` may be known at the end only."""

    @property
    def size(self) -> int: ...
    def read(self, size: int) -> bytes: ...


class Stream:
    """The decompressed bytes of one input; a ByteStream. `spend` is told what they expand to, as it happens."""

    def __init__(
        self, raw: Raw, ledger: Ledger, spend: Callable[[int], None] | None = None, *, hashed: bool = True
    ) -> None:
        self._raw = raw
        self._spend = spend
        self._packed: bool | None = None
        self._expanded = 0
        self.taken = 0
        self._hash = Hashing() if hashed else None
        self._missing = 0
        self._chunks = expand(self._read_raw, ledger)
        self._ready: deque[bytes | memoryview] = deque()
        self._held = 0
        self._ended = False

    @property
    def size(self) -> int:
        """Bytes of the input as it is stored, when it was opened."""
        return self._raw.size

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end."""
        self._gather(size)
        parts: list[bytes | memoryview] = []
        wanted = size
        while wanted and self._ready:
            part = self._ready.popleft()
            if len(part) > wanted:
                self._ready.appendleft(memoryview(part)[wanted:])
                part = memoryview(part)[:wanted]
            parts.append(part)
            wanted -= len(part)
        self._held -= size - wanted
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    def fill(self, room: memoryview) -> int:
        """Put the next bytes into this room, which nobody changes afterwards; how many, 0 only at the end.

        Those of a plain file are not copied on the way.
        """
        if self._held or self._packed is not False or not isinstance(self._raw, Slice):
            part = self.read(min(len(room), _CHUNK))
            room[: len(part)] = part
            return len(part)
        found = self._raw.fill(room)
        self._ended |= not found
        self._expanded += found
        self._take(room[:found])
        return found

    def skip(self, size: int) -> None:
        """Pass over the next `size` bytes. Those of a plain file that nobody hashes are not read at all."""
        size -= len(self.read(min(size, self._held)))
        if self._packed is False and self._hash is None and isinstance(self._raw, Slice):
            self._raw.skip(size)
            return
        while size > 0 and (part := self.read(min(size, _CHUNK))):
            size -= len(part)

    def hash_by_turns(self) -> Callable[[], bool] | None:
        """Hash from now on in whatever thread calls this function (`Hashing.by_turns`); None if nothing is hashed."""
        return None if self._hash is None else self._hash.by_turns()

    def peek(self, size: int) -> bytes:
        """The first bytes that `read` would give. Raises InputError where the input holds none at all."""
        self._gather(size)
        if not self._ready and self._ended:
            raise InputError("empty once it is decompressed" if self.taken else "empty file")
        return b"".join(self._ready)[:size]

    def beware(self) -> None:
        """Raise InputError if the input, whose head nobody knows, is a bomb; reads as far as tells that."""
        while self._packed and self._expanded <= RATIO_FROM and self.taken <= RATIO_FROM // RATIO_LIMIT + STEP:
            if not self.read(STEP):
                return

    @property
    def sha256(self) -> str:
        """Of the whole input as it is stored, also of what nobody asked for; empty where that cannot be read, and
        unless the stream is hashed."""
        if self._hash is None:
            return ""
        try:
            while self._read_raw(_CHUNK):
                pass
        except InputError:
            return ""
        return self._hash.hexdigest()

    def close(self) -> None:
        if self._hash is not None:
            self._hash.close()

    def _gather(self, size: int) -> None:
        """Have that many bytes ready, or all that are left."""
        while self._held < size and not self._ended:
            self._missing = size - self._held
            chunk = next(self._chunks, None)
            if chunk is None:
                self._ended = True
            elif chunk:
                self._ready.append(chunk)
                self._held += len(chunk)
                self._expanded += len(chunk)
                if self._packed and self._spend is not None:
                    self._spend(len(chunk))

    def _read_raw(self, size: int) -> bytes:
        """The next bytes of the input itself, handed to the hash as well."""
        if self._packed is False:
            size = max(size, min(self._missing, _LARGEST))
        chunk = self._raw.read(size)
        self._take(chunk)
        return chunk

    def _take(self, chunk: bytes | memoryview) -> None:
        """Count stored bytes, and hand them to the hash."""
        if not chunk:
            return
        if self._packed is None:
            self._packed = compression_of(bytes(chunk[:_HEAD])) is not None
        self.taken += len(chunk)
        if self._hash is not None:
            self._hash.feed(chunk)
