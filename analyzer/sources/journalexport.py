"""`journalctl -o export` (systemd, Journal Export Format), made one JSON line per entry.

A field is `NAME=value`, or where the value holds line breaks or other control characters its name alone on a line, 64
bits of length in little-endian, that many bytes, and a line break. Entries begin with `__CURSOR=` and end with an empty
line.
"""

from __future__ import annotations

import io
import re

import polars as pl

from analyzer.sources.contract import Ledger

FIELD_LIMIT = 64 << 20
"""Bytes of one field, as of one line elsewhere. journald itself keeps entries below 768 MiB."""

FIELDS = (
    *("MESSAGE", "__REALTIME_TIMESTAMP", "_HOSTNAME", "SYSLOG_IDENTIFIER", "_COMM", "_SYSTEMD_UNIT"),
    "_SOURCE_REALTIME_TIMESTAMP",
)
"""Fields that are kept."""

_START = b"__CURSOR="
_BINARY = re.compile(rb"^([A-Z_][A-Z0-9_]{0,63})\n", re.MULTILINE)
_BREAK = b"\x00"
"""Stands for a line break inside a value; a value's own NULs become spaces."""


class JournalExport:
    """An Export. Memory is one chunk and one entry."""

    name = "journalctl -o export"

    def __init__(self) -> None:
        self._held = b""
        self._broken = 0

    def feed(self, chunk: bytes) -> bytes:
        plain, rest = self._without_binary(self._held + chunk)
        # an entry goes on until the next one begins
        cut = plain.rfind(b"\n" + _START) + 1
        self._held = plain[cut:] + rest
        return _lines(plain[:cut])

    def end(self, ledger: Ledger) -> bytes:
        plain, rest = self._without_binary(self._held, ends=True)
        if rest or not plain.endswith(b"\n"):
            ledger.note("the journal's export ends early: its last entry may be cut")
        if self._broken:
            ledger.note(f"{self._broken} fields of the journal's export have no valid length and were left out")
        return _lines(plain)

    def guess(self) -> bytes:
        plain, _ = self._without_binary(self._held)
        return _lines(plain)

    def _without_binary(self, data: bytes, *, ends: bool = False) -> tuple[bytes, bytes]:
        """The data with every binary field made `NAME=value`, and what begins with a field that is not whole."""
        parts: list[bytes] = []
        at = 0
        while found := _BINARY.search(data, at):
            start = found.end()
            size = int.from_bytes(data[start : start + 8], "little")
            end = start + 8 + size
            if not ends and (len(data) < start + 8 or (len(data) <= end and size <= FIELD_LIMIT)):
                return b"".join([*parts, data[at : found.start()]]), data[found.start() :]
            if size > FIELD_LIMIT or data[end : end + 1] != b"\n":
                self._broken += 1
                parts.append(data[at : found.start()])
                at = start
                continue
            value = data[start + 8 : end].replace(b"\0", b" ").replace(b"\n", _BREAK)
            parts += [data[at : found.start()], found[1], b"=", value]
            at = end
        parts.append(data[at:])
        plain = b"".join(parts)
        # the last line may be the start of such a field
        cut = len(plain) if ends else plain.rfind(b"\n") + 1
        return plain[:cut], plain[cut:]


def _lines(plain: bytes) -> bytes:
    """Whole entries as JSON lines."""
    if not plain:
        return b""
    text = plain.decode("utf-8", "replace")
    lines = pl.Series("line", [text]).str.split("\n").explode()
    entry = lines.str.starts_with(_START.decode()).cast(pl.Int64).cum_sum()
    cut = lines.str.splitn("=", 2).struct.unnest()
    fields = pl.DataFrame({"entry": entry, "name": cut["field_0"], "value": cut["field_1"]})
    entries = fields.filter(pl.col("entry") > 0).select(pl.col("entry").unique().sort())
    kept = fields.filter(pl.col("name").is_in(FIELDS), pl.col("value").is_not_null())
    kept = kept.with_columns(pl.col("value").str.replace_all(_BREAK.decode(), "\n", literal=True))
    found = kept.unique(["entry", "name"], keep="first", maintain_order=True)
    rows = entries
    for name in FIELDS:
        part = found.filter(pl.col("name") == name).select("entry", pl.col("value").alias(name))
        rows = rows.join(part, on="entry", how="left", maintain_order="left")
    buffer = io.BytesIO()
    rows.drop("entry").write_ndjson(buffer)
    return buffer.getvalue()
