"""Columns of the values of a few keys, made by compiled kernels, against Python's json and msgspec."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer import kernels
from analyzer.sources.jsonspans import Field, Kind, fields, spans_of, texts

pytestmark = pytest.mark.skipif(not kernels.there(), reason="the kernels are not compiled here")

Keys = dict[str, tuple[str, Kind]]

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(0.001, 1000)
    | st.text('ab"\\{}[],:\n\t\x7fé\U0001f600', max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('k"\\{é', max_size=3), inner, max_size=3),
    max_leaves=12,
)


def read(lines: list[bytes], **kinds: Kind) -> dict[str, Field] | None:
    """The fields that are called like their keys, of lines that lie one after the other."""
    ends = np.cumsum([len(line) + 1 for line in lines]) - 1
    starts = ends - [len(line) for line in lines]
    return fields(b"\n".join(lines) + b"\n", spans_of(starts, ends), {key: (key, kind) for key, kind in kinds.items()})


def raw(*lines: bytes, key: str = "a") -> list[bytes]:
    """The undecoded values of one key."""
    found = read(list(lines), **{key: Kind.PLAIN})
    assert found is not None
    return texts(found[key].data, found[key].spans)


def strings(*lines: bytes, kind: Kind = Kind.TEXT) -> list[str | None] | None:
    found = read(list(lines), a=kind)
    return None if found is None else found["a"].strings("a").to_list()


def test_values_are_found_in_any_order_and_between_keys_that_nobody_asked_for() -> None:
    lines = [b'{"a":1,"b":[2,{"a":3}]}', b'{ "b" : "x" , "c":{"a":4}, "a" :\t{"a":5} }', b'{"ab":6}', b"{}", b""]
    found = read(lines, b=Kind.PLAIN, a=Kind.PLAIN)
    assert found is not None
    assert texts(found["a"].data, found["a"].spans) == [b"1", b'{"a":5}', b"", b"", b""]
    assert texts(found["b"].data, found["b"].spans) == [b'[2,{"a":3}]', b'"x"', b"", b"", b""]
    assert (found["a"].count, found["b"].count) == (2, 2)


def test_strings_lose_their_quotes_and_escapes() -> None:
    told = ["", "short", "twelve chars", "thirteen char", "q=1&r=2 <é> \U0001f600", 'all of "\\/\b\f\n\r\t\0']
    escaped = rb'{"a":"\u0026 \ud83d\ude00 \/ \"\\\b\f\n\r\t"}'
    lines = [json.dumps({"a": text}, ensure_ascii=ascii).encode() for text in told for ascii in (True, False)]
    wanted = [text for text in told for _ in range(2)] + ['& \U0001f600 / "\\\b\f\n\r\t', None, None]
    assert strings(*lines, escaped, b'{"a":null}', b"{}") == wanted
    assert strings(*lines, escaped, b'{"a":null}', b"{}", kind=Kind.TOLD) == [text or None for text in wanted]
    assert strings(b"{}", b'{"a":null}') == [None, None]


@pytest.mark.parametrize("value", [b"1", b"[]", b"{}", b"true", b'["x"]'])
def test_what_is_no_string_is_refused_where_strings_are_wanted(value: bytes) -> None:
    assert strings(b'{"a":"x"}', b'{"a":%s}' % value) is None


def is_json(text: bytes) -> bool:
    try:
        json.loads(text.decode())
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    "line",
    [
        *(b'{"a":1', b'{"a":1}}', b'{"a":1} ', b' {"a":1}', b"[]", b"1", b'{"a":1}{"a":2}', b"{", b'{"a"', b'{"a":'),
        *(b'{"a":1,}', b'{,"a":1}', b'{"a" 1}', b"{'a':1}", b'{"a":1 "b":2}', b"{a:1}", b'{"b":}', b'{1:"a"}'),
        *(b'{"b":[1,]}', b'{"b":[1 2]}', b'{"b":[}', b'{"b":{]}', b'{"b":{"c"}}', b'{"b":{"c":}}', b'{"b":{"c":1,}}'),
        *(b'{"b":01}', b'{"b":+1}', b'{"b":1.}', b'{"b":.5}', b'{"b":1e}', b'{"b":-}', b'{"b":tru}'),
        *(b'{"b":"\x1f"}', b'{"b":"\t"}', b'{"b":"\\x"}', b'{"b":"\\u12g4"}', b'{"b":"\\u123"}', b'{"b":"x}'),
        *(b'{"b":"\xff"}', b'{"b":"\xc0\xaf"}', b'{"b":"\xed\xa0\x80"}', b'{"b":"' + "é".encode()[:1] + b'"}'),
        *(b'{"b":"a text of many words \x00 and a NUL"}', b'{"b":"a text of many words \xff and no UTF-8"}'),
    ],
)
def test_what_is_no_json_object_is_refused(line: bytes) -> None:
    assert line[:1] + line[-1:] != b"{}" or not is_json(line)
    assert read([b'{"a":1}', line], a=Kind.PLAIN) is None


@pytest.mark.parametrize(
    "line",
    [
        b'{"a":1,"a":2}',
        rb'{"\u0061":1}',
        rb'{"b":"\ud800"}',
        rb'{"b":"\udc00\ud800"}',
        b'{"b":1234567890123456789}',
        b'{"b":1e100}',
        b'{"b":NaN}',
        b'{"b":%s1%s}' % (b"[" * 101, b"]" * 101),
    ],
)
def test_what_decoders_may_differ_over_is_refused(line: bytes) -> None:
    assert read([line], a=Kind.PLAIN) is None


def test_what_is_unusual_but_plain_is_read() -> None:
    deep = b"[" * 100 + b"]" * 100
    assert raw(b'{"a":%s}' % deep) == [deep]
    numbers = [b"0", b"-0.5", b"1e9", b"-12.25E-10", b"123456789012345678", b"0.0012345678901234567"]
    assert raw(*(b'{"a":%s}' % number for number in numbers)) == numbers


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "kind", "long name of a key"]), JSON), max_size=6))
def test_values_are_those_of_another_decoder(objects: list[dict[str, Any]]) -> None:
    lines = [msgspec.json.encode(one) for one in objects]
    names = ["b", "a", "long name of a key"]
    found = read(lines, **dict.fromkeys(names, Kind.PLAIN))
    assert found is not None
    for name in names:
        told = texts(found[name].data, found[name].spans)
        wanted = [msgspec.json.decode(line, type=dict[str, msgspec.Raw]).get(name, b"") for line in lines]
        assert told == [bytes(one) for one in wanted]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=3), max_size=2), st.data())
def test_no_change_of_bytes_makes_it_read_what_another_decoder_refuses(put: list[bytes], data: st.DataObject) -> None:
    line = r'{"a":"x\u0026y","kind":[1.5,-2e3,true,null],"b":{"c":"\\é","d":{}},"e":"0123456789"}'.encode()
    for piece in put:
        at = data.draw(st.integers(0, len(line)))
        line = line[:at] + piece + line[at + data.draw(st.integers(0, 2)) :]
    if (found := read([line], a=Kind.PLAIN, b=Kind.PLAIN)) is not None:
        decoded = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        assert json.loads(line).keys() == decoded.keys()
        for name in ("a", "b"):
            assert texts(line, found[name].spans) == [bytes(decoded.get(name, b""))]


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([b'"x"', b'"y"', b'{"x":1}', b"", b"7", b"77", b'"' + b"long" * 20 + b'"']), max_size=60)
)
def test_distinct_texts_are_numbered_as_they_first_come(values: list[bytes]) -> None:
    found = read([b'{"a":%s}' % value if value else b"{}" for value in values], a=Kind.DISTINCT)
    assert found is not None
    told, codes = found["a"].distinct()
    assert told == list(dict.fromkeys(values))
    assert [told[code] for code in codes] == values


def test_many_distinct_texts_keep_their_numbers() -> None:
    values = [b'"%d"' % (n * n % 7919) for n in range(20_000)]
    found = read([b'{"a":%s}' % value for value in values], a=Kind.DISTINCT)
    assert found is not None
    told, codes = found["a"].distinct()
    known = {value: number for number, value in enumerate(dict.fromkeys(values))}
    assert told == list(known)
    assert codes.tolist() == [known[value] for value in values]


@settings(deadline=None)
@given(st.lists(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)), min_size=1, max_size=4))  # noqa: DTZ001
def test_times_are_microseconds_of_the_calendar(moments: list[datetime]) -> None:
    lines = [json.dumps({"a": moment.isoformat(timespec="microseconds") + "Z"}).encode() for moment in moments]
    found = read(lines, a=Kind.MOMENT)
    assert found is not None
    column = pl.Series(found["a"].moments()).cast(pl.Datetime("us", "UTC"))
    assert column.to_list() == [moment.replace(tzinfo=UTC) for moment in moments]


@pytest.mark.parametrize(
    "value",
    [
        *(b'"2026-02-29T00:00:00.000000Z"', b'"2026-13-01T00:00:00.000000Z"', b'"2026-01-00T00:00:00.000000Z"'),
        *(b'"2026-01-01T24:00:00.000000Z"', b'"2026-01-01T00:60:00.000000Z"', b'"2026-01-01T00:00:60.000000Z"'),
        *(b'"2026-01-01 00:00:00.000000Z"', b'"2026-01-01T00:00:00Z"', b'"2026-01-01T00:00:00.000000z"', b"null"),
        *(b'"2026-01-01T00:00:00,000000Z"', b'"2026-01-01T00:00:0a.000000Z"', b'"202\\u0036-01-01T00:00:00.00Z"'),
    ],
)
def test_times_of_any_other_form_are_refused(value: bytes) -> None:
    assert read([b'{"a":"2026-01-01T00:00:00.000000Z"}', b'{"a":%s}' % value], a=Kind.MOMENT) is None


def test_without_kernels_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_library", None)
    assert read([b'{"a":1}'], a=Kind.PLAIN) is None
