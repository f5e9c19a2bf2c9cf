"""The case dns-search-lookalikes: what the recording script did stands in remarks, and in no finding."""

from __future__ import annotations

from tests.cases import result_of


def test_what_walked_is_told_with_the_reason_why_it_is_no_waste() -> None:
    result = result_of("dns-search-lookalikes")
    [told] = [run.remarks for run in result.runs if run.detector == "dns-search-chain"]
    autopath, typos, inside = told
    # Of 40 lookups by each of three pods 30 are for outside names and 10 for ledger.payments, found for A; one of the
    # three outside names has an AAAA record too.
    assert autopath.startswith("autopath is at work: 150 queries of 3 clients")
    # 25 lookups of a mistyped name and 25 of a gone one, 4 domains, A and AAAA.
    assert typos.startswith("400 queries walked search domains for names that exist nowhere")
    assert "(200 of them after the name as it stands)" in typos
    assert "queries were search steps for names that the cluster itself answers" in inside
    # 20 lookups under ndots:2 that found their name under the third domain.
    assert "(80 of them after the name as it stands)" in inside
