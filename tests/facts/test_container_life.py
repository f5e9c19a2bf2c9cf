"""Starts of kubelets, kills and ends of containers, in the words of every era."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.facts.container_ends import CONTAINER_ENDS
from analyzer.facts.container_kills import CONTAINER_KILLS
from analyzer.facts.container_names import CONTAINER_NAMES
from analyzer.facts.contract import Fact
from analyzer.facts.kubelet_starts import KUBELET_STARTS
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES, KUBE_EVENTS, RUNTIME_MESSAGES, UNIT_MESSAGES, Table
from tests.build import frames_for, rows

ID = "ab" * 32
UID = "5da5612b-9738-493c-af51-a213072997f6"
Row = dict[str, Any]


def line(time: float, text: str, **more: Any) -> Row:
    message = text[1:].split('"', 1)[0] if text.startswith('"') else text
    return {"time": time, "host": "n1.example", "component": "kubelet", "text": text, "message": message} | more


def derived(fact: Fact, table: Table, *data: Row) -> list[Row]:
    given = {table: rows(table, *data, source="k.log")}
    return frames_for([fact], given)[fact].collect().to_dicts()


KILLS = {
    "1.36": (
        f'"Killing container with a grace period" pod="default/nginx" podUID="{UID}" containerName="web" '
        f'containerID="containerd://{ID}" gracePeriod=30'
    ),
    "1.21": (
        f'"Killing container with a grace period override" pod="default/nginx" podUID={UID} containerName="web" '
        f'containerID="docker://{ID}" gracePeriod=30'
    ),
    "1.19": f'Killing container "docker://{ID}" with a 30 second grace period',
    "1.17": f'Killing container "docker://{ID}", but using 30 second grace period override',
    "1.13": f'Killing container "docker://{ID}" with 30 second grace period',
}


@pytest.mark.parametrize("era", sorted(KILLS))
def test_kills_of_every_era(era: str) -> None:
    [row] = derived(CONTAINER_KILLS, KLOG_LINES, line(5, KILLS[era]))
    assert (row["container_id"], row["grace_seconds"], row["told_by"], row["node"]) == (ID, 30.0, "kubelet", "n1")
    assert row["container"] == ("web" if era in {"1.36", "1.21"} else None)


@pytest.mark.parametrize(
    ("message", "grace", "why"),
    [
        (f'StopContainer for "{ID}" with timeout 30 (s)', 30.0, None),
        (f"Stopping container: {ID} (timeout: 30s)", 30.0, None),
        (f'Kill container "{ID}"', None, "forced"),
        ("Container failed to exit within 30s of signal 15 - using the force", None, "forced"),
    ],
)
def test_kills_that_runtimes_tell(message: str, grace: float | None, why: str | None) -> None:
    told = {"message": message, "container_id": ID, "host": "n1"}
    [row] = derived(CONTAINER_KILLS, RUNTIME_MESSAGES, told)
    assert (row["container_id"], row["grace_seconds"], row["why"], row["told_by"]) == (ID, grace, why, "runtime")


def test_a_failed_liveness_probe_is_a_reason() -> None:
    event = {"reason": "Killing", "kind": "Pod", "namespace": "shop", "name": "web-1"}
    event |= {"message": "Container web failed liveness probe, will be restarted"}
    [row] = derived(CONTAINER_KILLS, KUBE_EVENTS, event)
    assert (row["pod"], row["container"], row["why"]) == ("shop/web-1", "web", "probe")
    text = '"SyncLoop (probe)" probe="liveness" status="unhealthy" pod="shop/web-1"'
    [row] = derived(CONTAINER_KILLS, KLOG_LINES, line(5, text, pod="shop/web-1"))
    assert (row["pod"], row["why"]) == ("shop/web-1", "probe")
    assert derived(CONTAINER_KILLS, KLOG_LINES, line(5, text.replace("unhealthy", "ready"))) == []


PLEG = {
    "1.36": (
        f'"SyncLoop (PLEG): event for pod" pod="shop/web-1" event={{"ID":"{UID}","Type":"ContainerDied","Data":"{ID}"}}'
    ),
    "1.23": f'"SyncLoop (PLEG): event for pod" pod="shop/web-1" event=&{{ID:{UID} Type:ContainerDied Data:{ID}}}',
    "1.19": (
        f'SyncLoop (PLEG): "web-1_shop({UID})", event: &pleg.PodLifecycleEvent{{ID:"{UID}", Type:"ContainerDied", '
        f'Data:"{ID}"}}'
    ),
}


@pytest.mark.parametrize("era", sorted(PLEG))
def test_ends_and_names_of_every_era(era: str) -> None:
    data = line(7, PLEG[era], pod="shop/web-1")
    [row] = derived(CONTAINER_ENDS, KLOG_LINES, data)
    assert (row["container_id"], row["uid"], row["pod"], row["exit_code"]) == (ID, UID, "shop/web-1", None)
    [name] = derived(CONTAINER_NAMES, KLOG_LINES, data, line(8, KILLS["1.36"], pod="shop/web-1"))
    assert (name["container_id"], name["pod"], name["uid"], name["container"]) == (ID, "shop/web-1", UID, "web")


def test_one_end_is_one_row_with_its_exit_code_and_its_first_time() -> None:
    text = f'"Generic (PLEG): container finished" podID="{UID}" containerID="{ID}" exitCode=137'
    data = [line(6, PLEG["1.36"], pod="shop/web-1"), line(7, text), line(90, PLEG["1.36"], pod="shop/web-1")]
    [row] = derived(CONTAINER_ENDS, KLOG_LINES, *data)
    assert (row["exit_code"], row["pod"], row["number"], row["time"].second) == (137, "shop/web-1", 2, 6)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (f'received exit event container_id:"{ID}" id:"{ID}" pid:77 exit_status:137 exited_at:{{seconds:1}}', 137),
        (f"TaskExit event &TaskExit{{ContainerID:{ID},ID:{ID},Pid:77,ExitStatus:143,ExitedAt:x,}}", 143),
        (f'received exit event container_id:"{ID}" id:"{"cd" * 32}" pid:77 exit_status:137', None),
    ],
)
def test_ends_that_runtimes_tell(message: str, code: int | None) -> None:
    found = derived(CONTAINER_ENDS, RUNTIME_MESSAGES, {"message": message, "host": "n1"})
    assert [row["exit_code"] for row in found] == ([code] if code else [])


def start(time: float) -> list[Row]:
    return [
        line(time, '"Kubelet version" kubeletVersion="v1.33.1"'),
        line(time + 2, '"Started kubelet"'),
        line(time + 3, '"Starting kubelet main sync loop"'),
    ]


def test_one_start_is_one_row_and_a_loop_of_starts_is_many() -> None:
    event = {"time": 3, "kind": "Node", "reason": "Starting", "message": "Starting kubelet.", "name": "n1.example"}
    other = event | {"message": "", "time": 500}
    found = derived(
        KUBELET_STARTS,
        KLOG_LINES,
        *start(0),
        *start(20),
        line(99, "x"),
        *start(1000),
    )
    assert [(row["version"], row["after"], row["silent_seconds"]) for row in found] == [
        ("v1.33.1", None, None),
        ("v1.33.1", None, 17.0),
        ("v1.33.1", None, 901.0),
    ]
    given = {KLOG_LINES: rows(KLOG_LINES, *start(0)), KUBE_EVENTS: rows(KUBE_EVENTS, event, other, source="e")}
    assert frames_for([KUBELET_STARTS], given)[KUBELET_STARTS].collect().height == 1


def unit(time: float, what: str, unit: str = "kubelet") -> Row:
    return {"time": time, "host": "n1", "unit": unit, "what": what}


def test_systemd_tells_of_starts_and_of_ends_between_them() -> None:
    units = [unit(19, "exited"), unit(19.5, "restarting"), unit(19.9, "started"), unit(500, "started", "containerd")]
    given = {
        KLOG_LINES: rows(KLOG_LINES, *start(0), line(10, "x"), line(21, '"Starting kubelet main sync loop"')),
        UNIT_MESSAGES: rows(UNIT_MESSAGES, unit(5, "started"), *units, source="journal"),
    }
    found = frames_for([KUBELET_STARTS], given)[KUBELET_STARTS].collect()
    assert found.select("told_by", "version", "silent_seconds").rows() == [
        ("log", "v1.33.1", None),
        ("systemd", None, 9.9),
    ]
    loop = [unit(n * 10 + at, what) for n in range(5) for at, what in ((0, "started"), (2, "exited"))]
    alone = frames_for([KUBELET_STARTS], {UNIT_MESSAGES: rows(UNIT_MESSAGES, *loop)})
    assert alone[KUBELET_STARTS].collect().height == 5


def test_node_problem_detector_tells_of_starts() -> None:
    event = {
        "time": 3,
        "kind": "Node",
        "reason": "KubeletStart",
        "message": "Started Kubernetes kubelet.",
        "name": "n1",
    }
    [row] = derived(KUBELET_STARTS, KUBE_EVENTS, event)
    assert (row["told_by"], row["node"]) == ("event", "n1")


def test_a_certificate_or_a_boot_before_a_start() -> None:
    text = '"The currently active client certificate has expired and the server is responsive, exiting."'
    [row] = derived(KUBELET_STARTS, KLOG_LINES, line(90, text), *start(101))
    assert row["after"] == "certificate"
    [row] = derived(KUBELET_STARTS, KLOG_LINES, line(90, text), *start(300))
    assert row["after"] is None
    given = {
        KLOG_LINES: rows(KLOG_LINES, *start(101)),
        KERNEL_MESSAGES: rows(KERNEL_MESSAGES, {"time": 50, "kind": "boot", "host": "n1"}),
    }
    assert frames_for([KUBELET_STARTS], given)[KUBELET_STARTS].collect()["after"].to_list() == ["boot"]


def test_the_old_version_line_is_the_kubelets_only() -> None:
    assert len(derived(KUBELET_STARTS, KLOG_LINES, line(0, "Version: v1.20.2"))) == 1
    assert derived(KUBELET_STARTS, KLOG_LINES, line(0, "Version: v1.20.2", component="kube-proxy")) == []


@pytest.mark.parametrize("grace", ["1e999", "nan", "-5", "99999999999999999999999", "x"])
def test_a_grace_that_cannot_be_true_is_no_grace(grace: str) -> None:
    [row] = derived(
        CONTAINER_KILLS, KLOG_LINES, line(5, KILLS["1.36"].replace("gracePeriod=30", f"gracePeriod={grace}"))
    )
    assert row["grace_seconds"] is None


def test_an_exit_code_that_cannot_be_true_is_none() -> None:
    text = f'"Generic (PLEG): container finished" podID="{UID}" containerID="{ID}" exitCode=1e300'
    [row] = derived(CONTAINER_ENDS, KLOG_LINES, line(7, text))
    assert row["exit_code"] is None


def test_what_stands_in_another_value_names_no_container() -> None:
    text = KILLS["1.36"].replace('pod="default/nginx"', f'pod="x containerID=\\"{"cd" * 32}\\" gracePeriod=9"')
    [row] = derived(CONTAINER_KILLS, KLOG_LINES, line(5, text))
    assert (row["container_id"], row["grace_seconds"]) == (ID, 30.0)
