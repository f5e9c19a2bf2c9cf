"""Audit logs of kube-apiserver: JSON lines as written, lists, documents, inside container logs and cloud records.

The unit of the ledger is the event. Bodies are measured and left behind, tokens in URIs are removed, and messages about
Secrets and TokenReviews are not kept: none of them enters a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl

from analyzer.errors import InputError
from analyzer.frames import AUDIT_ANNOTATIONS, AUDIT_EVENTS, AUDIT_OBJECTS
from analyzer.sources.audit.body import HEAD as EVENT_HEAD
from analyzer.sources.audit.columns import Rows, Tally, tables
from analyzer.sources.audit.decode import decode_each, decode_window, salvage
from analyzer.sources.audit.quote import shown
from analyzer.sources.audit.shape import LINES, Ahead, document, number_of, shape_of
from analyzer.sources.audit.split import Splitter
from analyzer.sources.contract import Batch, ByteStream, Item, Ledger, Match, ReadOptions, Source
from analyzer.sources.lines import Window, ends_open, text_head, windows
from analyzer.sources.wrappers import Wrapper, detect_wrapper, unwrap

LOOKED_AT = 20
"""Lines of the first bytes that are tried."""


def identify(head: bytes) -> Match | None:
    """Sure where one of the first lines, or one element of the document, is an audit event."""
    text = text_head(head)
    tally, base = Tally(), shape_of(head)
    if base == LINES:
        [frame_] = unwrap([Window(1, text)], detect_wrapper(head), Ledger())
        candidates: Iterable[bytes] = [line.encode() for line in frame_["text"].head(LOOKED_AT)]
    else:
        candidates = [element.data for element in Splitter(base).feed(text)[:LOOKED_AT]]
    if any(salvage(candidate, tally).events for candidate in candidates):
        return Match(0.95, "holds events of audit.k8s.io")
    if EVENT_HEAD in text or (b'"auditID"' in text and b'"requestURI"' in text):
        return Match(0.8, "begins like an event of audit.k8s.io")
    return None


def read(stream: ByteStream, item: Item, options: ReadOptions, ledger: Ledger) -> Iterator[Batch]:
    """Rows of AUDIT_EVENTS, a batch for each window. InputError where no event could be read."""
    ahead, tally = Ahead(stream), Tally()
    if not ahead.head.strip():
        raise InputError(f"{item.id}: empty file; leave it out, or look why nothing was written")
    base = shape_of(ahead.head)
    batches = _lines(ahead, tally, ledger) if base == LINES else _elements(ahead, base, tally, ledger)
    for rows in batches:
        if not rows.events:
            continue
        batch = tables(rows, item.id, options.tz, tally)
        table = batch[AUDIT_EVENTS]
        ledger.use(table.height)
        ledger.span(table["time"].min(), table["time"].max())  # type: ignore[arg-type]
        yield batch
    for note in tally.notes():
        ledger.note(note)
    if not ledger.used:
        raise InputError(f"{item.id}: no audit event in {ledger.records} records{_hint(ahead.head)}")


def _lines(stream: Ahead, tally: Tally, ledger: Ledger) -> Iterator[Rows]:
    wrapper, last = detect_wrapper(stream.head), Window(1, b"\n")

    def noted() -> Iterator[Window]:
        nonlocal last
        for window in windows(stream, ledger):
            last = window
            yield window

    if wrapper == Wrapper():
        for window in noted():
            yield decode_window(window.data, window.first_number, tally, ledger, cut_last=ends_open(window))
        return
    ledger.note(f"lines are wrapped: {wrapper.name}")
    for lines in unwrap(noted(), wrapper, ledger):
        data = _joined(lines)
        yield decode_window(data, lines["number"].to_numpy(), tally, ledger, cut_last=ends_open(last), joined=True)


def _joined(lines: pl.DataFrame) -> bytes:
    """The unwrapped lines as one window. A line break inside a wrapped text is white space of JSON."""
    return "".join(f"{text}\n" for text in lines["text"].str.replace_all("\n", " ", literal=True)).encode()


def _elements(stream: ByteStream, base: int, tally: Tally, ledger: Ledger) -> Iterator[Rows]:
    for batch in document(stream, ledger, base):
        yield decode_each(((number_of(element, base), element.data) for element in batch), tally, ledger)


def _hint(head: bytes) -> str:
    """What the file looks like instead, where that can be told."""
    text = text_head(head)
    first = text.lstrip().split(b"\n")[0]
    if b"HTTP/" in first and (b'"GET ' in first or b'"POST ' in first):
        return "; it looks like an access log"
    if any(mark in text for mark in (b"protoPayload", b'"service_name":"k8s.io"', b"io.k8s.core.v1")):
        return (
            "; it looks like an export of GKE Cloud Logging, which is not read: its entries are no audit.k8s.io events"
        )
    if b'AUDIT: id="' in first:
        return "; it is the legacy text format, which is not read: write the log with --audit-log-format=json"
    return "; check that it is an audit log, or force another kind with --as"


def quote(stream: ByteStream, numbers: frozenset[int]) -> dict[int, str]:
    """The text of the events of those numbers without bodies and secrets; what cannot be shown safely is left out."""
    ahead, wanted = Ahead(stream), np.array(sorted(numbers), np.int64)
    base, found = shape_of(ahead.head), dict[int, str]()
    if not len(wanted):
        return found
    if base != LINES:
        for batch in document(ahead, Ledger(), base):
            found |= {
                number: told
                for element in batch
                if (number := number_of(element, base)) in numbers and (told := shown(element.data))
            }
        return found
    wrapper = detect_wrapper(ahead.head)
    if wrapper != Wrapper():
        for lines in unwrap(windows(ahead, Ledger()), wrapper, Ledger()):
            chosen = lines.filter(pl.col("number").is_in(list(numbers))).select("number", "text").rows()
            found |= {number: told for number, text in chosen if (told := shown(text.encode()))}
        return found
    for window in windows(ahead, Ledger()):
        last = window.first_number + window.data.count(b"\n")
        here = wanted[(wanted >= window.first_number) & (wanted <= last)]
        if len(here):
            split = window.data.split(b"\n")
            texts = {int(number): shown(split[number - window.first_number]) for number in here}
            found |= {number: text for number, text in texts.items() if text}
        if last > wanted[-1]:
            break
    return found


SOURCE = Source(
    name="audit",
    title="kube-apiserver audit log",
    tables=(AUDIT_EVENTS, AUDIT_ANNOTATIONS, AUDIT_OBJECTS),
    identify=identify,
    read=read,
    quote=quote,
)
