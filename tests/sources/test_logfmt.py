from __future__ import annotations

import json
import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.sources.logfmt import fields, unescape

BARE = re.compile(r"[A-Za-z0-9._/@^+-]+")
"""logrus's text_formatter.go, needsQuoting: everything else is quoted, the empty value too where it is told to."""


def written(value: str) -> str:
    """As logrus writes a value; JSON escapes what strconv.Quote escapes for the letters that are tried here."""
    return value if BARE.fullmatch(value) else json.dumps(value, ensure_ascii=False)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["msg", "error", "id", "other"]),
            st.text(st.sampled_from('ab "\\=\n\tÄ√-./'), max_size=12),
        ),
        max_size=6,
    )
)
def test_values_come_back_as_they_were_written(pairs: list[tuple[str, str]]) -> None:
    text = " ".join(f"{key}={written(value)}" for key, value in pairs)
    found, whole = fields(pl.Series([text]), ["msg", "error", "id"])
    first: dict[str, str] = {}
    for key, value in pairs:
        first.setdefault(key, value)
    assert whole.to_list() == [True]
    assert found.to_dicts() == [{key: first.get(key) for key in ("msg", "error", "id")}]


@pytest.mark.parametrize("text", ['msg="a', 'msg="a"b id=1', 'id=1 "x"', "id", 'msg="a\\"', "=1"])
def test_what_is_left_over_between_fields_is_told(text: str) -> None:
    assert fields(pl.Series([text, "id=1"]), ["id"])[1].to_list() == [False, True]


@pytest.mark.parametrize(
    ("quoted", "plain"),
    [
        (r"a\nb\tc\rd", "a\nb\tc\rd"),
        (r"\"\\\"", '"\\"'),
        (r"\\n", "\\n"),
        (r"\x1b[0m\a", "\x1b[0m\a"),
        (r"\\x41", "\\x41"),
        (r"\u00ad\U0001f600", "\u00ad\U0001f600"),
        (r"\xff", "\ufffd"),
        (r"\ud800", "\ufffd"),
    ],
)
def test_escapes_of_go_are_undone_once(quoted: str, plain: str) -> None:
    assert unescape(pl.Series([quoted, "x"])).to_list() == [plain, "x"]
