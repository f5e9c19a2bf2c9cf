"""Log lines that two inputs hold: rotations that overlap, two exports of one log, a file beside the archive it is in.

Inputs are merged by the time of their rows, never by their names, so the order of a rotated set needs no thought. What
stands in two of them is one line only if it says the same, at the same time of its own, and among the same neighbours:
two nodes may write one sentence at one moment, but not one after the other again and again.

A match without such a neighbour counts in two cases. Audit events have an ID that the server made for the request (RFC
9562), and Kubernetes Events about one object, by one component, of one reason and text, are one Event object with a
count (client-go, `tools/record/events_cache.go`): one that says the same at the same time and count is the same,
whether kubectl saved it or the audit log holds it as a body. And where the last entry of one klog is the first of
another, to the microsecond, they are rotations that overlap by one line. A start of two nodes at one moment would be
first in both. The line of a CoreDNS error has no time of its own, so a single one is never taken for a copy.
"""

from __future__ import annotations

import polars as pl
from msgspec import Struct

from analyzer.facts.contract import Fact, Frames
from analyzer.frames import AUDIT_EVENTS, COREDNS_ERRORS, COREDNS_QUERIES, KLOG_LINES, KUBE_EVENTS, Col, Table
from analyzer.frames.contract import PLACE

APART = pl.duration(seconds=1)
"""The farthest that two collectors' times of one line without a time of its own lie apart [an engineering default]."""

LOG_COPIES_TABLE = Table(
    "log_copies",
    "One row per row of a log table that another input holds as well: count it out. Times are those of the row.",
    (
        *PLACE,
        Col("table", pl.String(), "Table that the row stands in."),
        Col("original_source", pl.String(), "Input whose row is counted."),
        Col("original_number", pl.Int64(), "Line of that row."),
    ),
)


class _Same(Struct, frozen=True):
    """`says`: the columns that are equal in copies; `known`: the one that a row needs to be compared at all; `place`:
    those that may be unknown in one of the two; `timed`: whether the time is the line's own; `alone`: whether a match
    needs no neighbour."""

    says: tuple[str, ...]
    known: str
    place: tuple[str, ...]
    timed: bool
    alone: bool = False


_SAME: dict[Table, _Same] = {
    COREDNS_QUERIES: _Same(
        (
            *("client", "client_port", "dns_id", "name", "qtype", "transport", "rcode", "flags"),
            *("query_bytes", "answer_bytes", "duration_seconds"),
        ),
        "client",
        ("pod",),
        timed=False,
    ),
    COREDNS_ERRORS: _Same(("rcode", "name", "qtype", "error", "count"), "error", ("pod",), timed=False),
    KLOG_LINES: _Same(("time", "severity", "caller", "text"), "text", ("host",), timed=True),
    AUDIT_EVENTS: _Same(("audit_id", "stage", "time", "stage_time"), "audit_id", (), timed=True, alone=True),
    KUBE_EVENTS: _Same(
        (
            *("time", "count", "type", "reason", "message", "kind", "namespace", "name", "field_path"),
            "component",
        ),
        "time",
        ("event_uid", "uid"),
        timed=True,
        alone=True,
    ),
}


def log_copies(table: Table, frame: pl.LazyFrame) -> pl.DataFrame:
    """The rows of one log table that an input before theirs holds too.

    The input with times, then with more rows, then by name, comes before the others. A match counts where the match
    before or after it is the next one in both inputs, or where it needs none.
    """
    same = _SAME[table]
    none = pl.DataFrame(schema=LOG_COPIES_TABLE.schema)
    if frame.select(pl.col("source").n_unique()).collect().item() < 2:
        return none
    said = pl.struct(same.says).hash()
    known = frame.filter(pl.col(same.known).is_not_null())
    rows = known.select("source", "number", "time", *same.place, said=said).collect()
    order = (
        rows.group_by("source")
        .agg(
            untimed=pl.col("time").is_null().all(),
            rows=pl.len(),
            begin=pl.col("number").min(),
            end=pl.col("number").max(),
        )
        .sort("untimed", "rows", "source", descending=[False, True, False])
        .with_row_index("order")
        .select("source", pl.col("order").cast(pl.Int64), "begin", "end")
    )
    # most lines say what no other says, and a window over each costs more than all the rest
    rows = rows.filter(pl.col("said").is_duplicated()).join(order, on="source").sort("order", "number")
    rows = rows.with_columns(nth=pl.int_range(pl.len()).over("source", "said"))
    shared = rows.filter(pl.len().over("said", "nth") > 1)
    if not shared.height:
        return none
    first = shared.unique(["said", "nth"], keep="first", maintain_order=True)
    met = shared.join(first, on=["said", "nth"], suffix="_first").filter(pl.col("order") > pl.col("order_first"))
    for name in same.place:
        met = met.filter((pl.col(name) == pl.col(f"{name}_first")).fill_null(True))
    if not same.timed:
        met = met.filter(((pl.col("time") - pl.col("time_first")).abs() <= APART).fill_null(True))
    return (met if same.alone else _in_order(met, edges=same.timed)).select(
        "time",
        "source",
        "number",
        pl.lit(table.name).alias("table"),
        pl.col("source_first").alias("original_source"),
        pl.col("number_first").alias("original_number"),
    )


def _in_order(met: pl.DataFrame, *, edges: bool) -> pl.DataFrame:
    """Matches with a neighbour that is one too, and with `edges` the only one, of an end with a beginning."""
    pair = ["source", "source_first"]
    place = pl.col("number_first").rank("ordinal").over(pair).cast(pl.Int64)
    ranked = met.sort(*pair, "number").with_columns(place=place)
    step = pl.col("place").diff().over(pair)
    after = (step == 1).fill_null(False)
    before = (pl.col("place").shift(-1).over(pair) - pl.col("place") == 1).fill_null(False)
    older = (pl.col("number_first") == pl.col("end_first")) & (pl.col("number") == pl.col("begin"))
    newer = (pl.col("number_first") == pl.col("begin_first")) & (pl.col("number") == pl.col("end"))
    single = pl.len().over(pair) == 1
    return ranked.filter(after | before | ((older | newer) & single if edges else False))


def _derive(frames: Frames) -> pl.LazyFrame:
    found = [log_copies(table, frames[table]) for table in _SAME if table in frames]
    return pl.concat(found).sort("time", "source", "number", nulls_last=True).lazy()


LOG_COPIES = Fact(table=LOG_COPIES_TABLE, needs_any=tuple((table,) for table in _SAME), derive=_derive)


COUNTED_ONCE = (KLOG_LINES, COREDNS_ERRORS, AUDIT_EVENTS, KUBE_EVENTS)
"""Tables from which copies are left out before anybody counts. Queries keep theirs, because `dns_transactions` weighs
copies in logs and captures together and marks them as covered."""


def without_copies(table: Table, frame: pl.LazyFrame, copies: pl.DataFrame) -> pl.LazyFrame:
    """The rows of a log table, each line once; the frame itself where it holds no copies."""
    own = copies.filter(pl.col("table") == table.name).select("source", "number")
    return frame.join(own.lazy(), on=["source", "number"], how="anti", maintain_order="left") if own.height else frame


def told(copies: pl.DataFrame, table: str) -> str:
    """How much of a table stands twice, in words; empty where nothing does."""
    if not copies.height:
        return ""
    pairs = (
        copies.filter(pl.col("table") == table)
        .group_by("source", "original_source")
        .agg(lines=pl.len())
        .sort("lines", "source", "original_source", descending=[True, False, False])
    )
    if not pairs.height:
        return ""
    source, original, lines = pairs.row(0)
    if pairs.height == 1:
        return f"{lines:,} lines of {source} stand in {original} as well and are counted once"
    more = pairs.height - 1
    return (
        f"{pairs['lines'].sum():,} lines stand in two inputs and are counted once: {lines:,} of {source} in {original}"
        f", and those of {more} more {'pair' if more == 1 else 'pairs'} of inputs"
    )
