"""The whole outcome of a run: written as JSON, and the only thing that a renderer is given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from analyzer.model.finding import Finding

SCHEMA = "analyzer-result/1"


class Status(StrEnum):
    FIRED = "fired"
    QUIET = "quiet"  # it looked and found nothing; `reason` says over what coverage
    SKIPPED = "skipped"  # a table it needs was not given
    FAILED = "failed"  # it raised; the error is in `reason`


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What became of one detector: all of them appear in the report, also those that could not run."""

    detector: str
    title: str
    status: Status
    reason: str = ""
    remarks: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedReason:
    """Records of one input that were not used for one reason, with the first three places."""

    reason: str
    count: int
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputReport:
    """The ledger of one input. records = used + skipped + incomplete_tail, always."""

    path: str
    kind: str
    sha256: str
    bytes: int
    records: int = 0
    used: int = 0
    skipped: int = 0
    skipped_reasons: tuple[SkippedReason, ...] = ()
    incomplete_tail: int = 0
    first_time: datetime | None = None
    last_time: datetime | None = None
    notes: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One line of the timeline."""

    time: datetime
    text: str
    kind: str  # finding-start, finding-end, change, observation
    source: str = ""
    number: int = 0
    finding: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseEnd:
    """One end of a link."""

    kind: str  # finding, change or observation
    id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One link between two ends; `verdict` is a sentence that never claims more than `preceded` or `explains`."""

    rule: str
    from_: CauseEnd
    to: CauseEnd
    lag_seconds: float
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What happened, in order, and what preceded what."""

    verdict: str = ""
    timeline: tuple[Moment, ...] = ()
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One line of a series."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A stretch of time of which nothing is known."""

    start: datetime
    end: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Lanes of values at equal steps from `start`; each value is the greatest of its step, never the mean."""

    id: str
    title: str
    unit: str
    start: datetime
    step_seconds: int
    lanes: tuple[Lane, ...]
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Talker:
    """One of the busiest speakers of one kind of source."""

    kind: str
    name: str
    count: int
    share: float
    unit: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A write to the cluster by a person or a controller that may matter."""

    time: datetime
    actor: str
    verb: str
    resource: str
    namespace: str
    name: str
    source: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """Something that findings are about, and what is known of it."""

    kind: str
    id: str
    label: str
    known_from: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offset:
    """How far one input's clock is from another's, estimated from events that both saw."""

    source: str
    reference: str
    seconds: float
    spread_seconds: float
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What one table covers."""

    table: str
    rows: int
    first_time: datetime | None
    last_time: datetime | None
    sources: tuple[str, ...]
    gaps: tuple[Gap, ...] = ()
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingValue:
    """A threshold as it was used."""

    detector: str
    name: str
    value: str
    default: bool
    doc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """What made the result."""

    name: str
    version: str
    python: str
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Everything that a renderer needs."""

    schema: str = SCHEMA
    tool: Tool
    title: str = ""
    command: str = ""
    settings: tuple[SettingValue, ...] = ()
    inputs: tuple[InputReport, ...] = ()
    runs: tuple[Run, ...] = ()
    story: Story = Story()
    series: tuple[Series, ...] = ()
    talkers: tuple[Talker, ...] = ()
    changes: tuple[Change, ...] = ()
    entities: tuple[Entity, ...] = ()
    offsets: tuple[Offset, ...] = ()
    coverage: tuple[Coverage, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding, ranked: severity, then the share that a fix would save, then confidence, then key."""
        found = [finding for run in self.runs for finding in run.findings]
        return tuple(sorted(found, key=_rank))


def _rank(finding: Finding) -> tuple[int, float, int, str]:
    saving = finding.saving
    share = (saving.observed - saving.modelled) / saving.observed if saving and saving.observed else 0.0
    return (-finding.severity.rank, -share, -finding.confidence.rank, finding.key)
