"""Commands for a shell that take names from evidence: a name is a name, never an option and never a command.

Every command of a finding that holds a file or a name is composed here (a test walks over all detectors). A file
goes in by redirection or with `./` before it, a pattern after `--` (POSIX, Utility Syntax Guidelines 10), and both are
quoted.
"""

from __future__ import annotations

import re
import shlex
from pathlib import PurePosixPath

_EXPAND = {".zst": "zstd -dc", ".bz2": "bzip2 -dc", ".xz": "xz -dc"}
"""What zcat does not open, by the suffix of a file."""

_ZIP = ".zip"
NO_NAME = "INPUT"
"""Stands for a file whose name cannot be typed."""


def piped(source: str) -> str:
    """The start of a shell pipe that prints an input, compressed or not, also out of an archive."""
    archive, mark, member = source.partition("!")
    if not source.isprintable():
        return f"zcat -f < {NO_NAME}"
    if not mark:
        return _expanded(source)
    expand = _EXPAND.get(PurePosixPath(member).suffix, "zcat -f")
    if PurePosixPath(archive).suffix == _ZIP:
        pattern = re.sub(r"([*?\[])", r"[\1]", member)
        pattern = f"[-]{pattern[1:]}" if pattern.startswith("-") else pattern
        return f"unzip -p {file_name(archive)} {shlex.quote(pattern)} | {expand}"
    return f"tar -xOf {file_name(archive)} -- {shlex.quote(member)} | {expand}"


def _expanded(source: str) -> str:
    return f"{_EXPAND.get(PurePosixPath(source).suffix, 'zcat -f')} < {shlex.quote(source)}"


def file_name(source: str) -> str:
    """A file as an operand: never an option, and by tar never a file on another machine (`host:file`)."""
    return shlex.quote(f"./{source}" if source.startswith("-") or ":" in source.partition("/")[0] else source)


def grep(pattern: str, flags: str = "F") -> str:
    """`grep` for a pattern that may be anything; a line that holds it cannot be told where it cannot be typed."""
    return f"grep -{flags} -- {shlex.quote(pattern if pattern.isprintable() else '')}"


def grepped(source: str, pattern: str, flags: str = "F") -> str:
    """The lines of an input that hold the pattern, by `grep`."""
    return f"{piped(source)} | {grep(pattern, flags)}"


def tshark(source: str, flags: str = "") -> str:
    """`tshark` on a capture, which it opens itself unless it lies in an archive or is compressed otherwise."""
    words = f"tshark {flags} -r" if flags else "tshark -r"
    if not source.isprintable():
        return f"{words} {NO_NAME}"
    if "!" in source or PurePosixPath(source).suffix in _EXPAND:
        return f"{piped(source)} | {words} -"
    return f"{words} {file_name(source)}"
