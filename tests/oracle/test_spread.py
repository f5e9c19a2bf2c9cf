"""A fixed spread of public captures against capinfos and tshark; `make oracle` compares them all."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.oracle.__main__ import far_totals
from tests.oracle.checks import Difference, examine
from tests.oracle.corpus import DATA, Entry, entries, spread
from tests.oracle.explained import Explanation, explanations, unexplained
from tests.oracle.theirs import TOOLS, missing_tools

EVERY = entries(DATA)


@pytest.mark.skipif(not EVERY, reason="no captures of public test suites beside the checkout")
@pytest.mark.skipif(bool(missing_tools()), reason=f"{' or '.join(TOOLS)} is not installed")
def test_public_captures_differ_from_wireshark_only_where_it_is_explained() -> None:
    files = [entry.path for entry in spread(EVERY)]
    # Threads are enough: most of the time is tshark's.
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda file: examine(DATA / file, file), files))
    found = [difference for differences in results for difference in differences]
    assert unexplained(found, explanations(), files) == []


def test_every_explanation_is_a_sentence_of_its_own_file_and_kind() -> None:
    known = explanations()
    assert len({(one.file, one.kind) for one in known}) == len(known)
    assert all(one.why.strip().endswith(".") for one in known)
    if EVERY:
        assert {one.file for one in known} <= {entry.path for entry in EVERY}


def test_the_spread_has_every_repository_and_link_type() -> None:
    every = [Entry(f"{repo}/{link}/{n}", repo, link) for repo in "ab" for link in ("x", "y") for n in range(100)]
    chosen = spread(every, 40)
    assert len(set(chosen)) == 40
    assert {(one.repo, one.link) for one in chosen} == {("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")}
    assert chosen == spread(every, 40)


def test_a_difference_without_explanation_and_an_explanation_without_difference_both_count() -> None:
    known = [Explanation("a", "time", 2, "Because."), Explanation("b", "time", 1, "Because.")]
    same = Difference("a", "time", 2, "")
    assert unexplained([same, Difference("b", "time", 1, "")], known, ["a", "b"]) == []
    assert unexplained([same], known, ["a"]) == []
    assert unexplained([same], known, ["a", "b"]) == ["no longer needed: b: time"]
    assert len(unexplained([same, Difference("a", "links", 1, "")], known, ["a"])) == 1
    assert len(unexplained([Difference("a", "time", 3, "")], known, ["a"])) == 1


def test_totals_may_differ_by_one_in_a_hundred() -> None:
    assert far_totals({"tcp: reset": Counter(ours=990, theirs=1000)}) == []
    assert len(far_totals({"tcp: reset": Counter(ours=989, theirs=1000)})) == 1
