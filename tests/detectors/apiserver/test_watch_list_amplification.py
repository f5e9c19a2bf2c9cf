from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from analyzer.detector import NotObservable
from analyzer.detectors.apiserver.watch_list_amplification import DETECTOR
from analyzer.detectors.apiserver.watch_list_amplification.remedy import remedies
from analyzer.frames import AUDIT_OBJECTS, KERNEL_MESSAGES, KLOG_LINES, KUBE_EVENTS
from analyzer.model import Confidence, Finding, Severity
from analyzer.sources import audit as audit_source
from tests.build import at, remarks, rows, run
from tests.calls import audit, call, listed
from tests.recordings import needed, read

AGENT: dict[str, Any] = {"agent": "kube2iam", "user": "system:serviceaccount:iam:kube2iam"}


def clients(count: int, start: float = 0, *, lists: int = 4, period: float = 30, **same: Any) -> list[dict[str, Any]]:
    """Each of `count` clients lists all pods every `period` seconds, one second after the client before it."""
    return [
        listed(start + number + turn * period, **(AGENT | {"source_ip": f"10.0.0.{number}"} | same))
        for number in range(count)
        for turn in range(lists)
    ]


def beats(until: float, every: float = 5) -> list[dict[str, Any]]:
    """Heartbeats of one node: what there is always."""
    return [
        call(1.5 + turn * every, verb="update", resource="leases", user="system:node:n1", agent="kubelet", node="n1")
        for turn in range(int(until / every))
    ]


def server_start(moment: float) -> list[dict[str, Any]]:
    """The informers of a starting server."""
    own: dict[str, Any] = {"user": "system:apiserver", "agent": "kube-apiserver", "verb": "watch"}
    return [call(moment + i / 100, **own, resource=f"kind{i}", uri=f"/api/v1/kind{i}?watch=1") for i in range(6)]


def restarts() -> list[dict[str, Any]]:
    """Ten clients that list at odd moments, as after restarts with a back-off."""
    moments = (0, 3, 60, 64, 200)
    return [
        listed(start + number / 10, source_ip=f"10.0.0.{number}", **AGENT) for number in range(10) for start in moments
    ]


def only(findings: list[Finding]) -> Finding:
    [finding] = findings
    return finding


def test_fires_on_a_daemon_set_that_polls() -> None:
    finding = only(run(DETECTOR, audit(clients(10), beats(120))))
    assert finding.subject == "kube2iam"
    assert finding.variant == "poll"
    assert finding.summary == "40 lists (pods 40) in 99 s by 10 clients of kube2iam of 1 nodes, each about every 30 s."
    assert (finding.start, finding.end) == (at(0), at(99))
    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.MEDIUM)
    assert finding.stories == (9, 40)


def test_every_figure() -> None:
    given = audit([event | {"response_body_bytes": 1000} for event in clients(10)], beats(120))
    objects = [{"number": number, "items": 50, "time": 0} for number in range(1, 200)]
    finding = only(run(DETECTOR, given | {AUDIT_OBJECTS: rows(AUDIT_OBJECTS, *objects)}))
    assert {figure.name: figure.value for figure in finding.impact} == {
        "lists": 40,
        "lists of pods": 40,
        "client addresses": 10,
        "clients": 10,
        "lists per minute": round(40 / 99 * 60, 3),
        "period": 30,
        "lists again within the time of a watch": 30,
        "lists without a selector for a node": 40,
        "lists without resourceVersion": 40,
        "lists without a limit": 40,
        "rejected lists": 0,
        "seconds spent on them": 0.2,
        "objects": 2000,
        "bytes": 40_000,
    }


def test_the_saving_is_counted_on_the_lists_that_are_there() -> None:
    finding = only(run(DETECTOR, audit(clients(10), beats(120))))
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled, finding.saving.unit) == (40, 10, "lists")
    [cluster] = finding.alternatives
    assert (cluster.observed, cluster.modelled) == (40, 1)


def test_a_selector_for_the_node_divides_the_objects_by_the_nodes() -> None:
    nodes = [event | {"caller_node": f"n{event['source_ip']}"} for event in clients(10)]
    objects = [{"number": number, "items": 50, "time": 0} for number in range(1, 41)]
    finding = only(run(DETECTOR, audit(nodes) | {AUDIT_OBJECTS: rows(AUDIT_OBJECTS, *objects)}))
    assert [(one.observed, one.modelled, one.unit) for one in finding.alternatives] == [
        (40, 1, "lists"),
        (2000, 200, "objects"),
    ]


def test_fires_on_clients_behind_one_address_told_apart_by_the_node_they_ask_for() -> None:
    events = [
        event | {"source_ip": "127.0.0.1", "uri": f"/api/v1/pods?fieldSelector=spec.nodeName%3D{event['source_ip']}"}
        for event in clients(10)
    ]
    finding = only(run(DETECTOR, audit(events)))
    assert (finding.figure("client addresses"), finding.figure("clients")) == (1, 10)
    assert finding.figure("lists without a selector for a node") == 0


def test_fires_on_one_client_at_a_high_rate_with_low_confidence() -> None:
    fast = [listed(turn * 0.5, "services", source_ip="10.0.0.1", **AGENT) for turn in range(120)]
    finding = only(run(DETECTOR, audit(fast)))
    assert (finding.confidence, finding.stories) == (Confidence.LOW, (36,))
    assert finding.figure("period") == 0.5


def test_fires_on_lists_of_all_pods_from_every_node_though_nothing_repeats() -> None:
    finding = only(run(DETECTOR, audit(clients(10, lists=1), beats(600))))
    assert finding.variant == "cluster-wide-pods"
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (10, 1)


def test_pages_of_a_list_are_one_list() -> None:
    pages = [listed(event["time"] + 0.1, query="limit=500&continue=abc", **AGENT) for event in clients(10)]
    assert only(run(DETECTOR, audit(clients(10), pages))).figure("lists") == 40


def test_a_death_for_memory_names_the_cause() -> None:
    killed = [
        {"time": 20, "kind": "cgroup_oom", "process": "kube2iam", "host": "n1"},
        {"time": 50, "kind": "cgroup_oom", "process": "kube2iam", "host": "n1"},
        {"time": 50, "kind": "oom_reaped", "process": "kube2iam"},
        {"time": 50, "kind": "cgroup_oom", "process": "java"},
    ]
    died = [
        {"time": 20, "pod": "iam/kube2iam-x2lk4", "text": '"SyncLoop (PLEG)" event={"Type":"ContainerDied"}'},
        {"time": 20, "pod": "iam/other-x2lk4", "text": '"SyncLoop (PLEG)" event={"Type":"ContainerDied"}'},
    ]
    nodes = {KERNEL_MESSAGES: rows(KERNEL_MESSAGES, *killed), KLOG_LINES: rows(KLOG_LINES, *died)}
    assert only(run(DETECTOR, audit(clients(10), beats(120)) | nodes)).variant == "poll"
    finding = only(run(DETECTOR, audit(restarts()) | nodes))
    assert (finding.variant, finding.stories) == ("relist-after-oom", (9, 10))
    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.HIGH)
    assert finding.figure("OOM deaths of the client") == 2
    assert finding.figure("container deaths of the client") == 1
    assert ("killed for memory (kernel)", "n1", 2) in finding.evidence.tables[2].rows


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        (
            "OOMKilling",
            "Memory cgroup out of memory: Killed process 7 (kube2iam) total-vm:9kB, anon-rss:8kB, file-rss:1kB",
        ),
        ("SystemOOM", "System OOM encountered, victim process: kube2iam, pid: 7"),
    ],
)
def test_a_death_for_memory_that_an_event_tells_names_the_cause(reason: str, message: str) -> None:
    event = {
        "time": 50,
        "first_time": 20,
        "count": 2,
        "kind": "Node",
        "name": "n1",
        "reason": reason,
        "message": message,
    }
    other = event | {"message": message.replace("kube2iam", "java"), "name": "n2"}
    told = {KUBE_EVENTS: rows(KUBE_EVENTS, event | {"time": 20, "count": 1}, event, other)}
    finding = only(run(DETECTOR, audit(restarts()) | told))
    assert (finding.variant, finding.figure("OOM deaths of the client")) == ("relist-after-oom", 2)
    assert ("killed for memory (Event)", "n1", 2) in finding.evidence.tables[2].rows
    silent = {KUBE_EVENTS: rows(KUBE_EVENTS, other)}
    assert only(run(DETECTOR, audit(restarts()) | silent)).variant != "relist-after-oom"


def test_lists_after_an_expired_version_are_told_apart() -> None:
    gone = [event | {"code": 410, "time": event["time"] - 0.5} for event in clients(10)]
    finding = only(run(DETECTOR, audit(clients(10), gone, beats(120))))
    assert finding.variant == "relist-after-410"


def test_without_a_clock_there_is_no_poll() -> None:
    assert only(run(DETECTOR, audit(restarts()))).variant == "lists-again"


def test_two_agents_are_two_findings() -> None:
    other = clients(12, 5, agent="fluentd")
    assert [finding.subject for finding in run(DETECTOR, audit(clients(10), other))] == ["kube2iam", "fluentd"]


@pytest.mark.parametrize(("count", "findings"), [(9, 0), (10, 1)])
def test_threshold_of_clients(count: int, findings: int) -> None:
    assert len(run(DETECTOR, audit(clients(count)))) == findings
    assert len(run(DETECTOR, audit(clients(count, lists=1)))) == findings
    assert len(run(DETECTOR, audit([event | {"resource": "services"} for event in clients(count)]))) == findings


@pytest.mark.parametrize(("count", "findings"), [(59, 0), (60, 1)])
def test_threshold_of_the_rate(count: int, findings: int) -> None:
    fast = [listed(turn, source_ip="10.0.0.1", **AGENT) for turn in range(count)]
    assert len(run(DETECTOR, audit(fast))) == findings


@pytest.mark.parametrize(("period", "findings"), [(299, 1), (300, 0)])
def test_threshold_of_the_time_between(period: float, findings: int) -> None:
    events = clients(10, lists=3, period=period)
    assert len(run(DETECTOR, audit([event | {"resource": "services"} for event in events]))) == findings


def test_silent_on_the_start_of_an_api_server_but_for_a_remark() -> None:
    """All clients list once before, and once within two minutes after the start: a stampede."""
    before = clients(12, lists=1, agent="kube-proxy", resource="services")
    after = clients(12, 200, lists=1, agent="kube-proxy", resource="services")
    pods = clients(12, 200, lists=1)
    given = audit(before, server_start(199), after, pods, beats(120))
    assert run(DETECTOR, given) == []
    told = remarks(DETECTOR, given)
    assert "12 clients of kube-proxy listed services within two minutes after the API server started" in told[0]
    assert "a stampede" in told[1]


def test_silent_on_a_stampede_after_a_silence() -> None:
    after = [*clients(12, 170, lists=1), *clients(12, 170.3, lists=1, agent="fluentd")]
    assert run(DETECTOR, audit(beats(120, every=1), after)) == []


def test_fires_on_a_poll_that_goes_on_after_the_start() -> None:
    assert len(run(DETECTOR, audit(server_start(0), clients(10, 1)))) == 1


def test_silent_on_a_controller_with_few_replicas() -> None:
    assert run(DETECTOR, audit(clients(3, lists=20))) == []


def test_silent_on_kubelets_and_the_control_plane() -> None:
    kubelets = [event | {"user": f"system:node:n{event['source_ip']}", "agent": "kubelet"} for event in clients(20)]
    manager = [event | {"user": "system:kube-controller-manager"} for event in clients(20)]
    assert run(DETECTOR, audit(kubelets, manager)) == []


def test_silent_on_watches_of_people() -> None:
    watch: dict[str, Any] = {
        "agent": "kubectl",
        "user": "alice",
        "verb": "watch",
        "resource": "pods",
        "uri": "/api/v1/pods?watch=1",
    }
    given = audit([call(i, **watch, source_ip=f"10.0.1.{i % 3}") for i in range(30)])
    assert run(DETECTOR, given) == []
    assert remarks(DETECTOR, given) == []


def test_silent_on_a_victim_that_is_rejected_and_asks_again() -> None:
    """One list each is wanted, by informers that the server turns away for a while."""
    events = [
        listed(
            number / 10 + turn,
            "services",
            source_ip=f"10.0.0.{number}",
            **AGENT | ({"code": 429, "decision": None} if turn < 30 else {}),
        )
        for number in range(12)
        for turn in range(31)
    ]
    assert run(DETECTOR, audit(events)) == []


def test_silent_on_the_cured_agent() -> None:
    """One list with a selector for the node, then watches."""
    lists = [event | {"uri": "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1"} for event in clients(20, lists=1)]
    watch: dict[str, Any] = {
        "verb": "watch",
        "resource": "pods",
        "uri": "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1&watch=1",
    }
    watches = [call(i * 30, **AGENT, **watch, source_ip=f"10.0.0.{i % 20}") for i in range(60)]
    given = audit(lists, watches)
    assert run(DETECTOR, given) == []
    assert remarks(DETECTOR, given) == []


def test_watches_of_all_pods_from_everywhere_are_a_remark() -> None:
    watch: dict[str, Any] = {"verb": "watch", "api_group": "", "resource": "pods", "uri": "/api/v1/pods?watch=1"}
    given = audit([call(i, **AGENT, **watch, source_ip=f"10.0.0.{i}") for i in range(10)])
    assert run(DETECTOR, given) == []
    assert remarks(DETECTOR, given) == ["10 clients of kube2iam watch all pods: each change of a pod is sent to each."]


def test_silent_without_rows() -> None:
    assert run(DETECTOR, audit([])) == []


def test_a_log_of_writes_only_cannot_show_it() -> None:
    with pytest.raises(NotObservable, match="no list or watch at all"):
        run(DETECTOR, audit([call(0, verb="create", resource="pods", **AGENT)]))


def test_take_the_lists_away_and_it_goes_add_unrelated_rows_and_it_stays() -> None:
    poll = clients(10)
    noise = [
        call(i / 5, verb="get", resource="configmaps", agent="app", user="u", source_ip="10.9.0.1") for i in range(500)
    ]
    assert run(DETECTOR, audit(noise, [event for event in poll if event["time"] < 12])) != []  # ten first lists of pods
    assert run(DETECTOR, audit(noise, [event | {"verb": "get"} for event in poll], [listed(0, agent="x")])) == []
    [one], [other] = (run(DETECTOR, audit(poll, more)) for more in ([], noise))
    assert one.impact == other.impact
    assert one.saving == other.saving


def test_the_same_rows_in_any_order_give_the_same_finding() -> None:
    given = audit(clients(10), beats(120))
    assert run(DETECTOR, given) == run(DETECTOR, {table: frame.reverse() for table, frame in given.items()})


def test_the_snippets_can_be_pasted() -> None:
    for agent in ("datadog-agent", "kube2iam", "other"):
        for remedy in remedies(agent):
            if remedy.snippet:
                assert yaml.safe_load(remedy.snippet)
    assert "DD_CLUSTER_AGENT_ENABLED" in remedies("datadog-agent")[0].snippet
    assert "--node=$(NODE_NAME)" in remedies("kube2iam")[0].snippet


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize("agent", ["kube2iam", "it's $(x)"])
def test_the_command_to_verify_runs(tmp_path: Path, agent: str) -> None:
    finding = only(run(DETECTOR, audit([event | {"agent": agent} for event in clients(10)])))
    line = {
        "stage": "ResponseComplete",
        "verb": "list",
        "userAgent": f"{agent}/v1",
        "sourceIPs": ["10.0.0.1"],
        "objectRef": {"resource": "pods"},
    }
    (tmp_path / "t").write_text(json.dumps(line) + "\n")
    done = subprocess.run(["sh", "-c", finding.verify[0]], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "10.0.0.1", "pods"]


@needed
def test_a_recorded_storm_of_150_agents() -> None:
    """truth.json: 1,652 + 7,206 lists of pods and 1,723 + 7,135 of services; each agent about once a second."""
    finding = only(run(DETECTOR, read(audit_source.SOURCE, "b1_storm_maxinflight/audit.log")))
    assert finding.subject == "datadog-agent"
    assert (finding.figure("lists of pods"), finding.figure("lists of services")) == (1652 + 7206, 1723 + 7135)
    assert finding.figure("rejected lists") == 7206 + 7135
    assert finding.figure("clients") == 150
    assert finding.figure("period") == pytest.approx(1, abs=0.05)
    assert finding.variant == "poll"


@needed
@pytest.mark.parametrize("case", ["a_baseline", "f_discovery", "k_kubelet_faults", "j0_evictions_instant"])
def test_recordings_without_a_poll_are_quiet(case: str) -> None:
    assert run(DETECTOR, read(audit_source.SOURCE, f"{case}/audit.log")) == []
