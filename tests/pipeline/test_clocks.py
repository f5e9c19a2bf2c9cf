"""Clocks of whole inputs: the cases agree, a shifted input is found, and --apply-offsets takes it back."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from analyzer.case import Case, Rows
from analyzer.cli.investigate import Request, canonical
from analyzer.frames import COREDNS_QUERIES, KLOG_LINES, Table
from analyzer.model import InputReport, Offset
from analyzer.pipeline.clocks import aligned, shifted
from analyzer.pipeline.options import Progress, RunOptions
from analyzer.pipeline.read import read_whole
from analyzer.pipeline.sink import Sink
from tests import recordings
from tests.build import at as at_
from tests.build import rows

CAPTURES = Path(__file__).resolve().parents[2] / "captures"
DNS = ("dns-client-timeout/coredns.log", "dns-client-timeout/node.pcap.gz")
PODS = ("slow-pod-start/audit.log", "slow-pod-start/kubelet-34.log")


def evidence(folder: Path, names: tuple[str, ...], by: timedelta = timedelta()) -> Path:
    """These files, the times of the log of CoreDNS or of the kubelet later by so much."""
    for name in names:
        source, target = CAPTURES / name, folder / Path(name).name
        if target.name == "coredns.log":
            target.write_text(re.sub(r"(?m)^(\S{26})(\d*Z)", lambda m: _iso(m, by), source.read_text()))
        elif target.name.startswith("kubelet"):
            klog = r"(?m)^.*?([IWEF])(\d{4} \d\d:\d\d:\d\d\.\d{6}) "
            target.write_text(re.sub(klog, lambda m: _klog(m, by), source.read_text()))
        else:
            target.write_bytes(source.read_bytes())
    return folder


def _iso(met: re.Match[str], by: timedelta) -> str:
    return f"{datetime.fromisoformat(met[1]) + by:%Y-%m-%dT%H:%M:%S.%f}{met[2]}"


def _klog(met: re.Match[str], by: timedelta) -> str:
    local = datetime.strptime(f"2026{met[2]}Z", "%Y%m%d %H:%M:%S.%f%z")
    return f"{met[1]}{local + by:%m%d %H:%M:%S.%f} "


def looked(folder: Path, memory: int | None = None, **more: object) -> tuple[Case, dict[str, Offset], list[datetime]]:
    """The case, its offsets by input, and the first and last time of the log that was shifted."""
    options = RunOptions(inputs=(folder,), memory=memory, **more)  # type: ignore[arg-type]
    with Sink(memory) as sink:
        case, offsets = aligned(read_whole(options, Progress(), sink), options)
        table: Table = COREDNS_QUERIES if COREDNS_QUERIES in case.tables else KLOG_LINES
        times = case.tables[table].frame.select("time").collect()["time"]
        return case, {one.source: one for one in offsets}, [times.min(), times.max()]  # type: ignore[list-item]


@pytest.mark.parametrize(("names", "log", "most"), [(DNS, "coredns.log", 0.001), (PODS, "kubelet-34.log", 0.1)])
def test_inputs_of_one_clock_agree_within_their_spread(
    tmp_path: Path, names: tuple[str, ...], log: str, most: float
) -> None:
    _, offsets, _ = looked(evidence(tmp_path, names))
    assert abs(offsets[log].seconds) < most
    assert offsets[log].spread_seconds < most
    assert offsets[log].remark == ""


@pytest.mark.parametrize("memory", [None, 1], ids=["in memory", "in files"])
@pytest.mark.parametrize("by", [timedelta(seconds=1.7), timedelta(hours=3), timedelta(hours=-5, minutes=-30)])
@pytest.mark.parametrize(("names", "log", "slack"), [(DNS, "coredns.log", 0.001), (PODS, "kubelet-34.log", 0.03)])
def test_a_shifted_input_is_found_and_taken_back(
    tmp_path: Path, names: tuple[str, ...], log: str, slack: float, by: timedelta, memory: int | None
) -> None:
    (tmp_path / "true").mkdir()
    (tmp_path / "late").mkdir()
    _, right, true_times = looked(evidence(tmp_path / "true", names))
    late = evidence(tmp_path / "late", names, by)
    _, offsets, _ = looked(late, memory)
    assert offsets[log].seconds - right[log].seconds == pytest.approx(by.total_seconds(), abs=1e-5)
    assert offsets[log].spread_seconds == right[log].spread_seconds
    case, offsets, times = looked(late, memory, apply_offsets=True)
    assert offsets[log].applied
    assert all(abs((a - b).total_seconds()) <= slack for a, b in zip(times, true_times, strict=True))
    [report] = [one for one in case.reports if one.path == log]
    assert any("so that its clock agrees with others" in note for note in report.notes)
    assert report.first_time is not None
    assert abs((report.first_time - true_times[0]).total_seconds()) <= slack


def test_a_zone_is_named_with_its_option_where_the_log_writes_none(tmp_path: Path) -> None:
    _, offsets, _ = looked(evidence(tmp_path, PODS, timedelta(hours=3)))
    assert offsets["kubelet-34.log"].remark.endswith("read this input with --tz Etc/GMT-3")
    _, offsets, _ = looked(tmp_path, tz="Etc/GMT-3")
    assert offsets["kubelet-34.log"].remark == ""


def test_the_option_is_part_of_the_command() -> None:
    request = Request(command="postmortem", inputs=(Path("case"),), apply_offsets=True)
    assert canonical(request) == "analyze postmortem case --apply-offsets"


@recordings.needed
@pytest.mark.parametrize(
    ("inputs", "least"),
    [
        (("a_baseline",), 15),
        (("dns/search_glibc.coredns.cri.log", "pcap/dns_search_glibc.any_sll2.pcap"), 2000),
        (("pcap/dns_search_glibc.pod_eth.pcap", "pcap/dns_search_glibc.any_sll2.pcap"), 2000),
    ],
)
def test_recordings_of_one_machine_have_one_clock(inputs: tuple[str, ...], least: int) -> None:
    options = RunOptions(inputs=tuple(recordings.RECORDED / name for name in inputs))
    with Sink(None) as sink:
        _, offsets = aligned(read_whole(options, Progress(), sink), options)
    assert offsets
    for one in offsets:
        assert one.events >= least
        assert abs(one.seconds) < 0.1
        assert one.spread_seconds < 0.1
        assert one.remark == ""


def test_of_a_journal_of_two_hosts_only_the_one_whose_clock_is_wrong_is_moved() -> None:
    lines = [{"time": at, "host": host, "source": "journal"} for at, host in ((10.0, "n1"), (10.0, "n2"), (10.0, None))]
    report = InputReport(path="journal", kind="kubelet", sha256="", bytes=1, first_time=at_(10), last_time=at_(10))
    frame = rows(KLOG_LINES, *lines)
    case = Case(tables={KLOG_LINES: Rows(frame, 3, ())}, reports=(report,), places={})
    moved = shifted(case, {("journal", "n1"): 2.0})
    assert moved.tables[KLOG_LINES].frame.select("time").collect()["time"].to_list() == [at_(8), at_(10), at_(10)]
    [told] = moved.reports
    assert (told.first_time, told.last_time) == (at_(8), at_(10))
    assert told.notes == (
        "all times of host n1 in this input were made 2 s earlier, so that its clock agrees with others",
    )
