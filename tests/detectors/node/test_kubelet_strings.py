"""The words that the detectors of nodes wait for, held against the log calls of twelve kubelet versions."""

from __future__ import annotations

import gzip
import json
import re
from typing import Any

import pytest

from analyzer.detectors.node.exec_probe_timeout.timeouts import timeouts
from analyzer.detectors.node.runtime_stall.signals import signals
from analyzer.facts.container_ends import CONTAINER_ENDS
from analyzer.facts.container_kills import CONTAINER_KILLS
from analyzer.facts.contract import Frames
from analyzer.facts.kubelet_starts import KUBELET_STARTS
from analyzer.frames import KLOG_LINES
from tests.build import frames_for, rows
from tests.recordings import RECORDED

STRINGS = RECORDED.parent / "kubelet-strings.jsonl.gz"
pytestmark = pytest.mark.skipif(not STRINGS.is_file(), reason="the log calls of kubelets are not here")

LATE = "rpc error: code = DeadlineExceeded desc = context deadline exceeded"
ID = "ab" * 32
VALUES = {
    "containerID": f'containerID="{ID}"',
    "gracePeriod": "gracePeriod=30",
    "exitCode": "exitCode=137",
    "cmd": 'cmd=["sh"]',
    "expected": 'expected="1s"',
    "actual": 'actual="20s"',
    "seconds": "seconds=20",
    "probe": 'probe="liveness"',
    "status": 'status="unhealthy"',
}


def calls(pattern: str) -> list[list[Any]]:
    with gzip.open(STRINGS, "rt") as file:
        return [row for row in map(json.loads, file) if re.search(pattern, row[6])]


def line(row: list[Any], error: str) -> dict[str, Any]:
    """The call as klog writes it: structured, or with its printf verbs filled in."""
    _, _, _, _, _, function, literal, keys = row
    common = {"host": "n1", "component": "kubelet"}
    if function.endswith("S") or keys or function in {"Info", "Error"}:
        pairs = [VALUES.get(key, f'{key}="x"') for key in keys if key != "err" and " " not in key]
        text = f'"{literal}" err="{error}" ' + " ".join(pairs)
        return common | {"message": literal, "text": text.rstrip(), "error": error, "pod": "shop/web-1"}
    fills = iter(["30" if verb == "d" else None for verb in re.findall(r"%([a-z])", literal)])
    one = len(re.findall(r"%[qvs]", literal)) == 1
    known = [ID, "sh -c x", error] if literal.startswith("ExecSync") else [ID, error, error]
    strings = iter([error] if one and "Killing" not in literal else known)
    text = re.sub(r"%[qvsd]", lambda verb: next(fills) or quoted(verb[0], next(strings)), literal)
    return common | {"message": text, "text": text}


def distinct(found: list[list[Any]]) -> list[list[Any]]:
    """One call of each form, whatever number of versions has it."""
    return list({(row[6], *row[7]): row for row in found}.values())


def quoted(verb: str, value: str) -> str:
    return f'"{value}"' if verb == "%q" else value


def tables(data: dict[str, Any]) -> Frames:
    given = {KLOG_LINES: rows(KLOG_LINES, data, source="k")}
    return frames_for([KLOG_LINES, CONTAINER_KILLS, CONTAINER_ENDS, KUBELET_STARTS], given)


@pytest.mark.parametrize("pattern", [r"^Killing container( %q|$| with a grace)", r"^SyncLoop \(probe\)$"])
def test_kills(pattern: str) -> None:
    found = [row for row in calls(pattern) if "unwanted" not in row[6] and "before removal" not in row[6]]
    assert len({row[0] for row in found}) >= 7
    for row in distinct(found):
        [kill] = tables(line(row, "x"))[CONTAINER_KILLS].collect().to_dicts()
        assert kill["why"] == "probe" or (kill["grace_seconds"], kill["container_id"]) == (30.0, ID), row


def test_ends_and_starts() -> None:
    for row in distinct(calls(r"^Generic \(PLEG\): container finished")):
        [end] = tables(line(row, "x"))[CONTAINER_ENDS].collect().to_dicts()
        assert (end["exit_code"], end["container_id"]) == (137, ID), row
    for row in distinct(calls(r"^(Starting kubelet main sync loop)")):
        assert tables(line(row, "x"))[KUBELET_STARTS].collect().height == 1, row


def test_exec_calls() -> None:
    found = calls(r"^ExecSync .*from runtime service failed")
    assert len({row[0] for row in found}) >= 9
    for row in distinct(found):
        [told] = timeouts(tables(line(row, LATE))).to_dicts()
        assert told["container_id"] == ID, row


@pytest.mark.parametrize(
    ("pattern", "kind", "versions"),
    [
        (r"^Stop(Container|PodSandbox)( %q)? from runtime service failed", "stop deadline", 9),
        (r"^RunPodSandbox from runtime service failed", "sandbox deadline", 9),
        (r"^[Ff]ailed to (kill all the processes attached|delete cgroup paths)", "cgroup", 11),
        (r"^[kK]illPod failed$|^Container (%q )?termination failed", "failed kill", 11),
        (r"^housekeeping took too long", "housekeeping", 7),
        (r"^Node became not ready", "not ready", 7),
    ],
)
def test_signs_of_a_stall(pattern: str, kind: str, versions: int) -> None:
    found = calls(pattern)
    assert len({row[0] for row in found}) >= versions
    for row in distinct(found):
        assert signals(tables(line(row, LATE)))["kind"].to_list() == [kind], row


def test_a_pleg_that_is_late_in_every_version() -> None:
    late = "PLEG is not healthy: pleg was last seen active 3m10s ago; threshold is 3m0s"
    for row in distinct(calls(r"^[sS]kipping pod synchronization")):
        assert signals(tables(line(row, late)))["seconds"].to_list() == [190.0], row
        assert not signals(tables(line(row, "PLEG is not healthy: pleg has yet to be successful"))).height
