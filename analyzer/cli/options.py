"""The options that the commands share, each described once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Kind(StrEnum):
    html = "html"
    json = "json"
    md = "md"
    sarif = "sarif"
    text = "text"


class Threshold(StrEnum):
    never = "never"
    low = "low"
    medium = "medium"
    high = "high"
    critical = "critical"


class Shell(StrEnum):
    bash = "bash"
    zsh = "zsh"
    fish = "fish"


class When(StrEnum):
    auto = "auto"
    always = "always"
    never = "never"


Inputs = Annotated[list[Path], typer.Argument(metavar="INPUT", help="Files and directories; `-` is standard input.")]
Output = Annotated[
    list[str] | None,
    typer.Option("-o", "--output", metavar="PATH|-", help="Where to write; repeatable."),
]
Format = Annotated[Kind | None, typer.Option("-f", "--format", help="Format; else by the suffix of -o.")]
Title = Annotated[str, typer.Option("--title", help="Title of the report.")]
Label = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="NAME=VALUE", help="Shown in the head of the report (team=payments); repeatable."),
]
GithubSummary = Annotated[
    bool, typer.Option("--github-summary", help="Append the Markdown to the job summary of GitHub Actions.")
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite a file that this tool did not write.")]
Color = Annotated[When, typer.Option("--color", help="Colour on a terminal.")]
As = Annotated[
    str | None,
    typer.Option("--as", metavar="KIND", help="Read every input as pcap, coredns, audit or kubelet."),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="ID", help="Run this detector only; repeatable."),
]
Skip = Annotated[
    list[str] | None,
    typer.Option("--skip", metavar="ID", help="Leave this detector out; repeatable."),
]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="TIME", help="Keep what happened from here (2026-03-14T09:25:00Z)."),
]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Keep what happened before here.")]
Tz = Annotated[str, typer.Option("--tz", metavar="ZONE", help="Zone of times that name none.")]
ApplyOffsets = Annotated[
    bool, typer.Option("--apply-offsets", help="Shift inputs whose clocks the report finds wrong, so that they agree.")
]
Year = Annotated[int | None, typer.Option("--year", min=1970, max=2200, help="Year of klog times.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="ID.SETTING=VALUE", help="Change one threshold (analyze detectors ID lists them); repeatable."
    ),
]
Config = Annotated[
    Path | None,
    typer.Option("-c", "--config", metavar="FILE", help="Settings; else ./analyze.toml if there."),
]
Baseline = Annotated[
    Path | None,
    typer.Option("--baseline", metavar="RESULT.json|DIR", help="Say what is new, worse, better or gone since then."),
]
Redact = Annotated[
    bool, typer.Option("--redact", help="Hide names and addresses; a private map beside the report undoes it.")
]
MapFile = Annotated[
    Path | None,
    typer.Option("--map", metavar="MAP", help="The private map of --redact; one that is there is used again."),
]
EvidenceDir = Annotated[
    Path | None,
    typer.Option(
        "--evidence-dir",
        metavar="DIR",
        help="Write the quoted packets and lines of each finding there, without credentials.",
    ),
]
FailOn = Annotated[Threshold, typer.Option("--fail-on", help="Exit 1 when a finding is this severe.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 4 when evidence was lost.")]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        "--max-memory",
        metavar="SIZE",
        help="Tables that need more (512M, 8G) lie in temporary files; else a quarter of this machine's memory.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        min=1,
        max=64,
        metavar="N",
        help="Processes that read several large inputs, threads that decode one. Default: cores, at most 8 and 2.",
    ),
]
CorednsFormat = Annotated[
    str | None,
    typer.Option(
        "--coredns-format",
        metavar="FORMAT",
        help="Format of CoreDNS's log plugin, as its Corefile has it; a log in it is recognised.",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option("--scheduler", metavar="tcp://HOST:PORT", help="Let the workers of this Dask scheduler read."),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Errors only on stderr.")]
Verbose = Annotated[int, typer.Option("-v", "--verbose", count=True, help="More on stderr.")]
