"""Many nodes pull until the registry turns everybody away."""

from __future__ import annotations

import pytest

from analyzer.detectors.node.image_pull_stampede import DETECTOR
from analyzer.frames import AUDIT_EVENTS, KLOG_LINES, KUBE_EVENTS, RUNTIME_MESSAGES, TLS_CLIENT_HELLOS, empty
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, rows, run
from tests.detectors.node.pulls import (
    AGENT,
    HUB,
    Given,
    Row,
    agents,
    crashing,
    events,
    failed,
    kubelet,
    kubelet_failed,
    pulled,
    pulling,
    told,
    victims,
)


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


def chain() -> list[Row]:
    """Twelve agents are denied six times each; then the quota turns three other images away, twice each."""
    return [*agents("permission"), *victims()]


def test_fires_on_the_chain_from_one_image_to_all_others() -> None:
    [finding] = run(DETECTOR, events(*chain()))
    assert finding.subject == HUB
    assert finding.summary == (
        f"15 pods on 12 nodes tried 78 pulls at {HUB}, most of {AGENT} (denied); its quota turned 6 away, among them "
        "those of 3 innocent pods with 3 other images."
    )
    assert figures(finding) == {
        "attempts": 78,
        "repeated attempts": 63,
        "failed attempts": 78,
        "failed: permission": 72,
        "failed: quota": 6,
        "images": 4,
        "pods": 15,
        "nodes": 12,
        "innocent images": 3,
        "innocent pods": 3,
        "pulls that IfNotPresent would have needed": 15,
        # In 660 s a container may try at 0, 10, 30, 70, 150, 310 and 610 s, in 20 s twice.
        "attempts that the back-off allows": 12 * 7 + 3 * 2,
        "attempts a minute": pytest.approx(78 / (723 / 60), abs=0.001),
        "seconds without the image": 12 * 660 + 3 * 20,
    }
    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.HIGH)
    assert finding.variant == "permission, then quota"
    assert (finding.start, finding.end) == (at(0), at(723))
    assert finding.stories == (6,)
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (78, 15)
    assert finding.alternatives[0].modelled == 4
    assert finding.remedies[0].text.startswith("Give the nodes")
    assert finding.verify[0].startswith("zcat -f < events.json | jq")
    numbers = {record.number for record in finding.evidence.records}
    assert {1, 2, 26} <= numbers, "the first attempt, the first denial, the first refusal of an innocent"
    assert finding.evidence.tables[0].rows[0] == (AGENT, "began it", 72, 72, "permission", 12, 12)
    assert {row[1] for row in finding.evidence.tables[0].rows[1:]} == {"innocent"}
    assert sum(finding.evidence.series[0].values) == pytest.approx(78)
    assert sum(finding.evidence.series[1].values) == pytest.approx(6)


def test_fires_on_a_daemonset_that_crashes_and_pulls_for_each_start() -> None:
    """Its pulls succeed until the quota is used up: Always asks the registry before every start."""
    data: list[Row] = []
    for i in range(12):
        pod, node = f"platform/agent-{i:05d}".replace("0", "b"), f"n{i}"
        data += [pulling(pod, node, i, i + 900, 7), pulled(pod, node, i + 901, count=7, first=i + 1)]
        data.append(crashing(pod, node, i + 20, i + 900, 40))
    [finding] = run(DETECTOR, events(*data, *victims(start=920)))
    assert finding.variant == "crash loop, then quota"
    assert (figures(finding)["attempts"], figures(finding)["innocent pods"]) == (12 * 7 + 6, 3)
    assert figures(finding)["bytes pulled again, at most"] == 12 * 6 * 1000
    assert finding.remedies[0].text.startswith("Stop the crash first")
    assert finding.confidence is Confidence.HIGH


@pytest.mark.parametrize(("kind", "severity"), [("permission", Severity.MEDIUM), ("missing", Severity.LOW)])
def test_fires_without_a_quota_where_a_fleet_tries_again_and_again(kind: str, severity: Severity) -> None:
    [finding] = run(DETECTOR, events(*agents(kind)))
    assert (finding.variant, finding.severity, finding.confidence) == (kind, severity, Confidence.MEDIUM)
    assert figures(finding)["innocent pods"] == 0


def test_fires_from_kubelet_logs_alone() -> None:
    """They tell of failures only, and the pod stands in the next line."""
    lines = [
        line
        for i in range(4)
        for number in range(3)
        for line in kubelet_failed(i + number * 15, f"shop/web-{i}", f"n{i}", image=f"{HUB}/shop/web:1")
    ]
    [finding] = run(DETECTOR, kubelet(*lines))
    assert finding.variant == "quota"
    shown = figures(finding)
    assert (shown["attempts"], shown["pods"], shown["nodes"], shown["failed: quota"]) == (12, 4, 4, 12)
    assert shown["innocent pods"] == 0, "nobody tells who used the quota up"
    assert "PullImage" in finding.verify[0]


def test_fires_from_a_runtimes_log() -> None:
    data = []
    for i in range(4):
        common = {"host": f"n{i}", "image": AGENT, "component": "containerd"}
        data.append(common | {"time": i, "message": f'PullImage "{AGENT}"'})
        error = "429 Too Many Requests"
        data.append(common | {"time": i + 1, "message": f'PullImage "{AGENT}" failed', "error": error})
    [finding] = run(DETECTOR, {RUNTIME_MESSAGES: rows(RUNTIME_MESSAGES, *data)})
    assert (figures(finding)["attempts"], figures(finding)["nodes"]) == (4, 4)


def test_two_channels_count_once_and_a_journal_and_an_event_name_one_node() -> None:
    lines = [
        line for i in range(3) for line in kubelet_failed(700 + i, f"shop/web{i}-6769fb7c7-2kdqz", f"n{i}", "quota")
    ]
    both = {**events(*chain()), **kubelet(*lines)}
    [finding] = run(DETECTOR, both)
    assert (figures(finding)["attempts"], figures(finding)["nodes"]) == (78, 12)


def test_a_capture_tells_of_the_connections_and_of_the_nat() -> None:
    hello: Row = {"client": "203.0.113.7", "server": "192.0.2.9", "server_port": 443}
    hellos = rows(
        TLS_CLIENT_HELLOS,
        *(hello | {"time": i * 10, "sni": HUB} for i in range(20)),
        hello | {"time": 5, "sni": HUB, "duplicate": True},
        hello | {"time": 5, "sni": "other.example.com"},
    )
    [finding] = run(DETECTOR, {**events(*agents("permission")), TLS_CLIENT_HELLOS: hellos})
    assert figures(finding)["TLS connections to the registry"] == 20
    assert figures(finding)["addresses that they came from"] == 1
    assert finding.confidence is Confidence.HIGH


def test_docker_hub_is_known_by_its_own_names_and_its_limit_is_a_setting() -> None:
    data = [
        row
        for i in range(3)
        for row in (
            pulling(f"shop/web-{i}", f"n{i}", i, i, image="nginx:1.25"),
            failed("quota", f"shop/web-{i}", f"n{i}", i + 1, i + 1, image="nginx:1.25"),
        )
    ]
    hello: Row = {"client": "203.0.113.7", "server": "192.0.2.9", "server_port": 443, "sni": "registry-1.docker.io"}
    [finding] = run(DETECTOR, {**events(*data), TLS_CLIENT_HELLOS: rows(TLS_CLIENT_HELLOS, hello)}, hub_pulls=10)
    assert finding.subject == "docker.io"
    assert "docker.io/library/nginx:1.25" in finding.summary
    assert "10 pulls in 6 h" in finding.why
    assert figures(finding)["TLS connections to the registry"] == 1


def test_what_was_written_before_is_shown() -> None:
    write: Row = {
        "audit_id": "a",
        "verb": "patch",
        "resource": "daemonsets",
        "api_group": "apps",
        "namespace": "platform",
    }
    write |= {"name": "agent", "code": 200, "stage": "ResponseComplete", "user": "system:serviceaccount:ci:deployer"}
    given = {**events(*chain()), AUDIT_EVENTS: rows(AUDIT_EVENTS, write | {"time": -60})}
    [finding] = run(DETECTOR, given)
    [row] = finding.evidence.tables[-1].rows
    assert row == (60.0, "patch daemonsets platform/agent", "system:serviceaccount:ci:deployer")


@pytest.mark.parametrize(("before", "shown"), [(1800, True), (1801, False)])
def test_half_an_hour_before_is_the_threshold_of_a_change(before: float, shown: bool) -> None:
    write: Row = {"audit_id": "a", "verb": "patch", "resource": "daemonsets", "api_group": "apps", "code": 200}
    write |= {"namespace": "platform", "name": "agent", "stage": "ResponseComplete", "user": "ci", "time": -before}
    [finding] = run(DETECTOR, {**events(*chain()), AUDIT_EVENTS: rows(AUDIT_EVENTS, write)})
    assert any("half hour" in table.caption for table in finding.evidence.tables) is shown


@pytest.mark.parametrize(("pods", "severity"), [(49, Severity.HIGH), (50, Severity.CRITICAL)])
def test_fifty_innocent_pods_are_the_threshold_of_critical(pods: int, severity: Severity) -> None:
    [finding] = run(DETECTOR, events(*agents("permission"), *victims(pods)))
    assert (figures(finding)["innocent pods"], finding.severity) == (pods, severity)


@pytest.mark.parametrize(("tries", "innocent"), [(3, 3), (4, 2)])
def test_an_image_with_a_twentieth_of_the_repeated_pulls_before_is_not_innocent(tries: int, innocent: int) -> None:
    """Twelve agents repeat 60 pulls before the quota; a pod of another image 3 or 4 of 64."""
    pod = "shop/web0-6769fb7c7-2kdqz"
    busy = pulling(pod, "n0.example", 100, 400, tries, f"{HUB}/shop/web0:1")
    [finding] = run(DETECTOR, events(*agents("permission"), busy, *victims()))
    assert figures(finding)["innocent images"] == innocent


def test_pods_of_kube_system_make_it_critical() -> None:
    text = {"namespace": "kube-system", "event_uid": "x"}
    data = [row | text | {"event_uid": f"{i}"} for i, row in enumerate(victims())]
    [finding] = run(DETECTOR, events(*agents("permission"), *data))
    assert finding.severity is Severity.CRITICAL


def test_two_registries_have_a_finding_each() -> None:
    other = [
        row | {"message": row["message"].replace(HUB, "mirror.example.org"), "event_uid": f"o{i}"}
        for i, row in enumerate(chain())
    ]
    other = [row | {"name": "o" + row["name"]} for row in other]
    found = run(DETECTOR, events(*chain(), *other))
    assert [finding.subject for finding in found] == ["mirror.example.org", HUB]
    assert figures(found[0]) == figures(found[1])


def test_snapshots_of_one_event_count_once() -> None:
    """An audit log holds every patch of an Event, each with the count so far; so do two saved lists."""
    steps = []
    for row in chain():
        half = row["count"] // 2
        middle = row["first_time"] + (row["time"] - row["first_time"]) / 2
        steps += [row | {"count": half, "time": middle}, row, row]
    [finding] = run(DETECTOR, events(*steps))
    shown = figures(finding)
    assert (shown["attempts"], shown["failed: permission"], shown["failed: quota"]) == (78, 72, 6)


def test_unrelated_rows_change_nothing_and_without_the_evidence_there_is_no_finding() -> None:
    base = chain()
    noise = [told("Scheduled", "Successfully assigned", f"other/p{i}", "n1", i, i) for i in range(500)]
    [finding] = run(DETECTOR, events(*base, *noise))
    assert finding.impact == run(DETECTOR, events(*base))[0].impact
    assert run(DETECTOR, events(*noise)) == []
    one_row = [row for row in base if "429" not in row["message"]]
    [without] = run(DETECTOR, events(*one_row))
    assert (without.variant, figures(without)["innocent pods"]) == ("permission", 0)


def test_silent_on_no_rows() -> None:
    tables = (KUBE_EVENTS, KLOG_LINES, RUNTIME_MESSAGES, AUDIT_EVENTS, TLS_CLIENT_HELLOS)
    given: Given = {table: empty(table).lazy() for table in tables}
    assert run(DETECTOR, given) == []
