"""The generated policy, parsed as the server would and applied record by record: it saves what the finding says."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.detectors.apiserver.audit_log_flood import DETECTOR
from analyzer.frames import AUDIT_EVENTS, Table
from analyzer.sources import audit as audit_source
from tests.audit_policy import Policy
from tests.build import remarks, run
from tests.cases import CAPTURES
from tests.detectors.apiserver.floods import FLOOD, LOOP, NODE, QUIET, WIDGET, log, written
from tests.recordings import needed, read


def left(given: dict[Table, pl.LazyFrame], text: str, start: Any = None, end: Any = None) -> tuple[int, int]:
    """Bytes before and after, by the oracle."""
    rows = given[AUDIT_EVENTS].with_columns(pl.coalesce("stage_time", "time").alias("written"))
    inside = rows.filter(pl.col("written").is_between(start, end)) if start is not None else rows
    policy, before, after = Policy(text), 0, 0
    for event in inside.collect().iter_rows(named=True):
        before += event["event_bytes"]
        after += policy.left(event)
    return before, after


VARIED = [
    *written(LOOP | {"stage": "RequestReceived", "event_bytes": 700}, 15, 600, 720),
    *written(LOOP | {"resource": "pods", "subresource": "status", "verb": "patch"}, 9, 600, 720),
    *written(LOOP | {"resource": "leases", "api_group": "coordination.k8s.io"}, 1, 600, 720),
    *written(LOOP | {"resource": "queues", "api_group": "example.com"}, 2, 600, 720),
    *written(NODE | {"resource": "events", "api_group": "events.k8s.io"}, 1, 600, 720),
    *written(NODE | {"resource": None, "api_group": None, "uri": "/readyz?verbose"}, 1, 600, 720),
    *written(NODE | {"resource": None, "api_group": None, "uri": "/version?timeout=32s"}, 1, 600, 720),
    *written(NODE | {"resource": None, "api_group": None, "uri": "/openapi/v3/apis/apps"}, 1, 600, 720),
    *written(NODE | {"resource": None, "api_group": None, "uri": "/metrics"}, 1, 600, 720),
    *written(NODE | {"event_bytes": 3000, "request_body_bytes": 1000}, 1, 600, 720),
]


def test_the_policy_saves_to_the_byte_what_the_finding_says() -> None:
    given = log(QUIET, FLOOD, VARIED)
    [finding] = run(DETECTOR, given)
    before, after = left(given, finding.remedies[0].snippet, finding.start, finding.end)
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (before, after)
    assert finding.figure("bytes saved by the policy") == before - after > 0


def test_a_subresource_is_named_as_a_policy_names_it() -> None:
    [finding] = run(DETECTOR, log(QUIET, FLOOD, VARIED))
    policy = Policy(finding.remedies[0].snippet)
    [own] = [rule for rule in policy.rules if rule.get("users")]
    assert {name for one in own["resources"] for name in one["resources"]} == {
        *("configmaps", "pods/status", "queues", "leases")
    }


def test_without_the_policy_nothing_is_saved() -> None:
    """The oracle itself: a policy that keeps everything leaves every byte."""
    given = log(QUIET, FLOOD, VARIED)
    before, after = left(given, "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: RequestResponse}]")
    assert before == after


def test_writers_are_told_by_bytes_and_stage() -> None:
    [finding] = run(DETECTOR, log(QUIET, FLOOD, VARIED))
    writers = finding.evidence.tables[1]
    names = [column.name for column in writers.columns]
    [own] = [dict(zip(names, row, strict=True)) for row in writers.rows if row[0] == WIDGET]
    complete = (1800 + 1080 + 120 + 240) * 5000
    assert own == {
        "user": WIDGET,
        "records": 1800 + 1800 + 1080 + 120 + 240,
        "bytes": 1800 * 700 + complete,
        "RequestReceived": 1800 * 700,
        "ResponseStarted": 0,
        "ResponseComplete": complete,
        "Panic": 0,
        "of which bodies": (1800 + 1800 + 1080 + 120 + 240) * 4200,
    }


def test_advice_for_a_steady_volume_is_measured_too() -> None:
    """Reads with their answers and leases, all the time: no flood, and the general policy in numbers."""
    reads = written(NODE | {"verb": "list", "event_bytes": 9000, "response_body_bytes": 8000}, 1, 0, 900)
    leases = written(NODE | {"resource": "leases", "api_group": "coordination.k8s.io"}, 1, 0.3, 900.3)
    given = log(QUIET, reads, leases)
    assert run(DETECTOR, given) == []
    before, after = left(given, DETECTOR.remedies[0].snippet)
    [advice] = remarks(DETECTOR, given)
    assert f"would leave {after:,} of {before:,} bytes" in advice
    assert f"Metadata: reads {900 * 8000:,}; None: leases {900 * 900:,}" in advice


@pytest.mark.parametrize(("share", "told"), [(0.09, 0), (0.11, 1)])
def test_threshold_of_the_advice(share: float, told: int) -> None:
    whole = 900 * 900
    size = round(whole * share / (1 - share) / 900)
    leases = NODE | {"resource": "leases", "api_group": "coordination.k8s.io", "event_bytes": size}
    given = log(written(NODE, 1, 0, 900), written(leases, 1, 0.2, 900.2))
    assert len(remarks(DETECTOR, given)) == told


def test_the_case_is_replayed_to_the_byte() -> None:
    from tests.cases import result_of

    [finding] = [one for one in result_of("audit-log-flood").findings if one.detector == "audit-log-flood"]
    names = sorted(str(path) for path in (CAPTURES / "audit-log-flood").glob("audit*.log*"))
    before, after = left(read(audit_source.SOURCE, *names), finding.remedies[0].snippet, finding.start, finding.end)
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (before, after)


@needed
def test_a_recorded_flood_is_replayed_to_the_byte() -> None:
    names = sorted(
        f"c_audit_flood/{name}"
        for name in ("audit-2026-11-21T22-46-13.721.log.gz", "audit-2026-11-21T22-46-25.000.log.gz")
    )
    given = read(audit_source.SOURCE, *names)
    [finding] = run(DETECTOR, given)
    assert finding.subject == "system:serviceaccount:operators:widget-operator"
    before, after = left(given, finding.remedies[0].snippet, finding.start, finding.end)
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (before, after)
