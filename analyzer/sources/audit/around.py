"""What stands around the list in which the records of a document lie: who sent them, from which stream of a log.

A subscription of CloudWatch Logs delivers documents `{"messageType", "owner", "logGroup", "logStream",
"subscriptionFilters", "logEvents": [...]}` (Amazon CloudWatch Logs User Guide, "Real-time processing of log data with
subscriptions"), one after the other in a file of Firehose. Only the document tells the stream.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Raw, Struct

from analyzer.sources.audit.servers import server_of

LIMIT = 64 << 10
"""Bytes of a document around its list that are kept; an honest one has a few hundred."""

Places = npt.NDArray[np.int64]

_RAWS = msgspec.json.Decoder(dict[str, Raw])


class Around(Struct):
    """Follows the documents of an input, in whatever pieces they come: `head` is what was seen of the open document
    before its list, `text` what stands around the list that is open."""

    head: bytes = b""
    text: bytes = b""
    depth: int = 0

    def of(self, data: bytes, places: Places, opens: npt.NDArray[np.bool_], depths: Places) -> list[bytes]:
        """For every element that ends or begins in this piece, in order: the document with an empty list; empty where
        that is not known. `places` are the brackets outside texts, `depths` the nesting behind each."""
        documents, lists = places[opens & (depths == 1)], places[opens & (depths == 2)]
        closed, ended = places[~opens & (depths == 1)], places[~opens & (depths == 0)]
        begins = np.searchsorted(lists, places[opens & (depths == 3)]).tolist()
        held = [self.text] if self.depth > 2 else []
        self.depth = int(depths[-1]) if len(depths) else self.depth
        still_open = [len(lists)] if self.depth > 1 else []
        wanted = {at for at in (*begins, *still_open) if at}
        made = {at: self._around(data, int(lists[at - 1]), documents, closed, ended) for at in wanted}
        made[0] = self.text
        if len(documents):
            self.head, self.text = data[int(documents[-1]) :][:LIMIT], b""
        elif not begins and self.depth < 3:
            self.head = (self.head + data)[:LIMIT]
        self.text = made[still_open[0]] if still_open else self.text
        return held + [made[at] for at in begins]

    def _around(self, data: bytes, begin: int, documents: Places, closed: Places, ended: Places) -> bytes:
        """The document of the list that opens there; what follows the list only where it lies in this piece."""
        start = int(np.searchsorted(documents, begin))
        head = data[int(documents[start - 1]) : begin] if start else self.head + data[:begin]
        ends = closed[np.searchsorted(closed, begin) :], ended[np.searchsorted(ended, begin) :]
        tail = data[int(ends[0][0]) + 1 : int(ends[1][0]) + 1] if len(ends[1]) else b"}"
        return head + b"[]" + tail if len(head) + len(tail) <= LIMIT else b""


def server_around(text: bytes) -> str | None:
    """The server that the fields of such a document name."""
    try:
        return server_of(_RAWS.decode(text)) if text else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
