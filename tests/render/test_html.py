"""The page: complete, self-contained, safe with hostile evidence, within its weight, the same every time."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from msgspec.structs import replace

from analyzer.model import Lane, Result, Run, Series, Status, Story
from analyzer.model.codec import decode, encode
from analyzer.render.charts import _inside
from analyzer.render.html import HARD_BYTES, TARGET_BYTES, asset, render_html
from analyzer.render.limits import MOST_ROWS
from tests.render.reading import Reader, changed
from tests.render.sample import empty, many_findings, sample
from tests.render.sample_findings import HOSTILE, T0, search_chain

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "analyzer" / "render" / "assets"


@cache
def page() -> str:
    return render_html(sample())


@cache
def read() -> Reader:
    return Reader(page())


@cache
def crowded() -> str:
    return render_html(many_findings(200))


def one_record() -> Result:
    finding = search_chain()
    record = finding.evidence.records[:1]
    bare = replace(finding, evidence=replace(finding.evidence, records=record, tables=(), series=()), saving=None)
    run = Run(detector=finding.detector, title="t", status=Status.FIRED, findings=(bare,))
    series = Series(id="s", title="t", unit="u", start=T0, step_seconds=1, lanes=(Lane(name="l", values=(1.0,)),))
    return replace(empty(), runs=(run,), series=(series,))


# Nothing is lost


def test_every_finding_of_the_result_is_on_the_page() -> None:
    for finding in sample().findings:
        assert finding.key in read().text
        assert finding.summary in read().text


def test_every_one_of_204_findings_is_on_the_page() -> None:
    text = Reader(crowded()).text
    findings = many_findings(200).findings
    assert len(findings) == 204
    assert all(finding.key in text for finding in findings)


def test_a_finding_shows_its_figures_reasons_fix_records_and_commands() -> None:
    (told,) = [e for e in read().all("details") if search_chain().key in e.text]
    finding = search_chain()
    for words in (finding.why, finding.refuted_by, finding.confidence_reason, finding.remedies[0].snippet):
        assert words in told.text
    assert all(command in told.text for command in finding.verify)
    assert all(figure.name in told.text for figure in finding.impact)
    assert "node3.pcap frame 48211" in told.text
    assert "36 more records" in told.text
    assert "open" in told.attributes


def test_checks_that_passed_could_not_run_or_failed_are_told_with_their_reason() -> None:
    for run in sample().runs:
        assert run.status is Status.FIRED or run.reason in read().text
        assert all(remark.replace("\u202e", "\\u202e") in read().text for remark in run.remarks)


def test_what_was_not_read_is_told_and_linked_from_the_head() -> None:
    assert "1,205 of 2,880,112 records skipped" in read().text
    assert [e for e in read().all("a", href="#coverage") if e.text == "what was not read"]
    assert sample().inputs[0].sha256 in read().text


def test_the_head_counts_what_was_read_and_not_what_was_given() -> None:
    given = sample().inputs
    used = sum(1 for one in given if one.used)
    (head,) = [dd.text for dd in read().all("dd") if "what was not read" in dd.text]
    assert head.startswith(f"{used} of {len(given)} inputs, ")


def test_an_acronym_keeps_its_case_within_a_sentence() -> None:
    assert _inside("API server answers") == "API server answers"
    assert _inside("Metadata requests") == "metadata requests"


def test_savings_are_shown_one_by_one_with_their_assumption_and_never_summed() -> None:
    (table,) = read().all("table", class_="whatif wide")
    for finding in sample().findings:
        for saving in (finding.saving, *finding.alternatives):
            assert saving is not None
            assert saving.fix in table.text
            assert saving.assumption in table.text
    assert "otal" not in table.text


def test_actions_leave_owner_and_due_to_people() -> None:
    (table,) = read().all("table", class_="actions wide")
    assert {"mitigate", "detect", "prevent"} <= set(table.text.split())
    blanks = read().all("td", class_="blank")
    assert blanks
    assert not any(e.text for e in blanks)


def test_the_page_blames_nobody() -> None:
    assert "root cause" not in read().text.lower()


# Nothing to read


def test_no_finding_says_which_checks_ran_and_passed() -> None:
    quiet = tuple(run for run in sample().runs if run.status is not Status.FIRED)
    text = Reader(render_html(replace(sample(), runs=quiet, story=Story()))).text
    assert "1 check ran and passed, 2 checks could not run" in text
    assert "no unanswered query in 88,120" in text


@pytest.mark.parametrize("result", [empty(), one_record()], ids=["nothing at all", "one record"])
def test_a_small_result_is_still_a_whole_page(result: Result) -> None:
    reader = Reader(render_html(result))
    assert len(reader.all("h1")) == 1
    assert reader.all("section", id="coverage")


def test_nothing_at_all_is_not_called_healthy() -> None:
    assert "No check ran" in Reader(render_html(empty())).text


# Self-contained and safe


def test_the_policy_admits_exactly_our_style_and_script() -> None:
    (policy,) = [e.attributes["content"] for e in read().all("meta") if "http-equiv" in e.attributes]
    (style,) = read().all("style")
    (script,) = [e for e in read().all("script") if "type" not in e.attributes]
    for kind, element in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(hashlib.sha256(element.text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def offences(text: str) -> list[str]:
    """Whatever could load, run or style something from the markup."""
    found = []
    for element in Reader(text).elements:
        for name, value in element.attributes.items():
            loads = name in {"src", "href", "xlink:href", "action", "srcset", "data"}
            if name == "style" or name.startswith("on") or (loads and not value.startswith(("#", "data:,"))):
                found.append(f"<{element.tag} {name}={value!r}>")
        if element.tag in {"iframe", "object", "embed", "base", "form", "img", "use", "foreignobject"}:
            found.append(f"<{element.tag}>")
    return found


def test_the_page_loads_nothing_and_styles_nothing_inline() -> None:
    assert offences(page()) == []
    assert "url(http" not in page()
    assert "@import" not in page()


@pytest.mark.parametrize("payload", HOSTILE)
def test_hostile_text_in_any_field_stays_text(payload: str) -> None:
    poisoned = changed(sample(), lambda text: payload + text)
    text = render_html(poisoned)
    assert offences(text) == []
    assert len(Reader(text).all("script")) == 2
    assert [e.tag for e in Reader(text).elements].count("details") > 0
    raw = set(text) - {"\n", "\t"}
    assert all(char.isprintable() for char in raw)
    assert "49" not in Reader(text).all("title")[0].text


def test_hostile_names_are_seen_as_what_they_are() -> None:
    for words in ("</script><script>alert(1)</script>", "invoice\\u202egpj.exe", "\\x1b[31mred", "a\\x00b.example.com"):
        assert words in read().text


def test_what_the_script_reads_is_json_with_gaps_as_null() -> None:
    (island,) = read().all("script", type="application/json")
    groups = json.loads(island.text)["groups"]
    assert groups[0]["n"] == ["NOERROR", "NXDOMAIN", "SERVFAIL"]
    assert groups[0]["v"][0][3001:3180].count(None) == 179
    assert max(v for v in groups[0]["v"][2] if v is not None) == 1900


# Order, links and access


def test_findings_are_numbered_by_rank() -> None:
    ids = [e.attributes["id"] for e in read().all("details") if "finding" in e.attributes.get("class", "")]
    assert ids == ["F1", "F2", "F3", "F4"]
    first = next(e for e in read().all("details", id="F1"))
    assert sample().findings[0].key in first.text


@pytest.mark.parametrize("which", ["sample", "crowded", "empty"])
def test_every_link_leads_somewhere_and_every_id_stands_once(which: str) -> None:
    made = page() if which == "sample" else crowded() if which == "crowded" else render_html(empty())
    reader = Reader(made)
    ids = [e.attributes["id"] for e in reader.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    targets = [e.attributes["href"][1:] for e in reader.all("a")]
    assert set(targets) <= set(ids)


def test_the_structure_can_be_walked_without_seeing_it() -> None:
    reader = read()
    assert len(reader.all("h1")) == len(reader.all("main")) == len(reader.all("header")) == 1
    assert reader.all("nav", aria_label="Sections")
    assert reader.all("a", class_="skip")
    assert reader.all("html", lang="en")
    assert all("scope" in e.attributes for e in reader.all("th"))
    assert len(reader.all("caption")) == len(reader.all("table"))
    for section in reader.all("section"):
        assert section.attributes["aria-labelledby"] in {e.attributes.get("id") for e in reader.all("h2")}


def test_every_chart_tells_its_peak_in_words_and_its_values_in_a_table() -> None:
    for svg in read().all("svg", class_="plot"):
        name = svg.attributes["id"]
        (desc,) = read().all("desc", id=f"{name}-d")
        assert svg.attributes["role"] == "img"
        assert "greatest value" in desc.text
        assert re.search(r"\d\d:\d\d:\d\dZ", desc.text)
    assert "SERVFAIL: greatest value 1,900 answers per second at 2026-03-14 09:12:57Z" in read().text
    assert len(read().all("details", class_="data")) == len(read().all("svg", class_="plot"))


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read_on_its_background(theme: int) -> None:
    css = (ASSETS / "page.css").read_text()
    block = re.findall(r":root\{([^}]*)\}", css)[theme]
    colours = {k: v if len(v) == 7 else "#" + "".join(c * 2 for c in v[1:]) for k, v in _colours(block)}
    for text in ("fg", "mut", "link", "critical", "high", "medium", "low"):
        for ground in ("bg", "soft"):
            light, dark = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)


def _colours(block: str) -> list[tuple[str, str]]:
    return re.findall(r"--(\w+):(#[0-9a-f]{3,6})", block)


# Weight


def test_the_sample_is_light() -> None:
    assert len(page().encode()) <= 400_000


def test_style_and_script_keep_their_budget() -> None:
    assert len(asset("page.css").encode()) <= 8 * 1024
    assert len(asset("page.js").encode()) <= 12 * 1024


def test_204_findings_keep_the_budget_and_say_what_is_left_out() -> None:
    reader = Reader(crowded())
    rows = [e for e in reader.all("tr") if "tbody" in e.inside]
    assert len(crowded().encode()) <= TARGET_BYTES
    assert len(rows) <= MOST_ROWS
    assert "164 more findings of lower rank" in reader.text


def test_long_hostile_text_everywhere_cannot_break_the_hard_limit() -> None:
    heavy = changed(many_findings(40), lambda text: text + "\u202e<" * 2_000)
    assert len(render_html(heavy).encode()) <= HARD_BYTES


def test_a_long_capture_of_many_lanes_keeps_the_budget() -> None:
    lanes = tuple(Lane(name=f"lane {i}", values=tuple(float(v % 97) for v in range(20_000))) for i in range(20))
    wide = tuple(
        Series(id=f"s{i}", title=f"chart {i} by code", unit="u", start=T0, step_seconds=1, lanes=lanes)
        for i in range(3)
    )
    text = render_html(replace(sample(), series=wide))
    assert len(text.encode()) <= TARGET_BYTES
    assert "4 smaller lanes left out" in text


# Always the same


def test_a_saved_result_renders_to_the_same_page() -> None:
    assert render_html(decode(encode(sample()))) == page()


def test_the_page_does_not_depend_on_hash_seed_zone_or_locale() -> None:
    code = "import sys; from tests.render.sample import sample; from analyzer.render.html import render_html; "
    code += "sys.stdout.buffer.write(render_html(sample()).encode())"
    outputs = set()
    for seed, zone in (("1", "UTC"), ("2", "Asia/Kolkata")):
        env = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": "C"}
        outputs.add(
            subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, check=True).stdout
        )
    assert outputs == {page().encode()}
