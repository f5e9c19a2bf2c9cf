"""The tools that a responder would reach for instead, as commands."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Command

FOLDER = Path(__file__).parent

# fmt: off
FIELDS = (
    "frame.time_epoch", "frame.len", "ip.src", "ip.dst", "udp.srcport", "udp.dstport", "tcp.srcport", "tcp.dstport",
    "tcp.flags", "tcp.len", "dns.id", "dns.flags.rcode", "dns.qry.name", "dns.qry.type",
)
# fmt: on
"""What tshark prints of every packet."""

AUDIT_FIELDS = "[.verb,.userAgent,.requestURI,.stage]|@tsv"

MISSING = "not installed"


class Peers:
    """Commands by name, and why some are left out."""

    def __init__(self, python: str, folder: Path) -> None:
        self._python, self._folder = python, folder
        self.left_out: dict[str, str] = {}

    def tshark(self, file: Path) -> Command | None:
        fields = tuple(f"-e{field}" for field in FIELDS)
        return self._program(
            "tshark", "tshark -T fields", lambda path: (path, "-n", "-r", str(file), "-T", "fields", *fields), slow=True
        )

    def tcpdump(self, file: Path) -> Command | None:
        return self._program("tcpdump", "tcpdump -nr", lambda path: (path, "-n", "-r", str(file)))

    def capinfos(self, file: Path, *options: str) -> Command | None:
        name = " ".join(("capinfos", *options))
        return self._program("capinfos", name, lambda path: (path, *options, str(file)))

    def packetq(self, file: Path) -> Command | None:
        query = "select qname, qtype, rcode, count(*) from dns group by qname, qtype, rcode"
        return self._program("packetq", "PacketQ", lambda path: (path, "-s", query, str(file)))

    def dnscap(self, file: Path) -> Command | None:
        target = str(self._folder / "dnscap")
        return self._program("dnscap", "dnscap, DNS only", lambda path: (path, "-r", str(file), "-w", target))

    def jq(self, file: Path) -> Command | None:
        return self._program("jq", "jq, 4 fields", lambda path: (path, "-r", AUDIT_FIELDS, str(file)))

    def one_liner(self, file: Path) -> Command | None:
        count = f"cut -d' ' -f5,8- '{file}' | grep NXDOMAIN | awk '{{print $4}}' | sort | uniq -c"
        return self._program("sh", "cut, grep, awk, sort, uniq", lambda path: (path, "-c", count))

    def expression(self, kind: str, file: Path) -> Command:
        return Command("Python re, groups kept", (self._python, str(FOLDER / "re_loop.py"), kind, str(file)))

    def expression_to_table(self, kind: str, file: Path) -> Command:
        """With our own Python, for the table is made by the same library."""
        return Command("Python re to a table", (sys.executable, str(FOLDER / "re_table.py"), kind, str(file)))

    def duckdb(self, file: Path) -> Command | None:
        if not self._can_import("duckdb"):
            return None
        return Command("DuckDB", (self._python, str(FOLDER / "duckdb_query.py"), str(file)))

    def loop(self, module: str, part: Path, empty: Path, factor: int) -> Command | None:
        """A loop over the packets with this library, on a part of the packets."""
        if not self._can_import(module):
            return None
        script = (self._python, str(FOLDER / f"{module}_loop.py"))
        return Command(f"{module} (scaled)", (*script, str(part)), (*script, str(empty)), factor, slow=True)

    def _can_import(self, module: str) -> bool:
        failed = subprocess.run((self._python, "-c", f"import {module}"), capture_output=True, check=False).returncode
        if failed:
            self.left_out[module] = f"cannot be imported by {self._python}"
        return not failed

    def _program(
        self, program: str, name: str, argv: Callable[[str], tuple[str, ...]], *, slow: bool = False
    ) -> Command | None:
        path = shutil.which(program)
        if path is None:
            self.left_out[name] = MISSING
            return None
        return Command(name, argv(path), slow=slow)
