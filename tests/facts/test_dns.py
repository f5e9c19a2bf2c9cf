"""Each query once, with what became of it."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import pytest

from analyzer.facts.dns import DNS_ORPHAN_ANSWERS, DNS_TRANSACTIONS
from analyzer.frames import COREDNS_QUERIES, DNS_MESSAGES, PACKETS, Table, empty
from tests.build import frames_for, rows
from tests.lookups import DNS, POD, Row, capture, exchange, log

NAME = "payments.shop.svc.cluster.local"
LATER = exchange(60, "last.example.com", "NOERROR")
"""Something a minute later, so that the end of the capture is far away."""


def transactions(*parts: list[Row]) -> pl.DataFrame:
    return made({DNS_MESSAGES: capture(*parts)})


def made(given: Mapping[Table, pl.LazyFrame]) -> pl.DataFrame:
    return frames_for([DNS_TRANSACTIONS], given)[DNS_TRANSACTIONS].collect()


def test_a_query_is_joined_with_its_answer() -> None:
    [row] = transactions(exchange(0, NAME, "NOERROR", after=0.25, answers=2, negative_ttl=None)).to_dicts()
    assert (row["number"], row["answer_number"]) == (1, 2)
    assert (row["client"], row["server"], row["server_port"]) == (POD, DNS, 53)
    assert (row["rcode"], row["answers"], row["duration_seconds"], row["wire_bytes"]) == ("NOERROR", 2, 0.25, 200)
    assert (row["origin"], row["hop"], row["retry"], row["covered"]) == ("capture", "client", False, False)


def test_a_query_without_an_answer_is_no_reply() -> None:
    [row, _] = transactions(exchange(0, NAME, None), LATER).to_dicts()
    assert (row["rcode"], row["answer_number"], row["duration_seconds"]) == ("NO_REPLY", None, None)


def test_an_answer_after_more_than_five_seconds_comes_too_late() -> None:
    [row, _] = transactions(exchange(0, NAME, "NOERROR", after=5.5), LATER).to_dicts()
    assert row["rcode"] == "NO_REPLY"


@pytest.mark.parametrize(("asked", "rcode"), [(54.9, "NO_REPLY"), (55.5, None)])
def test_a_query_in_the_last_five_seconds_is_open(asked: float, rcode: str | None) -> None:
    frame = transactions(exchange(asked, NAME, None), exchange(0, "x.com", "NOERROR"), exchange(60, "y.com", None))
    assert frame.filter(pl.col("name") == NAME)["rcode"].to_list() == [rcode]


def test_other_packets_tell_where_a_capture_ends() -> None:
    given = {DNS_MESSAGES: capture(exchange(0, NAME, None)), PACKETS: rows(PACKETS, {"time": 9}, source="node.pcap")}
    assert made(given)["rcode"].to_list() == ["NO_REPLY"]


def test_the_answer_of_another_id_name_type_or_socket_is_not_its_answer() -> None:
    query = exchange(0, NAME, None, dns_id=7)
    wrong: list[Row] = [
        {"dns_id": 8},
        {"name": "other.example.com"},
        {"qtype": "AAAA"},
        {"dst_port": 40001},
        {"src": "10.96.0.11"},
        {"transport": "tcp"},
    ]
    answer = exchange(0, NAME, "NOERROR", dns_id=7)[1]
    frame = transactions(query, [answer | one for one in wrong], LATER)
    assert frame.filter(pl.col("name") == NAME)["rcode"].to_list() == ["NO_REPLY"]


def test_two_queries_of_one_socket_and_id_have_an_answer_each() -> None:
    frame = transactions(exchange(0, NAME, "NXDOMAIN", dns_id=7), exchange(10, NAME, "NOERROR", dns_id=7))
    assert frame["rcode"].to_list() == ["NXDOMAIN", "NOERROR"]
    assert frame["answer_number"].to_list() == [2, 4]
    assert frame["retry"].to_list() == [False, False]


def test_two_servers_that_ask_each_other_at_a_time_have_an_answer_each() -> None:
    """The same sockets, id and name: nothing but the direction tells the two questions apart."""
    one = exchange(0, NAME, "NXDOMAIN", client=POD, server=DNS, port=53, dns_id=7, after=0.2)
    other = exchange(0.1, NAME, "NOERROR", client=DNS, server=POD, port=53, dns_id=7, after=0.4)
    frame = transactions(one, other)
    assert frame.select("client", "rcode").rows() == [(POD, "NXDOMAIN"), (DNS, "NOERROR")]


def test_a_query_sent_again_before_its_answer_is_a_retry() -> None:
    again = exchange(2.5, NAME, "NOERROR", dns_id=7)
    frame = transactions(exchange(0, NAME, None, dns_id=7), again, LATER).filter(pl.col("name") == NAME)
    assert frame["retry"].to_list() == [False, True]
    assert frame["rcode"].to_list() == ["NO_REPLY", "NOERROR"]


def test_a_retry_and_its_first_try_may_both_be_answered() -> None:
    first, second = (
        exchange(0, NAME, "NOERROR", dns_id=7, after=3.0),
        exchange(2.5, NAME, "NOERROR", dns_id=7, after=0.7),
    )
    frame = transactions(first, second)
    assert frame["rcode"].to_list() == ["NOERROR", "NOERROR"]
    assert sorted(frame["answer_number"].to_list()) == [3, 4]


def test_a_query_sent_again_after_servfail_is_a_retry() -> None:
    frame = transactions(exchange(0, NAME, "SERVFAIL", dns_id=7), exchange(0.1, NAME, "SERVFAIL", dns_id=7))
    assert frame["retry"].to_list() == [False, True]


def test_copies_of_one_packet_are_left_out() -> None:
    query, answer = exchange(0, NAME, "NOERROR")
    assert transactions([query, query | {"duplicate": True, "time": 0.0001}, answer]).height == 1


def test_an_answer_in_the_next_file_of_a_rotated_capture_is_found() -> None:
    query, answer = exchange(0, NAME, "NOERROR")
    both = pl.concat([capture([query], source="1.pcap"), capture([answer], source="2.pcap")])
    assert made({DNS_MESSAGES: both})["rcode"].to_list() == ["NOERROR"]


def test_two_captures_of_like_queries_at_a_time_keep_their_answers_apart() -> None:
    """Two clusters with the same addresses: the answer that comes first is of the capture that it stands in."""
    one = capture(exchange(0, NAME, "NXDOMAIN", dns_id=7, after=0.2), source="1.pcap")
    other = capture(exchange(0.1, NAME, "NOERROR", dns_id=7, after=0.4), source="2.pcap")
    frame = made({DNS_MESSAGES: pl.concat([one, other])})
    assert frame.sort("source").select("source", "rcode").rows() == [("1.pcap", "NXDOMAIN"), ("2.pcap", "NOERROR")]


def test_a_server_that_asks_for_others_is_upstream() -> None:
    for_pod = exchange(0, "example.com", "NOERROR", after=0.05, server="10.0.0.53")
    for_itself = exchange(0.01, "example.com", "NOERROR", client="10.0.0.53", server="192.0.2.53", after=0.02)
    frame = transactions(for_pod, for_itself)
    assert dict(frame.select("client", "hop").iter_rows()) == {POD: "client", "10.0.0.53": "upstream"}


def test_a_forwarder_behind_a_service_address_is_upstream() -> None:
    for_pods = [exchange(i, f"{i}.example.com", "NOERROR", after=0.05, client=f"10.0.0.{i + 1}") for i in range(3)]
    onwards = [
        exchange(i + 0.01, f"{i}.example.com", "NOERROR", client="10.0.9.9", server="192.0.2.53", after=0.02)
        for i in range(3)
    ]
    hops = dict(transactions(*for_pods, *onwards).select("client", "hop").unique().iter_rows())
    assert hops == {"10.0.0.1": "client", "10.0.0.2": "client", "10.0.0.3": "client", "10.0.9.9": "upstream"}


def test_a_forwarder_whose_upstream_drops_queries_is_upstream_all_the_same() -> None:
    asked = [(i, f"{i}.example.com", "NOERROR" if i < 2 else None) for i in range(6)]
    for_pods = [exchange(i, name, rcode, after=0.05) for i, name, rcode in asked]
    onwards = [
        exchange(i + 0.01, name, rcode, client="10.0.9.9", server="192.0.2.53", after=0.02) for i, name, rcode in asked
    ]
    hops = dict(transactions(*for_pods, *onwards, LATER).select("client", "hop").unique().iter_rows())
    assert hops == {POD: "client", "10.0.9.9": "upstream"}


def test_clients_that_wait_for_one_name_at_one_server_are_no_forwarders() -> None:
    slow = exchange(0, "example.com", "NOERROR", after=0.5)
    quick = exchange(0.1, "example.com", "NOERROR", client="10.0.0.8", after=0.1)
    elsewhere = exchange(5, "other.example.com", "NOERROR", server="10.96.0.11")
    assert set(transactions(slow, quick, elsewhere)["hop"]) == {"client"}


def test_a_log_line_is_a_transaction_at_the_time_of_its_query() -> None:
    [row] = made({COREDNS_QUERIES: log(exchange(3, NAME, "NXDOMAIN", after=0.5))}).to_dicts()
    assert (row["time"].second, row["answered"].microsecond, row["duration_seconds"]) == (3, 500_000, 0.5)
    assert (row["origin"], row["server"], row["wire_bytes"]) == ("log", None, 200)


def test_the_loop_probe_of_coredns_is_left_out() -> None:
    probe = exchange(0, "6233371635671670559.7516366661702820294", "NXDOMAIN", qtype="HINFO")
    assert made({COREDNS_QUERIES: log(probe, exchange(1, NAME, "NOERROR"))})["name"].to_list() == [NAME]


def test_a_query_in_capture_and_log_counts_once_and_the_capture_counts() -> None:
    parts = [exchange(i, f"{i}.example.com", "NOERROR") for i in range(3)]
    frame = made(
        {DNS_MESSAGES: capture(*parts), COREDNS_QUERIES: log(*parts, exchange(9, "more.example.com", "NOERROR"))}
    )
    assert frame.group_by("origin").agg(pl.col("covered").sum()).sort("origin").rows() == [("capture", 0), ("log", 3)]
    assert frame.filter(~pl.col("covered")).height == 4


def test_answers_without_a_query_are_orphans() -> None:
    lost = exchange(1, "lost.example.com", "NOERROR")[1:]
    twice = exchange(2, NAME, "NOERROR", dns_id=7)
    given = {DNS_MESSAGES: capture(lost, twice, [twice[1] | {"time": 2.5}])}
    orphans = frames_for([DNS_ORPHAN_ANSWERS], given)[DNS_ORPHAN_ANSWERS].collect()
    assert orphans["number"].to_list() == [1, 4]
    assert orphans["name"].to_list() == ["lost.example.com", NAME]


def test_an_answer_without_a_question_belongs_to_the_query_of_its_socket_and_id() -> None:
    query, answer = exchange(0, NAME, "FORMERR", dns_id=7)
    other = exchange(0.0005, "other.example.com", None, dns_id=8)
    bare = answer | {"name": None, "qtype": None}
    frame = transactions([query, bare], other, [bare | {"time": 20.0}], LATER)
    told = dict(frame.select("name", "rcode").iter_rows())
    assert (told[NAME], told["other.example.com"]) == ("FORMERR", "NO_REPLY")
    given = {DNS_MESSAGES: capture([query, bare], [bare | {"time": 20.0}])}
    assert frames_for([DNS_ORPHAN_ANSWERS], given)[DNS_ORPHAN_ANSWERS].collect()["number"].to_list() == [3]


@pytest.mark.parametrize("protocol", ["mdns", "llmnr"])
def test_questions_to_the_neighbours_are_no_transactions(protocol: str) -> None:
    asked = exchange(0, "printer.local", "NOERROR", protocol=protocol)
    given = {DNS_MESSAGES: capture(asked, asked[1:], LATER)}
    assert made(given)["name"].to_list() == ["last.example.com"]
    assert frames_for([DNS_ORPHAN_ANSWERS], given)[DNS_ORPHAN_ANSWERS].collect().height == 0


def test_no_rows_give_no_transactions() -> None:
    for table in (DNS_MESSAGES, COREDNS_QUERIES):
        assert made({table: empty(table).lazy()}).height == 0
