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
        "100 refreshes in 300 metadata requests by 10.0.0.7 took 1.0 s for 99 application requests, where 1 refresh "
        "would do."
    )
    assert figures(finding) == {
        "refreshes": 100,
        "metadata requests": 300,
        "seconds spent": pytest.approx(1.0),
        "median refresh seconds": pytest.approx(0.01),
        "application requests": 99,
        "refreshes needed": 1,
        "refreshes per application request": 1.01,
        "seconds added per application request": pytest.approx(1 / 99, abs=1e-6),
        "share of the request's time": pytest.approx(2 / 3, abs=1e-6),
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


def test_silent_on_processes_that_refresh_at_once_and_once_each() -> None:
    """Five workers start together behind one address; each asks once, for a credential that is short already."""
    steps = [(0.0, TOKEN, "PUT"), (0.004, ROLES, "GET"), (0.008, CREDENTIAL, "GET")]
    rows = [
        row
        for after, path, method in steps
        for worker in range(5)
        for row in exchange(after + worker * 0.0005, path, method=method, life=840 if path == CREDENTIAL else None)
    ]
    assert run(DETECTOR, given(rows)) == []
    [finding] = run(DETECTOR, given(rows, storm(10, every=1)[30:], [r | {"time": r["time"] + 30} for r in storm(10)]))
    assert figures(finding)["processes at once, at least"] == 5
    assert figures(finding)["refreshes needed"] == 5
    assert finding.confidence is Confidence.MEDIUM
    assert "at least 5 processes share the address" in finding.confidence_reason


def test_silent_on_short_lived_clients_whose_ports_come_round_again() -> None:
    """With 28,000 ephemeral ports some of 400 processes get one that another had before."""
    rows = [row for i in range(400) for row in refresh(i * 15, life=HOURS, port=40000 + i % 199)]
    assert run(DETECTOR, given(rows)) == []
    assert len(remarks(DETECTOR, given(rows))) == 1


def test_says_what_a_refresh_adds_to_a_request() -> None:
    """Refresh 10 ms, request 5 ms: two thirds of the time; the requests' connection is older."""
    [finding] = run(DETECTOR, INCIDENT)
    told = figures(finding)
    assert told["refreshes per application request"] == pytest.approx(1.01, abs=0.001)
    assert told["seconds added per application request"] == pytest.approx(1 / 99, abs=1e-6)
    assert told["share of the request's time"] == pytest.approx(0.01 / 0.015)
    assert finding.why.endswith("There is one refresh per request to other servers.")
    assert "98 were for requests on connections older than they" in finding.confidence_reason


def test_a_storm_that_is_not_per_request_does_not_say_so() -> None:
    [finding] = run(DETECTOR, {**given(storm(10)), PACKETS: requests(*(i * 0.3 + 0.02 for i in range(30)))})
    assert figures(finding)["refreshes per application request"] == pytest.approx(10 / 30, abs=0.001)
    assert "per request" not in finding.why


def cached(lives: int, *, life: float = 3600, renewed: float = 300, every: float = 10) -> list[Row]:
    """metadataproxy: one credential of an hour after the other, each renewed 300 s before its end. The SDK asks once,
    again from 900 s before the end on, at every call until it gets the next credential."""
    rows: list[Row] = []
    for number in range(lives):
        born = number * (life - renewed)
        times = [born, *(born + life - 900 + every * i for i in range(1, int((900 - renewed) / every)))]
        rows += [row for time in times for row in refresh(time, life=born + life - time)]
    return rows + refresh(lives * (life - renewed), life=life)


def test_a_storm_in_the_last_minutes_of_each_life_is_the_variant_of_the_proxy() -> None:
    [finding] = run(DETECTOR, given(cached(3)))
    assert finding.variant == "metadataproxy"
    told = figures(finding)
    assert (told["bursts"], told["seconds from burst to burst"]) == (3, 3300)
    assert told["seconds of a burst"] == 580
    assert told["life left at its end"] == 310
    assert finding.remedies[0].snippet.endswith("ROLE_EXPIRATION_THRESHOLD=15\n")
    assert "hands the old one out until 310 s before its end" in finding.why


def test_one_burst_has_no_period() -> None:
    [finding] = run(DETECTOR, given(cached(1)))
    assert (finding.variant, figures(finding)["bursts"]) == ("metadataproxy", 1)
    assert "seconds from burst to burst" not in figures(finding)


def test_silent_on_the_proxy_that_renews_early_enough() -> None:
    assert run(DETECTOR, given(cached(3, renewed=900))) == []


def test_a_storm_without_peace_is_not_that_of_a_proxy() -> None:
    """kube2iam keeps a credential of 15 minutes to its end: it never has enough life left."""
    rows = [row for i in range(270) for row in refresh(i * 10, life=899 - (i % 90) * 10)]
    [finding] = run(DETECTOR, given(rows))
    assert (finding.variant, "bursts" in figures(finding)) == ("", False)


def test_a_refresh_whose_tokens_are_lost_counts_as_any_other() -> None:
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


@pytest.mark.parametrize(
    ("server", "path"),
    [
        ("169.254.170.2", "/v2/credentials/*"),
        ("169.254.170.23", "/v1/credentials"),
        ("fd00:ec2::254", CREDENTIAL),
        ("169.254.169.254", "/computeMetadata/v1/instance/service-accounts/default/token"),
        ("169.254.169.254", "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net"),
    ],
)
def test_fires_at_every_address_and_cloud(server: str, path: str) -> None:
    rows = [row for i in range(20) for row in exchange(i, path, server=server, life=200)]
    [finding] = run(DETECTOR, given(rows))
    assert (figures(finding)["refreshes"], figures(finding)["metadata requests"]) == (20, 20)


def test_fires_at_a_proxy_that_listens_elsewhere() -> None:
    """kiam's agent at its default port: not known for a metadata service, so the life is unknown and the rate tells."""
    rows = [row for i in range(30) for row in exchange(i * 10, CREDENTIAL, server="10.0.12.33", metadata=False)]
    others = [row for i in range(300) for row in exchange(i, "/orders", server="10.0.12.33", metadata=False)]
    [finding] = run(DETECTOR, given(rows, others))
    assert (figures(finding)["refreshes"], figures(finding)["metadata requests"]) == (30, 30)
    assert finding.confidence is Confidence.MEDIUM


def test_unrelated_rows_change_nothing_and_without_the_lives_there_is_no_certainty() -> None:
    others = [row for i in range(500) for row in exchange(i / 5, "/latest/meta-data/", client="10.0.0.99")]
    assert [f.impact for f in run(DETECTOR, given(storm(100), others))] == [
        f.impact for f in run(DETECTOR, given(storm(100)))
    ]
    assert run(DETECTOR, given(storm(100, life=None))) == []


def test_silent_on_no_rows() -> None:
    assert run(DETECTOR, {table: empty(table).lazy() for table in (HTTP_MESSAGES, PACKETS)}) == []


def test_the_order_of_the_rows_changes_nothing() -> None:
    turned = {table: frame.reverse() for table, frame in INCIDENT.items()}
    assert run(DETECTOR, turned) == run(DETECTOR, INCIDENT)
