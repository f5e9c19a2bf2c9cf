"""Archives for tests, written by the standard library, and what is read from them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from analyzer.case import Case
from analyzer.model import InputReport
from analyzer.pipeline.options import Progress, RunOptions
from analyzer.pipeline.read import read_all
from analyzer.pipeline.sink import Sink

MODIFIED = 1_773_478_800  # 2026-03-14 09:00 UTC

Files = Iterable[tuple[str, bytes]]


def klog(count: int = 10, text: str = "SyncLoop ADD") -> bytes:
    """Lines of a kubelet log."""
    lines = (
        f'I0314 09:{number // 60:02}:{number % 60:02}.000000    1000 kubelet.go:2406] "{text}" number={number}\n'
        for number in range(count)
    )
    return "".join(lines).encode()


def regular(name: str, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    """A regular member of a tar."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime = len(data), MODIFIED
    return info, data


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    """A link, a device, a pipe or a directory."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def tar(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of these members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def tar_of(files: Files) -> bytes:
    return tar(*(regular(name, data) for name, data in files))


def zip_of(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name, (2026, 3, 14, 9, 0, 0)), data, method)
    return out.getvalue()


@dataclass(frozen=True)
class Reading:
    """What a run reads from its inputs."""

    case: Case

    @property
    def reports(self) -> dict[str, InputReport]:
        return {report.path: report for report in self.case.reports}

    @property
    def used(self) -> dict[str, int]:
        """Records used per input, without what was not read."""
        return {report.path: report.used for report in self.case.reports if report.used}

    @property
    def errors(self) -> dict[str, str]:
        return {report.path: report.error for report in self.case.reports if report.error}


def reading(*paths: Path, kind: str | None = None) -> Reading:
    return Reading(read_all(RunOptions(inputs=paths, kind=kind), Progress(), Sink(None)))


def reading_of(folder: Path, data: bytes, name: str = "b.tar") -> Reading:
    """The same for one archive with these bytes."""
    path = folder / name
    path.write_bytes(data)
    return reading(path)
