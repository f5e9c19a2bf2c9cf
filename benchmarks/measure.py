"""What whole processes cost, by the operating system's own accounting."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent

KEEPING = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""The environment of what is measured: it keeps what its first run compiles, modules and templates, as an installation
does; else every run would compile the templates of the page anew."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of the clock, seconds of all cores in user and system mode, and the most memory that was resident.

    The memory cannot be told below what the measuring process itself takes, which Linux counts in (about 20 MiB).
    """

    wall: float
    cpu: float
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Command:
    """A process to measure.

    If `start` is given, `argv` does one part of the work in `factor`, and `start` none of it: the cost of the whole is
    then computed. A `slow` command is measured once a round, however many rows it stands in.
    """

    name: str
    argv: tuple[str, ...]
    start: tuple[str, ...] = ()
    factor: int = 1
    slow: bool = False


def measure(command: Command) -> Cost:
    """One run. What a part of the work costs beyond start-up is taken times its factor; memory is not."""
    part = _run(command.argv)
    if not command.start:
        return part
    start = _run(command.start)
    wall = start.wall + (part.wall - start.wall) * command.factor
    cpu = start.cpu + (part.cpu - start.cpu) * command.factor
    return Cost(wall, cpu, part.peak_mib)


def _run(argv: Sequence[str]) -> Cost:
    begin = time.perf_counter()
    child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT, env=KEEPING)
    # Read to the end, or a talkative process would wait for us.
    told = child.stderr.read() if child.stderr else b""
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - begin
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(
            f"{' '.join(argv)[:200]} failed with {child.returncode}: {told.decode(errors='replace')[-400:]}"
        )
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


@dataclass(frozen=True, slots=True)
class Pair:
    """What two commands cost, one straight after the other."""

    ours: Cost
    other: Cost


class Round:
    """One turn through the rows."""

    def __init__(self) -> None:
        self._slow: dict[Command, Cost] = {}

    def pair(self, ours: Command, other: Command) -> Pair:
        return Pair(self._cost(ours), self._cost(other))

    def _cost(self, command: Command) -> Cost:
        if not command.slow:
            return measure(command)
        if command not in self._slow:
            self._slow[command] = measure(command)
        return self._slow[command]
