"""The same files plain, in a tar, in a compressed tar and in a zip are the same evidence."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer import case
from analyzer.pipeline import RunOptions, ingest, investigate
from analyzer.pipeline.options import Progress
from analyzer.pipeline.read import read_all
from analyzer.pipeline.recognise import recognise
from analyzer.pipeline.sink import Sink
from tests.cases import CAPTURES, result_of
from tests.sources.bundles import klog, reading, tar_of, zip_of

MAKERS: dict[str, Callable[[list[tuple[str, bytes]]], bytes]] = {
    "tar": tar_of,
    "tar.gz": lambda files: gzip.compress(tar_of(files)),
    "zip": zip_of,
}
EVENT = {"kind": "Event", "apiVersion": "audit.k8s.io/v1", "stage": "ResponseComplete", "verb": "get"}


def audit(count: int) -> bytes:
    """An audit log of so many events."""
    events = [
        EVENT
        | {
            "auditID": str(number),
            "requestURI": f"/api/v1/pods/{number}",
            "requestReceivedTimestamp": f"2026-03-14T09:{number // 60:02}:{number % 60:02}.000000Z",
            "stageTimestamp": f"2026-03-14T09:{number // 60:02}:{number % 60:02}.500000Z",
        }
        for number in range(count)
    ]
    return "".join(f"{json.dumps(event)}\n" for event in events).encode()


def outcome(*paths: Path) -> tuple[dict[str, list[dict[str, Any]]], list[tuple[Any, ...]]]:
    """The tables and the reports, with ids as they are without an archive."""
    found = read_all(RunOptions(inputs=paths), Progress(), Sink(None))
    plain = pl.col("source").str.replace(r"^.*!", "")
    tables = {table.name: rows.frame.with_columns(plain).collect().to_dicts() for table, rows in found.tables.items()}
    reports: list[tuple[Any, ...]] = [
        (one.path.rsplit("!", 1)[-1], one.kind, one.sha256, one.bytes, one.records, one.used, one.notes, one.error)
        for one in found.reports
    ]
    return tables, reports


CONTENTS = st.one_of(
    st.integers(1, 30).map(klog),
    st.integers(1, 30).map(audit),
    st.integers(1, 9).map(lambda count: gzip.compress(audit(count), mtime=0)),
    st.binary(max_size=40),
)
FILES = st.dictionaries(st.from_regex(r"([ab]/)?[a-d]\.log", fullmatch=True), CONTENTS, min_size=1, max_size=5)


@settings(max_examples=12)  # each is read four times
@given(FILES)
def test_a_set_of_files_gives_the_same_tables_however_it_is_packed(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "plain"
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        expected = outcome(folder)
        for kind, make in MAKERS.items():
            packed = Path(name) / f"bundle.{kind}"
            packed.write_bytes(make(list(files.items())))
            assert outcome(packed) == expected


def test_the_order_of_arguments_changes_nothing(tmp_path: Path) -> None:
    paths = []
    for number, make in enumerate(MAKERS.values()):
        paths.append(tmp_path / f"{number}")
        paths[-1].write_bytes(make([("k.log", klog(number + 1)), ("a.log", audit(4))]))
    forward, backward = reading(*paths).case, reading(*reversed(paths)).case
    assert forward.reports == backward.reports
    assert all(
        rows.frame.collect().equals(backward.tables[table].frame.collect()) for table, rows in forward.tables.items()
    )


@pytest.fixture(scope="module")
def sample() -> list[tuple[str, bytes]]:
    """The files of the sample outage, among them a compressed capture."""
    folder = CAPTURES / "outage"
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in ("truth.json",))
    return [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in files]


@pytest.mark.parametrize("kind", MAKERS)
def test_findings_and_their_quotes_are_those_of_the_plain_files(
    kind: str, sample: list[tuple[str, bytes]], tmp_path: Path
) -> None:
    plain = result_of("outage")
    (tmp_path / "bundle").write_bytes(MAKERS[kind](sample))
    found = investigate(RunOptions(inputs=(tmp_path / "bundle",)))
    assert [f.summary for f in found.findings] == [f.summary for f in plain.findings]
    quotes = [[record.text for record in f.evidence.records] for f in found.findings]
    assert quotes == [[record.text for record in f.evidence.records] for f in plain.findings]
    sources = {record.source for f in found.findings for record in f.evidence.records}
    assert sources
    assert all(source.startswith("bundle!") for source in sources)


def test_a_kept_case_quotes_from_members(sample: list[tuple[str, bytes]], tmp_path: Path) -> None:
    (tmp_path / "bundle.tar.gz").write_bytes(MAKERS["tar.gz"](sample))
    ingest(RunOptions(inputs=(tmp_path / "bundle.tar.gz",)), tmp_path / "case")
    assert all(place.member is not None for place in case.load(tmp_path / "case").places.values())
    fresh = investigate(RunOptions(inputs=(tmp_path / "bundle.tar.gz",)))
    kept = investigate(RunOptions(inputs=(tmp_path / "case",)))
    assert kept.findings == fresh.findings
    (tmp_path / "bundle.tar.gz").unlink()
    gone = investigate(RunOptions(inputs=(tmp_path / "case",)))
    texts = [record.text for f in gone.findings for record in f.evidence.records]
    assert all(text.startswith("(the input cannot be opened again") for text in texts)


def test_members_are_recognised_by_their_heads(tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_bytes(tar_of([("k.log", klog()), ("a", gzip.compress(audit(3))), ("x", b"?")]))
    known = {one.item.id: one.source.name if one.source else "" for one in recognise([tmp_path])}
    assert known == {"b.tar!a": "audit", "b.tar!k.log": "kubelet", "b.tar!x": ""}
