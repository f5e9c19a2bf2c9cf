"""Logs of container runtimes: containerd, dockerd, CRI-O and their shims, in logrus's logfmt.

A journal holds several writers: it is read as `analyzer.sources.klog` reads it, so that the kubelet and the kernel in
it are not lost.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.frames import RUNTIME_MESSAGES
from analyzer.sources import klog
from analyzer.sources.audit.shape import Ahead
from analyzer.sources.contract import Batch, ByteStream, Item, Ledger, Match, ReadOptions, Source
from analyzer.sources.klogheads import HEADER
from analyzer.sources.lines import quote_lines, windows
from analyzer.sources.runtimelines import RuntimeRows, is_logfmt, take
from analyzer.sources.wrappers import Kind, Wrapper, head_lines, unwrap

LOOKED_AT = 200
"""Lines of the first bytes that decide."""

_JOURNALS = (
    *(Kind.SYSLOG, Kind.SYSLOG_ISO, Kind.SYSLOG_5424, Kind.JSON),
    *(Kind.JOURNAL_FULL, Kind.JOURNAL_MONOTONIC, Kind.JOURNAL_UNIX),
)

_CONTENT = {
    "containerd": r"containerd|loading plugin \\?\"|PodSandbox for |shim disconnected|ContainerMetadata"
    r"|starting signal loop|StartContainer for|PullImage|snapshotter|io\.containerd\.",
    "dockerd": r"Handler for (?:GET|POST|DELETE|PUT|HEAD) /|Container failed to exit within|moby|dockerd|libnetwork"
    r"|ignoring event.*topic=/|Loading containers: |Daemon has completed initialization|API listen on ",
    "crio": r"name=/runtime\.v1(?:alpha2)?\.|conmon|(?:Ran|Running|Stopping|Stopped) pod sandbox|cri-?o |"
    r"Checking image status: |ImageService|infra container",
}
"""What the first lines must hold somewhere for a bare log to be a runtime's: logfmt is what many programs write."""


def identify(head: bytes) -> Match | None:
    """By the writers that a journal names, else by logfmt lines with the words of a runtime."""
    wrapper, lines = head_lines(head)
    lines = lines.head(LOOKED_AT)
    many, text = lines.height, lines["text"]
    if not many:
        return None
    taken, _ = take(lines)
    if _is_journal(wrapper, lines):
        klog_lines = text.str.contains(HEADER).any()
        share = 5 * taken.height >= many and not klog_lines
        reason = f"{taken.height} of the first {many} lines are a container runtime's"
        return Match(0.8 if share else 0.35, reason) if taken.height >= min(3, many) else None
    logfmt = int(is_logfmt(text).sum())
    component = _component(text)
    if component is None or 2 * logfmt < many:
        return None
    return Match(0.8, f"{logfmt} of the first {many} lines are logfmt, with the words of {component}")


def read(stream: ByteStream, item: Item, options: ReadOptions, ledger: Ledger) -> Iterator[Batch]:
    """Batches of RUNTIME_MESSAGES, one row per line; of a journal also the tables of its other writers.

    Lines without a logfmt head (panics, traces) are `not-a-record`.
    """
    ahead = Ahead(stream)
    wrapper, first = head_lines(ahead.head)
    if _is_journal(wrapper, first):
        yield from klog.read(ahead, item, options, ledger)
        return
    component = _component(first["text"].head(LOOKED_AT))
    made = RuntimeRows(item, ledger)

    for frame in unwrap(windows(ahead, ledger), wrapper, ledger):
        own = is_logfmt(frame["text"])
        others = frame.filter(~own)
        cut = others["open"] & others["text"].str.contains(r'^t(?:ime?=?(?:"[^"]*"?)?(?: [a-z=]*)?)?$|^ti$')
        if cut.any():
            ledger.tail()
            others = others.filter(~cut)
        ledger.skip("not-a-record", others["number"].head(3).to_list(), others.height)
        named = pl.coalesce("component", pl.lit(component, pl.String)).alias("component")
        lines = frame.filter(own).with_columns(named)
        if lines.height and (rows := made.finish(lines)).height:
            yield {RUNTIME_MESSAGES: rows}


def _is_journal(wrapper: Wrapper, lines: pl.DataFrame) -> bool:
    """Whether lines have writers; the records of a shipper may have none."""
    return wrapper.kind in _JOURNALS and lines["component"].null_count() < lines.height


def _component(text: pl.Series) -> str | None:
    """The runtime whose words the most lines hold; None where fewer than two, or half of few, do."""
    lines = text.filter(is_logfmt(text))
    counts = {name: int(lines.str.contains(words).sum()) for name, words in _CONTENT.items()}
    best = max(sorted(counts), key=lambda name: counts[name])
    return best if counts[best] and 20 * counts[best] >= lines.len() else None


SOURCE = Source(
    name="runtime",
    title="container runtime's log (containerd, dockerd, CRI-O)",
    tables=(RUNTIME_MESSAGES,),
    identify=identify,
    read=read,
    quote=quote_lines,
    needs_dates=True,
)
