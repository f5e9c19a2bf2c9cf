"""What became of the findings of an earlier result."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from analyzer.model.finding import Severity


class State(StrEnum):
    """`unknown`: one of the two results could not look, so nothing can be said."""

    NEW = "new"
    WORSE = "worse"
    SAME = "same"
    BETTER = "better"
    GONE = "gone"
    UNKNOWN = "unknown"


class FigureChange(Struct, frozen=True, kw_only=True):
    """One figure of the impact in both results; null where a result does not state it."""

    name: str
    unit: str
    before: int | float | None
    after: int | float | None


class Compared(Struct, frozen=True, kw_only=True):
    """One finding, by its key. `reason` says by what it is new, worse, better, the same or gone.

    `before_key` is that of the baseline's finding where it differs: another address of the same workload.
    """

    key: str
    before_key: str = ""
    detector: str
    state: State
    reason: str
    summary: str
    severity_before: Severity | None = None
    severity_after: Severity | None = None
    figures: tuple[FigureChange, ...] = ()


class Comparison(Struct, frozen=True, kw_only=True):
    """This result against an earlier one. `caveats` say where the two do not cover the same."""

    baseline: str
    verdict: str
    findings: tuple[Compared, ...] = ()
    caveats: tuple[str, ...] = ()
