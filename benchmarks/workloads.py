"""The inputs, written when they are first asked for; the same bytes for the same scale.

`python -m benchmarks.workloads NAME FOLDER SCALE` writes one.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from random import Random

import zstandard

from benchmarks import logs
from benchmarks.incident import incident
from benchmarks.traffic import MANY_NAMES, packets
from benchmarks.wrappings import COOKED2, cooked, pcap, pcapng, vxlan

Pieces = Iterator[bytes]

HOURS = 5
"""Times that the large capture repeats the traffic, an hour later and on other ports each time."""
HEAD = 10
"""The slow peers read one packet of so many: the first ones."""


@dataclass(frozen=True, slots=True)
class Workload:
    """`count` is the number of packets or lines at scale 1; `write` gives the bytes for a number of them."""

    name: str
    suffix: str
    count: int
    about: str
    write: Callable[[int], Pieces]
    scales: bool = True

    def size(self, scale: float) -> int:
        return max(round(self.count * scale), 1) if self.scales else self.count

    def path(self, folder: Path, scale: float) -> Path:
        return folder / f"{self.name}-{self.size(scale)}{self.suffix}"


def make(name: str, folder: Path, scale: float) -> Path:
    """The file of this workload, written first if it is not there yet."""
    workload = WORKLOADS[name]
    path = workload.path(folder, scale)
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            file.writelines(workload.write(workload.size(scale)))
        part.rename(path)
    return path


def _gzip(pieces: Iterable[bytes]) -> Pieces:
    squeeze = zlib.compressobj(6, zlib.DEFLATED, 31)
    for piece in pieces:
        yield squeeze.compress(piece)
    yield squeeze.flush()


def _zstd(pieces: Iterable[bytes]) -> Pieces:
    squeeze = zstandard.ZstdCompressor(level=3).compressobj()
    for piece in pieces:
        yield squeeze.compress(piece)
    yield squeeze.flush()


def _hours(count: int) -> Pieces:
    return pcap(chain.from_iterable(packets(count // HOURS, hour=hour) for hour in range(HOURS)))


def _log(lines: Callable[[int, Random], Pieces]) -> Callable[[int], Pieces]:
    return lambda count: lines(count, Random(7))


_MANY, _ALL = 2_000_000, "60 % DNS with search domains, 35 % TCP, 5 % other; 10 % VLAN"

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("capture", ".pcap", _MANY, f"Ethernet, {_ALL}; 9 thousand names", lambda n: pcap(packets(n))),
        Workload("head", ".pcap", _MANY // HEAD, "the first tenth of it", lambda n: pcap(islice(packets(n * HEAD), n))),
        Workload("cooked", ".pcap", _MANY, "as Linux cooked v2", lambda n: pcap(packets(n), cooked, COOKED2)),
        Workload("vxlan", ".pcap", _MANY, "inside VXLAN", lambda n: pcap(packets(n), vxlan)),
        Workload("pcapng", ".pcapng", _MANY, "as pcapng", lambda n: pcapng(packets(n))),
        Workload("gz", ".pcap.gz", _MANY, "gzip, level 6", lambda n: _gzip(pcap(packets(n)))),
        Workload("zst", ".pcap.zst", _MANY, "zstd, level 3", lambda n: _zstd(pcap(packets(n)))),
        Workload("names", ".pcap", _MANY, "with 231 thousand names", lambda n: pcap(packets(n, MANY_NAMES))),
        Workload("large", ".pcap", _MANY * HOURS, "five hours of it", _hours),
        Workload("tiny", ".pcap", 100, "100 packets", lambda n: pcap(packets(n)), scales=False),
        Workload("empty", ".pcap", 0, "no packet", lambda n: pcap(packets(n)), scales=False),
        Workload("coredns", ".log", 1_000_000, "CRI lines of CoreDNS", _log(logs.coredns)),
        Workload("coredns-gz", ".log.gz", 1_000_000, "the same, gzip, level 6", lambda n: _gzip(_log(logs.coredns)(n))),
        Workload("coredns-zst", ".log.zst", 1_000_000, "the same, zstd", lambda n: _zstd(_log(logs.coredns)(n))),
        Workload("coredns-large", ".log", 5_000_000, "five times as many", _log(logs.coredns)),
        Workload("audit", ".log", 400_000, "audit events, level Metadata", _log(logs.audit)),
        Workload("audit-gz", ".log.gz", 400_000, "the same, gzip, level 6", lambda n: _gzip(_log(logs.audit)(n))),
        Workload("audit-large", ".log", 2_000_000, "five times as many", _log(logs.audit)),
        Workload("incident", ".log", 1_000_000, "audit events of a bad hour, some with bodies", _log(incident)),
        Workload("klog", ".log", 2_000_000, "lines of a kubelet", _log(logs.klog)),
    )
}


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
