"""Rows of the outer headers that were taken off tunnelled packets."""

from __future__ import annotations

import polars as pl

from analyzer.sources.capture.packets import numbers, place_columns
from analyzer.sources.capture.texts import Addresses, pick
from analyzer.sources.capture.tunnels import KINDS, Tunnels
from analyzer.sources.capture.window import Window

_KIND_TEXTS = pl.Series(KINDS)


def tunnel_frame(window: Window, tunnels: Tunnels, addresses: Addresses, source: str) -> pl.DataFrame | None:
    """The rows of one window; None if it has none."""
    if not len(tunnels.frame):
        return None
    six = tunnels.version == 6
    columns = place_columns(window.time[tunnels.frame], window.number[tunnels.frame], source)
    columns |= {
        "depth": numbers(tunnels.depth, pl.Int16()),
        "kind": pick(_KIND_TEXTS, tunnels.kind),
        "src": addresses.texts(six, tunnels.src_high, tunnels.src_low),
        "src_port": numbers(tunnels.src_port, pl.Int32()),
        "dst": addresses.texts(six, tunnels.dst_high, tunnels.dst_low),
        "dst_port": numbers(tunnels.dst_port, pl.Int32()),
        "network_id": numbers(tunnels.network_id, pl.Int64()),
    }
    return pl.DataFrame(columns)
