"""dns-upstream-throttle, told by several recordings of one upstream."""

from __future__ import annotations

import polars as pl
import pytest

from analyzer.detectors.dns.dns_upstream_throttle import DETECTOR
from analyzer.frames import COREDNS_ERRORS, COREDNS_QUERIES
from tests.build import at, remarks, run
from tests.detectors.dns.upstreams import Given, errors_of, failing, figures, inside, outside
from tests.lookups import Row, log

ERRORS = [*outside(12, "SERVFAIL", after=0.02), *outside(12, "NOERROR", start=0.2), *inside(5)]
"""The upstream answers half of what it is asked, and answers errors."""


def silence(start: float) -> list[Row]:
    """Another time: it answers nothing."""
    return [*failing(12, start=start), *inside(5, start=start)]


def two(first: list[Row], second: list[Row], *more: list[Row]) -> Given:
    """Two logs, and what a third one holds."""
    logs = [log(part, source=f"{i}.log") for i, part in enumerate((first, second, *more))]
    found = pl.concat([errors_of(part, source=f"{i}.log") for i, part in enumerate((first, second))])
    return {COREDNS_QUERIES: pl.concat(logs), COREDNS_ERRORS: found.drop_nulls("time")}


def found(given: Given) -> list[tuple[str, int | float]]:
    return [(finding.variant, figures(finding)["failed queries"]) for finding in run(DETECTOR, given)]


def test_recordings_that_show_different_troubles_are_two_findings() -> None:
    """Nobody looked from second 6 to second 50."""
    given = two(ERRORS, silence(50))
    assert found(given) == [("upstream-errors", 12), ("upstream-unhealthy", 12)]
    first, second = run(DETECTOR, given)
    assert (first.end, second.start) == (at(5.5), at(50))


def test_somebody_who_looked_meanwhile_makes_them_one() -> None:
    assert len(found(two(ERRORS, silence(50), inside(50)))) == 1


@pytest.mark.parametrize(("start", "count"), [(15.6, 1), (15.7, 2)])
def test_a_hole_has_ten_seconds_at_least(start: float, count: int) -> None:
    """A log that is rotated goes on in the next file; the last query of the first one came at second 5.7."""
    assert len(found(two(ERRORS, silence(start)))) == count


def test_recordings_that_show_the_same_trouble_are_one_finding() -> None:
    """Ten seconds of each minute are recorded."""
    parts = [
        [*failing(4, start=60 * i), *outside(4, "NOERROR", start=60 * i), *inside(4, start=60 * i)] for i in range(6)
    ]
    logs = pl.concat([log(part, source=f"{i}.log") for i, part in enumerate(parts)])
    assert found({COREDNS_QUERIES: logs}) == [("timeouts", 24)]


def test_a_recording_that_is_too_weak_by_itself_is_left_out() -> None:
    weak = [*failing(9, start=50), *inside(5, start=50)]
    given = two(ERRORS, weak)
    assert found(given) == [("upstream-errors", 12)]
    assert not remarks(DETECTOR, given)


def test_many_recordings_of_one_window_are_samples_of_one_trouble() -> None:
    """The cost of telling them apart would grow with their number."""

    def found_in(count: int) -> int:
        parts = [
            silence(60 * i) if i % 2 else [*outside(12, "SERVFAIL", start=60 * i), *inside(5, start=60 * i)]
            for i in range(count)
        ]
        logs = pl.concat([log(part, source=f"{i}.log") for i, part in enumerate(parts)])
        return len(run(DETECTOR, {COREDNS_QUERIES: logs}))

    assert (found_in(20), found_in(21)) == (20, 1)
