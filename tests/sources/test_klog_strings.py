"""Every log string of twelve kubelet versions in the form of its era, where that list lies beside the checkout."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import polars as pl
import pytest

from analyzer.facts.klog_values import value
from analyzer.frames import KLOG_LINES
from analyzer.sources.klog import SOURCE
from analyzer.sources.secrets import scrub
from tests.sources.texts import Reading, read_text

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
STRINGS = SHARED / "kubelet-strings.jsonl.gz"
CATALOG = SHARED / "real/klog_catalog.tsv"

POD, UID = "shop/web-0", "0f0e0d0c-0001-0002-0003-000000000004"
VALUES = {
    "pod": POD,
    "podUID": UID,
    "err": 'rpc error: code = Unknown desc = "x y" is gone',
    "output": "one\ntwo k=v\n",
}
VERB = re.compile(r"%[-+# 0]*[0-9]*(?:\.[0-9]+)?[a-zA-Z]")


def strings() -> list[dict[str, object]]:
    """Version, caller, severity, text and, where it is structured, keys in the order of the call."""
    rows = []
    for line in gzip.decompress(STRINGS.read_bytes()).decode().splitlines():
        version, path, number, severity, _, function, text, keys = json.loads(line)
        modern = tuple(map(int, version.removeprefix("v").split(".")[:2])) >= (1, 31)
        structured = function.endswith("S") or bool(keys) or (modern and function in {"Info", "Error"})
        rows.append(
            {
                "version": version,
                "caller": f"{path.rsplit('/', 1)[-1]}:{number}",
                "severity": severity,
                "text": text,
                "keys": [key for key in keys if key and "=" not in key] if structured else None,
                "quoted": tuple(map(int, version.removeprefix("v").split(".")[:2])) >= (1, 27),
            }
        )
    return rows


def quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'


def pair(key: str, quoted: bool) -> str:
    """As klog 2.80 and later write it (blocks, all texts quoted), or those before (%+v for what is no plain text)."""
    told = VALUES.get(key, f"a {key} value")
    if key == "podUID" and not quoted:
        return f"{key}={told}"
    if "\n" in told and quoted:
        return f"{key}=<\n" + "".join(f"\t{line}\n" for line in told.splitlines()) + " >"
    return f"{key}={quote(told)}"


def expected(row: dict[str, object]) -> str:
    """The message of a string, as it is kept: without the final newline, verbs filled in, credentials masked."""
    text = str(row["text"])
    if row["keys"] is None:
        text = VERB.sub("12", text).strip("\n")
    return scrub(text)


def text_form(rows: list[dict[str, object]]) -> str:
    lines = []
    for row in rows:
        keys = row["keys"]
        text = VERB.sub("12", str(row["text"])).strip("\n")
        if isinstance(keys, list):
            text = " ".join([quote(str(row["text"])), *(pair(key, bool(row["quoted"])) for key in dict.fromkeys(keys))])
        lines.append(f"{row['severity']}0314 09:00:00.000000    1234 {row['caller']}] {text}")
    return "".join(f"{line}\n" for line in lines)


def json_form(rows: list[dict[str, object]]) -> str:
    lines = []
    for row in rows:
        keys = row["keys"]
        entry: dict[str, object] = {"ts": 1773478800500.25, "caller": f"kubelet/{row['caller']}", "msg": row["text"]}
        entry |= {"v": 0} if row["severity"] == "I" else {}
        for key in keys if isinstance(keys, list) else []:
            entry.setdefault(
                key, {"name": "web-0", "namespace": "shop"} if key == "pod" else VALUES.get(key, f"a {key} value")
            )
        lines.append(json.dumps(entry, separators=(",", ":"), ensure_ascii=False))
    return "".join(f"{line}\n" for line in lines)


def check_values(reading: Reading, rows: list[dict[str, object]]) -> None:
    table = reading.tables[KLOG_LINES].with_row_index("at")
    where: dict[str, list[int]] = {}
    for at, row in enumerate(rows):
        for key in row["keys"] if isinstance(row["keys"], list) else []:
            where.setdefault(key, []).append(at)
    assert len(where) > 500
    for key, places in where.items():
        found = table.filter(pl.col("at").is_in(places)).select(value(key), "text")
        told = {VALUES.get(key, f"a {key} value").rstrip("\n")}
        masked = {scrub(f'{key}="{one}"').partition("=")[2].strip('"') for one in told}
        assert {str(one).rstrip("\n") for one in found[key]} <= told | masked, key


@pytest.mark.skipif(not STRINGS.exists(), reason="no list of kubelet strings beside the checkout")
def test_every_string_in_the_text_form_gives_message_pod_error_and_values() -> None:
    rows = [row for row in strings() if not str(row["text"]).startswith('"') or row["keys"] is not None]
    assert len(rows) > 15_000
    reading = read_text(SOURCE, text_form(rows), year=2026)
    table = reading.tables[KLOG_LINES]
    assert reading.report.records == reading.report.used == table.height == len(rows)
    assert table["caller"].to_list() == [row["caller"] for row in rows]
    assert table["severity"].to_list() == [row["severity"] for row in rows]
    messages = [re.sub(r"\n\s*(?=\n|$)", "", text) for text in map(expected, rows)]
    assert [
        (at, got, told) for at, (got, told) in enumerate(zip(table["message"], messages, strict=True)) if got != told
    ] == []
    keyed = [row["keys"] if isinstance(row["keys"], list) else [] for row in rows]
    structured = pl.Series([row["keys"] is not None for row in rows])
    assert [pod == POD for pod in table["pod"]] == ["pod" in keys for keys in keyed]
    assert (table.filter(structured)["error"].is_not_null()).to_list() == [
        "err" in keys for row, keys in zip(rows, keyed, strict=True) if row["keys"] is not None
    ]
    assert set(table.filter(structured)["error"]) == {None, VALUES["err"]}
    check_values(reading, rows)


@pytest.mark.skipif(not STRINGS.exists(), reason="no list of kubelet strings beside the checkout")
def test_every_structured_string_in_the_json_form_gives_the_same() -> None:
    rows = [row for row in strings() if row["keys"] is not None]
    reading = read_text(SOURCE, json_form(rows))
    table = reading.tables[KLOG_LINES]
    assert reading.report.used == table.height == len(rows)
    assert table["message"].to_list() == [expected(row) for row in rows]
    assert [pod == POD for pod in table["pod"]] == ["pod" in (row["keys"] or ()) for row in rows]  # type: ignore[operator]
    check_values(reading, rows)


@pytest.mark.skipif(not CATALOG.exists(), reason="no catalogue of recorded lines beside the checkout")
def test_every_recorded_kind_of_line_names_its_severity_caller_and_component() -> None:
    rows = [line.split("\t") for line in CATALOG.read_text().splitlines()[1:]]
    whole = [row for row in rows if len(row) == 7 and re.match(r"[IWEF][0-9]{4} .*\]", row[6])]
    for component in sorted({row[1] for row in whole}):
        mine = [row for row in whole if row[1] == component]
        table = read_text(SOURCE, [row[6] for row in mine], year=2026).tables[KLOG_LINES]
        assert table["severity"].to_list() == [row[2] for row in mine]
        assert table["caller"].to_list() == [row[3] for row in mine]
        assert set(table["component"]) == {component.removeprefix("hollow-")}
