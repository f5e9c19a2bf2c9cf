"""What Wireshark's command line tools make of a capture."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest

from analyzer.sources.capture.dns_codes import RCODES, type_text

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
needs_capinfos = pytest.mark.skipif(shutil.which("capinfos") is None, reason="capinfos is not installed")

DnsRow = tuple[int, int, bool, str | None, str, str]


def fields(path: Path, *names: str, where: str = "", options: tuple[str, ...] = ()) -> list[list[str]] | None:
    """One list per frame; None where tshark does not end well."""
    wanted = [part for name in names for part in ("-e", name)]
    command = ["tshark", "-n", "-r", str(path), *options, "-T", "fields", *wanted]
    done = subprocess.run(
        [*command, *(("-Y", where) if where else ())], capture_output=True, text=True, timeout=120, check=False
    )
    return [line.split("\t") for line in done.stdout.splitlines()] if done.returncode == 0 else None


def dns_rows(path: Path) -> list[DnsRow]:
    """Frame, id, is answer, rcode, name, type of every DNS message that tshark sees at port 53."""
    columns = ("frame.number", "dns.id", "dns.flags.response", "dns.flags.rcode", "dns.qry.name", "dns.qry.type")
    found = fields(path, *columns, where="dns && (udp.port == 53 || tcp.port == 53) && !icmp && !icmpv6")
    assert found is not None
    rows: list[DnsRow] = []
    for frame, idents, answers, rcodes, names, kinds in found:
        codes = iter(rcodes.split(",") if rcodes else [])
        for ident, response, name, kind in zip(
            *(text.split(",") for text in (idents, answers, names, kinds)), strict=True
        ):
            told = response in ("1", "True")
            rcode = RCODES[int(next(codes))] if told else None
            name = "" if name == "<Root>" else name.lower()
            rows.append((int(frame), int(ident, 16), told, rcode, name, type_text(int(kind))))
    return rows


def our_dns_rows(frame: pl.DataFrame) -> list[DnsRow]:
    return frame.select("number", "dns_id", "response", "rcode", "name", "qtype").rows()


def packet_count(path: Path) -> int:
    """The number of packets that capinfos states."""
    done = subprocess.run(["capinfos", "-TMcr", str(path)], capture_output=True, text=True, timeout=60, check=True)
    return int(done.stdout.split()[-1])
