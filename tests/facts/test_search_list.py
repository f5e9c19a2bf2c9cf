"""The search list of a client, from nothing but its queries."""

from __future__ import annotations

import polars as pl

from analyzer.facts.search_list import SEARCH_SUFFIXES
from analyzer.frames import DNS_MESSAGES
from tests.build import frames_for
from tests.lookups import LIST, POD, Row, capture, exchange, walk


def learned(*parts: list[Row]) -> pl.DataFrame:
    given = {DNS_MESSAGES: capture(*parts)}
    return frames_for([SEARCH_SUFFIXES], given)[SEARCH_SUFFIXES].collect()


def suffixes(*parts: list[Row]) -> list[str]:
    return learned(*parts)["suffix"].to_list()


def test_one_walk_tells_the_list_in_its_order() -> None:
    frame = learned(walk(0, "api.example.com"))
    assert frame["suffix"].to_list() == list(LIST)
    assert frame["position"].to_list() == [0, 1, 2, 3]
    assert frame["kind"].to_list() == ["namespace", "services", "cluster", "host"]
    assert frame["namespace"].to_list() == ["shop", None, None, None]


def test_the_top_level_domain_is_not_taken_for_a_namespace() -> None:
    walks = [walk(i, f"{name}.acme.com") for i, name in enumerate("abcdefgh")]
    assert suffixes(*walks, exchange(50, "api.acme.com.svc.cluster.local")) == list(LIST)


def test_the_cluster_domain_need_not_be_cluster_local() -> None:
    domains = ("web.svc.k8s.corp.example", "svc.k8s.corp.example", "k8s.corp.example")
    frame = learned(walk(0, "api.example.com", domains=domains))
    assert frame["suffix"].to_list() == list(domains)
    assert frame["cluster_domain"].to_list() == ["k8s.corp.example"] * 3


def test_the_namespace_of_a_called_service_is_not_the_clients_own() -> None:
    walks = [
        walk(i, f"{name}.shop", domains=("web.svc.cluster.local", "svc.cluster.local"), found_under="svc.cluster.local")
        for i, name in enumerate(("payments", "orders", "carts"))
    ]
    assert suffixes(*walks, walk(9, "api.example.com", domains=("web.svc.cluster.local", *LIST[1:])))[0] == (
        "web.svc.cluster.local"
    )


def test_two_host_domains_keep_their_order() -> None:
    domains = (*LIST[:3], "c.project.internal", "google.internal")
    assert suffixes(*(walk(i, f"{i}.example.com", domains=domains) for i in range(3))) == list(domains)


def test_a_service_that_is_called_like_an_outside_domain_gives_no_host_domain() -> None:
    short = walk(1, "api", found_under="shop.svc.cluster.local")
    assert suffixes(walk(0, "s3.amazonaws.com", domains=LIST[:3]), short, exchange(2, "api.io", "NOERROR")) == list(
        LIST[:3]
    )


def test_an_outside_domain_that_goes_on_from_a_walked_name_is_no_host_domain() -> None:
    walks = [walk(i, name, domains=LIST[:3]) for i, name in enumerate(("a.example.com", "b.example.com", "typo"))]
    assert suffixes(*walks, exchange(9, "typo.io", "NOERROR")) == list(LIST[:3])


def test_each_client_has_its_own_list() -> None:
    other = ("web.svc.cluster.local", *LIST[1:3])
    frame = learned(walk(0, "a.example.com"), walk(1, "a.example.com", domains=other, client="10.0.0.8"))
    assert frame.filter(pl.col("client") == POD)["suffix"].to_list() == list(LIST)
    assert frame.filter(pl.col("client") == "10.0.0.8")["suffix"].to_list() == list(other)


def test_an_address_of_several_pods_has_several_namespaces_at_the_first_place() -> None:
    walks = [
        walk(i, f"{i}.example.com", domains=(f"{namespace}.svc.cluster.local", *LIST[1:]))
        for i, namespace in enumerate(("shop", "shop", "web", "web"))
    ]
    frame = learned(*walks)
    assert frame.filter(pl.col("position") == 0)["namespace"].to_list() == ["shop", "web"]


def test_full_names_alone_tell_no_list() -> None:
    assert (
        suffixes(exchange(0, "payments.shop.svc.cluster.local", "NOERROR"), exchange(1, "example.com", "NOERROR")) == []
    )


def test_autopath_leaves_no_list() -> None:
    assert suffixes(exchange(0, "api.example.com.shop.svc.cluster.local", "NOERROR")) == []
