"""Walks through a search list."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.facts.dns import DNS_TRANSACTIONS
from analyzer.facts.search import SEARCH_CHAINS
from analyzer.frames import COREDNS_QUERIES, DNS_MESSAGES, empty
from tests.build import at, frames_for
from tests.lookups import LIST, POD, Row, capture, exchange, log, walk


def chains(*parts: Iterable[Row]) -> pl.DataFrame:
    return frames_for([SEARCH_CHAINS], {DNS_MESSAGES: capture(*parts)})[SEARCH_CHAINS].collect()


def logged(*parts: Iterable[Row], timed: bool = True) -> pl.DataFrame:
    return frames_for([SEARCH_CHAINS], {COREDNS_QUERIES: log(*parts, timed=timed)})[SEARCH_CHAINS].collect()


def test_one_lookup_is_a_walk_of_a_and_one_of_aaaa() -> None:
    frame = chains(walk(0, "api.example.com", step=0.1))
    assert frame["qtype"].to_list() == ["A", "AAAA"]
    assert frame["lookup"].n_unique() == 1
    row = frame.to_dicts()[0]
    assert (row["client"], row["base"], row["dots"]) == (POD, "api.example.com", 2)
    assert (row["kind"], row["complete"], row["steps"], row["suffixes"]) == ("external", True, 5, 4)
    assert (row["wasted"], row["absolute"], row["wasted_bytes"]) == (4, 1, 800)
    assert row["added_seconds"] == pytest.approx(0.4)
    assert row["wasted_seconds"] == pytest.approx(0.004)
    assert (row["time"], row["end"]) == (at(0), at(0.4))
    assert (row["number"], row["last_number"]) == (1, 17)


def test_an_outside_name_that_ends_like_a_namespace_keeps_all_its_steps() -> None:
    """`api.acme.com.svc.cluster.local` is the second step of api.acme.com, not the first one of api.acme."""
    frame = chains(walk(0, "api.acme.com", qtypes="A"))
    assert frame.select("base", "wasted").rows() == [("api.acme.com", 4)]


def test_lookups_one_after_another_are_told_apart() -> None:
    frame = chains(*(walk(i * 0.02, "api.example.com") for i in range(10)))
    assert frame["lookup"].n_unique() == 10
    assert frame["steps"].to_list() == [5] * 20
    assert frame["complete"].all()
    assert frame["added_seconds"].max() == pytest.approx(0.008)


def test_lookups_of_one_name_that_overlap_are_told_apart() -> None:
    frame = chains(*(walk(i * 0.003, "api.example.com", qtypes="A") for i in range(4)))
    assert frame["steps"].to_list() == [5] * 4
    assert frame["lookup"].n_unique() == 4


def test_interleaved_lookups_of_several_names_are_told_apart() -> None:
    frame = chains(*(walk(i * 0.0005, f"{i}.example.com") for i in range(5)))
    assert sorted(frame["base"].to_list()) == sorted([f"{i}.example.com" for i in range(5)] * 2)
    assert frame["complete"].all()


def test_clients_are_told_apart() -> None:
    frame = chains(walk(0, "a.example.com"), walk(0.0005, "a.example.com", client="10.0.0.8"))
    assert frame.group_by("client").agg(pl.col("wasted").sum()).sort("client").rows() == [(POD, 8), ("10.0.0.8", 8)]


def test_go_asks_from_a_port_of_its_own_each_time() -> None:
    steps = walk(0, "api.example.com", qtypes="A")
    ports = [row | {"src_port" if row["src"] == POD else "dst_port": 40000 + i // 2} for i, row in enumerate(steps)]
    assert chains(ports)["steps"].to_list() == [5]


def test_a_lost_query_breaks_its_own_walk_only() -> None:
    first = walk(0, "api.example.com", qtypes="A")
    without_one = [row for row in first if ".svc.cluster.local" not in row["name"] or "shop" in row["name"]]
    frame = chains(without_one, *(walk(i * 0.02, "api.example.com", qtypes="A") for i in range(1, 6)))
    assert frame["complete"].to_list() == [False] + [True] * 5
    assert frame["wasted"].to_list() == [3] + [4] * 5
    assert frame["added_seconds"].to_list() == pytest.approx([0.008] * 6)


def test_a_lost_first_step_does_not_shift_the_lookups_after_it() -> None:
    first = [
        row for row in walk(0, "api.example.com", qtypes="A") if not row["name"].endswith("shop.svc.cluster.local")
    ]
    frame = chains(first, *(walk(i * 0.02, "api.example.com", qtypes="A") for i in range(1, 6)))
    assert frame["steps"].to_list() == [4] + [5] * 5
    assert frame["complete"].to_list() == [False] + [True] * 5


def test_a_step_that_was_sent_again_is_one_step() -> None:
    name = "api.example.com.shop.svc.cluster.local"
    tries = [exchange(0, name, None, dns_id=7, qtype="A"), exchange(5, name, "NXDOMAIN", dns_id=7, qtype="A")]
    rest = [row | {"time": row["time"] + 5} for row in walk(0, "api.example.com", qtypes="A") if row["name"] != name]
    [row] = chains(*tries, rest).to_dicts()
    assert (row["steps"], row["wasted"], row["complete"]) == (5, 4, True)
    assert row["added_seconds"] == pytest.approx(5.008)


def test_a_walk_waits_for_the_answer_that_the_other_type_lost() -> None:
    """A resolver takes the next step when it has both answers."""
    first, second = walk(0, "api.example.com")[:4], walk(5.002, "api.example.com")[4:]
    lost = exchange(0, f"api.example.com.{LIST[0]}", None, dns_id=9)
    again = exchange(5, f"api.example.com.{LIST[0]}", "NXDOMAIN", dns_id=9)
    frame = chains(first[2:], lost, again, second)
    assert frame.select("qtype", "lookup", "steps", "complete").rows() == [("AAAA", 1, 5, True), ("A", 1, 5, True)]


@pytest.mark.parametrize("ends", ["SERVFAIL", "REFUSED"])
def test_a_walk_that_ends_in_a_servers_failure_is_external(ends: str) -> None:
    assert set(chains(walk(0, "api.example.com", ends=ends))["kind"]) == {"external"}


def test_aaaa_without_records_is_external_like_its_a() -> None:
    rows = [row | {"answers": 0} if row["qtype"] == "AAAA" else row for row in walk(0, "api.example.com")]
    assert chains(rows)["kind"].to_list() == ["external"] * 2


def test_no_record_under_a_domain_is_a_step_too() -> None:
    rows = walk(0, "api.example.com", qtypes="A")
    nodata = [
        row | {"rcode": "NOERROR", "answers": 0} if row["name"].endswith("internal") and row["response"] else row
        for row in rows
    ]
    [row] = chains(nodata).to_dicts()
    assert (row["wasted"], row["kind"], row["complete"]) == (4, "external", True)


def test_a_name_of_the_cluster_is_an_in_cluster_search() -> None:
    frame = chains(
        walk(0, "payments.shop", domains=("web.svc.cluster.local", *LIST[1:]), found_under="svc.cluster.local")
    )
    assert frame.select("kind", "complete", "wasted", "absolute").rows() == [("in-cluster-search", True, 1, 0)] * 2


def test_aaaa_of_a_service_without_one_wastes_no_more_than_its_a() -> None:
    rows = walk(0, "payments.shop", domains=("web.svc.cluster.local", *LIST[1:]), found_under="svc.cluster.local")
    rows = [row | {"answers": 0} if row["qtype"] == "AAAA" and row.get("rcode") == "NOERROR" else row for row in rows]
    frame = chains(rows)
    assert frame.select("kind", "wasted", "complete").rows() == [("in-cluster-search", 1, True)] * 2
    assert frame["found_under"].to_list() == ["svc.cluster.local"] * 2


def test_a_full_name_of_the_cluster_without_its_final_dot_is_no_outside_name() -> None:
    frame = chains(walk(0, "kubernetes.default.svc.cluster.local"))
    assert frame.select("kind", "wasted", "absolute").rows() == [("in-cluster-search", 4, 1)] * 2


def test_one_answer_may_end_lookups_of_three_names() -> None:
    """payments, payments.shop and payments.shop.svc all end at payments.shop.svc.cluster.local."""
    short = walk(0, "payments", found_under="shop.svc.cluster.local")
    longer = walk(0.02, "payments.shop", found_under="svc.cluster.local")
    longest = walk(0.04, "payments.shop.svc", found_under="cluster.local")
    frame = chains(short, longer, longest, walk(0.06, "api.example.com"))
    assert frame.select("base", "steps", "wasted").unique().sort("steps").rows() == [
        ("payments.shop", 2, 1),
        ("payments.shop.svc", 3, 2),
        ("api.example.com", 5, 4),
    ]


def test_a_name_under_a_hosts_own_domain_is_a_host_search() -> None:
    domains = (*LIST[:3], "corp.example")
    walks = [walk(i, f"{i}.example.com", domains=domains) for i in range(2)]
    frame = chains(*walks, walk(5, "db1", domains=domains, found_under="corp.example"))
    assert set(frame.filter(pl.col("base") == "db1")["kind"]) == {"host-search"}


def test_a_name_that_exists_nowhere_is_a_typo_walk() -> None:
    assert set(chains(walk(0, "paymnets", ends="NXDOMAIN"))["kind"]) == {"typo-walk"}


def test_a_name_asked_as_it_stands_first_and_then_searched_is_a_typo_walk() -> None:
    searched = [row for row in walk(0.002, "no.such.host.example.com") if row["name"] != "no.such.host.example.com"]
    first = [row for qtype in ("A", "AAAA") for row in exchange(0, "no.such.host.example.com", "NXDOMAIN", qtype=qtype)]
    assert set(chains(first, searched)["kind"]) == {"typo-walk"}


def test_a_walk_that_the_capture_cuts_off_is_open_unless_its_name_is_known() -> None:
    whole = walk(0, "known.example.com", qtypes="A")
    cut = [row for name in ("known.example.com", "new.example.com") for row in walk(9, name, qtypes="A")[:6]]
    frame = chains(whole, cut)
    assert frame.select("base", "kind", "complete").sort("base", "complete").rows() == [
        ("known.example.com", "external", False),
        ("known.example.com", "external", True),
        ("new.example.com", "open", False),
    ]


def test_a_pause_of_more_than_a_quarter_second_ends_a_walk() -> None:
    for step, whole in ((0.24, True), (0.26, False)):
        frame = chains(walk(0, "api.example.com", step=step, qtypes="A"), walk(60, "b.example.com", qtypes="A"))
        assert (frame.filter(pl.col("base") == "api.example.com")["steps"].to_list() == [5]) is whole


def test_a_slow_server_is_given_three_times_its_time() -> None:
    frame = chains(walk(0, "api.example.com", step=3.9, after=1.0, qtypes="A"))
    assert frame["steps"].to_list() == [5]


def test_queries_of_a_server_for_others_are_no_walks() -> None:
    onwards = walk(0.0001, "api.example.com", client="10.96.0.10", server="192.0.2.53", after=0.0002)
    assert set(chains(walk(0, "api.example.com"), onwards)["client"]) == {POD}


def test_names_without_any_suffix_are_no_walks() -> None:
    assert chains(exchange(0, "nosuch.example.org"), exchange(1, "nosuch.example.org")).height == 0


@pytest.mark.parametrize("timed", [True, False])
def test_a_log_tells_the_same_walks(timed: bool) -> None:
    lookups = [walk(i * 0.02, name) for i, name in enumerate(("a.example.com", "b.example.com", "a.example.com") * 4)]
    seen, read = chains(*lookups), logged(*lookups, timed=timed)
    columns = ["base", "qtype", "kind", "complete", "steps", "wasted", "absolute"]
    assert read.select(columns).sort(columns).rows() == seen.select(columns).sort(columns).rows()
    assert read["lookup"].n_unique() == seen["lookup"].n_unique() == 12
    assert read["time"].is_null().all() is not timed


def test_lines_that_were_written_a_little_late_stay_in_their_walk() -> None:
    """CoreDNS may write the line of the first step after that of the last one."""
    lookups = [walk(i * 0.02, "a.example.com", qtypes="A") for i in range(3)]
    late = [row | {"time": 0.0295} if row["response"] and row["name"].endswith(LIST[0]) else row for row in lookups[1]]
    frame = logged(lookups[0], late, lookups[2])
    assert frame["steps"].to_list() == [5, 5, 5]


def test_a_log_of_denials_alone_shows_outside_names_by_what_is_missing() -> None:
    """With `log . { class denial }` the answer to the name as it stands is never written."""
    rows = chain.from_iterable(walk(i, "api.example.com")[:16] for i in range(3))
    frame = logged(rows)
    assert frame.select("kind", "complete", "wasted").unique().rows() == [("external", True, 4)]


def test_no_rows_give_no_walks() -> None:
    for table in (DNS_MESSAGES, COREDNS_QUERIES):
        assert frames_for([SEARCH_CHAINS], {table: empty(table).lazy()})[SEARCH_CHAINS].collect().height == 0


LABELS = st.lists(st.sampled_from(["a", "shop", "svc", "cluster", "local", "com", "", "x\\.y", "\\000"]), max_size=6)
EXCHANGES = st.lists(
    st.tuples(
        st.floats(0, 2),
        LABELS.map(".".join),
        st.sampled_from(["NXDOMAIN", "NOERROR", "SERVFAIL", None]),
        st.sampled_from(["A", "AAAA"]),
        st.sampled_from([POD, "10.0.0.8"]),
        st.integers(1, 3),
    ),
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(EXCHANGES)
def test_whatever_is_asked_no_query_is_in_two_walks(drawn: list[tuple[float, str, str | None, str, str, int]]) -> None:
    parts = [
        exchange(time, name, rcode, qtype=qtype, client=client, dns_id=dns_id)
        for time, name, rcode, qtype, client, dns_id in drawn
    ]
    given_tables = {DNS_MESSAGES: capture(*parts)}
    found = frames_for([DNS_TRANSACTIONS, SEARCH_CHAINS], given_tables)
    walks, asked = found[SEARCH_CHAINS].collect(), found[DNS_TRANSACTIONS].collect()
    assert asked.height == len(drawn)
    for qtype, client in {(one[3], one[4]) for one in drawn}:
        mine = (pl.col("qtype") == qtype) & (pl.col("client") == client)
        assert walks.filter(mine)["steps"].sum() <= asked.filter(mine, ~pl.col("retry")).height
    assert (walks["wasted"] < walks["steps"] + 1).all()
