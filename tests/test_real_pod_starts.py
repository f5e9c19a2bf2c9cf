"""Pulls and starts of pods against recordings of real kubelets, counted independently."""

from __future__ import annotations

import gzip
import re
from collections import Counter

import msgspec
import polars as pl
import pytest

from analyzer.detectors.node.image_pull_stampede import DETECTOR as STAMPEDE
from analyzer.detectors.node.slow_pod_start import DETECTOR as SLOW
from analyzer.facts.image_pulls import IMAGE_PULLS
from analyzer.facts.pod_starts import PARTS, POD_STARTS
from analyzer.frames import Table
from analyzer.sources import audit, klog
from tests.build import frames_for, outcome, run
from tests.recordings import RECORDED, needed, read

pytestmark = needed

FAULTS = "k_kubelet_faults"


def logs(case: str) -> list[str]:
    return [str(path.relative_to(RECORDED)) for path in sorted((RECORDED / case).glob("hollow-kubelet*.klog.txt"))]


def given(case: str) -> dict[Table, pl.LazyFrame]:
    return {**read(audit.SOURCE, f"{case}/audit.log"), **read(klog.SOURCE, *logs(case))}


def test_every_pull_that_failed_is_there_with_its_pod() -> None:
    text = "".join((RECORDED / name).read_text(errors="replace") for name in logs(FAULTS))
    lines = re.findall(r'"PullImage from image service failed" err=.* image="([^"]+)"\n', text)
    pods = set(re.findall(r'"Error syncing pod, skipping" err="[^\n]* with ErrImagePull: [^\n]* pod="([^"]+)"', text))
    found = frames_for([IMAGE_PULLS], given(FAULTS))[IMAGE_PULLS].collect()
    assert dict(found.group_by("image").len().iter_rows()) == Counter(lines)
    assert set(found["pod"]) == pods
    kinds = dict(found.group_by("class").len().iter_rows())
    assert kinds == {"quota": 76, "missing": 8, "network": 5}


def test_thirty_pods_that_a_registry_turned_away_are_one_stampede() -> None:
    """Three pods with a mistyped image and two with a registry that cannot be reached are none."""
    [finding] = run(STAMPEDE, given(FAULTS))
    assert (finding.subject, finding.variant) == ("docker.io", "quota")
    assert (finding.figure("pods"), finding.figure("nodes"), finding.figure("failed: quota")) == (30, 5, 76)


def test_the_parts_of_a_start_add_up_to_what_the_kubelet_says_of_the_whole() -> None:
    case = "a_baseline"
    text = "".join((RECORDED / name).read_text(errors="replace") for name in logs(case))
    wholes = dict(re.findall(r'"Observed pod startup duration" pod="([^"]+)".* podStartE2EDuration="([0-9.]+)s"', text))
    found = frames_for([POD_STARTS], given(case))[POD_STARTS].collect().filter(basis="observed")
    sums = dict(found.select("pod", pl.sum_horizontal(*PARTS)).iter_rows())
    assert set(wholes) <= set(sums)
    assert wholes
    for pod, seconds in wholes.items():
        # The creation is told in whole seconds, and the line is written a moment after the watch.
        assert sums[pod] == pytest.approx(float(seconds), abs=0.05), pod


@pytest.mark.parametrize("case", ["a_baseline", "j0_evictions_instant", "h_node_delete_localpv"])
def test_silent_on_clusters_that_start_pods_quickly(case: str) -> None:
    assert outcome(STAMPEDE, given(case)) == []
    assert outcome(SLOW, given(case)) == []


STRINGS = RECORDED.parent / "kubelet-strings.jsonl.gz"

WRITTEN = {
    "PullImage %q from image service failed: %v": ("v1.13", "v1.19"),
    "PullImage from image service failed": ("v1.21", "v1.36"),
    "SyncLoop ADD": ("v1.21", "v1.36"),
    "SyncLoop (PLEG): event for pod": ("v1.21", "v1.36"),
    "Unable to attach or mount volumes for pod; skipping pod": ("v1.21", "v1.36"),
    "Observed pod startup duration": ("v1.27", "v1.36"),
    "Error syncing pod, skipping": ("v1.21", "v1.36"),
}
"""Log calls that are read, and the first and the last of the twelve versions that have them."""


@pytest.mark.parametrize("literal", sorted(WRITTEN))
def test_the_lines_that_are_read_are_those_that_kubelets_write(literal: str) -> None:
    rows = [msgspec.json.decode(line) for line in gzip.decompress(STRINGS.read_bytes()).splitlines()]
    versions = sorted({row[0] for row in rows if row[6] == literal})
    assert (versions[0][:5], versions[-1][:5]) == WRITTEN[literal]


def test_every_key_of_the_account_that_is_read_is_written_by_some_kubelet() -> None:
    rows = [msgspec.json.decode(line) for line in gzip.decompress(STRINGS.read_bytes()).splitlines()]
    keys = {key for row in rows if row[6] == "Observed pod startup duration" for key in row[7]}
    read_ = {"podStartE2EDuration", "podStartSLOduration", "totalImagesPullingTime", "totalInitContainerRuntime"}
    read_ |= {"firstStartedPulling", "lastFinishedPulling", "observedRunningTime", "watchObservedRunningTime"}
    assert read_ <= keys
