from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from analyzer.frames import COREDNS_ERRORS, COREDNS_EVENTS, COREDNS_QUERIES
from analyzer.sources.coredns import SOURCE
from tests.sources.texts import Reading, read_text

BODY = '"A IN web.shop.svc.cluster.local. udp 54 false 1232" NXDOMAIN qr,aa,rd 147 0.000123s'
LINE = f"[INFO] 10.244.1.5:40000 - 1000 {BODY}"
AT = datetime(2026, 3, 14, 9, 0, 0, 500_000, tzinfo=UTC)


def read(*lines: str, **options: Any) -> Reading:
    return read_text(SOURCE, lines, **options)


def query(line: str) -> dict[str, object]:
    """The one row that a line gives, in company of an ordinary one."""
    rows = read(line, LINE).tables[COREDNS_QUERIES]
    assert rows["number"].to_list() == [1, 2]
    return rows.row(0, named=True)


def test_a_line_of_the_common_format_gives_every_column() -> None:
    assert query(f"2026-03-14T09:00:00.500000000Z stdout F {LINE}") == {
        "time": AT,
        "source": "a.log",
        "number": 1,
        "query_time": AT - timedelta(microseconds=123),
        "client": "10.244.1.5",
        "client_port": 40000,
        "dns_id": 1000,
        "name": "web.shop.svc.cluster.local",
        "qtype": "A",
        "transport": "udp",
        "rcode": "NXDOMAIN",
        "flags": "qr,aa,rd",
        "query_bytes": 54,
        "answer_bytes": 147,
        "duration_seconds": 0.000123,
        "line_bytes": len(LINE) + 41 + 0,
        "pod": None,
        "component": None,
    }


ERAS = {
    "now": LINE,
    "combined": f'{LINE} "0"',
    "1.2.6 to 1.6.2": f"2026-03-14T09:00:00.500Z {LINE}",
    "1.2.6 to 1.6.2, other zone": f"2026-03-14T02:00:00.500-07:00 {LINE}",
    "Go's log": f"2026/03/14 09:00:00 {LINE}",
    "1.0.5 to 1.2.5": f"10.244.1.5:40000 - [14/Mar/2026:10:00:00 +0100] 1000 {BODY}",
    "without an id": f"10.244.1.5:40000 - [14/Mar/2026:09:00:00 +0000] {BODY}",
    "1.0.5 and 1.0.6": f"10.244.1.5 - [14/Mar/2026:09:00:00 +0000] 1000 {BODY}",
    "before 1.0.5": f"10.244.1.5 - [14/Mar/2026:09:00:00 +0000] {BODY}",
    "before 1.0.0": f"10.244.1.5 - [14/Mar/2026:09:00:00 +0000] {BODY.replace(' qr,aa,rd', '')}",
    "Go durations": f"10.244.1.5:40000 - [14/Mar/2026:09:00:00 +0000] 1000 {BODY.replace('0.000123s', '123µs')}",
}


@pytest.mark.parametrize("era", ERAS)
def test_every_era_of_the_log_plugin_gives_the_same_row(era: str) -> None:
    row, now = query(ERAS[era]), query(LINE)
    lacks = {"without an id": {"dns_id"}, "1.0.5 and 1.0.6": {"client_port"}, "before 1.0.5": {"dns_id", "client_port"}}
    absent = lacks.get(era, {"dns_id", "client_port", "flags"} if era == "before 1.0.0" else set())
    different = {"time", "query_time", "line_bytes"} | absent
    assert {key: row[key] for key in row.keys() - different} == {key: now[key] for key in now.keys() - different}
    assert all(row[key] is None for key in absent)
    if era not in {"now", "combined"}:
        time = row["time"]
        assert isinstance(time, datetime)
        assert time.replace(microsecond=0) == AT.replace(microsecond=0)
        assert row["query_time"] == time - timedelta(microseconds=123)


def test_the_time_of_the_wrapper_counts_more_than_the_own_one() -> None:
    row = query(f"2026-03-14T09:00:00.500Z stdout F 2026-03-14T08:00:00.000Z {LINE}")
    assert row["time"] == AT


@pytest.mark.parametrize("answer", ["NOERROR - 0 2.000s", "- - 0 2.000s"])
def test_a_query_without_flags_had_no_reply(answer: str) -> None:
    row = query(LINE.replace("NXDOMAIN qr,aa,rd 147 0.000123s", answer))
    assert (row["rcode"], row["flags"], row["duration_seconds"]) == ("NO_REPLY", "-", 2.0)


def test_a_servfail_with_flags_is_one() -> None:
    assert query(LINE.replace("NXDOMAIN qr,aa,rd", "SERVFAIL qr,rd"))["rcode"] == "SERVFAIL"


@pytest.mark.parametrize(
    ("written", "column", "value"),
    [
        ("[fd00::0:5]:53", "client", "fd00::5"),
        ("[::ffff:10.0.0.1]:53", "client", "10.0.0.1"),
        ("10.0.0.1:53", "client", "10.0.0.1"),
    ],
)
def test_addresses_are_canonical(written: str, column: str, value: str) -> None:
    assert query(LINE.replace("10.244.1.5:40000", written))[column] == value


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (".", ""),
        ("Web.Example.COM.", "web.example.com"),
        (r"a\ b.example.com.", r"a\032b.example.com"),
        (r"\"quoted\".example.com.", r"\"quoted\".example.com"),
        ("_http._tcp.example.com.", "_http._tcp.example.com"),
    ],
)
def test_names_are_lower_case_without_the_final_dot(written: str, name: str) -> None:
    assert query(LINE.replace("web.shop.svc.cluster.local.", written))["name"] == name


def test_types_by_number_get_their_names() -> None:
    assert query(LINE.replace('"A IN', '"TYPE65 IN'))["qtype"] == "HTTPS"
    assert query(LINE.replace('"A IN', '"TYPE65280 IN'))["qtype"] == "TYPE65280"


def test_tcp_and_a_code_by_number_are_taken() -> None:
    row = query(LINE.replace(" udp ", " tcp ").replace("NXDOMAIN", "3841"))
    assert (row["transport"], row["rcode"]) == ("tcp", "3841")


MALFORMED = {
    "no address": LINE.replace("10.244.1.5", "10.244.1.555"),
    "a port too large": LINE.replace(":40000", ":70000"),
    "an id too large": LINE.replace(" 1000 ", " 99999999999999999999 "),
    "a name of a megabyte": LINE.replace("web", "a" * 1_000_000),
    "a name without its dot": LINE.replace("local.", "local"),
    "a duration that is no number": LINE.replace("0.000123s", "nans"),
    "a duration without end": LINE.replace("0.000123s", "infs"),
    "a negative duration": LINE.replace("0.000123s", "-0.1s"),
    "a duration of years": LINE.replace("0.000123s", "1e9s"),
    "no code": LINE.replace("NXDOMAIN", "<script>"),
    "no transport": LINE.replace(" udp ", " sctp "),
    "half a line": LINE[:-30],
    "fifty thousand spaces": f"[INFO] {' ' * 50_000}x",
    "bytes of zero": "\0" * 4096,
    "anything": "nothing that CoreDNS writes",
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_malformed_lines_are_counted_with_their_place_and_cost_no_other(fault: str) -> None:
    reading = read(LINE, MALFORMED[fault], LINE)
    assert reading.column(COREDNS_QUERIES, "number") == [1, 3]
    assert reading.skipped == {"malformed line": 1}
    assert reading.report.skipped_reasons[0].places == ("2",)


def test_a_line_break_inside_a_shippers_text_makes_no_second_query() -> None:
    line = json.dumps({"log": f"{LINE}\n{LINE}\n", "stream": "stdout", "time": "2026-03-14T09:00:00Z"})
    reading = read(line)
    assert reading.tables[COREDNS_QUERIES].height == 0
    assert reading.report.records == 1


@pytest.mark.parametrize(
    "line",
    ["[INFO] something that no version writes", "[DEBUG] something else", r"      /____/   ~\______\____/"],
)
def test_other_lines_of_coredns_are_no_records(line: str) -> None:
    assert read(LINE, line, LINE).skipped == {"not-a-record": 1}


def test_blank_lines_do_not_count() -> None:
    assert read(LINE, "", "  ", LINE).report.records == 2


def test_a_cut_last_line_is_an_incomplete_tail() -> None:
    reading = read_text(SOURCE, f"{LINE}\n{LINE[:-10]}")
    assert (reading.report.used, reading.report.incomplete_tail, reading.report.skipped) == (1, 1, 0)


def test_a_whole_last_line_without_newline_is_used() -> None:
    assert read_text(SOURCE, f"{LINE}\n{LINE}").report.used == 2


def test_errors_give_code_name_type_and_text() -> None:
    error = "[ERROR] plugin/errors: 2 Api.example.com. AAAA: read udp 10.0.0.1:39548->10.0.0.2:53: i/o timeout"
    [row] = read(f"2026-03-14T09:00:00.500Z {error}").tables[COREDNS_ERRORS].to_dicts()
    assert row == {
        "time": AT,
        "source": "a.log",
        "number": 1,
        "rcode": "SERVFAIL",
        "name": "api.example.com",
        "qtype": "AAAA",
        "error": "read udp 10.0.0.1:39548->10.0.0.2:53: i/o timeout",
        "kind": "timeout",
        "upstream": "10.0.0.2",
        "upstream_port": 53,
        "count": 1,
        "period_seconds": None,
        "pod": None,
        "component": None,
    }


def test_a_consolidated_error_counts_as_many() -> None:
    line = "[WARNING] plugin/errors: 13 errors like '^read udp .* i/o timeout$' occurred in last 30s"
    rows = read(line, LINE).tables[COREDNS_ERRORS]
    columns = ("count", "error", "name", "kind", "period_seconds")
    assert rows.select(columns).rows() == [(13, "^read udp .* i/o timeout$", None, "timeout", 30.0)]


def wrap_cri(line: str, at: str) -> str:
    return f"{at} stdout F {line}"


def wrap_docker(line: str, at: str) -> str:
    return json.dumps({"log": f"{line}\n", "stream": "stdout", "time": at})


def wrap_syslog(line: str, at: str) -> str:
    return f"{at} node-1 coredns[7]: {line}"


@pytest.mark.parametrize("wrap", [wrap_cri, wrap_docker, wrap_syslog])
def test_every_wrapper_gives_the_rows_of_the_bare_log(wrap: object) -> None:
    lines = [
        ".:53",
        *(LINE.replace("1000", str(number)) for number in range(50)),
        LINE.replace("web", "w\\ b"),
        LINE.replace("qr,aa,rd", "-"),
        LINE.replace("10.244.1.5", "[fd00::1]"),
        "[ERROR] plugin/errors: 2 a. A: i/o timeout",
        LINE[:30],
    ]
    bare = read(*lines)
    wrapped = read(*(wrap(line, f"2026-03-14T09:00:00.{at:06d}Z") for at, line in enumerate(lines)))  # type: ignore[operator]
    for table in (COREDNS_QUERIES, COREDNS_ERRORS, COREDNS_EVENTS):
        alike = [name for name in table.schema if name not in {"time", "query_time", "line_bytes"}]
        assert wrapped.tables[table].select(alike).equals(bare.tables[table].select(alike))
        assert wrapped.tables[table]["time"].null_count() == 0
    assert wrapped.skipped == bare.skipped
    first, last = wrapped.report.first_time, wrapped.report.last_time
    assert first == datetime(2026, 3, 14, 9, 0, tzinfo=UTC)
    assert last == datetime(2026, 3, 14, 9, 0, 0, 54, tzinfo=UTC)


def test_two_pods_in_one_file_are_told_apart() -> None:
    reading = read(f"[pod/coredns-a/coredns] {LINE}", f"[pod/coredns-b/coredns] {LINE}")
    assert reading.column(COREDNS_QUERIES, "pod") == ["coredns-a", "coredns-b"]


def test_mark_and_carriage_returns_change_nothing() -> None:
    reading = read_text(SOURCE, b"\xef\xbb\xbf" + f"{LINE}\r\n{LINE}\r\n".encode())
    assert reading.report.used == 2


def test_invalid_text_in_a_name_is_replaced_not_dropped() -> None:
    reading = read_text(SOURCE, LINE.encode().replace(b"web", b"w\xffb") + b"\n")
    assert reading.column(COREDNS_QUERIES, "name") == ["w\ufffdb.shop.svc.cluster.local"]


def test_notes_say_what_the_log_cannot() -> None:
    assert "no timestamps in this log" in read(LINE).notes
    timed = f"2026-03-14T09:00:00.500Z {LINE}"
    assert read(timed).notes == ""
    errors = read("2026-03-14T09:00:00.5Z [ERROR] plugin/errors: 2 a. A: i/o timeout").notes
    assert "errors only" in errors
    assert "denials and errors only" in read(*[timed] * 100).notes
    success = timed.replace("NXDOMAIN", "NOERROR")
    assert "1 of 101 A queries succeeded (100 NXDOMAIN, 0 without an answer)" in read(*[timed] * 100, success).notes
    assert read(*[timed] * 100, *[success] * 2).notes == ""
    assert "in no known format" in read(*['[INFO] 10.0.0.1 asked "web." got NOERROR'] * 3).notes


@pytest.mark.parametrize("wrap", [str, lambda line: wrap_cri(line, "2026-03-14T09:00:00Z")])
def test_it_is_known_by_its_lines(wrap: object) -> None:
    def confidence(*lines: str) -> float:
        match = SOURCE.identify("".join(f"{wrap(line)}\n" for line in lines).encode())  # type: ignore[operator]
        return match.confidence if match else 0.0

    assert confidence(".:53", "CoreDNS-1.11.1", LINE) > 0.9
    assert confidence("[ERROR] plugin/errors: 2 a. A: i/o timeout") > 0.9
    assert confidence(".:53", "CoreDNS-1.11.1", "linux/amd64, go1.20.7, ae2bbc2") > 0.5
    assert confidence("# How to debug DNS", "", *["Words of a page."] * 20, f"    {LINE}") < 0.3
    assert confidence('10.0.0.1 - - [14/Mar/2026:09:00:00 +0000] "GET / HTTP/1.1" 200 12 "-" "curl"') < 0.3
    assert confidence("time,client,name", "1,10.0.0.1,web") < 0.3
    assert confidence('I0314 09:00:00.000000    1234 kubelet.go:1] "SyncLoop ADD"') < 0.3
    assert confidence('{"kind":"Event","apiVersion":"audit.k8s.io/v1"}') < 0.3


def test_a_window_with_one_odd_line_keeps_its_order() -> None:
    lines = [LINE.replace("1000", str(number)) for number in range(2000)]
    lines[700] = lines[700].replace("web", r"w\ b")
    lines[900] = ".:53"
    rows = read(*lines).tables[COREDNS_QUERIES]
    assert rows["number"].is_sorted()
    assert rows["dns_id"].to_list() == [number for number in range(2000) if number != 900]
    assert isinstance(rows, pl.DataFrame)


def test_credentials_in_an_error_never_enter_the_table() -> None:
    error = "[ERROR] plugin/errors: 2 a. A: Get https://user:hunter2hunter2@h/: Authorization: Bearer abcdefghijklmnop"
    [text] = read(error, LINE).tables[COREDNS_ERRORS]["error"].to_list()
    assert "hunter2" not in text
    assert "abcdefgh" not in text
    assert text.count("[masked]") == 2
