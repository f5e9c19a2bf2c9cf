"""The text that kubectl prints of Events for people, by `kubectl events` and by `kubectl get events`, also `-o wide`.

Columns: kubernetes `pkg/printers/internalversion/printers.go` (Event; those of priority 1 are wide), until 1.13 in
another order; `kubectl events` adds `(x5 over 20m)` to the age. Ages are printed by apimachinery
`pkg/util/duration.HumanDuration`, in one or two units.

LAST SEEN is an age, and nothing tells when it was printed, with one exception: where the names of Events are printed,
they end with the time at which each was made, in hexadecimal nanoseconds (client-go `tools/record/event.go`,
makeEvent). Beside FIRST SEEN, the age of that moment, they tell the time of printing to the last printed unit, if all
rows agree on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

import polars as pl

from analyzer.frames import KUBE_EVENTS, TIME
from analyzer.sources.contract import ByteStream, Item, Ledger
from analyzer.sources.kernellines import bounded
from analyzer.sources.lines import windows
from analyzer.sources.secrets import scrub_column
from analyzer.sources.wrappers import Wrapper, unwrap

_PLAIN = r"LAST SEEN +TYPE +REASON +OBJECT +MESSAGE"
_WIDE = r"LAST SEEN +TYPE +REASON +OBJECT +SUBOBJECT +SOURCE +MESSAGE +FIRST SEEN +COUNT +NAME"
_OLD = r"LAST SEEN +FIRST SEEN +COUNT +NAME +KIND +SUBOBJECT +TYPE +REASON +SOURCE +MESSAGE"
HEADER = rf"^(?:NAMESPACE +)?(?:{_PLAIN}|{_WIDE}|{_OLD}) *$"
_WITH_NAMES = re.compile(rf"(?:NAMESPACE +)?(?:{_WIDE}|{_OLD}) *")
_COLUMN = re.compile(r"(?:LAST |FIRST )?[A-Z]+")

_AGE = r"(?:[0-9]+[smhdy])+|<unknown>|<invalid>"
_LINE = (
    rf"^(?:(?P<namespace>[a-z0-9-]{{1,63}}) {{2,}})?(?P<seen>{_AGE})"
    r"(?: \(x(?P<count>[0-9]{1,9}) over [^)]*\))? {2,}(?P<type>[A-Za-z]+) {2,}(?P<reason>\S+) {2,}"
    r"(?P<kind>[a-z0-9.]+)/(?P<name>\S+) {2,}(?P<message>.*)$"
)
"""`kubectl get events [-A]` as printed; columns are two spaces apart at least (printers/tabwriter)."""

_MADE = r"^(.+)\.(1[0-9a-f]{15})$"
"""The name of an Event: that of its object, and when it was made (2006 to 2043)."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "y": 365 * 86_400}

_KINDS = (
    *("Pod", "Node", "Service", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob", "Endpoints"),
    *("PersistentVolumeClaim", "PersistentVolume", "HorizontalPodAutoscaler", "ConfigMap", "Secret", "Namespace"),
    *("Ingress", "Lease", "PodDisruptionBudget", "ResourceQuota", "ServiceAccount", "EndpointSlice", "NodePool"),
)
_WRITTEN = {kind.lower(): kind for kind in _KINDS}
"""kubectl prints kinds in lower case."""


def is_table(text: bytes) -> bool:
    """Whether these first bytes begin with the header of such a table."""
    return bool(pl.Series([_first_line(text)]).str.contains(HEADER)[0])


def read_table(stream: ByteStream, item: Item, ledger: Ledger, head: bytes) -> Iterator[pl.DataFrame]:
    """Rows of KUBE_EVENTS; a line that does not fit is `malformed line`, the header is no record."""
    header = _first_line(head)
    named = _WITH_NAMES.fullmatch(header.rstrip("\r"))
    if not named:
        ledger.note("LAST SEEN is an age: these events have no time (kubectl get events -o json has it)")
    for window in windows(stream, ledger):
        [lines] = unwrap([window], Wrapper(), ledger)
        lines = lines.filter(~lines["text"].str.contains(HEADER))
        found = _by_places(lines["text"], header) if named else lines["text"].str.extract_groups(_LINE).struct.unnest()
        fits = found["name"].is_not_null() & found["reason"].is_not_null()
        wrong = lines.filter(~fits)
        if wrong["open"].any():
            ledger.tail()
        damaged = wrong.filter(~pl.col("open"))["number"]
        ledger.skip("malformed line", damaged.head(3).to_list(), damaged.len())
        rows = pl.concat([lines.select("number"), found], how="horizontal").filter(fits)
        if rows.height:
            rows = _timed(rows, ledger) if named else rows
            yield _rows(rows, item)


def _first_line(text: bytes) -> str:
    return text[:1000].split(b"\n")[0].decode("utf-8", "replace")


def _rows(rows: pl.DataFrame, item: Item) -> pl.DataFrame:
    missing = KUBE_EVENTS.schema.keys() - rows.columns - {"source"}
    whole = rows.with_columns(
        *(pl.lit(None, KUBE_EVENTS.schema[name]).alias(name) for name in sorted(missing)),
        pl.col("count").cast(pl.Int64, strict=False).fill_null(1),
        pl.col("kind").replace(_WRITTEN),
        scrub_column(bounded(rows["message"])),
        pl.lit(item.id).alias("source"),
    )
    return KUBE_EVENTS.check(whole.select(KUBE_EVENTS.schema.names()).lazy()).collect()


def _by_places(text: pl.Series, header: str) -> pl.DataFrame:
    """The cells of a table in which some are empty, by where the header's words begin; null where a line has text
    across a column's start."""
    marks = list(_COLUMN.finditer(header))
    starts = [mark.start() for mark in marks]
    cells = {
        mark[0]: text.str.slice(start, None if end is None else end - start)
        for mark, start, end in zip(marks, starts, [*starts[1:], None], strict=True)
    }
    fits = pl.Series([True], dtype=pl.Boolean).new_from_index(0, text.len())
    for name in list(cells)[:-1]:
        fits &= cells[name].str.ends_with("  ")
    cells = {
        name: pl.select(pl.when(fits & (cell.str.strip_chars() != "")).then(cell.str.strip_chars())).to_series()
        for name, cell in cells.items()
    }
    for name, pattern in (("LAST SEEN", _AGE), ("FIRST SEEN", _AGE), ("COUNT", "[0-9]{1,9}")):
        fits &= cells[name].str.contains(f"^(?:{pattern})$").fill_null(False)
    made = cells["NAME"].str.extract_groups(_MADE).struct
    null = pl.Series([None], dtype=pl.String).new_from_index(0, text.len())
    told = cells["OBJECT"].str.extract_groups(r"^([^/]+)/(.+)$").struct if "OBJECT" in cells else None
    source = cells["SOURCE"].str.extract_groups(r"^([^,]+)(?:, (\S+))?$").struct
    return pl.DataFrame(
        {
            "namespace": cells.get("NAMESPACE", null),
            "seen": cells["LAST SEEN"],
            "first_seen": cells["FIRST SEEN"],
            "count": cells["COUNT"],
            "type": cells["TYPE"],
            "reason": pl.select(pl.when(fits).then(cells["REASON"])).to_series(),
            "kind": told.field("1") if told is not None else cells["KIND"],
            "name": told.field("2") if told is not None else made.field("1"),
            "field_path": cells["SUBOBJECT"],
            "message": cells["MESSAGE"].fill_null(""),
            "component": source.field("1"),
            "node": source.field("2"),
            "made": made.field("2"),
        }
    )


def _timed(rows: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """The rows with their times, as far as the names of the Events tell."""
    made = rows["made"].str.to_integer(base=16, strict=False, dtype=pl.Int64) // 1000
    first = made.cast(TIME).dt.truncate("1s")
    age, unit = _seconds(rows["first_seen"])
    at = pl.DataFrame({"first": first, "age": age, "unit": unit}).drop_nulls()
    at = at.select(pl.col("first") + pl.duration(seconds="age"), "unit")
    now: datetime | None = at["first"].max()  # type: ignore[assignment]  # untyped by polars
    latest = at.select((pl.col("first") + pl.duration(seconds="unit")).min()).item()
    seen = _seconds(rows["seen"])[0] * 1_000_000
    once = pl.col("count") == "1"
    if now is None or now >= latest:
        ledger.note(
            "LAST SEEN is an age, and the names of the Events do not tell when it was printed: events that "
            "happened more than once have no time"
        )
        time: pl.Expr = pl.when(once).then(first)
    else:
        ledger.note(
            f"LAST SEEN is an age: times are counted back from {now:%Y-%m-%d %H:%M:%S} UTC, when the table was "
            "printed by the names of its Events, and are as coarse as the ages"
        )
        time = pl.when(once & first.is_not_null()).then(first).otherwise(pl.lit(now) - seen.cast(pl.Duration("us")))
    return rows.with_columns(time.cast(TIME).alias("time"), first.alias("first_time"))


def _seconds(ages: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Printed ages in seconds, and the seconds of the last unit that was printed."""
    parts = [ages.str.extract(f"([0-9]{{1,6}}){unit}", 1).cast(pl.Int64) * size for unit, size in _UNITS.items()]
    told = pl.select(pl.when(pl.any_horizontal(part.is_not_null() for part in parts)).then(pl.sum_horizontal(parts)))
    last = ages.str.extract("([smhdy])$", 1).replace_strict(_UNITS, default=None, return_dtype=pl.Int64)
    return told.to_series(), last
