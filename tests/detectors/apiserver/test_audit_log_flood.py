from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest

from analyzer.detector import NotObservable
from analyzer.detectors.apiserver.audit_log_flood import DETECTOR
from analyzer.frames import AUDIT_EVENTS
from analyzer.model import Confidence, Severity
from tests.build import T0, at, remarks, rows, run
from tests.detectors.apiserver.floods import FLOOD, LOOP, NODE, QUIET, WIDGET, log, written


def test_a_record_that_two_overlapping_files_hold_counts_once() -> None:
    events = log(QUIET, FLOOD)[AUDIT_EVENTS].with_columns(audit_id=pl.format("id-{}", "number"))
    again = events.filter(pl.col("time") >= at(660)).with_columns(source=pl.lit("u"))
    [finding] = run(DETECTOR, {AUDIT_EVENTS: pl.concat([events, again])})
    assert (finding.figure("records of the writer"), finding.figure("bytes of the writer")) == (1800, 9_000_000)
    assert {record.source for record in finding.evidence.records} == {"t"}


def test_fires_on_one_writer_that_multiplies_the_log() -> None:
    [finding] = run(DETECTOR, log(QUIET, FLOOD))
    assert finding.subject == WIDGET
    assert finding.summary == (
        f"1,800 of 1,920 audit records in 120 s (9,000,000 bytes, 6.04 GiB a day) are of requests by {WIDGET}."
    )
    assert (finding.start, finding.end) == (at(600), at(720 - 1 / 15))
    assert finding.figure("records of the writer") == 1800
    assert finding.figure("bytes of the writer") == 9_000_000
    assert finding.figure("records per second before") == pytest.approx(0.077, abs=0.001)
    assert finding.figure("records per second during") == pytest.approx(15, rel=0.01)
    assert finding.figure("share of the records") == pytest.approx(1800 / 1920, abs=0.001)
    assert finding.severity is Severity.MEDIUM
    assert finding.confidence is Confidence.MEDIUM
    assert finding.stories == (41,)


def test_the_saving_is_counted_in_bytes_that_are_there() -> None:
    [finding] = run(DETECTOR, log(QUIET, FLOOD))
    assert finding.saving is not None
    others = 120 * 900
    assert finding.saving.observed == 1800 * 5000 + others
    assert finding.saving.modelled == 1800 * 800 + others
    assert finding.figure("bytes saved by the policy") == 1800 * 4200


def test_quotes_the_first_the_largest_and_the_last_record_of_the_writer() -> None:
    large = LOOP | {"time": 650.01, "stage_time": 650.01, "event_bytes": 99_000, "name": "large"}
    given = log(QUIET, FLOOD, [large])
    [finding] = run(DETECTOR, given)
    table = given[AUDIT_EVENTS].filter((pl.col("user") == WIDGET) & (pl.col("time") >= at(600))).collect()
    numbers = [record.number for record in finding.evidence.records]
    assert numbers[0] == table["number"][0]
    assert numbers[-1] == table["number"][-1]
    assert table.filter(pl.col("name") == "large")["number"][0] in numbers
    assert len(numbers) <= 20


def test_the_policy_is_replayed_rule_by_rule_and_says_what_it_costs() -> None:
    more = [
        *written(LOOP | {"stage": "RequestReceived", "event_bytes": 700}, 15, 600, 720),
        *written(LOOP | {"resource": "leases", "api_group": "coordination.k8s.io"}, 1, 600, 720),
        *written(NODE | {"resource": "events"}, 1, 600, 720),
        *written(NODE | {"resource": None, "uri": "/readyz?verbose"}, 1, 600, 720),
        *written(NODE | {"event_bytes": 3000, "request_body_bytes": 1000}, 1, 600, 720),
    ]
    [finding] = run(DETECTOR, log(QUIET, FLOOD, more))
    policy = finding.evidence.tables[2]
    assert [row[:4] for row in policy.rows] == [
        ("omitStages: RequestReceived", 1800, 1800 * 700, 0),
        ("None: leases", 120, 120 * 5000, 0),
        ("None: events", 120, 120 * 900, 0),
        ("None: health checks", 120, 120 * 900, 0),
        ("Metadata: the writer's hot resources", 1800, 1800 * 5000, 1800 * 800),
        ("Metadata: everything else", 240, 120 * 900 + 120 * 3000, 120 * 900 + 120 * 2000),
    ]
    assert all(row[4] for row in policy.rows)
    assert finding.saving is not None
    assert finding.saving.observed == sum(int(row[2] or 0) for row in policy.rows)
    assert finding.saving.modelled == sum(int(row[3] or 0) for row in policy.rows)


def test_the_policy_can_be_pasted() -> None:
    [finding] = run(DETECTOR, log(QUIET, FLOOD))
    policy = finding.remedies[0].snippet
    assert policy.startswith("apiVersion: audit.k8s.io/v1\nkind: Policy\n")
    assert 'omitStages: ["RequestReceived"]' in policy
    assert f'- level: Metadata\n  users: ["{WIDGET}"]\n  resources: [{{group: "", resources: ["configmaps"]}}' in policy
    assert policy.endswith("- level: Metadata\n")


@pytest.mark.parametrize("user", ['x"]\n- level: None', "", "a b", "é" * 5])
def test_a_name_that_is_not_well_formed_is_not_written_into_the_policy(user: str) -> None:
    [finding] = run(DETECTOR, log(QUIET, written(LOOP | {"user": user}, 15, 600, 720)))
    policy = finding.remedies[0].snippet
    assert "users:" not in policy
    assert policy.count("level: None") == 3


def test_a_loop_of_reads_has_a_further_saving_and_its_price() -> None:
    [finding] = run(DETECTOR, log(QUIET, written(LOOP | {"verb": "list"}, 15, 600, 720)))
    [further] = finding.alternatives
    assert further.observed == 1800 * 800 + 120 * 900
    assert further.modelled == 120 * 900
    assert "what this writer read" in further.assumption


def test_a_loop_of_writes_has_none() -> None:
    [finding] = run(DETECTOR, log(QUIET, FLOOD))
    assert finding.alternatives == ()


def test_fires_without_a_baseline_with_less_confidence() -> None:
    [finding] = run(DETECTOR, log(written(NODE, 1, 0, 60), written(LOOP, 150, 10, 55)))
    assert finding.confidence is Confidence.LOW
    assert finding.confidence_reason.startswith("no baseline")
    assert finding.figure("records per second before") == 0


def test_the_rate_before_is_left_out_where_the_log_begins_with_the_flood() -> None:
    [finding] = run(DETECTOR, log(written(LOOP, 150, 0, 55)))
    with pytest.raises(KeyError):
        finding.figure("records per second before")


def test_fires_where_bytes_grow_tenfold_and_records_do_not() -> None:
    fat = LOOP | {"event_bytes": 2_000_000, "response_body_bytes": 1_990_000}
    [finding] = run(DETECTOR, log(QUIET, written(fat, 0.5, 600, 720)))
    assert finding.figure("records of the writer") == 60


def test_the_part_of_a_minute_in_which_it_begins_or_ends_belongs_to_it() -> None:
    [finding] = run(DETECTOR, log(QUIET, written(LOOP | {"user": "other"}, 20, 590, 730)))
    assert (finding.start, finding.end) == (at(590), at(729.95))
    assert finding.figure("records of the writer") == 20 * 140


def test_two_writers_are_two_findings() -> None:
    other = written(LOOP | {"user": "other"}, 20, 60, 180)
    findings = run(DETECTOR, log(QUIET, FLOOD, other))
    assert [finding.subject for finding in findings] == ["other", WIDGET]


@pytest.mark.parametrize(("per_second", "findings"), [(9.9, 0), (10, 1)])
def test_threshold_of_the_step(per_second: float, findings: int) -> None:
    flood = written(LOOP, per_second, 600, 720)
    assert len(run(DETECTOR, log(QUIET, flood), least_rate=1)) == findings


@pytest.mark.parametrize(("least_rate", "findings"), [(15, 1), (15.1, 0)])
def test_threshold_of_the_rate(least_rate: float, findings: int) -> None:
    assert len(run(DETECTOR, log(QUIET, FLOOD), least_rate=least_rate)) == findings


@pytest.mark.parametrize(("per_second", "findings"), [(99, 0), (100, 1)])
def test_threshold_without_a_baseline(per_second: float, findings: int) -> None:
    assert len(run(DETECTOR, log(written(LOOP | {"verb": "list"}, per_second, 0, 60)))) == findings


def test_severity_follows_the_volume() -> None:
    def severity(size: int) -> Severity:
        flood = written(LOOP | {"event_bytes": size, "request_body_bytes": 0, "response_body_bytes": 0}, 15, 600, 720)
        [finding] = run(DETECTOR, log(QUIET, flood))
        return finding.severity

    assert severity(500) is Severity.LOW
    assert severity(5000) is Severity.MEDIUM
    assert severity(100_000) is Severity.HIGH


def test_silent_on_a_rollout_of_many_writers() -> None:
    rollout = [
        event
        for i in range(5)
        for event in written(LOOP | {"user": f"system:serviceaccount:kube-system:controller-{i}"}, 20, 600 + i, 660)
    ]
    assert run(DETECTOR, log(QUIET, rollout)) == []


def test_silent_on_the_start_of_an_apiserver() -> None:
    start = written(LOOP | {"user": "system:apiserver", "verb": "list", "event_bytes": 200_000}, 20, 600, 650)
    assert run(DETECTOR, log(QUIET, start)) == []
    assert run(DETECTOR, log(start)) == []


def test_silent_on_a_storm_of_rejections_but_for_a_remark() -> None:
    rejected = written(LOOP | {"code": 429, "decision": None, "request_body_bytes": 0}, 15, 600, 720)
    assert run(DETECTOR, log(QUIET, rejected)) == []
    assert any("429" in text for text in remarks(DETECTOR, log(QUIET, rejected)))


def test_silent_on_the_quiet_log_and_on_the_cured_one() -> None:
    assert run(DETECTOR, log(QUIET)) == []
    assert run(DETECTOR, log(QUIET, written(LOOP, 1, 600, 720, event_bytes=800))) == []


def test_silent_on_a_steady_volume_but_for_advice() -> None:
    received = [event | {"stage": "RequestReceived"} for event in QUIET]
    assert run(DETECTOR, log(QUIET, received)) == []
    [advice] = remarks(DETECTOR, log(QUIET, received))
    assert advice.startswith("Stage RequestReceived is 50% of the audit log's bytes")


def test_silent_without_rows() -> None:
    assert run(DETECTOR, log()) == []
    assert remarks(DETECTOR, log()) == []


def test_records_without_a_time_are_left_out() -> None:
    untimed = [LOOP | {"time": None, "stage_time": None}] * 9
    assert run(DETECTOR, {AUDIT_EVENTS: rows(AUDIT_EVENTS, *QUIET, *untimed)}) == []
    with pytest.raises(NotObservable, match="no record of the audit log has a time"):
        run(DETECTOR, {AUDIT_EVENTS: rows(AUDIT_EVENTS, *untimed)})


def test_a_log_of_writes_only_or_without_users_cannot_show_that_nothing_floods() -> None:
    """The tables of administrators of AKS and Google hold no reads, and it is mostly reads that flood a log."""
    writes = [record for record in QUIET if record["verb"] == "update"]
    with pytest.raises(NotObservable, match="no get, list or watch at all"):
        run(DETECTOR, log(writes))
    with pytest.raises(NotObservable, match="names the user"):
        run(DETECTOR, {AUDIT_EVENTS: log(QUIET, FLOOD)[AUDIT_EVENTS].with_columns(user=pl.lit(None, pl.String))})


def test_a_flood_of_writes_in_a_log_of_writes_only_says_what_is_not_seen() -> None:
    writes = [record | {"verb": "update"} for record in QUIET]
    [finding] = run(DETECTOR, log(writes, FLOOD))
    assert finding.figure("records of the writer") == 1800
    assert remarks(DETECTOR, log(writes, FLOOD))[-1].startswith("Seen in part only, by writes: the audit log holds no")


def test_without_the_flood_the_finding_goes_and_other_rows_change_nothing() -> None:
    [whole] = run(DETECTOR, log(QUIET, FLOOD))
    other = log(QUIET, FLOOD)[AUDIT_EVENTS].filter(pl.col("user") != WIDGET)
    assert run(DETECTOR, {AUDIT_EVENTS: other}) == []
    # five other users in one of the quiet minutes: the median of them all stays what it is
    noise = written(NODE | {"event_bytes": 1}, 10, 65, 115)
    noise = [record | {"user": f"system:node:other-{i % 5}"} for i, record in enumerate(noise)]
    assert len(noise) == 500
    [found] = run(DETECTOR, log(QUIET, FLOOD, noise))
    assert (found.subject, found.start, found.end) == (whole.subject, whole.start, whole.end)
    assert (found.severity, found.impact) == (whole.severity, whole.impact)
    assert found.saving == whole.saving


def test_truncated_records_are_told() -> None:
    [event, *rest] = QUIET
    assert remarks(DETECTOR, log([event | {"truncated": True}], rest)) == [
        "1 audit records were truncated by the server (audit.k8s.io/truncated)."
    ]


def test_the_series_shows_the_minutes_around() -> None:
    [finding] = run(DETECTOR, log(QUIET, FLOOD))
    [series] = finding.evidence.series
    assert series.start == T0
    assert series.values[9:12] == (66.0, 960.0, 960.0)


def test_the_same_rows_in_any_order_give_the_same_finding() -> None:
    given = log(QUIET, FLOOD)
    assert run(DETECTOR, given) == run(DETECTOR, {AUDIT_EVENTS: given[AUDIT_EVENTS].reverse()})


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_the_command_to_verify_runs(tmp_path: Path) -> None:
    [finding] = run(DETECTOR, log(QUIET, FLOOD))
    line = {
        "user": {"username": WIDGET},
        "verb": "update",
        "objectRef": {"resource": "configmaps"},
        "level": "Metadata",
    }
    (tmp_path / "t").write_text(json.dumps(line) + "\n")
    done = subprocess.run(["sh", "-c", finding.verify[0]], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", WIDGET, "update", "configmaps", "Metadata"]
