"""Unwrapped CoreDNS lines, each taken for exactly one thing: a query, an error, an event, or what was left out."""

from __future__ import annotations

import numpy as np
import polars as pl
from msgspec import Struct

from analyzer.frames import COREDNS_ERRORS, COREDNS_EVENTS, COREDNS_QUERIES, TIME
from analyzer.sources.contract import ReadOptions
from analyzer.sources.coredns.cells import cell_rows, split_cells
from analyzer.sources.coredns.component import Components
from analyzer.sources.coredns.errors import SIGN, errors
from analyzer.sources.coredns.events import Events
from analyzer.sources.coredns.found import custom, json_lines, older
from analyzer.sources.coredns.quick import quick_rows
from analyzer.sources.coredns.values import none_of
from analyzer.sources.lines import line_places
from analyzer.sources.textwindow import Window
from analyzer.sources.times import localise, parse_rfc3339
from analyzer.sources.wrappers import UNWRAPPED, Kind, Unwrapper

QUERY_LINE = r'^(?:[^ "]+ )?(?:\[INFO\] )?[^ ]+ - (?:\[[^\]]+\] )?(?:[0-9]+ )?"[^ "]+ [A-Z]+ [^"]+ (?:udp|tcp) '
_LIKE_QUERY = r'^(?:\[INFO\] )?[^ ]+:[0-9]+ - [\[0-9"]'
_OWN_TIME = r"^([0-9]{4}(?:-[0-9]{2}-[0-9]{2}T[^ ]+|/[0-9]{2}/[0-9]{2} [0-9:]{8})) "

_LEVEL = r"^\[(?:DEBUG|INFO|WARNING|ERROR|FATAL|PANIC)\] [^ ]"
_START = (
    r"^(?:(?:[^ ]*\.)?:[0-9]+(?: on [^ ]+)?$|CoreDNS-|[a-z]+/[a-z0-9]+, go|maxprocs: |\s*[~_/\\|`'()]|"
    r"[IWEF][0-9]{4} [0-9]{2}:|(?:panic|goroutine|fatal error|runtime\.|main\.|created by|Trace)\b|\t|"
    r"(?:dns|tls|https|grpc|quic)://)"
)
"""Lines without a level that CoreDNS or the libraries in it are known to write: where it listens, its version and
banner, GOMAXPROCS, klog lines of client-go, goroutine dumps."""

_LEADS: dict[Kind, tuple[str, ...]] = {Kind.RAW: (), Kind.TIMESTAMPS: ("stamp",), Kind.CRI: ("stamp", "stream", "part")}
"""Wrappers that are just more cells before the line."""

_POD = r"^\[pod/([^/\] ]+)/[^/\] ]+\]$"


class Left(Struct, frozen=True):
    """What became of the lines that are no rows: how many continue an event; the numbers of other and of malformed
    ones; `cut`: the last line is an incomplete tail; `unknown`: [INFO] lines that may be queries in another format."""

    continuations: int
    others: pl.Series
    malformed: pl.Series
    cut: bool
    unknown: int


class Parsed(Struct, frozen=True):
    """Rows of the tables without `source`, and the other lines."""

    queries: pl.DataFrame
    errors: pl.DataFrame
    events: pl.DataFrame
    left: Left


class Lines:
    """Takes the lines of one input apart, window after window."""

    def __init__(self, unwrapper: Unwrapper, options: ReadOptions) -> None:
        self._unwrapper = unwrapper
        self._options = options
        self._events = Events()
        self._components = Components()

    def window(self, window: Window) -> Parsed:
        """The lines of one window. Where the wrapper allows, cells are cut from the bytes themselves."""
        wrapper = self._unwrapper.wrapper
        lead = _LEADS.get(wrapper.kind)
        if (
            lead is None
            or wrapper.inner is not None
            or self._unwrapper.holds
            or b"\r" in window.data
            or self._options.coredns_format
        ):
            return self.lines(self._unwrapper.feed(window))
        if not wrapper.prefixed and (quick := quick_rows(window, lead)) is not None:
            if not quick.left.any():
                return self._parsed(quick.rows, pl.DataFrame(schema=UNWRAPPED))
            return self.lines(self._unwrapper.some(window, quick.left), quick.rows)
        cells = split_cells(window.data, (("pod",) if wrapper.prefixed else ()) + lead)
        numbers, line_bytes = line_places(window)
        if cells.height != len(numbers) or ("part" in lead and not (cells["part"] == "F").all()):
            return self.lines(self._unwrapper.feed(window))
        place = pl.DataFrame({"number": numbers, "line_bytes": line_bytes})
        time = parse_rfc3339(cells["stamp"]) if "stamp" in lead else pl.lit(None, TIME)
        pod = cells["pod"].str.extract(_POD, 1) if wrapper.prefixed else pl.lit(None, pl.String)
        place = place.with_columns(time.alias("time"), pod.alias("pod"))
        rows, valid = cell_rows(place, cells, b"\\" in window.data)
        for name, told in (("time", "stamp" in lead), ("pod", wrapper.prefixed)):
            valid &= place[name].is_not_null() | (not told)
        if valid.all():
            return self._parsed(rows, pl.DataFrame(schema=UNWRAPPED))
        return self._parsed(rows.filter(valid), self._unwrapper.some(window, ~valid))

    def lines(self, frame: pl.DataFrame, known: pl.DataFrame | None = None) -> Parsed:
        """Every line of an unwrapped frame goes to exactly one of the fields of the result, beside the rows `known`."""
        clean = ~frame["text"].str.contains("\n", literal=True)
        lines = frame.filter(clean)
        known = none_of(COREDNS_QUERIES) if known is None else known
        if self._options.coredns_format:
            known, lines = custom(own_time(lines, self._options), self._options.coredns_format)
        cells = split_cells(lines["text"].str.join("\n")[0].encode() if lines.height else b"", ())
        if cells.height != lines.height:
            return self._parsed(known, pl.concat([lines, frame.filter(~clean)]))
        rows, valid = cell_rows(lines, cells, escapes=True)
        queries = pl.concat([known, rows.filter(valid)]).sort("number")
        return self._parsed(queries, pl.concat([lines.filter(~valid), frame.filter(~clean)]))

    def _parsed(self, queries: pl.DataFrame, lines: pl.DataFrame) -> Parsed:
        """The queries of the current format are known; find out what the other lines are."""
        before = self._components.known
        if not lines.height:
            none = pl.Series("number", [], dtype=pl.Int64)
            events, signs = none_of(COREDNS_EVENTS), pl.DataFrame()
            if queries.height:
                self._events.close()
            failed, left = none_of(COREDNS_ERRORS), Left(0, none, none, False, 0)
        else:
            failed, rest = errors(own_time(lines.sort("number"), self._options))
            queries, rest = _slow_queries(queries, rest)
            events, left = self._others(rest, queries, failed)
            signs = self._components.learn(events)
        named = [self._components.named(rows, signs, before) for rows in (queries, failed, events)]
        return Parsed(named[0], named[1], named[2], left)

    def _others(self, rest: pl.DataFrame, queries: pl.DataFrame, failed: pl.DataFrame) -> tuple[pl.DataFrame, Left]:
        """The events, and what became of the lines that are nothing else."""
        text = pl.col("text")
        wrong = text.str.contains(_LIKE_QUERY) | text.str.contains(SIGN, literal=True)
        wrong |= text.str.contains("\n", literal=True)
        numbers = np.sort(np.concatenate([queries["number"].to_numpy(), failed["number"].to_numpy()]))
        events, continuations, none = self._events.take(rest.filter(~wrong), numbers)
        rest = pl.concat([none, rest.filter(wrong)]).sort("number")
        known = text.str.contains(_LEVEL) | text.str.contains(_START)
        rest = rest.with_columns((known & ~wrong).alias("other"))
        bad = rest.filter(~pl.col("other"))
        unknown = text.str.starts_with("[INFO] ") & ~text.str.contains("plugin/", literal=True)
        return events, Left(
            continuations=continuations,
            others=rest.filter("other")["number"],
            malformed=bad.filter(~pl.col("open"))["number"],
            cut=bool(bad["open"].any()),
            unknown=rest.filter(unknown).height,
        )


def _slow_queries(queries: pl.DataFrame, rest: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Add the queries of older formats and of JSON formats, by what each must hold."""
    text = pl.col("text")
    marks = {
        older: text.str.contains('"', literal=True) & text.str.contains(" - ", literal=True),
        json_lines: text.str.contains('{"', literal=True) | text.str.contains("{ ", literal=True),
    }
    for take, may in marks.items():
        asked = rest.filter(may)
        if not asked.height:
            continue
        rows, odd = take(asked)
        if rows.height:
            queries = pl.concat([queries, rows]).sort("number")
            rest = pl.concat([rest.filter(~may), odd]).sort("number")
    return queries, rest


def without_time(texts: pl.Series) -> pl.Series:
    """Lines without CoreDNS's own time."""
    return texts.str.replace(_OWN_TIME, "").str.replace(r"^ \[", "[")


def own_time(frame: pl.DataFrame, options: ReadOptions) -> pl.DataFrame:
    """Take CoreDNS's own time off the text; it counts where the wrapper has none."""
    text = frame["text"]
    if text.str.starts_with(" [").any():
        # CoreDNS 1.2.6 writes a space in place of the time
        text = text.str.replace(r"^ \[", "[")
        frame = frame.with_columns(text)
    own = text.str.extract(_OWN_TIME, 1)
    if not own.is_not_null().any():
        return frame
    go = localise(own.str.to_datetime("%Y/%m/%d %H:%M:%S", time_unit="us", strict=False), options.tz)
    told = pl.select(pl.coalesce(frame["time"], parse_rfc3339(own), go).alias("time"))["time"]
    return frame.with_columns(told, text.str.replace(_OWN_TIME, ""))
