"""`python -m tests.sources.capture.bounded FILE...`: reads captures in a process of its own and tells what each cost.

One line a file: its name, seconds of CPU, and the most memory in use meanwhile in bytes. The name comes first, so that
whoever waits knows which file it is that never ends.
"""

from __future__ import annotations

import resource
import sys
import time
from contextlib import suppress
from pathlib import Path

from analyzer.errors import InputError
from tests.sources.capture.make import read_file

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def main(files: list[str]) -> None:
    read_one(files[0])
    for file in files:
        sys.stdout.write(file)
        sys.stdout.flush()
        if _CLEAR.exists():
            # Begins the peak anew.
            _CLEAR.write_text("5")
        begun = time.process_time()
        read_one(file)
        sys.stdout.write(f"\t{time.process_time() - begun:.3f}\t{_peak()}\n")
        sys.stdout.flush()


def read_one(file: str) -> None:
    with suppress(InputError):
        read_file(Path(file))


def _peak() -> int:
    """Most bytes in use. What getrusage says may be the parent's: it survives vfork and exec."""
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


if __name__ == "__main__":
    main(sys.argv[1:])
