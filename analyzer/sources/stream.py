"""One input as a stream of decompressed bytes, read once, hashed on the way, and watched for changes."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO, TextIO

from analyzer.errors import InputError
from analyzer.sources.containers import expand
from analyzer.sources.contract import Item, Ledger
from analyzer.sources.discover import STDIN

_CHUNK = 1 << 20
_HASHES_AHEAD = 8
"""Chunks that may wait for the hashing thread, so that memory stays flat."""

_spooled: list[IO[bytes]] = []


@contextmanager
def open_stream(item: Item, ledger: Ledger, *, hashed: bool = True) -> Iterator[Stream]:
    """Open one input for reading only. What changes under our hands is noted in the ledger.

    Unless it is `hashed`, as for a second look at it, the stream has no sha256.

    Raises InputError where the file cannot be opened or is not regular; `peek` and `read` raise it where nothing can
    be made of its bytes.
    """
    file = _spool() if item.path == STDIN else _open(item)
    stream = Stream(file, item, ledger, hashed=hashed)
    try:
        yield stream
    finally:
        stream.close()


class Stream:
    """The decompressed bytes of one input; a ByteStream.

    `size`: bytes of the file as it was when opened; no more are read, however it grows.
    """

    def __init__(self, file: IO[bytes], item: Item, ledger: Ledger, *, hashed: bool = True) -> None:
        self._file = file
        self._item = item
        self._ledger = ledger
        self._before = os.fstat(file.fileno())
        self.size = self._before.st_size
        self._offset = 0
        self._hash = hashlib.sha256() if hashed else None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="sha256")
        self._hashing: deque[Future[None]] = deque()
        self._chunks = expand(self._read_raw, ledger)
        self._ready: deque[bytes | memoryview] = deque()
        self._held = 0
        self._ended = False

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

    def peek(self, size: int) -> bytes:
        """The first bytes that `read` would give. Raises InputError where the input holds none at all."""
        self._gather(size)
        if not self._ready and self._ended:
            raise InputError("empty file" if not self.size else "empty once it is decompressed")
        return b"".join(self._ready)[:size]

    @property
    def sha256(self) -> str:
        """Of the whole file, also of what nobody asked for; empty unless the stream is hashed."""
        if self._hash is None:
            return ""
        while self._read_raw(_CHUNK):
            pass
        while self._hashing:
            self._hashing.popleft().result()
        return self._hash.hexdigest()

    def close(self) -> None:
        self._worker.shutdown()
        self._watch()
        if self._file not in _spooled:
            self._file.close()

    def _gather(self, size: int) -> None:
        """Have that many bytes ready, or all that are left."""
        while self._held < size and not self._ended:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._ended = True
            elif chunk:
                self._ready.append(chunk)
                self._held += len(chunk)

    def _read_raw(self, size: int) -> bytes:
        """The next bytes of the file itself, handed to the hash as well."""
        want = min(size, self.size - self._offset)
        try:
            # pread, because standard input is one spool however often it is opened
            chunk = os.pread(self._file.fileno(), want, self._offset) if want > 0 else b""
        except OSError as error:
            raise InputError(f"cannot be read beyond byte {self._offset}: {error.strerror}") from error
        self._offset += len(chunk)
        if chunk and self._hash is not None:
            self._hashing.append(self._worker.submit(self._hash.update, chunk))
            if len(self._hashing) > _HASHES_AHEAD:
                self._hashing.popleft().result()
        return chunk

    def _watch(self) -> None:
        """Note what happened to the file since it was opened."""
        if self._file in _spooled:
            return
        after = os.fstat(self._file.fileno())
        if after.st_size > self.size:
            self._ledger.note(f"the file grew while it was read; only its first {self.size} bytes were read")
        elif after.st_size < self.size:
            self._ledger.note(f"the file was cut from {self.size} to {after.st_size} bytes while it was read")
        elif after.st_mtime_ns != self._before.st_mtime_ns:
            self._ledger.note("the file was written to while it was read")
        try:
            named = self._item.path.stat()
        except OSError:
            self._ledger.note("the file was removed while it was read")
            return
        if (named.st_dev, named.st_ino) != (after.st_dev, after.st_ino):
            self._ledger.note("the file was replaced while it was read; what was opened first was read")


def _open(item: Item) -> IO[bytes]:
    """Opened without waiting, so that a pipe that took the place of a file cannot hang us."""
    try:
        file = os.fdopen(os.open(item.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0)
    except OSError as error:
        raise InputError(f"cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise InputError("is not a regular file: save what comes out of it to a file first")
    return file


def _spool() -> IO[bytes]:
    """Standard input, copied once to a file without a name, because every input is read at least twice."""
    if not _spooled:
        stdin: TextIO | None = sys.stdin
        if stdin is None:
            raise InputError("standard input is closed")
        file = tempfile.TemporaryFile()  # noqa: SIM115  kept for the life of the process
        try:
            shutil.copyfileobj(stdin.buffer, file, _CHUNK)
        except OSError as error:
            file.close()
            raise InputError(f"standard input cannot be kept in {tempfile.gettempdir()}: {error.strerror}") from error
        file.flush()
        _spooled.append(file)
    return _spooled[0]
