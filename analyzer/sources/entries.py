"""What the walkers of tar and zip give: one entry for each thing that an archive names."""

from __future__ import annotations

from msgspec import Struct

from analyzer.sources.contract import Member

MEMBERS_LIMIT = 50_000
"""Headers read of one archive. A must-gather of a large cluster holds some ten thousand files."""

DIRECTORY = "a directory"
"""Of an entry that is named only because others lie in it."""


class Entry(Struct, frozen=True, kw_only=True):
    """`why` is empty for a regular file, else it says what cannot be read here."""

    name: str
    why: str = ""
    member: Member


def too_many(where: int) -> str:
    """The sentence on an archive that names more than MEMBERS_LIMIT things."""
    return f"more than {MEMBERS_LIMIT:,} headers, the limit: what lies behind byte {where} was not read"


def as_text(name: bytes) -> str:
    """A name as text; bytes that are not UTF-8 are written as `\\xff`."""
    return name.decode("utf-8", "backslashreplace")
