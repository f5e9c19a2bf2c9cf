"""All layers of the frames of a window: link, network, transport, and the tunnels between."""

from __future__ import annotations

import numpy as np

from analyzer.sources.capture.links import Link
from analyzer.sources.capture.network import (
    ABSENT,
    FIRST,
    ICMP,
    ICMP6,
    LATER,
    TCP,
    UDP,
    WHOLE,
    Headers,
    network,
)
from analyzer.sources.capture.reasons import FINE
from analyzer.sources.capture.tunnels import Tunnels, open_tunnels
from analyzer.sources.capture.window import Window

__all__ = ["ABSENT", "FIRST", "ICMP", "ICMP6", "LATER", "TCP", "UDP", "WHOLE", "Headers", "Tunnels", "headers"]


def headers(window: Window, link: Link) -> tuple[Headers, Tunnels]:
    """Decode every frame down to its innermost packet; frames that the link layer refused keep its reason."""
    out = network(window.data, link.network, window.end, link.wire_end, link.ethertype, link.cut)
    refused = np.flatnonzero(link.reason != FINE)
    out.reason[refused] = link.reason[refused]
    return out, open_tunnels(window, out, link.wire_end, link.cut)
