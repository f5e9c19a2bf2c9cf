"""CoreDNS logs: the `log` and `errors` plugins of every era, under any wrapper.

The lines, from CoreDNS's plugin/log, plugin/pkg/replacer and plugin/errors:

* now: `[INFO] 10.0.0.7:40000 - 1000 "A IN svc.example.com. udp 54 false 1232" NXDOMAIN qr,aa,rd 147 0.000123s`; the
  `combined` format adds ` "0"`
* 1.2.6 to 1.6.2: the same after a time of its own; from 1.6.3 on only the container runtime knows the time
* up to 1.2.5: `10.0.0.7:40000 - [14/Jan/2019:17:57:42 +0000] 1000 "A IN ...`, up to 1.0.4 without the id
* errors: `[ERROR] plugin/errors: 2 example.com. A: read udp ...`, `[ERROR] plugin/errors: 4 errors like '...' occurred
  in last 30s`

A query that nobody answered is logged with flags `-` and, by version, the code NOERROR (1.3.0 to 1.8.4) or `-`
(1.8.5 to 1.14.4); both become NO_REPLY. From 1.14.5 on such a line cannot be told from any other SERVFAIL.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.frames import COREDNS_ERRORS, COREDNS_QUERIES, Table
from analyzer.sources.contract import Batch, ByteStream, Item, Ledger, Match, ReadOptions, Source
from analyzer.sources.corednslines import ERROR_LINE, QUERY_LINE, Parsed, parse, parse_window
from analyzer.sources.lines import quote_lines
from analyzer.sources.secrets import scrub_column
from analyzer.sources.wrappers import Unwrapper, head_texts, wrapped_windows
from analyzer.sources.yearless import YearlessClock

ENOUGH_QUERIES = 100
"""Queries before the lack of successes says something about the class that is logged [an engineering default]."""

_BANNER = r"^(?:CoreDNS-[0-9]|(?:[^ ]*\.)?:[0-9]+(?: on [^ ]+)?$|\[[A-Z]+\] (?:plugin/[a-z0-9]+: |CoreDNS-))"
_KLOG = r"^[IWEF][0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6} "


def identify(head: bytes) -> Match | None:
    """By lines of the log and errors plugins, or of the start of CoreDNS, as the bulk of the first lines."""
    texts = head_texts(head)
    if not texts.len():
        return None
    queries = int((texts.str.contains(QUERY_LINE) | texts.str.contains(ERROR_LINE)).sum())
    others = int(texts.str.contains(_BANNER).sum())
    # client-go inside CoreDNS writes klog lines; they neither speak for nor against it
    klog = int(texts.str.contains(_KLOG).sum())
    share = (queries + others) / max(1, texts.len() - klog)
    if queries and share >= 0.2:
        return Match(0.95, f"{queries} of the first {texts.len()} lines are of CoreDNS's log or errors plugin")
    if others >= 2 and share >= 0.5:
        return Match(0.7, f"{others} of the first {texts.len()} lines are those of a starting CoreDNS")
    if queries:
        return Match(0.2, "a line of CoreDNS's log plugin among others")
    return None


def read(stream: ByteStream, item: Item, options: ReadOptions, ledger: Ledger) -> Iterator[Batch]:
    """Batches of COREDNS_QUERIES and COREDNS_ERRORS.

    The time of a line is the wrapper's, else its own; the query arrived that line's duration earlier. Other lines of
    CoreDNS are skipped as `not-a-record`, what should be a query line and is none as `malformed line`.
    """
    clock = YearlessClock(item, options, ledger, "the syslog prefix")
    tally = _Tally()
    wrapper, parts = wrapped_windows(stream, ledger)
    unwrapper = Unwrapper(wrapper, ledger)

    def parsed() -> Iterator[Parsed]:
        for window in parts:
            if wrapper.stamped:
                yield parse(clock.stamped(unwrapper.feed(window)), options)
            else:
                yield parse_window(window, unwrapper, options)
        if (rest := unwrapper.rest()) is not None:
            yield parse(rest, options)

    for part in parsed():
        tally.add(part)
        yield _batch(part, item, ledger)
    tally.tell(ledger)


def _batch(parsed: Parsed, item: Item, ledger: Ledger) -> Batch:
    made: dict[Table, pl.DataFrame] = {}
    for table, frame in ((COREDNS_QUERIES, parsed.queries), (COREDNS_ERRORS, parsed.errors)):
        if frame.height:
            rows = frame.with_columns(pl.lit(item.id).alias("source"))
            if table is COREDNS_ERRORS:
                rows = rows.with_columns(scrub_column(rows["error"]))
            made[table] = table.check(rows.lazy()).collect()
            ledger.use(frame.height)
            ledger.span(frame["time"].min(), frame["time"].max())  # type: ignore[arg-type]  # polars does not tell the type
    ledger.skip("not-a-record", parsed.others.head(3).to_list(), parsed.others.len())
    ledger.skip("malformed line", parsed.malformed.head(3).to_list(), parsed.malformed.len())
    if parsed.cut:
        ledger.tail()
    return made


class _Tally:
    """What the whole log lacks, to be said once at its end."""

    def __init__(self) -> None:
        self._queries = self._errors = self._timeless = self._address_queries = self._successes = self._unknown = 0

    def add(self, parsed: Parsed) -> None:
        queries = parsed.queries
        self._queries += queries.height
        self._errors += parsed.errors.height
        self._timeless += queries["time"].null_count() + parsed.errors["time"].null_count()
        self._unknown += parsed.unknown
        address = queries["qtype"] == "A"
        self._address_queries += int(address.sum())
        # NODATA is NOERROR too, but for A only where a name has AAAA alone
        self._successes += int((address & (queries["rcode"] == "NOERROR")).sum())

    def tell(self, ledger: Ledger) -> None:
        if self._timeless and self._timeless == self._queries + self._errors:
            ledger.note(
                "no timestamps in this log (CoreDNS 1.6.3 and later write none): counts and order only, no rates; "
                "`kubectl logs --timestamps` or the container runtime's file has them"
            )
        elif self._timeless:
            ledger.note(f"{self._timeless} lines have no timestamp")
        if self._errors and not self._queries:
            ledger.note("errors only, no query lines (the log plugin was off): patterns in queries have no data here")
        if self._address_queries >= ENOUGH_QUERIES and not self._successes:
            ledger.note(
                f"none of {self._address_queries} A queries succeeded: the log plugin may write denials and errors "
                "only, so shares of all queries are unknown"
            )
        if self._unknown and not self._queries:
            ledger.note(f"{self._unknown} [INFO] lines are in no known format of the log plugin")


SOURCE = Source(
    name="coredns",
    title="CoreDNS log",
    tables=(COREDNS_QUERIES, COREDNS_ERRORS),
    identify=identify,
    read=read,
    quote=quote_lines,
)
