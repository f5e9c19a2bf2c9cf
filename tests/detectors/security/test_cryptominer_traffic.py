"""A pod mines cryptocurrency."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.detectors.security.cryptominer_traffic import DETECTOR
from analyzer.frames import AUDIT_ADDRESSES, AUDIT_EVENTS, COREDNS_QUERIES, MINING_MESSAGES, empty
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, remarks, rows, run
from tests.calls import call
from tests.detectors.security.mining import MINER, NAME, POOL, connection, given, hello, lookup, says, session, told


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


def test_fires_where_a_miner_and_a_pool_are_heard() -> None:
    [finding] = run(DETECTOR, given(spoken=session(1, 100, 9), packets=connection(0, 120)))
    assert (finding.detector, finding.subject, finding.variant) == ("cryptominer-traffic", MINER, "stratum")
    assert finding.summary == (
        "10.244.1.17 submitted 9 shares to the mining pool 192.0.2.80:3333 over a connection of 120 s."
    )
    assert figures(finding) == {
        "connections": 1,
        "pods": 1,
        "shares submitted": 9,
        "seconds connected": pytest.approx(120),
        "bytes exchanged": 240,
        "messages of miners": 10,
        "messages of pools": 10,
        "queries for names of pools": 0,
    }
    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.HIGH)
    assert (finding.start, finding.end) == (at(0), at(120))
    assert finding.stories == (34,)
    [miners] = finding.evidence.tables
    assert miners.rows == ((MINER, f"{POOL} port 3333", 1, 120.0, 9, "48edfH...icoD", "XMRig/6.21.0", "rx/0"),)
    assert "NetworkPolicy" in finding.remedies[0].snippet
    assert any("tshark" in command and MINER in command for command in finding.verify)


@pytest.mark.parametrize("method", ["login", "mining.subscribe", "mining.authorize", "eth_submitLogin"])
def test_fires_at_the_threshold_of_one_message_without_the_pools_answer(method: str) -> None:
    [finding] = run(DETECTOR, given(spoken=[says(0, method)], packets=connection(0, 5)))
    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.MEDIUM)
    assert "the pool's answers were not" in finding.confidence_reason


def test_fires_where_only_the_pool_is_heard() -> None:
    [finding] = run(DETECTOR, given(spoken=[says(0, "job", back=True), says(9, "mining.notify", back=True)]))
    assert (finding.subject, finding.confidence) == (MINER, Confidence.HIGH)


def test_fires_on_a_pools_name_in_a_log_with_low_confidence() -> None:
    asked = {"query_time": 1, "client": MINER, "client_port": 4, "dns_id": 7, "name": NAME, "qtype": "A"}
    log = rows(COREDNS_QUERIES, asked | {"rcode": "NOERROR", "duration_seconds": 0.1}, source="coredns.log")
    [finding] = run(DETECTOR, {COREDNS_QUERIES: log})
    assert (finding.variant, finding.severity, finding.confidence) == ("pool-name", Severity.MEDIUM, Confidence.LOW)
    assert finding.summary == f"{MINER} asked for the name of the mining pool {NAME}, once."
    assert figures(finding)["queries for names of pools"] == 1
    assert finding.verify[0] == f"zcat -f < coredns.log | grep -nF -- ' {NAME}. '"


def test_fires_on_a_name_and_the_connection_that_follows() -> None:
    packets = connection(2, 700, port=14433)
    [finding] = run(DETECTOR, given(lookups=lookup(0), answers=[told(0.1)], packets=packets))
    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.MEDIUM)
    assert finding.summary == f"{MINER} held a connection of 700 s to the mining pool {NAME}, known by its name."
    assert figures(finding)["seconds connected"] == pytest.approx(700)


def test_fires_on_a_pools_name_in_a_tls_hello() -> None:
    [finding] = run(DETECTOR, given(hellos=[hello(0.03, "xmr-eu1.nanopool.org")], packets=connection(0, 60, port=443)))
    assert (finding.variant, finding.confidence) == ("pool-name", Confidence.MEDIUM)
    assert figures(finding)["connections"] == 1


def test_pods_that_share_a_pool_are_one_finding_and_two_pools_are_two() -> None:
    other = {"miner": "10.244.1.18"}
    packets = connection(0, 60) + connection(5, 60, client="10.244.1.18")
    [finding] = run(DETECTOR, given(spoken=session(1, 50, 2) + session(6, 50, 3, **other), packets=packets))
    assert (finding.subject, figures(finding)["pods"], figures(finding)["shares submitted"]) == (MINER, 2, 5)
    assert finding.summary.startswith(f"{MINER} and 1 more submitted 5 shares to the mining pool")
    spoken = session(1, 50, 2) + session(6, 50, 3, pool="192.0.2.99", **other)
    two = run(DETECTOR, given(spoken=spoken))
    assert [(one.subject, figures(one)["pods"]) for one in two] == [(MINER, 1), ("10.244.1.18", 1)]


def test_connections_that_overlap_are_counted_once_in_time() -> None:
    packets = connection(0, 100) + connection(50, 100, client_port=40001)
    [finding] = run(DETECTOR, given(spoken=session(1, 50, 1), packets=packets))
    assert figures(finding)["connections"] == 2
    assert figures(finding)["seconds connected"] == pytest.approx(150)


def test_the_finding_says_who_made_the_pod_and_who_ran_commands_in_it() -> None:
    address = {"resource": "pods", "address": MINER, "kind": "pod", "namespace": "shop", "name": "gcc-1", "code": 200}
    address.pop("code")
    owners = rows(AUDIT_ADDRESSES, address | {"time": -60, "kubelet": True, "phase": "Running"}, source="audit.log")
    pod: dict[str, Any] = {
        "api_group": "",
        "resource": "pods",
        "namespace": "shop",
        "name": "gcc-1",
        "source_ip": "203.0.113.66",
    }
    calls = [
        call(-120, verb="create", user="alice", agent="kubectl", audit_id="a", **pod),
        call(-30, verb="get", subresource="exec", user="alice", agent="kubectl", audit_id="b", **pod),
        call(-20, verb="create", user="bob", agent="kubectl", audit_id="c", **(pod | {"name": "other"})),
        call(-10, verb="create", subresource="exec", user="eve", code=403, audit_id="d", **pod),
        call(900, verb="create", subresource="exec", user="the one who looks", audit_id="e", **pod),
    ]
    evidence = {AUDIT_ADDRESSES: owners, AUDIT_EVENTS: rows(AUDIT_EVENTS, *calls, source="audit.log")}
    [finding] = run(DETECTOR, given(spoken=session(1, 50, 1), packets=connection(0, 60)) | evidence)
    [ways] = [table for table in finding.evidence.tables if table.caption.startswith("Who made")]
    assert [row[1:5] for row in ways.rows] == [
        ("shop/gcc-1", "create", "alice", "203.0.113.66"),
        ("shop/gcc-1", "exec", "alice", "203.0.113.66"),
    ]


NAMES = [f"xmr-{place}{number}.nanopool.org" for place in ("eu", "us", "asia") for number in range(1, 5)]


def scan(count: int) -> list[dict[str, Any]]:
    return [row for number, name in enumerate(NAMES[:count]) for row in lookup(number, name, port=41000 + number)]


def test_silent_on_a_scanner_that_resolves_a_list() -> None:
    assert run(DETECTOR, given(lookups=scan(10))) == []
    [said] = remarks(DETECTOR, given(lookups=scan(10)))
    assert said == f"{MINER} asked for 10 names of mining pools and connected to none: it resolves a list"


def test_just_below_the_threshold_of_a_list_it_is_a_finding() -> None:
    [finding] = run(DETECTOR, given(lookups=scan(9)))
    assert (finding.variant, finding.confidence) == ("pool-name", Confidence.LOW)


def test_a_list_and_one_connection_is_no_scan() -> None:
    answers = [told(0.1, NAMES[0])]
    [finding] = run(DETECTOR, given(lookups=scan(10), answers=answers, packets=connection(2, 700)))
    assert finding.severity is Severity.HIGH


def greeted(count: int, **ends: Any) -> list[dict[str, Any]]:
    return [says(number, "mining.subscribe", pool=f"192.0.2.{number + 1}", **ends) for number in range(count)]


def test_silent_on_who_greets_five_servers_and_is_answered_by_none() -> None:
    assert run(DETECTOR, given(spoken=greeted(5))) == []
    assert "greeted 5 servers like a miner" in remarks(DETECTOR, given(spoken=greeted(5)))[0]
    [finding] = run(DETECTOR, given(spoken=greeted(4)))
    assert finding.confidence is Confidence.MEDIUM


def test_silent_on_a_scan_from_outside() -> None:
    spoken = [says(0, "mining.subscribe", miner="203.0.113.66", pool="10.244.1.9")]
    assert run(DETECTOR, given(spoken=spoken)) == []
    assert "a scan, and no mining" in remarks(DETECTOR, given(spoken=spoken))[0]


LONG = connection(0, 800, port=14444, pushes=60)


def test_silent_on_a_port_that_pools_like_and_no_more_than_a_remark() -> None:
    assert run(DETECTOR, given(packets=LONG)) == []
    [said] = remarks(DETECTOR, given(packets=LONG, hellos=[hello(0.03, None, port=14444)]))
    assert f"{MINER} to {POOL} port 14444 for 800 s in TLS without a name (regularity " in said


@pytest.mark.parametrize(
    "packets",
    [
        connection(0, 800, port=8080, pushes=60),
        connection(0, 599, port=14444, pushes=60),
        connection(0, 800, port=14444, pushes=60, size=20000),
        connection(0, 800, port=14444, pushes=60, server="10.0.0.9"),
        connection(0, 800, port=14444),
    ],
    ids=["another port", "too short", "too fast", "inside the cluster", "no pushes"],
)
def test_silent_without_a_word_on_other_connections(packets: list[dict[str, Any]]) -> None:
    assert run(DETECTOR, given(packets=packets)) == []
    assert remarks(DETECTOR, given(packets=packets)) == []


def test_silent_without_a_word_on_a_connection_that_speaks_in_one_burst() -> None:
    """A download to somebody's port 14444: long and slow, and by no clock."""
    burst = connection(0, 20, port=14444, pushes=19)
    assert remarks(DETECTOR, given(packets=[*burst, burst[-1] | {"time": 800}])) == []


def test_a_connection_before_the_name_was_asked_for_is_another() -> None:
    lookups, answers = lookup(100), [told(100.1)]
    [finding] = run(DETECTOR, given(lookups=lookups, answers=answers, packets=connection(2, 60, port=443)))
    assert (figures(finding)["connections"], finding.confidence) == (0, Confidence.LOW)


def test_a_miner_on_both_sides_of_a_translation_is_one() -> None:
    node = "10.0.12.33"
    packets = connection(0, 120) + [row | {"time": row["time"] + 0.0002} for row in connection(0, 120, client=node)]
    [finding] = run(DETECTOR, given(spoken=session(1, 100, 9) + session(1.0002, 100, 9, miner=node), packets=packets))
    assert (finding.subject, figures(finding)["pods"], figures(finding)["shares submitted"]) == (MINER, 1, 9)


def test_silent_on_a_peer_that_every_client_has() -> None:
    """An agent of a platform: prevalence tells it from one pod's miner."""
    packets = [row for n in range(20) for row in connection(n, 800, port=8888, pushes=60, client=f"10.244.1.{n + 20}")]
    assert remarks(DETECTOR, given(packets=packets)) == []


def test_silent_on_a_pools_web_site() -> None:
    names = ("supportxmr.com", "www.nanopool.org", "api.nanopool.org", "2miners.com", "notpool.supportxmr.com.evil.org")
    lookups = [row for n, name in enumerate(names) for row in lookup(n, name, port=41000 + n)]
    assert run(DETECTOR, given(lookups=lookups, hellos=[hello(9, "api.nanopool.org")])) == []


def test_silent_on_an_address_that_another_name_has_too() -> None:
    packets, hellos = connection(2, 60, port=443), [hello(2.03, "www.example.org")]
    [finding] = run(DETECTOR, given(lookups=lookup(0), answers=[told(0.1)], packets=packets, hellos=hellos))
    assert (figures(finding)["connections"], finding.confidence) == (0, Confidence.LOW)


@pytest.mark.parametrize("own", [POOL, f"example.org, {NAME.upper()}."])
def test_silent_on_a_pool_of_ones_own(own: str) -> None:
    evidence = given(spoken=session(1, 50, 2), packets=connection(1, 60), lookups=lookup(0), answers=[told(0.1)])
    assert [one for one in run(DETECTOR, evidence, own_pools=own) if one.variant == "stratum"] == []
    assert "left out" in " ".join(remarks(DETECTOR, evidence, own_pools=own))


def test_silent_without_rows_and_copies_are_no_second_message() -> None:
    assert run(DETECTOR, given()) == []
    assert run(DETECTOR, {MINING_MESSAGES: empty(MINING_MESSAGES).lazy()}) == []
    copies = [row | {"duplicate": True} for row in session(1, 50, 2)]
    assert run(DETECTOR, given(spoken=copies)) == []
    [finding] = run(DETECTOR, given(spoken=session(1, 50, 2) + copies))
    assert figures(finding)["shares submitted"] == 2


def test_five_hundred_other_rows_change_nothing_and_without_the_evidence_it_goes() -> None:
    noise = [row for n in range(500) for row in lookup(n, f"host{n}.example.org", client="10.244.9.9", port=n + 1000)]
    other = connection(0, 90, client="10.244.9.9", server="10.0.0.3", port=5432)
    packets = connection(0, 120)
    [alone] = run(DETECTOR, given(spoken=session(1, 100, 9), packets=packets))
    [beside] = run(DETECTOR, given(spoken=session(1, 100, 9), packets=packets + other, lookups=noise))
    assert (figures(beside), beside.summary, beside.severity) == (figures(alone), alone.summary, alone.severity)
    assert run(DETECTOR, given(packets=packets + other, lookups=noise)) == []


def test_more_groups_than_anybody_reads_are_counted() -> None:
    spoken = [row for n in range(103) for row in session(n, 50, 1, miner=f"10.244.3.{n}", pool=f"192.0.2.{n}")]
    assert len(run(DETECTOR, given(spoken=spoken))) == 100
    assert remarks(DETECTOR, given(spoken=spoken)) == [
        "3 more groups of miners, after the first 100, are not told one by one"
    ]


def test_messages_without_a_time_are_told_without_one() -> None:
    spoken = [row | {"time": None} for row in session(1, 50, 2)]
    [finding] = run(DETECTOR, given(spoken=spoken))
    assert (finding.start, finding.end, figures(finding)["shares submitted"]) == (None, None, 2)
