"""Headings of process listings and what the lines below them look like.

The headings are those of procps (src/ps/output.c, format_array), of busybox (procps/ps.c) and of top (src/top/top.c,
Fieldstab). Every column is one word, but for three: `lstart` has five (Thu Nov 26 00:23:40 2026), `start` two where it
is a day (Nov 26), and the command has what it wants. What stands after the name of the executable is never kept.
"""

from __future__ import annotations

import re
from functools import lru_cache

import polars as pl
from msgspec import Struct

from analyzer.sources.secrets import scrub_column

HEADER_BYTES = 1000
"""Longest header that is believed; all columns of procps together have about 1,200 letters."""

COMMANDS = ("COMMAND", "CMD", "UCMD", "EXE")
_STATES = ("STAT", "S", "STATE")
_USERS = ("USER", "UID", "EUSER", "RUSER", "EUID")
_THREADS = ("LWP", "SPID", "TID")
_OTHERS = (
    *("%CPU", "%MEM", "ACFLG", "ADDR", "AGID", "AGNI", "BLOCKED", "C", "CAUGHT", "CGNAME", "CGROUP", "CGROUPNS"),
    *("CLS", "CP", "CPU", "CPUID", "CUC", "CUU", "DRS", "EGID", "EGROUP", "EIP", "ELAPSED", "ESP", "F", "FGID"),
    *("FGROUP", "FLAGS", "FSGID", "FSGROUP", "FSUID", "FSUSER", "FUID", "FUSER", "GID", "GROUP", "IGNORED", "IPCNS"),
    *("LABEL", "LSTART", "LUID", "LXC", "MACHINE", "MAJFL", "MAJFLT", "MINFL", "MINFLT", "MNTNS", "NETNS", "NI"),
    *("NLWP", "NS", "NUMA", "OOM", "OOMADJ", "OUNIT", "OWNER", "P", "PENDING", "PGID", "PGRP", "PIDNS", "POL", "PPID"),
    *("PR", "PRI", "PSR", "PSS", "RBYTES", "RCHARS", "RES", "RGID", "RGROUP", "ROPS", "RSS", "RSZ", "RTPRIO", "RUID"),
    *("SCH", "SCHED", "SEAT", "SESS", "SESSION", "SGI_P", "SHR", "SID", "SIZE", "SLICE", "STACKP", "START", "STARTED"),
    *("STIME", "SUID", "SUSER", "SVGID", "SVUID", "SZ", "TGID", "THCNT", "TIME", "TIME+", "TIMENS", "TPGID", "TRS"),
    *("TT", "TTY", "UNIT", "USERNS", "USS", "UTSNS", "UUNIT", "VIRT", "VSZ", "WBYTES", "WCBYTES", "WCHAN", "WCHARS"),
    *("WOPS", "NICE", "PID"),
)
HEADINGS = frozenset((*COMMANDS, *_STATES, *_USERS, *_THREADS, *_OTHERS))

_WORD = "|".join(sorted((re.escape(name) for name in HEADINGS), key=lambda name: (-len(name), name)))
HEADER = rf"^\s*(?:(?:(?:{_WORD})\s+)*PID(?:\s+(?:{_WORD}))+|(?:(?:{_WORD})\s+)+PID)\s*$"
"""A line of headings with a PID among them."""

_LSTART = r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} [0-9]{4}"
_SHAPES = {"STARTED": rf"{_LSTART}|[A-Z][a-z]{{2}} [ 0-9][0-9]|\S+", "CGROUP": r"\S+(?: \(deleted\))?"}

PARTS = ("pid", "ppid", "thread", "state", "user", "started", "elapsed", "cgroup", "command")

FOREST = r"^(?:[ |`-]*\\_ |\s*)"
"""What `ps f` draws before a command."""

_BRANCH = r"^((?: [ |] {2})* \\_ )"
DEPTHS = 64
"""Levels of a forest that are followed; each is four letters wide (procps, src/ps/display.c, show_tree)."""

_BRACKETS = r"^\[(.+?)\](?: <defunct>)?\s*$"
DEFUNCT = r"^(?:\[.+\]|[^\s/<>][^/<>]{0,15}) <defunct>\s*$"
"""A process without a command line stands in brackets where arguments are printed, and bare where its name is."""

NAME_CHARS = 64


class Layout(Struct, frozen=True):
    """What a line below one header looks like: a pattern with named groups of PARTS. `is_open`: the command is last."""

    pattern: str
    names: frozenset[str]
    is_open: bool


@lru_cache(maxsize=256)
def layout(header: str) -> Layout | None:
    """The layout below a header; None where it tells neither of states nor of commands."""
    words = header.split()
    commands = [at for at, word in enumerate(words) if word in COMMANDS]
    roles: dict[int, str] = {}
    for name, headings in (
        *(("pid", ("PID",)), ("ppid", ("PPID",)), ("thread", _THREADS), ("state", _STATES), ("user", _USERS)),
        *(("started", ("STARTED",)), ("elapsed", ("ELAPSED",)), ("cgroup", ("CGROUP",)), ("command", COMMANDS)),
    ):
        at = next((at for heading in headings for at, word in enumerate(words) if word == heading), None)
        if at is not None:
            roles[at] = name
    if not {"state", "command"} & {*roles.values()}:
        return None
    pattern = ""
    for at, word in enumerate(words):
        wide = at in commands and at == commands[-1]
        shape = _SHAPES.get(word, r"\S+(?: <defunct>)?" if at in commands else r"\S+")
        shape = (".*" if at == len(words) - 1 else ".*?") if wide else shape
        gap = r"\s*" if at == 0 else r"\s+" if not wide else r"(?:\s|$)"
        pattern += gap + (f"(?P<{roles[at]}>{shape})" if at in roles else f"(?:{shape})")
    is_open = bool(commands) and commands[-1] == len(words) - 1
    return Layout(f"^{pattern}\\s*$", frozenset(roles.values()), is_open)


def parents(rows: pl.DataFrame) -> pl.Series:
    """The pid of each row's parent by what `ps f` draws: the last row before it, of its listing, one level up. Null for
    roots, and where nothing is drawn. Rows: `command` as printed, `pid`, `listing`."""
    depth = rows["command"].str.extract(_BRANCH, 1).str.len_chars().fill_null(0) // 4
    deepest = min(DEPTHS, int(depth.max() or 0))  # type: ignore[arg-type]  # untyped by polars
    if not deepest:
        return pl.Series("parent", [None], dtype=pl.String).new_from_index(0, rows.height)
    levels = rows.select("pid", "listing", depth=depth)
    up = [
        pl.when(pl.col("depth") == level).then(
            pl.when(pl.col("depth") == level - 1).then("pid").forward_fill().over("listing")
        )
        for level in range(1, deepest + 1)
    ]
    return levels.select(pl.coalesce(up).alias("parent")).to_series()


def executable(command: pl.Series) -> pl.Series:
    """The executable's name, of a command line or of the kernel's name of it: its first word without the path, at most
    64 characters; null where there is none. What a process made its title (`nginx: worker`) is cut at the colon."""
    bare = command.str.replace(FOREST, "")
    word = bare.str.extract(r"^(\S+)", 1).str.replace(r"^-", "").str.replace(r":$", "").str.replace(r"=.*$", "")
    path = word.str.contains(r"^\.{0,2}/|^~")
    word = pl.select(pl.when(path).then(word.str.extract(r"([^/]+)/*$", 1)).otherwise(word)).to_series()
    named = pl.select(pl.coalesce(bare.str.extract(_BRACKETS, 1), word)).to_series()
    clean = named.str.replace_all(r"\p{C}", "").str.head(NAME_CHARS)
    return scrub_column(pl.select(pl.when(clean != "").then(clean)).to_series())
