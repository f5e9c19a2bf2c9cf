"""Every packet of a capture through scapy: addresses, ports, TCP flags, and the DNS question."""

from __future__ import annotations

import importlib
import sys
from typing import Any

scapy: Any = importlib.import_module("scapy.all")


def main(path: str) -> None:
    rows = lookups = 0
    with scapy.PcapReader(path) as packets:
        for packet in packets:
            network = packet.getlayer(scapy.IP) or packet.getlayer(scapy.IPv6)
            if network is None:
                continue
            row: tuple[Any, ...] = (packet.time, network.src, network.dst, packet.wirelen)
            if segment := packet.getlayer(scapy.TCP):
                row += (segment.sport, segment.dport, segment.flags, segment.seq, segment.ack, len(segment.payload))
            elif datagram := packet.getlayer(scapy.UDP):
                row += (datagram.sport, datagram.dport)
                if message := packet.getlayer(scapy.DNS):
                    row += (message.id, message.qr, message.rcode, message.qd[0].qname, message.qd[0].qtype)
                    lookups += 1
            rows += bool(row)
    print(rows, lookups)


main(sys.argv[1])
