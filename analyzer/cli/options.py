"""The options that the commands share, each described once."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any


class Kind(StrEnum):
    html = "html"
    json = "json"
    text = "text"


class Threshold(StrEnum):
    never = "never"
    low = "low"
    medium = "medium"
    high = "high"
    critical = "critical"


class When(StrEnum):
    auto = "auto"
    always = "always"
    never = "never"


def _one_of(kinds: type[StrEnum]) -> dict[str, Any]:
    names = [str(kind) for kind in kinds]

    def read(text: str) -> StrEnum:
        if text not in names:
            raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(names)}")
        return kinds(text)

    return {"type": read, "metavar": "|".join(names)}


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and least <= int(text[:20]) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return read


def _option(*flags: str, help: str, **how: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    return flags, {"help": help, **how}


OPTIONS = {
    "outputs": _option("-o", "--output", metavar="PATH|-", action="append", help="Where to write; repeatable."),
    "format": _option("-f", "--format", **_one_of(Kind), help="Format; else by the suffix of -o."),
    "as_": _option("--as", metavar="KIND", help="Read every input as pcap, coredns, audit or kubelet."),
    "start": _option("--from", metavar="TIME", help="Keep what happened from here (2026-03-14T09:25:00Z)."),
    "end": _option("--to", metavar="TIME", help="Keep what happened before here."),
    "tz": _option("--tz", metavar="ZONE", default="UTC", help="Zone of times that name none. Default: UTC."),
    "year": _option("--year", metavar="YEAR", type=_whole(1970, 2200), help="Year of klog times."),
    "only": _option("--only", metavar="ID", action="append", help="Run this detector only; repeatable."),
    "skip": _option("--skip", metavar="ID", action="append", help="Leave this detector out; repeatable."),
    "set": _option("--set", metavar="ID.SETTING=VALUE", action="append", help="Change one threshold; repeatable."),
    "config": _option("-c", "--config", metavar="FILE", type=Path, help="Settings; else ./analyze.toml if there."),
    "title": _option("--title", metavar="TEXT", default="", help="Title of the report."),
    "fail_on": _option(
        *("--fail-on",), **_one_of(Threshold), default=Threshold.never, help="Exit 1 when a finding is this severe."
    ),
    "strict": _option("--strict", action="store_true", help="Exit 4 when evidence was lost."),
    "max_memory": _option(
        "--max-memory",
        metavar="SIZE",
        help="Tables that need more (512M, 8G) lie in temporary files; else a quarter of this machine's memory.",
    ),
    "jobs": _option(
        "--jobs",
        metavar="N",
        type=_whole(1, 64),
        help="Threads that decode a large capture and look for patterns. Default: cores, but at most 2.",
    ),
    "coredns_format": _option(
        "--coredns-format",
        metavar="FORMAT",
        help="Format of CoreDNS's log plugin, as its Corefile has it; with --as coredns where a log is not recognised.",
    ),
    "scheduler": _option("--scheduler", metavar="tcp://HOST:PORT", help="Let the workers of this Dask scheduler read."),
    "quiet": _option("-q", "--quiet", action="store_true", help="Errors only on stderr."),
    "verbose": _option("-v", "--verbose", action="count", default=0, help="More on stderr."),
    "color": _option("--color", **_one_of(When), default=When.auto, help="Colour on a terminal. Default: auto."),
    "force": _option("--force", action="store_true", help="Overwrite a file that this tool did not write."),
    "case": _option("--case", metavar="DIR", type=Path, required=True, help="Where to keep the tables."),
    "inputs": _option(metavar="INPUT", nargs="+", type=Path, help="Files and directories; `-` is standard input."),
    "name": _option(metavar="ID", nargs="?", help="One detector."),
    "result": _option(metavar="RESULT.json", type=Path, help="A result that -f json wrote."),
}
"""By the parameter that it fills: its flags, none for what stands without one, and what argparse is told of it."""
