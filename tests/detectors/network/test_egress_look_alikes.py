"""A peer that stops answering: what it is called, what only looks like it, and captures on both sides of a NAT."""

from __future__ import annotations

import polars as pl
import pytest

from analyzer.detectors.network.egress_identity_change import DETECTOR
from analyzer.frames import AUDIT_EVENTS, DNS_ANSWERS, PACKETS
from analyzer.model import Confidence
from tests.build import remarks, rows, run
from tests.detectors.network.peers import (
    CLIENTS,
    PEER,
    TURN,
    Given,
    answer,
    bad,
    by,
    figures,
    given,
    good,
    others,
)
from tests.detectors.network.ways import OTHER, POD, Row, capture, connection, packet


def aliased(time: float, target: str, value: str, number: int) -> list[Row]:
    """A name whose answer is an alias and the address of its target, in one message."""
    same = {"time": time, "number": number, "protocol": "dns"}
    return [
        same | {"position": 1, "rtype": "CNAME", "name": "db.example.net", "value": target},
        same | {"position": 2, "rtype": "A", "name": target, "value": value},
    ]


def test_silent_on_a_peer_whose_name_has_another_alias_since() -> None:
    """A managed database fails over: the name's alias is another instance now, which has an address of its own."""
    answers = [*aliased(5, "i1.example.net", PEER, 7), *aliased(310, "i2.example.net", "203.0.113.150", 9)]
    whole = given(good(), bad(), others()) | {DNS_ANSWERS: rows(DNS_ANSWERS, *answers, source="node.pcap")}
    assert run(DETECTOR, whole) == []
    [text] = remarks(DETECTOR, whole)
    assert "its name db.example.net is answered with 203.0.113.150 since" in text


def test_a_pool_whose_addresses_take_turns_has_not_moved_and_another_family_says_nothing() -> None:
    turns = [answer(5, PEER), answer(6, "203.0.113.141"), answer(310, "203.0.113.141")]
    six = [answer(5, PEER), answer(310, "2001:db8::9") | {"rtype": "AAAA"}]
    for told in (turns, six):
        whole = given(good(), bad(), others()) | {DNS_ANSWERS: rows(DNS_ANSWERS, *told, source="node.pcap")}
        assert len(run(DETECTOR, whole)) == 1


def behind(packets: list[Row]) -> list[Row]:
    """The same packets behind the node's translation, a moment later."""
    ends = ("src", "dst")
    return [
        row | {"time": row["time"] + 0.0002} | {end: "10.0.12.33" if row[end] in CLIENTS else row[end] for end in ends}
        for row in packets
    ]


def test_a_capture_behind_the_translation_as_well_adds_no_attempt_and_no_client() -> None:
    def both(packets: list[Row]) -> Given:
        before, after = capture(packets, source="cni0.pcap"), capture(behind(packets), source="eth0.pcap")
        return {PACKETS: pl.concat([before, after])}

    [finding] = run(DETECTOR, both([*good(), *bad(), *others()]))
    assert (figures(finding)["failed attempts"], figures(finding)["clients"]) == (10, 3)
    assert (figures(finding)["SYN packets"], figures(finding)["seconds waited"]) == (40, 70)
    two = (POD, OTHER)
    assert run(DETECTOR, both([*by(two, good()), *by(two, bad()), *others()])) == []


def test_two_addresses_of_one_network_may_be_one_peer() -> None:
    """Of IPv6 a /48."""
    for peer, second in (("203.0.113.140", "203.0.113.141"), ("2001:db8:5::a", "2001:db8:5:1::b")):
        whole = [*good(server=peer), *bad(server=peer), *good(range(1, TURN, 10), second)]
        whole += [*bad(range(311, 401, 10), second), *others()]
        assert {finding.confidence for finding in run(DETECTOR, given(whole))} == {Confidence.MEDIUM}


@pytest.mark.parametrize(
    ("times", "size", "served"),
    [(range(302, 305), 10, 0), (range(320, 323), 0, 0), (range(320, 323), 10, 1)],
    ids=["what was under way", "bare acknowledgements", "data"],
)
def test_an_older_connection_is_served_where_it_gets_data_well_after_the_turn(
    times: range, size: int, served: int
) -> None:
    older = connection(200, POD, PEER, port=50000, service=5432, data=100, step=2)
    far, near, last = (PEER, 5432), (POD, 50000), older[-1]["ack"]
    answers = [packet(at + 0.5, far, near, 901 + i * size, last, size=size) for i, at in enumerate(times)]
    [finding] = run(DETECTOR, given(good(), bad(), others(), older, answers))
    assert finding.figure("older connections that it still served") == served
    assert finding.confidence is (Confidence.HIGH if served else Confidence.MEDIUM)


def test_an_endpoint_that_was_never_there_says_nothing_of_the_way_out() -> None:
    absent = bad(range(302, 400, 3), "198.51.100.201")
    [finding] = run(DETECTOR, given(good(), bad(), others(), absent))
    assert (finding.figure("of them failed"), finding.confidence) == (0, Confidence.MEDIUM)


def test_what_controllers_write_is_no_change_that_preceded() -> None:
    write = {"stage": "ResponseComplete", "verb": "patch", "code": 200, "namespace": "kube-system", "api_group": "apps"}
    routine = "system:serviceaccount:kube-system:deployment-controller"
    log = rows(
        AUDIT_EVENTS,
        write | {"time": 250, "user": routine, "resource": "replicasets", "name": "aws-node-1", "audit_id": "a"},
        write | {"time": 260, "user": "ann", "resource": "daemonsets", "name": "aws-node", "audit_id": "b"},
        source="audit.log",
    )
    [finding] = run(DETECTOR, given(good(), bad(), others()) | {AUDIT_EVENTS: log})
    assert [row[1] for row in finding.evidence.tables[-1].rows] == ["ann"]


def test_what_failed_before_would_fail_with_the_old_address_too() -> None:
    before = [*bad(range(0, 10, 10)), *good(range(10, 200, 10))]
    [finding] = run(DETECTOR, given(before, bad(range(TURN, 500, 5)), others(range(6, 500, 10))))
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (40, 2)
