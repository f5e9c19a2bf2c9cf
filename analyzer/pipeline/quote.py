"""Fill in the text of every record that a finding quotes, from the input that it was read from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

import polars as pl
from msgspec.structs import replace

from analyzer import sources
from analyzer.case import Case, Place
from analyzer.errors import InputError
from analyzer.model import Finding, InputReport, Record, Run
from analyzer.pipeline.commands import HEAD, command
from analyzer.pipeline.recognise import Known
from analyzer.sources.contract import Item, Ledger, Source
from analyzer.sources.secrets import scrub_all
from analyzer.sources.stream import Opener

TEXT_LIMIT = 2048
"""Characters of one quoted record, so that no evidence outweighs the page."""

Texts = dict[tuple[str, int], tuple[str, str]]
"""The text of a record and the command that prints it, by input and number."""


def fill(runs: Sequence[Run], case: Case) -> tuple[Run, ...]:
    """The runs with the text of each evidence record; credentials in it are masked.

    Where the input is gone or has changed, the text is the row of the table, and says so.
    """
    texts = _texts([record for run in runs for f in run.findings for record in f.evidence.records], case)
    return tuple(replace(run, findings=tuple(_filled(finding, texts) for finding in run.findings)) for run in runs)


def make_ready(case: Case) -> None:
    """Import what quotes records of these inputs, where that takes long."""
    for kind in sorted({place.kind for place in case.places.values()}):
        source = next((one for one in sources.each() if one.name == kind), None)
        if source is not None and source.ready is not None:
            source.ready()


def _texts(records: Iterable[Record], case: Case) -> Texts:
    wanted: dict[str, set[int]] = {}
    for record in records:
        if not record.text:
            wanted.setdefault(record.source, set()).add(record.number)
    texts: Texts = {}
    with Opener() as opener:
        for name, numbers in sorted(wanted.items(), key=lambda one: _order(one[0], case)):
            found, commands = _from_input(name, numbers, case, opener)
            missing = sorted(numbers - found.keys())
            found |= _from_tables(name, missing, case) if missing else {}
            masked = zip(found, scrub_all(list(found.values())), strict=True)
            texts |= {(name, number): (text[:TEXT_LIMIT], commands.get(number, "")) for number, text in masked}
    return texts


def _order(name: str, case: Case) -> tuple[str, int, str]:
    """Members of an archive in its order, so that it is read once."""
    place = case.places.get(name)
    return (str(place.path), place.member.start if place.member else 0, name) if place else ("", 0, name)


def _from_input(name: str, numbers: set[int], case: Case, opener: Opener) -> tuple[dict[int, str], dict[int, str]]:
    there = reached(name, case)
    if there is None:
        return {}, {}
    source, place, item, report = there
    try:
        found, head = _quoted(source, place, item, frozenset(numbers), opener)
        return found, {number: command(report, place, number, head) for number in found}
    except (InputError, OSError):
        return {}, {}


def reached(name: str, case: Case) -> tuple[Source, Place, Item, InputReport] | None:
    """What an input is opened again by; None where it is not known any more, or is not the one that was read."""
    place = case.places.get(name)
    source = next((one for one in sources.each() if place is not None and one.name == place.kind), None)
    report = next((one for one in case.reports if one.path == name), None)
    if place is None or source is None or report is None:
        return None
    size = place.member.archive_bytes if place.member is not None else report.bytes
    try:
        if place.path.exists() and place.path.stat().st_size != size:
            return None
    except OSError:
        return None
    return source, place, Item(id=name, path=place.path, member=place.member), report


def _quoted(
    source: Source, place: Place, item: Item, numbers: frozenset[int], opener: Opener
) -> tuple[dict[int, str], bytes]:
    """By the marks of the input, or by a walk where it has none or they lead astray; and how the input begins."""
    if source.quote_by is not None and place.marks is not None:
        with suppress(InputError), opener.open(item, Ledger(), hashed=False) as stream:
            found = source.quote_by(stream, numbers, place.marks)
            if found.keys() == numbers:
                return found, b""
    with opener.open(item, Ledger(), hashed=False) as stream:
        head = stream.peek(HEAD)
        return source.quote(stream, numbers), head


def _from_tables(name: str, numbers: Sequence[int], case: Case) -> dict[int, str]:
    found: dict[int, str] = {}
    for table, rows in case.tables.items():
        wanted = rows.frame.filter(pl.col("source") == name, pl.col("number").is_in(numbers)).collect()
        for row in wanted.unique("number", keep="first").sort("number").iter_rows(named=True):
            values = ", ".join(f"{key}={value}" for key, value in row.items() if value is not None and key != "source")
            found.setdefault(row["number"], f"(the input cannot be opened again; its row in {table.name}) {values}")
    return found


def _filled(finding: Finding, texts: Texts) -> Finding:
    records = tuple(
        record if record.text else _told(record, texts.get((record.source, record.number)))
        for record in finding.evidence.records
    )
    return replace(finding, evidence=replace(finding.evidence, records=records))


def _told(record: Record, found: tuple[str, str] | None) -> Record:
    text, how = found or ("(not found)", "")
    return replace(record, text=text, command=how)


def quoted(known: Known, numbers: frozenset[int]) -> dict[int, str]:
    """The text of those records of one input, as a report quotes them."""
    if known.source is None:
        return {}
    with Opener() as opener, opener.open(known.item, Ledger(), hashed=False) as stream:
        found = known.source.quote(stream, numbers)
        return dict(zip(found, scrub_all(list(found.values())), strict=True))
