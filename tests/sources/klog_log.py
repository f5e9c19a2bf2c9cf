"""A klog in a test: one line with the text it is about, and the outcome of reading some."""

from __future__ import annotations

from typing import Any

from analyzer.frames import KLOG_LINES
from analyzer.sources.klog import SOURCE
from tests.sources.texts import Reading, read_text

JSON_LINE = {"ts": 1773478800500.25, "caller": "prober/prober.go:107", "msg": "Probe failed", "v": 1}


def line(text: str, clock: str = "0314 09:00:00.500000", head: str = "I", caller: str = "kubelet.go:2406") -> str:
    return f"{head}{clock}    1234 {caller}] {text}"


def read(*lines: str, name: str = "a.log", **options: Any) -> Reading:
    return read_text(SOURCE, lines, name=name, **{"year": 2026, **options})


def rows(*lines: str, **options: Any) -> list[dict[str, object]]:
    return read(*lines, **options).tables[KLOG_LINES].to_dicts()


def values(column: str, *lines: str, **options: Any) -> list[object]:
    return read(*lines, **options).column(KLOG_LINES, column)
