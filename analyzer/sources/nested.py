"""Objects that stand in every record of a log and say the same again and again: who wrote it, on which node.

Shippers put the pod, the node and the labels into each record, and few of them are distinct in a window, so each
distinct text is decoded and looked at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import polars as pl
from msgspec import Raw

SAMPLE = 4096
"""Bytes in which the first two texts are looked for, to see whether all are the same."""

_ANY = msgspec.json.Decoder()
_FAULTS = (msgspec.DecodeError, RecursionError, UnicodeError)


class Nested:
    """One field of many records, undecoded in each: its distinct `values`, None where a record has none."""

    def __init__(self, raws: Sequence[Raw]) -> None:
        self._count = len(raws)
        self._places: pl.Series | None = None
        texts = self._distinct(raws)
        self.values: list[Any] = [_decoded(text) for text in texts]
        self.none = self.values.count(None) == len(self.values)

    def _distinct(self, raws: Sequence[Raw]) -> list[bytes]:
        # a text may hold line breaks where a record stood over several lines
        joined = b"\n".join(raws)
        first, _, rest = joined[:SAMPLE].partition(b"\n")
        if rest.startswith(first) and joined == b"\n".join([first] * self._count):
            return [first]
        texts = joined.split(b"\n")
        if len(texts) != self._count:
            texts = [bytes(raw) for raw in raws]
        seen: defaultdict[bytes, int] = defaultdict()
        seen.default_factory = seen.__len__
        self._places = pl.Series(list(map(seen.__getitem__, texts)), dtype=pl.UInt32)
        return list(seen)

    def spread(self, make: Callable[[list[Any]], pl.Series]) -> pl.Series:
        """The column that is made of the distinct values, for every record."""
        made = make(self.values)
        return made.new_from_index(0, self._count) if self._places is None else made.gather(self._places)


def _decoded(text: bytes) -> Any:
    try:
        return _ANY.decode(text) if text else None
    except _FAULTS:
        return None
