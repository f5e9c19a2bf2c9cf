"""Documents that hold log lines: what damage costs, how much is held, what is told."""

from __future__ import annotations

import json
from io import BytesIO

import pytest

from analyzer import sources
from analyzer.frames import KLOG_LINES
from analyzer.sources.contract import Ledger
from analyzer.sources.exports import export_of
from analyzer.sources.klog import SOURCE as KLOG
from analyzer.sources.lines import quote_lines, windows
from tests.sources import wrapped
from tests.sources.texts import read_text

LINES = [wrapped.klog(number) for number in range(30)]


def made(data: bytes, size: int = 1 << 20, ledger: Ledger | None = None) -> list[str]:
    return (
        b"".join(window.data for window in windows(BytesIO(data), ledger or Ledger(), size=size)).decode().splitlines()
    )


@pytest.mark.parametrize("name", ["Loki's API", "OTLP", "Grafana, JSON", "journalctl json-pretty", "journalctl export"])
def test_records_are_the_same_however_the_bytes_come(name: str) -> None:
    data = wrapped.wrap(name, LINES)
    whole = made(data)
    assert len(whole) == len(LINES)
    # what a document is shows in its first chunk
    assert [made(data, size) for size in (350, 1000, 4099)] == [whole] * 3


@pytest.mark.parametrize("name", ["Loki's API", "OTLP", "Grafana, JSON", "gcloud logging read"])
def test_a_document_larger_than_the_head_is_recognised(name: str) -> None:
    data = wrapped.wrap(name, [wrapped.klog(number) for number in range(3000)])
    assert len(data) > 3 * (64 << 10)
    found = sources.identify(data[: 64 << 10])
    assert found is not None
    assert found[0] is KLOG
    assert read_text(KLOG, data).report.used == 3000


@pytest.mark.parametrize("name", ["Grafana, JSON", "gcloud logging read", "journalctl json-pretty"])
def test_a_cut_document_costs_its_last_record(name: str) -> None:
    data = wrapped.wrap(name, LINES)
    reading = read_text(KLOG, data[: len(data) - len(data) // 60])
    assert reading.report.used == len(LINES) - 1
    assert reading.report.incomplete_tail == 1
    assert "ends early" in reading.notes


def test_damage_in_an_array_is_told_and_what_came_before_is_read() -> None:
    data = wrapped.wrap("Grafana, JSON", LINES)
    at = data.index(b"message 20")
    reading = read_text(KLOG, data[:at] + b"\n" + data[at:])
    assert reading.report.used == 20
    assert reading.skipped == {"damaged JSON": 1}
    assert "nothing after it could be read" in reading.notes


def test_records_after_damage_in_a_series_are_read() -> None:
    data = wrapped.wrap("journalctl json-pretty", LINES)
    at = data.index(b"message 20")
    reading = read_text(KLOG, data[:at] + b"\n" + data[at:])
    assert reading.report.used == len(LINES) - 1


def test_reading_goes_on_behind_so_much_damage_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each damage costs a pass over the rest of the window."""
    monkeypatch.setattr("analyzer.sources.exports.DAMAGES", 2)
    data = wrapped.wrap("journalctl json-pretty", LINES)
    for number in (5, 10, 15):
        at = data.index(b"message %d" % number)
        data = data[:at] + b"\n" + data[at:]
    reading = read_text(KLOG, data)
    assert reading.skipped == {"damaged JSON": 3}
    assert reading.report.used == 13
    assert "nothing after it could be read" in reading.notes


def test_a_record_is_quoted_by_its_place() -> None:
    quoted = quote_lines(BytesIO(wrapped.wrap("Loki's API", LINES)), frozenset({3}))
    assert json.loads(quoted[3])["line"] == LINES[2]


def test_an_export_of_a_journal_may_hold_any_bytes() -> None:
    text = 'I0314 09:00:00.123456       1 a.go:1] first\nsecond line with = and "\x01"\n\n__CURSOR=forged'
    told = [("__CURSOR", "s=1", False), ("__REALTIME_TIMESTAMP", "1773478800123456", False), ("MESSAGE", text, True)]
    data = wrapped.entry(told) * 3
    for size in (40, 100, 1 << 20):
        lines = [json.loads(line) for line in made(data, size)]
        assert [line["MESSAGE"] for line in lines] == [text] * 3
    assert read_text(KLOG, data).report.used == 3


def test_a_wrong_length_in_an_export_costs_its_field() -> None:
    entry = wrapped.entry([("__CURSOR", "s", False), ("__REALTIME_TIMESTAMP", "1773478800123456", False)])
    good = wrapped.DOCUMENTS["journalctl export"](LINES[:2])
    wrong = entry[:-1] + b"MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\x7fI0314 text\n\n"
    reading = read_text(KLOG, good + wrong + good)
    assert reading.report.used == 4
    assert "no valid length" in reading.notes


def test_what_is_no_such_document_stays_as_it_is() -> None:
    for head in (b'{"log":"x"}\n', b"[1, 2]", b'{"kind":"EventList","items":[]}', b"", b"{", b'[{"kind":"Event"}]'):
        assert export_of(head) is None


def test_an_entry_without_a_message_is_told() -> None:
    lines = [json.dumps(wrapped.journal(0, LINES[0])), json.dumps(wrapped.journal(1, None))]
    reading = read_text(KLOG, lines)
    assert reading.column(KLOG_LINES, "number") == [1]
    assert "line 2: 1 journal entries have no message" in reading.notes
