"""Fill in the text of every record that a finding or the timeline quotes, from the input that it was read from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from analyzer.errors import InputError
from analyzer.model import Finding, Record, Run
from analyzer.sources.contract import Item, Ledger, Source
from analyzer.sources.secrets import scrub
from analyzer.sources.stream import open_stream

TEXT_LIMIT = 2048
"""Characters of one quoted record, so that no evidence outweighs the page."""

GONE = "(the input could not be opened again to quote it)"

Texts = dict[tuple[str, int], str]


def fill(runs: Sequence[Run], places: dict[str, tuple[Item, Source]]) -> tuple[Run, ...]:
    """The runs with the text of each evidence record; credentials in it are masked."""
    texts = _texts([record for run in runs for f in run.findings for record in f.evidence.records], places)
    return tuple(replace(run, findings=tuple(_filled(finding, texts) for finding in run.findings)) for run in runs)


def _texts(records: Iterable[Record], places: dict[str, tuple[Item, Source]]) -> Texts:
    wanted: dict[str, set[int]] = {}
    for record in records:
        if not record.text:
            wanted.setdefault(record.source, set()).add(record.number)
    texts: Texts = {}
    for name, numbers in sorted(wanted.items()):
        if name not in places:
            continue
        item, source = places[name]
        try:
            with open_stream(item, Ledger()) as stream:
                found = source.quote(stream, frozenset(numbers))
        except (InputError, OSError):
            continue
        texts |= {(name, number): scrub(text)[:TEXT_LIMIT] for number, text in found.items()}
    return texts


def _filled(finding: Finding, texts: Texts) -> Finding:
    records = tuple(
        record if record.text else replace(record, text=texts.get((record.source, record.number), GONE))
        for record in finding.evidence.records
    )
    return replace(finding, evidence=replace(finding.evidence, records=records))
