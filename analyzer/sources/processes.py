"""Process listings that were saved on a node: `ps` of procps and busybox in whatever columns, the table of `top -b`.

A listing is a header that names the columns, and a line for each process; a file may hold several, with lines of a time
between them. sos keeps five of them (sos/report/plugins/process.py). A line of one's own prompt before `ps`
(`[root@n1 ~]# ps aux`) names the host. Of a command only the name of the executable is kept, and a quoted line ends
there: arguments and environments hold passwords.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

import polars as pl

from analyzer.frames import PROCESSES, TIME
from analyzer.sources.contract import Batch, ByteStream, Item, Ledger, Match, ReadOptions, Source
from analyzer.sources.kernelkinds import container_id, pod_uid
from analyzer.sources.lines import QUOTE_LIMIT, ends_open, line_frame, text_head, windows
from analyzer.sources.pslayout import DEFUNCT, FOREST, HEADER, HEADER_BYTES, PARTS, executable, layout, parents
from analyzer.sources.textwindow import Window
from analyzer.sources.timelines import told_times
from analyzer.sources.times import localise

LAYOUTS = 64
"""Different headers that are read in one window; a bundle has a handful."""

LINE_CHARS = 4096
"""Of a longer line only the beginning is looked at: what follows are arguments."""

_LOOKED_AT = 400
_PROMPT = r"^\[?[A-Za-z0-9._-]{1,64}@([A-Za-z0-9][A-Za-z0-9.-]{0,252})[ :][^#$]{0,200}[#$]\s.*\b(?:ps|top)\b"
_COMMAND_LINE = r"^(?:\S{0,200}[#$%>]|\+) ?(?:sudo |kubectl .{0,200}|nsenter .{0,200}|chroot /host )?(?:ps|top)(?: |$)"
_STATE = r"^([DIRSTtWXZKPN])"
_DAYS = r"^(?:(?:([0-9]{1,6})-)?([0-9]{1,2}):)?([0-9]{1,2}):([0-9]{2})$"
_State = dict[str, object]
_Shown = tuple[int | None, datetime | None]
"""The line of a listing's header, and the moment that its first process tells."""


def identify(head: bytes) -> Match | None:
    """By a header with a PID, and lines below it that are of its shape."""
    lines = line_frame(Window(1, text_head(head))).head(_LOOKED_AT)
    rows = _below(lines, dict.fromkeys(_CARRIED))
    headers, found = int(rows["is_header"].sum()), int(rows["fits"].sum())
    beside = int(rows["is_beside"].sum())
    if found and 10 * (headers + found + beside) >= 3 * rows.height:
        return Match(0.9, f"a header of ps and {found} processes in the first {rows.height} lines")
    if headers and headers + beside == rows.height:
        return Match(0.6, "a header of ps, and no process below it")
    return None


def read(stream: ByteStream, item: Item, options: ReadOptions, ledger: Ledger) -> Iterator[Batch]:
    """Batches of PROCESSES, one row per process. Lines before a header are `not-a-record`, lines of threads `thread of
    a process`, and what does not fit its header is `malformed line`."""
    state: _State = dict.fromkeys(_CARRIED)
    shown: _Shown = None, None
    for window in windows(stream, ledger):
        lines = line_frame(window)
        if not lines.height:
            continue
        rows = _below(lines, state)
        state = {name: rows[name][-1] for name in _CARRIED}
        _tell(rows, ledger, is_open=ends_open(window))
        kept = rows.filter(pl.col("fits") & ~pl.col("is_thread"))
        if not kept.height:
            continue
        made, shown = _finished(kept, item, options, shown)
        ledger.use(made.height)
        ledger.span(made["time"].min(), made["time"].max())  # type: ignore[arg-type]  # untyped by polars
        if made["time"].has_nulls():
            ledger.note("a listing of processes holds no time of its own; `date` before `ps` tells it")
        if kept["started"].str.contains("[0-9]{4}$").any():
            ledger.note(f"start times have no zone and are taken as {options.tz} (--tz sets it)")
        yield {PROCESSES: made}


_CARRIED = ("header", "listing", "given", "host")
"""What holds from one window to the next: the last header and its line, the last time, the host."""


def _below(lines: pl.DataFrame, state: _State) -> pl.DataFrame:
    """The lines with what holds for them, their PARTS, and which of `is_header`, `is_beside` (a time, a prompt), `fits`
    and `is_thread` they are."""
    text = lines["text"]
    is_header = _headers(text)
    given = told_times(text).alias("given")
    marks = lines.with_columns(
        is_header.alias("is_header"),
        given,
        host=text.str.extract(_PROMPT, 1),
        is_beside=given.is_not_null() | text.str.contains(_COMMAND_LINE) | text.str.contains(_PROMPT),
        header=pl.when(is_header).then(text.str.strip_chars()),
        listing=pl.when(is_header).then("number"),
    ).with_columns(
        pl.col("header").forward_fill().fill_null(pl.lit(state["header"], pl.String)),
        pl.col("listing").forward_fill().fill_null(pl.lit(state["listing"], pl.Int64)),
        pl.col("given").forward_fill().fill_null(pl.lit(state["given"], TIME)),
        pl.col("host").forward_fill().fill_null(pl.lit(state["host"], pl.String)),
    )
    parts = _parts(marks.filter(~pl.col("is_header") & ~pl.col("is_beside")))
    whole = marks.join(parts, on="number", how="left", maintain_order="left")
    thread = (pl.col("pid") == "-") | pl.col("thread").ne_missing(pl.col("pid")) & pl.col("thread").is_not_null()
    return whole.with_columns(
        fits=pl.col("pid").str.contains(r"^(?:[0-9]{1,10}|-)$").fill_null(False), is_thread=thread.fill_null(False)
    )


def _headers(text: pl.Series) -> pl.Series:
    """Which lines are headers, of at most LAYOUTS kinds."""
    looks = text.str.contains(HEADER) & (text.str.len_bytes() <= HEADER_BYTES)
    kinds = text.filter(looks).str.strip_chars().unique(maintain_order=True).head(LAYOUTS)
    known = [kind for kind in kinds.to_list() if layout(kind) is not None]
    return looks & text.str.strip_chars().is_in(known)


def _parts(lines: pl.DataFrame) -> pl.DataFrame:
    """`number` and PARTS of the lines that are of the shape of their header."""
    nothing = pl.DataFrame(schema={"number": pl.Int64, **dict.fromkeys(PARTS, pl.String)})
    found = [nothing]
    headers = lines["header"].drop_nulls().unique(maintain_order=True)
    for header in headers.to_list():
        known = layout(header)
        own = lines.filter(pl.col("header") == header)
        if known is None:
            continue
        if not known.is_open:
            own = own.filter(pl.col("text").str.len_bytes() <= LINE_CHARS)
        parts = own["text"].str.head(LINE_CHARS).str.extract_groups(known.pattern).struct.unnest()
        there = own.select("number").with_columns(parts[name] for name in PARTS if name in known.names)
        found.append(there.filter(pl.col("pid").is_not_null()))
    return pl.concat(found, how="diagonal")


def _tell(rows: pl.DataFrame, ledger: Ledger, *, is_open: bool) -> None:
    rest = rows.filter(~pl.col("is_header") & ~pl.col("is_beside"))
    threads = rest.filter(pl.col("fits") & pl.col("is_thread"))["number"]
    before = rest.filter(pl.col("header").is_null())["number"]
    wrong = rest.filter(pl.col("header").is_not_null() & ~pl.col("fits"))["number"]
    last = rows["number"][-1]
    if is_open and wrong.len() and wrong[-1] == last:
        ledger.tail()
        wrong = wrong.head(-1)
    elif is_open and rows["fits"][-1]:
        ledger.note(f"line {last}, the last one, has no newline: its command may have been cut")
    ledger.skip("not-a-record", before.head(3).to_list(), before.len())
    ledger.skip("thread of a process", threads.head(3).to_list(), threads.len())
    ledger.skip("malformed line", wrong.head(3).to_list(), wrong.len())


def _finished(rows: pl.DataFrame, item: Item, options: ReadOptions, shown: _Shown) -> tuple[pl.DataFrame, _Shown]:
    """The rows of PROCESSES, and what the last listing shows. A listing without a time of its own is of the moment
    that the age and the start of its first process add up to."""
    local = rows["started"].str.slice(4).str.to_datetime("%b %e %H:%M:%S %Y", time_unit="us", strict=False)
    told = localise(local, options.tz).alias("told")
    elapsed = _seconds(rows["elapsed"])
    command = rows["command"].str.replace(FOREST, "")
    drawn = parents(rows)
    frame = rows.with_columns(
        pl.coalesce("ppid", drawn).alias("ppid"),
        told,
        elapsed.alias("elapsed_seconds"),
        executable(rows["command"]).alias("command"),
    )
    age = pl.duration(seconds=pl.col("elapsed_seconds").clip(0, 10**9))
    same = (pl.col("listing") == pl.lit(shown[0], pl.Int64)).fill_null(False)
    first = (pl.col("told") + age).first().over("listing")
    frame = frame.with_columns(shown=pl.when(same).then(pl.lit(shown[1], TIME)).otherwise(first))
    defunct = command.str.contains(DEFUNCT).fill_null(False)
    frame = frame.with_columns(
        time=pl.coalesce("given", "shown"),
        state=pl.coalesce(pl.col("state").str.extract(_STATE, 1), pl.when(defunct).then(pl.lit("Z"))),
    ).with_columns(
        pl.lit(item.id).alias("source"),
        pl.col("pid", "ppid").cast(pl.Int64, strict=False),
        started=pl.coalesce("told", pl.col("given") - age),
        user=pl.col("user").str.replace_all(r"\p{C}", "").str.head(64),
        pod_uid=pod_uid("cgroup"),
        container_id=container_id("cgroup"),
    )
    made = PROCESSES.check(frame.select(PROCESSES.schema.names()).lazy()).collect()
    return made, (frame["listing"][-1], frame["shown"][-1])


def _seconds(text: pl.Series) -> pl.Series:
    """Seconds of `[[dd-]hh:]mm:ss` (etime) or of a number (etimes); null where it is neither."""
    parts = text.str.extract_groups(_DAYS).struct.unnest().select(pl.all().cast(pl.Int64, strict=False))
    days, hours, minutes, seconds = parts.get_columns()
    clock = days.fill_null(0) * 86400 + hours.fill_null(0) * 3600 + minutes * 60 + seconds
    plain = text.str.extract(r"^([0-9]{1,10})$", 1).cast(pl.Int64, strict=False)
    return pl.select(pl.coalesce(clock, plain)).to_series()


def quote(stream: ByteStream, numbers: frozenset[int], most: int = QUOTE_LIMIT) -> dict[int, str]:
    """Lines as they were written as far as the executable's name; nothing of lines whose header is not known."""
    wanted = pl.Series(sorted(numbers), dtype=pl.Int64)
    state: _State = dict.fromkeys(_CARRIED)
    found: dict[int, str] = {}
    for window in windows(stream, Ledger()):
        lines = line_frame(window)
        if not lines.height or len(found) == wanted.len():
            continue
        rows = _below(lines, state)
        state = {name: rows[name][-1] for name in _CARRIED}
        mine = rows.filter(pl.col("number").is_in(wanted.implode()), pl.col("fits") | pl.col("is_header"))
        mine = mine.with_columns(name=executable(mine["command"]))
        for number, text, header, name, is_header in mine.select(*_QUOTED).iter_rows():
            if (told := text if is_header else _cut(text, header, name)) is not None:
                found[number] = told[:most]
    return found


def _cut(text: str, header: str, name: str | None) -> str | None:
    """The line with the executable's name in place of its command and of all that follows."""
    known = layout(header)
    parts = re.match(known.pattern, text[:LINE_CHARS]) if known else None
    if known is None or parts is None:
        return None
    if "command" not in known.names:
        return text[:LINE_CHARS]
    command = parts["command"] or ""
    drawn = re.match(FOREST, command)
    head = text[: parts.start("command") + (drawn.end() if drawn else 0)] if command else parts[0]
    return f"{head}{name or ''}{' <defunct>' if re.match(DEFUNCT, command[len(drawn[0]) if drawn else 0 :]) else ''}"


_QUOTED = ("number", "text", "header", "name", "is_header")


SOURCE = Source(
    name="processes",
    title="process listing (ps)",
    tables=(PROCESSES,),
    identify=identify,
    read=read,
    quote=quote,
)
