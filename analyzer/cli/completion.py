"""`analyze completion SHELL`: a static script, so that pressing Tab starts no Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer
from msgspec import Struct

from analyzer import detectors
from analyzer.cli.options import Kind, Shell, Threshold, When
from analyzer.cli.output import to_stdout

VALUES: dict[str, tuple[str, ...]] = {
    "--format": tuple(Kind),
    "--fail-on": tuple(Threshold),
    "--color": tuple(When),
    "--as": ("pcap", "coredns", "audit", "kubelet"),
}
"""What options take that take no file and no free text; `--only` and `--skip` take ids of detectors."""


class Option(Struct, frozen=True):
    """An option by its names; `values` are all that it takes, empty where it takes files or anything."""

    names: tuple[str, ...]
    help: str
    takes_value: bool
    values: tuple[str, ...]


class Command(Struct, frozen=True):
    """A command; `words` are all that its argument takes, empty where these are files."""

    name: str
    help: str
    options: tuple[Option, ...]
    words: tuple[str, ...]


def printed(shell: Shell, app: typer.Typer) -> int:
    """The script of that shell on standard output."""
    to_stdout(script(shell, app).encode())
    return 0


def script(shell: Shell, app: typer.Typer) -> str:
    """The script of that shell, from the commands of the app as they are."""
    return {Shell.bash: _bash, Shell.zsh: _zsh, Shell.fish: _fish}[shell](commands(app))


def commands(app: typer.Typer) -> tuple[Command, ...]:
    """Every command with its options, in the order of the help."""
    ids = tuple(detector.id for detector in detectors.load())
    tree: Mapping[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return tuple(_command(name, one, ids) for name, one in tree.items())


def _command(name: str, one: Any, ids: tuple[str, ...]) -> Command:
    values = VALUES | {"--only": ids, "--skip": ids}
    options = [
        Option(
            names=tuple(param.opts),
            help=(param.help or "").split(".")[0],
            takes_value=not (param.is_flag or param.count),
            values=next((values[name] for name in param.opts if name in values), ()),
        )
        for param in one.params
        if param.param_type_name == "option"
    ]
    options.append(Option(("-h", "--help"), "Show the help", False, ()))
    words = ids if name == "detectors" else tuple(Shell) if name == "completion" else ()
    return Command(name, one.get_short_help_str(80), tuple(options), tuple(str(word) for word in words))


def _bash(known: tuple[Command, ...]) -> str:
    lines = [
        "# bash completion of analyze; source it, or keep it in a folder of bash-completion",
        "_analyze() {",
        '    local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" words=""',
        '    case "${COMP_WORDS[1]}/$prev" in',
    ]
    for command in known:
        for option in command.options:
            if option.takes_value:
                names = "|".join(f"{command.name}/{name}" for name in option.names)
                found = f'words="{" ".join(option.values)}"' if option.values else "return"
                lines.append(f"        {names}) {found};;")
    lines += ["    esac", '    if [ -z "$words" ]; then', '        case "$COMP_CWORD/${COMP_WORDS[1]}" in']
    lines.append(f'            1/*) words="{" ".join(command.name for command in known)} --version --help";;')
    for command in known:
        options = " ".join(name for option in command.options for name in option.names)
        lines.append(f'            */{command.name}) words="{" ".join((*command.words, options))}";;')
    lines += [
        "        esac",
        '        case "$cur" in -*) ;; *) [ "$COMP_CWORD" -gt 1 ] && words=" $words" && words="${words%% -*}";; esac',
        "    fi",
        '    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")',
        "}",
        "complete -o default -F _analyze analyze",
    ]
    return "\n".join(lines) + "\n"


def _zsh(known: tuple[Command, ...]) -> str:
    lines = ["#compdef analyze", "local -a commands=("]
    lines += [f"    {_quoted(f'{command.name}:{command.help}')}" for command in known]
    lines += [
        ")",
        "if (( CURRENT == 2 )); then",
        "    _describe command commands",
        "    return",
        "fi",
        "shift words",
        "(( CURRENT-- ))",
    ]
    lines.append('case "$words[1]" in')
    for command in known:
        lines.append(f"    {command.name})")
        lines.append("        _arguments \\")
        for option in command.options:
            value = (
                f":value:({' '.join(option.values)})"
                if option.values
                else ":value:_files"
                if option.takes_value
                else ""
            )
            lines += [f"            {_quoted(f'{name}[{_plain(option.help)}]{value}')} \\" for name in option.names]
        rest = f"*:word:({' '.join(command.words)})" if command.words else "*:input:_files"
        lines += [f"            {_quoted(rest)}", "        ;;"]
    return "\n".join([*lines, "esac"]) + "\n"


def _fish(known: tuple[Command, ...]) -> str:
    lines = ["# fish completion of analyze"]
    names = " ".join(command.name for command in known)
    outside = f"not __fish_seen_subcommand_from {names}"
    for command in known:
        lines.append(f"complete -c analyze -f -n {_quoted(outside)} -a {command.name} -d {_quoted(command.help)}")
        inside = _quoted(f"__fish_seen_subcommand_from {command.name}")
        for option in command.options:
            flags = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
            value = (
                f" -x -a {_quoted(' '.join(option.values))}" if option.values else " -r" if option.takes_value else ""
            )
            lines.append(f"complete -c analyze -n {inside} {flags}{value} -d {_quoted(option.help)}")
        if command.words:
            lines.append(f"complete -c analyze -f -n {inside} -a {_quoted(' '.join(command.words))}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _plain(text: str) -> str:
    """Without the marks of a specification of zsh's _arguments."""
    return text.translate(str.maketrans("[]:", "()-"))
