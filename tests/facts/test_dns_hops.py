"""What a server asked in turn for each query of a client: one capture with both hops, two inputs, doubtful cases."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.facts.dns_hops import DNS_HOPS
from analyzer.frames import COREDNS_QUERIES, DNS_MESSAGES, Table
from analyzer.sources.capture import SOURCE as CAPTURE
from analyzer.sources.coredns import SOURCE as COREDNS
from tests.build import at, frames_for, rows
from tests.recordings import needed
from tests.recordings import read as recorded

POD, OTHER, VIP, COREDNS_NODE, UPSTREAM = "10.244.1.7", "10.244.1.8", "10.96.0.10", "10.0.12.34", "10.0.12.2"
CLIENT = {"protocol": "dns", "transport": "udp", "response": False, "name": "a.example", "qtype": "A", "dns_id": 5}


def asked(time: float, until: float | None, **changed: Any) -> list[dict[str, Any]]:
    """A query of the pod and its answer."""
    one: dict[str, Any] = CLIENT | {"src": POD, "src_port": 40000, "dst": VIP, "dst_port": 53} | changed
    query = one | {"time": time}
    back = one | {"time": until, "response": True, "rcode": "NOERROR", "answers": 1}
    back |= {"src": one["dst"], "src_port": 53, "dst": one["src"], "dst_port": one["src_port"]}
    return [query] if until is None else [query, back]


def turned(time: float, until: float | None, **changed: Any) -> list[dict[str, Any]]:
    """A query of CoreDNS to its upstream, with an id of its own."""
    return asked(time, until, **({"src": COREDNS_NODE, "src_port": 50000, "dst": UPSTREAM, "dns_id": 900} | changed))


def hops(given: dict[Table, pl.LazyFrame]) -> pl.DataFrame:
    return frames_for([DNS_HOPS], given)[DNS_HOPS].collect()


def capture(*messages: list[dict[str, Any]]) -> dict[Table, pl.LazyFrame]:
    flat = sorted((row for part in messages for row in part), key=lambda row: float(row["time"]))
    return {DNS_MESSAGES: rows(DNS_MESSAGES, *flat)}


def test_a_query_that_was_forwarded_and_one_that_was_not() -> None:
    cached = asked(2, 2.001, name="b.example", dns_id=6)
    told = hops(capture(asked(0, 0.010), turned(0.001, 0.008), cached))
    assert told.select("name", "forwarded", "forwarded_at", "upstream", "upstream_rcode").rows() == [
        ("a.example", True, at(0.001), UPSTREAM, "NOERROR"),
        ("b.example", False, None, None, None),
    ]
    first = told.row(0, named=True)
    assert (first["upstream_seconds"], first["own_seconds"]) == (pytest.approx(0.007), pytest.approx(0.003))
    assert (first["same_id"], first["by_order"], first["upstream_queries"]) == (False, False, 1)


def test_coredns_up_to_1_8_4_passes_the_id_on() -> None:
    told = hops(capture(asked(0, 0.010), turned(0.001, 0.008, dns_id=5)))
    assert told["same_id"].to_list() == [True]


def test_by_the_id_each_of_two_waiting_clients_has_its_own() -> None:
    second = asked(0.001, 0.009, src=OTHER, dns_id=6)
    told = hops(capture(asked(0, 0.010), second, turned(0.002, 0.004, dns_id=6), turned(0.003, 0.008, dns_id=5)))
    assert told.select("client", "forwarded_at", "by_order").rows() == [
        (POD, at(0.003), False),
        (OTHER, at(0.002), False),
    ]


def test_without_the_id_the_order_tells_and_says_so() -> None:
    second = asked(0.001, 0.011, src=OTHER, dns_id=6)
    told = hops(capture(asked(0, 0.010), second, turned(0.002, 0.004), turned(0.003, 0.008, dns_id=901)))
    assert told.select("client", "forwarded_at", "by_order").rows() == [
        (POD, at(0.002), True),
        (OTHER, at(0.003), True),
    ]


def test_a_server_that_asks_the_next_one_after_a_timeout() -> None:
    told = hops(capture(asked(0, 2.5), turned(0.001, None), turned(2.001, 2.4, dst="10.0.12.3", dns_id=901)))
    [row] = told.to_dicts()
    assert (row["upstream_queries"], row["upstream"], row["upstream_rcode"]) == (2, "10.0.12.3", "NOERROR")
    assert row["upstream_seconds"] == pytest.approx(2.399)


def test_an_upstream_that_never_answers() -> None:
    servfail = asked(0, 4)
    servfail[1]["rcode"] = "SERVFAIL"
    other = asked(20, 20.001, name="b.example", dns_id=6)
    [row, _] = hops(capture(servfail, turned(0.001, None), other)).to_dicts()
    assert (row["forwarded"], row["rcode"], row["upstream_rcode"]) == (True, "SERVFAIL", "NO_REPLY")
    assert row["upstream_seconds"] is None
    assert row["own_seconds"] is None


def test_a_query_upstream_while_nobody_waits_is_the_servers_own() -> None:
    given = [asked(i, i + 0.010, dns_id=i) for i in range(5)]
    up = [turned(i + 0.001, i + 0.008, dns_id=900 + i) for i in range(5)]
    told = hops(capture(*given, *up, turned(9, 9.001, dns_id=999)))
    assert told["upstream_queries"].to_list() == [1] * 5


def test_the_log_of_coredns_beside_a_capture_of_the_upstream() -> None:
    line = {"client": POD, "client_port": 40000, "dns_id": 5, "name": "a.example", "qtype": "A", "transport": "udp"}
    lines = [line | {"dns_id": i, "query_time": i, "time": i + 0.01, "rcode": "NOERROR"} for i in range(3)]
    lines = [one | {"duration_seconds": 0.01} for one in lines]
    up = [turned(i + 0.001, i + 0.008, dns_id=900 + i) for i in range(3)]
    given = capture(*up) | {COREDNS_QUERIES: rows(COREDNS_QUERIES, *lines, source="coredns.log")}
    told = hops(given)
    assert told.select("origin", "client", "forwarded", "upstream").rows() == [("log", POD, True, UPSTREAM)] * 3


def test_one_hop_alone_tells_nothing() -> None:
    assert hops(capture(asked(0, 0.010))).is_empty()


def test_five_hundred_other_queries_change_nothing() -> None:
    told = hops(capture(asked(0, 0.010), turned(0.001, 0.008)))
    more = [asked(1 + i / 100, 1.005 + i / 100, name=f"n{i}.example", dns_id=i) for i in range(500)]
    assert (
        hops(capture(asked(0, 0.010), turned(0.001, 0.008), *more)).filter(pl.col("name") == "a.example").equals(told)
    )


@needed
@pytest.mark.parametrize("run", ["search_glibc", "search_go", "fqdn_glibc", "rcodes_glibc"])
def test_each_query_upstream_of_a_recording_belongs_to_one_of_a_client(run: str) -> None:
    """CoreDNS 1.13.1: another id, every time. The count is of the packets to the upstream's address."""
    tables = recorded(CAPTURE, f"pcap/dns_{run}.any_sll2.pcap")
    sent = pl.col("dst") == UPSTREAM
    wanted = tables[DNS_MESSAGES].filter(sent, ~pl.col("response"), ~pl.col("duplicate")).collect()
    told = hops(tables).filter(pl.col("forwarded"))
    assert told["upstream_queries"].sum() == told.height == wanted.height > 0
    assert not told["same_id"].any()
    assert (told["upstream_seconds"] <= told["duration_seconds"]).all()


@needed
def test_two_logs_of_a_recording_tell_what_the_capture_tells() -> None:
    both = hops(recorded(COREDNS, "dns/search_glibc.coredns.cri.log", "dns/search_glibc.upstream.cri.log"))
    one = hops(recorded(CAPTURE, "pcap/dns_search_glibc.any_sll2.pcap"))
    key = ["name", "qtype", "client_port"]
    assert (
        both.filter(pl.col("forwarded"))
        .select(key)
        .sort(key)
        .equals(one.filter(pl.col("forwarded")).select(key).sort(key))
    )
    assert both["origin"].unique().to_list() == ["log"]
