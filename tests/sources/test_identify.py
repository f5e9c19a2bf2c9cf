"""Recognising an input costs only what it needs."""

from __future__ import annotations

import subprocess
import sys

from analyzer import sources
from analyzer.frames import TABLES

_READ = """
import io, sys
from analyzer import sources
from analyzer.sources.contract import Item, Ledger, ReadOptions
from pathlib import Path
head = "d4c3b2a1020004000000000000000000000004000100000000000000000000000e0000000e000000"
data = bytes.fromhex(head + "00" * 12 + "0806")
source, match = sources.identify(data)
for batch in source.read(io.BytesIO(data), Item(id="x", path=Path("x")), ReadOptions(), Ledger()):
    pass
heavy = ("pyarrow", "scapy", "dnslib", *(f"analyzer.sources.{name}" for name in ("audit", "coredns", "klog")))
print(source.name, match.confidence, *(name for name in heavy if name in sys.modules))
"""


def test_a_capture_is_recognised_and_read_without_the_heavy_libraries_and_the_sources_of_text() -> None:
    done = subprocess.run([sys.executable, "-c", _READ], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["pcap", "1.0"]


def test_the_sources_that_are_imported_first_are_those_with_magic() -> None:
    first = [source.name for source in sources.each()][: len(sources.BY_MAGIC)]
    assert first == [source.name for source in sources.load() if source.magic]


def test_a_table_names_the_sources_that_declare_it() -> None:
    for table in TABLES:
        assert table.kinds == tuple(source.name for source in sources.load() if table in source.tables), table.name


def test_each_source_comes_once() -> None:
    assert sorted(source.name for source in sources.each()) == [source.name for source in sources.load()]
