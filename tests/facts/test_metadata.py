"""Requests to metadata services, refreshes of credentials, and what they were for."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import pytest

from analyzer.facts.application import APPLICATION_REQUESTS
from analyzer.facts.metadata import CREDENTIAL_REFRESHES
from analyzer.facts.metadata_requests import METADATA_REQUESTS
from analyzer.frames import HTTP_MESSAGES, PACKETS, Table, empty
from tests.build import at, frames_for
from tests.refreshes import (
    BOTOCORE,
    CREDENTIAL,
    POD,
    ROLES,
    SERVER,
    TOKEN,
    Row,
    exchange,
    refresh,
    requests,
)
from tests.refreshes import capture as captured


def asked(*parts: list[Row]) -> pl.DataFrame:
    given = {HTTP_MESSAGES: captured(*parts)}
    return frames_for([METADATA_REQUESTS], given)[METADATA_REQUESTS].collect()


def refreshes(given: Mapping[Table, pl.LazyFrame]) -> pl.DataFrame:
    return frames_for([CREDENTIAL_REFRESHES], given)[CREDENTIAL_REFRESHES].collect()


def test_a_request_is_joined_with_its_answer() -> None:
    [row] = asked(exchange(0, CREDENTIAL, after=0.25, life=840)).to_dicts()
    assert (row["number"], row["answer_number"], row["status"], row["duration_seconds"]) == (1, 2, 200, 0.25)
    assert (row["kind"], row["provider"], row["client"], row["user_agent"]) == ("credential", "aws-v1", POD, BOTOCORE)
    assert (row["expires_at"], row["remaining_seconds"]) == (at(840.25), 840)


def test_requests_of_one_connection_are_answered_in_their_order() -> None:
    first, second = exchange(0, ROLES, 200, port=7, after=0.5), exchange(0.1, CREDENTIAL, 404, port=7, after=0.5)
    assert asked(first, second).select("path", "status").rows() == [(ROLES, 200), (CREDENTIAL, 404)]


def test_a_request_without_an_answer_does_not_take_that_of_the_next_one() -> None:
    rows = asked(exchange(0, TOKEN, None, method="PUT", port=7), exchange(90, CREDENTIAL, 200, port=7))
    assert rows["status"].to_list() == [None, 200]


def test_an_interim_answer_is_none() -> None:
    request, answer = exchange(0, CREDENTIAL, 200)
    assert asked([request, answer | {"status": 100, "time": 0.001}, answer])["status"].to_list() == [200]


def test_copies_are_counted_out() -> None:
    pair = exchange(0, CREDENTIAL)
    assert asked(pair, [row | {"duplicate": True} for row in pair]).height == 1


def test_two_captures_of_one_request_count_it_once() -> None:
    rows = refresh(0)
    both = pl.concat([captured(rows, source="veth.pcap"), captured(rows, source="any.pcap")])
    assert refreshes({HTTP_MESSAGES: both})["requests"].to_list() == [3]


@pytest.mark.parametrize(
    ("path", "method", "provider", "kind"),
    [
        (TOKEN, "PUT", "aws-v2", "token"),
        (ROLES, "GET", "aws-v1", "role-list"),
        ("/latest/meta-data/iam/security-credentials", "GET", "aws-v1", "role-list"),
        ("/2016-09-02/meta-data/iam/security-credentials/role", "GET", "aws-v1", "credential"),
        ("/latest/meta-data/", "GET", "aws-v1", "other"),
        ("/latest/meta-data/placement/availability-zone", "GET", "aws-v1", "other"),
        ("/v2/credentials/3f1b", "GET", "ecs", "credential"),
        ("/v1/credentials", "GET", "eks-pod-identity", "credential"),
        ("/computeMetadata/v1/instance/service-accounts/default/token", "GET", "gcp", "credential"),
        ("/computeMetadata/v1/project/project-id", "GET", "gcp", "other"),
        ("/metadata/identity/oauth2/token?api-version=2018-02-01&resource=x", "GET", "azure", "credential"),
        ("/metadata/instance?api-version=2021-02-01", "GET", "azure", "other"),
        ("/healthz", "GET", None, "other"),
    ],
)
def test_the_path_tells_provider_and_kind(path: str, method: str, provider: str | None, kind: str) -> None:
    assert asked(exchange(0, path, method=method)).select("provider", "kind").rows() == [(provider, kind)]


def test_a_granted_token_makes_the_requests_after_it_version_two() -> None:
    assert set(asked(refresh(0, version=2))["provider"]) == {"aws-v2"}
    assert asked(refresh(0, version=1))["provider"].to_list() == ["aws-v2", "aws-v1", "aws-v1"]


def test_token_role_and_credential_are_one_refresh() -> None:
    [row] = refreshes({HTTP_MESSAGES: captured(refresh(0))}).to_dicts()
    assert (row["time"], row["end"], row["seconds"]) == (at(0), at(0.01), 0.01)
    assert (row["requests"], row["status"], row["path"], row["remaining_seconds"]) == (3, 200, CREDENTIAL, 840)
    assert (row["number"], row["credential_number"], row["answer_number"]) == (1, 5, 6)


def test_each_credential_ends_a_refresh() -> None:
    frame = refreshes({HTTP_MESSAGES: captured(refresh(0), refresh(0.1), exchange(0.2, CREDENTIAL))})
    assert frame["requests"].to_list() == [3, 3, 1]


def test_programs_of_one_address_are_told_apart() -> None:
    frame = refreshes({HTTP_MESSAGES: captured(refresh(0), refresh(0.001, agent="aws-sdk-java/1.11.0"))})
    assert frame["requests"].to_list() == [3, 3]


def test_a_token_for_something_else_belongs_to_no_refresh() -> None:
    parts = exchange(0, TOKEN, method="PUT"), exchange(0.1, "/latest/meta-data/instance-id"), refresh(60)
    assert refreshes({HTTP_MESSAGES: captured(*parts)})["requests"].to_list() == [3]


def test_an_unanswered_token_and_what_it_cost_are_kept() -> None:
    parts = exchange(0, TOKEN, None, method="PUT"), exchange(1.0, ROLES), exchange(1.01, CREDENTIAL)
    [row] = refreshes({HTTP_MESSAGES: captured(*parts)}).to_dicts()
    assert (row["unanswered_tokens"], row["token_wait_seconds"], row["requests"]) == (1, 1.0, 3)


@pytest.mark.parametrize(("later", "followed"), [(0.05, True), (0.15, False)])
def test_a_request_within_a_tenth_of_a_second_is_what_a_refresh_was_for(later: float, followed: bool) -> None:
    given = {HTTP_MESSAGES: captured(refresh(0)), PACKETS: requests(0.01 + later)}
    [row] = refreshes(given).to_dicts()
    assert (row["application_number"], row["application_server"]) == ((1001, SERVER) if followed else (None, None))


def test_a_request_after_the_next_refresh_belongs_to_that_one() -> None:
    given = {HTTP_MESSAGES: captured(refresh(0), refresh(0.03)), PACKETS: requests(0.045)}
    assert refreshes(given)["application_number"].to_list() == [None, 1001]


def application(given: Mapping[Table, pl.LazyFrame]) -> list[int]:
    found = {HTTP_MESSAGES: captured(refresh(0)), **given}
    return frames_for([APPLICATION_REQUESTS], found)[APPLICATION_REQUESTS].collect()["number"].to_list()


def test_what_a_client_sends_after_an_answer_is_a_request() -> None:
    assert application({PACKETS: requests(1, 2, 3)}) == [1001, 1003, 1005]


def test_further_segments_of_a_request_are_no_requests() -> None:
    assert application({PACKETS: requests(1, 1.001, 1.002)}) == [1001]


def test_copies_empty_segments_names_and_metadata_are_no_requests() -> None:
    for more in ({"duplicate": True}, {"payload_bytes": 0}, {"protocol": "UDP"}, {"dst": "169.254.169.254"}):
        assert application({PACKETS: requests(1, **more)}) == []


def test_what_a_proxy_of_the_service_is_asked_is_no_request_to_another_server() -> None:
    proxied = {HTTP_MESSAGES: captured(refresh(0, server=SERVER))}
    packets = requests(1).with_columns(
        pl.when(pl.col(name) == 9000).then(80).otherwise(name).cast(pl.Int32).alias(name)
        for name in ("src_port", "dst_port")
    )
    assert application({**proxied, PACKETS: packets}) == []


def test_the_first_thing_on_a_tls_connection_is_its_handshake() -> None:
    packets = requests(1, 2, 3).with_columns(
        pl.when(pl.col(name) == 9000).then(443).otherwise(name).cast(pl.Int32).alias(name)
        for name in ("src_port", "dst_port")
    )
    assert application({PACKETS: packets}) == [1003, 1005]


def tls(*records: tuple[float, int, bool]) -> pl.LazyFrame:
    """Payloads of one TLS connection: (time, record type, whether the client sends it); numbers from 1001."""
    made = requests(*(time for time, _, _ in records)).collect()
    back = made.filter(pl.int_range(pl.len()) % 2 == 1)
    asks = made.filter(pl.int_range(pl.len()) % 2 == 0)
    parts = [
        (asks if mine else back)[i].with_columns(
            time=asks[i]["time"], number=pl.lit(1001 + i, dtype=pl.Int64), tls_record=pl.lit(kind, dtype=pl.Int16)
        )
        for i, (_, kind, mine) in enumerate(records)
    ]
    return PACKETS.check(pl.concat(parts).lazy())


def test_a_tls_turn_without_application_data_asks_for_nothing() -> None:
    old = tls(
        (1, 22, True), (2, 22, False), (3, 22, True), (4, 20, False), (5, 23, True), (6, 23, False), (7, 23, True)
    )
    assert application({PACKETS: old}) == [1005, 1007]


def test_a_tls_request_right_behind_the_clients_finished_is_one_request() -> None:
    new = tls((1, 22, True), (2, 22, False), (3, 20, True), (4, 23, True), (5, 23, True), (6, 23, False))
    assert application({PACKETS: new}) == [1004]


def test_requests_to_the_client_are_not_its_own() -> None:
    assert application({PACKETS: requests(1, 2, src_port=8080)}) == []


def test_requests_of_others_do_not_count() -> None:
    assert application({PACKETS: requests(1, client="10.0.0.9")}) == []


def test_no_rows_give_no_facts() -> None:
    given = {table: empty(table).lazy() for table in (HTTP_MESSAGES, PACKETS)}
    facts = [METADATA_REQUESTS, APPLICATION_REQUESTS, CREDENTIAL_REFRESHES]
    assert [frame.collect().height for frame in frames_for(facts, given).values()] == [0, 0, 0]
