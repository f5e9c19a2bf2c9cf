"""Run every workload against its peers and print one table."""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.generate import write_all

FIELDS = ["frame.time_epoch", "ip.src", "ip.dst", "udp.srcport", "tcp.srcport", "dns.id", "dns.flags.response"]
FIELDS += ["dns.flags.rcode", "dns.qry.name", "dns.qry.type"]

RE_COREDNS = r"""
import re, sys
line = re.compile(
    rb'^(\S+) \S+ \S+ \[INFO\] (\S+):(\d+) - (\d+) '
    rb'"(\S+) IN (\S+) (\S+) (\d+) \S+ \d+" (\S+) (\S+) (\d+) (\S+)s$')
rows = [m.groups() for m in map(line.match, open(sys.argv[1], 'rb')) if m]
print(len(rows))
"""

RE_KLOG = r"""
import re, sys
line = re.compile(rb'^([IWEF])(\d{4} [\d:.]+)\s+(\d+) ([^\]]+)\] (.*)$')
rows = [m.groups() for m in map(line.match, open(sys.argv[1], 'rb')) if m]
print(len(rows))
"""


@dataclass(frozen=True, slots=True)
class Cost:
    wall: float
    cpu: float
    peak_mib: float


def measure(command: list[str]) -> Cost:
    """One run of one process, by the operating system's own accounting."""
    begin = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{command[0]} failed with {child.returncode}")
    return Cost(time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def compare(name: str, ours: list[str], peer_name: str, peer: list[str], runs: int) -> str:
    """One row of the table: a warm-up, then the two in turn."""
    measure(ours)
    pairs = [(measure(ours), measure(peer)) for _ in range(runs)]
    wall = statistics.median(p.wall / o.wall for o, p in pairs)
    cpu = statistics.median(p.cpu / o.cpu for o, p in pairs)
    mine = [statistics.median(getattr(o, key) for o, _ in pairs) for key in ("wall", "cpu", "peak_mib")]
    other = [statistics.median(getattr(p, key) for _, p in pairs) for key in ("wall", "cpu", "peak_mib")]
    cells = [f"{a:.2f} / {b:.2f}" for a, b in zip(mine[:2], other[:2], strict=True)]
    return (
        f"| {name} | {peer_name} | {cells[0]} | {cells[1]} | {mine[2]:.0f} / {other[2]:.0f} | {wall:.1f} | {cpu:.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("build/bench"))
    wanted = parser.parse_args()
    files = write_all(wanted.folder, wanted.scale)
    case, page = wanted.folder / "case", wanted.folder / "page.html"

    def ingest(name: str) -> list[str]:
        return [_analyze(), "ingest", str(files[name]), "--case", str(case), "--quiet"]

    tshark = ["tshark", "-n", "-r", str(files["capture"]), "-T", "fields", *(f"-e{field}" for field in FIELDS)]
    count = f"cut -d' ' -f5,8- {files['coredns']} | grep NXDOMAIN | awk '{{print $4}}' | sort | uniq -c"
    whole = [_analyze(), "postmortem", *map(str, files.values()), "-o", str(page), "--quiet"]
    python = sys.executable
    rows = [
        ("capture", ingest("capture"), "tshark -T fields", tshark),
        ("CoreDNS log", ingest("coredns"), "Python re", [python, "-c", RE_COREDNS, str(files["coredns"])]),
        ("CoreDNS log", ingest("coredns"), "grep, awk, sort, uniq", ["sh", "-c", count]),
        (
            "audit log",
            ingest("audit"),
            "jq",
            ["jq", "-r", "[.verb,.userAgent,.requestURI,.stage]|@tsv", str(files["audit"])],
        ),
        ("klog", ingest("klog"), "Python re", [python, "-c", RE_KLOG, str(files["klog"])]),
        ("postmortem, all inputs", whole, "tshark -T fields, capture only", tshark),
    ]
    pairs = "wall s, ours / peer | CPU s, ours / peer | peak MiB, ours / peer"
    print(f"| workload | peer | {pairs} | wall ratio | CPU ratio |")
    print("|---|---|---|---|---|---|---|")
    for name, ours, peer_name, peer in rows:
        if shutil.which(peer[0]) is None:
            print(f"{name}: {peer[0]} is not installed", file=sys.stderr)
            continue
        print(compare(name, ours, peer_name, peer, wanted.runs), flush=True)


def _analyze() -> str:
    beside = Path(sys.executable).parent / "analyze"
    return str(beside) if beside.exists() else "analyze"


if __name__ == "__main__":
    main()
