"""`--redact` and `analyze unredact`: where the private map lies, and how it is written.

What hides names is imported only where names are hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from analyzer.cli.options import Kind
from analyzer.cli.output import STDOUT, Target, check, check_folder, to_file, to_stdout
from analyzer.cli.wording import tell
from analyzer.errors import InputError, UsageError

if TYPE_CHECKING:
    from analyzer.redact import Map

PRIVATE = 0o600


class NamesFile(Struct):
    """The map of this run and where it goes; neither without --redact."""

    map: Map | None = None
    path: Path | None = None

    def write(self) -> list[str]:
        """Write the map for its owner alone; say so."""
        if self.map is None or self.path is None:
            return []
        from analyzer.redact import write_map

        to_file(self.path, write_map(self.map), mode=PRIVATE)
        return [f"wrote {self.path} (private: it undoes the redaction)"]


def names_for(redact: bool, given: Path | None, wanted: Sequence[Target]) -> NamesFile:
    """The map to hide names by. Raises UsageError where there is no place for it, or the one given is none."""
    if not redact:
        if given is not None:
            raise UsageError("--map has a meaning with --redact only")
        return NamesFile()
    files = [target.place for target in wanted if target.place != STDOUT]
    path = given or (Path(f"{files[0]}.names.json") if files else None)
    if path is None or str(path) == STDOUT:
        raise UsageError("--redact: say with --map where the private map shall be kept")
    if path.resolve() in {Path(file).resolve() for file in files}:
        raise UsageError(f"--map {path} is the report itself; choose another name")
    check_folder(path)
    from analyzer.redact import new_map

    return NamesFile(_read(path) if path.exists() else new_map(), path)


def _read(path: Path) -> Map:
    from analyzer.redact import read_map

    try:
        return read_map(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; give the map that --redact wrote") from error
    except InputError as error:
        raise UsageError(f"{path}: {error}") from error


def named_again(file: Path, map_: Path, output: str, force: bool) -> int:
    """`analyze unredact`: the file with its names, in whatever form it is."""
    from analyzer.redact import shown_again

    kept = _read(map_)
    try:
        text = file.read_bytes().decode()
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}; give a report that --redact wrote") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not a report of this tool: not UTF-8 at byte {error.start}") from error
    data = shown_again(text, kept).encode()
    if output == STDOUT:
        to_stdout(data)
        return 0
    check([Target(output, Kind.text)], [file, map_], force)
    to_file(Path(output), data, mode=PRIVATE)
    tell(f"wrote {output}")
    return 0
