"""More is sent again to the outside than within the cluster."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.detector import NotObservable
from analyzer.detectors.network.snat_retransmission import DETECTOR
from analyzer.frames import ICMP_ERRORS, PACKETS, Table, empty
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, outcome, remarks, rows, run
from tests.detectors.network.ways import (
    DOUBLING,
    LINEAR,
    OTHER,
    OUTSIDE,
    POD,
    Row,
    capture,
    connection,
    outward,
    packet,
    within,
)

Given = dict[Table, pl.LazyFrame]


def given(*parts: list[Row], source: str = "node.pcap") -> Given:
    return {PACKETS: capture(*parts, source=source)}


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


LOSS = range(0, 50, 4)
"""13 connections of 50: 13 segments of 1,013 that are sent again, of all three servers."""


def test_fires_where_segments_are_lost_to_several_servers_outside_and_none_within() -> None:
    [finding] = run(DETECTOR, given(within(), outward(lost=LOSS)))
    assert (finding.detector, finding.subject, finding.variant) == ("snat-retransmission", POD, "")
    assert finding.summary == (
        "13 of 1,013 segments to the outside in node.pcap were sent again (1.28%; within 0.00%), and 0 of 50 "
        "connections needed another SYN."
    )
    assert finding.impact[0].name == "external share"  # by the first one two results are compared
    assert figures(finding) == {
        "external segments": 1013,
        "external retransmissions": 13,
        "external share": pytest.approx(13 / 1013, abs=1e-6),
        "internal segments": 1000,
        "internal retransmissions": 0,
        "internal share": 0,
        "external connections": 50,
        "external connections with SYN retries": 0,
        "internal connections": 50,
        "internal connections with SYN retries": 0,
        "SYN retries": 0,
        "seconds added": pytest.approx(13 * 0.3),
        "retransmitted bytes": 1300,
        "connections failed": 0,
        "servers affected": 3,
    }
    assert (finding.severity, finding.confidence) == (Severity.MEDIUM, Confidence.MEDIUM)
    assert (finding.start, finding.end) == (at(3.31), at(483.31))
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled, finding.saving.unit) == (13, 0, "segments")
    assert "AWS_VPC_K8S_CNI_EXTERNALSNAT=true" in finding.remedies[0].snippet
    assert finding.verify[0] == (
        "tshark -t a -r node.pcap -Y 'tcp.analysis.retransmission && !tcp.analysis.spurious_retransmission && "
        "ip.addr == 192.0.2.17'"
    )
    kinds, servers = finding.evidence.tables
    assert kinds.rows[0][:4] == ("segments to the outside", 1013, 13, 1.283)
    assert kinds.rows[1] == ("segments within", 1000, 0, 0.0, "0.00% to 0.38%")
    assert servers.rows[0] == ("192.0.2.17", 345, 5, 17, 0, 0)
    assert sum(finding.evidence.series[0].values) == 13
    assert len(finding.evidence.records) == 13


def test_the_records_are_the_retransmissions() -> None:
    packets = capture(within(), outward(lost=LOSS))
    [finding] = run(DETECTOR, {PACKETS: packets})
    quoted = [record.number for record in finding.evidence.records]
    again = packets.filter(pl.col("number").is_in(quoted)).collect()
    key = ["src", "src_port", "dst", "seq", "payload_bytes"]
    assert again.join(packets.collect(), on=key).group_by(key).len()["len"].to_list() == [2] * 13


@pytest.mark.parametrize(("lost", "fires"), [(10, False), (11, True)])
def test_one_in_a_hundred_is_the_threshold_of_the_share(lost: int, fires: bool) -> None:
    assert bool(run(DETECTOR, given(within(100), outward(50, lost=range(lost))))) is fires


@pytest.mark.parametrize(("lost", "fires"), [(3, True), (4, False)])
def test_five_times_what_is_lost_within_is_the_threshold_of_the_ratio(lost: int, fires: bool) -> None:
    inner = [
        row for i in range(100) for row in connection(i * 10, POD, OTHER, port=31000 + i, lost=1 if i < lost else 0)
    ]
    # 1,016 segments outside with 16 lost; within 2,003 or 2,004 with 3 or 4.
    assert (
        bool(
            run(
                DETECTOR,
                given(
                    inner,
                    outward(lost=range(16)),
                ),
                min_ratio=9.0,
            )
        )
        is fires
    )


@pytest.mark.parametrize(("connections", "fires"), [(49, False), (50, True)])
def test_a_thousand_segments_within_are_the_threshold(connections: int, fires: bool) -> None:
    found = outcome(DETECTOR, given(within(connections), outward(lost=LOSS)))
    assert any(isinstance(one, Finding) for one in found) is fires


def test_without_traffic_within_a_remark_says_that_nothing_can_be_compared() -> None:
    [text] = remarks(DETECTOR, given(outward(lost=LOSS)))
    assert text == (
        "1.28% of 1,013 segments to the outside in node.pcap were sent again, but it holds only 0 within the cluster: "
        "nothing says how much the node itself loses."
    )


@pytest.mark.parametrize(("lose", "severity"), [(4, Severity.MEDIUM), (5, Severity.HIGH)])
def test_one_segment_in_twenty_is_the_threshold_of_high(lose: int, severity: Severity) -> None:
    [finding] = run(DETECTOR, given(within(), outward(lost=LOSS, lose=lose)))
    assert finding.severity is severity


def syn_loss(tries: tuple[float, ...], bad: range, **more: Any) -> list[Row]:
    return [
        row
        for i in range(100)
        for row in connection(
            i * 10 + 3,
            POD,
            OUTSIDE[i % 3],
            port=30000 + i,
            tries=tries if i in bad else (),
            data=120,
            step=0.01,
            **more,
        )
    ]


@pytest.mark.parametrize(
    ("tries", "said"),
    [
        (DOUBLING[:3], "1, 3, 7, 15 s (Linux up to 6.4 and others)"),
        (LINEAR, "1, 2, 3, 4, 5, 7, 11 s (Linux since 6.5)"),
        ((1.05,), "one more, after 1 s"),
        ((1.3, 2.6), "otherwise"),
    ],
)
def test_fires_where_only_syns_are_lost_by_the_schedule_of_either_kernel(tries: tuple[float, ...], said: str) -> None:
    inner = within(100)
    [finding] = run(DETECTOR, given(inner, syn_loss(tries, range(15))), min_share=0.1)
    assert figures(finding)["external share"] < 0.1
    assert figures(finding)["external connections with SYN retries"] == 15
    assert figures(finding)["SYN retries"] == 15 * len(tries)
    assert figures(finding)["seconds added"] == pytest.approx(15 * tries[-1])
    assert (said, 15) in finding.evidence.tables[2].rows
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled, finding.saving.unit) == (15, 0, "connections")


def test_a_hundred_connections_are_the_threshold_of_lost_syns() -> None:
    assert run(DETECTOR, given(within(99), syn_loss((1.0,), range(15))), min_share=0.1) == []
    assert len(run(DETECTOR, given(within(100), syn_loss((1.0,), range(15))), min_share=0.1)) == 1


def test_a_syn_lost_beside_another_pods_syn_to_the_same_server_is_a_clash_of_ports() -> None:
    beside = [
        row
        for i in range(100)
        for row in connection(i * 10 + 3.4, OTHER, OUTSIDE[i % 3], port=30000 + i, data=4)
        if i < 15
    ]
    [finding] = run(DETECTOR, given(within(100), syn_loss((1.0,), range(15)), beside))
    assert (finding.variant, finding.confidence) == ("port-clash", Confidence.HIGH)
    assert figures(finding)["SYN retries beside another pod's SYN"] == 15
    assert figures(finding)["of them from the same source port"] == 15
    assert finding.evidence.tables[-1].rows == (
        ("beside another", 30, 15),
        ("of these from the same source port", 30, 15),
        ("alone", 85, 0),
    )


def test_loss_in_one_network_outside_is_told_with_little_confidence() -> None:
    servers = ("192.0.2.17", "192.0.2.18", "192.0.2.19", *OUTSIDE[1:])
    [finding] = run(DETECTOR, given(within(), outward(servers=servers, lost=[i for i in range(50) if i % 5 < 3])))
    assert finding.confidence is Confidence.LOW
    assert figures(finding)["servers affected"] == 3


def test_silent_on_one_lossy_peer() -> None:
    lossy = given(within(), outward(lost=range(0, 50, 3)))
    assert run(DETECTOR, lossy) == []
    [text] = remarks(DETECTOR, lossy)
    assert text == (
        "17 of 1,017 segments to the outside in node.pcap were sent again, 17 of them to or from 192.0.2.17: without "
        "it too few others do, so it is one lossy peer, not the way out of the cluster."
    )


@pytest.mark.parametrize(("servers", "fires"), [(2, False), (3, True)])
def test_three_servers_are_the_threshold_of_peers(servers: int, fires: bool) -> None:
    bad = [i for i in range(50) if i % 3 < servers]
    assert bool(run(DETECTOR, given(within(), outward(lost=bad)))) is fires


def test_silent_on_an_mtu_black_hole_which_has_a_hint_of_its_own() -> None:
    stuck = outward(lost=LOSS, size=1448, times=4)
    assert run(DETECTOR, given(within(), stuck, outward(service=8443))) == []
    [text] = remarks(DETECTOR, given(within(), stuck, outward(service=8443)))
    assert text.startswith("mtu-blackhole: 13 connections in node.pcap to 192.0.2.17, 198.51.100.23, 203.0.113.9 sent")
    assert "large segments 52 times again while small ones arrived" in text


def test_a_router_that_says_so_makes_one_retransmission_enough_for_an_mtu_black_hole() -> None:
    packets = outward(lost=LOSS, size=1448)
    told = [
        {
            "error": "fragmentation needed",
            "quoted_src": row["src"],
            "quoted_src_port": row["src_port"],
            "quoted_dst": row["dst"],
            "quoted_dst_port": row["dst_port"],
        }
        for row in packets
        if row["tcp_flags"] == 0x02
    ]
    whole = given(within(), packets, outward(service=8443))
    assert len(run(DETECTOR, whole)) == 0
    assert remarks(DETECTOR, whole) == []
    [text] = remarks(DETECTOR, whole | {ICMP_ERRORS: rows(ICMP_ERRORS, *told, source="node.pcap")})
    assert text.startswith("mtu-blackhole: 13 connections")


def test_random_loss_of_large_segments_is_no_black_hole() -> None:
    [finding] = run(DETECTOR, given(within(), outward(lost=LOSS, size=1448)))
    assert figures(finding)["external retransmissions"] == 13


def twice(packets: list[Row], after: float, **more: Any) -> list[Row]:
    """With every fifteenth packet that carries data captured again."""
    carrying = [row for row in packets if row["payload_bytes"]]
    return [*packets, *(row | {"time": row["time"] + after} | more for row in carrying[::15])]


@pytest.mark.parametrize(("after", "more"), [(0.04, {}), (0.004, {"ip_id": 0}), (0.004, {"ip_id": None})])
def test_silent_on_packets_that_were_captured_twice(after: float, more: dict[str, Any]) -> None:
    copied = given(within(), twice(outward(), after, **more))
    assert run(DETECTOR, copied) == []
    [text] = remarks(DETECTOR, copied)
    assert text.startswith("node.pcap holds 60 TCP packets to or from the outside twice: the same packet")


def test_silent_where_as_much_is_lost_within() -> None:
    inner = [row for i in range(50) for row in connection(i * 10, POD, OTHER, port=31000 + i, lost=1)]
    assert run(DETECTOR, given(inner, outward(lost=range(50)))) == []


def test_silent_on_clients_outside_whose_own_lines_lose_packets() -> None:
    visitors = [
        row for i in range(60) for row in connection(i * 5, f"203.0.113.{i + 9}", POD, service=8443, lost=3, tries=(1,))
    ]
    assert run(DETECTOR, given(within(), outward(), visitors)) == []


def test_silent_on_servers_that_answer_nobody() -> None:
    knocks = [
        row
        for i in range(90)
        for row in connection(i * 5, POD, f"198.51.100.{100 + i % 5}", port=33000 + i, tries=DOUBLING, answered=False)
    ]
    assert run(DETECTOR, given(within(), outward(), knocks)) == []


def test_silent_on_a_way_out_that_is_down_for_a_while() -> None:
    knocks = [
        row
        for i in range(30)
        for row in connection(600 + i * 5, POD, OUTSIDE[i % 3], port=33000 + i, tries=DOUBLING, answered=False)
    ]
    assert run(DETECTOR, given(within(), outward(), knocks)) == []


def test_connections_that_fail_between_others_are_lost_and_counted() -> None:
    knocks = [
        row
        for i in range(6)
        for row in connection(i * 60 + 5, POD, OUTSIDE[i % 3], port=33000 + i, tries=(1, 3), answered=False)
    ]
    [finding] = run(DETECTOR, given(within(), outward(lost=LOSS), knocks))
    assert figures(finding)["connections failed"] == 6
    assert figures(finding)["SYN retries"] == 12


def test_silent_on_the_cured_cluster() -> None:
    assert run(DETECTOR, given(within(), outward())) == []
    assert remarks(DETECTOR, given(within(), outward())) == []


def test_two_nodes_have_a_finding_each_and_a_rotated_capture_has_one() -> None:
    packets = capture(within(), outward(lost=LOSS))
    moved = packets.with_columns(
        pl.col("seq", "ack") + 5,
        pl.col("src", "dst").str.replace(r"^10\.244\.1\.", "10.244.9."),
        source=pl.lit("other.pcap"),
    )
    found = run(DETECTOR, {PACKETS: pl.concat([packets, moved])})
    assert [finding.subject for finding in found] == [POD, "10.244.9.7"]
    later = packets.with_columns(
        pl.col("time") + pl.duration(seconds=505), pl.col("seq", "ack") + 5, source=pl.lit("node.pcap1")
    )
    [finding] = run(DETECTOR, {PACKETS: pl.concat([packets, later])})
    assert (finding.subject, figures(finding)["external retransmissions"]) == (POD, 26)


def test_a_capture_of_several_pods_is_named_after_their_network() -> None:
    second = [row for i in range(9) for row in connection(i * 9 + 1, OTHER, OUTSIDE[0], port=39000 + i)]
    [finding] = run(DETECTOR, given(within(), outward(lost=range(0, 50, 2)), second))
    assert finding.subject == "10.244.1.0/24"


def test_unrelated_rows_change_nothing_and_without_the_evidence_there_is_no_finding() -> None:
    [alone] = run(DETECTOR, given(within(), outward(lost=LOSS)))
    others = capture(
        [row for i in range(500) for row in connection(i, "203.0.113.77", "192.0.2.99", port=1024 + i, data=1)],
        source="elsewhere.pcap",
    )
    packets = capture(within(), outward(lost=LOSS))
    [beside] = run(DETECTOR, {PACKETS: pl.concat([packets, others])})
    assert (beside.impact, beside.severity, beside.evidence) == (alone.impact, alone.severity, alone.evidence)
    first = pl.struct("src", "src_port", "dst", "seq", "payload_bytes", "tcp_flags").is_first_distinct()
    assert run(DETECTOR, {PACKETS: packets.filter(first | (pl.col("payload_bytes") == 0))}) == []


def test_silent_on_no_rows() -> None:
    with pytest.raises(NotObservable, match="no capture holds 1,000 TCP segments"):
        run(DETECTOR, {PACKETS: empty(PACKETS).lazy()})


def test_a_segment_between_addresses_outside_is_of_neither_kind() -> None:
    transit = [packet(1, ("192.0.2.1", 5), ("198.51.100.1", 6), 1, 1, size=10)]
    [finding] = run(DETECTOR, given(within(), outward(lost=LOSS), transit))
    assert figures(finding)["external segments"] == 1013


def test_of_connections_whose_beginning_is_not_in_the_capture_no_syn_is_told() -> None:
    running = [
        row for row in given(within(), outward(lost=LOSS))[PACKETS].collect().to_dicts() if not row["tcp_flags"] & 2
    ]
    [finding] = run(DETECTOR, {PACKETS: rows(PACKETS, *running, source="node.pcap")}, min_segments=500)
    assert finding.summary.endswith("within 0.00%).")
