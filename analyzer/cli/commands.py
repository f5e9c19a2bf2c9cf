"""Every command with its options; the work is done elsewhere, and imported once it is asked for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from analyzer.cli import USAGE, guarded, importing
from analyzer.cli.options import OPTIONS
from analyzer.cli.wording import say

DOC = "Read what a Kubernetes outage left behind and write one postmortem."
EPILOG = (
    "Exit codes: 0 done, 1 a finding at or above --fail-on, 2 usage, 3 no usable input,\n"
    "4 evidence was lost (with --strict), 70 internal error, 130 interrupted."
)

_INVESTIGATION = (
    *("inputs", "outputs", "format", "as_", "start", "end", "tz", "year", "only", "skip", "set", "config", "title"),
    *("fail_on", "strict", "max_memory", "jobs", "coredns_format", "scheduler", "quiet", "verbose", "color", "force"),
)
_INGEST = (
    *("inputs", "case", "as_", "tz", "year", "jobs", "coredns_format", "scheduler", "quiet", "verbose", "color"),
)


class Command(NamedTuple):
    """One command: `run` is given the values of its options by their names, and answers with an exit code."""

    doc: str
    options: Sequence[str]
    run: Callable[[dict[str, Any]], int]


def _investigation(name: str, kind: str | None, default: str, doc: str) -> Command:
    def run(given: dict[str, Any]) -> int:
        with importing():
            from analyzer.cli.investigate import Request, investigate

        return investigate(Request.of(name, kind or given["as_"], default, given))

    return Command(doc, _INVESTIGATION, run)


def _identify(given: dict[str, Any]) -> int:
    from analyzer.cli.show import identified

    return identified(tuple(given["inputs"]))


def _ingest(given: dict[str, Any]) -> int:
    with importing():
        from analyzer.cli.investigate import Request, ingested

    return ingested(Request.of("ingest", given["as_"], "-", given), given["case"])


def _detectors(given: dict[str, Any]) -> int:
    from analyzer.cli.show import explained, listed

    return explained(given["name"]) if given["name"] else listed()


def _render(given: dict[str, Any]) -> int:
    from analyzer.cli.output import rerender

    return rerender(given["result"], tuple(given["outputs"] or ()), given["format"], given["force"])


COMMANDS = {
    "postmortem": _investigation(
        "postmortem", None, "report.html", "Read everything, find failure patterns, write the postmortem page."
    ),
    "pcap": _investigation("pcap", "pcap", "-", "Read captures only (pcap, pcapng); print a summary."),
    "coredns-logs": _investigation("coredns-logs", "coredns", "-", "Read CoreDNS logs only; print a summary."),
    "apiserver-logs": _investigation(
        "apiserver-logs", "audit", "-", "Read kube-apiserver audit logs only; print a summary."
    ),
    "kubelet-logs": _investigation(
        "kubelet-logs", "kubelet", "-", "Read kubelet and other klog logs only; print a summary."
    ),
    "identify": Command(
        "Say what each input would be read as, and why; reads heads only.", ("inputs", "verbose"), _identify
    ),
    "ingest": Command("Keep the tables only, as Parquet; the folder can then be given as an INPUT.", _INGEST, _ingest),
    "detectors": Command(
        "List the detectors, or explain one: what it finds, what it needs, its settings.", ("name",), _detectors
    ),
    "render": Command(
        "Render a saved result again, without the inputs.",
        ("result", "outputs", "format", "color", "force", "verbose"),
        _render,
    ),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One sentence, in which nothing that was typed can drive a terminal."""
        say(f"error: {message}; `{self.prog} -h` tells more")
        raise SystemExit(USAGE)


def app() -> NoReturn:
    """Run the command that was asked for, and exit with its code."""
    words = sys.argv[1:]
    if words and words[0] in COMMANDS:
        command = COMMANDS[words[0]]
        given = vars(_parser(words[0], command).parse_intermixed_args(words[1:]))
        guarded(lambda: command.run(given), given.get("verbose", 0))
    _top(words)


def _parser(name: str, command: Command) -> argparse.ArgumentParser:
    made = _Parser(prog=f"analyze {name}", description=command.doc, allow_abbrev=False)
    for option in command.options:
        flags, how = OPTIONS[option]
        if flags:
            made.add_argument(*flags, dest=option, **how)
        else:
            made.add_argument(option, **how)
    return made


def _top(words: Sequence[str]) -> NoReturn:
    """What is said where no command is named."""
    made = _Parser(
        prog="analyze",
        usage="analyze [-h] [--version] COMMAND ...",
        description=f"{DOC}\n\ncommands:\n" + "\n".join(f"  {name:<16}{one.doc}" for name, one in COMMANDS.items()),
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="store_true", help="say the version and exit")
    if not words:
        made.print_help(sys.stderr)
        raise SystemExit(USAGE)
    if not words[0].startswith("-"):
        made.error(f"No such command {words[0]!r}")
    if made.parse_args(words).version:
        from importlib.metadata import version

        print(f"analyze {version('kube-postmortem')}")
    raise SystemExit(0)
