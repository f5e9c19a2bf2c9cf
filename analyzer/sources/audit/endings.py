"""Containers that ended, as bodies of pods tell it: the status that a kubelet writes, or the pod in an answer.

Only names, ids, times, the exit code and the reason leave a body; the message of a container, which may hold anything,
is never decoded. Field names: kubernetes `staging/src/k8s.io/api/core/v1/types.go`, ContainerStateTerminated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
import polars as pl
from msgspec import Struct, field

from analyzer.frames import AUDIT_CONTAINERS
from analyzer.sources.audit.body import Bodies
from analyzer.sources.audit.objects import object_bodies, sound_name

MOST = 64
"""Containers of one pod that are told; a pod has a handful."""

_MARK = b'"terminated"'
_ID = re.compile(r"(?:[a-z][a-z-]{0,30}://)?([0-9a-f]{12,64})", re.ASCII)
_REASON = re.compile(r"[A-Za-z]{1,64}", re.ASCII)
_CODES = range(-(1 << 31), 1 << 31)


class _Terminated(Struct):
    container: Any = field(default=None, name="containerID")
    code: Any = field(default=None, name="exitCode")
    reason: Any = None
    started: Any = field(default=None, name="startedAt")
    finished: Any = field(default=None, name="finishedAt")


class _State(Struct):
    terminated: _Terminated | None = None


class _Container(Struct):
    name: Any = None
    state: _State | None = None
    last: _State | None = field(default=None, name="lastState")


class _Status(Struct):
    containers: list[_Container] | None = field(default=None, name="containerStatuses")
    first: list[_Container] | None = field(default=None, name="initContainerStatuses")
    extra: list[_Container] | None = field(default=None, name="ephemeralContainerStatuses")


class _Pod(Struct):
    status: _Status | None = None


_DECODER = msgspec.json.Decoder(_Pod)
_ERRORS = (msgspec.DecodeError, UnicodeError, RecursionError)
_MADE = {"place": pl.UInt32()} | {
    name: AUDIT_CONTAINERS.schema[name]
    for name in ("container", "container_id", "exit_code", "reason", "started_at", "finished_at")
}


def ending_rows(bodies: Bodies, table: pl.DataFrame) -> pl.DataFrame:
    """AUDIT_CONTAINERS of these events, whose rows are `table`; Python runs for bodies of pods in which one ended."""
    empty = pl.DataFrame(schema=AUDIT_CONTAINERS.schema)
    wanted = (
        (pl.col("resource") == "pods")
        & (pl.col("subresource").fill_null("status") == "status")
        & ~pl.col("verb").is_in(["list", "watch"])
        & (pl.col("code").fill_null(200) < 300)
        & (pl.col("request_body_bytes") + pl.col("response_body_bytes") > 0)
    )
    chosen = table.with_row_index("place").filter(wanted).select("place", "verb", "code")
    rows = []
    for place, verb, code in chosen.iter_rows():
        told: dict[str, tuple[Any, ...]] = {}
        for _, text in object_bodies(bodies(place), verb, code):
            told |= {one[1]: one for one in _read(text)} if _MARK in text else {}
        rows += [(place, *one) for one in told.values()]
    if not rows:
        return empty
    made = pl.DataFrame(rows, schema=_MADE, orient="row")
    kept = table[made["place"]].select("time", "source", "number", "audit_id", "namespace", pod="name", node="node")
    return AUDIT_CONTAINERS.check(pl.concat([kept, made.drop("place")], how="horizontal").lazy()).collect()


def _read(text: bytes) -> Iterator[tuple[Any, ...]]:
    """Name, id, exit code, reason and times of each container that ended."""
    try:
        status = _DECODER.decode(text).status
    except _ERRORS:
        return
    if status is None:
        return
    every = [*(status.containers or []), *(status.first or []), *(status.extra or [])]
    for one in every[:MOST]:
        for state in (one.last, one.state):
            if state is not None and (end := state.terminated) is not None and (found := _ended(one, end)):
                yield found


def _ended(one: _Container, end: _Terminated) -> tuple[Any, ...] | None:
    known = _ID.fullmatch(end.container) if isinstance(end.container, str) else None
    if known is None or type(end.code) is not int or end.code not in _CODES:
        return None
    reason = end.reason if isinstance(end.reason, str) and _REASON.fullmatch(end.reason) else None
    name = sound_name(one.name) if isinstance(one.name, str) else None
    return name, known[1], end.code, reason, _moment(end.started), _moment(end.finished)


def _moment(text: Any) -> datetime | None:
    """RFC 3339, as metav1.Time is written; null where a runtime told none (year 1)."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None and 2010 <= moment.year < 2100 else None
