"""Damaged and hostile audit logs, where that evidence lies beside us."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from analyzer.errors import InputError
from analyzer.frames import AUDIT_EVENTS
from analyzer.sources.audit import SOURCE
from analyzer.sources.contract import Item, Ledger, ReadOptions

BAD = Path(__file__).resolve().parents[2].parent / "shared" / "bad"

pytestmark = pytest.mark.skipif(not BAD.is_dir(), reason=f"no evidence in {BAD}")

MORE_READ = {"audit/wrapped_cri_partial_lost.log": (10, 9)}
"""Where two outcomes are allowed, more is read."""


def expected() -> list[tuple[str, int, int]]:
    path = BAD / "EXPECTED.tsv"
    if not path.is_file():
        return []
    rows = [row.split("\t") for row in path.read_text().splitlines()[1:]]
    mine = [row for row in rows if row[1] == "audit" or "audit" in row[0]]
    return [(row[0], *MORE_READ.get(row[0], (int(row[2]), int(row[3])))) for row in mine]


@pytest.mark.parametrize(("name", "records", "used"), expected(), ids=lambda value: str(value))
def test_each_record_is_used_or_accounted_for(name: str, records: int, used: int) -> None:
    data = (BAD / name).read_bytes()
    data = gzip.decompress(data) if name.endswith(".gz") else data
    ledger, rows = Ledger(), 0
    try:
        for batch in SOURCE.read(io.BytesIO(data), Item(id=name, path=BAD / name), ReadOptions(), ledger):
            table = batch[AUDIT_EVENTS]
            rows += table.height
            quoted = SOURCE.quote(io.BytesIO(data), frozenset(table["number"].to_list()))
            assert set(quoted) == set(table["number"])
            for text in (*quoted.values(), *(str(one.rows()) for one in batch.values())):
                assert "EXAMPLEQUERYTOKEN" not in text
                assert "eyJhbGciOiJSUzI1NiJ9" not in text
    except InputError:
        assert used == 0
    assert (ledger.records, ledger.used, rows) == (records, used, used)
