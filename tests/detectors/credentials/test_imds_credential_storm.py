"""Credentials are fetched from the metadata service again and again."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
import pytest

from analyzer.detectors.credentials.imds_credential_storm import DETECTOR
from analyzer.frames import HTTP_MESSAGES, PACKETS, Table, empty
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, remarks, run
from tests.refreshes import (
    BOTOCORE,
    CREDENTIAL,
    POD,
    ROLES,
    TOKEN,
    Row,
    capture,
    exchange,
    refresh,
    requests,
)

HOURS = 6 * 3600.0

Given = dict[Table, pl.LazyFrame]


def storm(count: int, every: float = 1, **more: object) -> list[Row]:
    return [row for i in range(count) for row in refresh(i * every, **more)]  # type: ignore[arg-type]


def given(*parts: Iterable[Row]) -> Given:
    return {HTTP_MESSAGES: capture(*parts)}


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


INCIDENT: Given = {**given(storm(100)), PACKETS: requests(*(i + 0.02 for i in range(99)))}


def test_fires_on_a_client_that_refreshes_on_every_call() -> None:
    [finding] = run(DETECTOR, INCIDENT)
    assert finding.subject == POD
    assert finding.summary == (
        "100 refreshes in 300 metadata requests by 10.0.0.7 took 1.0 s where 1 would do, for 99 application requests."
    )
    assert figures(finding) == {
        "refreshes": 100,
        "metadata requests": 300,
        "seconds spent": pytest.approx(1.0),
        "median refresh seconds": pytest.approx(0.01),
        "application requests": 99,
        "refreshes needed": 1,
    }
    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.HIGH)
    assert (finding.start, finding.end, finding.variant) == (at(0), at(99.01), "")
    assert finding.stories == (25,)


def test_quotes_the_first_refresh_and_others_up_to_the_last() -> None:
    [finding] = run(DETECTOR, INCIDENT)
    numbers = [record.number for record in finding.evidence.records]
    assert {1, 5, 6, 1001} <= set(numbers)
    assert 595 in numbers
    assert numbers == sorted(set(numbers))


def test_shows_the_programs_and_the_refreshes_of_each_minute() -> None:
    [finding] = run(DETECTOR, INCIDENT)
    [[row]] = [table.rows for table in finding.evidence.tables]
    assert row == (BOTOCORE, "aws-v1", 100, 300, 1.0, 840.0, 840.0, 900.0, 99)
    [series] = finding.evidence.series
    assert (series.start, series.step_seconds, series.values) == (at(0), 60, (60.0, 40.0))


def test_says_what_credentials_of_an_hour_would_have_saved() -> None:
    [finding] = run(DETECTOR, given(storm(361, every=30)))
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled, finding.saving.unit) == (361, 5, "refreshes")
    ways = {way.unit: (way.observed, way.modelled) for way in finding.alternatives}
    assert ways == {"requests": (1083, 15), "seconds": (pytest.approx(3.61), pytest.approx(0.05))}


def test_the_needed_refreshes_follow_life_and_window() -> None:
    """Three hours; an hour's credential is refreshed after 45 minutes: 4 times and once at the start of the fifth."""
    [finding] = run(DETECTOR, given(storm(361, every=30)))
    assert figures(finding)["refreshes needed"] == 5
    [longer] = run(DETECTOR, given(storm(361, every=30)), session_seconds=12 * 3600.0)
    assert figures(longer)["refreshes needed"] == 1


def test_remedies_name_the_issuers_and_verify_shows_no_credential() -> None:
    [finding] = run(DETECTOR, INCIDENT)
    text = " ".join(remedy.text + remedy.snippet for remedy in finding.remedies)
    assert all(wanted in text for wanted in ("--session-duration=60m", "--iam-role-session-ttl=3600s", "role-arn"))
    assert finding.verify[0].startswith("tshark -r node.pcap -Y 'http.request && ip.src == 10.0.0.7'")
    assert "file_data" not in " ".join(finding.verify)


def test_two_refreshes_within_the_life_are_the_threshold() -> None:
    assert run(DETECTOR, given(storm(1))) == []
    [finding] = run(DETECTOR, given(storm(2)))
    assert figures(finding)["refreshes"] == 2
    assert run(DETECTOR, given(storm(2)), min_refreshes=3) == []
    assert finding.severity is Severity.LOW


@pytest.mark.parametrize(("life", "fires"), [(899, True), (901, False)])
def test_the_refresh_window_of_botocore_is_the_threshold_of_the_life(life: float, fires: bool) -> None:
    assert bool(run(DETECTOR, given(storm(2, life=life)))) is fires


@pytest.mark.parametrize(
    ("agent", "life", "fires"),
    [
        ("aws-sdk-java/1.11.820 Linux/5.4", 840, True),
        ("aws-sdk-java/2.17.0 Linux/5.4", 840, False),
        ("aws-sdk-java/2.17.0 Linux/5.4", 290, True),
        ("aws-sdk-go/1.44.0", 840, False),
        ("Boto3/1.17 Botocore/1.20", 840, True),
        (None, 290, True),
    ],
)
def test_each_sdk_has_its_own_window(agent: str | None, life: float, fires: bool) -> None:
    assert bool(run(DETECTOR, given(storm(2, agent=agent, life=life)))) is fires


def test_an_unknown_sdk_is_believed_less() -> None:
    [finding] = run(DETECTOR, given(storm(10, agent="my-agent/1", life=200)))
    assert finding.confidence is Confidence.MEDIUM


def test_a_refresh_after_the_credential_has_expired_is_no_storm() -> None:
    assert run(DETECTOR, given(storm(2, every=841))) == []
    assert run(DETECTOR, given(storm(2, every=839))) != []


@pytest.mark.parametrize(("count", "severity"), [(9, Severity.LOW), (10, Severity.MEDIUM), (60, Severity.HIGH)])
def test_severity_follows_the_ratio_to_what_is_needed(count: int, severity: Severity) -> None:
    [finding] = run(DETECTOR, given(storm(count)))
    assert finding.severity is severity


def test_without_the_life_more_than_one_refresh_a_minute_for_three_minutes_is_the_threshold() -> None:
    assert run(DETECTOR, given(storm(8, every=20, life=None))) != []
    assert run(DETECTOR, given(storm(6, every=20, life=None))) == []
    assert run(DETECTOR, given(storm(30, every=60, life=None))) == []
    [finding] = run(DETECTOR, given(storm(9, every=20, life=None)))
    assert finding.confidence is Confidence.MEDIUM


def test_fires_where_one_connection_refreshes_credentials_that_are_still_good() -> None:
    assert run(DETECTOR, given(storm(20, every=15, life=HOURS, port=41000))) != []


def test_two_clients_have_a_finding_each() -> None:
    found = run(DETECTOR, given(storm(10), storm(20, client="10.0.0.8")))
    assert [(finding.subject, figures(finding)["refreshes"]) for finding in found] == [(POD, 10), ("10.0.0.8", 20)]


def test_only_the_programs_that_storm_are_counted() -> None:
    [finding] = run(DETECTOR, given(storm(10), storm(1, agent="aws-sdk-go/1.44.0")))
    assert figures(finding)["refreshes"] == 10


def test_silent_on_the_cured_client() -> None:
    assert run(DETECTOR, given(storm(5, every=2700, life=3600))) == []
    assert remarks(DETECTOR, given(storm(5, every=2700, life=3600))) == []


def test_silent_on_short_lived_clients_and_says_so() -> None:
    rows = given(storm(20, every=15, life=HOURS))
    assert run(DETECTOR, rows) == []
    [remark] = remarks(DETECTOR, rows)
    assert remark.startswith("short-lived-clients: 20 refreshes by 10.0.0.7")


def test_silent_on_a_command_line_tool_whatever_the_life() -> None:
    rows = given(storm(20, every=15, agent="aws-cli/2.15.0 Python/3.11 botocore/2.4"))
    assert run(DETECTOR, rows) == []
    assert len(remarks(DETECTOR, rows)) == 1


def test_a_library_that_is_named_like_a_command_line_tool_is_none() -> None:
    [finding] = run(DETECTOR, given(storm(20, agent="gcloud-golang/0.1", life=200)))
    assert (finding.subject, finding.confidence) == (POD, Confidence.HIGH)


def test_silent_on_many_programs_behind_one_address() -> None:
    rows = [refresh(i, agent=f"Botocore/1.20.{i} Python/3.11") for i in range(50)]
    assert run(DETECTOR, given(*rows)) == []


def test_silent_on_health_checks_without_a_credential() -> None:
    rows = [exchange(i, "/latest/meta-data/") + exchange(i + 0.1, ROLES) for i in range(300)]
    assert run(DETECTOR, given(*rows)) == []
    assert remarks(DETECTOR, given(*rows)) == []


def test_silent_on_refused_credentials() -> None:
    rows = [exchange(i, CREDENTIAL, 404) for i in range(300)]
    assert run(DETECTOR, given(*rows)) == []


def unanswered(count: int, life: float) -> list[Row]:
    return [
        row
        for i in range(count)
        for row in (
            *exchange(i * 3000, TOKEN, None, method="PUT"),
            *exchange(i * 3000 + 1, ROLES),
            *exchange(i * 3000 + 1.01, CREDENTIAL, life=life),
        )
    ]


def test_tokens_that_never_arrive_are_the_variant_of_the_hop_limit() -> None:
    assert run(DETECTOR, given(unanswered(2, HOURS))) == []
    [finding] = run(DETECTOR, given(unanswered(3, HOURS)))
    assert (finding.variant, finding.subject) == ("imds-hop-limit", POD)
    assert figures(finding)["unanswered token requests"] == 3
    assert figures(finding)["seconds waited for tokens"] == pytest.approx(3.0)
    assert finding.summary == (
        "3 metadata token requests by 10.0.0.7 were never answered and cost 3.0 s before the client went on without a "
        "token."
    )
    assert "--http-put-response-hop-limit 2" in finding.remedies[0].snippet


def test_a_storm_behind_the_hop_limit_is_one_finding_and_a_remark() -> None:
    rows = [
        row
        for i in range(10)
        for row in (
            *exchange(i * 10, TOKEN, None, method="PUT"),
            *exchange(i * 10 + 1, ROLES),
            *exchange(i * 10 + 1.01, CREDENTIAL, life=840),
        )
    ]
    [finding] = run(DETECTOR, given(rows))
    assert (finding.variant, figures(finding)["refreshes"]) == ("", 10)
    assert remarks(DETECTOR, given(rows)) == ["10 token requests by 10.0.0.7 were not answered (imds-hop-limit)"]


def test_silent_on_no_rows() -> None:
    assert run(DETECTOR, {table: empty(table).lazy() for table in (HTTP_MESSAGES, PACKETS)}) == []


def test_the_order_of_the_rows_changes_nothing() -> None:
    turned = {table: frame.reverse() for table, frame in INCIDENT.items()}
    assert run(DETECTOR, turned) == run(DETECTOR, INCIDENT)
