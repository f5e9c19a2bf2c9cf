"""What looks like a stampede of pulls and is none, and where it begins."""

from __future__ import annotations

import polars as pl
import pytest

from analyzer.detectors.node.image_pull_stampede import DETECTOR
from analyzer.detectors.node.image_pull_stampede.theory import allowed
from tests.build import run
from tests.detectors.node.pulls import HUB, Row, agents, crashing, events, failed, pulled, pulling, told


def test_silent_on_new_nodes_that_pull_each_image_once() -> None:
    data: list[Row] = []
    for node in range(20):
        for image in range(12):
            pod, name = f"shop/app{image}-6769fb7c7-{node:05d}", f"{HUB}/shop/app{image}:4"
            data += [pulling(pod, f"n{node}", node, node, image=name), pulled(pod, f"n{node}", node + 20, name)]
    assert run(DETECTOR, events(*data)) == []


def test_silent_on_a_release_in_which_every_pod_pulls_latest_once() -> None:
    data: list[Row] = []
    for pod in range(200):
        data += [pulling(f"shop/web-6769fb7c7-{pod:05d}", f"n{pod % 5}", pod * 4, pod * 4)]
        data += [pulled(f"shop/web-6769fb7c7-{pod:05d}", f"n{pod % 5}", pod * 4 + 3)]
    assert run(DETECTOR, events(*data)) == []


def test_silent_on_images_that_were_collected_as_garbage_and_are_pulled_anew() -> None:
    """New pods pull again what the node had: each pod once, though the node and the image are the same."""
    data = [
        pulling(f"batch/run-{run_:08d}-{pod:05d}", "n1", run_ * 600 + pod, run_ * 600 + pod)
        for run_ in range(6)
        for pod in range(20)
    ]
    assert run(DETECTOR, events(*data)) == []


def test_silent_on_a_crash_loop_whose_image_is_there() -> None:
    data: list[Row] = []
    for i in range(20):
        pod = f"logs/shipper-{i:05d}"
        text = f'Container image "{HUB}/logs/shipper:1.9" already present on machine'
        data += [told("Pulled", text, pod, f"n{i}", i, i + 1200, 12), crashing(pod, f"n{i}", i, i + 1200, 60)]
    assert run(DETECTOR, events(*data)) == []


def test_silent_on_a_few_pods_with_a_mistyped_image() -> None:
    assert run(DETECTOR, events(*agents("missing", count=3, tries=30, seconds=3600))) == []


def test_silent_on_the_cured_fleet() -> None:
    """IfNotPresent: one pull for each node, then restarts from what is there."""
    data = [pulling(f"platform/agent-{i:05d}", f"n{i}", i, i) for i in range(50)]
    assert run(DETECTOR, events(*data)) == []


def quota(pods: int) -> list[Row]:
    """Each pod is turned away once, and gets its image at the next try."""
    return [
        row
        for i in range(pods)
        for row in (pulling(f"shop/web-{i}", "n1", i, i), failed("quota", f"shop/web-{i}", "n1", i + 1, i + 1))
    ]


@pytest.mark.parametrize(("pods", "fires"), [(2, False), (3, True)])
def test_three_pods_turned_away_are_the_threshold(pods: int, fires: bool) -> None:
    assert bool(run(DETECTOR, events(*quota(pods)))) is fires


@pytest.mark.parametrize(("pods", "fires"), [(9, False), (10, True)])
def test_ten_pods_are_the_threshold_of_repeats(pods: int, fires: bool) -> None:
    assert bool(run(DETECTOR, events(*agents("permission", pods, 7)))) is fires


@pytest.mark.parametrize(("tries", "fires"), [(5, False), (6, True)])
def test_fifty_repeats_are_the_threshold(tries: int, fires: bool) -> None:
    """Ten pods that try six times repeat fifty pulls, five times forty."""
    assert bool(run(DETECTOR, events(*agents("permission", 10, tries)))) is fires


@pytest.mark.parametrize(("seconds", "fires"), [(589, False), (600, True)])
def test_ten_minutes_are_the_threshold_of_their_length(seconds: float, fires: bool) -> None:
    """The last pod begins nine seconds after the first."""
    assert bool(run(DETECTOR, events(*agents("permission", 10, 7, seconds - 9)))) is fires


def test_five_times_the_usual_is_the_threshold_of_their_rate() -> None:
    """A registry that is asked twice a minute all day: 84 attempts in 11 minutes are less than ten a minute."""
    usual = [pulling(f"ci/run-{i}", "n1", i * 30 - 7200, i * 30 - 7200, image=f"{HUB}/ci/run:1") for i in range(200)]
    data = agents("permission", 12, 7, 660, start=600)
    assert run(DETECTOR, events(*usual, *data)) == []
    assert len(run(DETECTOR, events(*usual, *data), times=3)) == 1
    assert len(run(DETECTOR, events(*usual[::20], *data))) == 1


@pytest.mark.parametrize(("tries", "fires"), [(30, False), (31, True)])
def test_three_a_minute_of_one_node_are_the_threshold(tries: int, fires: bool) -> None:
    """One container whose back-off does not hold it: thirty repeats in 600 s."""
    row = pulling("shop/web-1", "n1", 0, 620, tries)
    assert bool(run(DETECTOR, events(row))) is fires


def test_a_quiet_quarter_of_an_hour_parts_two_episodes() -> None:
    first, second = agents("permission"), agents("permission", start=660 + 900 + 20)
    second = [row | {"name": "b" + row["name"]} for row in second]
    assert len(run(DETECTOR, events(*first, *second))) == 2
    near = [row | {"name": "b" + row["name"]} for row in agents("permission", start=660 + 800)]
    assert len(run(DETECTOR, events(*first, *near))) == 1


def test_a_count_beyond_all_measure_costs_nothing() -> None:
    [finding] = run(DETECTOR, events(*agents("permission", 12, 10**12)))
    assert finding.figure("attempts") == 12 * 10**12


def test_the_back_off_doubles_from_ten_seconds_to_five_minutes() -> None:
    spans = pl.Series([0.0, 9.9, 10, 30, 70, 150, 310, 609.9, 610, 910])
    assert allowed(spans).to_list() == [1, 1, 2, 3, 4, 5, 6, 6, 7, 8]
