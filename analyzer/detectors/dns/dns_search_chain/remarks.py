"""Look-alikes that deserve a word, what limits the answer, and how sure it is."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.detector import Remark
from analyzer.detectors.dns.dns_search_chain.walks import Walks, namespaces
from analyzer.model import Confidence

_NAMED = 5

_KINDS = (
    ("typo-walk", "queries walked search domains for names that exist nowhere, as"),
    ("in-cluster-search", "queries were search steps for names that the cluster itself answers, as"),
    ("host-search", "queries were search steps for names found under a host's own domain, as"),
)


def remarks(walks: Walks) -> Iterator[Remark]:
    """Of all clients, with a finding or without one."""
    if walks.filtered:
        yield Remark(
            "the CoreDNS log holds almost no successful answers (class `denial error`?): how many queries there "
            "were in all is not known, so no share of them is told"
        )
    shared = walks.shared()
    for client in shared[:_NAMED]:
        names = ", ".join(namespaces(walks.suffixes.filter(client=client))[:_NAMED])
        yield Remark(
            f"{client} asks for pods of several namespaces or is a cache on the node ({names}): no walk can be "
            "laid to a pod, and what the cache answered was not seen, so its counts are lower bounds"
        )
    if len(shared) > _NAMED:
        yield Remark(
            f"{len(shared) - _NAMED:,} further addresses ask for pods of several namespaces or are such caches"
        )
    yield from _autopath(walks.autopath)
    for kind, text in _KINDS:
        rows = walks.chains.filter(pl.col("kind") == kind)
        if rows.height:
            sums = rows.group_by("base").agg(pl.col("wasted").sum())
            name = sums.sort("wasted", "base", descending=[True, False])
            first = rows.filter("absolute_first")["wasted"].sum()
            turned = f" ({first:,} of them after the name as it stands)" if first else ""
            yield Remark(f"{rows['wasted'].sum():,} {text} {name['base'][0]}{turned}; they are not counted as waste")


def _autopath(answers: pl.DataFrame) -> Iterator[Remark]:
    """One sentence: the server walks for its clients."""
    if answers.is_empty():
        return
    count, clients = answers["answers"].sum(), answers["client"].n_unique()
    name = answers.group_by("base").agg(pl.col("answers").sum()).sort("answers", "base", descending=[True, False])
    seen = "capture" in answers["origin"].to_list()
    proof = "a CNAME to the name itself" if seen else "success, though no pod's name is so long (a log shows no CNAME)"
    yield Remark(
        f"autopath {'is' if seen else 'seems to be'} at work: {count:,} queries of {clients:,} clients under their "
        f"first search domain were answered with {proof}, as for {name['base'][0]}; such lookups walk no search list, "
        "and CoreDNS asks upstream as before"
    )


def confidence(walks: Walks) -> tuple[Confidence, str]:
    if walks.shared():
        return Confidence.LOW, "one address asks for several namespaces: a cache or a node stands in front of the pods"
    if walks.filtered or walks.clients["unseen"].any():
        return Confidence.MEDIUM, "the log leaves answers out: that the names exist is concluded from missing denials"
    if walks.start is None:
        return Confidence.MEDIUM, "the log has no times: queries are ordered by line"
    return Confidence.HIGH, "every step of the walks was seen, in order"
