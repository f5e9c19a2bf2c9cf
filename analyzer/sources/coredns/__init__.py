"""CoreDNS logs: the `log` and `errors` plugins of every era, under any wrapper.

The lines, from CoreDNS's plugin/log, plugin/pkg/replacer and plugin/errors:

* now: `[INFO] 10.0.0.7:40000 - 1000 "A IN svc.example.com. udp 54 false 1232" NXDOMAIN qr,aa,rd 147 0.000123s`; the
  `combined` format adds ` "0"`
* 1.2.6 to 1.6.2: the same after a time of its own; from 1.6.3 on only the container runtime knows the time
* up to 1.2.5: `10.0.0.7:40000 - [14/Jan/2019:17:57:42 +0000] 1000 "A IN ...`, up to 1.0.6 without
  the port, up to 1.0.4 without the id
* a format of its own: `--coredns-format`; JSON objects are known by their keys
* errors: `[ERROR] plugin/errors: 2 example.com. A: read udp ...`, `[ERROR] plugin/errors: 4 errors like '...' occurred
  in last 30s`
* of itself: what `eventkinds.py` lists

A query that nobody answered is logged with flags `-` and, by version, the code NOERROR (1.3.0 to 1.8.4) or `-`
(1.8.5 to 1.14.4); both become NO_REPLY. From 1.14.5 on such a line cannot be told from any other SERVFAIL.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.frames import COREDNS_ERRORS, COREDNS_EVENTS, COREDNS_QUERIES, Table
from analyzer.sources.contract import Batch, ByteStream, Item, Ledger, Match, ReadOptions, Source
from analyzer.sources.coredns.errors import ERROR_LINE
from analyzer.sources.coredns.eventkinds import KLOG
from analyzer.sources.coredns.found import custom, json_lines
from analyzer.sources.coredns.lines import QUERY_LINE, Lines, Parsed, own_time, without_time
from analyzer.sources.coredns.tally import Tally
from analyzer.sources.lines import quote_lines
from analyzer.sources.secrets import scrub_column
from analyzer.sources.suppressions import Suppressions
from analyzer.sources.wrappers import UNWRAPPED, Unwrapper, head_lines, head_texts, wrapped_windows
from analyzer.sources.yearless import YearlessClock

_BANNER = (
    r"^(?:CoreDNS-[0-9]|(?:[^ ]*\.)?:[0-9]+(?: on [^ ]+)?$|\[[A-Z]+\] (?:plugin/[a-z0-9]+: |CoreDNS-|"
    r"Starting node-cache image: |Using Corefile |Using Pidfile|Updated Corefile with |Added interface - |"
    r"Added back .* rule - |Tearing down|Skipping kube-dns configmap sync))"
)
"""How CoreDNS begins, and NodeLocal DNSCache (kubernetes/dns, cmd/node-cache)."""

_AS_TOLD = 0.85
"""How sure a format is that somebody named."""

_SCRUBBED = {COREDNS_ERRORS: "error", COREDNS_EVENTS: "text"}
"""Columns of free text, which may quote a request."""


def identify(head: bytes) -> Match | None:
    """By lines of the log and errors plugins, or of the start of CoreDNS, as the bulk of the first lines."""
    texts = without_time(head_texts(head))
    if not texts.len():
        return None
    queries = int((texts.str.contains(QUERY_LINE) | texts.str.contains(ERROR_LINE)).sum()) + _json_queries(texts)
    others = int(texts.str.contains(_BANNER).sum())
    # client-go inside CoreDNS writes klog lines; they neither speak for nor against it
    klog = int(texts.str.contains(KLOG).sum())
    share = (queries + others) / max(1, texts.len() - klog)
    if queries and share >= 0.2:
        return Match(0.95, f"{queries} of the first {texts.len()} lines are of CoreDNS's log or errors plugin")
    if others >= 2 and share >= 0.5:
        return Match(0.7, f"{others} of the first {texts.len()} lines are those of a starting CoreDNS")
    if queries:
        return Match(0.2, "a line of CoreDNS's log plugin among others")
    return None


def identify_as_told(head: bytes, options: ReadOptions) -> Match | None:
    """As `identify`, or by lines in the format that the options name. Such a format may fit lines of others too, so who
    knows a form of its own among them is surer."""
    match = identify(head)
    if not options.coredns_format or (match is not None and match.confidence > _AS_TOLD):
        return match
    lines = head_lines(head)[1]
    if not lines.height:
        return match
    fitting = custom(own_time(lines, options), options.coredns_format)[0].height
    if 5 * fitting < lines.height:
        return match
    return Match(_AS_TOLD, f"{fitting} of the first {lines.height} lines are in the format of --coredns-format")


def _json_queries(texts: pl.Series) -> int:
    """How many lines are queries as JSON: a name that ends with a dot, beside a type or a code."""
    texts = texts.filter(texts.str.contains(r'^(?:\[INFO\] )?\{.*"[^"]*\."'))
    if not texts.len():
        return 0
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in UNWRAPPED.items() if name != "text"]
    rows = json_lines(pl.DataFrame({"text": texts}).with_columns(missing).select(UNWRAPPED.names()))[0]
    # a number may be the status of anything
    return rows.filter(pl.col("qtype").is_not_null() | pl.col("rcode").str.contains("^[A-Z]")).height


def read(stream: ByteStream, item: Item, options: ReadOptions, ledger: Ledger) -> Iterator[Batch]:
    """Batches of COREDNS_QUERIES, COREDNS_ERRORS and COREDNS_EVENTS.

    The time of a line is the wrapper's, else its own; the query arrived that line's duration earlier. Other lines of
    CoreDNS are skipped as `not-a-record`, what should be a query line and is none as `malformed line`.
    """
    clock = YearlessClock(item, options, ledger, "the syslog prefix")
    tally = Tally()
    wrapper, parts = wrapped_windows(stream, ledger)
    unwrapper = Unwrapper(wrapper, ledger, keeps=True)
    lines, suppressions = Lines(unwrapper, options), Suppressions(item.id, ledger)
    none = UNWRAPPED.to_frame()

    def parsed() -> Iterator[tuple[Parsed, Batch]]:
        for window in parts:
            if wrapper.stamped:
                frame = unwrapper.feed(window)
                frame, told = suppressions.taken(frame, pl.concat([none, *unwrapper.folded()]), clock.stamped)
                yield lines.lines(frame), told
            else:
                part = lines.window(window)
                marks = unwrapper.folded()
                yield part, suppressions.taken(none, pl.concat(marks), lambda rows: rows)[1] if marks else {}
        if (rest := unwrapper.rest()) is not None:
            yield lines.lines(rest), {}

    for part, told in parsed():
        tally.add(part)
        yield _batch(part, item, ledger)
        if told:
            yield told
    tally.tell(ledger)
    suppressions.tell()


def _batch(parsed: Parsed, item: Item, ledger: Ledger) -> Batch:
    made: dict[Table, pl.DataFrame] = {}
    frames = ((COREDNS_QUERIES, parsed.queries), (COREDNS_ERRORS, parsed.errors), (COREDNS_EVENTS, parsed.events))
    for table, frame in frames:
        if frame.height:
            rows = frame.with_columns(pl.lit(item.id).alias("source"))
            if (free := _SCRUBBED.get(table)) is not None:
                rows = rows.with_columns(scrub_column(rows[free]))
            made[table] = table.check(rows.lazy()).collect()
            ledger.use(frame.height)
            ledger.span(frame["time"].min(), frame["time"].max())  # type: ignore[arg-type]  # polars does not tell the type
    ledger.use(parsed.left.continuations)
    ledger.skip("not-a-record", parsed.left.others.head(3).to_list(), parsed.left.others.len())
    ledger.skip("malformed line", parsed.left.malformed.head(3).to_list(), parsed.left.malformed.len())
    if parsed.left.cut:
        ledger.tail()
    return made


SOURCE = Source(
    name="coredns",
    title="CoreDNS log",
    tables=(COREDNS_QUERIES, COREDNS_ERRORS, COREDNS_EVENTS),
    identify=identify,
    read=read,
    quote=quote_lines,
    identify_as_told=identify_as_told,
)
