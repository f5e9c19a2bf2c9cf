"""What log shippers put around a line, and how to take it off again.

Container runtimes, kubectl, journald, syslog and JSON shippers wrap each line that a program wrote. `detect_wrapper`
looks at the first bytes of an input; `unwrap` turns its windows into columns. Lines that do not fit the wrapper are
passed on as they are, without what the wrapper would have told; whether they are records is for the source to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

import polars as pl

from analyzer.frames.contract import TIME
from analyzer.sources.contract import ByteStream, Ledger
from analyzer.sources.jsonlines import decode_json_lines
from analyzer.sources.lines import Window, ends_open, line_frame, text_head, windows
from analyzer.sources.times import parse_rfc3339

UNWRAPPED = pl.Schema(
    {
        "number": pl.Int64(),
        "time": TIME,
        "text": pl.String(),
        "pod": pl.String(),
        "host": pl.String(),
        "component": pl.String(),
        "stamp": pl.String(),
        "line_bytes": pl.Int64(),
        "open": pl.Boolean(),
    }
)
"""What `unwrap` gives: the physical line number (of the first part, where a line was split), the wrapper's UTC time,
the program's own text, the pod, host and program that the wrapper names, its time where that has neither year nor
zone (`Jan 01 00:00:00`), the length of all physical lines with their newlines, and true for a last line without a
newline: it was cut, or is still being written."""

PARTIAL_LIMIT = 8 << 20
"""Bytes of one line joined from parts. An audit event of 2 MB was recorded; runtimes cut lines at 16 KiB."""

HEAD = 64 << 10
"""Bytes of an input that show its wrapper."""

_DOCKER_PART = (16 << 10) - 4
"""Docker cuts lines at 16 KiB (daemon/logger/copier.go, defaultBufSize), perhaps within a character."""

_LOOK_AT = 200
"""Lines of the head that decide."""

_ISO = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?(?:Z|[+-][0-9]{2}:?[0-9]{2})"
_SHORT = r"[A-Z][a-z]{2} [ 0-3][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?"
_PROGRAM = r"[^ \[\]:]+ [^ \[\]:]+(?:\[[0-9]+\])?:(?: |$)"
_PREFIX = r"^\[pod/[^/\] ]+/[^/\] ]+\] "


class Kind(StrEnum):
    RAW = "raw"
    CRI = "CRI"
    TIMESTAMPS = "kubectl --timestamps"
    SYSLOG = "journald or syslog"
    SYSLOG_ISO = "journald or syslog with ISO times"
    JSON = "JSON lines of a log shipper"


_SHAPES = {
    Kind.CRI: rf"^{_ISO} (?:stdout|stderr) [FP](?::[^ ]*)?(?: |$)",
    Kind.SYSLOG_ISO: rf"^{_ISO} {_PROGRAM}",
    Kind.TIMESTAMPS: rf"^{_ISO} ",
    Kind.SYSLOG: rf"^{_SHORT} {_PROGRAM}",
}
"""In the order of trial: a CRI line also looks like the two after it."""


@dataclass(frozen=True, slots=True)
class Wrapper:
    """`prefixed`: `kubectl logs --prefix` put `[pod/NAME/CONTAINER] ` before whatever `kind` says."""

    kind: Kind = Kind.RAW
    prefixed: bool = False

    @property
    def name(self) -> str:
        """For a reader: `raw`, `CRI`, `kubectl --prefix, kubectl --timestamps` ..."""
        if not self.prefixed:
            return str(self.kind)
        return "kubectl --prefix" if self.kind is Kind.RAW else f"kubectl --prefix, {self.kind}"


def detect_wrapper(head: bytes) -> Wrapper:
    """The wrapper of an input, by the first lines (64 KiB are plenty); the most frequent one where they differ."""
    head = text_head(head)
    whole = head[: head.rfind(b"\n") + 1] or head
    lines = line_frame(Window(1, whole)).head(_LOOK_AT)["text"]
    prefixed = bool(lines.len()) and 2 * int(lines.str.contains(_PREFIX).sum()) >= lines.len()
    if prefixed:
        lines = lines.str.replace(_PREFIX, "")
    counts: dict[Kind, int] = dict.fromkeys(Kind, 0)
    for kind, shape in _SHAPES.items():
        fits = lines.str.contains(shape)
        counts[kind] = int(fits.sum())
        lines = lines.filter(~fits)
    braces = lines.filter(lines.str.starts_with("{"))
    counts[Kind.JSON] = int(decode_json_lines(braces)["text"].is_not_null().sum())
    counts[Kind.RAW] = lines.len() - counts[Kind.JSON]
    # markers and program lines without a wrapper stand among wrapped lines, never the other way round
    best = max(counts, key=lambda kind: (counts[kind] * (1 if kind is Kind.RAW else 3), kind is Kind.RAW))
    return Wrapper(best if counts[best] else Kind.RAW, prefixed)


def unwrap(parts: Iterable[Window], wrapper: Wrapper, ledger: Ledger) -> Iterator[pl.DataFrame]:
    """One frame of UNWRAPPED for each window. Blank lines are left out.

    Parts of one line (CRI `P`, docker entries without a newline) are joined, also across windows, up to
    PARTIAL_LIMIT; a line of several parts has the number of the first. A part whose end never came is passed
    on as it is at the end, and noted.
    """
    taken = Unwrapper(wrapper, ledger)
    for window in parts:
        yield taken.feed(window)
    if (rest := taken.rest()) is not None:
        yield rest


class Unwrapper:
    """What `unwrap` does, window by window."""

    def __init__(self, wrapper: Wrapper, ledger: Ledger) -> None:
        self.wrapper = wrapper
        self._joiner = _Joiner(ledger)

    @property
    def holds(self) -> bool:
        """Whether the first part of a line waits for its rest in the next window."""
        return self._joiner.holds

    def feed(self, window: Window) -> pl.DataFrame:
        """The lines of this window, and those of before that end in it."""
        frame = _strip(line_frame(window), self.wrapper)
        if "partial" in frame.columns:
            frame = self._joiner.join(frame)
        return _finish(frame, ends_open(window))

    def some(self, window: Window, rows: pl.Series) -> pl.DataFrame:
        """Only those lines of a window (true in `rows`, one per line that is not blank); parts are not joined."""
        return _finish(_strip(line_frame(window).filter(rows), self.wrapper), ends_open(window))

    def rest(self) -> pl.DataFrame | None:
        """What is left when the last window has been fed."""
        rest = self._joiner.rest()
        return None if rest is None else _finish(rest, True)


def wrapped_windows(stream: ByteStream, ledger: Ledger) -> tuple[Wrapper, Iterator[Window]]:
    """The windows of a stream, and the wrapper that the first one shows."""
    parts = windows(stream, ledger)
    first = next(parts, None)
    if first is None:
        return Wrapper(), iter(())
    return detect_wrapper(first.data[:HEAD]), chain([first], parts)


def head_texts(head: bytes) -> pl.Series:
    """The programs' own lines in the first bytes of an input, the last one left out if it may be cut."""
    head = text_head(head)
    whole = head[: head.rfind(b"\n") + 1] or head
    frames = list(unwrap([Window(1, whole)], detect_wrapper(whole), Ledger()))
    return pl.concat(frames)["text"].head(_LOOK_AT) if frames else pl.Series("text", [], dtype=pl.String)


def _strip(lines: pl.DataFrame, wrapper: Wrapper) -> pl.DataFrame:
    """The lines with the wrapper's columns taken out of `text`."""
    if wrapper.prefixed:
        pod = pl.col("text").str.extract(r"^\[pod/([^/\] ]+)/", 1)
        lines = lines.with_columns(pod.alias("pod"), pl.col("text").str.replace(_PREFIX, ""))
    match wrapper.kind:
        case Kind.CRI:
            return _strip_cri(lines)
        case Kind.TIMESTAMPS:
            return _strip_timestamps(lines)
        case Kind.SYSLOG:
            return _strip_syslog(lines, iso=False)
        case Kind.SYSLOG_ISO:
            return _strip_syslog(lines, iso=True)
        case Kind.JSON:
            return _strip_json(lines)
        case Kind.RAW:
            return lines


def _strip_cri(lines: pl.DataFrame) -> pl.DataFrame:
    cut = lines["text"].str.splitn(" ", 4).struct.unnest()
    time = parse_rfc3339(cut["field_0"])
    flag = cut["field_2"]
    fits = (
        time.is_not_null()
        & cut["field_1"].is_in(["stdout", "stderr"])
        & (flag.str.starts_with("F") | flag.str.starts_with("P")).fill_null(False)
    )
    return lines.with_columns(
        time.alias("time"),
        cut["field_1"].alias("stream"),
        (fits & flag.str.starts_with("P")).alias("partial"),
        cut["field_3"].fill_null("").alias("inner"),
        fits.alias("fits"),
    ).select(
        pl.exclude("text", "inner", "time", "stream", "fits"),
        *_where_fits("time", "stream"),
        pl.when("fits").then("inner").otherwise("text").alias("text"),
    )


def _strip_timestamps(lines: pl.DataFrame) -> pl.DataFrame:
    cut = lines["text"].str.splitn(" ", 2).struct.unnest()
    time = parse_rfc3339(cut["field_0"])
    return lines.with_columns(time.alias("time"), cut["field_1"].fill_null("").alias("inner")).select(
        pl.exclude("text", "inner"),
        pl.when(pl.col("time").is_not_null()).then("inner").otherwise("text").alias("text"),
    )


def _strip_syslog(lines: pl.DataFrame, *, iso: bool) -> pl.DataFrame:
    text = lines["text"]
    if iso:
        stamp = text.str.splitn(" ", 2).struct.field("field_0")
    else:
        decimals = text.str.slice(15, 7).str.extract(r"^(\.[0-9]{1,6})(?: |$)", 1).str.len_bytes().fill_null(0)
        stamp = text.str.slice(0, decimals + 15)
    rest = text.str.slice(stamp.str.len_chars() + 1)
    cut = rest.str.splitn(" ", 3).struct.unnest()
    program = cut["field_1"].str.extract(r"^([^ \[\]:]+)(?:\[[0-9]+\])?:$", 1)
    if iso:
        time = parse_rfc3339(stamp)
        told = time.is_not_null()
    else:
        time = pl.Series("time", [None], dtype=TIME).new_from_index(0, lines.height)
        told = stamp.str.contains(rf"^{_SHORT}$")
    return lines.with_columns(
        time.alias("time"),
        (stamp if not iso else pl.lit(None, pl.String)).alias("stamp"),
        cut["field_0"].alias("host"),
        program.alias("component"),
        cut["field_2"].fill_null("").alias("inner"),
        (told & program.is_not_null()).fill_null(False).alias("fits"),
    ).select(
        pl.exclude("text", "inner", "time", "stamp", "host", "component", "fits"),
        *_where_fits("time", "stamp", "host", "component"),
        pl.when("fits").then("inner").otherwise("text").alias("text"),
    )


def _strip_json(lines: pl.DataFrame) -> pl.DataFrame:
    found = decode_json_lines(lines["text"])
    inner = found["text"]
    ended = inner.str.ends_with("\n")
    # docker cuts lines at 16 KiB; shippers that trim every line end none of them with a newline
    cut = found["docker"] & ~ended & (ended.any() | (inner.str.len_bytes() >= _DOCKER_PART))
    pod = pl.coalesce("pod", lines["pod"]) if "pod" in lines.columns else pl.col("pod")
    return pl.concat([lines.drop("pod", strict=False).rename({"text": "whole"}), found], how="horizontal").select(
        "number",
        pl.coalesce(parse_rfc3339(found["time"]), pl.col("micros").cast(TIME)).alias("time"),
        pl.coalesce(inner.str.strip_chars_end("\r\n"), "whole").alias("text"),
        "stream",
        pod,
        "host",
        "component",
        "line_bytes",
        cut.fill_null(False).alias("partial"),
    )


def _where_fits(*names: str) -> list[pl.Expr]:
    return [pl.when("fits").then(name).alias(name) for name in names]


def _finish(frame: pl.DataFrame, is_open: bool) -> pl.DataFrame:
    last = (pl.col("number") == pl.col("number").max()) if is_open else pl.lit(False)
    frame = frame.with_columns(last.alias("open"))
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in UNWRAPPED.items() if name not in frame.columns]
    frame = frame.with_columns(missing).select(UNWRAPPED.names())
    text = frame["text"]
    bare = (text.str.len_bytes() == 0) | text.str.starts_with(" ") | text.str.starts_with("\t")
    if not bare.any():
        return frame
    blank = bare.arg_true().filter(~text.filter(bare).str.contains(r"\S"))
    return frame.filter(~pl.int_range(pl.len()).is_in(blank.implode())) if blank.len() else frame


class _Joiner:
    """Joins the parts of a line. A part belongs to the next part of the same pod and stream."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._held: pl.DataFrame | None = None

    @property
    def holds(self) -> bool:
        return self._held is not None

    def join(self, frame: pl.DataFrame) -> pl.DataFrame:
        if self._held is not None:
            frame = pl.concat([self._held, frame], how="diagonal")
            self._held = None
        if not frame["partial"].any():
            return frame
        pods = [pl.col(name) for name in ("pod", "stream") if name in frame.columns]
        # a line's parts share the count of whole lines (of their pod and stream) that ended before them
        before = (~pl.col("partial")).cast(pl.Int64).cum_sum() - (~pl.col("partial")).cast(pl.Int64)
        frame = frame.with_columns((before.over(pods) if pods else before).alias("line"))
        group = ["line", *(name for name in ("pod", "stream") if name in frame.columns)]
        split = pl.len().over(group) > 1
        frame = frame.with_columns((split | pl.col("partial")).alias("split"))
        whole, parts = frame.filter(~pl.col("split")), frame.filter(pl.col("split"))
        others = [c for c in frame.columns if c not in {*group, "number", "text", "line_bytes", "partial", "split"}]
        joined = (
            parts.group_by(group, maintain_order=True)
            .agg(
                pl.col("number").first(),
                pl.col("text").str.join(""),
                pl.col("line_bytes").sum(),
                pl.col("partial").last(),
                *(pl.col(name).last() for name in others),
            )
            .select(pl.exclude("line"))
        )
        still = joined.filter("partial")
        self._hold(still)
        done = pl.concat([whole.select(joined.columns), joined.filter(~pl.col("partial"))])
        if self._held is None and still.height:
            done = pl.concat([done, still])
        return done.sort("number")

    def _hold(self, still: pl.DataFrame) -> None:
        """Keep what is unfinished, unless it has grown beyond all measure."""
        if not still.height:
            return
        if int(still["text"].str.len_bytes().sum()) <= PARTIAL_LIMIT:
            self._held = still
        else:
            self._ledger.note(
                f"line {still['number'][0]}: the parts of a line exceed {PARTIAL_LIMIT >> 20} MiB and were not joined"
            )

    def rest(self) -> pl.DataFrame | None:
        if self._held is not None:
            self._ledger.note(f"line {self._held['number'][0]}: a line split into parts has no end")
        return self._held
