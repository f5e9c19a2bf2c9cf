"""The page in use: filters, links into what is folded, copying; and axe in both themes."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from msgspec.structs import replace

from analyzer.render.html import render_html
from tests.render.browser import NEEDS_CHROMIUM, PDFTOTEXT, answer, browse, console, page, probed, visit
from tests.render.sample_findings import at
from tests.render.sample_full import full
from tests.render.test_groups import told as several

pytestmark = NEEDS_CHROMIUM

JENKINS = "sandbox; default-src 'none'; img-src 'self'; style-src 'self';"
"""What Jenkins sends with reports by default (jenkins.io, Configuring Content Security Policy)."""

AXE_PACKAGE = "axe_core_python"
LIGHT, DARK = "--blink-settings=preferredColorScheme=1", "--blink-settings=preferredColorScheme=0"


def axe() -> str:
    found = importlib.util.find_spec(AXE_PACKAGE)
    if found is None or found.origin is None:
        pytest.skip("axe-core-python is not installed")
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_axe_finds_nothing_to_object_to(tmp_path: Path, theme: str) -> None:
    script = """(() => {
      document.querySelectorAll("details").forEach(one => { one.open = true; });
      axe.run(document, { resultTypes: ["violations"] }).then(found => {
        const told = found.violations.map(one => one.id + ": " + one.nodes.slice(0, 3).map(n => n.html.slice(0, 160)));
        document.documentElement.dataset.answer = JSON.stringify({ told, passed: found.passes.length });
      }, error => { document.documentElement.dataset.answer = String(error); });
      return "not finished";
    })()"""
    text = probed(page(), script).replace("</body>", "</body>", 1)
    text = text.replace(
        "<script>document.documentElement.dataset",
        f"<script>{axe()}</script><script>document.documentElement.dataset",
        1,
    )
    run = browse(tmp_path, text, "--dump-dom", theme, "--window-size=1280,900", "--virtual-time-budget=60000")
    told = json.loads(answer(run))
    assert told["told"] == []
    assert told["passed"] > 20


@contextmanager
def served(text: str, policy: str) -> Iterator[str]:
    """The text at an address of this machine, with that policy as a header."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Security-Policy", policy)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Tests are quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/page.html"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.skipif(PDFTOTEXT is None, reason="pdftotext is not installed")
def test_everything_can_be_read_under_the_policy_of_jenkins(tmp_path: Path) -> None:
    pdf = tmp_path / "page.pdf"
    unfolded = page().replace("<details", "<details open")  # a reader unfolds them without any script
    with served(unfolded, JENKINS) as address:
        visit(tmp_path, address, "--no-pdf-header-footer", f"--print-to-pdf={pdf}")
    read = subprocess.run([str(PDFTOTEXT), "-layout", str(pdf), "-"], capture_output=True, text=True, check=True)
    text = re.sub(r"\s+", "", read.stdout)
    for finding in full().findings:
        assert re.sub(r"\s+", "", finding.key) in text
        assert re.sub(r"\s+", "", finding.summary) in text
        assert all(re.sub(r"\s+", "", command) in text for command in finding.verify)
    assert "DNSnoreply" in text
    assert "payments/checkout" in text


def test_the_policy_of_jenkins_keeps_script_and_style_away_and_the_colours_of_charts(tmp_path: Path) -> None:
    with served(page(), JENKINS) as address:
        run = visit(tmp_path, address, "--dump-dom")
    assert "Zoom to F1" not in run.stdout
    assert any("Content Security Policy" in line for line in console(run))
    filled = re.findall(r"<path[^>]*class=\"s\d\"[^>]*>", run.stdout)
    assert filled
    assert all('fill="#' in path for path in filled)


def used(folder: Path, script: str, *flags: str) -> str:
    return answer(browse(folder, probed(page(), script), "--dump-dom", *flags))


SEEN = """const seen = what =>
  [...document.querySelectorAll(what)].filter(e => e.offsetHeight).map(e => e.id || e.innerText);
const said = () => document.querySelector(".said-filter").textContent;"""
CHOOSE = """const set = (words, value) => {
  const label = [...document.querySelectorAll(".filters label")].find(l => l.textContent.startsWith(words));
  const field = label.querySelector("input, select");
  field.value = value;
  field.dispatchEvent(new Event("change"));
  return field;
};"""


def test_a_severity_hides_lesser_findings_everywhere(tmp_path: Path) -> None:
    script = f"""(() => {{ {SEEN} {CHOOSE}
      set("Severity", "3");
      return [seen("details.finding"), seen(".ranked li").length, said()].join("|");
    }})()"""
    findings = full().findings
    critical = [f"F{i + 1}" for i, f in enumerate(findings) if f.severity.value == "critical"]
    ids, ranked, said = used(tmp_path, script).split("|")
    assert ids.split(",") == critical
    assert int(ranked) == len(critical)
    assert said.startswith(f"Filtered: {len(critical)} of {len(findings)} findings and ")


def test_a_namespace_shows_what_touches_it_and_all_comes_back(tmp_path: Path) -> None:
    script = f"""(() => {{ {SEEN} {CHOOSE}
      set("Namespace", "payments");
      const some = seen("details.finding");
      [...document.querySelectorAll(".filters button")].pop().click();
      return [some, seen("details.finding").length, said()].join("|");
    }})()"""
    wanted = [
        f"F{i + 1}"
        for i, f in enumerate(full().findings)
        if f.detector in {"dns-search-chain", "apiserver-throttle-storm"}
    ]
    assert used(tmp_path, script) == f"{','.join(wanted)}|{len(full().findings)}|"


def test_a_time_hides_what_ended_before_it_and_zooms_the_charts(tmp_path: Path) -> None:
    script = f"""(() => {{ {SEEN} {CHOOSE}
      const d = () => document.querySelector("#tl path[data-s]").getAttribute("d"), before = d();
      const wrong = set("From", "yesterday").getAttribute("aria-invalid");
      set("From", "09:45");
      return [seen("details.finding"), d() !== before, wrong].join("|");
    }})()"""
    late = [f"F{i + 1}" for i, f in enumerate(full().findings) if f.end and f"{f.end:%H:%M}" >= "09:45"]
    assert 0 < len(late) < len(full().findings)
    assert used(tmp_path, script) == f"{','.join(late)}|true|true"


def test_a_link_to_what_is_filtered_or_folded_shows_it(tmp_path: Path) -> None:
    script = f"""(() => {{ {SEEN} {CHOOSE}
      set("Severity", "3");
      const last = [...document.querySelectorAll("details.finding")].pop(), hidden = !last.offsetHeight;
      last.open = false;
      location.hash = last.id;
      dispatchEvent(new HashChangeEvent("hashchange"));
      const about = document.querySelector("details.about");
      location.hash = about.id;
      dispatchEvent(new HashChangeEvent("hashchange"));
      return [hidden, last.offsetHeight > 0, last.open, about.open].join();
    }})()"""
    assert used(tmp_path, script) == "true,true,true,true"


def test_every_control_has_a_name_and_every_command_a_button(tmp_path: Path) -> None:
    script = """(() => {
      const all = what => [...document.querySelectorAll(what)];
      const named = e => e.labels && e.labels.length || e.getAttribute("aria-label") || e.textContent.trim();
      return [all("button, input, select").every(named), all(".cmd").every(e => e.querySelector("button")),
        all("[tabindex]").every(e => +e.getAttribute("tabindex") <= 0)].join();
    })()"""
    assert used(tmp_path, script) == "true,true,true"


def test_filters_hide_those_of_the_line_one_by_one_and_the_line_with_the_last(tmp_path: Path) -> None:
    """The gravest lies before the time that is asked for, two of the three below it in that time."""
    result = several(4)
    [run] = [one for one in result.runs if one.detector == "dns-search-chain"]
    moved = [replace(one, start=at(60 * k), end=at(60 * k + 30)) for k, one in enumerate(run.findings)]
    result = replace(result, runs=(*result.runs[:-1], replace(run, findings=tuple(moved))))
    ids = [f"F{k}" for k, one in enumerate(result.findings, 1) if one.detector == "dns-search-chain"]
    script = f"""(() => {{ {SEEN} {CHOOSE}
      const line = () => seen(".also").join();
      const every = line();
      set("From", "{at(110):%Y-%m-%d %H:%M:%S}");
      const late = line();
      set("Severity", "3");
      return [every, late, line()].join("|");
    }})()"""
    every, late, none = answer(browse(tmp_path, probed(render_html(result), script), "--dump-dom")).split("|")
    words = "and 3 more pods of shop/web: "
    assert every == words + ", ".join(ids[1:])
    assert late == words + ", ".join(ids[2:])
    assert none == ""
