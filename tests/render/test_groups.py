"""A summary tells several pods of one workload as one, and different troubles one by one."""

from __future__ import annotations

from msgspec.structs import replace

from analyzer.model import Entity, Finding, Result, Run, Severity, Status
from analyzer.render.groups import Group, groups
from analyzer.render.html import render_html
from analyzer.render.markdown import render_markdown
from tests.render.reading import Reader
from tests.render.sample import sample
from tests.render.sample_findings import search_chain

WORKLOAD = "shop/web"


def about(subject: str, severity: Severity = Severity.HIGH, detector: str = "dns-search-chain") -> Finding:
    made = replace(search_chain(), subject=subject, key=f"{detector}:{subject}", detector=detector, severity=severity)
    return replace(made, saving=None, alternatives=())


def address(id_: str, pod: str, *findings: Finding, workload: str = WORKLOAD) -> Entity:
    keys = tuple(one.key for one in findings)
    label = f"pod shop/{pod} on node n1"
    return Entity(kind="address", id=id_, label=label, known_from="audit", workload=workload, findings=keys)


def owned(*findings: Finding, workload: str = WORKLOAD) -> list[Entity]:
    """Each finding is about an address of a pod of its own, all of one workload."""
    return [address(one.subject, f"web-{at}", one, workload=workload) for at, one in enumerate(findings)]


def some(count: int) -> list[Finding]:
    return [about(f"10.0.0.{i}") for i in range(count)]


def test_from_three_on_those_of_one_workload_and_detector_stand_below_the_first() -> None:
    three = some(3)
    assert groups(three, owned(*three)) == {
        "F1": Group(workload=WORKLOAD, ids=("F2", "F3"), lesser={}, pods=True),
    }
    assert groups(three, owned(*three))["F1"].sentence == "and 2 more pods of shop/web: F2, F3"
    assert groups(three[:2], owned(*three)) == {}


def test_other_detectors_other_workloads_and_unknown_owners_are_no_group() -> None:
    first, second, third = some(3)
    other = about(third.subject, detector="dns-client-timeout")
    assert groups([first, second, other], owned(first, second, other)) == {}
    assert groups([first, second, third], [*owned(first, second), *owned(third, workload="shop/db")]) == {}
    assert groups([first, second, third], owned(first, second)) == {}


def test_an_address_that_two_workloads_had_is_of_none() -> None:
    three = some(3)
    taken = address(three[2].subject, "db-0", three[2], workload="shop/db")
    assert groups(three, [*owned(*three), taken]) == {}


def test_an_address_that_another_had_at_another_time_does_not_count() -> None:
    """Entities name the findings that they are about: one of the same address that has other findings is another."""
    three = some(3)
    before = address(three[2].subject, "db-0", about("10.9.9.9"), workload="shop/db")
    assert list(groups(three, [*owned(*three), before])) == ["F1"]


def test_a_container_counts_for_its_pod_and_two_of_one_pod_are_findings() -> None:
    found = [about(subject) for subject in ("shop/web-1 app", "shop/web-1 proxy", "shop/web-2 app")]
    keys = tuple(one.key for one in found)
    pods = [
        Entity(kind="pod", id=f"shop/web-{at}", label="", known_from="audit", workload=WORKLOAD, findings=keys)
        for at in (1, 2)
    ]
    assert groups(found, pods)["F1"].words == "and 2 more findings of shop/web"


def test_what_is_less_severe_says_so() -> None:
    found = [about("10.0.0.0", Severity.CRITICAL), about("10.0.0.1"), about("10.0.0.2", Severity.LOW)]
    assert groups(found, owned(*found))["F1"].sentence == "and 2 more pods of shop/web: F2 (high), F3 (low)"


# The forms


def told(count: int) -> Result:
    found = tuple(some(count))
    run = Run(detector="dns-search-chain", title="Search domains", status=Status.FIRED, findings=found)
    rest = [one for one in sample().runs if one.detector != "dns-search-chain"]
    entities = tuple(owned(*found))
    return replace(sample(), runs=(*rest, run), entities=entities)


def test_the_summary_of_the_page_has_one_entry_and_one_line_with_links() -> None:
    result = told(4)
    reader = Reader(render_html(result))
    ids = [f"F{at}" for at, one in enumerate(result.findings, 1) if one.detector == "dns-search-chain"]
    [line] = [e for e in reader.all("li") if "also" in e.attributes.get("class", "")]
    assert line.text == f"and 3 more pods of shop/web: {', '.join(ids[1:])}"
    entries = [e for e in reader.all("li") if "data-f" in e.attributes]
    assert len(entries) == len(result.findings) - 3
    heads = [e.text for e in reader.all("summary") if e.text.startswith("F")]
    assert len(heads) == len(result.findings)


def test_each_of_the_line_carries_what_the_filters_ask_for() -> None:
    result = told(4)
    reader = Reader(render_html(result))
    whole = {e.attributes["id"]: e.attributes["data-f"] for e in reader.all("details") if "data-f" in e.attributes}
    spans = {e.text.strip(", "): e.attributes["data-f"] for e in reader.all("span") if "data-f" in e.attributes}
    assert len(spans) == 3
    assert spans == {id_: whole[id_] for id_ in spans}


def test_the_summary_of_markdown_has_the_same_line() -> None:
    result = told(3)
    text = render_markdown(result)
    ids = [f"F{at}" for at, one in enumerate(result.findings, 1) if one.detector == "dns-search-chain"]
    assert f"|   |   | and 2 more pods of shop/web: {ids[1]}, {ids[2]} |   |" in text
    assert [f"\n### {id_}: " in text for id_ in ids] == [True] * 3
    assert f"\n| {ids[1]} |" not in text.partition("## Timeline")[0]


def test_many_of_one_workload_keep_the_page_whole() -> None:
    reader = Reader(render_html(told(120)))
    [line] = [e for e in reader.all("li") if "also" in e.attributes.get("class", "")]
    assert line.text.startswith("and 119 more pods of shop/web: F")
    assert line.text.endswith(" and 59 more")
    ids = {e.attributes["id"] for e in reader.elements if "id" in e.attributes}
    assert {e.attributes["href"][1:] for e in reader.all("a")} <= ids
