"""Recordings of real components: lives of pods and outages of nodes against independent counts."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

import polars as pl
import pytest

from analyzer.facts.contract import Fact
from analyzer.facts.node_outages import NODE_OUTAGES
from analyzer.facts.pod_life import POD_LIFE
from analyzer.pipeline import Progress, RunOptions
from analyzer.pipeline.read import read_all
from analyzer.pipeline.sink import Sink
from analyzer.pipeline.store import Store
from tests.recordings import RECORDED, needed

HERE = RECORDED / "h_node_delete_localpv"

pytestmark = needed


@pytest.fixture(scope="module")
def read() -> dict[Fact, pl.DataFrame]:
    inputs = tuple(sorted(HERE.glob("*kubelet*.txt")))
    with Sink(0) as sink:
        store = Store(read_all(RunOptions(inputs=(HERE / "audit.log", *inputs)), Progress(), sink).tables)
        found = {fact: store.get(fact) for fact in (POD_LIFE, NODE_OUTAGES)}
        return {fact: frame.collect() for fact, frame in found.items() if frame is not None}


def events() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (HERE / "audit.log").read_text().splitlines()]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_deletions_are_those_of_the_audit_log(read: dict[Fact, pl.DataFrame]) -> None:
    wanted = set()
    for event in events():
        ref = event.get("objectRef") or {}
        done = event["stage"] == "ResponseComplete" and event.get("responseStatus", {}).get("code", 0) < 300
        if done and event["verb"] == "delete" and ref.get("resource") == "pods" and not ref.get("subresource"):
            own = event["user"]["username"].startswith("system:node:")
            wanted.add(
                ("gone" if own else "deleted", ref["namespace"], ref["name"], moment(event["requestReceivedTimestamp"]))
            )
    told = read[POD_LIFE].filter(pl.col("channel") == "audit", pl.col("what").is_in(["gone", "deleted"]))
    assert wanted
    assert set(told.select("what", "namespace", "pod", "time").rows()) == wanted


def test_containers_that_start_are_those_of_the_kubelets(read: dict[Fact, pl.DataFrame]) -> None:
    text = "\n".join(path.read_text(errors="replace") for path in sorted(HERE.glob("*kubelet*.txt")))
    wanted = len(re.findall(r'"SyncLoop \(PLEG\): event for pod".*"Type":"ContainerStarted"', text))
    told = read[POD_LIFE].filter(pl.col("channel") == "log", pl.col("what") == "started")
    assert told.height == wanted > 0


def test_the_node_that_was_deleted_falls_silent_and_no_other(read: dict[Fact, pl.DataFrame]) -> None:
    words: dict[str, list[datetime]] = {}
    for event in events():
        if event["stage"] == "ResponseComplete" and event["user"]["username"].startswith("system:node:"):
            node = event["user"]["username"].removeprefix("system:node:").split(".")[0]
            words.setdefault(node, []).append(moment(event["requestReceivedTimestamp"]))
    [outage] = read[NODE_OUTAGES].iter_rows(named=True)
    assert outage["node"] == "ip-10-0-12-32"
    assert outage["time"] == max(words[outage["node"]])
    assert all(max(times) > outage["time"] for node, times in words.items() if node != outage["node"])
