"""Every klog beside the checkout against an independent count: entries by severity, by caller, and with a pod."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from analyzer.frames import KLOG_LINES
from analyzer.sources.klog import SOURCE
from tests.sources.texts import read_path

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
FILES = sorted(
    [*SHARED.glob("real/*/*.klog.*"), *SHARED.glob("data/kubelet/*/*.log"), *SHARED.glob("data/kubelet/*/*.yaml")]
)

pytestmark = pytest.mark.skipif(not FILES, reason="no klogs beside the checkout")

HEADER = re.compile(
    r"^(?:[A-Z][a-z]{2} [ 0-9][0-9] [0-9:.]+ \S+ \S+: )?([IWEF])[0-9]{4} [0-9:.]{15} +[0-9]+ (\S+?)\] ?(.*)"
)
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


def names_pod(text: str) -> bool:
    """Whether pod= stands before one of the texts in quotes, taken one after the other."""
    return any(text[: found.start()].endswith(" pod=") for found in QUOTED.finditer(text))


def heads(path: Path) -> list[tuple[str, str, bool]]:
    """Severity, caller, and whether there is a pod, line by line with `re` and `json`."""
    entries: list[tuple[str, str, bool]] = []
    for line in path.read_text(errors="replace").split("\n"):
        if line.startswith('{"ts"'):
            entry = json.loads(line)
            entries.append(("I" if "v" in entry else "E", entry["caller"].rsplit("/", 1)[-1], "pod" in entry))
        elif found := HEADER.match(line):
            entries.append((found[1], found[2], names_pod(found[3])))
        elif line.startswith(" > ") and entries:
            severity, caller, pod = entries[-1]
            entries[-1] = (severity, caller, pod or names_pod(line))
    return entries


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_entries_are_as_many_as_counted_line_by_line(path: Path) -> None:
    counted = heads(path)
    if not counted:
        pytest.skip("no klog entry in this file")
    reading = read_path(SOURCE, path, year=2026)
    table = reading.tables[KLOG_LINES]
    assert table.height == reading.report.used == len(counted)
    assert Counter(table["severity"]) == Counter(severity for severity, _, _ in counted)
    assert Counter(table["caller"]) == Counter(caller for _, caller, _ in counted)
    # free text may name a pod too
    with_pod = table.filter(pl.col("pod").is_not_null() & pl.col("text").str.contains(' pod="', literal=True)).height
    assert with_pod == sum(pod for _, _, pod in counted)
