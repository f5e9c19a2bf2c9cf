"""Snapshots of cgroups' cpu.stat, version 1 and 2, one or many in a file.

`cat cpu.stat` alone, below a heading that names the path (`==> /sys/fs/cgroup/.../cpu.stat <==` of head and tail,
`PATH:`, `PATH`), or as `grep -r . ` prints it, `PATH/cpu.stat:nr_periods 5`; with lines of a time between them: RFC
3339, seconds since 1970, or what `date` prints. Keys as in the kernel's kernel/sched/core.c (cpu_cfs_stat_show,
cpu_extra_stat_show) and kernel/cgroup/rstat.c (cgroup_base_stat_cputime_show).
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.frames import CGROUP_CPU, TIME
from analyzer.sources.contract import Batch, ByteStream, Item, Ledger, Match, ReadOptions, Source
from analyzer.sources.kernelkinds import container_id, pod_uid
from analyzer.sources.lines import line_frame, quote_lines, text_head, windows
from analyzer.sources.textwindow import Window
from analyzer.sources.timelines import told_times

_KEYS = (
    *("usage_usec", "user_usec", "system_usec", "nice_usec", "core_sched.force_idle_usec", "nr_periods"),
    *("nr_throttled", "throttled_usec", "throttled_time", "nr_bursts", "burst_usec", "burst_time", "wait_sum"),
)
"""In the order in which the kernel prints them; a key that does not come after the one before begins a snapshot."""

_RANK = {key: rank for rank, key in enumerate(_KEYS)}
_PAIR = rf"(?P<key>{'|'.join(key.replace('.', '[.]') for key in _KEYS)}) +(?P<value>\S.*)?$"
_LINE = rf"^(?:(?P<path>[^ :]*cpu\.stat): ?)?{_PAIR}"
_HEADING = r"^(?:==> (?P<tail>.+) <==|(?P<bare>[^ ]*/[^ :]*|[^ :/]*cpu\.stat):? *)$"
_LOOKED_AT = 400

_SECONDS = {"usec": 1e6, "time": 1e9}
"""Units of version 2 and of version 1 (throttled_time is in nanoseconds)."""


def identify(head: bytes) -> Match | None:
    """By lines of cpu.stat: at least the periods or the usage, as a good part of the first lines."""
    data = text_head(head)
    lines = line_frame(Window(1, data))["text"].head(_LOOKED_AT)
    pairs = lines.str.contains(_LINE)
    telling = lines.filter(pairs).str.contains(r"nr_periods|nr_throttled|usage_usec").sum()
    if int(pairs.sum()) >= 3 and telling >= 2 and 10 * int(pairs.sum()) >= 3 * lines.len():
        return Match(0.9, f"{int(pairs.sum())} of the first {lines.len()} lines are those of a cgroup's cpu.stat")
    return None


def read(stream: ByteStream, item: Item, options: ReadOptions, ledger: Ledger) -> Iterator[Batch]:
    """Batches of CGROUP_CPU, one row per snapshot, numbered by its first line. Lines of other files are
    `not-a-record`, a key without a whole number `malformed line`."""
    held = pl.DataFrame()
    state: dict[str, object] = {"path": None, "time": None}
    for window in windows(stream, ledger):
        lines = _taken_apart(line_frame(window), state)
        _tell(lines, ledger, is_open=not window.data.endswith(b"\n"))
        state = {name: lines[name][-1] if lines.height else state[name] for name in state}
        lines = pl.concat([held, lines]) if held.height else lines
        lines = lines.filter(pl.col("starts") | (pl.col("key").is_not_null() & pl.col("count").is_not_null()))
        if not lines.height:
            continue
        group = lines.select((pl.col("starts") | _begins()).fill_null(True).cum_sum().alias("group"))["group"]
        lines = lines.with_columns(group)
        last = lines["group"] == lines["group"].max()
        held = lines.filter(last).drop("group")
        yield from _batches(lines.filter(~last), item, ledger)
    if held.height:
        yield from _batches(held.with_columns(pl.lit(0).alias("group")), item, ledger)


def _taken_apart(lines: pl.DataFrame, state: dict[str, object]) -> pl.DataFrame:
    """`number`, `key` and `count` of cpu.stat lines, the path and the time that hold for them, and `starts` for lines
    that give one of the two, `foreign` and `wrong` for the others."""
    pair = lines["text"].str.extract_groups(_LINE).struct.unnest()
    parts = lines["text"].str.extract_groups(_HEADING).struct.unnest()
    heading = pl.select(pl.coalesce(parts["tail"], parts["bare"]).alias("heading")).to_series()
    given = told_times(lines["text"]).alias("given")
    frame = lines.select("number").with_columns(
        pair["key"],
        pair["value"].str.strip_chars().cast(pl.Int64, strict=False).alias("count"),
        pair["path"].alias("own"),
        heading,
        given,
    )
    starts = pl.col("heading").is_not_null() | pl.col("given").is_not_null()
    return frame.select(
        "number",
        "key",
        "count",
        pl.coalesce("own", pl.col("heading").forward_fill().fill_null(pl.lit(state["path"], pl.String))).alias("path"),
        pl.col("given").forward_fill().fill_null(pl.lit(state["time"], TIME)).alias("time"),
        starts.alias("starts"),
        (pl.col("key").is_null() & ~starts).alias("foreign"),
        (pl.col("key").is_not_null() & (pl.col("count").is_null() | (pl.col("count") < 0))).alias("wrong"),
    ).with_columns(pl.when(~pl.col("wrong")).then("count").alias("count"))


def _begins() -> pl.Expr:
    """True for a line that cannot belong to the snapshot of the line before it."""
    rank = pl.col("key").replace_strict(_RANK, default=None, return_dtype=pl.Int32)
    return (rank <= rank.shift(1)) | pl.col("path").ne_missing(pl.col("path").shift(1)) | pl.col("starts").shift(1)


def _tell(lines: pl.DataFrame, ledger: Ledger, *, is_open: bool) -> None:
    foreign, wrong = lines.filter("foreign")["number"], lines.filter("wrong")["number"]
    if is_open and lines.height and lines["wrong"][-1]:
        ledger.tail()
        wrong = wrong.head(-1)
    elif is_open and lines.height and lines["key"][-1] is not None:
        ledger.note(f"line {lines['number'][-1]}, the last one, has no newline: its number may have been cut")
    ledger.skip("not-a-record", foreign.head(3).to_list(), foreign.len())
    ledger.skip("malformed line", wrong.head(3).to_list(), wrong.len())


def _batches(lines: pl.DataFrame, item: Item, ledger: Ledger) -> Iterator[Batch]:
    values = lines.filter(pl.col("key").is_not_null())
    if not values.height:
        return
    rows = values.group_by("group", maintain_order=True).agg(
        pl.col("number").first(),
        pl.col("time").first(),
        pl.col("path").first(),
        *(pl.col("count").filter(pl.col("key") == key).first().alias(key) for key in _KEYS),
    )
    seconds = {key: pl.col(key) / _SECONDS[key.rsplit("_", 1)[-1]] for key in _KEYS if key.endswith(("_usec", "_time"))}
    rows = rows.with_columns(
        pl.lit(item.id).alias("source"),
        pl.col("path").str.strip_suffix("/cpu.stat").alias("path"),
        seconds["usage_usec"].alias("usage_seconds"),
        seconds["user_usec"].alias("user_seconds"),
        seconds["system_usec"].alias("system_seconds"),
        pl.col("nr_periods").alias("periods"),
        pl.col("nr_throttled").alias("throttled_periods"),
        pl.coalesce(seconds["throttled_usec"], seconds["throttled_time"]).alias("throttled_seconds"),
    )
    rows = rows.with_columns(pod_uid("path").alias("pod_uid"), container_id("path").alias("container_id"))
    ledger.use(rows.height)
    ledger.span(rows["time"].min(), rows["time"].max())  # type: ignore[arg-type]  # untyped by polars
    if rows["time"].has_nulls():
        ledger.note("some snapshots of cpu.stat have no time: their order and differences count, no rates")
    yield {CGROUP_CPU: CGROUP_CPU.check(rows.select(CGROUP_CPU.schema.names()).lazy()).collect()}


SOURCE = Source(
    name="cgroup",
    title="snapshots of cgroups' cpu.stat",
    tables=(CGROUP_CPU,),
    identify=identify,
    read=read,
    quote=quote_lines,
)
