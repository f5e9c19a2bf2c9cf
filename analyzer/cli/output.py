"""Write a result whole or not at all, to a file or to standard output."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analyzer.cli.options import Kind
from analyzer.cli.wording import size, tell
from analyzer.errors import InputError, OutputError, UsageError
from analyzer.model import Result

STDOUT = "-"

SUFFIXES = {".html": Kind.html, ".htm": Kind.html, ".json": Kind.json, ".txt": Kind.text, ".text": Kind.text}

MARKS = (b'name="generator" content="kube-postmortem', b'"schema": "analyzer-result/1"', b"tool      kube-postmortem ")
"""How a file that this tool wrote begins; such a file is replaced without asking."""


@dataclass(frozen=True, slots=True)
class Target:
    """One output: `-` or a path, and its format."""

    place: str
    kind: Kind


def targets(outputs: Sequence[str], kind: Kind | None, default: str) -> tuple[Target, ...]:
    """Where to write what. Without -o a format other than html goes to standard output."""
    if not outputs:
        place = STDOUT if kind in {Kind.json, Kind.text} else default
        return (Target(place, kind or (Kind.text if place == STDOUT else Kind.html)),)
    return tuple(Target(place, kind or _by_suffix(place)) for place in outputs)


def _by_suffix(place: str) -> Kind:
    if place == STDOUT:
        return Kind.text
    suffix = Path(place).suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"-o {place}: the suffix names no format; add -f html, json or text")
    return SUFFIXES[suffix]


def check(wanted: Sequence[Target], inputs: Sequence[Path], force: bool) -> None:
    """Refuse an output that would destroy an input or a file of somebody else's. Nothing has been read yet."""
    for target in wanted:
        path = Path(target.place)
        if target.place == STDOUT or not path.exists():
            continue
        if path.is_dir():
            raise OutputError(f"{path} is a directory; name a file")
        if any(same_file(path, one) for one in inputs):
            raise OutputError(f"{path} is one of the inputs; choose another name")
        if not force and not _ours(path):
            raise OutputError(f"{path} was not written by this tool; give --force to overwrite it")


def same_file(left: Path, right: Path) -> bool:
    try:
        return left.samefile(right)
    except OSError:
        return False


def _ours(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4096)
    return not head or any(mark in head for mark in MARKS)


def rendered(result: Result, kind: Kind) -> bytes:
    """The result in one format."""
    if kind is Kind.json:
        from analyzer.model.codec import encode

        return encode(result)
    if kind is Kind.text:
        from analyzer.render.text import render_text

        return render_text(result).encode()
    from analyzer.render.html import render_html

    return render_html(result).encode()


def write(result: Result, wanted: Sequence[Target], quiet: bool) -> None:
    """Every output; files appear whole under their name or not at all."""
    for target in wanted:
        data = rendered(result, target.kind)
        if target.place == STDOUT:
            to_stdout(data)
        else:
            to_file(Path(target.place), data)
            if not quiet:
                tell(f"wrote {target.place} ({size(len(data))})")


def to_stdout(data: bytes) -> None:
    """The bytes on standard output; a reader that has seen enough ends this process without words."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def to_file(path: Path, data: bytes) -> None:
    """Write beside the target, then rename over it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}; choose another place with -o") from error
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}; choose another place with -o") from error
    finally:
        part.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def rerender(path: Path, outputs: Sequence[str], kind: Kind | None, force: bool) -> int:
    """`analyze render`: a saved result in another format."""
    from analyzer.model.codec import decode

    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; give a file that -f json wrote") from error
    try:
        result = decode(data)
    except InputError as error:
        raise UsageError(f"{path}: {error}") from error
    wanted = targets(outputs, kind, "report.html")
    check(wanted, [path], force)
    write(result, wanted, quiet=False)
    return 0
