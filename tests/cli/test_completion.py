"""Completion scripts: what Tab offers in a shell, without starting Python."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from analyzer import detectors
from analyzer.cli.commands import app
from analyzer.cli.completion import commands, script
from analyzer.cli.options import Shell


def offered(line: str) -> set[str]:
    """What bash offers at the end of that line."""
    words = line.split(" ")
    asked = f"""{script(Shell.bash, app)}
        COMP_WORDS=({" ".join(f"'{word}'" for word in words)}); COMP_CWORD={len(words) - 1}
        _analyze; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", asked], capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"}
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("analyze post", {"postmortem"}),
        ("analyze re", {"render"}),
        ("analyze postmortem --fail", {"--fail-on"}),
        ("analyze postmortem --fail-on h", {"high"}),
        ("analyze postmortem x.pcap -f ", {"html", "json", "md", "sarif", "text"}),
        ("analyze pcap --only dns-search", {"dns-search-chain"}),
        ("analyze detectors dns-search", {"dns-search-chain"}),
        ("analyze completion ", {"bash", "zsh", "fish"}),
        ("analyze postmortem ", set()),
        ("analyze postmortem -o ", set()),
    ],
)
def test_bash_offers_commands_options_and_values_and_else_files(line: str, words: set[str]) -> None:
    assert offered(line) == words


def test_every_command_and_detector_is_known() -> None:
    assert {command.name for command in commands(app)} >= {"postmortem", "unredact", "completion"}
    assert offered("analyze postmortem --only ") == {detector.id for detector in detectors.load()}


@pytest.mark.parametrize("shell", [Shell.zsh, Shell.fish])
def test_the_other_shells_can_read_theirs(shell: Shell) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not on this machine")
    subprocess.run([shell, "-n"], input=script(shell, app), text=True, check=True)


@pytest.mark.parametrize("shell", list(Shell))
def test_every_option_is_in_every_script(shell: Shell) -> None:
    text = script(shell, app)
    for command in commands(app):
        for option in command.options:
            for name in option.names:
                assert (f"-l {name[2:]}" if shell is Shell.fish and name.startswith("--") else name.lstrip("-")) in text
