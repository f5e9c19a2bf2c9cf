"""What is said beside the findings: what still came to pods that end, and is no failure of this kind."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.detector import Remark
from analyzer.detectors.network.terminating_endpoint_traffic.attempts import ANSWERED, DOWN, HEADLESS, NODE
from analyzer.facts.audit_windows import counted


def remarks(tried: pl.DataFrame, kept: pl.DataFrame) -> Iterator[Remark]:
    """Failed connections of nodes and of clients with an address of their own, and connections that were open."""
    lost = tried.filter(pl.col("outcome") != ANSWERED)
    nodes, headless, down = (lost.filter(pl.col("who") == who).height for who in (NODE, HEADLESS, DOWN))
    if nodes:
        yield Remark(
            f"{counted(nodes, 'new connection')} to deleted pods came from nodes or probes, and failed: kubelets and "
            "load balancers look whether a server lives; not counted."
        )
    if headless:
        yield Remark(
            f"{counted(headless, 'new connection')} to deleted pods failed whose clients had looked the pod's own "
            "address up (headless Service): they keep it until they look again; not counted."
        )
    if down:
        yield Remark(
            f"{counted(down, 'new connection')} to deleted pods failed that had refused connections before they were "
            "deleted and answered none: they were down already, and no sleep helps; not counted."
        )
    cut = kept.filter("cut").height
    if kept.height:
        yield Remark(
            f"{counted(kept.height, 'connection')} to pods open when these were deleted went on; the pod reset "
            f"{cut:,} of them: that needs draining, no sleep; not counted."
        )
