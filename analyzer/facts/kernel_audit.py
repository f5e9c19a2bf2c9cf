"""The Linux audit system by node: its records with their serials, what was left out or lost, and how it was set.

Lines are those of kernel/audit.c (`audit_lost=%u audit_rate_limit=%u audit_backlog_limit=%u`, `audit_backlog=%d >
audit_backlog_limit=%d`, CONFIG_CHANGE with `op=set audit_enabled=1 old=0` or `op=add_rule`) and of lib/ratelimit.c
(`kauditd_printk_skb: 34 callbacks suppressed`; until 4.9 `audit_printk_skb`). The serial counts events of a boot: the
records of one event share it (audit_serial in kernel/audit.c), so that gaps are events that are not in the log.
Journald hears the same records on a socket of its own and leaves stamp and serial out of its text (journald-audit.c).
"""

from __future__ import annotations

import polars as pl

from analyzer.facts.audit_types import SIDE, type_name
from analyzer.facts.contract import Fact, Frames
from analyzer.facts.node_names import node
from analyzer.frames import KERNEL_MESSAGES, LOG_SUPPRESSIONS, Col, Table
from analyzer.frames.contract import PLACE, empty

_TABLE = Table(
    "kernel_audit",
    "One row per record of the kernel's audit system, and per line that tells of its queue, its settings or its start.",
    (
        *PLACE,
        Col("node", pl.String(), "Node: the host without its domain, in lower case; the input where no host is told."),
        Col(
            "what",
            pl.String(),
            "record, lost (since boot: value), backlog (value records wait), suppressed (value lines left out by a "
            "rate limit) or boot.",
        ),
        Col("serial", pl.Int64(), "Number of the event since boot; null of what is no record."),
        Col(
            "is_numbered",
            pl.Boolean(),
            "Whether the serial is the kernel's. Journald leaves it out: then events are counted in their order, "
            "from 1,001 on.",
        ),
        Col("type", pl.String(), "Name of the record's type (SYSCALL, AVC), or its number; null of what is no record."),
        Col("process", pl.String(), "Command that it is about; null if not told."),
        Col("rule_key", pl.String(), "Key of the rule that asked for it (-k of auditctl); null without one."),
        Col("setting", pl.String(), "Of CONFIG_CHANGE what was set: audit_enabled, audit_pid, rule ...; else null."),
        Col("before", pl.Int64(), "Its value before, where told."),
        Col("value", pl.Int64(), "Its value now, or the number that `what` tells of; else null."),
        Col("bytes", pl.Int64(), "Length of the record's text."),
    ),
)

NEAR = pl.duration(seconds=2)
"""How far a line may be from the stamp of its record, to be of the same moment."""

_KEY = r' key="([^"]{1,64})"'
_SET = r"\b(audit_[a-z_]+)=(-?[0-9]{1,18}) old=(-?[0-9]{1,18})"
_RULE = r'op="?(?:add|remove)[_ ]rule'
_LOST = r"audit_lost=(-?[0-9]{1,18})"
_BACKLOG = r"audit_backlog=([0-9]{1,18}) >"
_BEGUN = r"type=(?:2000|KERNEL) .*state=initialized"
_LIMITED = r"^(?:kauditd_printk_skb|audit_printk_skb|audit_log_start|audit_panic|audit_log_lost): "


def _records(messages: pl.LazyFrame) -> pl.LazyFrame:
    text, set_ = pl.col("text"), pl.col("text").str.extract_groups(_SET).struct
    change = pl.col("type") == "CONFIG_CHANGE"
    rule = text.str.contains(_RULE)
    return (
        messages.filter(
            pl.col("kind") == "audit", pl.col("audit_serial").is_not_null() | pl.col("audit_type").is_not_null()
        )
        .with_columns(type=type_name("audit_type").fill_null("unknown"))
        .with_columns(
            what=pl.lit("record"),
            # A line's own stamp has milliseconds; that of a system call that lasted is older than the line.
            time=pl.when((pl.col("time") - pl.col("audit_time")).abs() <= NEAR)
            .then("audit_time")
            .otherwise(pl.coalesce("time", "audit_time")),
            stamp="audit_time",
            rule_key=text.str.extract(_KEY, 1),
            serial="audit_serial",
            setting=pl.when(change).then(pl.coalesce(set_.field("1"), pl.when(rule).then(pl.lit("rule")))),
            value=pl.when(change).then(set_.field("2").cast(pl.Int64, strict=False)),
            before=pl.when(change).then(set_.field("3").cast(pl.Int64, strict=False)),
            bytes=text.str.len_bytes().cast(pl.Int64),
        )
    )


def _told(messages: pl.LazyFrame, what: str, value: pl.Expr) -> pl.LazyFrame:
    return messages.with_columns(what=pl.lit(what), value=value).filter(pl.col("value").is_not_null())


def _derive(frames: Frames) -> pl.LazyFrame:
    messages, text = frames[KERNEL_MESSAGES], pl.col("text")
    bare = messages.filter(pl.col("kind") == "audit", pl.col("audit_serial").is_null(), pl.col("audit_type").is_null())
    limited = messages.filter(pl.col("kind") == "suppressed", text.str.contains(_LIMITED))
    journal = frames.get(LOG_SUPPRESSIONS, empty(LOG_SUPPRESSIONS).lazy()).filter(
        pl.col("kind") == "left out", pl.col("component").is_in(["kernel", "audit", "auditd", "audispd"])
    )
    parts = [
        _records(messages),
        _told(bare, "lost", text.str.extract(_LOST, 1).cast(pl.Int64, strict=False)),
        _told(bare, "backlog", text.str.extract(_BACKLOG, 1).cast(pl.Int64, strict=False)),
        _told(limited, "suppressed", pl.col("count")),
        _told(journal, "suppressed", pl.col("count")),
        messages.filter((pl.col("kind") == "boot") | text.str.contains(_BEGUN)).with_columns(what=pl.lit("boot")),
    ]
    whole = pl.concat(parts, how="diagonal").with_columns(node=node()).collect()
    return (
        _counted(_one_node(whole))
        .select(pl.col(name).cast(dtype) for name, dtype in _TABLE.schema.items())
        .sort("time", "source", "number")
        .lazy()
    )


def _one_node(rows: pl.DataFrame) -> pl.DataFrame:
    """The audit daemon's log and a dmesg name no host: such a log is of the node whose journal holds events of its
    stamps and serials; or of the only one whose journald heard records in most of the same seconds."""
    key = ["stamp", "serial"]
    records = rows.filter(pl.col("what") == "record", pl.col("stamp").is_not_null())
    named = records.filter(pl.col("host").is_not_null()).select(*key, known="node").unique()
    met = records.filter(pl.col("host").is_null()).select("source", *key).unique().join(named, on=key)
    found = (
        met.group_by("source", "known")
        .len()
        .sort("source", "len", "known", descending=[False, True, False])
        .unique("source", keep="first", maintain_order=True)
    )
    found = pl.concat([found.select("source", "known"), _heard(rows, found["source"])])
    joined = rows.join(found, on="source", how="left", maintain_order="left")
    return joined.with_columns(
        node=pl.when(pl.col("host").is_null()).then(pl.coalesce("known", "node")).otherwise("node")
    )


def _heard(rows: pl.DataFrame, known: pl.Series) -> pl.DataFrame:
    """`source` of logs without a host and without stamps that a journal has, and `known`, the node that they are of."""
    records = rows.filter(pl.col("what") == "record").with_columns(second=pl.col("time").dt.truncate("1s"))
    bare = records.filter(pl.col("serial").is_null(), pl.col("host").is_not_null()).select("node", "second").unique()
    nodes = bare["node"].unique()
    none = pl.DataFrame(schema={"source": pl.String(), "known": pl.String()})
    if nodes.len() != 1:
        return none
    own = records.filter(
        pl.col("host").is_null(), pl.col("serial").is_not_null(), ~pl.col("source").is_in(known.implode())
    )
    met = own.select("source", "second").unique().join(bare, on="second").group_by("source").len()
    return met.filter(2 * pl.col("len") >= bare.height).sort("source").select("source", known=pl.lit(nodes[0]))


def _counted(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with each record told once, by the kernel's own lines where they hold most of the minutes, else by
    journald's, whose events get numbers here."""
    rows = rows.with_columns(is_numbered=pl.when(pl.col("what") == "record").then(pl.col("serial").is_not_null()))
    bare = pl.col("is_numbered").not_().fill_null(False)
    if not rows.select(bare.any()).item():
        return rows
    minutes = (
        rows.filter(pl.col("is_numbered").is_not_null())
        .group_by("node", minute=pl.col("time").dt.truncate("1m"))
        .agg(own=bare.any(), kernel=pl.col("is_numbered").any())
        .group_by("node")
        .agg(
            pl.col("own", "kernel").sum(),
            both=(pl.col("own") & pl.col("kernel")).sum(),
        )
    )
    by_serial = (2 * pl.col("both") >= pl.col("own")) | (pl.col("kernel") >= pl.col("own"))
    sure = minutes.filter(by_serial)["node"].implode()
    kept = rows.filter(pl.col("is_numbered").is_null() | (pl.col("is_numbered") == pl.col("node").is_in(sure)))
    ordered = kept.sort("node", "time", "source", "number")
    records = ordered.filter(bare).with_columns(serial=_FIRST + _begins().cum_sum().over("node"))
    return pl.concat([ordered.filter(~bare), records])


_FIRST = 1_000
"""Numbers that are given here begin after it: small serials are those of a boot."""


def _begins() -> pl.Expr:
    """True for a record that begins an event. The kernel writes what happened, the system call in which it did, and
    what goes with that (kernel/auditsc.c, audit_log_exit)."""
    kind, before = pl.col("type"), pl.col("type").shift(1).over("node")
    near = (pl.col("time") - pl.col("time").shift(1).over("node")) <= pl.duration(seconds=1)
    explains = (kind == "SYSCALL") & ~before.is_in(["SYSCALL", *SIDE]) & near
    return (~kind.is_in(SIDE) & ~explains.fill_null(False)).cast(pl.Int64)


KERNEL_AUDIT = Fact(table=_TABLE, needs_any=((KERNEL_MESSAGES,),), uses=(LOG_SUPPRESSIONS,), derive=_derive)
