"""The whole outcome of a run: written as JSON, and the only thing that a renderer is given."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct, field

from analyzer.model.comparison import Comparison
from analyzer.model.finding import Finding

SCHEMA = "analyzer-result/1"


class Status(StrEnum):
    FIRED = "fired"
    QUIET = "quiet"  # it looked and found nothing; `reason` says over what coverage
    SKIPPED = "skipped"  # a table it needs was not given
    FAILED = "failed"  # it raised; the error is in `reason`


class Run(Struct, frozen=True, kw_only=True):
    """What became of one detector: all of them appear in the report, also those that could not run.

    `about` is what `analyze detectors ID` says of a detector that fired: sections that begin with `## `.
    """

    detector: str
    title: str
    status: Status
    reason: str = ""
    remarks: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    about: str = ""


class SkippedReason(Struct, frozen=True, kw_only=True):
    """Records of one input that were not used for one reason, with the first three places."""

    reason: str
    count: int
    places: tuple[str, ...]


class InputReport(Struct, frozen=True, kw_only=True):
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
    cluster: str = ""
    """Name of the cluster that an export of a cloud tells; empty where it tells none."""


class Moment(Struct, frozen=True, kw_only=True):
    """One line of the timeline."""

    time: datetime
    text: str
    kind: str  # finding-start, finding-end, change, observation
    source: str = ""
    number: int = 0
    finding: str = ""


class CauseEnd(Struct, frozen=True, kw_only=True):
    """One end of a link."""

    kind: str  # finding, change or observation
    id: str
    text: str


class Cause(Struct, frozen=True, kw_only=True):
    """One link between two ends; `verdict` is a sentence that never claims more than `preceded` or `explains`."""

    rule: str
    from_: CauseEnd = field(name="from")
    to: CauseEnd
    lag_seconds: float
    verdict: str


class Story(Struct, frozen=True, kw_only=True):
    """What happened, in order, and what preceded what."""

    verdict: str = ""
    timeline: tuple[Moment, ...] = ()
    causes: tuple[Cause, ...] = ()


class Gap(Struct, frozen=True, kw_only=True):
    """A stretch of time of which nothing is known."""

    start: datetime
    end: datetime
    reason: str


class Lane(Struct, frozen=True, kw_only=True):
    """One line of a series; `gaps` are those of its own source, beside the gaps of the whole series."""

    name: str
    values: tuple[float, ...]
    gaps: tuple[Gap, ...] = ()


class Series(Struct, frozen=True, kw_only=True):
    """Lanes of values at equal steps from `start`; each value is the greatest of its step, never the mean.

    `never` names what was looked for in the same way and never seen.
    """

    id: str
    title: str
    unit: str
    start: datetime
    step_seconds: int
    lanes: tuple[Lane, ...]
    gaps: tuple[Gap, ...] = ()
    never: tuple[str, ...] = ()


class CurveLane(Struct, frozen=True, kw_only=True):
    """How `count` values are distributed: `values` are those at the shares of the curve, ascending."""

    name: str
    count: int
    values: tuple[float, ...]


class Curve(Struct, frozen=True, kw_only=True):
    """Empirical distributions: a share `s` of the values of a lane is at most the value at `s`.

    `shares` are fractions from 0 (the least value) to 1 (the greatest), the same for all lanes. `unit` is that of the
    values; `counted` says in the plural what was counted, `remark` what was not.
    """

    id: str
    title: str
    unit: str
    counted: str
    shares: tuple[float, ...]
    lanes: tuple[CurveLane, ...]
    remark: str = ""


class Heat(Struct, frozen=True, kw_only=True):
    """Counts by lane and step: each value is the sum of its step, from `start` on."""

    id: str
    title: str
    unit: str
    start: datetime
    step_seconds: int
    lanes: tuple[Lane, ...]
    gaps: tuple[Gap, ...] = ()


class Caller(Struct, frozen=True, kw_only=True):
    """One sender and what it asked of the cluster; null where no input can tell.

    `kind` is user agent, account, pod or address. `audit_bytes` are bytes of the audit log; `dns_failed` counts answers
    SERVFAIL and REFUSED, and queries that nobody answered.
    """

    kind: str
    name: str
    requests: int | None = None
    watches: int | None = None
    throttled: int | None = None
    server_errors: int | None = None
    audit_bytes: int | None = None
    dns_queries: int | None = None
    dns_nxdomain: int | None = None
    dns_failed: int | None = None
    metadata_requests: int | None = None


class Change(Struct, frozen=True, kw_only=True):
    """A write to the cluster by a person or a controller that may matter."""

    time: datetime
    actor: str
    verb: str
    resource: str
    namespace: str
    name: str
    source: str
    number: int
    details: str = ""
    """What changed, as far as bodies tell."""


class Entity(Struct, frozen=True, kw_only=True):
    """Something that findings touch, and what is known of it.

    `kind` is address, pod, node, workload or agent; `id` is the address, the node's or agent's name, or namespace/name.
    `workload` is the namespace and name of what a pod belongs to; empty where nothing tells it. It is known from
    `since` to `until`; null where nothing tells of a beginning or an end. `findings` are the keys of the findings that
    are about it or name it in their evidence, or that do so of a pod of it.
    """

    kind: str
    id: str
    label: str
    known_from: str
    workload: str = ""
    namespace: str = ""
    since: datetime | None = None
    until: datetime | None = None
    findings: tuple[str, ...] = ()


class Offset(Struct, frozen=True, kw_only=True):
    """How far one input's clock is from another's, estimated from events that both saw.

    `seconds` is positive where the input is ahead of its reference; `spread_seconds` is the median absolute deviation.
    `matched_by` says what both saw. `applied`: the rows of the input were shifted by it. `remark` says what to do about
    an offset that is more than delivery takes. `host` names whose lines are meant where an input holds those of several
    hosts: each has a clock of its own.
    """

    source: str
    reference: str
    seconds: float
    spread_seconds: float
    events: int
    matched_by: str = ""
    applied: bool = False
    remark: str = ""
    host: str = ""

    @property
    def clock(self) -> str:
        """Whose clock it is: the input, and in one of several hosts the host."""
        return f"{self.source} ({self.host})" if self.host else self.source


class Cluster(Struct, frozen=True, kw_only=True):
    """Inputs that are of one cluster, where the inputs are of several, and what tells this cluster from the others."""

    inputs: tuple[str, ...]
    told_by: str


class Coverage(Struct, frozen=True, kw_only=True):
    """What one table covers. `left_out`: messages of which its inputs say themselves that they do not hold them."""

    table: str
    rows: int
    first_time: datetime | None
    last_time: datetime | None
    sources: tuple[str, ...]
    gaps: tuple[Gap, ...] = ()
    remark: str = ""
    left_out: int = 0


class Collect(Struct, frozen=True, kw_only=True):
    """A source that these inputs lack or that has gaps: why it was wanted, and what collects it next time.

    `command` is a text of this program, and holds nothing of the evidence.
    """

    source: str
    why: str
    command: str


class SettingValue(Struct, frozen=True, kw_only=True):
    """A threshold as it was used."""

    detector: str
    name: str
    value: str
    default: bool
    doc: str


class Tool(Struct, frozen=True, kw_only=True):
    """What made the result."""

    name: str
    version: str
    python: str
    libraries: tuple[str, ...] = ()


class Label(Struct, frozen=True, kw_only=True):
    """What whoever ran the tool says of the case: `team`, `payments`."""

    name: str
    value: str


class Result(Struct, frozen=True, kw_only=True):
    """Everything that a renderer needs."""

    schema: str = SCHEMA
    tool: Tool
    title: str = ""
    labels: tuple[Label, ...] = ()
    command: str = ""
    settings: tuple[SettingValue, ...] = ()
    inputs: tuple[InputReport, ...] = ()
    runs: tuple[Run, ...] = ()
    story: Story = Story()
    series: tuple[Series, ...] = ()
    curves: tuple[Curve, ...] = ()
    heats: tuple[Heat, ...] = ()
    callers: tuple[Caller, ...] = ()
    changes: tuple[Change, ...] = ()
    entities: tuple[Entity, ...] = ()
    offsets: tuple[Offset, ...] = ()
    coverage: tuple[Coverage, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    collect: tuple[Collect, ...] = ()
    comparison: Comparison | None = None
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
