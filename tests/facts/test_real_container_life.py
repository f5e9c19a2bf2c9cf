"""Kills and ends of containers and starts of kubelets in recordings of real kubelets, counted independently."""

from __future__ import annotations

import re

from analyzer.facts.container_ends import CONTAINER_ENDS
from analyzer.facts.container_kills import CONTAINER_KILLS
from analyzer.facts.contract import Frames
from analyzer.facts.kubelet_starts import KUBELET_STARTS
from analyzer.frames import KLOG_LINES
from analyzer.sources import klog
from tests.build import frames_for
from tests.recordings import RECORDED, needed, read

pytestmark = needed

CASE = "j0_evictions_instant"
NAMES = sorted(str(path.relative_to(RECORDED)) for path in (RECORDED / CASE).glob("hollow-kubelet*.klog.txt"))


def texts() -> list[str]:
    return [(RECORDED / name).read_text(errors="replace") for name in NAMES]


def derived() -> Frames:
    given = {KLOG_LINES: read(klog.SOURCE, *NAMES)[KLOG_LINES]}
    return frames_for([CONTAINER_KILLS, CONTAINER_ENDS, KUBELET_STARTS], given)


def test_kills_ends_and_starts_are_what_a_pattern_counts() -> None:
    kill = r'"Killing container with a grace period(?: override)?" .*containerID="[^"]*//([^"]+)" gracePeriod=(\d+)'
    kills = sorted(one for text in texts() for one in re.findall(kill, text))
    ended = r'ContainerDied","Data":"([^"]+)"|container finished" podID="[^"]*" containerID="([^"]+)"'
    ends = {one[0] or one[1] for text in texts() for one in re.findall(ended, text)}
    frames = derived()
    told = frames[CONTAINER_KILLS].select("container_id", "grace_seconds").collect().rows()
    assert sorted((one, str(int(grace))) for one, grace in told) == kills
    assert set(frames[CONTAINER_ENDS].collect()["container_id"]) == ends
    loops = sum(text.count('"Starting kubelet main sync loop"') for text in texts())
    assert frames[KUBELET_STARTS].collect().height == loops > 0
    assert kills
    assert ends
