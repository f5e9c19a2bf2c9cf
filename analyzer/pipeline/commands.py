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
from analyzer.sources.containers import compression_of
from analyzer.sources.contract import Member
from analyzer.sources.discover import STDIN

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

    `head`: the first 64 KiB of the decompressed input. Empty where the name of the file cannot be typed, and for
    standard input, which nobody has any more.
    """
    name = report.path
    if place.path == STDIN or not name.isprintable() or "\\" in name:
        return ""
    packed = _packed(place, name)
    if place.member is not None and not _found_by_name(name, place.member):
        return f"analyze quote {_file(name)} {number}"
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
    member = place.member.name
    archive = _file(name.removesuffix(f"!{_stripped(member)}"))
    if place.member.kind == "zip":
        return f"unzip -p {archive} {shlex.quote(_literal(member))}{_expanded(packed)}"
    return f"tar -xOf {archive} -- {shlex.quote(member)}{_expanded(packed)}"


def _expanded(packed: str | None) -> str:
    return f" | {EXPAND[packed]}" if packed else ""


def _found_by_name(name: str, member: Member) -> bool:
    """Whether a tool finds this one member, and no other, by the name that the archive has for it.

    Not where two have one name, where a tool would take the name for a pattern or another place (bsdtar knows
    patterns too), and not where a zip's name hangs on its code page.
    """
    written = member.name
    if not written or not name.endswith(f"!{_stripped(written)}") or not written.isprintable():
        return False
    if member.kind == "zip":
        return written.isascii() and not re.search(r"[*?\[]", name.removesuffix(f"!{_stripped(written)}"))
    return not (written.startswith("/") or ".." in written.split("/") or re.search(r"[*?\[]", written))


def _stripped(written: str) -> str:
    """A member's name as ids have it: without `./` in front."""
    while written.startswith("./"):
        written = written[2:].lstrip("/")
    return written


def _literal(member: str) -> str:
    """A name that unzip takes as it is: its own marks for patterns, and of options, stand in brackets."""
    head = "[-]" if member.startswith("-") else member[:1] and _bracketed(member[0])
    return head + "".join(map(_bracketed, member[1:]))


def _bracketed(char: str) -> str:
    return f"[{char}]" if char in "*?[" else char


def _is_lines(kind: str, head: bytes) -> bool:
    """Whether a record is the physical line of its number, in a text that sed can read."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in head[:64]:
        return False
    from analyzer.sources.audit.shape import Kind, shape_of  # what reads logs is not imported for a capture
    from analyzer.sources.exports import export_of
    from analyzer.sources.lines import text_head

    if kind in ("audit", "events") and shape_of(head).kind is not Kind.LINES:
        return False
    return export_of(head) is None and export_of(text_head(head, exports=False)) is None


def _counted_as_tshark(report: InputReport) -> bool:
    """Not where damage was walked over, or two captures lie in one file: tshark stops there."""
    lost = FRAMES_LOST & {reason.reason for reason in report.skipped_reasons}
    return not lost and not any(SEVERAL.search(note) for note in report.notes)


def _file(name: str) -> str:
    """Quoted for a shell; never taken for an option, and by tar never for a file on another machine (`host:file`)."""
    return shlex.quote(f"./{name}" if name.startswith("-") or ":" in name.partition("/")[0] else name)
