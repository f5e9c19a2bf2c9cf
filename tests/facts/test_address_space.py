"""Addresses within and outside, and how sure a share is."""

from __future__ import annotations

import ipaddress

import polars as pl
import pytest

from analyzer.facts.address_owners import ADDRESS_OWNERS
from analyzer.facts.address_space import is_private, with_sides
from analyzer.facts.proportions import wilson
from tests.build import rows

WITHIN = (
    *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.255.255", "127.0.0.1"),
    *("169.254.169.254", "34.118.224.10", "34.118.239.255", "198.19.0.1", "::ffff:10.0.0.1"),
    *("::1", "::", "fc00::1", "fd00:10:244::5", "fe80::1", "febf::1"),
)
OUTSIDE = (
    *("8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "192.169.0.1", "34.118.240.1", "110.0.0.1"),
    *("::ffff:8.8.8.8", "2001:db8::1", "2600:1f18::1", "fec0::1", "::2", "64:ff9b::a00:1"),
)


@pytest.mark.parametrize(("addresses", "private"), [(WITHIN, True), (OUTSIDE, False)])
def test_private_addresses_are_known(addresses: tuple[str, ...], private: bool) -> None:
    assert all(ipaddress.ip_address(one) for one in addresses)
    told = pl.DataFrame({"a": addresses}).select("a", private=is_private(pl.col("a")))
    assert told.filter(pl.col("private") != private)["a"].to_list() == []


def test_public_addresses_of_pods_and_nodes_lie_within_too() -> None:
    owners = rows(
        ADDRESS_OWNERS.table,
        {"address": "192.0.2.7", "kind": "pod"},
        {"address": "192.0.2.8", "kind": "node"},
        {"address": "192.0.2.9", "kind": "service"},
    )
    ends = pl.DataFrame(
        {"client": ["192.0.2.7", "192.0.2.8", "10.0.0.1"], "server": ["192.0.2.9", "10.0.0.1", "8.8.8.8"]}
    )
    assert with_sides(ends, {ADDRESS_OWNERS: owners}).select("client_within", "server_within").rows() == [
        (True, False),
        (True, True),
        (True, False),
    ]
    assert with_sides(ends, {})["client_within"].to_list() == [False, False, True]


@pytest.mark.parametrize(
    ("count", "cases", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (1, 1000, 0.0001765, 0.005643)],
)
def test_the_interval_is_that_of_wilson(count: int, cases: int, low: float, high: float) -> None:
    """Values of R's prop.test without continuity correction."""
    assert wilson(count, cases) == pytest.approx((low, high), abs=1e-4)


def test_without_cases_it_may_be_anything() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
