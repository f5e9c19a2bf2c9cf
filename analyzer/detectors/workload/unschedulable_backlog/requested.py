"""What DaemonSets and the pods that wait ask for, where bodies of the audit log tell it."""

from __future__ import annotations

import re
from datetime import datetime

import polars as pl
from msgspec import Struct

from analyzer.detectors.workload.unschedulable_backlog.backlog import Backlog
from analyzer.facts.contract import Frames
from analyzer.frames import AUDIT_FIELDS
from analyzer.frames.contract import TIME

REQUESTS = "requests."
PRIORITY = "priorityClassName"

SYSTEM_PRIORITY = r"system-(?:cluster|node)-critical"
"""The built-in classes, above every other (kubernetes `pkg/apis/scheduling/types.go`)."""

_LACKING = r"Insufficient ([a-z0-9][a-z0-9./-]*)"
PODS = "pods"
"""Every pod takes one of these."""

Amounts = dict[str, float]


class Asked(Struct, frozen=True, kw_only=True):
    """One DaemonSet: what each of its pods asks for since it was written, and `before` (None where no body told);
    `requests` is None where no body tells it."""

    name: str
    requests: Amounts | None = None
    before: Amounts | None = None
    priority: str | None = None

    @property
    def added(self) -> Amounts:
        """What the write added on every node; all of it where nobody knows what was asked before."""
        before = self.before or {}
        return {name: round(value - before.get(name, 0.0), 9) for name, value in (self.requests or {}).items()}

    @property
    def critical(self) -> bool:
        return bool(self.priority and re.fullmatch(SYSTEM_PRIORITY, self.priority))

    def takes(self, lacking: set[str]) -> bool | None:
        """Whether it takes what the pods lack; None where nobody knows."""
        if self.requests is None:
            return None
        if PODS in lacking:
            return True
        return any(value > 0 for name, value in self.added.items() if name in lacking or not lacking)


def lacking(backlog: Backlog) -> set[str]:
    """Resources of which the nodes had not enough, by the scheduler's reasons; empty where they name none."""
    texts = backlog.waits["message"].drop_nulls().unique().sort().to_list()
    named = {name.rstrip(".") for text in texts for name in re.findall(_LACKING, text)}
    return named | ({PODS} if any("Too many pods" in text for text in texts) else set())


def asked(frames: Frames, written: pl.DataFrame, onset: datetime | None) -> dict[str, Asked]:
    """What each of these DaemonSets (`name` as namespace/name, `time` of the first write) asks for at the onset."""
    told = _told(frames, pl.col("resource") == "daemonsets").filter(pl.col("time") <= pl.lit(onset, TIME))
    return {
        name: _asked(name, time, told.filter(pl.col("object") == name))
        for name, time in written.select("name", "time").iter_rows()
    }


def _asked(name: str, time: datetime, told: pl.DataFrame) -> Asked:
    """The last body from the first write on, and the last before it."""
    now = told.filter(pl.col("time") >= time)
    if not now.height:
        return Asked(name=name)
    now = now.filter(pl.col("time") == now["time"].max())
    last = told.filter(pl.col("time") < time)
    before = last.filter(pl.col("time") == last["time"].max()) if last.height else None
    requests = _amounts(now)
    priority = now.filter(pl.col("field") == PRIORITY)["value"]
    return Asked(
        name=name,
        requests=requests or None,
        before=None if before is None else _amounts(before) or None,
        priority=priority[-1] if priority.len() else None,
    )


def of_pods(frames: Frames, backlog: Backlog) -> dict[str, Amounts]:
    """What the pods of a backlog ask for, by namespace/name: by their own body, else by their Deployment's template."""
    pods = _told(frames, pl.col("resource") == "pods", amounts=True).unique(["object", "field"], keep="last")
    made = pl.col("resource").is_in(["deployments", "statefulsets", "jobs", "cronjobs"])
    templates = _told(frames, made, amounts=True).unique(["object", "resource", "field"], keep="last")
    kinds = {
        "Deployment": "deployments",
        "StatefulSet": "statefulsets",
        "Job": "jobs",
        "CronJob": "cronjobs",
    }
    waits = backlog.waits.select(
        pl.concat_str("namespace", pl.lit("/"), "pod").alias("key"),
        pl.concat_str("namespace", pl.lit("/"), "workload").alias("object"),
        pl.col("workload_kind").replace_strict(kinds, default="", return_dtype=pl.String).alias("resource"),
    ).unique()
    own = waits.select("key").join(pods, left_on="key", right_on="object")
    above = waits.join(templates, on=["object", "resource"]).join(own, on="key", how="anti")
    both = pl.concat([own.select("key", "field", "value"), above.select("key", "field", "value")]).sort("key", "field")
    return {str(key[0]): _amounts(rows) for key, rows in both.group_by("key", maintain_order=True)}


def _told(frames: Frames, which: pl.Expr, *, amounts: bool = False) -> pl.DataFrame:
    """Requests and priority classes that bodies of successful writes tell: time, resource, object, field, value."""
    schema = {"time": TIME, **dict.fromkeys(("resource", "object", "field", "value"), pl.String())}
    if AUDIT_FIELDS not in frames:
        return pl.DataFrame(schema=schema)
    field = pl.col("field")
    wanted = field.str.starts_with(REQUESTS) | (pl.lit(not amounts) & (field == PRIORITY))
    return (
        frames[AUDIT_FIELDS]
        .filter(which, wanted, pl.col("whole"), pl.col("code").is_between(200, 299), pl.col("name").is_not_null())
        .with_columns(object=pl.concat_str("namespace", pl.lit("/"), "name"))
        .sort("time", "source", "number", pl.col("body") == "response", "field", nulls_last=True)
        .select(list(schema))
        .collect()
    )


def _amounts(rows: pl.DataFrame) -> Amounts:
    kept = rows.filter(pl.col("field").str.starts_with(REQUESTS))
    values = kept["value"].cast(pl.Float64, strict=False).to_list()
    names = kept["field"].str.strip_prefix(REQUESTS).to_list()
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def words(amounts: Amounts) -> str:
    """What is asked for, for a sentence: `0.5 cores of CPU and 512 MiB of memory`."""
    told = []
    for name, value in sorted(amounts.items()):
        if value <= 0:
            continue
        if name == "cpu":
            told.append(f"{value:g} {'core' if value == 1 else 'cores'} of CPU")
        elif name == "memory":
            told.append(f"{value / 2**20:,.4g} MiB of memory")
        else:
            told.append(f"{value:g} {name}")
    return " and ".join(told) or "nothing"
