"""Starts and statuses of pods against recordings of a real control plane, counted independently."""

from __future__ import annotations

import json
import re

import polars as pl

from analyzer.detectors.node.kubelet_status_lag import DETECTOR
from analyzer.facts.status_lags import STATUS_LAGS
from analyzer.frames import Table
from analyzer.sources import audit, klog
from tests.build import frames_for, outcome
from tests.recordings import RECORDED, needed, read

pytestmark = needed

CASE = "j0_evictions_instant"
"""Its audit policy keeps the bodies of pods."""


def given() -> dict[Table, pl.LazyFrame]:
    logs = [str(path.relative_to(RECORDED)) for path in sorted((RECORDED / CASE).glob("hollow-kubelet*.klog.txt"))]
    return {**read(audit.SOURCE, f"{CASE}/audit.log"), **read(klog.SOURCE, *logs)}


def test_every_pod_that_started_and_was_told_of_with_its_address_is_there() -> None:
    told = set()
    for line in (RECORDED / CASE / "audit.log").read_text().splitlines():
        event = json.loads(line)
        ref = event.get("objectRef") or {}
        status = (event.get("requestObject") or {}).get("status") or {}
        if (ref.get("resource"), ref.get("subresource")) == ("pods", "status") and "podIP" in status:
            told.add(f"{ref['namespace']}/{ref['name']}")
    started = set()
    for path in (RECORDED / CASE).glob("hollow-kubelet*.klog.txt"):
        text = path.read_text(errors="replace")
        started |= set(
            re.findall(r'SyncLoop \(PLEG\): event for pod" pod="([^"]+)" event=[^\n]*ContainerStarted', text)
        )
    found = frames_for([STATUS_LAGS], given())[STATUS_LAGS].collect()
    assert set(found.filter(basis="address")["pod"]) == told & started
    assert told & started
    assert found["seconds"].max() < 1  # type: ignore[operator]  # untyped by polars


def test_silent_on_a_quick_cluster() -> None:
    assert outcome(DETECTOR, given()) == []
