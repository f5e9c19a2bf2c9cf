"""Opens a page in headless Chromium and says what it did."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from analyzer.render.html import render_html
from tests.render.sample_full import full

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PDFTOTEXT = shutil.which("pdftotext")

NEEDS_CHROMIUM = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


@cache
def page() -> str:
    return render_html(full())


def browse(folder: Path, text: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Open the text as a file in a fresh profile."""
    file = folder / "page.html"
    file.write_text(text, encoding="utf-8")
    return visit(folder, file.as_uri(), *flags)


def visit(folder: Path, address: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Open an address in a fresh profile."""
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-proxy-server",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        "--v=0",
        f"--user-data-dir={folder / 'profile'}",
        *flags,
        address,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)


def console(run: subprocess.CompletedProcess[str]) -> list[str]:
    """What the page said on the console, which is where errors and refused loads appear."""
    return [line for line in run.stderr.splitlines() if "CONSOLE" in line]


def probed(text: str, script: str) -> str:
    """The page without its policy, and with a script of the test that leaves its answer in `data-answer`."""
    bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    return bare.replace("</body>", f"<script>document.documentElement.dataset.answer = {script}</script></body>")


def answer(run: subprocess.CompletedProcess[str]) -> str:
    found = re.search(r'<html[^>]*data-answer="([^"]*)"', run.stdout)
    assert found, "the probe left no answer"
    return html.unescape(found[1])


def unscripted() -> str:
    """The page with every script refused and every finding folded, as a strict server would deliver it."""
    strict, times = re.subn(r"script-src &#39;sha256-[^&]*&#39;", "script-src &#39;none&#39;", page())
    assert times == 1
    return strict.replace(" open>", ">")
