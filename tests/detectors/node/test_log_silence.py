"""A log that always came has stopped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl
import pytest

from analyzer.detector import NotObservable
from analyzer.detectors.node.log_silence import DETECTOR
from analyzer.facts.log_emissions import LOG_EMISSIONS
from analyzer.frames import (
    AUDIT_EVENTS,
    AUDIT_FIELDS,
    HTTP_MESSAGES,
    KERNEL_MESSAGES,
    KLOG_LINES,
    KUBE_EVENTS,
    PACKETS,
    TLS_CLIENT_HELLOS,
    Table,
    empty,
)
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, frames_for, remarks, rows, run

Row = dict[str, Any]
Given = dict[Table, pl.LazyFrame]

END, STOPS = 3600.0, 1200.0
SILENT = "ip-10-0-12-35"
HOSTS = ("ip-10-0-12-33", "ip-10-0-12-34", SILENT)


def lines(host: str, end: float = END, start: float = 0, every: float = 10) -> list[Row]:
    """A line of the kubelet every ten seconds."""
    count = int((end - start) / every)
    common = {"host": host, "component": "kubelet", "message": "x", "text": "x"}
    return [common | {"time": start + i * every} for i in range(count)]


def log(*parts: list[Row], source: str = "kubelets.log") -> pl.LazyFrame:
    ordered = sorted((one for part in parts for one in part), key=lambda one: one["time"])
    return rows(KLOG_LINES, *ordered, source=source)


def incident(stops: float = STOPS, hosts: Iterable[str] = HOSTS) -> pl.LazyFrame:
    return log(*(lines(host, stops if host == SILENT else END) for host in hosts))


def given(frame: pl.LazyFrame, **tables: pl.LazyFrame) -> Given:
    known = {"audit": AUDIT_EVENTS, "events": KUBE_EVENTS, "kernel": KERNEL_MESSAGES}
    return {KLOG_LINES: frame} | {known[name]: table for name, table in tables.items()}


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


def test_fires_on_a_stream_that_stops_while_its_peers_go_on() -> None:
    [finding] = run(DETECTOR, given(incident()))
    assert finding.subject == SILENT
    assert figures(finding) == {
        "lines before": 120,
        "lines per second before": pytest.approx(120 / 1190, abs=1e-6),
        "seconds silent": 2400,
        "lines expected meanwhile": 242,
        "longest pause before (99th percentile)": 10,
        "peers": 2,
        "peers that went on": 2,
    }
    assert finding.summary == (
        f"{SILENT} (kubelet) sent nothing for 40.0 min, to the end of its input; about 242 lines are missing, while "
        "2 of 2 peers went on."
    )
    assert (finding.severity, finding.confidence) == (Severity.MEDIUM, Confidence.MEDIUM)
    assert (finding.start, finding.end) == (at(1190), at(3590))
    assert finding.stories == (31,)
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (242, 30)
    assert finding.evidence.tables[0].rows == (("kubelet", "09:19:50", 120, 2400.0),)
    assert finding.evidence.series[0].values[-1] == 0
    assert len(finding.evidence.records) == 4
    assert finding.remedies


def test_a_stream_that_comes_back_was_silent_between() -> None:
    frame = log(lines(HOSTS[0]), lines(HOSTS[1]), lines(SILENT, STOPS), lines(SILENT, start=2200))
    [finding] = run(DETECTOR, given(frame))
    assert figures(finding)["seconds silent"] == 1010
    assert "to the end" not in finding.summary


@pytest.mark.parametrize(("length", "fires"), [(299, False), (301, True)])
def test_five_minutes_are_the_threshold(length: int, fires: bool) -> None:
    frame = log(lines(HOSTS[0]), lines(SILENT, STOPS + 1, every=1), lines(SILENT, start=STOPS + length, every=1))
    assert bool(run(DETECTOR, given(frame))) is fires


@pytest.mark.parametrize(("length", "fires"), [(1190, False), (1210, True)])
def test_ten_times_the_usual_pause_is_the_threshold(length: int, fires: bool) -> None:
    """A line every two minutes, and so many seconds of silence: twenty minutes are ten pauses; chance needs 28."""
    first = lines(SILENT, 4801, every=120)
    frame = log(lines(HOSTS[0], 9000, every=120), first, lines(SILENT, 9000, start=4680 + length, every=120))
    assert bool(run(DETECTOR, given(frame), chance=0.01)) is fires


@pytest.mark.parametrize(("pauses", "fires"), [(19, False), (20, True)])
def test_twenty_pauses_are_the_threshold(pauses: int, fires: bool) -> None:
    assert bool(run(DETECTOR, given(incident(stops=pauses * 10 + 10)))) is fires


def test_chance_is_a_threshold_of_its_own() -> None:
    """A line every 100 s, and 1,200 s of silence: once in 160,000."""
    frame = log(lines(HOSTS[0], 9000, every=100), lines(SILENT, 4001, every=100), lines(SILENT, 9000, 5200, every=100))
    assert run(DETECTOR, given(frame)) == []
    assert len(run(DETECTOR, given(frame), chance=1e-4)) == 1


@pytest.mark.parametrize(("stops", "severity"), [(3590, Severity.MEDIUM), (3610, Severity.HIGH)])
def test_an_hour_is_the_threshold_of_high(stops: int, severity: Severity) -> None:
    frame = log(lines(HOSTS[0], 9000), lines(SILENT, 1201), lines(SILENT, 9000, start=1190 + stops))
    [finding] = run(DETECTOR, given(frame))
    assert finding.severity is severity


@pytest.mark.parametrize(("others", "fires"), [(1, False), (2, True)])
def test_half_of_the_peers_are_the_threshold(others: int, fires: bool) -> None:
    """Four peers, of which so many go on."""
    peers = [lines(f"node-{i}", END if i < others else STOPS) for i in range(4)]
    found = run(DETECTOR, given(log(lines(SILENT, STOPS), *peers)))
    assert (SILENT in {finding.subject for finding in found}) is fires


def test_silent_where_all_stop_at_once() -> None:
    other = [one | {"component": "kube-proxy"} for one in lines(HOSTS[0])]
    assert run(DETECTOR, given(log(*(lines(host, STOPS) for host in HOSTS), other))) == []


def test_silent_on_a_file_that_was_saved_earlier() -> None:
    own = log(lines(SILENT, STOPS), source="35.log")
    assert run(DETECTOR, given(pl.concat([own, log(lines(HOSTS[0])), log(lines(HOSTS[1]), source="34.log")]))) == []


def test_silent_on_a_hole_between_rotated_files_and_says_so() -> None:
    first, second = log(lines(SILENT, STOPS), source="35.log.1"), log(lines(SILENT, start=2400), source="35.log")
    frames = given(pl.concat([first, second, log(lines(HOSTS[0]))]))
    assert run(DETECTOR, frames) == []
    [remark] = remarks(DETECTOR, frames)
    assert remark == f"{SILENT} (kubelet) is silent for 1,210 s, but nothing else stands in its input meanwhile."


def test_fires_over_rotated_files_of_several_nodes() -> None:
    """The first file ends two minutes after the last line of the silent node."""
    names = HOSTS[:2]
    first = log(lines(SILENT, 1080), *(lines(host, 1200) for host in names), source="a.log.1")
    second = log(*(lines(host, start=1200) for host in names), source="a.log")
    [finding] = run(DETECTOR, given(pl.concat([first, second])))
    assert (finding.subject, figures(finding)["seconds silent"]) == (SILENT, 3590 - 1070)


def write(time: float, verb: str, node: str, **more: Any) -> pl.LazyFrame:
    event: Row = {"time": time, "stage_time": time, "stage": "ResponseComplete", "verb": verb, "resource": "nodes"}
    event |= {"name": node, "code": 200, "audit_id": "a", "user": "alice", "user_agent": "kubectl/v1.36.2"}
    return rows(AUDIT_EVENTS, event | more, source="audit.log")


@pytest.mark.parametrize("verb", ["patch", "delete"])
def test_silent_on_a_node_that_was_drained_or_deleted(verb: str) -> None:
    frames = given(incident(), audit=write(1100, verb, f"{SILENT}.ec2.internal"))
    assert run(DETECTOR, frames) == []
    [remark] = remarks(DETECTOR, frames)
    assert remark.endswith("its node was drained, cordoned or deleted. Not counted.")


@pytest.mark.parametrize(
    ("time", "node", "more"),
    [(1600, SILENT, {}), (1100, HOSTS[0], {}), (1100, SILENT, {"user": "system:kube-controller-manager"})],
)
def test_another_node_or_time_or_a_routine_write_is_no_drain(time: float, node: str, more: Row) -> None:
    assert len(run(DETECTOR, given(incident(), audit=write(time, "patch", node, **more)))) == 1


@pytest.mark.parametrize(("reason", "text"), [("NodeNotReady", "not ready"), ("RemovingNode", "drained, cordoned")])
def test_silent_on_a_node_that_events_call_gone(reason: str, text: str) -> None:
    event = {"time": 1240, "kind": "Node", "name": SILENT, "reason": reason, "count": 1, "type": "Normal"}
    frames = given(incident(), events=rows(KUBE_EVENTS, event, source="events.json"))
    assert run(DETECTOR, frames) == []
    assert text in remarks(DETECTOR, frames)[0]


def leases(node: str, end: float, *, every: float = 10, start: float = 0) -> list[Row]:
    """A kubelet renews its lease."""
    count = int((end - start) / every)
    who: Row = {"user": f"system:node:{node}.ec2.internal", "node": f"{node}.ec2.internal"}
    event: Row = {"stage": "ResponseComplete", "verb": "update", "resource": "leases", "namespace": "kube-node-lease"}
    event |= {
        "name": node,
        "code": 200,
        "user_agent": "kubelet/v1.36.2",
        "api_group": "coordination.k8s.io",
    }
    times = [start + i * every for i in range(count)]
    return [event | who | {"time": at, "stage_time": at, "audit_id": f"{node}{at}"} for at in times]


def beats(*parts: list[Row]) -> pl.LazyFrame:
    ordered = sorted((one for part in parts for one in part), key=lambda one: one["time"])
    return rows(AUDIT_EVENTS, *ordered, source="audit.log")


@pytest.mark.parametrize(
    ("own", "others", "told"),
    [
        (STOPS + 20, END, "gone"),
        (STOPS + 20, STOPS + 200, "unknown"),
        (END, END, "lives"),
        (STOPS + 301, END, "lives"),
    ],
)
def test_a_node_whose_kubelet_is_silent_as_well_went_away(own: float, others: float, told: str) -> None:
    frames = given(incident(), audit=beats(leases(SILENT, own), leases(HOSTS[0], others)))
    found = run(DETECTOR, frames)
    if told == "gone":
        assert found == []
        [remark] = remarks(DETECTOR, frames)
        assert remark.endswith("and others did: the node went away. Not counted.")
        return
    [finding] = found
    assert finding.confidence is (Confidence.HIGH if told == "lives" else Confidence.MEDIUM)
    assert ("so the node lives" in finding.confidence_reason) is (told == "lives")


def test_a_kubelet_that_is_heard_of_every_five_minutes_is_not_missed_before_fifteen() -> None:
    """The policy leaves leases out; the last status is of 1,200 s."""
    own, other = leases(SILENT, STOPS + 1, every=300), leases(HOSTS[0], STOPS + 890)
    assert len(run(DETECTOR, given(incident(), audit=beats(own, other)))) == 1
    assert run(DETECTOR, given(incident(), audit=beats(own, leases(HOSTS[0], STOPS + 920)))) == []


@pytest.mark.parametrize(("moved", "fires"), [(1, True), (2, False)])
def test_a_node_whose_pods_are_removed_after_it_went_away(moved: int, fires: bool) -> None:
    def turn(pod: int, at: float, **more: Any) -> Row:
        event = {
            "stage": "ResponseComplete",
            "resource": "pods",
            "namespace": "shop",
            "name": f"web-{pod}",
            "code": 200,
        }
        return event | {"time": at, "stage_time": at, "audit_id": f"{pod}{at}", "user_agent": "x"} | more

    node = {"user": f"system:node:{SILENT}", "node": SILENT, "verb": "patch", "subresource": "status"}
    ran = [turn(pod, 100 + pod, **node) for pod in range(3)]
    ended = [turn(pod, STOPS + 330 + pod, user="system:x", verb="delete") for pod in range(moved)]
    frames = given(incident(), audit=beats(ran, ended))
    assert bool(run(DETECTOR, frames)) is fires
    if not fires:
        assert remarks(DETECTOR, frames)[0].endswith("its pods were removed after it: the node went away. Not counted.")


@pytest.mark.parametrize(
    ("level", "manager", "body", "fires"),
    [
        ("Metadata", "", None, False),
        ("Metadata", "kubectl-label", None, True),
        ("Request", "", None, True),
        ("Request", "", "true", False),
        ("RequestResponse", "", "false", True),
    ],
)
def test_a_label_or_the_end_of_a_cordon_is_no_drain(level: str, manager: str, body: str | None, fires: bool) -> None:
    uri = f"/api/v1/nodes/{SILENT}?fieldManager={manager}" if manager else f"/api/v1/nodes/{SILENT}"
    frames = given(incident(), audit=write(1100, "patch", SILENT, level=level, uri=uri))
    if body is not None:
        field = {"audit_id": "a", "body": "request", "whole": False, "verb": "patch", "code": 200, "resource": "nodes"}
        field |= {"time": 1100, "name": SILENT, "field": "spec.unschedulable", "value": body}
        frames[AUDIT_FIELDS] = rows(AUDIT_FIELDS, field, source="audit.log")
    assert bool(run(DETECTOR, frames)) is fires


@pytest.mark.parametrize(("began", "ended"), [("NodeNotReady", "NodeReady"), ("NodeNotSchedulable", "NodeSchedulable")])
@pytest.mark.parametrize(("back", "fires"), [(None, False), (1189, True), (1200, False)])
def test_a_node_that_was_back_before_its_log_stopped_explains_nothing(
    began: str, ended: str, back: float | None, fires: bool
) -> None:
    """The last line of the node is of second 1190."""
    told = {"kind": "Node", "name": SILENT, "count": 1, "type": "Normal"}
    events = [told | {"time": 300, "reason": began}]
    events += [] if back is None else [told | {"time": back, "reason": ended}]
    assert bool(run(DETECTOR, given(incident(), events=rows(KUBE_EVENTS, *events, source="events.json")))) is fires


@pytest.mark.parametrize(("after", "fires"), [(300, False), (301, True)])
def test_five_minutes_after_are_the_threshold_of_a_node_that_is_gone(after: float, fires: bool) -> None:
    """The last line of the node is of second 1190."""
    frames = given(incident(), audit=write(1190 + after, "delete", SILENT))
    assert bool(run(DETECTOR, frames)) is fires


def test_half_an_hour_before_is_the_threshold_of_a_cordon() -> None:
    stops = 2400.0
    for time, fires in ((stops - 10 - 1799, False), (stops - 10 - 1801, True)):
        assert bool(run(DETECTOR, given(incident(stops=stops), audit=write(time, "delete", SILENT)))) is fires


def test_silent_on_a_leader_that_lost_its_lock() -> None:
    changed = incident().with_columns(component=pl.lit("kube-scheduler"))
    with pytest.raises(NotObservable):
        run(DETECTOR, given(changed))


def test_two_streams_of_a_node_are_one_finding_and_two_nodes_two() -> None:
    kernel = [
        {"time": i * 10.0, "host": host, "kind": "other", "text": "x", "count": 1}
        for host in HOSTS
        for i in range(360 if host != SILENT else 120)
    ]
    [finding] = run(DETECTOR, given(incident(), kernel=rows(KERNEL_MESSAGES, *kernel, source="kernel.log")))
    assert figures(finding)["lines before"] == 240
    assert (finding.severity, len(finding.evidence.tables[0].rows)) == (Severity.HIGH, 2)
    assert finding.confidence is Confidence.LOW
    assert "all its streams ended within a minute and none came back" in finding.confidence_reason
    frame = log(lines(HOSTS[0]), lines("node-9"), lines(SILENT, STOPS), lines(HOSTS[1], 1500))
    assert [one.subject for one in run(DETECTOR, given(frame))] == [SILENT, HOSTS[1]]


def test_streams_of_a_node_that_are_silent_at_other_times_are_two_findings() -> None:
    kernel = [
        {"time": i * 10.0, "host": host, "kind": "other", "text": "x", "count": 1}
        for host in HOSTS
        for i in range(360)
        if host != SILENT or not 30 <= i < 80
    ]
    kubelet = log(lines(HOSTS[0]), lines(HOSTS[1]), lines(SILENT, 2000), lines(SILENT, start=2600))
    found = run(DETECTOR, given(kubelet, kernel=rows(KERNEL_MESSAGES, *kernel, source="kernel.log")))
    assert [figures(one)["seconds silent"] for one in found] == [610, 510]


def test_of_many_emitters_ten_have_a_finding_and_the_others_are_counted() -> None:
    frame = log(*(lines(f"n{i}", END if i > 11 else STOPS + 10 * i) for i in range(30)))
    assert [one.subject for one in run(DETECTOR, given(frame))] == [f"n{i}" for i in range(10)]
    assert remarks(DETECTOR, given(frame)) == ["2 more emitters fell silent."]


def sends(src: str, end: float = END, port: int = 24224, dst: str = "10.0.12.60", **more: Any) -> list[Row]:
    common = {"src": src, "src_port": 40_000, "dst": dst, "dst_port": port, "protocol": "TCP", "payload_bytes": 400}
    return [common | {"time": i * 10.0, "window": 502, "tcp_flags": 24} | more for i in range(int(end / 10))]


def capture(*parts: list[Row], source: str = "node.pcap") -> Given:
    ordered = sorted((one for part in parts for one in part), key=lambda one: one["time"])
    return {PACKETS: rows(PACKETS, *ordered, source=source, duplicate=False)}


ADDRESSES = ("10.0.12.33", "10.0.12.34", "10.0.12.35")


def flows(*extra: list[Row], port: int = 24224) -> Given:
    return capture(*(sends(one, STOPS if one == ADDRESSES[2] else END, port) for one in ADDRESSES), *extra)


@pytest.mark.parametrize("port", [9200, 24224, 3100])
def test_fires_on_a_sender_to_a_sink(port: int) -> None:
    [finding] = run(DETECTOR, flows(port=port))
    assert finding.subject == "10.0.12.35"
    assert figures(finding)["packets before"] == 120
    assert figures(finding)["packets expected meanwhile"] == 242
    assert finding.variant == "sender to a log sink"


def test_keep_alives_are_no_speech_and_the_sinks_trouble_is_told() -> None:
    alive = [one | {"payload_bytes": 1} for one in sends("10.0.12.35")[121:]]
    back = {"src": "10.0.12.60", "src_port": 9200, "dst": "10.0.12.35", "dst_port": 40_000}
    closed = [back | {"time": 1195, "protocol": "TCP", "window": 0, "payload_bytes": 0, "tcp_flags": 16}]
    answer = back | {"time": 1100, "response": True, "status": 429}
    frames = flows([one | {"dst_port": 9200} for one in alive], closed, port=9200)
    frames |= {HTTP_MESSAGES: rows(HTTP_MESSAGES, answer, source="node.pcap", duplicate=False)}
    [finding] = run(DETECTOR, frames)
    told = figures(finding)
    assert (told["answers 429 before"], told["closed windows of the sink"]) == (1, 1)
    assert told["packets without data meanwhile"] == 239
    assert finding.confidence is Confidence.HIGH


def test_a_log_service_is_known_by_its_name_in_tls() -> None:
    hello = {"server": "192.0.2.7", "server_port": 443, "sni": "logs.us-east-1.amazonaws.com", "time": 0}
    frames = flows(port=443)
    frames = {PACKETS: frames[PACKETS].with_columns(dst=pl.lit("192.0.2.7"))}
    assert len(run(DETECTOR, frames | {TLS_CLIENT_HELLOS: rows(TLS_CLIENT_HELLOS, hello)})) == 1
    with pytest.raises(NotObservable):
        run(DETECTOR, frames | {TLS_CLIENT_HELLOS: rows(TLS_CLIENT_HELLOS, hello | {"sni": "api.example.com"})})


def test_silent_on_a_shipper_whose_successor_sends_from_another_address() -> None:
    frames = flows(sends("10.0.12.99")[125:])
    assert run(DETECTOR, frames) == []
    assert remarks(DETECTOR, frames)[0].endswith("another address began to send in its place. Not counted.")


def test_silent_on_the_cured_node() -> None:
    assert run(DETECTOR, given(incident(stops=END))) == []


def test_unrelated_rows_change_nothing_and_without_the_evidence_there_is_no_finding() -> None:
    noise = [{"time": i * 7.0, "host": "x", "component": "etcd", "message": "y", "text": "y"} for i in range(500)]
    whole = pl.concat([incident(), rows(KLOG_LINES, *noise, source="etcd.log")])
    assert [f.impact for f in run(DETECTOR, given(whole))] == [f.impact for f in run(DETECTOR, given(incident()))]
    assert run(DETECTOR, given(incident().filter(pl.col("host") != SILENT))) == []


def test_silent_on_no_rows_and_without_a_peer() -> None:
    nothing = {table: empty(table).lazy() for table in (KLOG_LINES, KERNEL_MESSAGES, PACKETS)}
    for frames in (nothing, given(log(lines(SILENT, STOPS)))):
        with pytest.raises(NotObservable):
            run(DETECTOR, frames)


def test_the_fact_counts_records_by_second() -> None:
    twice = [one | {"time": one["time"] + 0.5} for one in lines(SILENT, 20)]
    fact = frames_for([LOG_EMISSIONS], given(log(lines(SILENT, 20), twice)))[LOG_EMISSIONS].collect()
    assert fact.select("time", "number", "records").rows() == [(at(0), 1, 2), (at(10), 3, 2)]


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (KLOG_LINES, '"Shutdown manager detected new shutdown event, isolating further" event="shutdown"'),
        (KERNEL_MESSAGES, "reboot: Power down"),
    ],
)
@pytest.mark.parametrize(("before", "host", "silent"), [(4, SILENT, True), (4, HOSTS[0], False), (900, SILENT, False)])
def test_silent_on_a_node_that_says_that_it_goes_down(
    table: Table, text: str, before: float, host: str, silent: bool
) -> None:
    said = rows(table, {"time": STOPS - before, "host": f"{host}.ec2.internal", "text": text}, source="last.log")
    frames = given(incident())
    frames[table] = pl.concat([frames[table], said]) if table in frames else said
    assert (run(DETECTOR, frames) == []) is silent
    assert (f"{SILENT} (kubelet)" in "".join(remarks(DETECTOR, frames))) is silent
