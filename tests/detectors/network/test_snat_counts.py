"""What of a capture counts as lost, and when one share is surely larger than another."""

from __future__ import annotations

import polars as pl
import pytest

from analyzer.detectors.network.snat_retransmission import DETECTOR
from analyzer.frames import PACKETS, Table
from tests.build import run
from tests.detectors.network.ways import OTHER, OUTSIDE, POD, Row, capture, connection, outward, packet, within

LOSS = range(0, 50, 4)


def given(*parts: list[Row]) -> dict[Table, pl.LazyFrame]:
    return {PACKETS: capture(*parts)}


@pytest.mark.parametrize(("lost", "fires"), [(11, False), (16, True)])
def test_intervals_that_overlap_say_nothing_though_one_share_is_five_times_the_other(lost: int, fires: bool) -> None:
    """2 of 1,002 within (up to 0.73 %); 11 of 1,011 outside may be 0.61 %, 16 of 1,016 are 0.97 % at the least."""
    inner = [row for i in range(50) for row in connection(i * 10, POD, OTHER, port=31000 + i, lost=int(i < 2))]
    assert bool(run(DETECTOR, given(inner, outward(lost=range(lost))))) is fires


def test_what_had_been_acknowledged_and_comes_again_was_not_lost() -> None:
    spurious = []
    for i in range(50):
        sent = connection(i * 10 + 3, POD, OUTSIDE[i % 3], port=30000 + i)
        first, last = sent[3], sent[-1]
        again = packet(last["time"] + 0.5, (POD, 30000 + i), (OUTSIDE[i % 3], 443), first["seq"], 901, size=100)
        spurious += [*sent, again]
    assert run(DETECTOR, given(within(), spurious)) == []


@pytest.mark.parametrize(("row", "failed", "left_out"), [(2, 2, None), (3, 0, 3)])
def test_three_attempts_in_a_row_are_the_threshold_of_a_server_that_is_away(
    row: int, failed: int, left_out: int | None
) -> None:
    knocks = [
        packet
        for i in range(row)
        for packet in connection(600 + i, POD, OUTSIDE[0], port=33000 + i, tries=(1, 3), answered=False)
    ]
    [finding] = run(DETECTOR, given(within(), outward(lost=LOSS), knocks))
    told = {figure.name: figure.value for figure in finding.impact}
    assert told["connections failed"] == failed
    assert told.get("attempts in a row without answer, left out") == left_out
