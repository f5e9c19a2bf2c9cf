"""Objects in every record of a log are decoded once for each distinct text."""

from __future__ import annotations

import msgspec
import polars as pl
import pytest
from msgspec import Raw

from analyzer.sources.jsonlines import decode_json_lines
from analyzer.sources.nested import Nested


def names(*texts: str) -> list[object]:
    nested = Nested([Raw(text.encode()) if text else Raw() for text in texts])
    return nested.spread(lambda values: pl.Series([str(value) for value in values])).to_list()


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (('{"a":1}', '{"a":1}'), ["{'a': 1}", "{'a': 1}"]),
        (('{"a":1}', "", '{"a":2}', '{"a":1}'), ["{'a': 1}", "None", "{'a': 2}", "{'a': 1}"]),
        (("", ""), ["None", "None"]),
        (('{"a":\n1}', '{"b":\n1}'), ["{'a': 1}", "{'b': 1}"]),  # a record that stood over several lines
        (("null", '"text"', "[" * 5000 + "]" * 5000), ["None", "text", "None"]),
    ],
)
def test_each_record_has_its_own_value(texts: tuple[str, ...], wanted: list[object]) -> None:
    assert names(*texts) == wanted


def test_a_field_that_no_record_has_is_known_to_be_none() -> None:
    assert Nested([Raw(), Raw(b"null")]).none
    assert not Nested([Raw(), Raw(b"0")]).none


def test_records_of_several_writers_in_one_window() -> None:
    records = [
        {"message": "a", "kubernetes": {"pod": {"name": "p1"}}, "host": {"name": "h1"}},
        {"message": "b", "kubernetes": {"pod_name": "p2", "host": "h2"}},
        {"message": "c", "host": "h3", "log": {"file": {"path": "/var/log/pods/ns_p3_uid/app/0.log"}}},
        {"log": "d", "kubernetes": "odd", "file": 7},
        {"message": "e", "file": "/var/log/containers/p5_ns_app-" + "a" * 64 + ".log"},
    ]
    made = decode_json_lines(pl.Series([msgspec.json.encode(one).decode() for one in records]))
    assert made["text"].to_list() == ["a", "b", "c", "d", "e"]
    assert made["pod"].to_list() == ["p1", "p2", "p3", None, "p5"]
    assert made["host"].to_list() == ["h1", "h2", "h3", None, None]
