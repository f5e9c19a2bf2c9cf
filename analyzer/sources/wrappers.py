"""What log shippers put around a line, and how to take it off again.

Container runtimes, kubectl, stern, journald, syslog and JSON shippers wrap each line that a program wrote.
`detect_wrapper` looks at the first bytes of an input; `unwrap` turns its windows into columns. Lines that do not fit
the wrapper are passed on as they are, without what the wrapper would have told; whether they are records is for the
source to say. A wrapper may hold another one: a node's name before a journal's line, a shipper's object around a CRI
line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from itertools import chain

import numpy as np
import polars as pl
from msgspec import Struct

from analyzer.frames.contract import TIME
from analyzer.sources import stripsyslog, striptext
from analyzer.sources.contract import ByteStream, Ledger
from analyzer.sources.joiner import Joiner
from analyzer.sources.journalmarks import Marks
from analyzer.sources.jsonlines import SHIPPED, decode_json_lines
from analyzer.sources.lines import ends_open, line_frame, text_head, windows
from analyzer.sources.shapes import COLOUR, INNER, PREFIX, SHAPES
from analyzer.sources.shapes import Kind as Kind
from analyzer.sources.textwindow import Window

UNWRAPPED = pl.Schema(
    {
        "number": pl.Int64(),
        "time": TIME,
        "text": pl.String(),
        "pod": pl.String(),
        "host": pl.String(),
        "component": pl.String(),
        "stamp": pl.String(),
        "stream": pl.String(),
        "line_bytes": pl.Int64(),
        "open": pl.Boolean(),
    }
)
"""What `unwrap` gives: the physical line number (of the first part, where a line was split), the wrapper's UTC time,
the program's own text, the pod, host and program that the wrapper names, its time where that has neither year nor zone
(`Jan 01 00:00:00`), the stream that a container runtime names (stdout, stderr), the length of all physical lines with
their newlines, and true for a last line without a newline: it was cut, or is still being written."""

HEAD = 64 << 10
"""Bytes of an input that show its wrapper."""

LAYERS = 3
"""Wrappers inside wrappers that are taken off."""

_LOOK_AT = 200
"""Lines of the head that decide."""

_ESCAPE = b"\x1b"
_OWN = ("number", "text", "line_bytes")
"""What a line has before anything is taken off it."""

_STRIP: dict[Kind, Callable[[pl.DataFrame], pl.DataFrame]] = {
    Kind.RAW: lambda lines: lines,
    Kind.CRI: striptext.cri,
    Kind.TIMESTAMPS: striptext.timestamps,
    Kind.STERN: striptext.stern,
    Kind.AWS_SHORT: striptext.aws_short,
    Kind.AWS_TEXT: striptext.aws_text,
    Kind.NODE: striptext.node,
    Kind.LOGCLI: striptext.logcli,
    Kind.GRAFANA: striptext.grafana,
    Kind.FLUENT_BIT: striptext.fluent_bit,
    Kind.FLUENTD: striptext.fluentd,
    Kind.JSON: striptext.json,
    Kind.SYSLOG_5424: stripsyslog.rfc5424,
    **{
        kind: partial(stripsyslog.syslog, kind=kind)
        for kind in (
            *(Kind.SYSLOG, Kind.SYSLOG_ISO),
            *(Kind.JOURNAL_FULL, Kind.JOURNAL_MONOTONIC, Kind.JOURNAL_UNIX),
        )
    },
}
"""Every wrapper there is, and what takes it off."""


HEADS_KEPT = 2
"""First bytes of inputs whose lines are kept: every source is asked about the same ones before the next input."""


class Wrapper(Struct, frozen=True):
    """`prefixed`: `kubectl logs --prefix` put `[pod/NAME/CONTAINER] ` before whatever `kind` says; `inner`: what lies
    inside that."""

    kind: Kind = Kind.RAW
    prefixed: bool = False
    inner: Wrapper | None = None

    @property
    def name(self) -> str:
        """For a reader: `raw`, `CRI`, `kubectl --prefix, kubectl --timestamps` ..."""
        names = ["kubectl --prefix"] if self.prefixed else []
        names += [str(self.kind)] if self.kind is not Kind.RAW or not names else []
        return ", ".join([*names, self.inner.name] if self.inner is not None else names)

    @property
    def stamped(self) -> bool:
        """Whether lines have a `stamp`: a time without year and zone."""
        return self.kind is Kind.SYSLOG or (self.inner is not None and self.inner.stamped)

    @property
    def silent(self) -> bool:
        """Whether nobody puts lines of its own between those of the program."""
        inner = self.inner is None or self.inner.silent
        return self.kind in (Kind.RAW, Kind.CRI, Kind.TIMESTAMPS, Kind.STERN, Kind.NODE) and inner


@lru_cache(maxsize=HEADS_KEPT)
def detect_wrapper(head: bytes) -> Wrapper:
    """The wrapper of an input, by the first lines (64 KiB are plenty); the most frequent one where they differ."""
    return _detect(_first_lines(head))


def describe(head: bytes) -> str:
    """The wrapper of an input for a reader, with what speaks for it; empty where there is none."""
    wrapper = detect_wrapper(head)
    if wrapper == Wrapper():
        return ""
    texts = _first_lines(head)["text"]
    fitting = texts.str.contains(PREFIX) if wrapper.prefixed else _fits(wrapper.kind, texts)
    return f"wrapped: {wrapper.name} ({int(fitting.sum())} of the first {texts.len()} lines)"


@lru_cache(maxsize=HEADS_KEPT)
def _first_lines(head: bytes) -> pl.DataFrame:
    text = text_head(head)
    whole = text[: text.rfind(b"\n") + 1] or text
    return _uncoloured(line_frame(Window(1, whole)), whole).head(_LOOK_AT)


def _detect(frame: pl.DataFrame, allowed: frozenset[Kind] = frozenset(Kind), layers: int = LAYERS) -> Wrapper:
    lines = frame["text"]
    prefixed = bool(lines.len()) and layers == LAYERS and 2 * int(lines.str.contains(PREFIX).sum()) >= lines.len()
    if prefixed:
        frame = _strip(frame, Wrapper(prefixed=True))
        lines = frame["text"]
    counts: dict[Kind, int] = dict.fromkeys(Kind, 0)
    lines = lines.drop_nulls()
    # all at once: a query costs more than what it asks of so few lines
    fitting = lines.to_frame("line").select(pl.col("line").str.contains(SHAPES[kind]).alias(kind) for kind in SHAPES)
    left = np.ones(lines.len(), np.bool_)
    for kind in SHAPES:
        fits = left & fitting[kind].to_numpy()
        counts[kind] = int(fits.sum())
        left &= ~fits
    lines = lines.filter(pl.Series(left))
    counts[Kind.JSON] = int(_is_json(lines, inside=layers < LAYERS).sum())
    counts[Kind.RAW] = lines.len() - counts[Kind.JSON]
    # markers and program lines without a wrapper stand among wrapped lines, never the other way round
    best = max(counts, key=lambda kind: (counts[kind] * (1 if kind is Kind.RAW else 3), kind is Kind.RAW))
    if not counts[best] or best not in allowed:
        return Wrapper(Kind.RAW, prefixed)
    inner = None
    if layers > 1 and best in INNER:
        texts = frame.filter(_fits(best, frame["text"]))
        inside = _finish(_strip(texts, Wrapper(best)), False).select(_OWN)
        found = _detect(inside, INNER[best], layers - 1)
        inner = found if found != Wrapper() else None
    return Wrapper(best, prefixed, inner)


def _fits(kind: Kind, lines: pl.Series) -> pl.Series:
    if kind is Kind.JSON:
        return _is_json(lines)
    return lines.str.contains(SHAPES[kind]) if kind in SHAPES else lines.is_null()


def _is_json(lines: pl.Series, *, inside: bool = False) -> pl.Series:
    """Records of shippers. Inside another wrapper a program's own JSON is likelier: there a record has to tell more
    than a message and a time."""
    braces = lines.str.contains(r"^(?:data: )?\{")
    found = decode_json_lines(lines.filter(braces).str.strip_prefix("data: "))
    fits = found["text"].is_not_null()
    if inside:
        fits &= found.select(pl.any_horizontal(pl.col(SHIPPED).is_not_null())).to_series()
    return braces.scatter(braces.arg_true(), fits)


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
    """What `unwrap` does, window by window. With `markers`, lines of the journal about itself are passed on; with
    `keeps`, those that are taken off can be asked for."""

    def __init__(self, wrapper: Wrapper, ledger: Ledger, *, markers: bool = False, keeps: bool = False) -> None:
        self.wrapper = wrapper
        self._joiner = Joiner(ledger)
        self._marks = Marks(ledger, markers=markers, looks=not wrapper.silent, keeps=keeps)

    @property
    def holds(self) -> bool:
        """Whether the first part of a line waits for its rest in the next window."""
        return self._joiner.holds

    def feed(self, window: Window) -> pl.DataFrame:
        """The lines of this window, and those of before that end in it."""
        frame = _strip(_uncoloured(line_frame(window), window.data), self.wrapper)
        if "lost" in frame.columns:
            self._marks.unsaid(frame.filter(pl.col("lost").fill_null(False))["number"])
        if "partial" in frame.columns:
            frame = self._joiner.join(frame)
        return self._marks.taken_off(_finish(frame, ends_open(window)))

    def some(self, window: Window, rows: pl.Series) -> pl.DataFrame:
        """Only those lines of a window (true in `rows`, one per line that is not blank); parts are not joined."""
        lines = _uncoloured(line_frame(window).filter(rows), window.data)
        return self._marks.taken_off(_finish(_strip(lines, self.wrapper), ends_open(window)))

    def folded(self) -> list[pl.DataFrame]:
        """What was taken off since one asked last, and may say that lines are not there, or came more than once."""
        folded, self._marks.folded = self._marks.folded, []
        return folded

    def rest(self) -> pl.DataFrame | None:
        """What is left when the last window has been fed."""
        self._marks.tell()
        rest = self._joiner.rest()
        return None if rest is None else _finish(rest, True)


def wrapped_windows(stream: ByteStream, ledger: Ledger) -> tuple[Wrapper, Iterator[Window]]:
    """The windows of a stream, and the wrapper that the first one shows."""
    parts = windows(stream, ledger)
    first = next(parts, None)
    if first is None:
        return Wrapper(), iter(())
    return detect_wrapper(first.data[:HEAD]), chain([first], parts)


@lru_cache(maxsize=HEADS_KEPT)
def head_lines(head: bytes) -> tuple[Wrapper, pl.DataFrame]:
    """The wrapper of an input, and the programs' own lines in its first bytes: UNWRAPPED, without the last one if it
    may be cut."""
    text = text_head(head)
    whole = text[: text.rfind(b"\n") + 1] or text
    wrapper = detect_wrapper(head)
    return wrapper, pl.concat([UNWRAPPED.to_frame(), *unwrap([Window(1, whole)], wrapper, Ledger())])


def head_texts(head: bytes) -> pl.Series:
    """The programs' own lines in the first bytes of an input."""
    return head_lines(head)[1]["text"].head(_LOOK_AT)


def _strip(lines: pl.DataFrame, wrapper: Wrapper) -> pl.DataFrame:
    """The lines with the wrapper's columns taken out of `text`; what an inner wrapper tells counts before that."""
    if wrapper.prefixed:
        names = lines["text"].str.extract_groups(r"^\[pod/([^/\] ]+)/([^/\] ]+)\] ").struct.unnest()
        text = pl.col("text").str.replace(PREFIX, "")
        lines = lines.with_columns(names["1"].alias("pod"), names["2"].alias("container"), text)
    told = _STRIP[wrapper.kind](lines)
    if wrapper.inner is None:
        return told
    deeper = _strip(told.select(_OWN), wrapper.inner)
    outer = [name for name in told.columns if name not in _OWN]
    both = {name: pl.coalesce(name, told[name]) for name in outer if name in deeper.columns}
    if "partial" in both:
        both["partial"] = pl.col("partial") | told["partial"]
    return deeper.with_columns(**both, **{name: told[name] for name in outer if name not in both})


def _uncoloured(lines: pl.DataFrame, data: bytes) -> pl.DataFrame:
    """The lines without the colours that stern, journalctl and logcli write to a terminal."""
    if _ESCAPE not in data:
        return lines
    return lines.with_columns(pl.col("text").str.replace_all(COLOUR, ""))


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
