"""The committed cases: where they lie, and how their results are made and written."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from msgspec.structs import replace

from analyzer.cli.investigate import canonical_title
from analyzer.model import Result
from analyzer.model.codec import decode, encode
from analyzer.pipeline import RunOptions, investigate
from analyzer.render.html import render_html

ROOT = Path(__file__).parent.parent
CAPTURES = ROOT / "captures"
REPORTS = ROOT / "reports"

CASES = sorted(path.name for path in CAPTURES.iterdir() if (path / "truth.json").is_file())


@cache
def result_of(case: str) -> Result:
    """What `analyze postmortem captures/CASE` finds."""
    path = CAPTURES / case
    return investigate(RunOptions(inputs=(path,), title=canonical_title([path]), command=f"analyze postmortem {case}"))


def committed(case: str) -> Result:
    return decode((REPORTS / f"{case}.json").read_bytes())


def as_json(result: Result, like: Result | None = None) -> str:
    """The result as text; with `like`, under the tool and library versions of that result."""
    return encode(replace(result, tool=like.tool) if like else result).decode()


def as_html(result: Result, like: Result | None = None) -> str:
    return render_html(replace(result, tool=like.tool) if like else result)
