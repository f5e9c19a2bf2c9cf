"""Write a result whole or not at all, to a file or to standard output."""

from __future__ import annotations

import os
import signal
import stat
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from msgspec import Struct

from analyzer.cli.options import Kind
from analyzer.cli.wording import size, tell
from analyzer.errors import InputError, OutputError, UsageError
from analyzer.model import Result

STDOUT = "-"

SUFFIXES = {
    ".html": Kind.html,
    ".htm": Kind.html,
    ".json": Kind.json,
    ".txt": Kind.text,
    ".text": Kind.text,
    ".md": Kind.md,
    ".markdown": Kind.md,
    ".sarif": Kind.sarif,
}

MARKS = (
    b'name="generator" content="kube-postmortem',
    b'"schema": "analyzer-result/1"',
    b"tool      kube-postmortem ",
    b"- Written by kube-postmortem ",
    b'"name": "kube-postmortem"',
)
"""How a file that this tool wrote begins; such a file is replaced without asking."""


class Target(Struct, frozen=True):
    """One output: `-` or a path, and its format."""

    place: str
    kind: Kind


def targets(outputs: Sequence[str], kind: Kind | None, default: str) -> tuple[Target, ...]:
    """Where to write what. Without -o a format other than html goes to standard output."""
    if not outputs:
        place = default if kind in {Kind.html, None} else STDOUT
        return (Target(place, kind or (Kind.text if place == STDOUT else Kind.html)),)
    return tuple(Target(place, kind or _by_suffix(place)) for place in outputs)


def _by_suffix(place: str) -> Kind:
    if place == STDOUT:
        return Kind.text
    suffix = Path(place).suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"-o {place}: the suffix names no format; add -f html, json, md, sarif or text")
    return SUFFIXES[suffix]


def check(wanted: Sequence[Target], inputs: Sequence[Path], force: bool) -> None:
    """Refuse an output that would destroy an input or a file of somebody else's. Nothing has been read yet."""
    for target in wanted:
        path = Path(target.place)
        mode = _mode(path)
        if target.place == STDOUT or _is_special(mode):
            continue
        if stat.S_ISDIR(mode):
            raise OutputError(f"{path} is a directory; name a file")
        if any(same_file(path, one) for one in inputs):
            raise OutputError(f"{path} is one of the inputs; choose another name")
        if mode and not _ours(path):
            if not force:
                raise OutputError(f"{path} was not written by this tool; give --force to overwrite it")
            if any(one.is_dir() and path.resolve().is_relative_to(one.resolve()) for one in inputs):
                raise OutputError(f"{path} lies in a directory of inputs; choose another name")
        check_folder(path)


def sound_format(given: str | None) -> str | None:
    """The format of --coredns-format as it was given. Raises UsageError where no line could be read by it."""
    if given is not None:
        from analyzer.sources.coredns.formats import compile_format

        compile_format(given)
    return given


def check_inputs(inputs: Sequence[Path]) -> None:
    """Refuse names that lead nowhere. Raises UsageError."""
    for path in inputs:
        try:
            if str(path) != STDOUT:
                path.stat()
        except OSError as error:
            why = (error.strerror or "cannot be found").lower()
            raise UsageError(f"{path}: {why}; name what the outage left behind") from error


def check_folder(path: Path) -> None:
    """Refuse now what could not be written after an hour of reading."""
    folder = next((one for one in path.parents if _mode(one)), path.parent)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: {folder} cannot be written to; choose another place with -o")


def _mode(path: Path) -> int:
    """The file mode; 0 where nothing can be found."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _is_special(mode: int) -> bool:
    """Whether the mode is that of a device, a pipe or a socket: written into, never replaced."""
    return bool(mode) and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def same_file(left: Path, right: Path) -> bool:
    try:
        return left.samefile(right)
    except OSError:
        return False


def _ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return False
    return not head or any(mark in head for mark in MARKS)


def rendered(result: Result, kind: Kind) -> bytes:
    """The result in one format."""
    if kind is Kind.json:
        from analyzer.model.codec import encode

        return encode(result)
    if kind is Kind.text:
        from analyzer.render.text import render_text

        return render_text(result).encode()
    if kind is Kind.md:
        from analyzer.render.markdown import render_markdown

        return render_markdown(result).encode()
    if kind is Kind.sarif:
        from analyzer.render.sarif import render_sarif

        return render_sarif(result).encode()
    from analyzer.render.html import render_html

    return render_html(result).encode()


def write(result: Result, wanted: Sequence[Target]) -> list[str]:
    """Every output; files appear whole under their name or not at all. Answers with one sentence per file."""
    told = []
    for target in sorted(wanted, key=lambda target: target.place == STDOUT):  # its reader may end this process
        data = rendered(result, target.kind)
        if target.place == STDOUT:
            to_stdout(data)
        else:
            to_file(Path(target.place), data)
            told.append(f"wrote {target.place} ({size(len(data))})")
    return told


def to_stdout(data: bytes) -> None:
    """The bytes on standard output; a reader that has seen enough ends this process without words."""
    stdout: TextIO | None = sys.stdout
    if stdout is None:
        raise OutputError("standard output is closed; name a file with -o")
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        stdout.buffer.write(data)
        stdout.buffer.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())  # else Python tries once more when it ends
        raise OutputError(f"standard output: cannot be written: {error.strerror}; name a file with -o") from error


def to_file(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write beside the target, then rename over it; into it where it is a device or a pipe."""
    try:
        if _is_special(_mode(path)):
            with path.open("wb") as file:
                file.write(data)
        else:
            _replace(path.resolve(), data, mode)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symbolic links
        why = error.strerror if isinstance(error, OSError) else "too many symbolic links"
        raise OutputError(f"{path}: cannot be written: {why}; choose another place with -o") from error


def _replace(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(mode & ~_umask())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def saved(path: Path) -> Result:
    """The result that -f json wrote. Raises UsageError where the file holds none."""
    from analyzer.model.codec import decode

    try:
        return decode(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; give a file that -f json wrote") from error
    except InputError as error:
        raise UsageError(f"{path}: {error}") from error


def rerender(path: Path, outputs: Sequence[str], kind: Kind | None, force: bool) -> int:
    """`analyze render`: a saved result in another format."""
    result = saved(path)
    wanted = targets(outputs, kind, "report.html")
    check(wanted, [path], force)
    for line in write(result, wanted):
        tell(line)
    return 0
