"""What became of attempts to connect, and by which schedule they knocked."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.facts.connection_attempts import CONNECTION_ATTEMPTS
from analyzer.frames import PACKETS, empty
from tests.build import frames_for
from tests.conversations import ACK, FIN, RST, SYN, Row, capture, client, handshake, server


def attempts(*packets: Row) -> list[dict[str, Any]]:
    """Of a capture that goes on for a minute more."""
    later = handshake(600, port=60000)
    given = {PACKETS: capture(*packets, *later)}
    rows = frames_for([CONNECTION_ATTEMPTS], given)[CONNECTION_ATTEMPTS].collect().to_dicts()
    return [row for row in rows if row["client_port"] != 60000]


def outcome(*packets: Row) -> str:
    [row] = attempts(*packets)
    return str(row["outcome"])


def test_a_handshake_is_answered() -> None:
    [row] = attempts(*handshake(), client(0.1, 101, 901, 9), server(0.2, 901, 110, 9))
    assert (row["outcome"], row["syns"], row["schedule"], row["waited_seconds"]) == ("answered", 1, None, None)


def test_a_syn_that_nobody_answers_is_silent_and_waits_to_its_last_packet() -> None:
    [row] = attempts(*(client(at, 100, flags=SYN) for at in (0, 1, 3)))
    assert (row["outcome"], row["syns"], row["waited_seconds"]) == ("silent", 3, 3.0)


def test_a_reset_for_a_syn_is_refused() -> None:
    assert outcome(client(0, 100, flags=SYN), server(0.1, 0, 101, flags=RST | ACK)) == "refused"


def test_a_reset_before_any_octet_of_the_server_is_told_apart_from_one_after() -> None:
    asks = [*handshake(), client(0.1, 101, 901, 9)]
    assert outcome(*asks, server(0.2, 901, 110, flags=RST | ACK)) == "reset"
    assert outcome(*asks, server(0.2, 901, 110, 50), server(0.3, 951, 110, flags=RST | ACK)) == "answered"
    assert outcome(*asks, client(0.2, 110, 901, flags=RST | ACK)) == "answered"


def test_nothing_but_a_tls_alert_is_one() -> None:
    asks = [*handshake(), client(0.1, 101, 901, 200)]
    assert outcome(*asks, server(0.2, 901, 301, 7, tls_record=21)) == "alert"
    assert outcome(*asks, server(0.2, 901, 301, 900), server(0.3, 1801, 301, 31, tls_record=21)) == "answered"
    assert outcome(*asks, server(0.2, 901, 301, 7, tls_record=22)) == "answered"


def test_a_connection_without_data_is_answered() -> None:
    assert outcome(*handshake(), client(0.1, 101, 901, flags=FIN | ACK), server(0.2, 901, 102, flags=FIN | ACK)) == (
        "answered"
    )


@pytest.mark.parametrize(("end", "said"), [(2.9, "undecided"), (3.0, "silent")])
def test_the_end_of_the_capture_may_come_too_soon(end: float, said: str) -> None:
    given = {PACKETS: capture(client(0, 100, flags=SYN), client(end, 1, port=777))}
    rows = frames_for([CONNECTION_ATTEMPTS], given)[CONNECTION_ATTEMPTS].collect()
    assert rows["outcome"].to_list() == [said]


@pytest.mark.parametrize(
    ("retries", "name"),
    [
        ((1.0,), "either"),
        ((1.09,), "either"),
        ((1.2,), "other"),
        ((1.0, 3.0, 7.1), "doubling"),
        ((1.02, 3.05, 7.2, 15.4, 31.5, 65.5), "doubling"),
        ((1.0, 2.0), "linear"),
        ((1.02, 2.05, 3.07, 4.09, 5.12, 7.13, 11.2, 19.4, 35.5, 67.8), "linear"),
        ((3.0, 9.0), "other"),
        (tuple(float(second) for second in range(1, 20)), "other"),
    ],
)
def test_both_schedules_of_linux_are_known(retries: tuple[float, ...], name: str) -> None:
    """The longer ones are as Linux 6.18 sent them, with and without net.ipv4.tcp_syn_linear_timeouts."""
    [row] = attempts(*(client(at, 100, flags=SYN) for at in (0.0, *retries)))
    assert row["schedule"] == name


def test_connections_older_than_the_capture_are_no_attempts() -> None:
    assert attempts(client(0, 101, 901, 9), server(0.1, 901, 110, 9)) == []


def test_no_rows_give_none() -> None:
    given = {PACKETS: empty(PACKETS).lazy()}
    assert frames_for([CONNECTION_ATTEMPTS], given)[CONNECTION_ATTEMPTS].collect().is_empty()
