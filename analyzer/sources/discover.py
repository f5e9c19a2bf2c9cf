"""From what the user named to the list of inputs: every regular file, in an order and with ids that never change."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from analyzer.sources.contract import Item

STDIN = Path("-")
"""Names standard input, as an argument and as the path of its item."""

Refusal = tuple[str, str]

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def discover(
    paths: Sequence[Path], left_out: Callable[[Path], str | None] = lambda _: None
) -> tuple[list[Item], list[Refusal]]:
    """All inputs below these paths, sorted by id, and an (id, sentence) for each thing that is not read.

    A file is named by its name, a file in a directory by its path below that directory. Where two arguments give the
    same id, the argument's own name goes before it; where that is the same too, as much of its path as tells them
    apart. In directories, hidden files and symbolic links are passed over, and so is a directory inside for which
    `left_out` gives a reason (an empty one is not told). Nothing is opened.
    """
    arguments = sorted({Path(os.path.normpath(path)) for path in paths})
    found: list[tuple[Path, str, Path]] = []
    refused: list[Refusal] = []
    walk = _Walk(left_out, refused)
    for argument in arguments:
        if argument == STDIN:
            found.append((argument, "stdin", STDIN))
        elif (why := _unusable(argument, argument.is_dir())) is not None:
            refused.append((argument.name or str(argument), why))
        elif argument.is_dir():
            inside = [(argument, _relative(file, argument), file) for file in walk.files(argument, argument)]
            if not inside:
                refused.append((argument.name or str(argument), "the directory holds no file that could be read"))
            found.extend(inside)
        else:
            found.append((argument, argument.name, argument))
    items = [Item(id=_text(name), path=path) for name, path in _named(found)]
    return sorted(items, key=lambda item: item.id), sorted({(_text(name), why) for name, why in refused})


def _named(found: list[tuple[Path, str, Path]]) -> Iterator[tuple[str, Path]]:
    """Ids that differ: the shortest that do, taking in more of the argument's path from its end."""
    seen: set[tuple[int, int]] = set()
    unique = []
    for argument, name, path in found:
        if path != STDIN:
            try:
                status = path.stat()
            except OSError:  # gone, or not ours to see: opening it will say so
                unique.append((argument, name, path))
                continue
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
        unique.append((argument, name, path))
    names = [name for _, name, _ in unique]
    depth = 0
    while len(clash := {name for name, count in Counter(names).items() if count > 1}) > 0:
        depth += 1
        longer = [
            _prefixed(argument, name, depth) if given in clash else given
            for given, (argument, name, _) in zip(names, unique, strict=True)
        ]
        if longer == names:
            break
        names = longer
    return zip(names, (path for _, _, path in unique), strict=True)


def _prefixed(argument: Path, name: str, depth: int) -> str:
    parts = argument.absolute().parts
    parts = parts[:-1] if argument.name == name else parts
    return "/".join([*(part for part in parts[-depth:] if part != "/"), name])


class _Walk:
    """Every file below a directory; what is not read is added to `refused`."""

    def __init__(self, left_out: Callable[[Path], str | None], refused: list[Refusal]) -> None:
        self._left_out = left_out
        self._refused = refused

    def files(self, directory: Path, root: Path) -> Iterator[Path]:
        try:
            entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
        except OSError as error:
            self._refused.append((_relative(directory, root), f"cannot be listed: {error.strerror}"))
            return
        for entry in entries:
            path = directory / entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                if (why := self._left_out(path)) is None:
                    yield from self.files(path, root)
            elif entry.is_file(follow_symlinks=False):
                yield path
                continue
            elif entry.is_symlink():
                why = "a symbolic link inside a directory is not followed: name its target"
            else:
                why = _unusable(path, False)
            if why:
                self._refused.append((_relative(path, root), why))


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _text(name: str) -> str:
    """The name with bytes that are not UTF-8 written as `\\xff`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _unusable(path: Path, is_directory: bool) -> str | None:
    """Why this path cannot be an input; None if it can."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"cannot be opened: {error.strerror}"
    if is_directory or stat.S_ISREG(mode):
        return None
    kind = next((kind for test, kind in _KINDS if test(mode)), "no regular file")
    return f"is {kind}, not a file: save what comes out of it to a file first"
