"""The command that prints a quoted record from the original, with tools that every engineer has.

Commands are built of file names and numbers alone, never of what evidence holds. They are run in the directory that was
given, or in that of the files that were.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from analyzer.case import Place
from analyzer.model import InputReport
from analyzer.sources.audit.shape import Kind, shape_of
from analyzer.sources.containers import compression_of
from analyzer.sources.exports import export_of
from analyzer.sources.lines import text_head

HEAD = 65_536

EXPAND = {"gz": "gzip -dc", "zst": "zstd -dc", "bz2": "bzip2 -dc", "xz": "xz -dc"}
READ_BY_TSHARK = {None, "gz"}
"""What tshark opens as it is; zst depends on how it was built."""

FRAMES_LOST = {"damaged record", "unknown interface", "captured length greater than its block"}
"""Reasons for which a record is no frame here, or none to tshark."""

SEVERAL = re.compile(r"\b(?:capture files|section|offset)\b")
"""What notes say of files that hold more than one capture."""


def command(report: InputReport, place: Place, number: int, head: bytes) -> str:
    """One line for a shell; `analyze quote` where no common tool counts records as this tool does.

    `head`: the first 64 KiB of the decompressed input. Empty where the name of the file cannot be typed.
    """
    name = report.path
    if not name.isprintable() or name == "-" or "\\" in name:
        return ""
    packed = _packed(place, name)
    if place.kind == "pcap" and _counted_as_tshark(report):
        show = f"-Y 'frame.number == {number}' -V"
        if place.member is None and packed in READ_BY_TSHARK:
            return f"tshark -r {_file(name)} {show}"
        return f"{_bytes(name, place, packed)} | tshark -r - {show}"
    if place.kind != "pcap" and _is_lines(place.kind, head):
        if place.member is None and packed is None:
            return f"sed -n '{number}{{p;q}}' {_file(name)}"
        return f"{_bytes(name, place, packed)} | sed -n '{number}{{p;q}}'"
    return f"analyze quote {_file(name)} {number}"


def _packed(place: Place, name: str) -> str | None:
    """How the bytes of the input are compressed: by its first bytes, of a member in an archive by its name."""
    if place.member is not None:
        suffix = Path(name).suffix.lower().lstrip(".")
        return suffix if suffix in EXPAND else None
    with place.path.open("rb") as file:
        return compression_of(file.read(8))


def _bytes(name: str, place: Place, packed: str | None) -> str:
    """What writes the decompressed input to standard output."""
    if place.member is None:
        return f"{EXPAND[packed]} < {_file(name)}" if packed else f"cat {_file(name)}"
    archive, _, member = name.partition("!")
    out = f"tar -xOf {_file(archive)} {_file(member)}"
    if place.member.kind == "zip":
        out = f"unzip -p {_file(archive)} {_file(_literal(member))}"
    return f"{out} | {EXPAND[packed]}" if packed else out


def _literal(member: str) -> str:
    """A name that unzip takes as it is: its own marks for patterns stand in brackets."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in member)


def _is_lines(kind: str, head: bytes) -> bool:
    """Whether a record is the physical line of its number, in a text that sed can read."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in head[:64]:
        return False
    if kind in ("audit", "events") and shape_of(head).kind is not Kind.LINES:
        return False
    return export_of(head) is None and export_of(text_head(head, exports=False)) is None


def _counted_as_tshark(report: InputReport) -> bool:
    """Not where damage was walked over, or two captures lie in one file: tshark stops there."""
    lost = FRAMES_LOST & {reason.reason for reason in report.skipped_reasons}
    return not lost and not any(SEVERAL.search(note) for note in report.notes)


def _file(name: str) -> str:
    """Quoted for a shell; never taken for an option."""
    return shlex.quote(f"./{name}" if name.startswith("-") else name)
