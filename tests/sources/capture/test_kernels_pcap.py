"""Kernels that look at the heads of pcap records do what NumPy does, whatever stands in them."""

from __future__ import annotations

import random
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from analyzer import kernels
from analyzer.sources.capture.arrays import U8, padded
from analyzer.sources.capture.pcap_format import (
    CAPTURED_MOST,
    FIELDS_COMPILED,
    NEAR,
    WIRE_MOST,
    PcapFormat,
    pcap_format,
)
from tests.sources.capture.make import EPOCH, pcap

pytestmark = pytest.mark.skipif(not kernels.there(), reason="no compiled kernels: rustc was not there at the build")

MILLION, BILLION = 1_000_000, 1_000_000_000
NEXT_TO_LIMITS = tuple(limit + step for limit in (CAPTURED_MOST, WIRE_MOST, MILLION, BILLION) for step in (-1, 0, 1))
TIMES = tuple(EPOCH + way * (NEAR + step) for way in (-1, 1) for step in (-1, 0, 1))
USUAL = (EPOCH + 1, 999_999, 90, 90)

FORMS = st.builds(
    lambda order, fraction, swapped, header: replace(
        pcap_format(pcap([], order=order)), fraction=fraction, swapped=swapped, header=header
    ),
    st.sampled_from("<>"),
    st.sampled_from((MILLION, BILLION)),
    st.booleans(),
    st.sampled_from((16, 24)),
)


def _heads(form: PcapFormat, rng: random.Random, strange: int) -> U8:
    """Heads one behind the other, in which some words are close to what a record may state."""
    words = [list(USUAL) for _ in range(FIELDS_COMPILED + 40)]
    for _ in range(strange):
        words[rng.randrange(len(words))][rng.randrange(4)] = rng.choice((0, 89, *NEXT_TO_LIMITS, *TIMES, 2**32 - 1))
    if rng.random() < 0.2:
        words[rng.randrange(len(words))] = [0] * 4
    return padded(b"".join(struct.pack(f"{form.order}4I", *row) for row in words))


def _alike(one: Struct, other: Struct) -> None:
    for name in one.__struct_fields__:
        mine, others = getattr(one, name), getattr(other, name)
        if isinstance(mine, np.ndarray):
            assert mine.dtype == others.dtype, name
            mine, others = mine.tolist(), others.tolist()
        assert (type(mine), mine) == (type(others), others), name


def _by_numpy(work: Any, *arguments: Any) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_library", None)
        return work(*arguments)


@settings(max_examples=300, deadline=None)
@given(form=FORMS, seed=st.integers(0, 1 << 32), strange=st.integers(0, 30))
def test_heads_are_looked_at_alike(form: PcapFormat, seed: int, strange: int) -> None:
    data = _heads(form, random.Random(seed), strange)
    at = np.arange(0, (FIELDS_COMPILED + 40) * 16, 16)
    one, other = form.heads(data, at, EPOCH), _by_numpy(form.heads, data, at, EPOCH)
    _alike(one, other)
    # one record by itself says the same as among others
    assert form.fields_at(data, 32).tolist() == one.fields[2].tolist()
    odd = [bool(form.odd(form.fields_at(data, place), EPOCH)) for place in at.tolist()]
    assert one.first_odd == (odd.index(True) if True in odd else len(odd))


@pytest.mark.parametrize("value", [*NEXT_TO_LIMITS, *TIMES])
@pytest.mark.parametrize("word", range(4))
@pytest.mark.parametrize("fraction", [MILLION - 1, MILLION])
def test_one_strange_head_is_odd_by_either(value: int, word: int, fraction: int) -> None:
    """Alone, and beside a fraction that is strange already."""
    form = pcap_format(pcap([]))
    words = [EPOCH, fraction, 90, 90]
    words[word] = value
    rows = [USUAL] * FIELDS_COMPILED + [tuple(words)]
    data = padded(b"".join(struct.pack("<4I", *row) for row in rows))
    at = np.arange(len(rows)) * 16
    _alike(form.heads(data, at, EPOCH), _by_numpy(form.heads, data, at, EPOCH))


@settings(max_examples=200, deadline=None)
@given(form=FORMS, seed=st.integers(0, 1 << 32), strange=st.integers(0, 30), less=st.integers(0, 40))
def test_columns_of_records_are_made_alike(form: PcapFormat, seed: int, strange: int, less: int) -> None:
    """Also of the first records only."""
    data = _heads(form, random.Random(seed), strange)
    at = np.arange(0, (FIELDS_COMPILED + 40) * 16, 16)
    fields = form.fields(data, at)
    at = at[: len(at) - less]
    one = form.columns(at, fields)
    _alike(one, _by_numpy(form.columns, at, fields))
    assert not any(np.shares_memory(column, fields) for column in (one.start, one.end, one.wire, one.time))
