"""Every command with its options; the work is done elsewhere.

Annotations are values here, not text: typer would compile each of them again whenever the command starts.
"""

from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Annotated

import typer

from analyzer.cli import guarded, importing, settle
from analyzer.cli import options as o
from analyzer.cli.examples import EXAMPLES

app = typer.Typer(
    name="analyze",
    help="Read what a Kubernetes outage left behind and write one postmortem.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: no frames in a log, and a third of the start-up time
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done, 1 a finding at or above --fail-on, 2 usage, 3 no usable input, "
    "4 evidence was lost (with --strict), 70 internal error, 130 interrupted.",
)


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"analyze {version('kube-postmortem')}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options before the command."""


def _investigation(name: str, kind: str | None, default: str, doc: str) -> None:
    def command(
        inputs: o.Inputs,
        outputs: o.Output = None,
        format: o.Format = None,
        as_: o.As = None,
        start: o.From = None,
        end: o.To = None,
        tz: o.Tz = "UTC",
        year: o.Year = None,
        apply_offsets: o.ApplyOffsets = False,
        only: o.Only = None,
        skip: o.Skip = None,
        set: o.Set = None,
        config: o.Config = None,
        title: o.Title = "",
        label: o.Label = None,
        baseline: o.Baseline = None,
        redact: o.Redact = False,
        map: o.MapFile = None,
        evidence_dir: o.EvidenceDir = None,
        github_summary: o.GithubSummary = False,
        fail_on: o.FailOn = o.Threshold.never,
        strict: o.Strict = False,
        max_memory: o.MaxMemory = None,
        jobs: o.Jobs = None,
        coredns_format: o.CorednsFormat = None,
        scheduler: o.Scheduler = None,
        quiet: o.Quiet = False,
        verbose: o.Verbose = 0,
        color: o.Color = o.When.auto,
        force: o.Force = False,
    ) -> None:
        given = dict(locals())

        def work() -> int:
            settle([*inputs, *([baseline] if baseline else [])])
            with importing():
                from analyzer.cli.investigate import Request, investigate

            return investigate(Request.of(name, kind or as_, default, given))

        guarded(work, verbose)

    command.__doc__ = doc
    app.command(name, epilog=EXAMPLES[name])(command)


READS = """

Inputs may be compressed (gz, zst, bz2, xz), archives (tar, zip), rotated, damaged, wrapped by what collected them. What
could not be read is counted, and told on stderr and in the report. The document alone goes to standard output.
"""

_investigation(
    "postmortem",
    None,
    "report.html",
    f"Read everything, write the postmortem page. Finds failure patterns on the way.{READS}",
)
_investigation("pcap", "pcap", "-", f"Read captures only (pcap, pcapng); print a summary.{READS}")
_investigation("coredns-logs", "coredns", "-", f"Read CoreDNS logs only; print a summary.{READS}")
_investigation("apiserver-logs", "audit", "-", f"Read kube-apiserver audit logs only; print a summary.{READS}")
_investigation("kubelet-logs", "kubelet", "-", f"Read kubelet and other klog logs only; print a summary.{READS}")


@app.command(epilog=EXAMPLES["identify"])
def identify(inputs: o.Inputs, coredns_format: o.CorednsFormat = None, verbose: o.Verbose = 0) -> None:
    """Say what each input is taken for. Reads heads only, and tells why."""

    def work() -> int:
        from analyzer.cli.show import identified

        return identified(tuple(inputs), coredns_format)

    guarded(work, verbose)


@app.command(epilog=EXAMPLES["quote"])
def quote(
    name: Annotated[str, typer.Argument(metavar="INPUT", help="A file; a member of an archive as ARCHIVE!MEMBER.")],
    numbers: Annotated[list[int], typer.Argument(metavar="NUMBER", min=1, help="Frames or lines, from 1.")],
    verbose: o.Verbose = 0,
) -> None:
    """Print single records of an input. As reports quote them, without credentials."""

    def work() -> int:
        from analyzer.cli.show import quoted

        return quoted(name, numbers)

    guarded(work, verbose)


@app.command(epilog=EXAMPLES["ingest"])
def ingest(
    inputs: o.Inputs,
    case: Annotated[Path, typer.Option("--case", metavar="DIR", help="Where to keep the tables.")],
    as_: o.As = None,
    tz: o.Tz = "UTC",
    year: o.Year = None,
    jobs: o.Jobs = None,
    coredns_format: o.CorednsFormat = None,
    scheduler: o.Scheduler = None,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
    color: o.Color = o.When.auto,
) -> None:
    """Keep the tables only, as Parquet. The folder can then be given as an INPUT."""
    given = dict(locals())

    def work() -> int:
        with importing():
            from analyzer.cli.investigate import Request, ingested

        return ingested(Request.of("ingest", as_, "-", given), case)

    guarded(work, verbose)


@app.command(epilog=EXAMPLES["detectors"])
def detectors(name: Annotated[str | None, typer.Argument(metavar="[ID]", help="One detector.")] = None) -> None:
    """List the detectors, or explain one. What it finds, what it needs, its settings."""

    def work() -> int:
        from analyzer.cli.show import explained, listed

        return explained(name) if name else listed()

    guarded(work)


@app.command(epilog=EXAMPLES["render"])
def render(
    result: Annotated[Path, typer.Argument(metavar="RESULT.json", help="A result that -f json wrote.")],
    output: o.Output = None,
    format_: o.Format = None,
    color: o.Color = o.When.auto,
    force: o.Force = False,
    verbose: o.Verbose = 0,
) -> None:
    """Render a saved result again, without the inputs."""

    def work() -> int:
        from analyzer.cli.output import rerender

        return rerender(result, tuple(output or ()), format_, force)

    guarded(work, verbose)


@app.command(epilog=EXAMPLES["unredact"])
def unredact(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A report that --redact wrote, in any format.")],
    map: Annotated[Path, typer.Option("--map", metavar="MAP", help="The private map that was written beside it.")],
    output: Annotated[str, typer.Option("-o", "--output", metavar="PATH|-", help="Where to write.")] = "-",
    force: o.Force = False,
    verbose: o.Verbose = 0,
) -> None:
    """Put the names back into a report that --redact wrote."""

    def work() -> int:
        from analyzer.cli.redaction import named_again

        return named_again(file, map, output, force)

    guarded(work, verbose)


@app.command(epilog=EXAMPLES["completion"])
def completion(shell: Annotated[o.Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")]) -> None:
    """Print a completion script for a shell. It needs no Python when Tab is pressed."""

    def work() -> int:
        from analyzer.cli.completion import printed

        return printed(shell, app)

    guarded(work)


def asked_for(words: Sequence[str]) -> typer.Typer:
    """The program with the one command that these words begin with, else with all of them: typer makes the options of
    every command that it has, two hundred, before it runs one."""
    one = copy(app)
    one.registered_commands = [command for command in app.registered_commands if _name(command) in words[:1]]
    return one if one.registered_commands else app


def _name(command: typer.models.CommandInfo) -> str:
    return str(command.name or getattr(command.callback, "__name__", ""))
