"""`analyze identify` and `analyze detectors`: plain text on standard output."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from analyzer import detectors, pipeline
from analyzer.cli.output import check_inputs, sound_format, to_stdout
from analyzer.cli.wording import safe, storable
from analyzer.detector import Detector, Needs
from analyzer.errors import UsageError
from analyzer.model.stories import published
from analyzer.pipeline.detect import about
from analyzer.pipeline.recognise import recognise
from analyzer.settings import suggest
from analyzer.sources.contract import ReadOptions
from analyzer.sources.discover import STDIN

NO_INPUT = 3

NUMBER_MOST = 2**63 - 1
"""Numbers of records are kept in 64 bits; no input has one beyond."""


def identified(inputs: Sequence[Path], coredns_format: str | None = None) -> int:
    """One line per input: kind, confidence, name, reason."""
    check_inputs(inputs)
    known = recognise(inputs, how=ReadOptions(coredns_format=sound_format(coredns_format)))
    lines = []
    for one in known:
        if one.source is not None and one.match is not None:
            lines.append(f"{one.source.name:<8} {one.match.confidence:>4.0%}  {one.item.id}: {one.match.reason}")
        elif one.report is not None:
            lines.append(f"{one.report.kind:<8}    -  {one.item.id}: {one.report.error}")
    _print(lines)
    return 0 if any(one.source is not None for one in known) else NO_INPUT


def quoted(name: str, numbers: Sequence[int]) -> int:
    """The records of those numbers as a report quotes them, each with its number before it."""
    path, member = _within(name)
    check_inputs([path])
    wanted = ("stdin" if path == STDIN else storable(path.name)) + storable(member)
    known = [one for one in recognise([path]) if one.item.id == wanted and one.source is not None]
    if not known:
        raise UsageError(f"{name}: nothing of that name can be read; `analyze identify {path}` lists what can")
    found = pipeline.quoted(known[0], frozenset(number for number in numbers if number <= NUMBER_MOST))
    _print([line for number, text in sorted(found.items()) for line in f"{number}: {text}".split("\n")])
    if missing := sorted(set(numbers) - found.keys()):
        raise UsageError(f"{name}: has no record {', '.join(str(number) for number in missing)}")
    return 0


def _within(name: str) -> tuple[Path, str]:
    """The file of that name and no member; or an archive, and `!` with the name of a member. Either may hold a `!`."""
    if not Path(name).exists():
        for mark in re.finditer("!", name):
            if (archive := Path(name[: mark.start()])).is_file():
                return archive, name[mark.start() :]
    return Path(name), ""


def listed() -> int:
    """One line per detector."""
    every = detectors.load()
    width = max(len(detector.id) for detector in every)
    _print([f"{detector.id:<{width}}  {detector.title}" for detector in every])
    return 0


def explained(name: str) -> int:
    """All that a detector says of itself."""
    known = {detector.id: detector for detector in detectors.load()}
    if name not in known:
        raise UsageError(f"there is no detector {name}{suggest(name, list(known))}")
    detector = known[name]
    lines = [f"{detector.id}: {detector.title}", "", *about(detector).splitlines(), "", "## Needs", ""]
    lines += [f"- {_names(needs)}; from inputs of kind {_kinds(needs)}" for needs in detector.needs_any]
    lines += [f"- uses, where given: {_names(detector.uses)}"] if detector.uses else []
    lines += ["", "## Settings", "", *_settings(detector), "", "## What to do", ""]
    for remedy in detector.remedies:
        lines += [f"- {remedy.text}", *(f"      {line}" for line in remedy.snippet.splitlines())]
    lines += ["", "## Published stories", ""] if detector.stories else []
    for story in published(detector.stories):
        lines += [f"- {story.text}: {story.where}", f"      {story.url}"] if story.url else [f"- {story.text}"]
    _print(lines)
    return 0


def _names(needs: Needs) -> str:
    return " and ".join(need.name for need in needs)


def _kinds(needs: Needs) -> str:
    return ", ".join(sorted(pipeline.kinds_behind(needs)))


def _settings(detector: Detector[Any]) -> list[str]:
    lines = []
    for field in fields(detector.settings):
        meta = field.metadata
        unit = f" {meta['unit']}" if meta["unit"] else ""
        value = getattr(detector.settings, field.name)
        lines.append(f"- {detector.id}.{field.name} = {value}{unit}: {meta['doc']} Default: {meta['source']}.")
    return lines


def _print(lines: Sequence[str]) -> None:
    to_stdout("".join(f"{safe(line)}\n" for line in lines).encode())
