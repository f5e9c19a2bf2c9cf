from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from analyzer import sources
from analyzer.frames import CGROUP_CPU
from analyzer.sources.cgroup import SOURCE
from tests.sources.texts import Reading, read_text

UID = "968a06fb-9ab9-4819-8caf-0392ddff3d9b"
ID = "0f32894de86edf3d3832702af794874ef8d400b4969acdea4976b12040756e0d"
PATH = f"/sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice"
DEEP = f"{PATH}/cri-containerd-{ID}.scope"
V2 = ["usage_usec 5000000", "user_usec 3000000", "system_usec 2000000", "nr_periods 100", "nr_throttled 40"]
V2 += ["throttled_usec 1500000", "nr_bursts 0", "burst_usec 0"]
V1 = ["nr_periods 100", "nr_throttled 40", "throttled_time 1500000000"]
ROW = {"periods": 100, "throttled_periods": 40, "throttled_seconds": 1.5}
ROW_2 = ROW | {"usage_seconds": 5.0, "user_seconds": 3.0, "system_seconds": 2.0}


def read(*lines: str) -> Reading:
    return read_text(SOURCE, lines)


def rows(*lines: str) -> list[dict[str, Any]]:
    known = sources.identify("".join(f"{line}\n" for line in lines).encode())
    assert known is not None
    assert known[0].name == "cgroup"
    return [{name: row[name] for name in row if name != "source"} for row in read(*lines).rows(CGROUP_CPU)]


def test_both_versions_are_read_in_seconds() -> None:
    assert rows(*V2) == [ROW_2 | {"number": 1}]
    assert rows(*V1) == [ROW | {"number": 1}]


@pytest.mark.parametrize("heading", [f"==> {DEEP}/cpu.stat <==", f"{DEEP}/cpu.stat:", f"{DEEP}/cpu.stat", f"{DEEP}:"])
def test_a_heading_names_the_cgroup(heading: str) -> None:
    assert rows(heading, *V2) == [ROW_2 | {"number": 2, "path": DEEP, "pod_uid": UID, "container_id": ID}]


def test_grep_names_it_in_every_line() -> None:
    old = f"/sys/fs/cgroup/cpu/kubepods/burstable/pod{UID}/{ID}"
    lines = [*(f"{PATH}/cpu.stat:{line}" for line in V2), *(f"{old}/cpu.stat:{line}" for line in V1)]
    assert rows(*lines) == [
        ROW_2 | {"number": 1, "path": PATH, "pod_uid": UID},
        ROW | {"number": 9, "path": old, "pod_uid": UID, "container_id": ID},
    ]


@pytest.mark.parametrize(
    "time",
    [
        "2024-05-07T11:59:43Z",
        "2024-05-07T13:59:43+02:00",
        "2024-05-07 11:59:43 UTC",
        "1715083183",
        "Tue May  7 11:59:43 UTC 2024",
    ],
)
def test_a_time_holds_for_the_snapshots_after_it(time: str) -> None:
    made = rows(time, f"{PATH}:", *V2, "/sys/fs/cgroup/system.slice:", *V2)
    moment = datetime(2024, 5, 7, 11, 59, 43, tzinfo=UTC)
    assert [(row["time"], row["path"]) for row in made] == [(moment, PATH), (moment, "/sys/fs/cgroup/system.slice")]


def test_snapshots_without_anything_between_them_are_told_apart() -> None:
    assert [row["number"] for row in rows(*V2, *V2, *V1, *V1)] == [1, 9, 17, 20]
    assert "some snapshots of cpu.stat have no time" in read(*V2).notes


def test_snapshots_go_on_across_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line for second in range(10) for line in (f"{1715083183 + second}", f"{PATH}/cpu.stat:", *V2)]
    whole = read(*lines).tables[CGROUP_CPU]
    monkeypatch.setattr("analyzer.sources.lines.windows.__defaults__", (50, 64 << 20))
    assert read(*lines).tables[CGROUP_CPU].equals(whole)
    assert whole.height == 10


def test_damage_costs_its_line() -> None:
    reading = read("nr_periods 100", "nr_throttled 4O", "throttled_time 1500000000", "memory.max max", *V1)
    assert (reading.report.used, reading.skipped) == (2, {"malformed line": 1, "not-a-record": 1})
    assert reading.column(CGROUP_CPU, "throttled_periods") == [None, 40]


def test_a_last_line_that_was_cut_is_an_incomplete_tail() -> None:
    reading = read_text(SOURCE, "\n".join([*V1, "nr_periods "]).encode())
    assert (reading.report.used, reading.report.incomplete_tail) == (1, 1)
