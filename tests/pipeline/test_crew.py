"""Things to do are dealt to processes so that all are ready at the same time; a lost process costs nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from msgspec import Struct

from analyzer.errors import OutputError
from analyzer.pipeline.crew import _Lanes, planned, spread


class Thing(Struct, frozen=True):
    name: str
    seconds: float


def things(*seconds: float) -> list[Thing]:
    return [Thing(f"{number}", one) for number, one in enumerate(seconds)]


def lengths(plan: list[list[Thing]]) -> list[list[float]]:
    return [[thing.seconds for thing in lane] for lane in plan]


def test_lanes_are_as_even_as_they_can_be() -> None:
    """The longest first to whoever is free would give 6 and 4."""
    assert lengths(planned(things(3.5, 1.1, 2.5, 2.9), 2)) == [[2.9, 2.5], [3.5, 1.1]]


def test_one_that_takes_longer_than_all_others_has_a_lane_of_its_own() -> None:
    assert lengths(planned(things(1, 1, 9, 1), 2)) == [[9], [1, 1, 1]]


def test_more_lanes_than_things() -> None:
    assert lengths(planned(things(1, 2), 3)) == [[2], [1], []]
    assert lengths(planned(things(), 2)) == [[], []]


def test_many_things_are_dealt_evenly_to_many_lanes() -> None:
    plan = planned(things(*range(1, 101)), 8)
    assert sorted(thing.name for lane in plan for thing in lane) == sorted(str(number) for number in range(100))
    sums = [sum(lane) for lane in lengths(plan)]
    assert max(sums) - min(sums) <= 0.01 * max(sums)


def test_whoever_is_through_takes_the_shortest_of_the_longest_lane() -> None:
    lanes = _Lanes(things(5, 4, 3, 1), 2)  # 5 and 1, 4 and 3
    taken = [lanes.next(lane) for lane in (1, 1, 1, 0, 0)]
    assert [thing.seconds if thing else None for thing in taken] == [5, 1, 3, 4, None]


def _beside(thing: Thing, *, dies: str = "", full: str = "") -> str:
    """Stands for reading in another process, which the kernel kills, or which has no room."""
    if thing.name == dies:
        os._exit(1)
    if thing.name == full:
        raise OutputError("no room")
    return f"beside {thing.name}"


def run(beside: Callable[[Thing], str], many: int, own: tuple[Thing, ...] = ()) -> list[str]:
    made: list[str] = []
    spread(own, things(*[1.0] * many), 2, lambda thing: made.append(f"here {thing.name}"), beside, made.append)
    return made


def test_every_thing_is_done_once_here_or_beside() -> None:
    made = run(_beside, 12)
    assert sorted(int(one.split()[1]) for one in made) == list(range(12))


@pytest.mark.parametrize("fault", ["dies", "full"])
def test_what_another_process_left_undone_is_done_here(fault: str) -> None:
    name = first_of_the_other()
    beside = partial(_beside, dies=name) if fault == "dies" else partial(_beside, full=name)
    made = run(beside, 6)
    assert sorted(int(one.split()[1]) for one in made) == list(range(6))
    assert f"here {name}" in made


def first_of_the_other() -> str:
    return planned(things(*[1.0] * 6), 2)[1][0].name


def test_what_only_this_process_can_do_is_done_here() -> None:
    assert "here own" in run(_beside, 2, own=(Thing("own", 9.0),))


def _waits(thing: Thing, *, folder: Path) -> str:
    """Ready only when this process is through with its own."""
    while not (folder / "through").exists():
        time.sleep(0.01)
    return f"beside {thing.name}"


def test_this_process_waits_for_what_is_under_way(tmp_path: Path) -> None:
    made: list[str] = []

    def here(thing: Thing) -> None:
        made.append(f"here {thing.name}")
        if len(made) == 2:
            (tmp_path / "through").touch()

    spread([], things(1, 1, 1), 2, here, partial(_waits, folder=tmp_path), made.append)
    assert [one.split()[0] for one in made] == ["here", "here", "beside"]
