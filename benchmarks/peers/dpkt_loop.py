"""Every packet of a capture through dpkt: addresses, ports, TCP flags, and the DNS question."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

dpkt: Any = importlib.import_module("dpkt")


def main(path: Path) -> None:
    rows = lookups = 0
    with path.open("rb") as file:
        for time, frame in dpkt.pcap.Reader(file):
            packet = dpkt.ethernet.Ethernet(frame).data
            if not isinstance(packet, dpkt.ip.IP | dpkt.ip6.IP6):
                continue
            segment = packet.data
            row: tuple[Any, ...] = (time, packet.src, packet.dst, getattr(packet, "p", None), len(frame))
            if isinstance(segment, dpkt.tcp.TCP):
                row += (segment.sport, segment.dport, segment.flags, segment.seq, segment.ack, len(segment.data))
            elif isinstance(segment, dpkt.udp.UDP):
                row += (segment.sport, segment.dport)
                if 53 in (segment.sport, segment.dport):
                    message = dpkt.dns.DNS(segment.data)
                    row += (message.id, message.qr, message.rcode, message.qd[0].name, message.qd[0].type)
                    lookups += 1
            rows += bool(row)
    print(rows, lookups)


main(Path(sys.argv[1]))
