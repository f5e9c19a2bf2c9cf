from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from analyzer import sources
from analyzer.frames import METRIC_SAMPLES
from analyzer.sources.metrics import SOURCE
from tests.sources.texts import Reading, read_path, read_text

pytest.importorskip("prometheus_client")

TEXT = """\
# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000
# A comment
# TYPE rpc_seconds histogram
rpc_seconds_bucket{le="0.5"} 1
rpc_seconds_bucket{le="+Inf"} 2
rpc_seconds_sum 1.7560473e+04
rpc_seconds_count 2
# TYPE restarts counter
restarts 5
msdos_file{path="C:\\\\DIR\\\\FILE.TXT",error="Cannot find \\"x\\"\\n }"} 1.458255915e9
not_a_number NaN
"""


def read(text: str) -> Reading:
    return read_text(SOURCE, text)


def test_samples_keep_their_names_and_have_the_type_of_their_family() -> None:
    rows = read(TEXT).rows(METRIC_SAMPLES)
    told = [(row["number"], row["metric"], row["family"], row["family_type"], row.get("value")) for row in rows]
    assert told[:-1] == [
        (3, "http_requests_total", "http_requests_total", "counter", 1027.0),
        (4, "http_requests_total", "http_requests_total", "counter", 3.0),
        (7, "rpc_seconds_bucket", "rpc_seconds", "histogram", 1.0),
        (8, "rpc_seconds_bucket", "rpc_seconds", "histogram", 2.0),
        (9, "rpc_seconds_sum", "rpc_seconds", "histogram", 17560.473),
        (10, "rpc_seconds_count", "rpc_seconds", "histogram", 2.0),
        (12, "restarts", "restarts", "counter", 5.0),
        (13, "msdos_file", "msdos_file", "unknown", 1458255915.0),
    ]
    assert rows[0]["labels"] == '{"code":"200","method":"post"}'
    assert rows[7]["labels"] == r'{"error":"Cannot find \"x\"\n }","path":"C:\\DIR\\FILE.TXT"}'
    assert rows[0]["time"] == datetime(2014, 3, 17, 14, 26, 3, tzinfo=UTC)
    assert rows[2].get("time") is None


def test_openmetrics_writes_seconds_and_exemplars() -> None:
    text = (
        "# TYPE foo counter\n# UNIT foo seconds\n"
        'foo_total{a="x # {y}"} 17.0 1520879607.789 # {trace_id="KOO5S4vxi0o"} 0.67 1520879607.7\n'
        'foo_total 18 # {trace_id="KOO5S4vxi0o"} 0.67\n# EOF\n'
    )
    one, two = read(text).rows(METRIC_SAMPLES)
    assert (one["value"], one["family"], one["labels"]) == (17.0, "foo", '{"a":"x # {y}"}')
    assert one["time"] == datetime(2018, 3, 12, 18, 33, 27, 789_000, tzinfo=UTC)
    assert (two["value"], two.get("time")) == (18.0, None)


def test_samples_without_a_time_name_when_the_file_was_changed(tmp_path: Path) -> None:
    path = tmp_path / "metrics.txt"
    path.write_text(TEXT)
    assert "samples without a timestamp have no time; the file was last changed at 20" in read_path(SOURCE, path).notes


@pytest.mark.parametrize("damage", ['a{b="no end 1', 'a{b="1",b="2"} 1', "a 1_000", "no value", "a{1} 2"])
def test_a_damaged_line_costs_itself(damage: str) -> None:
    reading = read(f"# TYPE a gauge\na 1\n{damage}\na 2\n")
    assert (reading.column(METRIC_SAMPLES, "value"), reading.skipped) == ([1.0, 2.0], {"malformed line": 1})


def test_a_last_line_that_was_cut_is_an_incomplete_tail() -> None:
    reading = read('# TYPE a gauge\na 1\na{b="c')
    assert (reading.report.used, reading.report.incomplete_tail) == (1, 1)


def test_what_is_beyond_the_limit_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.sources.metrics.SAMPLES_LIMIT", 3)
    reading = read("# TYPE a gauge\n" + "".join(f"a {n}\n" for n in range(5)))
    assert (reading.report.used, reading.skipped) == (3, {"beyond the limit of 3 samples": 2})


def test_families_go_on_across_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read(TEXT).tables[METRIC_SAMPLES]
    monkeypatch.setattr("analyzer.sources.lines.windows.__defaults__", (60, 64 << 20))
    assert read(TEXT).tables[METRIC_SAMPLES].equals(whole)


def test_a_scrape_is_known_by_its_headers_and_samples() -> None:
    known = sources.identify(TEXT.encode())
    assert known is not None
    assert known[0].name == "metrics"
    for other in ("# TYPE of house\nsome text\n", "a 1\nb 2\n", "# HELP me\n"):
        found = sources.identify(other.encode())
        assert found is None or found[0].name != "metrics"


def test_what_grep_left_of_a_scrape_is_known_by_names() -> None:
    lines = [
        f'container_cpu_cfs_throttled_periods_total{{pod="p{number}"}} {number} 1773478800000\n' for number in range(3)
    ]
    found = sources.identify("".join(lines).encode())
    assert found is not None
    assert found[0] is SOURCE
    assert len(read("".join(lines)).rows(METRIC_SAMPLES)) == 3


@pytest.mark.parametrize(
    "text", ["go_fast 1\n", "my_app_total 5\nmy_other_total 6\n", "kube_x 1\nsome other line\nmore\n"]
)
def test_samples_of_anything_are_not_taken(text: str) -> None:
    found = sources.identify(text.encode())
    assert found is None or found[0] is not SOURCE


def test_a_short_scrape_of_openmetrics() -> None:
    found = sources.identify(b"# TYPE a counter\na_total 5 1773478800.123\n# EOF\n")
    assert found is not None
    assert found[0] is SOURCE
