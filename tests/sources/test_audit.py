from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from analyzer.errors import InputError
from analyzer.frames import AUDIT_EVENTS
from analyzer.sources import audit
from analyzer.sources.audit import SOURCE
from analyzer.sources.contract import Item, Ledger, ReadOptions
from analyzer.sources.lines import windows
from tests.sources.audit_log import event, line, lines, read


def test_each_line_is_a_row_that_can_be_found_again() -> None:
    table, ledger = read(lines(0, 1, 2))
    assert table.select("source", "number", "audit_id").rows() == [
        ("audit.log", 1, "id-0"),
        ("audit.log", 2, "id-1"),
        ("audit.log", 3, "id-2"),
    ]
    assert (ledger.used, ledger.skipped, ledger.incomplete_tail) == (3, 0, 0)
    assert ledger.first_time == datetime(2026, 1, 1, tzinfo=UTC)
    assert ledger.last_time == datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC)


def test_the_last_line_may_have_no_newline() -> None:
    table, ledger = read(lines(0, 1).rstrip(b"\n"))
    assert table.height == 2
    assert ledger.incomplete_tail == 0


def test_a_cut_last_line_is_an_incomplete_tail_and_no_damage() -> None:
    _, ledger = read(lines(0, 1)[:-40])
    assert (ledger.used, ledger.skipped, ledger.incomplete_tail) == (1, 0, 1)


def test_a_cut_line_in_the_middle_is_damage() -> None:
    _, ledger = read(line(0)[:-40] + b"\n" + lines(1))
    assert (ledger.used, ledger.skipped, ledger.incomplete_tail) == (1, 1, 0)


def test_damage_costs_one_line_and_is_named() -> None:
    table, ledger = read(lines(0) + b"this is not json\n" + lines(2) + b'{"kind":"Pod"}\n[1,2,3]\n' + lines(5))
    assert table["number"].to_list() == [1, 3, 6]
    reasons = ledger.report(path="p", kind="audit", sha256="", size=0).skipped_reasons
    assert {(reason.reason, reason.count, reason.places) for reason in reasons} == {
        ("not an audit event", 2, ("4", "5")),
        ("not JSON", 1, ("2",)),
    }


def test_blank_lines_are_no_records_but_count_as_lines() -> None:
    table, ledger = read(b"\n" + lines(0) + b"  \n\n" + lines(1))
    assert table["number"].to_list() == [2, 5]
    assert ledger.records == 2


def test_carriage_returns_do_not_count() -> None:
    plain, _ = read(lines(0, 1))
    table, _ = read(lines(0, 1).replace(b"\n", b"\r\n"))
    assert table.equals(plain)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_byte_order_marks_and_utf_16_are_read(encoding: str) -> None:
    table, ledger = read(lines(0, 1, 2).decode().encode(encoding))
    assert table["audit_id"].to_list() == ["id-0", "id-1", "id-2"]
    assert ledger.skipped == 0


def test_windows_of_any_size_give_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    data = lines(*range(40)) + b"broken\n\n" + lines(42)
    whole, _ = read(data)
    for size in (100, 333, 1000, 4096):
        monkeypatch.setattr(audit, "windows", lambda stream, ledger, size=size: windows(stream, ledger, size))
        assert read(data)[0].equals(whole)


def test_two_events_on_one_line_are_two_rows_of_that_line() -> None:
    table, ledger = read(lines(0) + line(1) + line(2) + b"\n" + lines(3))
    assert table.select("number", "audit_id").rows() == [(1, "id-0"), (2, "id-1"), (2, "id-2"), (3, "id-3")]
    assert ledger.skipped == 0


def test_one_event_over_two_lines_among_whole_ones_is_not_misnumbered() -> None:
    first, second = line(1)[:60], line(1)[60:]
    table, ledger = read(lines(0) + first + b"\n" + second + b"\n" + line(2) + line(3) + b"\n" + lines(4))
    assert table.select("number", "audit_id").rows() == [(1, "id-0"), (4, "id-2"), (4, "id-3"), (5, "id-4")]
    assert ledger.skipped == 2


def test_interleaved_writers_lose_their_line_only() -> None:
    _, ledger = read(lines(0) + line(1)[:80] + line(2) + b"\n" + lines(3))
    assert (ledger.used, ledger.skipped) == (2, 1)


def test_lines_that_end_in_a_comma_are_read() -> None:
    table, ledger = read(lines(0, 1).replace(b"}\n", b"},\n"))
    assert table["number"].to_list() == [1, 2]
    assert ledger.skipped == 0


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_an_event_list_is_read_by_its_elements(indent: str | int | None) -> None:
    listed = {
        "kind": "EventList",
        "apiVersion": "audit.k8s.io/v1",
        "metadata": {},
        "items": [event(i) for i in range(3)],
    }
    table, ledger = read(json.dumps(listed, indent=indent).encode())
    assert table.select("number", "audit_id").rows() == [(1, "id-0"), (2, "id-1"), (3, "id-2")]
    assert ledger.records == 3


def test_event_lists_by_the_line_are_numbered_through() -> None:
    lists = [{"kind": "EventList", "items": [event(2 * i), event(2 * i + 1)]} for i in range(2)]
    table, _ = read("".join(json.dumps(one) + "\n" for one in lists).encode())
    assert table.select("number", "audit_id").rows() == [(i + 1, f"id-{i}") for i in range(4)]


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_is_read_by_its_elements(indent: int | None) -> None:
    table, ledger = read(json.dumps([event(i) for i in range(3)], indent=indent).encode() + b"\n")
    assert table["number"].to_list() == [1, 2, 3]
    assert ledger.records == 3


def test_pretty_printed_events_are_named_by_their_first_line() -> None:
    text = "\n".join(json.dumps(event(i), indent=2) for i in range(3))
    table, ledger = read(text.encode())
    height = len(json.dumps(event(0), indent=2).splitlines())
    assert table["number"].to_list() == [1, 1 + height, 1 + 2 * height]
    assert ledger.records == 3


def test_damage_in_a_pretty_printed_log_costs_its_event() -> None:
    texts = [json.dumps(event(i), indent=2) for i in range(4)]
    texts[1] = texts[1].replace('"verb": "get"', '"verb": "get')
    table, ledger = read("\n".join(texts).encode())
    assert table["audit_id"].to_list() == ["id-0", "id-2", "id-3"]
    assert ledger.skipped == 1


def test_a_cut_list_keeps_its_whole_elements() -> None:
    text = json.dumps({"kind": "EventList", "items": [event(i) for i in range(3)]}, indent=1).encode()
    _, ledger = read(text[:-200])
    assert (ledger.used, ledger.incomplete_tail) == (2, 1)


def test_container_logs_are_unwrapped() -> None:
    cri = b"".join(b"2026-01-01T00:00:01.5Z stdout F " + line(i) + b"\n" for i in range(3))
    docker = b"".join(
        json.dumps({"log": line(i).decode() + "\n", "stream": "stdout"}).encode() + b"\n" for i in range(3)
    )
    for data in (cri, docker):
        table, ledger = read(data)
        assert table["audit_id"].to_list() == ["id-0", "id-1", "id-2"]
        assert table["event_bytes"].to_list() == [len(line(i)) + 1 for i in range(3)]
        assert any("wrapped" in note for note in ledger.notes)


def test_a_line_whose_parts_were_lost_costs_that_line_only() -> None:
    parts = [b"P " + line(0)[:90], b"F " + line(1), b"P " + line(2)[:90], b"F " + line(2)[90:], b"F " + line(3)]
    table, ledger = read(b"".join(b"2026-01-01T00:00:01.5Z stdout " + part + b"\n" for part in parts))
    assert table["audit_id"].to_list() == ["id-1", "id-2", "id-3"]
    assert ledger.skipped == 1


@pytest.mark.parametrize(
    "record",
    [
        {"category": "kube-audit", "properties": {"log": line(0).decode()}},
        {"records": [{"category": "kube-audit", "properties": {"log": line(0).decode()}}]},
        {"messageType": "DATA_MESSAGE", "logEvents": [{"id": "1", "message": line(0).decode()}]},
        {"events": [{"timestamp": 1, "message": line(0).decode()}]},
    ],
)
def test_events_inside_records_of_clouds_are_read(record: dict[str, object]) -> None:
    table, ledger = read(json.dumps(record).encode() + b"\n")
    assert table["audit_id"].to_list() == ["id-0"]
    assert ledger.skipped == 0


def test_nul_bytes_before_an_event_are_taken_off_and_a_run_of_them_is_skipped() -> None:
    table, ledger = read(lines(0) + b"\0" * 4096 + b"\n" + b"\0" * 99 + lines(1))
    assert table["number"].to_list() == [1, 3]
    assert ledger.skipped == 1


def test_deep_nesting_costs_its_line() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    _, ledger = read(lines(0) + deep + b"\n" + b'{"a":' * 100_000 + b"\n" + lines(1))
    assert (ledger.used, ledger.skipped) == (2, 2)


@pytest.mark.parametrize("place", ["before the times", "at the end"])
def test_a_body_that_nests_deeper_than_any_decoder_goes_is_left_out(place: str) -> None:
    text, body = line(0), b',"requestObject":' + b'{"a":' * 3000 + b"1" + b"}" * 3000
    at = text.index(b',"requestReceivedTimestamp"') if place == "before the times" else len(text) - 1
    table, ledger = read(text[:at] + body + text[at:] + b"\n" + lines(1))
    assert table["request_body_bytes"].to_list() == [len(body), 0]
    assert ledger.skipped == 0


def test_an_empty_file_and_a_foreign_one_are_refused_with_a_reason() -> None:
    nginx = b'192.0.2.1 - - [01/Jan/2026:00:00:01 +0000] "GET / HTTP/1.1" 200 5\n' * 3
    gke = b'{"protoPayload":{"methodName":"google.container.v1.ClusterManager.CreateCluster"}}\n'
    for data, words in (
        (b"", "empty"),
        (b"\n \n", "empty"),
        (nginx, "3 records; it looks like an access"),
        (gke, "Google Cloud"),
    ):
        with pytest.raises(InputError, match=words):
            read(data)


def test_core_events_are_no_audit_events() -> None:
    core = {"kind": "Event", "apiVersion": "v1", "reason": "Killing", "message": "Stopping container"}
    with pytest.raises(InputError):
        read(json.dumps(core).encode())


@pytest.mark.parametrize(
    "head",
    [
        lines(0),
        lines(0)[:-300],
        b"\n" + lines(0),
        json.dumps(event(0), indent=2).encode(),
        json.dumps({"kind": "EventList", "items": [event(0)]}).encode(),
        json.dumps([event(0)]).encode(),
        b"2026-01-01T00:00:01.5Z stdout F " + lines(0),
        lines(0).decode().encode("utf-16"),
        b"garbage\n" + lines(0),
        json.dumps({"kind": "EventList", "items": [event(0) | {"requestObject": "x" * 99_999}]}).encode()[: 64 << 10],
    ],
)
def test_identify_knows_an_audit_log_in_all_its_shapes(head: bytes) -> None:
    match = SOURCE.identify(head)
    assert match is not None
    assert match.confidence > 0.7


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\n",
        b'[INFO] 10.244.1.17:34047 - 3813 "A IN example.com. udp 56 false 512" NOERROR qr,rd 149 0.0002s\n',
        b'{"kind":"Event","apiVersion":"v1","reason":"Killing"}\n',
        b"I1122 22:45:12.743 1 trace.go:236] Trace\n",
        b"\xd4\xc3\xb2\xa1" + b"\0" * 200,
        bytes(range(256)) * 10,
    ],
)
def test_identify_leaves_other_inputs_alone(head: bytes) -> None:
    assert SOURCE.identify(head) is None


def test_batches_are_bounded_by_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "windows", lambda stream, ledger: windows(stream, ledger, 2000))
    batches = list(SOURCE.read(io.BytesIO(lines(*range(50))), Item(id="a", path=Path("a")), ReadOptions(), Ledger()))
    assert max(batch[AUDIT_EVENTS].height for batch in batches) <= 4
    assert sum(batch[AUDIT_EVENTS].height for batch in batches) == 50
