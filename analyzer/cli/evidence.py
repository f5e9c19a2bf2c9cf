"""`--evidence-dir`: a folder that appears whole or not at all, and replaces nothing that is somebody else's."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from analyzer.cli.output import STDOUT, Target, check_folder, umask
from analyzer.cli.wording import plural, size
from analyzer.errors import OutputError
from analyzer.pipeline.slices import INDEX, OURS, Slices, is_slices


def check_evidence(folder: Path, inputs: Sequence[Path], outputs: Iterable[Path], force: bool) -> None:
    """Refuse a folder that holds inputs, outputs, or files of somebody else's. Nothing has been read yet."""
    real = folder.resolve()
    if str(folder) == STDOUT:
        raise OutputError("--evidence-dir -: slices are files; name a folder")
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder for --evidence-dir")
    for path in inputs:
        if str(path) != STDOUT and path.resolve().is_relative_to(real):
            raise OutputError(f"{path} is an input and lies in {folder}; choose another folder for --evidence-dir")
    for path in outputs:
        if path.resolve().is_relative_to(real):
            raise OutputError(f"{path} would lie in {folder}, which is replaced; choose another place for it")
    if folder.exists() and _ours(folder):
        if Path.cwd().is_relative_to(real):
            raise OutputError(f"{folder} is where this runs, and would be replaced; name a folder inside it")
    elif folder.exists():
        if not force:
            raise OutputError(
                f"{folder} holds what this tool did not write; name a new folder, or give --force to write among it"
            )
        if any(path.is_dir() and real.is_relative_to(path.resolve()) for path in inputs):
            raise OutputError(f"{folder} lies in a directory of inputs; choose another folder for --evidence-dir")
    check_folder(real)


def _ours(folder: Path) -> bool:
    """Whether it can be replaced: it is empty, or was written by this tool and nothing was added."""
    try:
        names = sorted(path.name for path in folder.iterdir())
        strangers = [name for name in names if not re.fullmatch(OURS, name) or not (folder / name).is_file()]
    except OSError as error:
        raise OutputError(f"{folder}: cannot be listed: {error.strerror}; choose another folder") from error
    return not names or (is_slices(folder) and not strangers)


def write_evidence(folder: Path | None, slices: Slices | None) -> list[str]:
    """Write the folder beside its place, then put it there; say so."""
    if folder is None or slices is None:
        return []
    real = folder.resolve()
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{real.name[:40]}.", suffix=".part", dir=real.parent))
        try:
            for name, data in slices.files.items():
                _write(new / name, data)
            new.chmod(0o777 & ~umask())
            _put(new, real)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}; choose another folder") from error
    total = sum(len(data) for data in slices.files.values())
    left = [f"left out of {folder}: {plural(n, 'record')}: {why}" for why, n in slices.left_out().items()]
    return [f"wrote {folder} ({plural(len(slices.files), 'file')}, {size(total)})", *left]


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _put(new: Path, real: Path) -> None:
    """One rename where the folder can be replaced; among somebody else's files each of ours by its own."""
    if not real.exists():
        new.rename(real)
    elif not _ours(real):
        for name in sorted((path.name for path in new.iterdir()), key=lambda name: (name == INDEX, name)):
            (new / name).replace(real / name)
    else:
        old = Path(tempfile.mkdtemp(prefix=f".{real.name[:40]}.", suffix=".old", dir=real.parent))
        try:
            before = old / "replaced"
            real.rename(before)
            try:
                new.rename(real)
            except OSError:
                before.rename(real)
                raise
        finally:
            shutil.rmtree(old, ignore_errors=True)


def links(target: Target, folder: Path | None, slices: Slices | None) -> Mapping[str, tuple[tuple[str, str], ...]]:
    """For each finding the names of its slices, and where they are as seen from an output; empty without any."""
    if folder is None or slices is None:
        return {}
    start = Path.cwd() if target.place == STDOUT else Path(target.place).resolve().parent
    way = Path(os.path.relpath(folder.resolve(), start)).as_posix()
    # Also a colon: before the first slash it would name a scheme.
    href = quote(os.fsencode(way), safe="/")
    return {at: tuple((name, f"{href}/{name}") for name in names) for at, names in slices.names().items()}
