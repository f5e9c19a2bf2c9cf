"""Recognising an input costs only what it needs."""

from __future__ import annotations

import subprocess
import sys

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
print(source.name, match.confidence, *(name for name in ("pyarrow", "scapy", "dnslib") if name in sys.modules))
"""


def test_a_capture_is_recognised_and_read_without_the_heavy_libraries() -> None:
    done = subprocess.run([sys.executable, "-c", _READ], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["pcap", "1.0"]
