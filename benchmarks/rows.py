"""What is measured against what, and what we want to see."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.measure import Command, Pair
from benchmarks.peers import Peers
from benchmarks.workloads import HEAD

Quantity = Literal["cpu", "wall", "peak_mib"]

ANALYZE = (sys.executable, "-c", "from analyzer.cli import main; main()")


@dataclass(frozen=True, slots=True)
class AtLeast:
    """So many times cheaper than the other; `times` is 0 where no goal is set."""

    times: float
    quantity: Quantity = "cpu"

    def value(self, pair: Pair) -> float:
        return float(getattr(pair.other, self.quantity) / getattr(pair.ours, self.quantity))

    def met(self, value: float) -> bool:
        return value >= self.times


@dataclass(frozen=True, slots=True)
class AtMost:
    """At most so many times what the other costs; `times` is 0 where no goal is set."""

    times: float
    quantity: Quantity = "cpu"

    def value(self, pair: Pair) -> float:
        return float(getattr(pair.ours, self.quantity) / getattr(pair.other, self.quantity))

    def met(self, value: float) -> bool:
        return value <= self.times


@dataclass(frozen=True, slots=True)
class Within:
    """At most so much memory, whatever the other takes."""

    mib: float

    def value(self, pair: Pair) -> float:
        return pair.ours.peak_mib

    def met(self, value: float) -> bool:
        return value <= self.mib


Goal = AtLeast | AtMost | Within

TSHARK, SCAPY, DPKT = AtLeast(30, "wall"), AtLeast(300, "wall"), AtLeast(15, "wall")
"""A capture into tables, whole process; what counts is how long one waits, and the CPU stands beside it."""
PCAPNG = AtMost(1.5)
POSTMORTEM = AtLeast(12, "wall")
"""From the capture to the page; what counts is how long one waits."""
MEMORY, FLAT = Within(300), AtMost(1.10, "peak_mib")
HELP, TINY = AtMost(1.3), AtMost(3.0)
CORES = AtLeast(1.6, "wall")
"""On ten million packets: of two million a sixth of the time is the start, which no second core shortens."""
RE_COREDNS, RE_KLOG, SHELL = AtLeast(3), AtLeast(2), AtLeast(1)
JQ, DUCKDB = AtLeast(4), AtMost(1.5)
FAMILY = AtMost(3.0)
"""Reading is part of it, so facts and detectors cost twice the reading at most."""
FASTER, SOONER, COST = AtLeast(0), AtLeast(0, "wall"), AtMost(0)
"""Measured to be known, without a goal."""


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    ours: Command
    other: Command
    goal: Goal


@dataclass(frozen=True, slots=True)
class Setting:
    """Where the inputs are, by name; they are written when a row first asks for them."""

    file: Callable[[str], Path]
    folder: Path
    peers: Peers


def capture(setting: Setting) -> Iterator[Row]:
    """A capture into tables, against whatever else reads captures."""
    file, peers = setting.file("capture"), setting.peers
    part, empty = setting.file("head"), setting.file("empty")
    others = [
        (peers.tshark(file), TSHARK),
        (peers.loop("scapy", part, empty, HEAD), SCAPY),
        (peers.loop("dpkt", part, empty, HEAD), DPKT),
        (peers.tcpdump(file), FASTER),
        (peers.packetq(file), FASTER),
        (peers.capinfos(file), FASTER),
        (peers.dnscap(file), FASTER),
        (peers.capinfos(file, "-cT"), FASTER),
    ]
    for other, goal in others:
        if other is not None:
            yield Row("pcap to tables", _drain(file), other, goal)


def formats(setting: Setting) -> Iterator[Row]:
    """The same packets in other wrappings, against the plain capture."""
    plain = _drain(setting.file("capture"), "plain pcap")
    names = {"cooked": "Linux cooked v2", "vxlan": "VXLAN", "pcapng": "pcapng", "gz": ".gz", "zst": ".zst"}
    names["names"] = "231 thousand names"
    for name, words in names.items():
        yield Row(f"{words} to tables", _drain(setting.file(name)), plain, PCAPNG if name == "pcapng" else COST)


def postmortem(setting: Setting) -> Iterator[Row]:
    """The whole way from the capture to the page, against printing fields."""
    file = setting.file("capture")
    if (other := setting.peers.tshark(file)) is not None:
        yield Row("pcap to page", _postmortem(setting, file), other, POSTMORTEM)


def memory(setting: Setting) -> Iterator[Row]:
    """The most memory that reading takes, and whether it grows with the file."""
    plain, large = _drain(setting.file("capture"), "plain pcap"), _drain(setting.file("large"), slow=True)
    yield Row("memory, 2 M packets", plain, plain, MEMORY)
    yield Row("memory, 10 M packets", large, plain, MEMORY)
    yield Row("memory, 10 M against 2 M packets", large, plain, FLAT)


def start(setting: Setting) -> Iterator[Row]:
    """What is paid before the first packet, against the imports that cannot be avoided."""
    helped = Command("analyze --help", (*ANALYZE, "--help"))
    yield Row("analyze --help", helped, _import("typer"), HELP)
    yield Row("100 packets to page", _postmortem(setting, setting.file("tiny")), _import("polars"), TINY)


def cores(setting: Setting) -> Iterator[Row]:
    """Two cores against one: threads for one capture, processes for several inputs. On one core the same command runs
    that may use no other: a thread that hashes would else have the second for itself."""
    file = setting.file("capture")
    for name, packets, goal in (("capture", "2 M", SOONER), ("large", "10 M", CORES)):
        two = _drain(setting.file(name), "", slow=name == "large")
        yield Row(f"{packets} packets to tables, two cores", two, _alone(two), goal)
    inputs = [str(setting.file(name)) for name in ("coredns", "klog", "audit", "gz")]
    folder = Command("", (sys.executable, "-m", "benchmarks.folder", *inputs))
    yield Row("three logs and a .pcap.gz to tables, two cores", folder, _alone(folder), SOONER)
    two = _postmortem(setting, file)
    yield Row("pcap to page, two cores", two, _alone(two), SOONER)


def _alone(command: Command) -> Command:
    """The same on one core."""
    return Command("one core", ("taskset", "--cpu-list", "0", *command.argv), slow=command.slow)


def logs(setting: Setting) -> Iterator[Row]:
    """Logs into tables."""
    file, peers = setting.file, setting.peers
    coredns, klog, audit = file("coredns"), file("klog"), file("audit")
    yield Row("1 M CoreDNS lines to tables", _drain(coredns), peers.expression("coredns", coredns), FASTER)
    for name, lines in (("coredns", "1 M"), ("coredns-large", "5 M")):
        log, words = file(name), f"{lines} CoreDNS lines to tables"
        yield Row(words, _drain(log), peers.expression_to_table("coredns", log), RE_COREDNS)
        if (other := peers.one_liner(log)) is not None:
            yield Row(words, _drain(log), other, SHELL)
    yield Row("klog to tables", _drain(klog), peers.expression_to_table("klog", klog), RE_KLOG)
    yield Row("klog to tables", _drain(klog), peers.expression("klog", klog), FASTER)
    if (other := peers.jq(audit)) is not None:
        yield Row("audit log to tables", _drain(audit), other, JQ)
    if (other := peers.duckdb(audit)) is not None:
        yield Row("audit log to tables", _drain(audit), other, DUCKDB)
    for name, plain in (("coredns-gz", coredns), ("coredns-zst", coredns), ("audit-gz", audit)):
        yield Row(f"{name} to tables", _drain(file(name)), _drain(plain, "plain"), COST)
    for name, plain in (("coredns-large", coredns), ("audit-large", audit)):
        yield Row(f"memory, {name}", _drain(file(name)), _drain(plain, "a fifth of it"), MEMORY)
        yield Row(f"memory, {name} against a fifth", _drain(file(name)), _drain(plain, "a fifth of it"), FLAT)


def families(setting: Setting) -> Iterator[Row]:
    """Reading a million audit events and judging them by the families of API server and workloads, against reading."""
    file = setting.file("incident")
    judged = Command("read and judged", (sys.executable, "-m", "benchmarks.judge", str(file)))
    yield Row("API server family over 1 M events", judged, _drain(file, "reading them"), FAMILY)


GROUPS: dict[str, Callable[[Setting], Iterator[Row]]] = {
    group.__name__: group for group in (capture, postmortem, formats, memory, start, cores, logs, families)
}


def _drain(file: Path, name: str = "", *options: str, slow: bool = False) -> Command:
    return Command(name or file.name, (sys.executable, "-m", "benchmarks.drain", *options, str(file)), slow=slow)


def _postmortem(setting: Setting, file: Path, *options: str) -> Command:
    page = setting.folder / "page.html"
    argv = (*ANALYZE, "postmortem", str(file), "-o", str(page), "--force", "--quiet", *options)
    return Command("analyze postmortem", argv)


def _import(module: str) -> Command:
    return Command(f"import {module}", (sys.executable, "-c", f"import {module}"))
