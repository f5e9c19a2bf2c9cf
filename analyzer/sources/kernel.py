"""The kernel's log: dmesg in its formats, /dev/kmsg, kern.log, a journal of the kernel, and the audit daemon's log.

A journal holds several writers: it is read as `analyzer.sources.klog` reads it, whatever it begins with, so that the
kubelet and the container runtime in it are not lost. What the kernel wrote is not signed, but only root can imitate it.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.frames import KERNEL_MESSAGES
from analyzer.sources import klog
from analyzer.sources.audit.shape import Ahead
from analyzer.sources.contract import Batch, ByteStream, Item, Ledger, Match, ReadOptions, Source
from analyzer.sources.kernelclock import KernelRows
from analyzer.sources.kernelkinds import KINDS, OTHER, kinds
from analyzer.sources.kernellines import AUDITD, COMMA_ISO, KMSG, STAMPED, rows, take
from analyzer.sources.klogentries import JSON_HEADER
from analyzer.sources.klogheads import HEADER
from analyzer.sources.lines import quote_lines, text_head, windows
from analyzer.sources.textwindow import Window
from analyzer.sources.wrappers import Kind, Wrapper, head_lines, unwrap

LOOKED_AT = 200
"""Lines of the first bytes that decide."""

_JOURNALS = (Kind.SYSLOG, Kind.SYSLOG_ISO, Kind.SYSLOG_5424, Kind.JOURNAL_FULL, Kind.JOURNAL_UNIX, Kind.JSON)
_VAGUE = [OTHER, "audit", "net_link", "call_trace", "netfilter_log", "hardware_error", "panic"]
"""Kinds whose texts others write too; they do not speak for a log without times."""

_FRAGMENT = r"^[\[<0-9][0-9A-Za-z .,<>\[:+-]*$"
_CTIME = r"^(?:<[0-9]+>|[a-z]+ *:[a-z]+ *: ?)?\[[^\[\]]{4,40} [0-9:]{8} [0-9]{4}\]"
_OF_OTHERS = r"^\[ *[0-9]+\.[0-9]{6}\] [^ :\[\]]+ [^ :\[\]]+\[[0-9]+\]: "
"""What another program wrote, as `journalctl -o short-monotonic` prints it; the kernel has no process id there."""

_AUSEARCH = r"^(?:----$|time->)"


def identify(head: bytes) -> Match | None:
    """By lines with the kernel's times or identifier as the bulk of the first lines; else by its well-known texts."""
    lines, wrapper = _first_lines(head)
    if not lines.height:
        return None
    text, many = lines["text"], lines.height
    if text.str.contains(HEADER).any() or text.str.contains(JSON_HEADER).any():
        return None  # the reader of klog takes the kernel's lines too
    if wrapper.kind in _JOURNALS and lines["component"].null_count() < many:
        named = take(lines)[0].height
        reason = f"{named} of the first {many} lines are the kernel's"
        return Match(0.85 if 5 * named >= many else 0.4, reason) if named >= min(3, many) else None
    shaped = int(text.str.contains(f"{STAMPED}|{KMSG}|{AUDITD}|{COMMA_ISO}|{_AUSEARCH}|^ [A-Z]+=").sum())
    # a stamp and a field [x] are found in other logs too
    stamped = text.str.contains(r"^(?:<[0-9]+>)?\[ *[0-9]+\.[0-9]{6}[\] ]").sum() or shaped
    if 2 * shaped >= many and stamped:
        return Match(0.85, f"{shaped} of the first {many} lines begin like the kernel's")
    known = int((~kinds(text).is_in(_VAGUE)).sum())
    if known >= 2 and 5 * known >= many:
        return Match(0.6, f"{known} of the first {many} lines are messages of the kernel, without a time")
    return None


def read(stream: ByteStream, item: Item, options: ReadOptions, ledger: Ledger) -> Iterator[Batch]:
    """Batches of KERNEL_MESSAGES, one row per line; of a journal also the tables of its other writers.

    In a log whose lines have times, a line without one is `malformed line`, unless it is indented: then it goes on
    with the message before it and is a row without a time.
    """
    ahead = Ahead(stream)
    lines, wrapper = _first_lines(ahead.head)
    if wrapper.kind in _JOURNALS and lines["component"].null_count() < lines.height:
        yield from klog.read(ahead, item, options, ledger)
        return
    shape = f"{STAMPED}|{KMSG}|{AUDITD}|{COMMA_ISO}"
    stamped = 2 * int(lines["text"].str.contains(shape).sum()) >= lines.height
    made = KernelRows(item, ledger)

    for frame in unwrap(windows(ahead, ledger), wrapper, ledger):
        kept = _sorted_out(frame, shape, ledger) if stamped else frame
        if kept.height:
            _note_clock(kept["text"], options.tz, ledger)
            yield {KERNEL_MESSAGES: made.finish(rows(kept, options.tz))}
    made.tell()


def _sorted_out(lines: pl.DataFrame, shape: str, ledger: Ledger) -> pl.DataFrame:
    """The lines that are messages; the others go to the ledger. Properties of a /dev/kmsg record belong to it."""
    text = pl.col("text")
    what = (
        pl.when(text.str.contains(_OF_OTHERS) & ~text.str.contains(KINDS["segfault"]))
        .then(pl.lit("not-a-record"))
        .when(text.str.contains(shape))
        .then(pl.lit("row"))
        .when(text.str.contains(r"^ [A-Z][A-Z0-9_]*="))
        .then(pl.lit("property"))
        .when(text.str.contains(_AUSEARCH))
        .then(pl.lit("not-a-record"))
        .when(text.str.contains(r"^\s+\S"))
        .then(pl.lit("row"))
        .when(pl.col("open") & text.str.contains(_FRAGMENT))
        .then(pl.lit("tail"))
        .otherwise(pl.lit("malformed line"))
    )
    lines = lines.with_columns(what.alias("what"))
    for reason in ("not-a-record", "malformed line"):
        wrong = lines.filter(pl.col("what") == reason)["number"]
        ledger.skip(reason, wrong.head(3).to_list(), wrong.len())
    if (lines["what"] == "tail").any():
        ledger.tail()
    return lines.filter(pl.col("what") == "row").drop("what")


def _note_clock(text: pl.Series, tz: str, ledger: Ledger) -> None:
    if text.head(LOOKED_AT).str.contains(_CTIME).any():
        ledger.note(
            f"times are those of dmesg -T: in the zone of the node, taken as {tz} (--tz sets it), and off by the time "
            "that it was suspended"
        )


def _first_lines(head: bytes) -> tuple[pl.DataFrame, Wrapper]:
    data = text_head(head)
    whole = data[: data.rfind(b"\n") + 1] or data
    [bare] = unwrap([Window(1, whole)], Wrapper(), Ledger())
    bare = bare.head(LOOKED_AT)
    if 2 * int(bare["text"].str.contains(COMMA_ISO).sum()) > bare.height:
        return bare, Wrapper()
    wrapper, lines = head_lines(head)
    # `[ 12.5] NAME: text` is what dmesg prints too: which lines of such a journal are the kernel's is told here.
    if wrapper == Wrapper() or wrapper.kind is Kind.JOURNAL_MONOTONIC:
        return bare, Wrapper()
    return lines.head(LOOKED_AT), wrapper


SOURCE = Source(
    name="kernel",
    title="kernel log (dmesg, kern.log, journal) or audit daemon's log",
    tables=(KERNEL_MESSAGES,),
    identify=identify,
    read=read,
    quote=quote_lines,
    needs_dates=True,
)
