"""CoreDNS logs recorded from real clusters: every count equals that of Python's own regular expressions."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from analyzer.frames import COREDNS_ERRORS, COREDNS_EVENTS, COREDNS_QUERIES
from analyzer.sources.coredns import SOURCE
from tests.sources.texts import read_path

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
LOGS = sorted([*SHARED.glob("data/coredns/*/*.log"), *SHARED.glob("real/dns/*.log")])

pytestmark = pytest.mark.skipif(not LOGS, reason="no recorded CoreDNS logs beside the checkout")

QUERY = re.compile(
    r'\[INFO\] (\S+):(\d+) - (\d+) "(\S+) IN (\S+) (udp|tcp) (\d+) \S+ \d+" (\S+) (\S+) (\d+) ([\d.]+)s(?: "\d")?$'
)
ERROR = re.compile(r"\[ERROR\] plugin/errors: (\d+) (\S+) (\S+): (.*)$")
UPSTREAM = re.compile(r"->(\S+):\d+: ")


def texts(path: Path) -> list[str]:
    lines = path.read_text().splitlines()
    if path.name.endswith(".docker-json.log"):
        return [json.loads(line)["log"].rstrip("\n") for line in lines]
    return lines


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name)
def test_queries_codes_types_names_clients_and_durations_are_those_of_the_lines(path: Path) -> None:
    found = [match for line in texts(path) if (match := QUERY.search(line))]
    rows = read_path(SOURCE, path).tables[COREDNS_QUERIES]
    assert rows.height == len(found)
    codes = ["NO_REPLY" if match[9] == "-" else match[8] for match in found]
    told = {
        "rcode": codes,
        "qtype": [match[4] for match in found],
        "name": [match[5].removesuffix(".").lower() for match in found],
        "client": [match[1] for match in found],
        "client_port": [int(match[2]) for match in found],
        "dns_id": [int(match[3]) for match in found],
        "answer_bytes": [int(match[10]) for match in found],
        "duration_seconds": [float(match[11]) for match in found],
    }
    for name, values in told.items():
        assert rows[name].to_list() == values, name


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name)
def test_errors_and_their_upstreams_are_those_of_the_lines(path: Path) -> None:
    found = [match for line in texts(path) if (match := ERROR.search(line))]
    rows = read_path(SOURCE, path).tables[COREDNS_ERRORS]
    assert rows["error"].to_list() == [match[4] for match in found]
    assert rows["name"].to_list() == [match[2].removesuffix(".") for match in found]
    asked = Counter(match[1] for line in found if (match := UPSTREAM.search(line[4])))
    assert Counter(rows["upstream"].drop_nulls().to_list()) == asked
    timeouts = sum("i/o timeout" in match[4] for match in found)
    assert rows.filter(pl.col("kind") == "timeout").height == timeouts


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name)
def test_every_line_is_a_query_an_error_or_an_event(path: Path) -> None:
    reading = read_path(SOURCE, path)
    heights = sum(reading.tables[table].height for table in (COREDNS_QUERIES, COREDNS_ERRORS, COREDNS_EVENTS))
    assert heights == len([text for text in texts(path) if text.strip()])
    assert reading.report.skipped == reading.report.incomplete_tail == 0
