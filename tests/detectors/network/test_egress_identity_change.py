"""A peer outside stops answering all clients at once."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.detector import NotObservable
from analyzer.detectors.network.egress_identity_change import DETECTOR
from analyzer.frames import AUDIT_EVENTS, DNS_ANSWERS, ICMP_ERRORS, PACKETS, empty
from analyzer.model import Confidence, Severity
from tests.build import at, remarks, rows, run
from tests.detectors.network.peers import (
    BESIDE,
    CLIENTS,
    PEER,
    TURN,
    answer,
    bad,
    by,
    figures,
    given,
    good,
    others,
)
from tests.detectors.network.ways import (
    ACK,
    OTHER,
    POD,
    RST,
    SYN,
    THIRD,
    Row,
    capture,
    connection,
    packet,
)


def test_fires_where_one_peer_answers_nobody_from_a_moment_on_and_others_go_on() -> None:
    [finding] = run(DETECTOR, given(good(), bad(), others()))
    assert (finding.detector, finding.subject) == ("egress-identity-change", "203.0.113.140:5432")
    assert finding.variant == "no-answer"
    assert finding.summary == (
        "10 of 10 attempts by 3 clients to connect to 203.0.113.140:5432 failed from 09:05:00 UTC on, after 30 that "
        "were answered: either the peer or an allow-list keyed on our egress address."
    )
    assert figures(finding) == {
        "failed attempts": 10,
        "attempts without answer": 10,
        "SYN packets": 40,
        "successes before": 30,
        "clients": 3,
        "clients that were answered before": 3,
        "attempts answered meanwhile": 0,
        "seconds from first to last failed attempt": 97,
        "seconds waited": 70,
        "attempts to other endpoints outside meanwhile": 10,
        "of them failed": 0,
        "older connections that it still served": 0,
    }
    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.MEDIUM)
    assert (finding.start, finding.end) == (at(300), at(397))
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (10, 0)
    assert "--authorized-networks" in finding.remedies[1].snippet
    assert finding.verify[0].startswith("tshark -t a -r node.pcap -Y 'ip.addr == 203.0.113.140 && tcp.port == 5432 &&")
    clients, beside = finding.evidence.tables
    assert clients.rows == ((POD, 10, 4, 0), (OTHER, 10, 3, 0), (THIRD, 10, 3, 0))
    assert beside.rows == ((BESIDE, 5432, 10, 0),)
    failed, answered = finding.evidence.series
    assert (failed.start, failed.step_seconds, len(failed.values)) == (at(0), 5, 80)
    assert (sum(failed.values[:60]), sum(failed.values[60:])) == (0, 10)
    assert (sum(answered.values[:60]), sum(answered.values[60:])) == (30, 0)
    assert len(finding.evidence.records) == 11


def test_the_records_are_the_attempts() -> None:
    packets = capture(good(), bad(), others())
    [finding] = run(DETECTOR, {PACKETS: packets})
    quoted = packets.filter(pl.col("number").is_in([one.number for one in finding.evidence.records])).collect()
    assert quoted["tcp_flags"].to_list() == [SYN] * 11
    assert set(quoted["dst"]) == {PEER}


def refused(times: range) -> list[Row]:
    made = []
    for i, start in enumerate(times):
        near, far = (CLIENTS[i % 3], 32000 + start), (PEER, 5432)
        made.append(packet(start, near, far, 10 + start, 0, flags=SYN))
        made.append(packet(start + 0.01, far, near, 0, 11 + start, flags=RST | ACK))
    return made


def thrown_out(times: range, **last: Any) -> list[Row]:
    """The handshake, what the client says, and the server's last word."""
    made = []
    for i, start in enumerate(times):
        near, far = (CLIENTS[i % 3], 32000 + start), (PEER, 5432)
        made += [
            packet(start, near, far, 10 + start, 0, flags=SYN),
            packet(start + 0.01, far, near, 900 + start, 11 + start, flags=SYN | ACK),
            packet(start + 0.02, near, far, 11 + start, 901 + start, size=200),
            packet(start + 0.03, far, near, 901 + start, 211 + start, **last),
        ]
    return made


@pytest.mark.parametrize(
    ("shape", "variant", "figure"),
    [
        (refused(range(TURN, 400, 10)), "refused", "attempts refused"),
        (thrown_out(range(TURN, 400, 10), flags=RST | ACK), "reset", "attempts reset after the handshake"),
        (thrown_out(range(TURN, 400, 10), size=7, tls_record=21), "tls-alert", "attempts ended by a TLS alert"),
    ],
)
def test_fires_on_refusals_resets_and_tls_alerts_too(shape: list[Row], variant: str, figure: str) -> None:
    [finding] = run(DETECTOR, given(good(), shape, others()))
    assert (finding.variant, figures(finding)[figure]) == (variant, 10)


def test_silent_on_a_server_that_answers_with_data_and_ends_with_an_alert() -> None:
    """close_notify of TLS 1.2 is an alert too."""
    shape = [row | {"payload_bytes": 300} for row in thrown_out(range(TURN, 400, 10), size=7, tls_record=21)]
    assert run(DETECTOR, given(good(), shape, others())) == []


def test_older_connections_that_go_on_tell_that_the_peer_is_alive() -> None:
    older = connection(200, POD, PEER, port=50000, service=5432, data=100, step=2)
    answers = [
        packet(row["time"] + 0.1, (PEER, 5432), (POD, 50000), 901 + i * 10, row["seq"] + 100, size=10)
        for i, row in enumerate(one for one in older if one["src"] == POD and one["payload_bytes"])
    ]
    [finding] = run(DETECTOR, given(good(), bad(), others(), older, answers))
    assert figures(finding)["older connections that it still served"] == 1
    assert (finding.confidence, finding.confidence_reason) == (
        Confidence.HIGH,
        "the peer still serves connections that were open before: 1",
    )


def test_two_peers_that_turn_together_have_a_finding_each_and_their_reason_here() -> None:
    second = "192.0.2.210"
    found = run(
        DETECTOR, given(good(), bad(), good(range(1, TURN, 10), second), bad(range(311, 401, 10), second), others())
    )
    assert [finding.subject for finding in found] == ["203.0.113.140:5432", "192.0.2.210:5432"]
    assert {finding.confidence for finding in found} == {Confidence.HIGH}
    assert found[0].confidence_reason.startswith("192.0.2.210:5432 turned within the same minute")


def test_a_router_that_prohibits_the_traffic_tells_that_the_reason_is_no_outage() -> None:
    told = [
        {
            "time": TURN + 1 + i,
            "error": "administratively prohibited",
            "src": "198.51.100.1",
            "quoted_dst": PEER,
            "quoted_dst_port": 5432,
            "duplicate": i == 3,
        }
        for i in range(4)
    ]
    whole = given(good(), bad(), others()) | {ICMP_ERRORS: rows(ICMP_ERRORS, *told, source="node.pcap")}
    [finding] = run(DETECTOR, whole)
    assert finding.confidence_reason == "198.51.100.1 says that the traffic is prohibited"
    assert figures(finding)["ICMP errors about it"] == 3
    assert finding.evidence.tables[2].rows == (("administratively prohibited", "198.51.100.1", 3),)


def written(time: float, resource: str, name: str, **more: Any) -> Row:
    return {
        "time": time,
        "stage": "ResponseComplete",
        "audit_id": name,
        "verb": "patch",
        "user": "ann@example.com",
        "agent": "kubectl",
        "resource": resource,
        "api_group": "apps",
        "name": name,
        "namespace": "kube-system",
        "code": 200,
    } | more


def test_changes_of_the_half_hour_before_are_listed_the_way_out_first() -> None:
    log = rows(
        AUDIT_EVENTS,
        written(-1600, "daemonsets", "too-early"),
        written(200, "daemonsets", "aws-node"),
        written(290, "deployments", "coordinator"),
        written(301, "daemonsets", "too-late"),
        source="audit.log",
    )
    [finding] = run(DETECTOR, given(good(), bad(), others()) | {AUDIT_EVENTS: log})
    assert finding.summary.endswith("keyed on our egress address; 2 changes preceded it.")
    assert finding.evidence.tables[-1].rows == (
        (100.0, "ann@example.com", "changed", "daemonsets/kube-system/aws-node"),
        (10.0, "ann@example.com", "changed", "deployments/kube-system/coordinator"),
    )
    assert [record.number for record in finding.evidence.records if record.source == "audit.log"] == [2, 3]


def test_the_name_of_the_peer_is_told() -> None:
    answers = rows(DNS_ANSWERS, answer(5, PEER), answer(310, PEER), source="node.pcap")
    [finding] = run(DETECTOR, given(good(), bad(), others()) | {DNS_ANSWERS: answers})
    assert "203.0.113.140:5432 (db.example.net) failed" in finding.summary


def test_silent_on_a_peer_whose_name_is_answered_with_another_address_since() -> None:
    answers = rows(DNS_ANSWERS, answer(5, PEER), answer(310, "203.0.113.141"), source="node.pcap")
    whole = given(good(), bad(), others()) | {DNS_ANSWERS: answers}
    assert run(DETECTOR, whole) == []
    [text] = remarks(DETECTOR, whole)
    assert text == (
        "203.0.113.140:5432 stopped answering at 09:05:00 UTC, and its name db.example.net is answered with "
        "203.0.113.141 since: the peer moved, and clients keep an address that they looked up before."
    )


def test_silent_where_the_way_out_fails_as_a_whole() -> None:
    second = "192.0.2.210"
    down = given(good(), bad(), good(range(1, TURN, 10), second), bad(range(301, 401, 10), second))
    assert run(DETECTOR, down) == []
    [text] = remarks(DETECTOR, down)
    assert text.endswith(
        "1 other endpoint did so too, and nothing outside answered meanwhile: the way out failed as a whole."
    )


@pytest.mark.parametrize(("failing", "fires"), [(1, True), (2, False)])
def test_a_tenth_of_the_other_attempts_is_the_threshold_of_a_disturbed_way_out(failing: int, fires: bool) -> None:
    rest = others(range(5, 305 + (10 - failing) * 10, 10))
    lossy = bad(range(305 + (10 - failing) * 10, 405, 10), BESIDE)
    assert bool(run(DETECTOR, given(good(), bad(range(TURN, 410, 10)), rest, lossy))) is fires


def test_without_other_traffic_outside_there_is_little_confidence() -> None:
    [finding] = run(DETECTOR, given(good(), bad()))
    assert finding.confidence is Confidence.LOW


def test_a_peer_that_comes_back_is_less_severe() -> None:
    [finding] = run(DETECTOR, given(good(), bad(), others(), good(range(400, 500, 10))))
    assert finding.severity is Severity.MEDIUM
    assert figures(finding)["failed attempts"] == 10


@pytest.mark.parametrize(("clients", "fires"), [((POD, OTHER), False), (CLIENTS, True)])
def test_three_clients_are_the_threshold(clients: tuple[str, ...], fires: bool) -> None:
    assert bool(run(DETECTOR, given(good(), by(clients, bad()), others()))) is fires


@pytest.mark.parametrize(("wrong", "fires"), [(1, True), (2, False)])
def test_one_failure_in_twenty_before_is_the_threshold(wrong: int, fires: bool) -> None:
    before = [*bad(range(0, wrong * 10, 10)), *good(range(wrong * 10, 200, 10))]
    assert bool(run(DETECTOR, given(before, bad(), others()))) is fires


@pytest.mark.parametrize(("right", "fires"), [(1, True), (2, False)])
def test_nine_failures_in_ten_after_are_the_threshold(right: int, fires: bool) -> None:
    """Answers in the middle, so that the span is not cut there."""
    middle = range(350, 350 + right * 10, 10)
    after = [*bad(range(300, 350, 10)), *good(middle), *bad(range(350 + right * 10, 400, 10))]
    assert bool(run(DETECTOR, given(good(), after, others()))) is fires


@pytest.mark.parametrize(("seconds", "fires"), [(20, False), (30, True)])
def test_half_a_minute_is_the_threshold_of_the_span(seconds: int, fires: bool) -> None:
    span = bad(range(TURN, TURN + seconds + 1, 5))
    assert bool(run(DETECTOR, given(good(), span, others(range(6, 420, 10))))) is fires


@pytest.mark.parametrize(("count", "fires"), [(4, False), (5, True)])
def test_five_answered_attempts_before_are_the_threshold(count: int, fires: bool) -> None:
    assert bool(run(DETECTOR, given(good(range(0, count * 10, 10)), bad(), others()))) is fires


def test_silent_on_a_server_that_never_answered() -> None:
    assert run(DETECTOR, given(bad(range(0, 400, 10)), others())) == []


def test_silent_on_a_server_within() -> None:
    inner = "10.20.30.40"
    assert run(DETECTOR, given(good(server=inner), bad(server=inner), others())) == []


def test_silent_on_clients_outside_that_are_not_answered() -> None:
    visitors = [
        row
        | {"src": row["src"].replace("10.244.1.", "203.0.113."), "dst": row["dst"].replace("10.244.1.", "203.0.113.")}
        for row in (*good(), *bad())
    ]
    assert run(DETECTOR, given(visitors, others())) == []


def test_silent_on_attempts_at_the_end_of_the_capture_that_have_had_no_time() -> None:
    last = [
        row
        for start in range(6)
        for row in connection(
            TURN + start / 3, CLIENTS[start % 3], PEER, port=33000 + start, service=5432, answered=False
        )
    ]
    assert run(DETECTOR, given(good(), last, others(range(5, TURN, 10))), min_seconds=0.0) == []


def test_silent_on_the_cured_cluster() -> None:
    assert run(DETECTOR, given(good(range(0, 400, 10)), others())) == []
    assert remarks(DETECTOR, given(good(range(0, 400, 10)), others())) == []


def test_unrelated_rows_change_nothing_and_without_the_evidence_there_is_no_finding() -> None:
    [alone] = run(DETECTOR, given(good(), bad(), others()))
    packets = capture(good(), bad(), others())
    elsewhere = capture(
        [row for i in range(500) for row in connection(i, POD, "10.96.3.3", port=1024 + i, data=1)], source="else.pcap"
    )
    [beside] = run(DETECTOR, {PACKETS: pl.concat([packets, elsewhere])})
    assert (beside.impact, beside.evidence, beside.severity) == (alone.impact, alone.evidence, alone.severity)
    assert run(DETECTOR, {PACKETS: packets.filter(pl.col("time") < at(TURN))}) == []


def test_silent_on_no_rows() -> None:
    with pytest.raises(NotObservable, match="beginning of a connection"):
        run(DETECTOR, {PACKETS: empty(PACKETS).lazy()})
