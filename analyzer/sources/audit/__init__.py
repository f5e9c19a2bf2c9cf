"""Audit logs of kube-apiserver: JSON lines as written, lists, documents, inside container logs and cloud exports.

The unit of the ledger is the event. Bodies are measured, and of some kinds of objects a few named fields are read;
tokens in URIs are removed, and messages about Secrets and TokenReviews are not kept: none of them enters a table.

bytes -> shape (`shape`) -> records (`records`, windows of lines) -> events (`decode`, `envelope`; by kernels `scanned`)
-> rows (`columns`)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec.structs import replace

from analyzer.errors import InputError
from analyzer.frames import AUDIT_ANNOTATIONS, AUDIT_EVENTS, AUDIT_OBJECTS
from analyzer.sources.audit import servers
from analyzer.sources.audit.body import HEAD as EVENT_HEAD
from analyzer.sources.audit.columns import tables
from analyzer.sources.audit.decode import decode_each, decode_window, salvage
from analyzer.sources.audit.envelope import Told
from analyzer.sources.audit.leftout import LeftOut
from analyzer.sources.audit.legacy import DERIVED, MARK, Legacy
from analyzer.sources.audit.quote import shown, shown_line
from analyzer.sources.audit.records import deliveries, records
from analyzer.sources.audit.rows import Rows
from analyzer.sources.audit.shape import Ahead, Kind, Shape, shape_of, without_hosts
from analyzer.sources.contract import Batch, ByteStream, Item, Ledger, Match, ReadOptions, Source
from analyzer.sources.lines import QUOTE_LIMIT, ends_open, newlines, physical_lines, text_head, windows
from analyzer.sources.textwindow import Window
from analyzer.sources.wrappers import Kind as Wrapping
from analyzer.sources.wrappers import Wrapper, detect_wrapper, unwrap

LOOKED_AT = 20
"""Lines of the first bytes that are tried."""

RECORDS_LOOKED_AT = 200
"""Records of a document that are tried: exports of a cloud hold the logs of several components."""

_ESCAPED_HEAD = rb"{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/"


def identify(head: bytes) -> Match | None:
    """Sure where one of the first lines, or one record of the document, is an audit event or becomes one."""
    text, tally = text_head(head), Told()
    for candidate in _candidates(head):
        if salvage(candidate, tally).events:
            where = " and ".join(sorted(tally.envelopes))
            return Match(0.95, f"holds events of audit.k8s.io{where and ' in '}{where}")
    if EVENT_HEAD in text or _ESCAPED_HEAD in text or (b'"auditID"' in text and b'"requestURI"' in text):
        return Match(0.8, "begins like an event of audit.k8s.io")
    return None


def _candidates(head: bytes) -> Iterator[bytes]:
    """The first records of an input as JSON texts."""
    shape = shape_of(head)
    if shape.kind is Kind.LINES:
        if b"{" not in text_head(head):  # every input is asked, and most logs hold no JSON
            return
        wrapper = detect_wrapper(head)
        window = _bare(Window(1, text_head(head)), shape)
        for lines in unwrap([window], wrapper, Ledger()):
            yield from (line.encode() for line in lines["text"].head(LOOKED_AT))
    elif shape.kind is Kind.LEGACY:
        events = (Legacy().event(line) for line in text_head(head).splitlines()[:RECORDS_LOOKED_AT])
        yield from (event for event in events if event is not None)
    else:
        left = RECORDS_LOOKED_AT
        for batch in records(BytesIO(head), Ledger(), shape):
            yield from (data for _, data in batch[:left])
            left = max(0, left - len(batch))


def read(stream: ByteStream, item: Item, options: ReadOptions, ledger: Ledger) -> Iterator[Batch]:
    """Rows of AUDIT_EVENTS, a batch for each window. InputError where no event could be read."""
    ahead, tally, left_out = Ahead(stream), Told(), LeftOut(item, options, ledger)
    if not ahead.head.strip():
        raise InputError(f"{item.id}: empty file; leave it out, or look why nothing was written")
    for rows in _rows(ahead, shape_of(ahead.head), tally, ledger, left_out):
        yield from left_out.batches()
        if not len(rows.numbers):
            continue
        batch = tables(rows, item.id, options.tz, tally)
        table = batch[AUDIT_EVENTS]
        ledger.use(table.height)
        ledger.span(table["time"].min(), table["time"].max())  # type: ignore[arg-type]
        yield batch
    left_out.tell()
    for note in tally.notes():
        ledger.note(note)
    if not ledger.used:
        raise InputError(f"{item.id}: no audit event in {ledger.records} records{_hint(ahead.head)}")


def _rows(stream: Ahead, shape: Shape, tally: Told, ledger: Ledger, left_out: LeftOut) -> Iterator[Rows]:
    if shape.kind is Kind.LINES:
        yield from _lines(stream, shape, tally, ledger, left_out)
    elif shape.kind is Kind.LEGACY:
        yield from _legacy(stream, tally, ledger)
    elif shape.kind is Kind.DELIVERY:
        for batch, names in deliveries(stream, ledger, shape):
            yield _named(decode_each(batch, tally, ledger), np.array([number for number, _ in batch], np.int64), names)
    else:
        for batch in records(stream, ledger, shape):
            yield decode_each(batch, tally, ledger)


def _lines(stream: Ahead, shape: Shape, tally: Told, ledger: Ledger, left_out: LeftOut) -> Iterator[Rows]:
    wrapper, last, names = detect_wrapper(stream.head), Window(1, b"\n"), pl.Series(dtype=pl.String)

    def noted() -> Iterator[Window]:
        nonlocal last, names
        for window in windows(stream, ledger):
            if shape.prefixed:
                names = servers.leading(physical_lines(window))
            last = _bare(window, shape)
            yield last

    if shape.prefixed:
        ledger.note("lines are wrapped: a host or file name before each")
    if wrapper == Wrapper():
        for window in noted():
            rows = decode_window(window.data, window.first_number, tally, ledger, cut_last=ends_open(window))
            yield _named(rows, np.arange(window.first_number, window.first_number + names.len()), names)
        return
    ledger.note(f"lines are wrapped: {wrapper.name}")
    for lines in left_out.beside(noted(), wrapper):
        data = _joined(lines)
        numbers = lines["number"].to_numpy()
        rows = decode_window(data, numbers, tally, ledger, cut_last=ends_open(last), joined=True)
        told = [servers.named(lines[name]) for name in ("component", "pod") if lines[name].null_count() < lines.height]
        yield _named(rows, numbers, pl.select(pl.coalesce(told)).to_series() if told else names)


def _named(rows: Rows, numbers: npt.NDArray[np.int64], names: pl.Series) -> Rows:
    """The rows with the server that the prefix of their line names, where no envelope inside tells it."""
    if names.null_count() < names.len():
        by_line = dict(zip(numbers.tolist(), names.to_list(), strict=False))
        inside = rows.servers or [None] * len(rows.numbers)
        lines = np.asarray(rows.numbers).tolist()
        rows.servers = [one or by_line.get(number) for one, number in zip(inside, lines, strict=True)]
    return rows


def _bare(window: Window, shape: Shape) -> Window:
    return replace(window, data=without_hosts(window.data)) if shape.prefixed else window


def _joined(lines: pl.DataFrame) -> bytes:
    """The unwrapped lines as one window. A line break inside a wrapped text is white space of JSON."""
    return "".join(f"{text}\n" for text in lines["text"].str.replace_all("\n", " ", literal=True)).encode()


def _texts(stream: Ahead, ledger: Ledger) -> Iterator[tuple[list[tuple[int, bytes]], bool]]:
    """The lines of a legacy log, unwrapped, and whether the last one has no newline."""
    wrapper = detect_wrapper(stream.head)
    if wrapper.kind in (Wrapping.TIMESTAMPS, Wrapping.SYSLOG, Wrapping.SYSLOG_ISO):
        # the time before the line is its own, and what stands before that does no harm
        wrapper = Wrapper()
    for lines in unwrap(windows(stream, ledger), wrapper, ledger):
        texts = [(number, text.encode()) for number, text in lines.select("number", "text").rows()]
        yield texts, bool(lines["open"].any())


def _legacy(stream: Ahead, tally: Told, ledger: Ledger) -> Iterator[Rows]:
    log = Legacy()
    ledger.note(DERIVED)
    for lines, cut in _texts(stream, ledger):
        made = [(number, log.event(line)) for number, line in lines]
        if cut and made and made[-1][1] is None and MARK[:6] in lines[-1][1]:
            made.pop()
            ledger.tail()
        rows = decode_each(
            ((number, event or line) for (number, event), (_, line) in zip(made, lines, strict=False)), tally, ledger
        )
        length = {number: len(line) + 1 for number, line in lines}
        rows.sizes = [length[number] for number in rows.numbers]
        yield rows


def _hint(head: bytes) -> str:
    """What the file looks like instead, where that can be told."""
    text = text_head(head)
    first = text.lstrip().split(b"\n")[0]
    if b"HTTP/" in first and (b'"GET ' in first or b'"POST ' in first):
        return "; it looks like an access log"
    if b"protoPayload" in text:
        return "; it is an export of Google Cloud Logging whose entries do not tell of requests to Kubernetes"
    return "; check that it is an audit log, or force another kind with --as"


def quote(stream: ByteStream, numbers: frozenset[int], most: int = QUOTE_LIMIT) -> dict[int, str]:
    """The text of the events of those numbers without bodies and secrets; what cannot be shown safely is left out."""
    if not numbers:
        return {}
    ahead = Ahead(stream)
    told = ((number, shown(data, most=most)) for number, data in _wanted(ahead, shape_of(ahead.head), numbers))
    if shape_of(ahead.head).kind is Kind.LEGACY:
        texts = (line for lines, _ in _texts(ahead, Ledger()) for line in lines if line[0] in numbers)
        told = ((number, shown_line(line, most)) for number, line in texts)
    return {number: text for number, text in told if text}


def _wanted(stream: Ahead, shape: Shape, numbers: frozenset[int]) -> Iterator[tuple[int, bytes]]:
    """The records of those numbers."""
    if shape.kind is not Kind.LINES:
        for batch in records(stream, Ledger(), shape):
            yield from (record for record in batch if record[0] in numbers)
        return
    wrapper = detect_wrapper(stream.head)
    parts: Iterable[Window] = (_bare(window, shape) for window in windows(stream, Ledger()))
    if wrapper != Wrapper():
        for lines in unwrap(parts, wrapper, Ledger()):
            chosen = lines.filter(pl.col("number").is_in(list(numbers))).select("number", "text").rows()
            yield from ((number, text.encode()) for number, text in chosen)
        return
    wanted = np.array(sorted(numbers), np.int64)
    for window in parts:
        last = window.first_number + newlines(window.data)
        here = wanted[(wanted >= window.first_number) & (wanted <= last)]
        if len(here):
            split = window.data.split(b"\n")
            yield from ((int(number), split[number - window.first_number]) for number in here)
        if last > wanted[-1]:
            return


SOURCE = Source(
    name="audit",
    title="kube-apiserver audit log",
    tables=(AUDIT_EVENTS, AUDIT_ANNOTATIONS, AUDIT_OBJECTS),
    identify=identify,
    read=read,
    quote=quote,
)
