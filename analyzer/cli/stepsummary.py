"""`--github-summary`: the Markdown postmortem appended to the summary of a job of GitHub Actions.

The runner names the file in GITHUB_STEP_SUMMARY, and shows none of it beyond 1 MiB (docs.github.com, "Adding a job
summary"; "Step isolation and limits").
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from analyzer.cli.output import same_file
from analyzer.cli.wording import size
from analyzer.errors import OutputError, UsageError
from analyzer.model import Result

VARIABLE = "GITHUB_STEP_SUMMARY"
MOST_BYTES = 1_000_000
LEFT_OUT = "\n**The rest is left out: a job summary holds no more. The report has all of it.**\n"


def summary_file(inputs: Sequence[Path], environment: Mapping[str, str] = os.environ) -> Path:
    """The file to append to. Raises UsageError where the variable is not set, OutputError where it names no file."""
    named = environment.get(VARIABLE, "")
    if not named:
        raise UsageError(f"--github-summary: {VARIABLE} is not set; GitHub Actions sets it for each step")
    path = Path(named)
    if path.is_dir() or any(same_file(path, one) for one in inputs):
        raise OutputError(f"{VARIABLE}: {path} is {'a directory' if path.is_dir() else 'one of the inputs'}")
    return path


def append_summary(path: Path, result: Result) -> str:
    """Append, within what is left of the summary. Answers with a sentence; raises OutputError."""
    from analyzer.render.markdown import render_markdown

    try:
        with path.open("ab") as file:
            data = cut(render_markdown(result), MOST_BYTES - file.tell())
            file.write(data)
    except OSError as error:
        raise OutputError(f"{VARIABLE}: {path}: cannot be written: {error.strerror}") from error
    return f"appended {size(len(data))} to the job summary"


def cut(text: str, most: int) -> bytes:
    """The text in at most `most` bytes: whole, or up to a line at which no block is open, and a sentence that says so.

    Nothing where not even the sentence fits.
    """
    whole = text.encode()
    if len(whole) <= most:
        return whole
    left, kept, held = most - len(LEFT_OUT.encode()), 0, 0
    if left < 0:
        return b""
    fence, folded = "", 0
    for line in text.splitlines(keepends=True):
        held += len(line.encode())
        if held > left:
            break
        ticks = line[: len(line) - len(line.lstrip("`"))]
        if not fence and len(ticks) > 2:
            fence = ticks
        elif fence and line.rstrip("\n") == fence:
            fence = ""
        elif not fence:
            folded += line.startswith("<details>") - line.startswith("</details>")
        if not fence and not folded:
            kept = held
    return whole[:kept] + LEFT_OUT.encode()
