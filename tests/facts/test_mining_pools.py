"""The list of pools' names is data: every line has a source, and web sites are none."""

from __future__ import annotations

import polars as pl
import pytest

from analyzer.facts.mining_pools import FILE, names_pool, pool_zone, pools
from analyzer.facts.public_addresses import is_public


def matches(name: str) -> bool:
    return bool(pl.select(names_pool(pl.lit(name))).item())


def test_every_line_has_a_coin_and_a_source_and_stands_once() -> None:
    hosts = [pool.host for pool in pools()]
    assert len(hosts) == len(set(hosts)) > 30
    assert all(pool.coin and pool.source.startswith("https://") for pool in pools())
    assert "Licence of this file: Apache-2.0" in FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name", ["pool.supportxmr.com", "eu.pool.supportxmr.com", "xmr-eu1.nanopool.org", "donate.v2.xmrig.com"]
)
def test_hosts_at_which_miners_log_in(name: str) -> None:
    assert matches(name)


@pytest.mark.parametrize(
    "name",
    [
        "supportxmr.com",
        "api.nanopool.org",
        "nanopool.org",
        "pool.supportxmr.com.example.org",
        "xmrig.com",
        "donate.xmrig.com",
    ],
)
def test_other_names(name: str) -> None:
    assert not matches(name)


def test_the_zone_of_a_pool() -> None:
    assert pl.select(pool_zone(pl.lit("xmr-eu1.nanopool.org"))).item() == "nanopool.org"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *(("8.8.8.8", True), ("203.0.113.9", True), ("172.32.0.1", True), ("2001:db8::1", True), ("100.128.0.1", True)),
        *(("10.0.0.1", False), ("172.31.0.1", False), ("192.168.1.1", False), ("100.64.0.1", False)),
        *(("127.0.0.1", False), ("169.254.169.254", False), ("fd00::1", False), ("fe80::1", False), ("::1", False)),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert pl.select(is_public(pl.lit(address))).item() is public


def test_what_is_no_host_name_is_no_pool() -> None:
    assert not matches("a'; reboot.pool.supportxmr.com")
