"""Damaged and hostile captures, where that evidence lies beside the checkout: the outcome of every one is fixed."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.errors import InputError
from tests.sources.capture.make import read_file

BAD = Path(__file__).resolve().parents[2].parent / "shared" / "bad"
TABLE = BAD / "EXPECTED.tsv"

pytestmark = pytest.mark.skipif(not TABLE.exists(), reason="no damaged captures beside the checkout")

SECONDS_MOST, BYTES_MOST = 10.0, 1 << 30
"""What reading any one of them may cost: seconds of CPU, which other work does not lengthen, and bytes of memory."""
HANGING_AFTER = 300
"""Seconds after which the reading of all of them counts as hanging."""

MORE = {
    "pcap/udp_len_0.pcap": (11, 11),  # the datagram reaches to the end of its packet
    "pcapng/block_len_mismatch.pcapng": (10, 10),  # the first length leads to the next block
    "dns/tcp_split.pcap": (12, 12),  # both frames of the message count
    "pcapng/block_len_0.pcapng": (2, 1),
}
"""Where the expectation allows two outcomes or counts messages: records and used ones, in frames."""

NOTED = {
    "pcap/being_written_zeros.pcap": "zero-filled tail of 4096 bytes",
    "pcap/duplicates.pcap": "10 exact duplicates within 1 ms",
    "pcap/linktype_lies.pcap": "no IP packet found in 10 frames; link type may be wrong",
    "pcap/snaplen_68.pcap": "10 of 10 packets truncated by snaplen 68; DNS payload incomplete in 10",
    "pcap/ts_backwards.pcap": "clock stepped -3600 s at packet 6",
    "pcapng/ok_isb_drops.pcapng": "12422 packets were dropped at capture time",
    "pcapng/isb_only_drops_unset.pcapng": "unknown",
    "pcapng/spb_no_time.pcapng": "no timestamps: time detectors are off",
    "pcapng/tsoffset_min64.pcapng": "timestamps are unusable",
}
REFUSED = {
    "pcap/linktype_garbage.pcap": "unsupported link type",
    "pcap/magic_bad.pcap": "not a capture file (magic deadbeef)",
    "pcapng/garbage_after_shb.pcapng": "corrupt block at offset 28",
    "pcapng/shb_bad_bom.pcapng": "bad pcapng byte-order magic",
    "pcapng/shb_version_9.pcapng": "unsupported pcapng version 9.0",
}


def _rows() -> list[dict[str, str]]:
    if not TABLE.exists():
        return []
    with TABLE.open() as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    return [row for row in rows if row["file"].endswith((".pcap", ".pcapng")) and (BAD / row["file"]).exists()]


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row["file"])
def test_the_outcome_is_as_expected(row: dict[str, str]) -> None:
    name = row["file"]
    if name in REFUSED:
        with pytest.raises(InputError) as refused:
            read_file(BAD / name)
        assert REFUSED[name] in str(refused.value)
        return
    tables, ledger = read_file(BAD / name)
    records, used = MORE.get(name) or (int(row["records_total"]), int(row["records_ok"]))
    assert (ledger.records, ledger.used) == (records, used)
    if row["outcome"] == "CLEAN":
        assert (ledger.notes, ledger.skipped) == ([], 0)
    if name in NOTED:
        assert any(NOTED[name] in note for note in ledger.notes)
    everything = "".join(table.write_json() for table in tables.values())
    assert all(character.isprintable() or character == "\n" for character in everything)


@pytest.fixture(scope="module")
def costs() -> dict[str, tuple[float, int]]:
    """Seconds of CPU and most bytes in use for each file, measured in a process of its own."""
    files = [str(BAD / row["file"]) for row in _rows()]
    command = [sys.executable, "-m", "tests.sources.capture.bounded", *files]
    root = Path(__file__).resolve().parents[2]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=HANGING_AFTER, check=False)
    except subprocess.TimeoutExpired as late:
        said = (late.stdout or b"").decode()
        pytest.fail(f"reading never ended: {said.splitlines()[-1] if said else 'before the first file'}")
    assert done.returncode == 0, done.stderr[-2000:]
    told = [line.split("\t") for line in done.stdout.splitlines()]
    return {file: (float(seconds), int(peak)) for file, seconds, peak in told}


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row["file"])
def test_reading_it_costs_little_time_and_memory(row: dict[str, str], costs: dict[str, tuple[float, int]]) -> None:
    seconds, peak = costs[str(BAD / row["file"])]
    assert seconds < SECONDS_MOST
    assert 0 < peak < BYTES_MOST
