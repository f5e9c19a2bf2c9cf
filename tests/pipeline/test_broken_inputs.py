"""An input that breaks while it is read: what came before counts, and its hash is that of the whole file."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from analyzer.errors import InputError
from analyzer.pipeline import RunOptions
from analyzer.pipeline import one_input as reading
from analyzer.pipeline.options import Progress
from analyzer.pipeline.read import read_all
from analyzer.pipeline.recognise import source_of
from analyzer.pipeline.sink import Sink
from analyzer.sources.contract import Batch, ByteStream, Item, Ledger, ReadOptions, Source

LINE = '2026-03-14T09:00:00Z [INFO] 10.0.0.1:4000 - 7 "A IN a.example. udp 30 false 512" NOERROR qr 60 0.001s\n'


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (InputError("the disk of the laptop was pulled out"), "the disk of the laptop was pulled out"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (ZeroDivisionError("of ours"), "could not be read further: ZeroDivisionError: of ours"),
    ],
)
def test_what_was_read_before_it_broke_counts(
    error: Exception, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str) -> Source:
        source = source_of(name)

        def read(stream: ByteStream, item: Item, how: ReadOptions, ledger: Ledger) -> Iterator[Batch]:
            yield from source.read(stream, item, how, ledger)
            raise error

        return replace(source, read=read)

    log = tmp_path / "coredns.log"
    log.write_text(LINE * 3)
    monkeypatch.setattr(reading, "source_of", broken)
    found = read_all(RunOptions(inputs=(log,)), Progress(), Sink(None))
    (report,) = found.reports
    assert (report.error, report.used) == (sentence, 3)
    assert (report.sha256, report.bytes) == (hashlib.sha256(log.read_bytes()).hexdigest(), log.stat().st_size)
    assert {table.name: rows.height for table, rows in found.tables.items() if rows.height} == {"coredns_queries": 3}
