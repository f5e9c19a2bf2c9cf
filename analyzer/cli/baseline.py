"""`--baseline`: an earlier result, or the evidence or case of another day, to hold this one against."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from analyzer import pipeline
from analyzer.cli.output import STDOUT, saved
from analyzer.errors import UsageError
from analyzer.model import Result


def early(baseline: Path | None) -> None:
    """Refuse a baseline that is none before an hour of reading. Raises UsageError."""
    if baseline is None:
        return
    if str(baseline) == STDOUT:
        raise UsageError("--baseline -: a baseline is a file or a directory")
    if not baseline.is_dir():
        saved(baseline)


def earlier(baseline: Path | None, options: pipeline.RunOptions, progress: pipeline.Progress) -> Result | None:
    """The result of the baseline; a directory is investigated as the inputs are. Raises UsageError where it is none."""
    if baseline is None:
        return None
    if not baseline.is_dir():
        return saved(baseline)
    result = pipeline.investigate(replace(options, inputs=(baseline,), title=baseline.resolve().name), progress)
    if not pipeline.usable(result.inputs):
        raise UsageError(f"--baseline {baseline}: nothing in it can be read; give a result or a case")
    return result
