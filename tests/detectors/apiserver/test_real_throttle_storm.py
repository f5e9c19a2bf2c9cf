"""The recorded storm: what the finding says, against its truth, its command line and plain Python over the file."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from datetime import datetime
from typing import Any

import pytest

from analyzer.detectors.apiserver.apiserver_throttle_storm import DETECTOR
from analyzer.model import EvidenceTable, Finding
from analyzer.sources.audit import SOURCE
from tests import recordings
from tests.build import run

pytestmark = recordings.needed
FOLDER = "b1_storm_maxinflight"
WITHIN = 35


@pytest.fixture(scope="module")
def storm() -> Finding:
    [finding] = run(DETECTOR, recordings.read(SOURCE, f"{FOLDER}/audit.log"))
    return finding


def table(finding: Finding, caption: str) -> EvidenceTable:
    [found] = [one for one in finding.evidence.tables if caption in one.caption]
    return found


def at(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def requests() -> list[dict[str, Any]]:
    lines = (recordings.RECORDED / FOLDER / "audit.log").read_bytes().splitlines()
    events = [event for event in map(json.loads, lines) if event["stage"] == "ResponseComplete"]
    return sorted(events, key=lambda event: event["requestReceivedTimestamp"])


def test_rejections_by_resource_are_those_that_the_clients_counted(storm: Finding) -> None:
    truth = json.loads((recordings.RECORDED / FOLDER / "truth.json").read_text())
    sent = {row[2]: row[4] for row in table(storm, "falls under by default").rows if row[1] == "list"}
    assert sent == {name: truth["by_resource_and_code"][f"{name} 429"] for name in ("pods", "services")}
    assert storm.figure("rejected requests") == truth["retry_after"]["1"]
    assert storm.figure("least seconds of waiting") == truth["retry_after"]["1"]


def test_the_limit_taken_from_the_log_is_that_of_the_command_line(storm: Finding) -> None:
    line = (recordings.RECORDED / FOLDER / "cmdline.txt").read_text()
    [limit] = re.findall(r"--max-requests-inflight=(\d+)", line)
    for row in table(storm, "without each").rows:
        assert row[3] == pytest.approx(int(limit), rel=0.1)


def test_only_without_the_agents_would_there_have_been_no_storm(storm: Finding) -> None:
    left = {row[0]: row[1] for row in table(storm, "without each").rows}
    assert left.pop("datadog-agent") == 0
    assert set(left.values()) == {storm.figure("rejected requests")}


def test_retries_are_those_of_plain_python(storm: Finding) -> None:
    assert storm.start is not None
    assert storm.end is not None
    start, end = storm.start.timestamp(), storm.end.timestamp()
    last: dict[tuple[str, ...], tuple[bool, float]] = {}
    retries: dict[str, int] = defaultdict(int)
    for event in requests():
        begin = at(event["requestReceivedTimestamp"])
        if not start <= begin <= end + WITHIN:
            continue
        pod = event["user"].get("extra", {}).get("authentication.kubernetes.io/pod-name", [""])[0]
        agent = event["userAgent"].split("/")[0]
        key = (agent, event["user"]["username"], event["sourceIPs"][0], pod, event["verb"], event["requestURI"])
        rejected, when = last.get(key, (False, 0.0))
        again = rejected and begin - when <= WITHIN
        if begin > end and not again:
            continue
        retries[agent] += again
        last[key] = (event["responseStatus"]["code"] == 429, at(event["stageTimestamp"]))
    assert {row[0]: row[2] for row in table(storm, "Retries").rows} == {
        name: count for name, count in retries.items() if count
    }
    assert storm.figure("retries after a rejection") == sum(retries.values())
