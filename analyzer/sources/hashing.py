"""SHA-256 of what is read, beside the reading: in a thread of its own, or part by part by whoever has time."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

AHEAD = 16 << 20
"""Bytes that may wait to be hashed, so that memory stays flat; beyond, the reading thread hashes as well."""

PART = 4 << 20
"""Bytes hashed at a time, some milliseconds of work: so soon another thread is done with what somebody waits for."""


class Hashing:
    """The hash of what is fed, in that order. What is fed must not change afterwards."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._waiting: deque[memoryview] = deque()
        self._fed = self._done = 0
        self._turn = Lock()
        self._thread: ThreadPoolExecutor | None = ThreadPoolExecutor(1, thread_name_prefix="sha256")

    def feed(self, chunk: bytes | memoryview) -> None:
        """The next bytes, which are hashed now or later."""
        self._waiting.append(memoryview(chunk))
        self._fed += len(chunk)
        if self._thread is not None:
            self._thread.submit(self._drain)
        self._until(AHEAD)

    def by_turns(self) -> Callable[[], bool]:
        """From now on no thread hashes of its own accord, but whoever calls this function, from whatever thread: it
        hashes a part of what waits. False where nothing does, or another thread is at it."""
        self.close()
        return self._part

    def hexdigest(self) -> str:
        """Of all that was fed."""
        self._until(0)
        return self._sha256.hexdigest()

    def close(self) -> None:
        """End the thread once it has hashed what it was given."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def _drain(self) -> None:
        while self._part(wait=True):
            pass

    def _until(self, ahead: int) -> None:
        """Hash until no more than so many bytes wait."""
        while self._fed - self._done > ahead:
            self._part(wait=True)

    def _part(self, *, wait: bool = False) -> bool:
        if not self._turn.acquire(blocking=wait):
            return False
        try:
            if not self._waiting:
                return False
            chunk = self._waiting[0]
            self._sha256.update(chunk[:PART])
            if len(chunk) > PART:
                self._waiting[0] = chunk[PART:]
            else:
                self._waiting.popleft()
            self._done += min(len(chunk), PART)
            return True
        finally:
            self._turn.release()
