"""Zip, by its directory, or header by header where a cut took the directory off (PKWARE APPNOTE 6.3.10).

Members are inflated here, so that a wrong checksum costs no data and a lie about a size no memory.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from msgspec import Struct

from analyzer.errors import InputError
from analyzer.sources import entries
from analyzer.sources.bytesource import STEP, ByteSource, lost
from analyzer.sources.containers import BOMB, bounded, is_bomb
from analyzer.sources.contract import Ledger, Member
from analyzer.sources.entries import DIRECTORY, Entry
from analyzer.sources.files import ReadAt, Slice

_LOCAL, _CENTRAL, _END, _END64, _LOCATOR = b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\6", b"PK\6\7"
_CENTRAL_FIELDS = struct.Struct("<4sBBBBHHHHLLLHHHHHLL")
_LOCAL_FIELDS = struct.Struct("<4sHHHHHLLLHH")
_END_FIELDS = struct.Struct("<4sHHHHLLH")
_COMMENT_MOST = 65_535
_STORED, _DEFLATED = 0, 8
_METHODS = {9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstd", 95: "xz", 98: "PPMd"}
_ENCRYPTED, _SIZES_BEHIND, _UTF8 = 1, 8, 1 << 11
_IN_ZIP64 = 0xFFFFFFFF

_TYPES = {
    stat.S_IFLNK: "a symbolic link, not followed",
    stat.S_IFIFO: "a named pipe, not opened",
    stat.S_IFSOCK: "a socket, not opened",
    stat.S_IFCHR: "a device, not opened",
    stat.S_IFBLK: "a device, not opened",
}


class _Directory(Struct, frozen=True):
    start: int
    size: int
    count: int
    shift: int
    """Bytes that stand before the archive, as in one that unpacks itself."""


def is_zip(head: bytes) -> bool:
    return head.startswith((_LOCAL, _END))


def zip_entries(read_at: ReadAt, size: int, ledger: Ledger, spend: Callable[[int], None]) -> Iterator[Entry]:
    """Everything that the archive names, in its order; what is damaged or missing is a note."""
    directory = _directory(read_at, size)
    if directory is None:
        ledger.note("the directory at the end of the zip archive is missing or damaged: it was read header by header")
        yield from _by_headers(read_at, size, ledger, spend)
        return
    source = ByteSource(Slice(read_at, directory.start, directory.size).read)
    found = 0
    while len(fixed := source.take(_CENTRAL_FIELDS.size)) == _CENTRAL_FIELDS.size and fixed.startswith(_CENTRAL):
        found += 1
        if found > entries.MEMBERS_LIMIT:
            ledger.note(entries.too_many(directory.start + source.taken))
            return
        yield _central(read_at, size, directory, fixed, source)
    if found & 0xFFFF != directory.count & 0xFFFF:
        ledger.note(f"the directory of the zip archive claims {directory.count} members and holds {found}")


def unpacked(read_at: ReadAt, member: Member, ledger: Ledger, spend: Callable[[int], None]) -> Iterator[bytes]:
    """The bytes of one member; what does not fit its header is a note."""
    source = ByteSource(Slice(read_at, member.start, member.stored).read)
    chunks = bounded(_inflated(source, ledger), source) if member.method == _DEFLATED else iter(source.some, b"")
    given = check = 0
    for chunk in chunks:
        spend(len(chunk))
        given, check = given + len(chunk), zlib.crc32(chunk, check)
        yield chunk
    if given != member.size or member.missing:
        ledger.note(f"the zip archive claims {member.size + member.missing} bytes for this member, there are {given}")
    elif member.check is not None and check != member.check:
        ledger.note("zip checksum mismatch: what was read from this member is unproven")


def _inflated(source: ByteSource, ledger: Ledger) -> Iterator[bytes]:
    inflate, given = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while not inflate.eof:
        data = inflate.unconsumed_tail or source.some()
        try:
            chunk = inflate.decompress(data, STEP)
        except zlib.error:
            lost(ledger, given, f"the compressed member is damaged before its byte {source.taken}")
            return
        if not data and not chunk:
            lost(ledger, given, "the compressed member ends early")
            return
        given += len(chunk)
        if chunk:
            yield chunk
    source.give_back(inflate.unused_data)


def _directory(read_at: ReadAt, size: int) -> _Directory | None:
    """Where the directory lies, by the record at the end of the archive; None where there is none."""
    tail_at = max(0, size - _END_FIELDS.size - _COMMENT_MOST)
    tail = b"".join(_steps(read_at, tail_at, size))
    at = len(tail)
    while (at := tail.rfind(_END, 0, at + 3)) >= 0:
        if len(tail) - at >= _END_FIELDS.size:
            *_, count, length, start, comment = _END_FIELDS.unpack_from(tail, at)
            if at + _END_FIELDS.size + comment <= len(tail):
                break
    else:
        return None
    end = tail_at + at
    if _IN_ZIP64 in (length, start) or count == 0xFFFF:
        locator = read_at(end - 20, 20) if end >= 20 else b""
        if locator.startswith(_LOCATOR):
            record_at = int.from_bytes(locator[8:16], "little")
            record = read_at(record_at, 56)
            if len(record) < 56 or not record.startswith(_END64):
                return None
            count, length, start = struct.unpack_from("<QQQ", record, 32)
            end = record_at
    shift = end - length - start
    return _Directory(start + shift, length, count, shift) if shift >= 0 else None


def _steps(read_at: ReadAt, start: int, end: int) -> Iterator[bytes]:
    while start < end and (chunk := read_at(start, end - start)):
        start += len(chunk)
        yield chunk


def _central(read_at: ReadAt, size: int, directory: _Directory, fixed: bytes, source: ByteSource) -> Entry:
    _, _, _, _, _, flags, method, time, date, check, stored, full, *rest = _CENTRAL_FIELDS.unpack(fixed)
    name_length, extra_length, comment_length, _, _, attributes, offset = rest
    name, extra = source.take(name_length), source.take(extra_length)
    source.take(comment_length)
    full, stored, offset = _wide(extra, [full, stored, offset])
    offset += directory.shift
    local = read_at(offset, _LOCAL_FIELDS.size)
    start = why = None
    if len(local) == _LOCAL_FIELDS.size and local.startswith(_LOCAL):
        start = offset + _LOCAL_FIELDS.size + sum(_LOCAL_FIELDS.unpack(local)[-2:])
    else:
        why = "not where the directory of the archive says: the archive is damaged"
    text = _text(name, flags)
    kind = stat.S_IFMT(attributes >> 16)
    if text.endswith("/") or kind == stat.S_IFDIR:
        why = DIRECTORY
    else:
        why = _TYPES.get(kind) or why or _unreadable(flags, method, stored, full)
    there = max(0, min(stored, size - (start or 0)))
    return Entry(
        name=text,
        why=why,
        member=Member(
            kind="zip",
            start=start or 0,
            stored=there,
            size=full if method != _STORED else min(full, there),
            missing=full - min(full, there) if method == _STORED else 0,
            method=method,
            check=check,
            modified=_moment(date, time),
        ),
    )


def _by_headers(read_at: ReadAt, size: int, ledger: Ledger, spend: Callable[[int], None]) -> Iterator[Entry]:
    """The members by the headers before their data, as far as each tells where the next one is."""
    at = count = 0
    while len(fixed := read_at(at, _LOCAL_FIELDS.size)) == _LOCAL_FIELDS.size and fixed.startswith(_LOCAL):
        count += 1
        if count > entries.MEMBERS_LIMIT:
            ledger.note(entries.too_many(at))
            return
        _, _, flags, method, time, date, check, stored, full, name_length, extra_length = _LOCAL_FIELDS.unpack(fixed)
        tail = read_at(at + len(fixed), name_length + extra_length)
        full, stored = _wide(tail[name_length:], [full, stored])
        start = at + len(fixed) + name_length + extra_length
        why = _unreadable(flags, method, stored, full)
        behind = bool(flags & _SIZES_BEHIND) and not stored
        if behind and (why or method != _DEFLATED):
            ledger.note(f"what lies behind byte {start} of the zip archive was not read: no header says where it ends")
            return
        if behind:
            stored, full = _measured(read_at, start, size, spend)
        there = max(0, min(stored, size - start))
        text = _text(tail[:name_length], flags)
        member = Member(
            kind="zip", start=start, stored=there, size=full if method != _STORED else min(full, there),
            missing=full - min(full, there) if method == _STORED else 0, method=method,
            check=None if behind else check, modified=_moment(date, time),
        )  # fmt: skip
        yield Entry(name=text, why=DIRECTORY if text.endswith("/") else why, member=member)
        at = _after(read_at, start + stored) if behind else start + stored
    if at > size:
        ledger.note(f"the zip archive ends {at - size} bytes too early, inside its last member")


def _measured(read_at: ReadAt, start: int, size: int, spend: Callable[[int], None]) -> tuple[int, int]:
    """How many bytes a member takes and gives whose header does not say it."""
    source, given = ByteSource(Slice(read_at, start, size - start).read), 0
    try:
        for chunk in bounded(_inflated(source, Ledger()), source):
            spend(len(chunk))
            given += len(chunk)
    except InputError:
        if is_bomb(given + STEP, source.taken):
            raise
    return source.taken, given


def _after(read_at: ReadAt, at: int) -> int:
    """Where the next header begins behind the sizes that follow a member's data."""
    near = read_at(at, 32)
    return at + max(0, near.find(_LOCAL), near.find(_CENTRAL))


def _unreadable(flags: int, method: int, stored: int, full: int) -> str:
    if flags & _ENCRYPTED:
        return "encrypted: unpack the archive with its password and name the directory"
    if method not in (_STORED, _DEFLATED):
        return f"compressed with {_METHODS.get(method, f'method {method}')}, which is not read in a zip archive"
    return BOMB if method == _DEFLATED and is_bomb(full, stored) else ""


def _wide(extra: bytes, fields: list[int]) -> list[int]:
    """The fields with those that stand in the zip64 extra field put in their place."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            words = [int.from_bytes(extra[p : p + 8], "little") for p in range(at + 4, at + 4 + length - 7, 8)]
            return [words.pop(0) if field == _IN_ZIP64 and words else field for field in fields]
        at += 4 + length
    return fields


def _text(name: bytes, flags: int) -> str:
    """UTF-8 where the name is that, flagged or not; else the code page of the first zip."""
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("utf-8", "backslashreplace") if flags & _UTF8 else name.decode("cp437")


def _moment(date: int, time: int) -> float | None:
    """The DOS time, which has no zone, as if it were UTC."""
    try:
        return datetime(
            1980 + (date >> 9), date >> 5 & 15, date & 31, time >> 11, time >> 5 & 63, (time & 31) * 2, tzinfo=UTC
        ).timestamp()
    except ValueError:
        return None
