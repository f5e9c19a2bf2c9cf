"""Recorded captures, where that evidence lies beside the checkout."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tests.sources.capture.make import read_file
from tests.sources.capture.oracle import dns_rows, needs_tshark, our_dns_rows

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
RECORDED = sorted((SHARED / "real" / "pcap").glob("*.pcap"))

pytestmark = pytest.mark.skipif(not RECORDED, reason="no recorded captures beside the checkout")


@needs_tshark
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
def test_dns_rows_of_recordings_equal_those_of_tshark(path: Path) -> None:
    tables, ledger = read_file(path)
    assert our_dns_rows(tables["dns_messages"]) == dns_rows(path)
    assert ledger.skipped == 0


@pytest.mark.parametrize("path", [p for p in RECORDED if "imds_v2_14min_old" in p.name], ids=lambda path: path.name)
def test_the_metadata_storm_is_counted_once_at_every_interface(path: Path) -> None:
    tables, _ = read_file(path)
    packets, http = tables["packets"], tables["http_messages"].filter("metadata")
    assert packets.filter(~pl.col("duplicate")).height == 8245
    asked = http.filter(~pl.col("response"))
    assert asked.height == 603
    assert asked.filter(pl.col("method") == "PUT").height == 201
    assert asked["token_ttl_seconds"].drop_nulls().len() == 201
    assert http["expires_at"].drop_nulls().len() == 201
    assert asked["user_agent"].drop_nulls().str.starts_with("Boto").all()
