"""Files on disk, opened for reading only and watched for changes; standard input is one of them."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TextIO

from analyzer.errors import InputError
from analyzer.sources.discover import STDIN

ReadAt = Callable[[int, int], bytes]
"""Bytes from an offset, at most so many; fewer only at the end."""
FillAt = Callable[[int, memoryview], int]
"""The same, put into this room; how many."""

_CHUNK = 1 << 20

_spooled: list[IO[bytes]] = []


class File:
    """One file. `size`: its bytes when it was opened; no more are read, however it grows.

    Raises InputError where it cannot be opened or is not regular.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _spool() if path == STDIN else _open(path)
        self._before = os.fstat(self._file.fileno())
        self.size = self._before.st_size

    @property
    def length(self) -> int:
        """The same, as readers of a tar ask for it."""
        return self.size

    def read_at(self, offset: int, size: int) -> bytes:
        """Those bytes. Raises InputError where the disk does not give them."""
        want = min(size, self.size - offset)
        try:
            # pread, because standard input is one spool however often it is opened
            return os.pread(self._file.fileno(), want, offset) if want > 0 else b""
        except OSError as error:
            raise _unreadable(offset, error) from error

    def fill_at(self, offset: int, room: memoryview) -> int:
        """As many of those bytes as there is room for. Raises InputError where the disk does not give them."""
        want = min(len(room), self.size - offset)
        try:
            return os.preadv(self._file.fileno(), [room[:want]], offset) if want > 0 else 0
        except OSError as error:
            raise _unreadable(offset, error) from error

    def changes(self, what: str) -> Iterator[str]:
        """What happened to the file since it was opened, a sentence each; `what` names it."""
        if self._file in _spooled:
            return
        after = os.fstat(self._file.fileno())
        if after.st_size > self.size:
            yield f"{what} grew while it was read; only its first {self.size} bytes were read"
        elif after.st_size < self.size:
            yield f"{what} was cut from {self.size} to {after.st_size} bytes while it was read"
        elif after.st_mtime_ns != self._before.st_mtime_ns:
            yield f"{what} was written to while it was read"
        try:
            named = self._path.stat()
        except OSError:
            yield f"{what} was removed while it was read"
            return
        if (named.st_dev, named.st_ino) != (after.st_dev, after.st_ino):
            yield f"{what} was replaced while it was read; what was opened first was read"

    def close(self) -> None:
        if self._file not in _spooled:
            self._file.close()


def _unreadable(offset: int, error: OSError) -> InputError:
    return InputError(f"cannot be read beyond byte {offset}: {error.strerror}")


class Slice:
    """A run of bytes read from its start to its end."""

    def __init__(self, read_at: ReadAt, start: int, size: int, fill_at: FillAt | None = None) -> None:
        self._read_at = read_at
        self._fill_at = fill_at
        self._at = start
        self._end = start + size
        self.size = size

    def read(self, size: int) -> bytes:
        chunk = self._read_at(self._at, min(size, self._end - self._at)) if self._at < self._end else b""
        self._at += len(chunk)
        return chunk

    def fill(self, room: memoryview) -> int:
        """Put the next bytes into this room; how many."""
        room = room[: self._end - self._at]
        if self._fill_at is None:
            chunk = self.read(len(room))
            room[: len(chunk)] = chunk
            return len(chunk)
        found = self._fill_at(self._at, room) if room else 0
        self._at += found
        return found

    def skip(self, size: int) -> None:
        """Pass over the next bytes."""
        self._at = min(self._at + size, self._end)


def _open(path: Path) -> IO[bytes]:
    """Opened without waiting, so that a pipe that took the place of a file cannot hang us."""
    try:
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0)
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
