"""Connections that speak at regular intervals, and how many clients have such a peer."""

from __future__ import annotations

import random
from typing import Any

import pytest

from analyzer.facts.beacons import BEACONS
from analyzer.frames import PACKETS
from tests.build import frames_for, rows
from tests.detectors.security.mining import MINER, connection

Row = dict[str, Any]


def beacons(*parts: list[Row]) -> dict[tuple[str, str], Row]:
    packets = sorted((row for part in parts for row in part), key=lambda row: row["time"])
    found = frames_for([BEACONS], {PACKETS: rows(PACKETS, *packets)})[BEACONS].collect()
    return {(row["client"], row["kind"]): row for row in found.to_dicts()}


def test_connections_every_minute_are_regular() -> None:
    calls = [row for n in range(48) for row in connection(n * 60, 1, client_port=40000 + n)]
    row = beacons(calls)[MINER, "connections"]
    assert (row["moments"], row["median_seconds"]) == (48, 60)
    assert row["intervals"] == pytest.approx(1)
    assert row["sizes"] == pytest.approx(1)
    assert row["score"] > 0.9


def test_connections_of_a_person_are_not() -> None:
    chance = random.Random(7)
    times = sorted(chance.uniform(0, 1200) ** 1.3 for _ in range(20))
    calls = [row for n, time in enumerate(times) for row in connection(time, 1, client_port=40000 + n)]
    regular = [row for n in range(20) for row in connection(n * 60, 1, client_port=40000 + n)]
    assert beacons(calls)[MINER, "connections"]["score"] < beacons(regular)[MINER, "connections"]["score"] - 0.1


def test_what_a_server_pushes_on_one_connection() -> None:
    row = beacons(connection(0, 600, pushes=59))[MINER, "pushes"]
    assert (row["moments"], round(row["median_seconds"])) == (60, 10)
    assert (MINER, "connections") not in beacons(connection(0, 600, pushes=59))


@pytest.mark.parametrize(("count", "told"), [(3, False), (4, True)])
def test_it_needs_four_moments(count: int, told: bool) -> None:
    calls = [row for n in range(count) for row in connection(n * 60, 1, client_port=40000 + n)]
    assert bool(beacons(calls)) is told


def test_a_peer_that_all_have_scores_less_and_a_rare_one_more() -> None:
    def regular(client: str, server: str) -> list[Row]:
        return [
            row for n in range(8) for row in connection(n * 60, 1, client=client, server=server, client_port=4000 + n)
        ]

    clients = [f"10.244.1.{n}" for n in range(60)]
    found = beacons(*(regular(client, "192.0.2.1") for client in clients), regular("10.244.2.9", "192.0.2.9"))
    common, rare = found[clients[0], "connections"], found["10.244.2.9", "connections"]
    assert (common["clients"], rare["clients"]) == (60, 1)
    assert rare["score"] > common["score"] + 0.25


def test_no_packets_no_beacons() -> None:
    assert beacons() == {}
