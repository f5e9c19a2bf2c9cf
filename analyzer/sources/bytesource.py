"""Compressed bytes with a look ahead, and what to say when they end too soon."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.errors import InputError
from analyzer.sources.contract import Ledger

STEP = 1 << 20
"""Bytes that are read, and at most expanded, in one step."""


class ByteSource:
    """`taken`: bytes that were handed out."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._ahead = b""
        self._at = 0
        self.taken = 0

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end."""
        while len(self._ahead) - self._at < size:
            chunk = self._read(max(STEP, size))
            if not chunk:
                break
            self._ahead, self._at = self._ahead[self._at :] + chunk, 0
        return self._ahead[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end."""
        found = self.peek(size)
        self._at += len(found)
        self.taken += len(found)
        return found

    def some(self) -> bytes:
        """What lies ready, about a step; b'' at the end and only there."""
        self.peek(1)
        found = self._ahead[self._at :]
        self._ahead, self._at = b"", 0
        self.taken += len(found)
        return found

    def give_back(self, data: bytes) -> None:
        """Undo the taking of the last bytes."""
        self._ahead, self._at = data + self._ahead[self._at :], 0
        self.taken -= len(data)

    def skip(self, size: int) -> None:
        """Take that many bytes and forget them."""
        while size > 0 and (found := self.take(min(size, STEP))):
            size -= len(found)

    def take_until_nul(self, limit: int) -> bool:
        """Take bytes up to and with the next NUL; False where there is none within `limit`."""
        end = self.peek(limit).find(b"\0")
        if end >= 0:
            self.take(end + 1)
        return end >= 0

    def drain(self) -> int:
        """Take all that is left; the number of bytes, 0 if they are all NUL (padding)."""
        count, blank = 0, True
        while chunk := self.some():
            count += len(chunk)
            blank = blank and not chunk.strip(b"\0")
        return 0 if blank else count


def lost(ledger: Ledger, given: int, sentence: str) -> None:
    """Tell a loss: a note if something was read before it, else the end of this input."""
    if not given:
        raise InputError(sentence)
    ledger.note(f"{sentence}; the {given} decompressed bytes before it were read")
