"""Logs recorded from real components, where they lie beside the checkout: counts against grep and the truth told."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest

from analyzer.frames import COREDNS_ERRORS, COREDNS_QUERIES, KLOG_LINES
from analyzer.sources.coredns import SOURCE as COREDNS
from analyzer.sources.klog import SOURCE as KLOG
from tests.sources.texts import read_path

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
REAL = SHARED / "real"

pytestmark = [
    pytest.mark.skipif(not REAL.exists(), reason="no recordings beside the checkout"),
    pytest.mark.skipif(shutil.which("grep") is None, reason="grep is not installed"),
]

LOGS = sorted([*REAL.glob("*/*.klog.txt"), *REAL.glob("*/*.klog.json")]) if REAL.exists() else []
RUNS = sorted(REAL.glob("dns/*.raw.log")) if REAL.exists() else []


def grep(pattern: str, path: Path) -> int:
    found = subprocess.run(["grep", "-acE", pattern, str(path)], capture_output=True, text=True, check=False)
    return int(found.stdout)


def test_every_header_of_every_klog_is_an_entry() -> None:
    for path in LOGS:
        report = read_path(KLOG, path, year=2026).report
        assert report.records == report.used == grep('^[IWEF][0-9]{4} |^\\{"ts"', path), path


def test_each_log_names_its_component() -> None:
    for path in LOGS:
        known = path.name.removeprefix("hollow-").split(".")[0]
        assert set(read_path(KLOG, path, year=2026).column(KLOG_LINES, "component")) == {known}


def test_failed_pulls_and_sync_errors_are_as_many_as_were_counted() -> None:
    paths = sorted(REAL.glob("k_kubelet_faults/hollow-kubelet.*"))
    table = pl.concat(read_path(KLOG, path, year=2026).tables[KLOG_LINES] for path in paths)
    counts = dict(table["message"].value_counts().iter_rows())
    assert counts["PullImage from image service failed"] == 89
    assert counts["Error syncing pod, skipping"] == 278
    syncs = table.filter(pl.col("message") == "Error syncing pod, skipping")
    assert syncs["pod"].null_count() == syncs["error"].null_count() == 0
    assert syncs["pod"].str.contains("^[a-z-]+/[a-z0-9-]+$").all()


@pytest.mark.parametrize("raw", RUNS, ids=lambda path: path.name)
def test_raw_cri_and_docker_of_one_run_give_the_same_rows(raw: Path) -> None:
    readings = [
        read_path(COREDNS, raw.with_name(raw.name.replace(".raw.", kind)))
        for kind in (".raw.", ".cri.", ".docker-json.")
    ]
    for table in (COREDNS_QUERIES, COREDNS_ERRORS):
        alike = [name for name in table.schema if name not in {"time", "query_time", "source", "line_bytes"}]
        bare, cri, docker = (reading.tables[table].select(alike) for reading in readings)
        assert cri.equals(bare)
        assert docker.equals(bare)
    times = [reading.tables[COREDNS_QUERIES]["time"].to_list() for reading in readings]
    assert times[1] == times[2]
    assert set(times[0]) == {None}


@pytest.mark.parametrize("raw", RUNS, ids=lambda path: path.name)
def test_every_query_and_error_is_a_row_and_nothing_is_malformed(raw: Path) -> None:
    reading = read_path(COREDNS, raw)
    assert reading.tables[COREDNS_QUERIES].height == grep("^\\[INFO\\] [0-9.]+:[0-9]+ - ", raw)
    assert reading.tables[COREDNS_ERRORS].height == grep("plugin/errors: ", raw)
    assert reading.skipped == {}
    assert reading.report.incomplete_tail == 0


def test_a_public_log_of_windows_nodes_has_the_year_of_its_header() -> None:
    path = SHARED / "data/kubelet/pjh__gcp-filestore-csi-driver/kubelet.log"
    if not path.exists():
        pytest.skip("no public logs beside the checkout")
    reading = read_path(KLOG, path)
    assert reading.report.used == grep("^[IWEF][0-9]{4} ", path)
    assert str(reading.report.first_time).startswith("2019-08-20 20:28")
    assert reading.skipped == {"not-a-record": 8}
