"""The command line: the only place that prints and exits."""

from __future__ import annotations

import atexit
import gc
import os
import stat
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from analyzer.errors import AnalyzerError

if TYPE_CHECKING:
    from pathlib import Path

USAGE, INTERNAL, INTERRUPTED = 2, 70, 130

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # no linear algebra here, and NumPy would start its threads
POOLS = max(1, (os.cpu_count() or 1) // 2)
"""Pools of memory that threads share: one on two cores, where it was measured. The allocators would have four and eight
for each core, and what one thread frees would not serve another."""

os.environ.setdefault("_RJEM_MALLOC_CONF", f"narenas:{POOLS},oversize_threshold:0,dirty_decay_ms:5000")
"""The pools of polars, which keep what is freed for five seconds, large blocks too (jemalloc(3), opt.narenas,
opt.oversize_threshold, opt.dirty_decay_ms): it serves the next step, where new pages cost as much as the work on them.
Read when polars is loaded."""

_M_ARENA_MAX = -8
"""malloc.h of glibc."""

YOUNG = 50_000
"""New objects after which Python looks for garbage. Expressions and rows come by thousands and in no circles, so that
Python's 700 finds nothing, ninety times in a run over a hundred packets [measured: 0.015 s]."""


def share_arena() -> None:
    """As many arenas of the C library, NumPy's memory above all (mallopt(3), M_ARENA_MAX). It counts only before
    another thread has one, and so before polars is imported."""
    import ctypes

    try:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, POOLS)
    except (OSError, AttributeError, TypeError):  # another C library
        return


def main() -> NoReturn:
    """Entry point of the `analyze` command. Imports late, so that an interrupt has its exit code from the start."""
    gc.set_threshold(YOUNG)
    while (null := os.open(os.devnull, os.O_RDWR)) <= 2:  # a closed stream must not become the next file opened
        pass
    os.close(null)
    try:
        from analyzer.cli.commands import asked_for

        try:
            asked_for(sys.argv[1:])()
        except SystemExit as done:
            leave(done.code)
            raise
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except OSError as error:  # commands answer for their own; what is left is help that nobody can be told
        from analyzer.cli.wording import say

        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python tries once more when it ends
        say(f"error: standard output: cannot be written: {error.strerror}")
        raise SystemExit(USAGE) from error
    raise SystemExit(0)


def leave(code: str | int | None) -> None:
    """End the process, all of whose work is done, without looking through all of its objects once more: that takes as
    long as reading a small input. Returns where something is left to tell, or cannot be told."""
    if not isinstance(code, int) or threading.active_count() > 1:
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # a stream that is closed, or was never there
        return
    atexit._run_exitfuncs()
    os._exit(code)


SMALL = 128 << 10
"""Bytes of all inputs together up to which handing work over to other threads takes longer than the work [measured:
0.07 of 0.6 s for a hundred packets]. Compressed ones become more: some megabytes, which one thread reads as well."""


def settle(inputs: Sequence[Path]) -> None:
    """Before polars is imported: for small files one thread, and the engine that goes without tasks. Rows do not depend
    on either. What the user's environment says stays."""
    if "polars" in sys.modules:
        return
    try:
        files = [path.stat() for path in inputs]
    except OSError:  # told by whoever opens it
        return
    if all(stat.S_ISREG(file.st_mode) for file in files) and sum(file.st_size for file in files) <= SMALL:
        os.environ.setdefault("POLARS_MAX_THREADS", "1")
        os.environ.setdefault("POLARS_ENGINE_AFFINITY", "in-memory")


@contextmanager
def importing() -> Iterator[None]:
    """What is imported here is there to stay: nobody looks through it for garbage, neither now nor later. NumPy and
    polars are, so that what they take for good is said before."""
    gc.disable()
    share_arena()
    import numpy  # noqa: F401 - before polars, which else comes to it by a detour, at each of its calls [half as quick]

    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def guarded(work: Callable[[], int], verbose: int = 0) -> NoReturn:
    """Run one command and exit with its code; every failure becomes one sentence on stderr."""
    from analyzer.cli.wording import say

    try:
        code = work()
    except AnalyzerError as error:
        say(f"error: {error}")
        code = USAGE
    except KeyboardInterrupt:
        say("interrupted")
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001 - guard: the top of the command line
        say(f"internal error: {type(error).__name__}: {error}; please report it with the output of -v -v")
        if verbose > 1:
            import traceback

            traceback.print_exc()
        code = INTERNAL
    raise SystemExit(code)
