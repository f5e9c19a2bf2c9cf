"""Attempts of three clients to connect to a peer outside, answered and not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from analyzer.frames import PACKETS, Table
from analyzer.model import Finding
from tests.detectors.network.ways import DOUBLING, OTHER, POD, THIRD, Row, capture, connection

Given = dict[Table, pl.LazyFrame]

PEER, BESIDE = "203.0.113.140", "198.51.100.23"
CLIENTS = (POD, OTHER, THIRD)
TURN = 300


def given(*parts: list[Row]) -> Given:
    return {PACKETS: capture(*parts)}


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


def knocks(times: range, **how: Any) -> Iterator[Row]:
    """An attempt of each client by turns, answered or not as `how` says."""
    for i, start in enumerate(times):
        yield from connection(
            start,
            CLIENTS[i % 3],
            how.get("server", PEER),
            port=32000 + start,
            service=5432,
            data=2,
            step=0.1,
            **how.get("more", {}),
        )


SILENT: dict[str, Any] = {"answered": False, "tries": DOUBLING[:3]}


def good(times: range = range(0, TURN, 10), server: str = PEER) -> list[Row]:
    return list(knocks(times, server=server))


def bad(times: range = range(TURN, 400, 10), server: str = PEER, **more: Any) -> list[Row]:
    return list(knocks(times, server=server, more=SILENT | more))


def others(times: range = range(5, 400, 10), server: str = BESIDE) -> list[Row]:
    return good(times, server)


def by(clients: tuple[str, ...], rows_: list[Row]) -> list[Row]:
    """Without the clients that are not named."""
    return [row for row in rows_ if not {row["src"], row["dst"]} & set(CLIENTS) - set(clients)]


def answer(time: float, value: str) -> Row:
    return {"time": time, "protocol": "dns", "rtype": "A", "name": "db.example.net", "value": value}
