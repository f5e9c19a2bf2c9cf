"""Damaged and hostile containers, where that evidence lies beside the checkout: the outcome of every one is fixed.

The same faults stand in `test_containers.py`, `test_archives.py`, `test_tarframes.py` and `test_zipframes.py`, built
from their few bytes.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.sources.bundles import reading

BAD = Path(__file__).resolve().parents[2].parent / "shared" / "bad"
TABLE = BAD / "EXPECTED.tsv"

pytestmark = pytest.mark.skipif(not TABLE.exists(), reason="no damaged containers beside the checkout")

USED = {
    "tar_cut.tar": 10,
    "tar_duplicate_member.tar": 20,
    "tar_size_lie.tar": 10,
    "zst_bad_checksum.log.zst": 10,
}
"""Records used where the expectation leaves them open."""

TOLD = {
    "gz_bad_crc.log.gz": "gzip checksum mismatch in member 1: decompressed bytes 0 to 6670 were read but are unproven",
    "gz_bad_isize.log.gz": "gzip length mismatch in member 1",
    "gz_bomb_nested.log.gz.gz": "nested compression (gz in gz)",
    "gz_header_only.log.gz": "compressed stream ends early",
    "gz_trailing_garbage.log.gz": "8 bytes after the end of the compressed stream were not read",
    "tar_cut.tar": "the archive ends inside a header, at byte 7870: members are missing",
    "tar_device_fifo.tar": "a named pipe, not opened",
    "tar_duplicate_member.tar": "2 members of the archive have this name so far",
    "tar_size_lie.tar": "the archive ends 8589924863 bytes too early, inside audit.log",
    "unsupported.log.lz4": "lz4 is not supported: run `lz4 -d` on it first",
    "zip_bomb.zip": "more than 1000-fold, the limit beyond 64 MiB",
    "zip_symlink.zip": "a symbolic link, not followed",
    "zst_bad_checksum.log.zst": "zstd checksum mismatch in frame 1: what was read from it is unproven",
    "zst_bomb_1g_zeros.log.zst": "more than 1000-fold, the limit beyond 64 MiB",
    "zst_content_size_lie.log.zst": "zstd window too large",
    "zst_dict_required.log.zst": "corrupt or needs a dictionary",
    "zst_window_2g.log.zst": "zstd window too large (2048 MiB, at most 128)",
}


def _rows() -> list[dict[str, str]]:
    if not TABLE.exists():
        return []
    with TABLE.open() as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    return [row for row in rows if row["source"] == "container" and (BAD / row["file"]).exists()]


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row["file"])
def test_the_outcome_is_as_expected(row: dict[str, str]) -> None:
    name = Path(row["file"]).name
    start = time.monotonic()
    found = reading(BAD / row["file"])
    assert time.monotonic() - start < 10
    reports = found.case.reports
    assert sum(report.used for report in reports) == (USED[name] if name in USED else _number(row["records_ok"], name))
    told = [text for report in reports for text in (report.error, *report.notes) if text]
    if row["outcome"] == "CLEAN":
        # what was assumed of a klog is told even where nothing is wrong
        assert all(note.startswith(("klog has no year", "written by kubelet: ")) for note in told)
    if name in TOLD:
        assert any(TOLD[name] in text for text in told)
    assert all(len(report.sha256) == 64 for report in reports if report.used)
    if row["outcome"] in ("REFUSED", "UNUSABLE"):
        assert all(report.error for report in reports)
    assert all(text.isprintable() for report in reports for text in (report.path, report.error, *report.notes))


def _number(text: str, name: str) -> int:
    # what the table counts there are the events that would be in it
    return 0 if name == "zst_dict_required.log.zst" else int(text)


def test_none_of_them_needs_more_than_a_gibibyte() -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom tests.sources.bundles import reading\n"
        "reading(Path(sys.argv[1]))\n"
        # of this process alone: what getrusage tells is also that of the one which started it
        "[peak] = [line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM')]\n"
        "print(peak.split()[1])\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(BAD / "container")],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        check=True,
    )
    assert int(done.stdout) < 1 << 20
