"""The case log-silence: the log shipper of one of five nodes hangs, and nobody notices."""

from __future__ import annotations

import random

from cluster import Cluster, Node, moment, node
from klog import KubeletLog
from story import HOME, Truth
from tcp import Connection, Ports
from wire import SECOND, Capture, Ends, write

NAME = "log-silence"
MINUTE = 60 * SECOND
START = moment("2026-11-18T10:00:00")
END = START + 90 * MINUTE
HANGS = START + 37 * MINUTE + 21 * SECOND
NODES = (33, 34, 35, 36, 37)
SILENT = 35
SINK, PORT = "10.0.12.60", 24224
EVERY = 15 * SECOND
KEEP_ALIVE = 75 * SECOND


def ships(capture: Capture, ports: Ports, one: Node, until: int) -> list[int]:
    """A chunk about every fifteen seconds over one connection, then keep-alives; returns when data was sent."""
    rng = capture.rng
    connection = Connection(capture, Ends(one.ip, ports.next(one.ip), SINK, PORT))
    at = connection.open(START + rng.randrange(5 * SECOND)) + 1000
    sent = []
    while at < until:
        chunk = b"\x93\xa4node" + b"\0" * rng.randrange(200, 900)
        connection.send(at, chunk)
        sent.append(at)
        at += EVERY + rng.randrange(-4 * SECOND, 4 * SECOND)
    for at in range(sent[-1] + KEEP_ALIVE, END if until < END else 0, KEEP_ALIVE):
        connection.seq -= 1
        connection._packet(at, True, 0x10)
        connection.seq += 1
        connection._packet(at + connection.rtt, False, 0x10)
    return sent


def main() -> None:
    rng = random.Random(NAME)
    cluster, ports = Cluster(rng), Ports(rng)
    capture = Capture("10.0.12.", rng)
    lines: list[tuple[int, int, str]] = []
    told: dict[int, list[int]] = {}
    sent: dict[int, list[int]] = {}
    for number in NODES:
        one = node(number)
        until = HANGS if number == SILENT else END
        journal = KubeletLog(one, rng, 1300 + number)
        journal.murmur(cluster.pods(["shop/storefront", "checkout/cart", "search/index"], one), START, until)
        told[number] = [at for at, _, _ in sorted(journal.lines)]
        lines += [(at, number, line) for at, _, line in journal.lines]
        sent[number] = ships(capture, ports, one, until)

    truth = Truth(START, END)
    for subject, kind, times, end in (
        (f"ip-10-0-12-{SILENT}", "lines", told[SILENT], max(at for at, _, _ in lines)),
        (f"10.0.12.{SILENT}", "packets", sent[SILENT], max(max(one) for one in sent.values())),
    ):
        spoke, silent = (times[-1] - times[0]) / SECOND, (end - times[-1]) / SECOND
        truth.findings[f"{NAME}:{subject}"] = {
            f"{kind} before": len(times),
            f"{kind} per second before": round(len(times) / spoke, 6),
            "seconds silent": silent,
            f"{kind} expected meanwhile": round(len(times) / spoke * silent),
            "peers": len(NODES) - 1,
            "peers that went on": len(NODES) - 1,
        }
    truth.counts = {"lines": len(lines), "packets": len(capture.frames)}
    folder = HOME / NAME
    truth.write(folder)
    write(folder / "kubelets.log", "".join(line for _, _, line in sorted(lines)).encode())
    write(folder / "collector.pcap.gz", capture.pcap())
