"""Pods that were told to stop are still sent new connections."""

from __future__ import annotations

import polars as pl
import pytest

from analyzer.detector import NotObservable
from analyzer.detectors.network.terminating_endpoint_traffic import DETECTOR
from analyzer.frames import AUDIT_EVENTS, DNS_ANSWERS, HTTP_MESSAGES, KLOG_LINES, PACKETS
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, remarks, rows, run
from tests.detectors.network.endings import (
    CLIENT,
    SLICES,
    Given,
    Row,
    address,
    deleted,
    had,
    pod,
    request,
    seen,
    told,
    tried,
)

BEFORE = [tried(50, "b", "answered"), tried(60, "c", "answered")]
FAILED = [
    *(tried(100.5 + i, "b") for i in range(4)),
    *(tried(130.5 + i, "c") for i in range(2)),
    tried(135, "c", "unanswered"),
]
NEW = [tried(101 + i, "d", "answered") for i in range(40)]
PODS = (had("b"), had("c"), had("d"))
DELETED = (deleted(100, "b"), deleted(130, "c"))


def incident(*more: list[Row], extra: tuple[Row, ...] = ()) -> Given:
    return seen(*BEFORE, *FAILED, *NEW, *more) | told(*DELETED, *extra, addresses=PODS)


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


def test_fires_on_connections_that_deleted_pods_refuse() -> None:
    [finding] = run(DETECTOR, incident())
    assert finding.subject == "shop/web"
    assert finding.summary == (
        "7 new connections to 2 pods of shop/web failed up to 5.0 s after they were deleted; a preStop sleep of 5 s "
        "would have saved 7."
    )
    assert figures(finding) == {
        "refused new connections": 6,
        "unanswered new connections": 1,
        "pods": 2,
        "clients": 1,
        "longest time from deletion to a failed connection": 5,
        "successful connections meanwhile": 35,
    }
    assert (finding.start, finding.end) == (at(100), at(135))
    assert (finding.severity, finding.confidence) == (Severity.MEDIUM, Confidence.HIGH)
    first = finding.evidence.records[0]
    assert (first.source, first.number) == ("audit.log", 1)
    assert len(finding.evidence.records) == 8
    assert finding.evidence.tables[0].rows == (
        (pod("c"), address("c"), 2, 1, 0, None, 5.0),
        (pod("b"), address("b"), 4, 0, 0, None, 3.5),
    )
    assert [row[0] for row in finding.evidence.tables[1].rows] == [CLIENT]
    assert sum(finding.evidence.series[0].values) == 7
    assert finding.stories == DETECTOR.stories == (27,)


def test_the_sleep_covers_ninety_nine_of_a_hundred_failures() -> None:
    many = [tried(100.01 + i / 50, "b") for i in range(199)]
    [finding] = run(DETECTOR, seen(*many, tried(110, "b")) | told(*DELETED, addresses=PODS))
    assert finding.saving is not None
    assert finding.saving.fix == "a preStop sleep of 4 s"
    assert (finding.saving.observed, finding.saving.modelled) == (200, 1)
    assert [(one.fix, one.modelled) for one in finding.alternatives] == [("a preStop sleep of 15 s", 0)]
    assert "sleep: {seconds: 4}" in finding.remedies[0].snippet
    assert "terminationGracePeriodSeconds: 34" in finding.remedies[0].snippet
    assert finding.severity is Severity.HIGH


def test_the_gap_to_the_endpoints_is_told_where_a_body_or_the_name_tells_the_slice() -> None:
    write = {"resource": "endpointslices", "verb": "update", "user": SLICES}
    holds = had("b", 40, resource="endpointslices", subresource=None, kubelet=False, number=1)
    by_body = told(
        request(40, name="storefront-x2kbc", **write),
        *DELETED,
        request(103, name="storefront-x2kbc", **write),
        addresses=(*PODS, holds),
    )
    [finding] = run(DETECTOR, seen(*BEFORE, *FAILED) | by_body)
    assert finding.figure("longest delete-to-endpoint gap") == 3
    by_name = request(102, name="web-x2kbc", **write)
    [finding] = run(DETECTOR, incident(extra=(by_name,)))
    assert finding.figure("longest delete-to-endpoint gap") == 2
    [finding] = run(DETECTOR, incident(extra=(request(102, name="cart-x2kbc", **write),)))
    assert "longest delete-to-endpoint gap" not in figures(finding)


@pytest.mark.parametrize("gone", ["away", "ending"])
def test_the_gap_ends_where_the_address_is_no_longer_ready_not_where_another_comes(gone: str) -> None:
    """At 100.3 s a new pod is put into the slice, which still serves the one that was deleted at 100."""
    write = {"resource": "endpointslices", "verb": "update", "user": SLICES, "name": "web-x2kbc"}
    asked = [request(40, **write), *DELETED, request(100.3, **write), request(103, **write)]

    def holds(seconds: float, number: int, letter: str, *, ready: bool = True) -> Row:
        place = {"resource": "endpointslices", "subresource": None, "kubelet": False, "number": number}
        return had(letter, seconds, ready=ready, **place)

    held = [holds(40, 1, "b"), holds(40, 1, "c"), *(holds(100.3, 3, letter) for letter in "bcd")]
    held += [holds(103, 4, "c"), *([holds(103, 4, "b", ready=False)] if gone == "ending" else [])]
    [finding] = run(DETECTOR, seen(*BEFORE, *FAILED) | told(*asked, addresses=(*PODS, *held)))
    assert finding.figure("longest delete-to-endpoint gap") == 3
    unfinished = told(*asked[:-1], addresses=(*PODS, *held[:5]))
    [finding] = run(DETECTOR, seen(*BEFORE, *FAILED) | unfinished)
    assert "longest delete-to-endpoint gap" not in figures(finding)


def test_answers_of_a_gateway_are_counted() -> None:
    def http(seconds: float, status: int | None) -> Row:
        ends = {"src": "10.0.0.5", "src_port": 50000, "dst": CLIENT, "dst_port": 80}
        if status:
            ends = {"src": CLIENT, "src_port": 80, "dst": "10.0.0.5", "dst_port": 50000}
        made: Row = {"time": seconds, "response": status is not None, "status": status, "duplicate": False}
        return made | ends | {"method": None if status else "GET", "path": None if status else "/", "metadata": False}

    messages: list[Row] = []
    for at_, status in ((50, 502), (101, 502), (102, 503), (103, 200), (400, 502)):  # the first and last: another time
        messages += [http(at_, None), http(at_ + 0.2, status)]
    [finding] = run(DETECTOR, incident() | {HTTP_MESSAGES: rows(HTTP_MESSAGES, *messages, source="node.pcap")})
    assert finding.figure("answers 502 to 504 meanwhile") == 2


def test_the_kubelet_and_evictions_tell_of_deletions_too() -> None:
    line = '"SyncLoop DELETE" source="api" pods=["shop/' + pod("b") + '"]'
    klog = rows(KLOG_LINES, {"time": 100, "message": "SyncLoop DELETE", "text": line, "host": "n1"}, source="kubelet")
    given = seen(*BEFORE, *FAILED) | told(request(1, verb="list"), addresses=PODS) | {KLOG_LINES: klog}
    [finding] = run(DETECTOR, given, connections=4)
    assert finding.figure("refused new connections") == 4
    assert finding.evidence.records[0].source == "kubelet"
    evicted = deleted(100, "b", verb="create", subresource="eviction", user="drain", code=201)
    assert run(DETECTOR, seen(*FAILED) | told(evicted, addresses=PODS), connections=4)


@pytest.mark.parametrize(("many", "found"), [(5, 1), (4, 0)])
def test_threshold_of_connections(many: int, found: int) -> None:
    few = [tried(101 + i, "b") for i in range(many)]
    assert len(run(DETECTOR, seen(*few) | told(*DELETED, addresses=PODS))) == found


@pytest.mark.parametrize(("letters", "found"), [("bcd", 1), ("bc", 0)])
def test_threshold_of_pods(letters: str, found: int) -> None:
    one_each = [tried(101, letter) for letter in letters]
    every = [deleted(100, letter) for letter in letters]
    assert len(run(DETECTOR, seen(*one_each) | told(*every, addresses=PODS))) == found


@pytest.mark.parametrize(("window", "found"), [(4.6, 1), (4.4, 0)])
def test_threshold_of_the_window(window: float, found: int) -> None:
    few = [tried(100.5 + i, "b") for i in range(5)]
    assert len(run(DETECTOR, seen(*few) | told(*DELETED, addresses=PODS), window=window)) == found


@pytest.mark.parametrize(("high", "severity"), [(7, Severity.HIGH), (8, Severity.MEDIUM)])
def test_severity_by_failed_connections(high: int, severity: Severity) -> None:
    assert run(DETECTOR, incident(), high_connections=high)[0].severity is severity


def test_what_nobody_answers_is_less_sure() -> None:
    silent = [tried(101 + i, "b", "unanswered") for i in range(6)]
    [finding] = run(DETECTOR, seen(*BEFORE, *silent) | told(*DELETED, addresses=PODS))
    assert (finding.confidence, finding.variant) == (Confidence.MEDIUM, "not answered")


def test_silent_where_the_capture_never_saw_that_address_answer() -> None:
    """A capture of one direction shows every SYN without an answer."""
    silent = [tried(101 + i, "b", "unanswered") for i in range(6)]
    assert not run(DETECTOR, seen(*silent) | told(*DELETED, addresses=PODS))


def test_silent_where_the_capture_ends_before_an_answer_could_come() -> None:
    silent = [tried(199.5 + i / 100, "b", "unanswered") for i in range(6)]
    assert not run(DETECTOR, seen(*BEFORE, *silent, ends=200) | told(*DELETED, addresses=PODS))


def test_two_workloads_and_two_rollouts_are_findings_of_their_own() -> None:
    api = "api-6c9d8f7b5-zz9{}"
    more = (had("f", name=api.format("kq")), had("g", name=api.format("kw")))
    asked = [*DELETED, request(110, name=more[0]["name"]), deleted(800, "d")]
    sent = [*FAILED, *(tried(111 + i, "f") for i in range(5)), *(tried(801 + i, "d") for i in range(5))]
    findings = run(DETECTOR, seen(*sent) | told(*asked, addresses=(*PODS, *more)))
    assert [(one.subject, one.start) for one in findings] == [
        ("shop/web", at(100)),
        ("shop/api", at(110)),
        ("shop/web", at(800)),
    ]


def test_silent_on_probes_from_nodes() -> None:
    node = had("b", address="10.0.12.33", kind="node", namespace=None, name="n1", uid=None, node=None)
    node |= {"resource": "nodes", "subresource": None}
    for prober in ("10.0.12.33", "10.244.3.1"):
        probes = [tried(101 + i, "b", client=prober) for i in range(9)]
        given = seen(*BEFORE, *probes) | told(*DELETED, addresses=(*PODS, node))
        assert not run(DETECTOR, given)
        assert "9 new connections to deleted pods came from nodes or probes" in remarks(DETECTOR, given)[0]


def test_silent_on_probes_by_their_user_agent() -> None:
    probes = [tried(101 + i, "b", client="192.0.2.8") for i in range(9)]
    asks: Row = {"src": "192.0.2.8", "src_port": 1, "dst": address("b"), "dst_port": 8080, "response": False}
    asks |= {"method": "GET", "path": "/", "user_agent": "ELB-HealthChecker/2.0", "metadata": False, "duplicate": False}
    given = seen(*probes) | told(*DELETED, addresses=PODS)
    assert not run(DETECTOR, given | {HTTP_MESSAGES: rows(HTTP_MESSAGES, asks | {"time": 20})})
    other = asks | {"user_agent": "curl/8", "time": 21, "src_port": 2}
    assert run(DETECTOR, given | {HTTP_MESSAGES: rows(HTTP_MESSAGES, asks | {"time": 20}, other)})


def asks(client: str, agent: str | None) -> Row:
    ends: Row = {"src": client, "src_port": 1, "dst": address("b"), "dst_port": 8080, "response": False, "time": 20}
    return ends | {"method": "GET", "path": "/", "user_agent": agent, "metadata": False, "duplicate": False}


@pytest.mark.parametrize(
    ("name", "agent", "found"),
    [("n2", "Mozilla/5.0", 1), ("n2", "kube-probe/1.31", 0), ("n2", None, 0), ("n1", "Mozilla/5.0", 0)],
    ids=["another node hands on", "another node probes", "nobody knows", "the kubelet's own node"],
)
def test_a_node_that_hands_on_what_clients_ask_is_a_client(name: str, agent: str | None, found: int) -> None:
    """A NodePort (externalTrafficPolicy Cluster) translates the client's address to the node's."""
    node = had("b", address="10.0.12.44", kind="node", namespace=None, name=name, uid=None, node=None)
    node |= {"resource": "nodes", "subresource": None}
    sent = [tried(101 + i, "b", client="10.0.12.44") for i in range(9)]
    given = seen(*BEFORE, *sent) | told(*DELETED, addresses=(*PODS, node))
    given |= {HTTP_MESSAGES: rows(HTTP_MESSAGES, asks("10.0.12.44", agent))}
    assert len(run(DETECTOR, given)) == found
    assert len(remarks(DETECTOR, given)) == 1 - found


def test_silent_on_a_pod_that_was_down_before_it_was_deleted() -> None:
    """A crash loop that somebody deletes: it accepted nothing before either, and would not while it sleeps."""
    down = [tried(70 + i, "b") for i in range(3)]
    after = [tried(101 + i, "b") for i in range(9)]
    given = seen(*down, *after) | told(*DELETED, addresses=PODS)
    assert run(DETECTOR, given) == []
    [text] = remarks(DETECTOR, given)
    assert text.startswith("9 new connections to deleted pods failed that had refused connections before")
    assert len(run(DETECTOR, seen(*down, *after, tried(80, "b", "answered")) | told(*DELETED, addresses=PODS))) == 1
    long_ago = [tried(30 + i, "b") for i in range(3)]
    assert len(run(DETECTOR, seen(*long_ago, *after) | told(*DELETED, addresses=PODS))) == 1


def test_silent_on_clients_that_know_the_pod_by_dns() -> None:
    answer = {"client": CLIENT, "name": "db-0.db.shop.svc.cluster.local", "rtype": "A", "value": address("b")}
    given = seen(*(tried(101 + i, "b") for i in range(9))) | told(*DELETED, addresses=PODS)
    given |= {DNS_ANSWERS: rows(DNS_ANSWERS, answer | {"time": 1, "protocol": "dns", "duplicate": False})}
    assert not run(DETECTOR, given)
    assert "headless" in remarks(DETECTOR, given)[0]


def test_silent_on_requests_over_open_connections() -> None:
    opened = tried(90, "b", "answered")
    later = [opened[2] | {"time": 101 + i, "payload_bytes": 10, "seq": opened[2]["seq"] + 10 * i} for i in range(9)]
    given = seen(opened, later) | told(*DELETED, addresses=PODS)
    assert not run(DETECTOR, given)
    assert "1 connection to pods open when these were deleted went on; the pod reset 0" in remarks(DETECTOR, given)[0]


def test_an_address_that_two_pods_are_told_to_have_is_nobodys() -> None:
    both = (had("b"), had("c", 10, address=address("b")), had("b", 20))
    given = seen(*(tried(101 + i, "b") for i in range(9))) | told(deleted(100, "b"), addresses=both)
    with pytest.raises(NotObservable, match="no input tells an address"):
        run(DETECTOR, given)


def test_silent_on_a_container_that_crashed() -> None:
    given = seen(*(tried(101 + i, "d") for i in range(9))) | told(*DELETED, addresses=PODS)
    assert not run(DETECTOR, given)


def test_silent_on_what_goes_to_the_next_owner_of_the_address() -> None:
    reused = had("f", 110, address=address("b"), start_time=110)
    given = seen(*(tried(111 + i, "b") for i in range(9))) | told(*DELETED, addresses=(*PODS, reused))
    assert not run(DETECTOR, given)


def test_silent_on_the_next_pod_of_the_same_name_at_the_same_address() -> None:
    """A StatefulSet's: until it listens it refuses, as every pod does that starts."""
    lives = (had("b", name="web-0", uid="u1"), had("b", 110, name="web-0", uid="u2", start_time=110))
    given = seen(*(tried(111 + i, "b") for i in range(9))) | told(request(100, name="web-0"), addresses=lives)
    assert run(DETECTOR, given) == []
    assert (
        len(
            run(
                DETECTOR,
                seen(*(tried(101 + i, "b") for i in range(8))) | told(request(100, name="web-0"), addresses=lives),
            )
        )
        == 1
    )


def test_silent_on_the_cured_system() -> None:
    cured = [tried(100.5 + i, "b", "answered") for i in range(9)]
    assert not run(DETECTOR, seen(*BEFORE, *cured) | told(*DELETED, addresses=PODS))


def test_silent_on_resets_before_the_deletion() -> None:
    assert not run(DETECTOR, seen(*(tried(80 + i, "b") for i in range(9))) | told(*DELETED, addresses=PODS))


def test_silent_on_no_deletion() -> None:
    bound = deleted(1, "b", verb="create", subresource="binding")
    assert not run(DETECTOR, seen(*FAILED) | told(bound, addresses=PODS))


def test_not_observable_where_nothing_is_told_of_pods() -> None:
    other = request(1, verb="list", resource="nodes", namespace=None, name=None)
    with pytest.raises(NotObservable, match="anything of the life of a pod"):
        run(DETECTOR, seen(*FAILED) | told(other, addresses=PODS))


def test_not_observable_where_no_address_is_told() -> None:
    with pytest.raises(NotObservable, match="2 pods deleted, and no input tells an address"):
        run(DETECTOR, seen(*FAILED) | told(*DELETED, addresses=(had("d"),)))


def test_a_packet_before_and_after_a_translation_counts_once() -> None:
    """To the Service's address, and a moment later to the pod's: the first one is left out of tcp_connections."""
    twice = []
    for i in range(5):
        leg = tried(101 + i, "b")
        vip = [row | {"time": row["time"] - 0.0001} for row in tried(101 + i, "b", to="10.96.0.7")]
        vip = [row | {key: leg[n][key] for key in ("seq", "ack")} for n, row in enumerate(vip)]
        vip = [row | {key: leg[n][key] for key in ("src_port", "dst_port")} for n, row in enumerate(vip)]
        twice += [vip, leg]
    [finding] = run(DETECTOR, seen(*twice) | told(*DELETED, addresses=PODS))
    assert finding.figure("refused new connections") == 5


@pytest.mark.parametrize("name", ["a;b-5d9c7f6b8-x2kbb", "$(id)-5d9c7f6b8-x2kbb"])
def test_a_name_that_is_not_well_formed_is_not_written_into_a_command(name: str) -> None:
    bad = told(request(100, name=name), addresses=(had("b", name=name),))
    [finding] = run(DETECTOR, seen(*(tried(101 + i, "b") for i in range(5))) | bad)
    assert name not in "".join(finding.verify)
    assert "- name: app\n" in finding.remedies[0].snippet


def test_without_the_evidence_the_finding_goes_and_other_rows_change_nothing() -> None:
    given = incident()
    [finding] = run(DETECTOR, given)
    assert not run(DETECTOR, seen(*BEFORE, *NEW) | told(*DELETED, addresses=PODS))
    bound = deleted(1, "b", verb="create", subresource="binding")
    assert not run(DETECTOR, given | told(bound, addresses=PODS))
    noise = [row for i in range(250) for row in tried(300 + i, "m", "answered", f"10.9.{i}.1", "10.1.1.1")]
    packets = rows(PACKETS, *[row | {"number": 5000 + n} for n, row in enumerate(noise)], source="node.pcap")
    quiet = [request(300 + i, verb="list", name=None, audit_id=f"n{i}", number=1000 + i) for i in range(500)]
    events = rows(AUDIT_EVENTS, *quiet, source="audit.log")
    [again] = run(
        DETECTOR,
        given
        | {PACKETS: pl.concat([given[PACKETS], packets]).sort("time")}
        | {AUDIT_EVENTS: pl.concat([given[AUDIT_EVENTS], events])},
    )
    assert again == finding
