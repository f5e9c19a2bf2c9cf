"""Evidence directories of made inputs: a finding that quotes the records a test names, without a detector."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analyzer.case import Case
from analyzer.model import Confidence, Evidence, Finding, Record, Result, Run, Severity, Status, Tool
from analyzer.pipeline import RunOptions
from analyzer.pipeline.carve import Hide, carve
from analyzer.pipeline.options import Progress
from analyzer.pipeline.read import read_all
from analyzer.pipeline.sink import Sink

Places = Iterable[tuple[str, int]]


def finding(places: Places, key: str = "d:s") -> Finding:
    return Finding(
        detector="d",
        subject="s",
        summary="x",
        severity=Severity.LOW,
        confidence=Confidence.LOW,
        confidence_reason="",
        start=None,
        end=None,
        impact=(),
        evidence=Evidence(
            records=tuple(
                Record(source=source, number=number, time=datetime(2026, 3, 14, tzinfo=UTC), command=f"# {number}")
                for source, number in places
            )
        ),
        key=key,
    )


def result(*findings: Finding) -> Result:
    run = Run(detector="d", title="d", status=Status.FIRED, findings=findings)
    return Result(tool=Tool(name="t", version="0", python="3"), runs=(run,))


@contextmanager
def read(*inputs: Path, memory: int | None = None) -> Iterator[Case]:
    with Sink(memory) as sink:
        yield read_all(RunOptions(inputs=inputs), Progress(), sink)


def carved(inputs: Iterable[Path], *quoted: Places, hide: Hide | None = None) -> dict[str, bytes]:
    """The files for one finding for each of `quoted`."""
    told = result(*(finding(places, f"d:{at:03d}") for at, places in enumerate(quoted)))
    with read(*inputs) as case:
        return carve(told, told, case, hide)


def index(files: dict[str, bytes], at: int = 0) -> dict[str, Any]:
    """What the index says of a finding."""
    entry: dict[str, Any] = json.loads(files["index.json"])["findings"][at]
    return entry
