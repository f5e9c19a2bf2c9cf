"""The parts of the page that answer a team's questions: who is touched, who asked, what a check looks for."""

from __future__ import annotations

import re
from functools import cache

from msgspec.structs import replace

from analyzer.model import Caller, Column, Entity, EvidenceTable, Finding, Result
from analyzer.render.html import render_html
from analyzer.render.league import league
from analyzer.render.limits import Budget
from analyzer.render.terms import TERMS, sections, terms
from analyzer.render.touched import KINDS, namespaces, touched
from tests.render.reading import Element, Reader
from tests.render.sample import empty, many_findings
from tests.render.sample_findings import HOSTILE, search_chain, throttle_storm
from tests.render.sample_full import ABOUT, SIGNALS, full


@cache
def read() -> Reader:
    return Reader(render_html(full()))


def about(
    subject: str, *cells: tuple[str, str], detector: str = "d", entities: tuple[Entity, ...] = ()
) -> dict[str, str]:
    """What one finding of that subject touches, as `kind name` to how, its evidence holding a cell per column."""
    names = tuple(Column(name=name) for name, _ in cells)
    table = EvidenceTable(caption="t", columns=names, rows=(tuple(text for _, text in cells),))
    base = search_chain()
    made = replace(base, detector=detector, subject=subject, key="k", evidence=replace(base.evidence, tables=(table,)))
    rows = touched((made,), {"k": "F1"}, entities)
    return {f"{row.kind} {row.name}": "about" if row.about else "named" for row in rows}


def owned(label: str, workload: str = "") -> tuple[Entity, ...]:
    return (Entity(kind="address", id="10.0.0.7", label=label, known_from="audit", workload=workload),)


# Who is touched


def test_an_address_stands_for_the_workload_and_the_node_of_its_pod() -> None:
    owner = owned("pod shop/web-6c9f8d7b5c-x2k4z on node n1.example.com", "shop/web")
    assert about("10.0.0.7", entities=owner) == {"workload shop/web": "about", "node n1": "about"}


def test_an_address_that_is_known_by_its_namespace_alone_stays_an_address() -> None:
    assert about("10.0.0.7", entities=owned("namespace shop")) == {"address 10.0.0.7": "about"}
    assert about("10.0.0.7") == {"address 10.0.0.7": "about"}


def test_pods_are_counted_under_what_made_them() -> None:
    pods = ("web-6c9f8d7b5c-x2k4z", "agent-x2k4z", "db-0", "singleton")
    found = [about("10.0.0.9", ("pod", f"shop/{name}")) for name in pods]
    names = [next(key for key in one if key.startswith("workload")) for one in found]
    assert names == [f"workload shop/{name}" for name in ("web", "agent", "db", "singleton")]


def test_the_columns_of_evidence_tell_what_their_cells_are() -> None:
    cells = (("node", "n1.example.com"), ("user agent", "kubectl"), ("user", "system:node:n2"), ("client", "10.1.1.1"))
    assert about("shop/web", *cells, ("message", "10.9.9.9")) == {
        "workload shop/web": "about",
        "node n1": "named",
        "node n2": "named",
        "user agent kubectl": "named",
        "address 10.1.1.1": "named",
    }


def test_a_subject_without_a_form_is_what_its_detector_speaks_of() -> None:
    assert about("n1", detector="runtime-stall") == {"node n1": "about"}
    assert about("n1", detector="apiserver-throttle-storm") == {"user agent n1": "about"}
    assert about("kube-apiserver", detector="apiserver-overload") == {"other kube-apiserver": "about"}
    assert about("checkout/cart container cart", detector="exec-probe-timeout") == {"workload checkout/cart": "about"}
    assert about("billing/compute", ("owner", "billing/invoices"), detector="admission-denial-loop") == {
        "other billing/compute": "about",
        "workload billing/invoices": "named",
    }
    assert about("system:serviceaccount:a:b") == {"account system:serviceaccount:a:b": "about"}


def test_every_finding_that_touches_a_workload_stands_in_its_row() -> None:
    result = full()
    rows = touched(result.findings, {f.key: f"F{i + 1}" for i, f in enumerate(result.findings)}, result.entities)
    (checkout,) = [row for row in rows if row.name == "payments/checkout"]
    storm = next(f for f in result.findings if f.detector == "apiserver-throttle-storm")
    chain = next(f for f in result.findings if f.detector == "dns-search-chain")
    assert [f.key for f in checkout.about.values()] == [chain.key]
    assert [f.key for f in checkout.named.values()] == [storm.key]
    assert checkout.severity == max((storm.severity, chain.severity), key=lambda severity: severity.rank)
    assert [KINDS.index(row.kind) for row in rows] == sorted(KINDS.index(row.kind) for row in rows)
    assert "payments" in namespaces(rows)[next(iter(checkout.named))]


def test_the_row_of_a_workload_links_to_its_findings() -> None:
    (table,) = read().all("table", class_="touched wide")
    assert "payments/checkout" in table.text
    row = next(e for e in read().all("tr") if "data-f" in e.attributes and "as payments/checkout-6c9f8d7b5c" in e.text)
    assert re.fullmatch(r";\d;payments;\d+;\d+", row.attributes["data-f"])


def test_nobody_is_touched_where_nothing_was_found() -> None:
    assert not Reader(render_html(empty())).all("section", id="touched")


def test_many_findings_of_many_clients_keep_the_row_budget() -> None:
    page = Reader(render_html(many_findings(300)))
    rows = [e for e in page.all("tr") if "data-f" in e.attributes and "table" in e.inside]
    assert len(rows) < 2_000
    assert "more names not shown" in page.text


# Filters


def facet(element: Element) -> list[str]:
    return element.attributes["data-f"].split(";")


def test_every_finding_carries_what_the_filters_ask_for() -> None:
    for finding, details in zip(full().findings, told(), strict=True):
        kind, rank, names, first, last = facet(details)
        assert (kind, int(rank)) == ("f", finding.severity.rank)
        assert finding.start is not None
        assert finding.end is not None
        assert (int(first), int(last)) == (int(finding.start.timestamp()), int(finding.end.timestamp()))
        assert ("payments" in names.split()) == (finding.detector in {"dns-search-chain", "apiserver-throttle-storm"})


def told() -> list[Element]:
    return [e for e in read().all("details") if e.attributes.get("class", "").startswith("finding ")]


# Callers


def caller(name: str, **figures: int) -> Caller:
    return Caller(kind="user agent", name=name, **figures)


def test_columns_without_any_figure_are_left_out_and_unknown_is_a_dash() -> None:
    made = league((caller("a", requests=3, throttled=1), caller("b", requests=1)), (), Budget(9), 9)
    assert made.headers == ("API requests", "429")
    ((title, group),) = made.groups
    assert title == "User agents"
    assert [(row.name, row.cells) for row in group.shown] == [
        ("a", (("3", True), ("1", True))),
        ("b", (("1", False), ("–", False))),
    ]


def test_a_caller_that_a_finding_is_about_links_to_it() -> None:
    result = full()
    rows = touched(result.findings, {f.key: f"F{i + 1}" for i, f in enumerate(result.findings)}, result.entities)
    groups = dict(league(result.callers, rows, Budget(99), 9).groups)
    (pod,) = groups["Pods"].shown
    (chain,) = [i for i, f in enumerate(result.findings) if f.detector == "dns-search-chain"]
    assert pod.ids == (f"F{chain + 1}",)
    assert throttle_storm().subject in {row.name for row in groups["User agents"].shown}


def test_without_callers_there_is_neither_their_table_nor_a_way_to_it() -> None:
    assert read().all("table", class_="league wide")
    without = Reader(render_html(replace(full(), callers=())))
    assert not without.all("table", class_="league wide")
    assert "#callers" not in {link.attributes["href"] for link in without.all("a")}


# What a check looks for


def test_documentation_is_told_by_its_headings_and_paragraphs() -> None:
    assert sections(ABOUT) == (
        (
            "What it finds",
            ("Lookups that walk the search list, told from in-cluster names.", "A second paragraph of it."),
        ),
        ("Why it matters", ("Each walk costs queries.",)),
        ("What does not count", ("Names that are mistyped once.",)),
    )
    assert sections("") == ()


def test_each_finding_links_to_what_its_check_looks_for() -> None:
    ids = {e.attributes["id"] for e in read().all("details") if e.attributes.get("class") == "about"}
    links = [e.attributes["href"][1:] for e in read().all("a") if e.text == "what this check looks for"]
    assert len(links) == len(full().findings)
    assert set(links) == ids


def test_a_result_without_documentation_has_no_link_to_it() -> None:
    bare = replace(full(), runs=tuple(replace(run, about="") for run in full().runs))
    page = Reader(render_html(bare))
    assert not [e for e in page.all("a") if e.text == "what this check looks for"]


def test_only_words_that_the_page_uses_are_explained() -> None:
    always = [term for term, sign, _ in TERMS if not sign]
    assert [term for term, _ in terms(["nothing of the kind"])] == always
    assert "PLEG" in dict(terms(["the kubelet's PLEG stood still"]))


# Records


def folded(result: Result) -> list[Element]:
    return [e for e in Reader(render_html(result)).all("details") if e.attributes.get("class") == "recs"]


def test_records_are_folded_with_their_number_and_their_commands() -> None:
    made = folded(full())
    assert len(made) == len(full().findings)
    for finding, details in zip(full().findings, made, strict=True):
        assert "open" not in details.attributes
        shown = min(len(finding.evidence.records), 10)
        assert details.text.count("tshark -r node3.pcap") == shown
        assert f"{len(finding.evidence.records)} records" in details.text


def without_records(finding: Finding) -> Finding:
    return replace(finding, evidence=replace(finding.evidence, records=()))


def test_a_finding_without_records_has_nothing_to_unfold() -> None:
    runs = tuple(replace(run, findings=tuple(map(without_records, run.findings))) for run in full().runs)
    assert folded(replace(full(), runs=runs)) == []


# Failure signals


def test_every_failure_signal_has_its_own_strip_and_the_silent_ones_are_named() -> None:
    page = render_html(full())
    (timeline,) = read().all("svg", id="tl")
    assert all(name in timeline.text for name in SIGNALS)
    assert page.count('class="gap"') >= 1
    assert "no data: after the last record of this source" in timeline.text
    assert "Looked for and never seen: PLEG unhealthy, Evictions." in read().text
    assert "Failure signals (per second)" not in read().text  # no second chart of the same


def test_hostile_callers_and_owners_stay_text() -> None:
    bad = Entity(kind="address", id="10.0.0.7", label=f"pod a/{HOSTILE[0]} on node {HOSTILE[4]}", known_from="x")
    page = Reader(render_html(replace(full(), entities=(bad,))))
    assert len(page.all("script")) == 2
    assert HOSTILE[0] in page.all("section", id="callers")[0].text
