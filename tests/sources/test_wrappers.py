from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from io import BytesIO

import polars as pl
import pytest

from analyzer.sources.contract import Ledger
from analyzer.sources.lines import windows
from analyzer.sources.wrappers import UNWRAPPED, Kind, Wrapper, detect_wrapper, unwrap

TIME = datetime(2026, 3, 14, 9, 0, 0, 123456, tzinfo=UTC)
LINE = 'I0314 09:00:00.123456    1234 kubelet.go:1] "a message" key="value"'


def unwrapped(data: str | Iterable[str], size: int = 1 << 20, ledger: Ledger | None = None) -> pl.DataFrame:
    text = data if isinstance(data, str) else "".join(f"{line}\n" for line in data)
    ledger = ledger or Ledger()
    parts = windows(BytesIO(text.encode()), ledger, size=size)
    return pl.concat(unwrap(parts, detect_wrapper(text.encode()), ledger))


def journal(message: object, **more: object) -> str:
    at = str(int(TIME.timestamp()) * 1_000_000 + 123_456)
    told = {"__REALTIME_TIMESTAMP": at, "_HOSTNAME": "node-1", "SYSLOG_IDENTIFIER": "kubelet", "MESSAGE": message}
    return json.dumps(told | more)


WRAPPED: dict[str, tuple[str, Wrapper, dict[str, object]]] = {
    "raw": (LINE, Wrapper(), {}),
    "CRI": (f"2026-03-14T09:00:00.123456789Z stdout F {LINE}", Wrapper(Kind.CRI), {"time": TIME, "stream": "stdout"}),
    "CRI of CRI-O": (
        f"2026-03-14T10:00:00.123456789+01:00 stderr F {LINE}",
        Wrapper(Kind.CRI),
        {"time": TIME, "stream": "stderr"},
    ),
    "docker": (
        json.dumps({"log": f"{LINE}\n", "stream": "stderr", "time": "2026-03-14T09:00:00.123456789Z"}),
        Wrapper(Kind.JSON),
        {"time": TIME, "stream": "stderr"},
    ),
    "timestamps": (f"2026-03-14T09:00:00.123456789Z {LINE}", Wrapper(Kind.TIMESTAMPS), {"time": TIME}),
    "prefix": (f"[pod/web-0/app] {LINE}", Wrapper(prefixed=True), {"pod": "web-0"}),
    "prefix and timestamps": (
        f"[pod/web-0/app] 2026-03-14T09:00:00.123456Z {LINE}",
        Wrapper(Kind.TIMESTAMPS, prefixed=True),
        {"pod": "web-0", "time": TIME},
    ),
    "journalctl short": (
        f"Mar 14 09:00:00 node-1 kubelet[1234]: {LINE}",
        Wrapper(Kind.SYSLOG),
        {"host": "node-1", "component": "kubelet", "stamp": "Mar 14 09:00:00"},
    ),
    "journalctl short-precise": (
        f"Mar  4 09:00:00.123456 node-1 kubelet[1234]: {LINE}",
        Wrapper(Kind.SYSLOG),
        {"host": "node-1", "component": "kubelet", "stamp": "Mar  4 09:00:00.123456"},
    ),
    "syslog without a pid": (
        f"Mar 14 09:00:00 node-1 kubelet: {LINE}",
        Wrapper(Kind.SYSLOG),
        {"host": "node-1", "component": "kubelet", "stamp": "Mar 14 09:00:00"},
    ),
    "journalctl short-iso": (
        f"2026-03-14T10:00:00+0100 node-1 kubelet[1234]: {LINE}",
        Wrapper(Kind.SYSLOG_ISO),
        {"host": "node-1", "component": "kubelet", "time": TIME.replace(microsecond=0)},
    ),
    "rsyslog": (
        f"2026-03-14T09:00:00.123456+00:00 node-1 kubelet[1234]: {LINE}",
        Wrapper(Kind.SYSLOG_ISO),
        {"host": "node-1", "component": "kubelet", "time": TIME},
    ),
    "journalctl json": (
        journal(LINE),
        Wrapper(Kind.JSON),
        {"host": "node-1", "component": "kubelet", "time": TIME},
    ),
    "journalctl json of bytes": (
        journal(list(LINE.encode())),
        Wrapper(Kind.JSON),
        {"host": "node-1", "component": "kubelet", "time": TIME},
    ),
    "Filebeat": (
        json.dumps(
            {"@timestamp": "2026-03-14T09:00:00.123456Z", "message": LINE, "kubernetes": {"pod": {"name": "web-0"}}}
        ),
        Wrapper(Kind.JSON),
        {"pod": "web-0", "time": TIME},
    ),
    "Fluent Bit": (
        json.dumps(
            {"time": "2026-03-14T09:00:00.123456Z", "log": LINE, "kubernetes": {"pod_name": "web-0", "host": "n"}}
        ),
        Wrapper(Kind.JSON),
        {"pod": "web-0", "host": "n", "time": TIME},
    ),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_each_wrapper_is_recognised_and_taken_off(name: str) -> None:
    line, wrapper, told = WRAPPED[name]
    assert detect_wrapper(f"{line}\n".encode() * 3) == wrapper
    frame = unwrapped([line, line])
    assert frame.schema == UNWRAPPED
    nothing: dict[str, object] = dict.fromkeys(("time", "pod", "host", "component", "stamp", "stream"))
    row = {**nothing, "text": LINE, "line_bytes": len(line) + 1, "open": False, **told}
    assert frame.to_dicts() == [{**row, "number": 1}, {**row, "number": 2}]


def test_lines_that_do_not_fit_are_passed_on_as_they_are() -> None:
    odd = "-- torn --"
    frame = unwrapped([WRAPPED["journalctl short"][0], odd, WRAPPED["journalctl short"][0]])
    assert frame["text"].to_list() == [LINE, odd, LINE]
    assert frame["host"].to_list() == ["node-1", None, "node-1"]


@pytest.mark.parametrize("name", ["docker", "journalctl json"])
def test_a_broken_json_line_costs_no_other(name: str) -> None:
    line = WRAPPED[name][0]
    deep = '{"log":' + "[" * 5000
    frame = unwrapped([line, line[:40], "{}{}", deep, "null", line, "[1]"])
    assert frame["text"].to_list() == [LINE, line[:40], "{}{}", deep, "null", LINE, "[1]"]


def test_values_of_other_types_are_no_values() -> None:
    line = json.dumps({"log": f"{LINE}\n", "stream": 1, "time": {"a": 1}, "kubernetes": "x"})
    frame = unwrapped([line])
    assert frame.select("text", "time", "pod").rows() == [(LINE, None, None)]


def test_an_audit_event_is_no_wrapper() -> None:
    event = json.dumps({"kind": "Event", "message": "not a log line", "stage": "ResponseComplete"})
    assert detect_wrapper(f"{event}\n".encode()) == Wrapper()
    assert unwrapped([event])["text"].to_list() == [event]


@pytest.mark.parametrize("size", [1 << 20, 64, 7])
def test_parts_of_a_cri_line_are_joined_also_across_windows(size: int) -> None:
    head = "2026-03-14T09:00:00.1Z stdout"
    ledger = Ledger()
    lines = [f"{head} F one", f"{head} P tw", f"{head} P o tw", f"{head} F o", f"{head} F three"]
    frame = unwrapped(lines, size, ledger)
    assert frame.select("number", "text").rows() == [(1, "one"), (2, "two two"), (5, "three")]
    assert frame["line_bytes"].to_list()[1] == sum(len(line) + 1 for line in lines[1:4])
    assert ledger.notes == []


def test_parts_of_two_streams_do_not_mix() -> None:
    at = "2026-03-14T09:00:00.1Z"
    frame = unwrapped([f"{at} stdout P a", f"{at} stderr P x", f"{at} stdout F b", f"{at} stderr F y"])
    assert frame["text"].to_list() == ["ab", "xy"]


def test_parts_of_a_docker_line_are_joined() -> None:
    def line(log: str) -> str:
        return json.dumps({"log": log, "stream": "stdout", "time": "2026-03-14T09:00:00Z"})

    assert unwrapped([line("one\n"), line("tw"), line("o\n")])["text"].to_list() == ["one", "two"]


def test_shippers_that_trim_every_line_do_not_make_one_of_all() -> None:
    lines = [json.dumps({"log": text, "time": "2026-03-14T09:00:00Z"}) for text in ("one", "two")]
    assert unwrapped(lines)["text"].to_list() == ["one", "two"]


def test_a_part_without_an_end_is_passed_on_and_noted() -> None:
    ledger = Ledger()
    frame = unwrapped(["2026-03-14T09:00:00.1Z stdout F one", "2026-03-14T09:00:00.1Z stdout P tw"], ledger=ledger)
    assert frame["text"].to_list() == ["one", "tw"]
    assert ledger.notes == ["line 2: a line split into parts has no end"]


def test_parts_without_end_do_not_grow_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.sources.joiner.PARTIAL_LIMIT", 1000)
    ledger = Ledger()
    frame = unwrapped(["2026-03-14T09:00:00.1Z stdout P " + "x" * 90] * 100, size=500, ledger=ledger)
    assert max(frame["text"].str.len_bytes().to_list()) < 2000
    assert frame["text"].str.len_bytes().sum() == 9000
    assert "were not joined" in ledger.notes[0]


def test_blank_lines_are_left_out_and_numbers_stay_physical() -> None:
    frame = unwrapped("one\n\n   \n\t\n\r\nsix\n")
    assert frame.select("number", "text").rows() == [(1, "one"), (6, "six")]


def test_the_last_line_is_open_where_it_has_no_newline() -> None:
    assert unwrapped("one\ntwo")["open"].to_list() == [False, True]
    assert unwrapped("one\ntwo\n")["open"].to_list() == [False, False]


def test_nothing_at_all_is_raw() -> None:
    assert detect_wrapper(b"") == Wrapper()
    assert list(unwrap(windows(BytesIO(b""), Ledger()), Wrapper(), Ledger())) == []


def test_the_first_lines_may_be_of_another_kind() -> None:
    head = "-- Logs begin at Fri 2017-11-03 13:31:21 UTC, end at Fri 2017-11-03 13:48:19 UTC. --"
    assert detect_wrapper(f"{head}\n{WRAPPED['journalctl short'][0]}\n".encode()).kind is Kind.SYSLOG
