"""The page in headless Chromium: it opens without an error, folds to a phone, prints whole, and zooms."""

from __future__ import annotations

import html
import re
import subprocess
from pathlib import Path

import pytest

from analyzer.render.html import render_html
from tests.render.browser import NEEDS_CHROMIUM, PDFTOTEXT, answer, browse, console, page, probed, unscripted
from tests.render.reading import changed
from tests.render.sample_full import full

pytestmark = NEEDS_CHROMIUM

PWN = "</script><svg onload=\"document.title='pwned'\"></svg><script>document.title='pwned'</script>"


@pytest.mark.parametrize("payload", ["", PWN], ids=["sample", "hostile"])
def test_the_page_opens_without_an_error_under_its_own_policy(tmp_path: Path, payload: str) -> None:
    run = browse(tmp_path, render_html(changed(full(), lambda text: text + payload)), "--dump-dom")
    assert console(run) == []
    assert "<title>pwned</title>" not in run.stdout
    assert "Zoom to F1" in run.stdout  # our own script did run
    assert 'placeholder="Filter events"' in run.stdout


def test_the_policy_stops_a_script_that_escaping_missed(tmp_path: Path) -> None:
    broken = page().replace("<main>", "<main><script>document.title='pwned'</script>")
    run = browse(tmp_path, broken, "--dump-dom")
    assert "<title>pwned</title>" not in run.stdout
    assert any("Content Security Policy" in line for line in console(run))


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_the_page_does_not_scroll_sideways(tmp_path: Path, width: int) -> None:
    # A window cannot be made as narrow as a phone, a frame can.
    inner = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page())
    frame = f'<iframe width="{width}" height="900" srcdoc="{html.escape(inner)}" onload="measure(this)"></iframe>'
    measure = (
        "<script>function measure(f) { const d = f.contentDocument.documentElement;"
        " document.documentElement.dataset.answer = d.scrollWidth + ' ' + d.clientWidth; }</script>"
    )
    run = browse(tmp_path, f"<!doctype html><html><body>{measure}{frame}</body></html>", "--dump-dom")
    scroll, client = map(int, answer(run).split())
    assert client >= width - 20
    assert scroll <= client


def test_labels_of_charts_do_not_lie_on_each_other(tmp_path: Path) -> None:
    script = """(() => {
      const hits = [];
      for (const svg of document.querySelectorAll("svg.plot")) {
        const boxes = [...svg.querySelectorAll("text")].map(t => [t.textContent, t.getBoundingClientRect()]);
        boxes.forEach(([a, p], i) => boxes.slice(i + 1).forEach(([b, q]) => {
          if (p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 3 && q.top < p.bottom - 3)
            hits.push(a + " / " + b);
        }));
        const frame = svg.getBoundingClientRect();
        for (const [a, p] of boxes)
          if (p.left < frame.left - 1 || p.right > frame.right + 1) hits.push("outside: " + a);
      }
      return hits.join("; ") || "none";
    })()"""
    assert answer(browse(tmp_path, probed(page(), script), "--dump-dom", "--window-size=1280,900")) == "none"


def test_zooming_moves_every_chart_and_keeps_the_spike(tmp_path: Path) -> None:
    script = """(() => {
      const paths = () => [...document.querySelectorAll("#tl path[data-s]")].map(p => p.getAttribute("d"));
      const before = paths();
      document.querySelectorAll("#tl")[0].closest("figure").querySelectorAll("button")[2].click();
      const spike = document.querySelector('#c1 path[data-s="0"][data-k="2"]');
      const tops = spike.getAttribute("d").match(/V([0-9.]+)/g).map(v => +v.slice(1));
      const d = spike.dataset, highest = (+d.y - Math.min(...tops)) / +d.h * +d.max;
      const zoomed = paths().filter((p, i) => p !== before[i]).length;
      dispatchEvent(new KeyboardEvent("keydown", {key: "Escape"}));
      const back = paths().every((p, i) => p === before[i]);
      const range = document.querySelector("#tl").closest("figure").querySelector("input[type=range]");
      range.value = 500;
      range.dispatchEvent(new Event("input"));
      return [zoomed > 0, Math.round(highest / 10) * 10, back, range.getAttribute("aria-valuetext")].join("|");
    })()"""
    zoomed, spike, back, said = answer(browse(tmp_path, probed(page(), script), "--dump-dom")).split("|")
    assert (zoomed, spike, back) == ("true", "1900", "true")
    assert said.startswith("2026-03-14 09:29:5")
    assert "NXDOMAIN" in said


def test_the_filter_hides_rows_that_do_not_match(tmp_path: Path) -> None:
    script = """(() => {
      const input = document.querySelector("input[type=search]");
      input.value = "SERVFAIL";
      input.dispatchEvent(new Event("input"));
      return [...document.querySelectorAll("table.events tbody tr")].filter(r => r.offsetHeight).length + "";
    })()"""
    assert answer(browse(tmp_path, probed(page(), script), "--dump-dom")) == "1"


def test_dark_mode_follows_the_system(tmp_path: Path) -> None:
    script = "getComputedStyle(document.body).backgroundColor"
    dark = browse(tmp_path, probed(page(), script), "--dump-dom", "--blink-settings=preferredColorScheme=0")
    light = browse(tmp_path, probed(page(), script), "--dump-dom", "--blink-settings=preferredColorScheme=1")
    assert (answer(dark), answer(light)) == ("rgb(15, 19, 24)", "rgb(255, 255, 255)")


def test_without_a_script_every_chart_and_finding_is_there(tmp_path: Path) -> None:
    run = browse(tmp_path, unscripted(), "--dump-dom")
    assert "Zoom to F1" not in run.stdout
    assert run.stdout.count('class="plot"') == page().count('class="plot"')
    assert all(html.escape(f.key, quote=False) in run.stdout for f in full().findings)


def test_print_rules_unfold_findings_and_hide_controls(tmp_path: Path) -> None:
    script = """(() => {
      const seen = e => e.getBoundingClientRect().height > 0;
      const all = what => [...document.querySelectorAll(what)];
      return [all(".finding .cmds code").every(seen), all(".finding .snippet").every(seen),
        all("nav, button, .tools, .filters, details.data").some(seen),
        all(".scroll").some(e => e.scrollWidth > e.clientWidth + 1)
      ].join(" ");
    })()"""
    printed = page().replace(" open>", ">").replace("@media print", "@media all")
    run = browse(tmp_path, probed(printed, script), "--dump-dom", "--window-size=760,1000")
    assert answer(run) == "true true false false"


def test_the_page_prints_on_several_sheets_without_a_script(tmp_path: Path) -> None:
    pdf = tmp_path / "page.pdf"
    browse(tmp_path, unscripted(), "--no-pdf-header-footer", f"--print-to-pdf={pdf}")
    assert 4 <= len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes())) <= 25


@pytest.mark.skipif(PDFTOTEXT is None, reason="pdftotext is not installed")
def test_the_printed_page_holds_every_finding_and_command(tmp_path: Path) -> None:
    pdf = tmp_path / "page.pdf"
    browse(tmp_path, unscripted(), "--no-pdf-header-footer", f"--print-to-pdf={pdf}")
    read = subprocess.run([str(PDFTOTEXT), "-layout", str(pdf), "-"], capture_output=True, text=True, check=True)
    text = re.sub(r"\s+", "", read.stdout)
    for finding in full().findings:
        assert re.sub(r"\s+", "", finding.key) in text
        assert all(re.sub(r"\s+", "", command) in text for command in finding.verify)
        shown = finding.evidence.records[:10]
        assert all(re.sub(r"\s+", "", record.command) in text for record in shown)
    assert "Eachwalkcostsqueries." in text
    assert "Zoomto" not in text
