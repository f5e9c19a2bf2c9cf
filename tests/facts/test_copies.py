"""The same query, told twice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl
import pytest

from analyzer.facts.copies import copies
from analyzer.frames import PACKETS, TIME
from tests.build import at, rows

Row = dict[str, Any]


def query(source: str, time: float | None, dns_id: int | None = 1, **more: Any) -> Row:
    return {
        "source": source,
        "number": 1,
        "time": None if time is None else at(time),
        "origin": "capture",
        "server": "10.96.0.10",
        "interface": None,
        "client": "10.0.0.7",
        "client_port": 40000,
        "dns_id": dns_id,
        "name": "example.com",
        "qtype": "A",
    } | more


def covered(found: Iterable[Row], packets: pl.LazyFrame | None = None) -> list[bool]:
    strings = ("source", "origin", "server", "client", "name", "qtype")
    schema = {name: pl.String() for name in strings} | {"time": TIME, "interface": pl.Int32()}
    return copies(pl.DataFrame(list(found), schema_overrides=schema), packets=packets).to_list()


def test_one_input_holds_no_copies() -> None:
    assert covered([query("a", 0, 1), query("a", 1, 2)]) == [False, False]


def test_the_log_is_the_copy_of_the_capture() -> None:
    assert covered([query("a.log", 0, origin="log"), query("z.pcap", 0)]) == [True, False]


def test_the_fuller_capture_counts() -> None:
    rows = [query("a", 0, 1), query("b", 0, 1), query("b", 1, 2)]
    assert covered(rows) == [True, False, False]


def test_clocks_that_disagree_are_aligned() -> None:
    near = [query("pod", i, i) for i in range(5)]
    far = [query("zone", i + 3600, i, origin="log") for i in range(5)]
    assert covered([*near, *far]) == [False] * 5 + [True] * 5


def test_a_socket_and_id_that_come_again_are_another_query() -> None:
    rows = [query("pod", i, i) for i in range(5)] + [query("log", i, i, origin="log") for i in range(5)]
    assert covered([*rows, query("log", 900, 0, origin="log")])[-1] is False


def test_clocks_are_aligned_by_queries_that_each_holds_once() -> None:
    """The log begins later: of what came twice it holds the second alone, which says nothing of its clock."""
    twice = [query("pod", time + i, i) for i in range(2, 5) for time in (0, 100)]
    late = [query("zone", 3600 + 100 + i, i, origin="log") for i in range(2, 5)]
    assert covered([*twice, query("pod", 150, 1), *late, query("zone", 3750, 1, origin="log")])[-4:] == [True] * 4


def test_without_times_the_key_alone_decides() -> None:
    rows = [query("raw", None, 1, origin="log"), query("cri", 0, 1, origin="log"), query("raw", None, 2, origin="log")]
    assert covered(rows) == [True, False, False]


def test_files_that_share_nothing_cover_nothing() -> None:
    assert covered([query("1", 0, 1), query("2", 1, 2)]) == [False, False]


def test_logs_without_ids_are_never_copies() -> None:
    rows = [query("1", 0, origin="log", dns_id=None), query("2", 0, origin="log", dns_id=None)]
    assert covered(rows) == [False, False]


def test_a_query_before_and_after_a_service_address_is_translated_is_one() -> None:
    veth, uplink = query("any", 0, interface=3), query("any", 0.0002, interface=2, server="10.0.0.53")
    assert covered([veth, uplink]) == [False, True]


def test_one_query_to_two_servers_at_one_interface_is_two() -> None:
    other = query("any", 5, 2, interface=2)
    both = [query("any", 0, interface=3), query("any", 0.0002, interface=3, server="10.96.0.11")]
    assert covered([*both, other]) == [False] * 3


@pytest.mark.parametrize(("ttl", "ip_id", "same"), [(63, 9, True), (64, 9, False), (63, 10, False)])
def test_a_capture_without_interfaces_shows_a_translated_query_one_hop_on(ttl: int, ip_id: int, same: bool) -> None:
    both = [query("any", 0, number=1), query("any", 0.0002, number=2, server="10.0.0.53")]
    packets = rows(PACKETS, {"ttl": 64, "ip_id": 9}, {"ttl": ttl, "ip_id": ip_id}, source="any")
    assert covered(both, packets) == [False, same]


def test_a_query_that_is_sent_again_elsewhere_is_no_copy() -> None:
    assert covered([query("any", 0, interface=3), query("any", 0.02, interface=2, server="10.96.0.11")]) == [False] * 2


def test_cost_stays_linear_where_all_queries_are_alike() -> None:
    rows = [query(source, i / 100) for source in ("a", "b") for i in range(20_000)]
    assert sum(covered(rows)) == 20_000


def test_of_many_inputs_that_hold_one_query_one_counts() -> None:
    rows = [query(f"{name}.log", i, i, origin="log") for name in "abcde" for i in range(3)]
    assert covered(rows) == [False] * 3 + [True] * 12


def test_rotations_that_overlap_pairwise_count_each_query_once() -> None:
    held = {"1": range(6), "2": range(4, 10), "3": range(8, 14)}
    rows = [query(name, i, i, origin="log") for name, queries in held.items() for i in queries]
    assert sum(not one for one in covered(rows)) == 14


def test_what_the_input_between_asked_at_another_time_is_no_witness_but_the_first_is() -> None:
    """Inputs of equal size are compared by name: the last one's query is that of the first, not that between."""
    steady = [query(source, i, i) for source in ("1", "2", "3") for i in range(2, 6)]
    rows = [*steady, query("1", 0, 1), query("2", 900, 1), query("3", 0.1, 1)]
    assert covered(rows)[-3:] == [False, False, True]


def test_cost_follows_the_rows_not_the_pairs_of_inputs() -> None:
    rows = [query(f"{source}.log", i, i, origin="log") for source in range(400) for i in range(50)]
    assert sum(covered(rows)) == 399 * 50
