"""Pods start slowly on a node."""

from __future__ import annotations

import pytest

from analyzer.detector import NotObservable
from analyzer.detectors.node.slow_pod_start import DETECTOR
from analyzer.frames import AUDIT_EVENTS, KERNEL_MESSAGES, KLOG_LINES, KUBE_EVENTS, empty
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, remarks, rows, run
from tests.detectors.node.starts import Given, Row, account, added, container, fleet, given, line, mounted, whole


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


def test_fires_on_a_node_whose_sandboxes_are_slow() -> None:
    """Forty seconds for the sandbox, half a second for volume and container; elsewhere one second in all."""
    [finding] = run(DETECTOR, given(fleet(40)))
    assert finding.subject == "n1"
    assert finding.summary == (
        "10 pods took 40.5 s to start on n1 (median, against 1.0 s elsewhere), 95th percentile 40.5 s, most of it "
        "sandbox."
    )
    assert figures(finding) == {
        "pods": 10,
        "median": 40.5,
        "95th percentile": 40.5,
        "longest": 40.5,
        "median elsewhere": 1,
        "pods elsewhere": 10,
        "seconds above the fleet median": 395,
        "volume, median": 0.25,
        "sandbox, median": 40,
        "pull, median": 0,
        "init, median": 0,
        "start, median": 0.25,
        "status, median": 0,
    }
    assert (finding.severity, finding.confidence) == (Severity.MEDIUM, Confidence.MEDIUM)
    assert (finding.start, finding.end) == (at(0), at(9 * 60 + 40.5))
    assert (finding.variant, finding.stories) == ("sandbox", (18,))
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (405, 10)
    parts = {row[0]: row[1:] for row in finding.evidence.tables[0].rows}
    assert parts["sandbox"] == ("yes", 10, 40, 40, 0.5)
    assert parts["pull of images"][0] == "no"
    assert finding.evidence.tables[1].rows[0][:3] == ("shop/web-6769fb7c7-00000", "09:00:00", 40.5)
    assert {5, 100} <= {record.number for record in finding.evidence.records}, "a slow start, and one elsewhere"
    assert finding.evidence.series[0].values[0] == 40.5
    assert "SyncLoop" in finding.verify[0]
    assert "gp3" in finding.remedies[0].snippet


def test_begins_with_the_first_start_that_took_too_long() -> None:
    before = [one for i in range(3) for one in whole(i * 60, 200 + i)]
    after = [one for i in range(10) for one in whole(600 + i * 60, i, sandbox=40)]
    [finding] = run(DETECTOR, given([*before, *after, *fleet(0.5, host="n3")]))
    assert (finding.subject, figures(finding)["pods"], finding.start) == ("n1", 13, at(600))


def test_fires_on_the_lines_of_old_kubelets() -> None:
    """No account of their own, so from ADD to the sandbox; when its container runs a pull may be the reason."""
    lines: list[Row] = []
    for i in range(5):
        pod, begin = f"shop/web{i}-6769fb7c7-bcdfg", i * 100
        lines.append(added(begin, pod, number=i, era="old"))
        lines.append(mounted(begin + 20, pod, i, plugin="secret", era="old"))
        lines += [container(begin + after, pod, i, era="old") for after in (40, 140)]
    [finding] = run(DETECTOR, given(lines))
    shown = figures(finding)
    assert (shown["pods"], shown["median"], shown["volume, median"], shown["sandbox, median"]) == (5, 40, 20, 20)
    assert "start, median" not in shown
    assert "median elsewhere" not in shown
    assert finding.confidence is Confidence.LOW
    assert finding.saving is not None
    assert finding.saving.modelled == 5 * 5


def test_of_old_kubelets_a_container_counts_whose_image_is_there() -> None:
    """The first pod of a template may have pulled; the others found the image."""
    lines: list[Row] = []
    for i in range(5):
        pod, begin = f"shop/web-6769fb7c7-{i:05d}", i * 100
        lines += [added(begin, pod, number=i, era="old")]
        lines += [container(begin + after, pod, i, era="old") for after in (1, 45)]
    [finding] = run(DETECTOR, given(lines))
    assert (finding.variant, figures(finding)["start, median"]) == ("start", 44)


@pytest.mark.parametrize("era", ["1.27", "1.29", "1.36"])
def test_fires_on_the_kubelets_own_account_of_every_era(era: str) -> None:
    """Alone, as at the lowest verbosity: 90 s from the creation, of which 30 s were a pull."""
    lines = [account(200 + i * 10, f"shop/web-{i}", 90, pull=30, era=era) for i in range(4)]
    [finding] = run(DETECTOR, given(lines))
    shown = figures(finding)
    assert shown["median"] == pytest.approx(60, abs=0.05)
    assert shown["pull, median"] == pytest.approx(30, abs=0.01)
    assert "the scheduler's queue is in it" in finding.confidence_reason
    assert finding.confidence is Confidence.LOW


def test_the_kernel_and_the_kubelet_make_it_sure() -> None:
    task = {"kind": "hung_task", "text": "INFO: task x:1 blocked for more than 120 seconds.", "host": "n1.example"}
    kernel = rows(KERNEL_MESSAGES, task | {"time": 100}, task | {"time": 5000}, task | {"time": 50, "host": "n2"})
    stalled = '"Skipping pod synchronization" err="PLEG is not healthy: pleg was last seen active 3m10s ago"'
    late = line(200, "n1", "Skipping pod synchronization", stalled)
    [finding] = run(DETECTOR, {**given([*fleet(40), late]), KERNEL_MESSAGES: kernel})
    assert finding.confidence is Confidence.HIGH
    shown = figures(finding)
    assert shown["kernel lines of blocked tasks or disks"] == 1
    assert shown["kubelet lines of a late runtime"] == 1


LATE = "rpc error: code = DeadlineExceeded desc = context deadline exceeded"


@pytest.mark.parametrize(
    ("text", "sure"),
    [
        ('"Skipping pod synchronization" err="PLEG is not healthy: pleg has yet to be successful"', False),
        (f'"ExecSync cmd from runtime service failed" err="{LATE}" containerID="x" cmd=["/check"]', False),
        (f'"StopContainer from runtime service failed" err="{LATE}" containerID="x"', True),
        (f'"RunPodSandbox from runtime service failed" err="{LATE}"', True),
        (f'StopPodSandbox "x" from runtime service failed: {LATE}', True),
        (f'"CreateContainer in sandbox from runtime service failed" err="{LATE}" podSandboxID="x"', True),
    ],
)
def test_a_probe_that_is_late_or_a_kubelet_that_begins_tells_nothing_of_the_runtime(text: str, sure: bool) -> None:
    [finding] = run(DETECTOR, given([*fleet(40), line(200, "n1", text.split('"')[1], text)]))
    assert finding.confidence is (Confidence.HIGH if sure else Confidence.MEDIUM)
    assert ("runtime is late" in finding.confidence_reason) is sure


def test_a_kernel_log_that_names_no_host_is_of_the_only_node() -> None:
    kernel = {KERNEL_MESSAGES: rows(KERNEL_MESSAGES, {"kind": "hung_task", "text": "x", "time": 100, "host": None})}
    alone = [row for i in range(3) for row in whole(i * 60, i, sandbox=40)]
    assert run(DETECTOR, {**given(alone), **kernel})[0].confidence is Confidence.HIGH
    assert run(DETECTOR, {**given(fleet(40)), **kernel})[0].confidence is Confidence.MEDIUM


def binding(time: float, number: int) -> Row:
    name = f"web-6769fb7c7-{number:05d}"
    place = {"verb": "create", "resource": "pods", "subresource": "binding", "namespace": "shop", "name": name}
    return place | {"time": time, "stage": "ResponseComplete", "audit_id": f"b{number}", "code": 201}


def test_the_way_from_the_binding_to_the_kubelet_counts_above_the_nodes_least() -> None:
    """One second for the first pod, as by the clocks, and forty more for the others."""
    bound = [binding(i * 60 - (1 if i == 0 else 41), i) for i in range(10)]
    base = {**given(fleet(0.5)), AUDIT_EVENTS: rows(AUDIT_EVENTS, *bound)}
    [finding] = run(DETECTOR, base)
    assert (figures(finding)["sync, median"], figures(finding)["longest"]) == (40, 41)
    assert finding.variant == "sync"


def test_silent_on_clocks_that_differ() -> None:
    bound = [binding(i * 60 - 300, i) for i in range(10)]
    assert run(DETECTOR, {**given(fleet(0.5)), AUDIT_EVENTS: rows(AUDIT_EVENTS, *bound)}) == []


@pytest.mark.parametrize("part", ["pull", "init", "attach", "queue", "status"])
def test_silent_on_what_is_not_the_nodes(part: str) -> None:
    """Big images, init containers, storage that attaches late, the scheduler, a status that is told late."""
    more: Row = {part: 120.0}
    assert run(DETECTOR, given(fleet(0.5, **more))) == []


@pytest.mark.parametrize("era", ["1.27", "1.29"])
def test_silent_on_init_containers_and_pulls_before_their_time_was_told(era: str) -> None:
    lines = [row for i in range(5) for row in whole(i * 200, i, init=60, pull=40, era=era)]
    assert run(DETECTOR, given(lines)) == []


def test_silent_on_a_big_image_of_an_old_kubelet() -> None:
    lines: list[Row] = []
    for i in range(5):
        pod = f"shop/web-6769fb7c7-{i:05d}"
        lines += [added(0, pod, number=i, era="old"), *(container(t, pod, i, era="old") for t in (1, 100))]
    assert run(DETECTOR, given(lines)) == []
    text = 'Successfully pulled image "x/y:1" in 1m38s (1m39s including waiting)'
    told = {"kind": "Pod", "namespace": "shop", "reason": "Pulled", "message": text, "count": 1, "time": 99}
    told |= {"first_time": 99}
    pulls = [told | {"name": f"web-6769fb7c7-{i:05d}", "event_uid": str(i)} for i in range(5)]
    assert run(DETECTOR, {**given(lines), KUBE_EVENTS: rows(KUBE_EVENTS, *pulls)}) == []


def test_silent_on_volumes_that_were_waited_for_in_vain_and_says_so() -> None:
    """Where the mounts are not in the log the kubelet's complaint tells why the sandbox is late."""
    head = "Unable to attach or mount volumes for pod; skipping pod"
    lines: list[Row] = []
    for i in range(5):
        pod = f"shop/db-{i}"
        lines += [added(i * 300, pod), line(i * 300 + 120, "n1", head, f'"{head}" pod="{pod}"', pod)]
        lines += [container(i * 300 + after, pod, i) for after in (130, 131)]
    assert run(DETECTOR, given(lines)) == []
    assert remarks(DETECTOR, given(lines)) == [
        "5 pods waited for a volume that was not attached or mounted: not counted."
    ]
    assert len(run(DETECTOR, given([row for row in lines if row["message"] != head]))) == 1


def test_silent_on_a_kubelet_that_begins_and_finds_what_runs() -> None:
    begun = line(-30, "n1", "Starting kubelet main sync loop", '"Starting kubelet main sync loop"')
    lines = [row for i in range(5) for row in whole(i, i, sandbox=45)]
    assert len(run(DETECTOR, given(lines))) == 1
    assert run(DETECTOR, given([begun, *lines])) == []
    assert len(run(DETECTOR, given([begun | {"time": -61}, *lines]))) == 1


def test_silent_on_a_pod_that_crashed_before_all_its_containers_ran() -> None:
    lines: list[Row] = []
    for i in range(5):
        pod = f"shop/two-{i}"
        lines += [added(i * 100, pod), *(container(i * 100 + t, pod, i) for t in (1, 2))]
        lines += [container(i * 100 + 60, pod, i, what="ContainerDied"), account(i * 100 + 61, pod, 62, status=0)]
    assert run(DETECTOR, given(lines)) == []


def test_silent_on_the_cured_node() -> None:
    assert run(DETECTOR, given(fleet(0.6))) == []


@pytest.mark.parametrize(("slow", "fires"), [(29.5, False), (29.6, True)])
def test_thirty_seconds_are_the_threshold_of_the_percentile(slow: float, fires: bool) -> None:
    lines = [row for i in range(3) for row in whole(i * 60, i, sandbox=slow)]
    assert bool(run(DETECTOR, given(lines))) is fires


@pytest.mark.parametrize(("pods", "fires"), [(2, False), (3, True)])
def test_three_pods_are_the_threshold(pods: int, fires: bool) -> None:
    lines = [row for i in range(pods) for row in whole(i * 60, i, sandbox=60)]
    assert bool(run(DETECTOR, given(lines))) is fires


def test_one_slow_pod_of_many_is_not_the_percentile() -> None:
    quick = [row for i in range(20) for row in whole(i * 60, i)]
    assert run(DETECTOR, given([*quick, *whole(2000, 50, sandbox=90)])) == []
    assert len(run(DETECTOR, given([*quick[: 18 * 5], *whole(2000, 50, sandbox=90)]))) == 1


@pytest.mark.parametrize(("slow", "fires"), [(8.4, False), (8.5, True)])
def test_three_times_the_others_are_the_threshold_of_the_median(slow: float, fires: bool) -> None:
    """Elsewhere three seconds, here nine."""
    assert bool(run(DETECTOR, given(fleet(slow, usual=2.5)))) is fires


def test_five_seconds_are_quick_enough_however_quick_the_others_are() -> None:
    assert run(DETECTOR, given(fleet(4.5))) == []
    [finding] = run(DETECTOR, given(fleet(4.6)))
    assert finding.severity is Severity.LOW


@pytest.mark.parametrize(("slow", "severity"), [(119.5, Severity.MEDIUM), (119.6, Severity.HIGH)])
def test_two_minutes_are_the_threshold_of_high(slow: float, severity: Severity) -> None:
    [finding] = run(DETECTOR, given(fleet(slow)))
    assert finding.severity is severity


def test_nodes_of_other_days_and_other_eras_are_no_fleet() -> None:
    lines = [row for i in range(5) for row in whole(i * 60, i, sandbox=20)]
    other = [row for i in range(5) for row in whole(90_000 + i * 60, 100 + i, host="n2")]
    assert run(DETECTOR, given([*lines, *other])) == []
    near = [row for i in range(5) for row in whole(3000 + i * 60, 100 + i, host="n2")]
    assert len(run(DETECTOR, given([*lines, *near]))) == 1
    pleg = [row for row in near if "Observed" not in row["message"]]
    assert run(DETECTOR, given([*lines, *pleg])) == []


@pytest.mark.parametrize(("later", "fires"), [(3600, True), (3601, False)])
def test_an_hour_is_the_threshold_of_starts_at_about_the_same_time(later: float, fires: bool) -> None:
    """Twenty seconds here, less than one elsewhere; the last start here is given to the kubelet at 240 s."""
    lines = [row for i in range(5) for row in whole(i * 60, i, sandbox=20)]
    other = [row for i in range(3) for row in whole(240 + later - i, 100 + i, host="n2")]
    far = [row for i in range(3) for row in whole(240 + later, 100 + i, host="n2")]
    assert bool(run(DETECTOR, given([*lines, *far]))) is fires
    assert run(DETECTOR, given([*lines, *other[:10]])) == [], "two starts elsewhere are too few"


def test_two_nodes_have_a_finding_each() -> None:
    other = [row for i in range(5) for row in whole(i * 60, 200 + i, host="n3", sandbox=50)]
    found = run(DETECTOR, given([*fleet(40), *other]))
    assert [finding.subject for finding in found] == ["n1", "n3"]


def test_unrelated_rows_change_nothing_and_without_the_evidence_there_is_no_finding() -> None:
    base = fleet(40)
    noise = [line(i, "n1", "x", "x") for i in range(500)]
    assert [f.impact for f in run(DETECTOR, given([*base, *noise]))] == [f.impact for f in run(DETECTOR, given(base))]
    assert run(DETECTOR, given([row for row in base if row["host"] != "n1"])) == []


def test_a_log_that_cannot_tell_of_starts_says_so() -> None:
    with pytest.raises(NotObservable, match="no SyncLoop lines"):
        run(DETECTOR, given([line(i, "n1", "x", "x") for i in range(5)]))


def of_events(i: int, *, start: float, pull: float = 0, more: tuple[tuple[str, str, float], ...] = ()) -> list[Row]:
    """A start as Events tell it: placed at `i` minutes; `more` are reasons and texts with their seconds."""
    image = "Container image already present"
    said = [("Scheduled", "Successfully assigned", 0.0), *more, ("Started", "Started container x", start + pull)]
    if pull:
        said += [("Pulling", 'Pulling image "x/y:1"', 1.0), ("Pulled", 'Successfully pulled image "x/y:1"', 1 + pull)]
    else:
        said.append(("Pulled", f'{image} "x/y:1" on machine', 1.0))
    common: Row = {"kind": "Pod", "namespace": "shop", "name": f"web-{i}", "count": 1, "node": "n1.example"}
    return [
        common
        | {"reason": reason, "message": text, "time": i * 60 + at_, "first_time": i * 60 + at_}
        | {"event_uid": f"{i}{reason}{text}", "node": None if reason == "Scheduled" else "n1.example"}
        for reason, text, at_ in said
    ]


def test_fires_from_events_alone() -> None:
    data = [row for i in range(4) for row in of_events(i, start=45, pull=20)]
    [finding] = run(DETECTOR, {KUBE_EVENTS: rows(KUBE_EVENTS, *data, source="events.json")})
    assert (finding.subject, finding.variant, finding.confidence) == ("n1", "start", Confidence.LOW)
    shown = figures(finding)
    assert (shown["pods"], shown["median"], shown["pull, median"]) == (4, 45, 20)
    assert "Events, from Scheduled to Started" in finding.confidence_reason
    assert "jq" in finding.verify[0]


@pytest.mark.parametrize(
    ("pull", "more"),
    [
        (0, (("SuccessfulAttachVolume", "AttachVolume.Attach succeeded", 43.0),)),
        (0, (("FailedAttachVolume", "Multi-Attach error", 5.0),)),
        (0, (("FailedMount", "MountVolume.SetUp failed", 5.0),)),
    ],
)
def test_silent_on_events_of_volumes_that_come_late(pull: float, more: tuple[tuple[str, str, float], ...]) -> None:
    data = [row for i in range(4) for row in of_events(i, start=45, pull=pull, more=more)]
    assert run(DETECTOR, {KUBE_EVENTS: rows(KUBE_EVENTS, *data)}) == []
    big = [row for i in range(4) for row in of_events(i, start=3, pull=90)]
    assert run(DETECTOR, {KUBE_EVENTS: rows(KUBE_EVENTS, *big)}) == []


def test_a_pod_that_both_tell_of_counts_once_and_on_one_node() -> None:
    lines = [row for i in range(4) for row in whole(i * 60, i, host="n1", sandbox=45)]
    data = [row | {"name": f"web-6769fb7c7-{i:05d}"} for i in range(6) for row in of_events(i, start=45)]
    [finding] = run(DETECTOR, {**given(lines), KUBE_EVENTS: rows(KUBE_EVENTS, *data, source="events.json")})
    assert (finding.subject, figures(finding)["pods"]) == ("n1", 6)


def test_silent_on_no_rows() -> None:
    tables = (KLOG_LINES, AUDIT_EVENTS, KUBE_EVENTS, KERNEL_MESSAGES)
    none: Given = {table: empty(table).lazy() for table in tables}
    assert run(DETECTOR, none) == []


@pytest.mark.parametrize(
    ("reason", "seconds", "silent"),
    [
        ("Starting", -5, True),
        ("NodeReady", 44, True),
        ("NodeReady", -90, False),
        ("NodeHasDiskPressure", 44, False),
    ],
)
def test_silent_on_what_a_node_that_an_autoscaler_adds_has_to_start(reason: str, seconds: float, silent: bool) -> None:
    """Its DaemonSets are placed at once and wait for its network."""
    data = [row | {"name": f"ds-{i}"} for i in range(4) for row in of_events(0, start=47)]
    node = {"kind": "Node", "name": "n1.example", "reason": reason, "message": "x", "count": 1, "time": seconds}
    told = rows(KUBE_EVENTS, *data, node | {"first_time": seconds, "event_uid": "n"}, source="events.json")
    assert (run(DETECTOR, {KUBE_EVENTS: told}) == []) is silent


def test_of_a_slow_cluster_the_ten_slowest_nodes_are_told() -> None:
    data = [
        row | {"name": f"web-{n}-{i}", "node": row["node"] and f"n{n:02d}.example"}
        for n in range(12)
        for i in range(3)
        for row in of_events(i, start=40 + n)
    ]
    given = {KUBE_EVENTS: rows(KUBE_EVENTS, *data, source="events.json")}
    assert [finding.subject for finding in run(DETECTOR, given)] == [f"n{n:02d}" for n in range(2, 12)]
    assert "2 more nodes, none of them slower, started pods slowly as well: not listed." in remarks(DETECTOR, given)
