"""What does not print stays visible, and nothing of the evidence can end a script."""

from __future__ import annotations

import html
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.render.escape import for_markup, for_script, shown, visible


@pytest.mark.parametrize(
    ("given_text", "seen"),
    [
        ("plain.example.com", "plain.example.com"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\x00b", "a\\x00b"),
        ("invoice\u202egpj.exe", "invoice\\u202egpj.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("\ud800", "\\ud800"),
        ("\u0085\u2028", "\\x85\\u2028"),
        ("grüße.example", "grüße.example"),
    ],
)
def test_characters_that_do_not_print_are_written_as_their_escape(given_text: str, seen: str) -> None:
    assert visible(given_text) == seen


def test_line_breaks_of_a_snippet_are_kept_where_asked() -> None:
    assert visible("a\n\tb\x1b", keep="\n\t") == "a\n\tb\\x1b"


def test_marks_cannot_be_stacked_over_the_lines_above() -> None:
    assert visible("a" + "\u0301" * 3) == "a" + "\u0301" * 3
    assert visible("a" + "\u0301" * 50).count("\u0301") == 3


def test_a_long_text_is_cut_and_says_how_much_is_missing() -> None:
    assert shown("x" * 5_000, 10) == "x" * 10 + "… (4,990 more characters)"
    assert shown("x" * 10, 10) == "x" * 10


def test_a_text_that_grows_by_escaping_is_cut_too() -> None:
    assert len(shown("\u202e" * 10, 10)) <= 11


@given(st.text())
def test_no_text_keeps_a_character_that_does_not_print(text: str) -> None:
    assert visible(text).isprintable()


@given(st.text())
def test_what_is_visible_does_not_change_again(text: str) -> None:
    assert visible(visible(text)) == visible(text)


@given(st.dictionaries(st.text(), st.lists(st.text())))
def test_embedded_values_are_json_that_cannot_end_their_element(value: dict[str, list[str]]) -> None:
    text = for_script(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


@given(st.text() | st.text(alphabet="&<>\"'a;"))
def test_markup_is_escaped_as_python_does(text: str) -> None:
    assert for_markup(text) == html.escape(text)
