"""Values of klog entries by their key, in every form that klog has written them."""

from __future__ import annotations

import json

import polars as pl
import pytest

from analyzer.facts.klog_values import go_seconds, name, names, number, seconds, value
from analyzer.frames import KLOG_LINES
from analyzer.sources.klog import SOURCE
from tests.sources.texts import read_text


def table(*lines: str) -> pl.DataFrame:
    first, *more = lines
    return read_text(SOURCE, [f"I0314 09:00:00.000000    1234 x.go:1] {first}", *more], year=2026).tables[KLOG_LINES]


def of(key: str, *lines: str) -> object:
    return table(*lines).select(value(key)).item()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('k="plain"', "plain"),
        (r'k="a \"b\" \\ c\nd"', 'a "b" \\ c\nd'),
        ('k=""', ""),
        ("k=30", "30"),
        ("k=true", "true"),
        ("k=<nil>", None),
        ("k=2021-01-01 00:00:00 +0000 UTC", "2021-01-01 00:00:00 +0000 UTC"),
        ('k={"a":{"b":"} z=1"},"c":[1,2]}', '{"a":{"b":"} z=1"},"c":[1,2]}'),
        ('k=["a b","c"]', '["a b","c"]'),
        ("k=&{ID:12 Type:ContainerStarted Data:ab cd}", "&{ID:12 Type:ContainerStarted Data:ab cd}"),
        ("k=map[a:b c:d]", "map[a:b c:d]"),
        ("k=[a/b c/d]", "[a/b c/d]"),
        ("k=&Probe{Exec:nil,Delay:3 s}", "&Probe{Exec:nil,Delay:3 s}"),
        ('k="Größe é"', "Größe é"),
        ("kk=1", None),
    ],
)
def test_a_value_is_found_wherever_it_stands(written: str, read: str | None) -> None:
    for text in (
        f'"m" {written}',
        f'"m" {written} z="y"',
        f'"a k=9 b" y="x k=8" {written} z=1',
        f'"m" p=&{{A:b}} {written}',
    ):
        assert of("k", text) == read


def test_a_value_of_lines_is_one_and_what_stands_in_it_is_no_key() -> None:
    lines = ('"m" out=<', '\tfirst k="forged"', "\tlast", ' > k="true" more=<', "\tz", " >")
    assert of("out", *lines) == 'first k="forged"\nlast'
    assert of("k", *lines) == "true"
    assert of("more", *lines) == "z"


def test_free_text_has_no_keys() -> None:
    assert of("k", 'error: k="1" k=2') is None


def test_entries_in_json_are_read_by_the_same_expression() -> None:
    entry = {"ts": 1.5, "caller": "a.go:1", "msg": "m", "v": 2, "s": 'x "y"\nz', "n": 3, "o": {"a": "b c"}, "l": [1]}
    rows = read_text(SOURCE, [json.dumps(entry)]).tables[KLOG_LINES]
    found = rows.select(value("s"), number("n"), value("o"), value("l")).row(0)
    assert found == ('x "y"\nz', 3.0, '{"a":"b c"}', "[1]")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('["shop/a","shop/b"]', ["shop/a", "shop/b"]),
        ('[{"name":"a","namespace":"shop"},{"name":"n1"}]', ["shop/a", "n1"]),
        ("[shop/a shop/b]", ["shop/a", "shop/b"]),
        ('"a_shop(0123-4567), b_shop(89)"', ["shop/a", "shop/b"]),
        ("[]", []),
    ],
)
def test_lists_of_pods_are_lists(written: str, read: list[str]) -> None:
    assert table(f'"SyncLoop ADD" source="api" pods={written}').select(names("pods")).item().to_list() == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('"shop/a"', "shop/a"),
        ("shop/a", "shop/a"),
        ('"node-1"', "node-1"),
        ('"/node-1"', "node-1"),
        ('{"name":"a","namespace":"shop"}', "shop/a"),
        ('{"name":"node-1"}', "node-1"),
        ('"a_shop(0123-4567)"', "shop/a"),
        ('"shop/a/0f0e0d0c-0001-0002-0003-000000000004"', "shop/a"),
    ],
)
def test_references_are_namespace_and_name(written: str, read: str) -> None:
    assert table(f'"m" deployment={written} x=1').select(name("deployment")).item() == read


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("1h2m3.5s", 3723.5),
        ("12.5ms", 0.0125),
        ("341.9µs", 341.9e-6),
        ("250ns", 250e-9),
        ("1m0s", 60.0),
        ("-2s", -2.0),
        ("0s", 0.0),
        ("5", None),
        ("soon", None),
    ],
)
def test_durations_are_seconds(text: str, read: float | None) -> None:
    found = pl.select(go_seconds(pl.lit(text))).item()
    assert found == (None if read is None else pytest.approx(read))
    assert table(f'"m" took="{text}"').select(seconds("took")).item() == found


def test_many_values_take_time_in_proportion() -> None:
    text = '"m" ' + " ".join(f'k{at}="{"x " * 20}"' for at in range(80))
    assert of("k60", text) == "x " * 20
    assert of("k99", text) is None
