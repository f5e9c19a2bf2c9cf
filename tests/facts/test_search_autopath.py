"""Answers that finish a client's walk for it."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.facts.search_autopath import DNS_AUTOPATH
from analyzer.frames import COREDNS_QUERIES, DNS_ANSWERS, DNS_MESSAGES, empty
from tests.build import at, frames_for, rows
from tests.lookups import POD, Row, capture, exchange, log

OUTSIDE = "api.example.com"


def alias(name: str, target: str, time: float = 0, **more: Any) -> dict[str, Any]:
    """The first record of an answer."""
    same = {"client": POD, "protocol": "dns", "dns_id": 1, "position": 1, "rtype": "CNAME", "ttl": 5}
    return {"time": time, "name": name, "value": target} | same | more


def found(*records: dict[str, Any]) -> pl.DataFrame:
    asked = capture(*(exchange(row["time"], row["name"], "NOERROR", answers=2) for row in records))
    given = {DNS_MESSAGES: asked, DNS_ANSWERS: rows(DNS_ANSWERS, *records, source="node.pcap")}
    return frames_for([DNS_AUTOPATH], given)[DNS_AUTOPATH].collect()


def found_in_log(*parts: list[Row]) -> pl.DataFrame:
    return frames_for([DNS_AUTOPATH], {COREDNS_QUERIES: log(*parts)})[DNS_AUTOPATH].collect()


def test_a_cname_from_the_first_domain_to_the_name_itself_is_autopath() -> None:
    frame = found(*(alias(f"{OUTSIDE}.shop.svc.cluster.local", OUTSIDE, time=i) for i in range(3)))
    [row] = frame.to_dicts()
    assert (row["client"], row["base"], row["target"]) == (POD, OUTSIDE, OUTSIDE)
    assert (row["origin"], row["answers"], row["time"], row["number"]) == ("capture", 3, at(0), 1)


def test_so_is_one_to_a_name_under_another_domain() -> None:
    frame = found(alias("payments.shop.web.svc.cluster.local", "payments.shop.svc.cluster.local"))
    assert frame["target"].to_list() == ["payments.shop.svc.cluster.local"]
    frame = found(alias("db1.corp.web.svc.k8s.example", "db1.corp.ec2.internal"))
    assert frame["base"].to_list() == ["db1.corp"]


@pytest.mark.parametrize(
    "record",
    [
        alias("api.shop.svc.cluster.local", "api.example.com"),  # a service of type ExternalName
        alias("api.shop.svc.cluster.local", "api.payments.svc.cluster.local"),
        alias("www.example.com", "example.com"),
        alias(f"{OUTSIDE}.shop.svc.cluster.local", OUTSIDE, rtype="A"),
        alias(f"{OUTSIDE}.shop.svc.cluster.local", OUTSIDE, position=2),
        alias(f"{OUTSIDE}.shop.svc.cluster.local", "other.example.com"),
        alias(f"{OUTSIDE}.shop.svc.cluster.local", OUTSIDE, protocol="mdns"),
        alias(f"{OUTSIDE}.shop.svc.cluster.local", OUTSIDE, duplicate=True),
    ],
)
def test_other_aliases_are_not(record: dict[str, Any]) -> None:
    assert found(record).height == 0


def test_a_log_tells_it_by_names_too_long_for_a_pod() -> None:
    frame = found_in_log(
        exchange(0, f"{OUTSIDE}.shop.svc.cluster.local", "NOERROR"),
        exchange(1, f"{OUTSIDE}.shop.svc.cluster.local", "NOERROR", qtype="AAAA"),
        exchange(2, "db-0.db.shop.svc.cluster.local", "NOERROR"),
        exchange(3, "other.example.com.shop.svc.cluster.local", "NXDOMAIN"),
        exchange(4, "_http._tcp.web.shop.svc.cluster.local", "NOERROR", qtype="SRV"),
    )
    assert frame.select("base", "target", "origin", "answers").rows() == [(OUTSIDE, None, "log", 2)]


def test_no_rows_give_no_answers() -> None:
    for table in (DNS_MESSAGES, COREDNS_QUERIES):
        assert frames_for([DNS_AUTOPATH], {table: empty(table).lazy()})[DNS_AUTOPATH].collect().height == 0
