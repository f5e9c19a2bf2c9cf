"""Slices of the inputs, finding by finding: the quoted records and, of captures, the packets around them.

Who has the directory alone can look at what a report rests on: in Wireshark, with jq, with grep. `index.json` says of
every line and packet where it stands in the original, and how to print it there. Names of files come from numbers and
kinds of sources, never from evidence. What may hold a credential is cleaned as in quotes, or cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from analyzer.case import Case
from analyzer.model import Finding, Result
from analyzer.model.codec import document, encode
from analyzer.pipeline.carve.cited import Cited, Left
from analyzer.pipeline.carve.lines import Text, slice_of, texts_of
from analyzer.pipeline.carve.packets import captures
from analyzer.pipeline.slices import INDEX, RESULT, SCHEMA
from analyzer.sources.stream import Opener

FINDINGS_MOST = 200
"""Findings that get slices; a reader of more takes the result itself."""

PACKETS = "pcap"
HIDDEN = "packets hold addresses and names, so none are written beside a redacted report"
GONE = "the input cannot be opened again, or has changed since it was read"
UNFOUND = "no such record was found in the input, or it cannot be shown without the risk of showing a secret"
CUT = (
    "Packets keep their headers and original length; payloads are cut off, but for DNS, ARP, neighbour discovery and "
    "TLS ClientHellos. Credentials in lines are masked, bodies of API objects are left out."
)

Hide = Callable[[Sequence[str]], Sequence[str]]
"""Takes names out of texts, as --redact took them out of the result."""


def carve(result: Result, told: Result, case: Case, hide: Hide | None = None) -> dict[str, bytes]:
    """The files of an evidence directory. `told` is the result as it is given away, `result` the one with its names,
    `hide` what took them out, if anything did."""
    findings = _pairs(result, told)
    cited = [one for at, (own, shown) in enumerate(findings[:FINDINGS_MOST]) for one in _cited(at, own, shown)]
    made = _Made({}, {}, [Left(one, GONE) for one in cited if not _kind(one, case)])
    with Opener() as opener:
        _captures(made, [one for one in cited if _kind(one, case) == PACKETS], case, opener, hidden=hide is not None)
        _lines(made, [one for one in cited if _kind(one, case) not in ("", PACKETS)], case, opener, hide)
    entries = [_entry(at, shown, made) for at, (_, shown) in enumerate(findings[:FINDINGS_MOST])]
    plain = {"schema": SCHEMA, "result": RESULT, "notes": [CUT, *_more(len(findings))], "findings": entries}
    index = document(plain, indent=1)
    return {INDEX: index, RESULT: encode(told), **{name: made.files[name] for name in sorted(made.files, key=_order)}}


class _Made(Struct):
    """Slices by name, what the index says of those of each finding, and what is in none."""

    files: dict[str, bytes]
    slices: dict[int, list[dict[str, Any]]]
    left: list[Left]

    def add(self, at: int, name: str, data: bytes, told: dict[str, Any]) -> None:
        self.files[name] = data
        self.slices.setdefault(at, []).append({"file": name, **told})


def _captures(made: _Made, cited: Sequence[Cited], case: Case, opener: Opener, *, hidden: bool) -> None:
    if hidden:
        made.left += [Left(one, HIDDEN) for one in cited]
        return
    for one in captures(cited, case, opener):
        made.left += one.left
        if one.data:
            told = {"kind": PACKETS, "packets": one.index}
            made.add(one.finding, f"F{one.finding + 1}.pcapng", one.data, told)


def _lines(made: _Made, cited: Sequence[Cited], case: Case, opener: Opener, hide: Hide | None) -> None:
    texts = texts_of(cited, case, opener)
    if hide is not None:
        hidden = hide([text.text for text in texts.values()])
        texts = {place: Text(new, text.cut) for (place, text), new in zip(texts.items(), hidden, strict=True)}
    made.left += [Left(one, UNFOUND if one.reachable(case) else GONE) for one in cited if one.place not in texts]
    groups: dict[tuple[int, str], list[Cited]] = {}
    for one in cited:
        if one.place in texts:
            groups.setdefault((one.finding, _kind(one, case)), []).append(one)
    for (at, kind), mine in sorted(groups.items()):
        suffix, data, index = slice_of(mine, texts)
        made.add(at, f"F{at + 1}.{kind}.{suffix}", data, {"kind": kind, "lines": index})


def _pairs(result: Result, told: Result) -> list[tuple[Finding, Finding]]:
    """Each finding with its names and as it is told, ranked as it is told."""
    own = {
        id(shown): finding
        for run, other in zip(result.runs, told.runs, strict=True)
        for finding, shown in zip(run.findings, other.findings, strict=True)
    }
    return [(own[id(shown)], shown) for shown in told.findings]


def _cited(at: int, own: Finding, shown: Finding) -> list[Cited]:
    """The records that a finding quotes, each once, in the order of inputs and numbers."""
    pairs = zip(own.evidence.records, shown.evidence.records, strict=True)
    found = {(record.source, record.number): Cited(at, record.source, record.number, other) for record, other in pairs}
    return [found[place] for place in sorted(found) if place[0] and place[1] > 0]


def _kind(one: Cited, case: Case) -> str:
    place = case.places.get(one.source)
    return place.kind if place else ""


def _entry(at: int, finding: Finding, made: _Made) -> dict[str, Any]:
    reasons: dict[tuple[str, str], list[int]] = {}
    for one in made.left:
        if one.cited.finding == at:
            reasons.setdefault((one.cited.shown.source, one.reason), []).append(one.cited.number)
    return {
        "id": f"F{at + 1}",
        "key": finding.key,
        "summary": finding.summary,
        "slices": made.slices.get(at, []),
        "left_out": [
            {"source": source, "numbers": sorted(numbers), "reason": reason}
            for (source, reason), numbers in sorted(reasons.items())
        ],
    }


def _more(count: int) -> list[str]:
    return [f"Only the first {FINDINGS_MOST} of {count} findings have slices."] if count > FINDINGS_MOST else []


def _order(name: str) -> tuple[int, str]:
    return int(name[1:].partition(".")[0]), name
