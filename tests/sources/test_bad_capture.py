"""Damaged and hostile captures, where that evidence lies beside the checkout: the outcome of every one is fixed."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from analyzer.errors import InputError
from tests.sources.capture.make import read_file

BAD = Path(__file__).resolve().parents[2].parent / "shared" / "bad"
TABLE = BAD / "EXPECTED.tsv"

pytestmark = pytest.mark.skipif(not TABLE.exists(), reason="no damaged captures beside the checkout")

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
