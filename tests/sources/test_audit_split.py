from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.frames import AUDIT_EVENTS
from analyzer.sources.audit import SOURCE
from analyzer.sources.audit.body import cut, excise
from analyzer.sources.audit.split import Splitter, elements, pieces
from analyzer.sources.contract import Item, Ledger, ReadOptions
from analyzer.sources.lines import chunks as read_chunks
from tests.sources.audit_log import line

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab"\\{}[],:\n é', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('k"\\{', max_size=3), inner, max_size=3),
    max_leaves=12,
)


def chunks(data: bytes, sizes: list[int]) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at < len(data):
        step = sizes[len(found) % len(sizes)]
        found.append(data[at : at + step])
        at += step
    return found


@given(
    st.lists(st.dictionaries(st.text(max_size=3), JSON, max_size=3), max_size=6),
    st.lists(st.integers(1, 40), min_size=1),
)
def test_elements_are_what_a_decoder_sees_however_the_bytes_are_cut(values: list[Any], sizes: list[int]) -> None:
    for base, data in (
        (0, "\n".join(json.dumps(value, indent=1) for value in values)),
        (1, json.dumps(values)),
        (2, json.dumps({"kind": "EventList", "items": values}, indent=2, ensure_ascii=False)),
    ):
        ledger = Ledger()
        found = [one for batch in elements(iter(chunks(data.encode(), sizes)), ledger, base) for one in batch]
        assert [json.loads(element.data) for element in found] == values
        assert [element.ordinal for element in found] == list(range(1, len(values) + 1))
        assert ledger.records == 0


def test_lines_are_counted_through_chunks() -> None:
    data = b'\n{\n"a": 1\n}\n\n{"b":\n2}'
    for size in range(1, 8):
        found = [one for batch in elements(iter(chunks(data, [size])), Ledger(), 0) for one in batch]
        assert [element.line for element in found] == [2, 6]


def test_an_unfinished_element_is_the_tail() -> None:
    ledger = Ledger()
    assert [batch for batch in elements(iter([b'[{"a":1},{"b"']), ledger, 1) if batch]
    assert ledger.incomplete_tail == 1


def test_damage_in_an_array_ends_it_and_is_told() -> None:
    ledger = Ledger()
    found = [one.data for batch in elements(iter([b'[{"a":1},\n{"b":"x\n"},{"c":1}]']), ledger, 1) for one in batch]
    assert found == [b'{"a":1}']
    assert ledger.skipped == 1
    assert any("damaged" in note for note in ledger.notes)


def test_endless_damage_does_not_take_endless_time() -> None:
    ledger = Ledger()
    list(elements(iter([b'{"\n' * 200_000]), ledger, 0))
    assert 0 < ledger.skipped < 1000


@pytest.mark.parametrize("data", [b"", b"}", b"}{", b'"', b"\\", b'{"a":"\\', b"[[[", b"{]"])
def test_no_bytes_break_the_splitter(data: bytes) -> None:
    Splitter(0).feed(data)
    pieces(data)


def test_random_bytes_do_not_break_it() -> None:
    rng = random.Random(7)
    for _ in range(300):
        data = bytes(rng.choice(b'{}[]"\\,:\n a1') for _ in range(rng.randrange(60)))
        for base in (0, 1, 2):
            batches = elements(iter(chunks(data, [rng.randrange(1, 20)])), Ledger(), base)
            assert all(one.data in data for batch in batches for one in batch)


def test_pieces_are_the_values_of_one_line() -> None:
    assert pieces(b'{"a":"}{"}{"b":[{}]} {"c":1}') == [b'{"a":"}{"}', b'{"b":[{}]}', b'{"c":1}']


def test_a_body_is_cut_where_the_apiserver_puts_it() -> None:
    head = b'{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse"'
    request, response = b',"requestObject":{"a":[1]}', b',"responseObject":{"b":2}'
    rest = b',"requestReceivedTimestamp":"t","stageTimestamp":"u"}'
    data = b"\n".join((head + request + response + rest, head + rest, head + response + rest)) + b"\n"
    ends = np.array([at for at, byte in enumerate(data) if byte == 10])
    starts = np.concatenate([[0], ends[:-1] + 1])
    lean, gone = cut(data, starts, ends)
    assert lean == (head + rest + b"\n") * 3
    assert gone.request.tolist() == [len(request), 0, 0]
    assert gone.response.tolist() == [len(response), 0, len(response)]
    assert [gone.bodies(line) for line in range(3)] == [(b'{"a":[1]}', b'{"b":2}'), (b"", b""), (b"", b'{"b":2}')]


def test_bodies_are_excised_wherever_they_stand() -> None:
    line = b'{"requestObject":0,"a":{"x":1,"requestObject":{}},"responseObject":{"q":"}"},"z":1,"requestObject":[{}]}'
    assert excise(line) == (
        b'{"requestObject":0,"a":{"x":1,"requestObject":{}},"z":1}',
        len(b',"requestObject":[{}]'),
        len(b',"responseObject":{"q":"}"}'),
    )


def test_a_document_without_line_breaks_is_not_held_whole() -> None:
    record = json.dumps({"properties": {"log": line(1).decode() + " " * 1_000_000}})
    data = b'{"records":[' + ",".join([record] * 40).encode() + b"]}"
    stream = io.BytesIO(data)
    batches = SOURCE.read(stream, Item(id="hub.json", path=Path("x")), ReadOptions(), Ledger())

    first = next(batches)[AUDIT_EVENTS].height

    assert 0 < first < 40
    assert stream.tell() < len(data) // 2
    assert first + sum(batch[AUDIT_EVENTS].height for batch in batches) == 40


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_chunks_of_a_document_end_anywhere(size: int) -> None:
    data = '{"records":[{"a":"\\\\\\"é]"},\n{"b":[{}]},{"c":"\\\\"}]}'.encode()
    batches = elements(read_chunks(io.BytesIO(data), Ledger(), size), Ledger(), 2)
    assert [(one.line, one.data.decode()) for batch in batches for one in batch] == [
        (1, '{"a":"\\\\\\"é]"}'),
        (2, '{"b":[{}]}'),
        (2, '{"c":"\\\\"}'),
    ]
