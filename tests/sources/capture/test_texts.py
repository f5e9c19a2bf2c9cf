"""Texts are found by hash and told by key: what hashes alike must not be taken for the same."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.sources.capture import texts
from analyzer.sources.capture.texts import Addresses, equal_rows


@pytest.mark.parametrize("width", [1, 2, 5, 8, 32])
def test_rows_are_equal_only_if_all_their_words_are(width: int) -> None:
    left = np.arange((width + 1) * width, dtype=np.uint64).reshape(width + 1, width)
    right = left.copy()
    for word in range(width):
        right[word, word] ^= np.uint64(1) << np.uint64(63)
    assert equal_rows(left, right).tolist() == [False] * width + [True]


def test_addresses_whose_hashes_are_all_equal_keep_their_own_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "mixed", lambda keys: np.zeros(len(keys), np.uint64))
    low = np.array([0, 0x0A000001, 0x0A000002, 0, 0x0A000001, 7, 7], np.uint64)
    high = np.array([0, 0, 0, 0, 0, 1 << 48, 2 << 48], np.uint64)
    six = np.array([False] * 5 + [True] * 2)
    told = ["0.0.0.0", "10.0.0.1", "10.0.0.2", "0.0.0.0", "10.0.0.1", "1::7", "2::7"]
    addresses = Addresses()
    # The second time some of them are remembered, all at one place.
    assert [addresses.texts(six, high, low).to_list() for _ in range(2)] == [told, told]
