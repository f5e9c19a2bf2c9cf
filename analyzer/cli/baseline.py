"""`--baseline`: an earlier result, or the evidence or case of another day, to hold this one against."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from analyzer import pipeline
from analyzer.cli.output import STDOUT, saved
from analyzer.errors import UsageError
from analyzer.model import Result
from analyzer.story.compare import compare


def against(baseline: Path | None, result: Result, options: pipeline.RunOptions, progress: pipeline.Progress) -> Result:
    """The result with what became of the findings of the baseline; as it is where there is none."""
    if baseline is None:
        return result
    if baseline.is_dir():
        earlier = pipeline.investigate(replace(options, inputs=(baseline,), title=baseline.resolve().name), progress)
        if not pipeline.usable(earlier.inputs):
            raise UsageError(f"--baseline {baseline}: nothing in it can be read; give a result or a case")
    else:
        earlier = saved(baseline)
    return replace(result, comparison=compare(earlier, result))


def early(baseline: Path | None) -> None:
    """Refuse a baseline that is none before an hour of reading. Raises UsageError."""
    if baseline is None:
        return
    if str(baseline) == STDOUT:
        raise UsageError("--baseline -: a baseline is a file or a directory")
    if not baseline.is_dir():
        saved(baseline)
