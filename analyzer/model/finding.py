"""A finding: one thing that went wrong, to whom, when, what it cost, and the records that prove it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

Cell = str | int | float | None


class Severity(StrEnum):
    """How bad it is if it is true."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for low up to 3 for critical."""
        return list(Severity).index(self)


class Confidence(StrEnum):
    """How sure we are: one weak source; one strong or two that agree; a deterministic signal or a met cause rule."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    @property
    def rank(self) -> int:
        return list(Confidence).index(self)


class Side(StrEnum):
    """What a term does to a finding."""

    FOR = "for"
    AGAINST = "against"
    REFUTES = "refutes"  # it would, if it were found: nothing in the inputs says so


class Term(Struct, frozen=True, kw_only=True):
    """One reason for or against a finding.

    `origin` is detector, inputs, merge (another source shows the same) or the rule that met (`c7`). `raised`: it made
    the finding one level surer.
    """

    side: Side
    text: str
    origin: str
    raised: bool = False


class Record(Struct, frozen=True, kw_only=True):
    """Where in the inputs a fact was read. `number` is the frame or physical line, from 1; `command` prints it."""

    source: str
    number: int
    time: datetime | None = None
    text: str = ""
    command: str = ""


class Column(Struct, frozen=True, kw_only=True):
    """A column of a table of evidence."""

    name: str
    unit: str = ""


class EvidenceTable(Struct, frozen=True, kw_only=True):
    """What was counted, in rows that a reader can check."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


class EvidenceSeries(Struct, frozen=True, kw_only=True):
    """Values at equal steps from `start`."""

    caption: str
    unit: str
    start: datetime
    step_seconds: int
    values: tuple[float, ...]


class Figure(Struct, frozen=True, kw_only=True):
    """One number of the impact. `unit` is seconds, bytes, a fraction from 0 to 1 (`fraction`), or what is counted."""

    name: str
    value: int | float
    unit: str


class Saving(Struct, frozen=True, kw_only=True):
    """What a fix would have changed: the observed amount, the modelled one, and how it was modelled."""

    fix: str
    observed: int | float
    modelled: int | float
    unit: str
    assumption: str
    formula: str


class Remedy(Struct, frozen=True, kw_only=True):
    """What to do. `snippet` can be pasted as it is; empty where words suffice."""

    text: str
    snippet: str = ""


class Evidence(Struct, frozen=True, kw_only=True):
    """What a finding rests on: quoted records first."""

    records: tuple[Record, ...]
    tables: tuple[EvidenceTable, ...] = ()
    series: tuple[EvidenceSeries, ...] = ()


class Finding(Struct, frozen=True, kw_only=True):
    """`subject` is what it is about (client, agent, node, owner); `summary` is one sentence, numbers first.

    The first figure of `impact` measures the harm: it is by this one that two results are compared, so it is of what is
    wrong, and less of it is better. Figures of what is right, before or elsewhere stand behind it.

    `title` is what stands over it where the detector's own title would say too little: words of the detector alone,
    without a name.

    `key` is `detector:subject`, with `#2` and so on for later windows of the same subject; `limits` holds a sentence
    for each edge or gap of its inputs that its window touches, `terms` all that was weighed, `merged` the keys of
    findings of other sources that show the same. The pipeline fills these in.
    """

    detector: str
    subject: str
    summary: str
    severity: Severity
    confidence: Confidence
    confidence_reason: str
    start: datetime | None
    end: datetime | None
    impact: tuple[Figure, ...]
    evidence: Evidence
    saving: Saving | None = None
    alternatives: tuple[Saving, ...] = ()
    why: str = ""
    refuted_by: str = ""
    variant: str = ""
    title: str = ""
    remedies: tuple[Remedy, ...] = ()
    verify: tuple[str, ...] = ()
    stories: tuple[int, ...] = ()
    key: str = ""
    limits: tuple[str, ...] = ()
    terms: tuple[Term, ...] = ()
    merged: tuple[str, ...] = ()

    def figure(self, name: str) -> int | float:
        """The impact figure of that name; KeyError if the finding does not state it."""
        for figure in self.impact:
            if figure.name == name:
                return figure.value
        raise KeyError(name)
