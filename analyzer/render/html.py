"""The postmortem as one self-contained HTML page: no network, no font, and a policy that runs only our own script."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analyzer.model import Result
from analyzer.model.stories import published
from analyzer.render import format as words
from analyzer.render.anchors import related
from analyzer.render.cells import MOST_CELL
from analyzer.render.compiled import CompiledTemplates
from analyzer.render.draw import bar
from analyzer.render.escape import shown
from analyzer.render.limits import Limits
from analyzer.render.page import Page, page

TARGET_BYTES = 1_000_000
HARD_BYTES = 3_000_000
"""Reports of hundreds of megabytes have been met in other tools; browsers do not open them."""

_HERE = Path(__file__).parent


Links = Mapping[str, Sequence[tuple[str, str]]]


def render_html(result: Result, slices: Links | None = None) -> str:
    """The page of a result. The same result gives the same text; what does not fit is cut, and said to be.

    `slices`: by number of finding (F1) the names of files with its evidence, and their relative addresses.
    """
    limits = Limits()
    made = _render(page(result, limits), slices or {})
    for _ in range(6):
        if len(made.encode()) <= TARGET_BYTES:
            break
        limits = limits.tighter()
        made = _render(page(result, limits), slices or {})
    return made


def _render(view: Page, slices: Links) -> str:
    css, script = asset("page.css"), asset("page.js")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(css)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    template = _environment().get_template("page.html.j2")
    return template.render(
        page=view,
        result=view.result,
        css=Markup(css),
        script=Markup(script),
        island=Markup(view.charts.island),
        policy=policy,
        title=_title(view),
        slices=slices,
        related=related(view.result, view.ids),
    )


def _title(view: Page) -> str:
    if view.result.title:
        return view.result.title
    return f"Postmortem evidence of {words.clock(view.start)[:10]}" if view.start else "Postmortem evidence"


@cache
def asset(name: str) -> str:
    """A style or script as it goes into the page, without what only its authors need: indentation, lines of comment,
    and breaks where a sentence goes on."""
    lines = (line.strip() for line in (_HERE / "assets" / name).read_text(encoding="utf-8").splitlines())
    whole = "\n".join(line for line in lines if line and not line.startswith("//"))
    return re.sub(r"(?<=[;{},(])\n" if name.endswith(".css") else r"(?<=[;{,(])\n", "", whole)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
        optimized=False,  # folding constants takes longer than the page itself
    )
    made.bytecode_cache = CompiledTemplates(f"{made.autoescape} {made.trim_blocks} {made.lstrip_blocks}")
    made.filters.update(
        number=words.number,
        size=words.size,
        quantity=words.quantity,
        duration=words.duration,
        clock=words.clock,
        quoted=lambda text: shown(text, MOST_CELL),
        verbatim=lambda text: shown(text, MOST_CELL, keep="\n\t"),
        some=lambda text, most: shown(text, most),
        iso=_iso,
    )
    made.globals.update(window=words.window, amount=words.amount, published=published, bar=lambda *a: Markup(bar(*a)))
    return made


def _finalize(value: Any) -> Any:
    """Every expression of a template passes here, so no character of the evidence reaches the page unseen."""
    if isinstance(value, Markup):
        return value
    return shown(value, keep="\n\t") if isinstance(value, str) else value


def _iso(time: datetime) -> str:
    return words.clock(time).replace(" ", "T")
