"""The parts that all charts are drawn of: elements of SVG, labels, the keys of legends."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analyzer.render.escape import for_markup, shown

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#7a7a7a")
"""Okabe and Ito's palette, which colour-blind readers can tell apart; grey for the rest."""

DASHES = ("", "7 3", "2 2", "9 3 2 3", "5 2 1 2 1 2", "12 3", "1 3")

WIDTH = 960
LEFT, RIGHT = 132, 66

_LETTER = 6.6  # a generous width of one letter at 11 px, so that labels stay apart in any font


def px(value: float) -> str:
    """Coordinates with one decimal: a tenth of a pixel is finer than any screen."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def element(tag: str, inner: str = "", /, **attributes: object) -> str:
    """One element; attributes are escaped, what stands inside is not. `class_` is written `class`."""
    made = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{for_markup(str(value))}"' for key, value in attributes.items()
    )
    return f"<{tag}{made}>{inner}</{tag}>" if inner else f"<{tag}{made}/>"


def text_at(x: float, y: float, words: str, anchor: str = "start", kind: str = "lab", **more: object) -> str:
    """A label; of kind `ttl` it is as strong as a heading."""
    fill = "#1b1f24" if kind == "ttl" else "#57606a"
    words = for_markup(shown(words))
    return element("text", words, x=px(x), y=px(y), text_anchor=anchor, class_=kind, fill=fill, **more)


def fitted(words: str, pixels: float) -> str:
    """The words, cut to what has room in so many pixels."""
    most = max(3, int(pixels / _LETTER))
    words = shown(words, 400)
    return words if len(words) <= most else words[: most - 1] + "…"


def hatch(id_: str) -> str:
    """The pattern of what was not recorded: `url(#ID-gap)`."""
    stroke = element("path", class_="hatch", stroke="#8c959f", d="M0 6L6 0")
    return element("pattern", stroke, id=f"{id_}-gap", width=6, height=6, patternUnits="userSpaceOnUse")


def swatch(colour: int, dashed: bool) -> str:
    """The key of one lane in the legend."""
    at = colour % len(COLOURS)
    if dashed:
        line = element(
            "path", class_=f"l{at}", stroke=COLOURS[at], stroke_dasharray=DASHES[at], stroke_width=2.5, d="M0 6H22"
        )
        return element("svg", line, class_="key", width=22, height=12, aria_hidden="true")
    box = element("rect", class_=f"s{at}", fill=COLOURS[at], width=12, height=12, rx=2)
    return element("svg", box, class_="key", width=12, height=12, aria_hidden="true")


def bar(share: float, colour: int, label: str, width: int = 140) -> str:
    """A horizontal bar of that share of its box; the label is its text alternative."""
    share = min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
    at = colour % len(COLOURS)
    inner = element("title", for_markup(shown(label, 200)))
    inner += element("rect", class_="rail", fill="#e8eaed", width=width, height=10, rx=2)
    if share > 0:
        inner += element("rect", class_=f"s{at}", fill=COLOURS[at], width=px(max(share * width, 1)), height=10, rx=2)
    return element("svg", inner, class_="bar", viewBox=f"0 0 {width} 10", width=width, height=10, role="img")


def image(id_: str, height: float, title: str, desc: str, body: Sequence[str], **more: object) -> str:
    """The chart itself: an image with a name and a description; `id_` must be safe and unique in the page."""
    said = [
        element("title", for_markup(shown(title, 300)), id=f"{id_}-t"),
        element("desc", for_markup(shown(desc)), id=f"{id_}-d"),
    ]
    return element(
        "svg",
        "".join([*said, *body]),
        id=id_,
        class_="plot",
        viewBox=f"0 0 {WIDTH} {px(height)}",
        role="img",
        aria_labelledby=f"{id_}-t {id_}-d",
        font_family="system-ui,sans-serif",
        font_size=11,
        **more,
    )
