"""Who calls a pure function for each of many inputs or buckets: this process, or the workers of a Dask scheduler.

No engine of our own: what has to be brought together lies in the case directory, so a task is a function and its
arguments, and a lost worker is nothing but a task to repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol, TypeVar

from analyzer.errors import InputError, UsageError

T = TypeVar("T")
R = TypeVar("R")

CONNECT_SECONDS = 30
"""How long a scheduler may take to answer."""

REPEATS = 3
"""How often a task is given to another worker after its own was lost or could not read the shared folder."""


class Engine(Protocol):
    """`map` gives the results in the order of the items."""

    apart: bool
    """Whether functions run in other processes, which see nothing but files."""

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]: ...


class Here:
    """One call after another in this process."""

    apart = False

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        return [function(item) for item in items]


class Dask:
    """The workers of a scheduler. They need this package in the same version, and see the same folders."""

    apart = True

    def __init__(self, address: str) -> None:
        """Raises UsageError where Dask is not installed, InputError where no scheduler answers."""
        try:
            from distributed import Client
        except ImportError as error:
            raise UsageError("--scheduler needs Dask: pip install 'kube-postmortem[dask]'") from error
        try:
            self._client: Any = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(f"--scheduler {address}: no scheduler answers there ({type(error).__name__})") from error

    def __enter__(self) -> Dask:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        from distributed import CancelledError, KilledWorker

        futures = self._client.map(function, list(items), pure=False, retries=REPEATS)
        try:
            done: list[R] = self._client.gather(futures)
        except (KilledWorker, CancelledError) as error:
            raise InputError(
                f"--scheduler: its workers were lost again and again ({type(error).__name__}); give them more memory, "
                "or read without it"
            ) from error
        return done
