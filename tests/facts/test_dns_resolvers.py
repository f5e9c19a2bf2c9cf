"""Which resolver a client asks with, by the shape of its queries alone."""

from __future__ import annotations

from random import Random
from typing import Any

import polars as pl
import pytest

from analyzer.facts.dns_resolvers import DNS_RESOLVERS, LEAST, SURE
from analyzer.frames import COREDNS_QUERIES, DNS_MESSAGES
from analyzer.sources.capture import SOURCE as CAPTURE
from analyzer.sources.coredns import SOURCE as COREDNS
from tests.build import frames_for, rows
from tests.cases import CAPTURES
from tests.recordings import needed, read_file
from tests.recordings import read as recorded

POD, SERVER = "10.244.1.7", "10.96.0.10"
MUSL_STEPS = (271, 210, 180, 140, 90, 270, 190, 180, 221, 160)
"""Second id less first id of ten lookups by musl 1.2.3, recorded."""


def query(time: float, qtype: str, port: int, dns_id: int, name: str, answered: float = 0.002) -> list[dict[str, Any]]:
    one = {"protocol": "dns", "transport": "udp", "name": name, "qtype": qtype, "dns_id": dns_id % 65536}
    ask = one | {"time": time, "response": False, "src": POD, "src_port": port, "dst": SERVER, "dst_port": 53}
    back = one | {"time": time + answered, "response": True, "rcode": "NOERROR", "src": SERVER, "src_port": 53}
    return [ask, back | {"dst": POD, "dst_port": port}]


def lookups(kind: str, count: int) -> list[dict[str, Any]]:
    """So many lookups as that resolver makes them."""
    drawn, made = Random(7), list[dict[str, Any]]()
    for i in range(count):
        name, port, first = f"n{i}.example", 40000 + 2 * i, drawn.randrange(65536)
        if kind == "musl":
            made += query(i, "A", port, first, name) + query(i + 1e-5, "AAAA", port, first + MUSL_STEPS[i % 10], name)
        elif kind == "glibc":
            made += query(i, "A", port, first, name) + query(i + 1e-5, "AAAA", port, drawn.randrange(65536), name)
        elif kind == "go":
            order = ("A", "AAAA") if i % 2 else ("AAAA", "A")
            made += query(i, order[0], port, first, name)
            made += query(i + 1e-5, order[1], port + 1, drawn.randrange(65536), name)
        elif kind == "one after the other":
            made += query(i, "A", port, first, name) + query(i + 0.003, "AAAA", port + 1, drawn.randrange(65536), name)
        elif kind == "one socket for all":
            made += query(i, "A", 40000, first, name) + query(i + 1e-5, "AAAA", 40000, drawn.randrange(65536), name)
    return made


def told(*messages: dict[str, Any]) -> dict[str, Any]:
    ordered = sorted(messages, key=lambda row: float(row["time"]))
    frame = frames_for([DNS_RESOLVERS], {DNS_MESSAGES: rows(DNS_MESSAGES, *ordered)})[DNS_RESOLVERS].collect()
    [row] = frame.to_dicts()
    return row


@pytest.mark.parametrize(
    ("kind", "behaviour", "confidence"),
    [
        ("musl", "musl", "high"),
        ("glibc", "glibc", "medium"),
        ("go", "go", "high"),
        ("one after the other", "unknown", "low"),
        ("one socket for all", "unknown", "low"),
    ],
)
def test_each_has_its_shape(kind: str, behaviour: str, confidence: str) -> None:
    row = told(*lookups(kind, SURE))
    assert (row["behaviour"], row["confidence"], row["lookups"]) == (behaviour, confidence, SURE)


@pytest.mark.parametrize("kind", ["musl", "glibc", "go"])
def test_thin_evidence_is_said_to_be_thin(kind: str) -> None:
    assert told(*lookups(kind, LEAST - 1))["behaviour"] == "unknown"
    assert told(*lookups(kind, LEAST))["behaviour"] == kind
    assert told(*lookups(kind, SURE - 1))["confidence"] == "medium"


def test_glibc_is_certain_where_it_asks_again_after_5_s() -> None:
    lost = lookups("glibc", SURE)
    again = query(100, "A", 50000, 77, "lost.example")[:1] + query(105, "A", 50000, 77, "lost.example")
    row = told(*lost, *again)
    assert (row["behaviour"], row["confidence"], row["resent_5s"]) == ("glibc", "high", 1)


def test_several_programs_behind_one_address_are_nobody() -> None:
    other = [row | {"time": row["time"] + 20, "name": f"x{row['name']}"} for row in lookups("go", SURE)]
    row = told(*lookups("glibc", SURE), *other)
    assert row["behaviour"] == "unknown"
    assert "several programs" in row["reasons"]


def test_five_hundred_queries_of_others_change_nothing() -> None:
    ours = lookups("musl", SURE)
    others = [row | {"src": "10.9.9.9"} for row in lookups("glibc", 500) if not row["response"]]
    given = {DNS_MESSAGES: rows(DNS_MESSAGES, *sorted([*ours, *others], key=lambda row: float(row["time"])))}
    frame = frames_for([DNS_RESOLVERS], given)[DNS_RESOLVERS].collect()
    alone = told(*ours)
    [same] = frame.filter(pl.col("client") == POD).to_dicts()
    assert {**same, "number": 0} == {**alone, "number": 0}


def test_a_log_without_ids_tells_nothing() -> None:
    line = {"client": POD, "client_port": 40000, "name": "a.example", "qtype": "A", "query_time": 0}
    given = {COREDNS_QUERIES: rows(COREDNS_QUERIES, line)}
    assert frames_for([DNS_RESOLVERS], given)[DNS_RESOLVERS].collect().is_empty()


@needed
@pytest.mark.parametrize("view", ["any_sll2", "pod_eth"])
@pytest.mark.parametrize(
    ("run", "behaviour"),
    [
        ("search_glibc", "glibc"),
        ("fqdn_glibc", "glibc"),
        ("rcodes_glibc", "glibc"),
        ("truncated_glibc", "glibc"),
        ("upstream_timeout_glibc", "glibc"),
        ("vip_blackhole_glibc", "glibc"),
        ("search_go", "go"),
    ],
)
def test_real_resolvers_in_captures(run: str, behaviour: str, view: str) -> None:
    frame = frames_for([DNS_RESOLVERS], recorded(CAPTURE, f"pcap/dns_{run}.{view}.pcap"))[DNS_RESOLVERS].collect()
    assert frame.select("client", "behaviour").rows() == [("10.244.1.17", behaviour)]


@needed
@pytest.mark.parametrize(("run", "behaviour"), [("search_glibc", "glibc"), ("fqdn", "glibc"), ("search_go", "go")])
def test_real_resolvers_in_logs(run: str, behaviour: str) -> None:
    frame = frames_for([DNS_RESOLVERS], recorded(COREDNS, f"dns/{run}.coredns.cri.log"))[DNS_RESOLVERS].collect()
    pods = frame.filter(pl.col("client") == "10.244.1.17")
    assert pods["behaviour"].to_list() == [behaviour]


RECORDED_HERE = {"10.244.33.18": "glibc", "10.244.33.20": "musl", "10.244.33.21": "go"}


def test_names_each_resolver_of_the_recorded_case() -> None:
    """Three real resolvers in captures/dns-search-resolvers, by the capture and by the log."""
    folder = CAPTURES / "dns-search-resolvers"
    for source, name, surely in ((CAPTURE, "node.pcap.gz", True), (COREDNS, "coredns.log", False)):
        frame = frames_for([DNS_RESOLVERS], read_file(source, folder / name))[DNS_RESOLVERS].collect()
        assert dict(frame.select("client", "behaviour").rows()) == RECORDED_HERE
        assert not surely or set(frame["confidence"]) <= {"high", "medium"}


def test_losses_hide_neither_musl_nor_go() -> None:
    path = CAPTURES / "dns-client-timeout-resolvers" / "node.pcap.gz"
    frame = frames_for([DNS_RESOLVERS], read_file(CAPTURE, path))[DNS_RESOLVERS].collect()
    assert frame.select("behaviour", "resent_2_5s").rows() == [("musl", 4), ("go", 0)]
