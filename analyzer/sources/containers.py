"""Compressed inputs, by their first bytes. Members and frames are walked here, not by a library's reader.

The readers of the standard library and of zstandard give a cut stream a clean end, stop after the first member, or
throw away what they had when a checksum fails. Here every member is read, what could be read is kept, and every loss
is a note. Memory is bounded whatever a header claims.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from analyzer.errors import InputError
from analyzer.sources.bytesource import STEP, ByteSource, lost
from analyzer.sources.contract import Ledger

EXPANDED_LIMIT = 64 << 30
"""Bytes that one input may expand to. Larger ones are better unpacked by hand."""

RATIO_LIMIT = 1000
"""Expanded bytes per compressed byte. Logs stay below 200; gzip reaches 1,030 and zstd 30,000 on zeros only."""

RATIO_FROM = 64 << 20
"""Expanded bytes before the ratio counts."""

BOMB = (
    f"a decompression bomb: it expands more than {RATIO_LIMIT}-fold, the limit beyond {RATIO_FROM >> 20} MiB; "
    "if it is honest, unpack it by hand"
)

XZ_MEMORY = 256 << 20
"""Bytes of memory that an xz stream may ask for; `xz -9` needs 65 MiB to decompress."""

_GZ_FIELD_LIMIT = 64 << 10
"""Bytes of a name or comment in a gzip header; a file name has 255."""

_ARCHIVE = "not opened: unpack it and name the directory"
_SENTENCES = (
    (b"7z\xbc\xaf\x27\x1c", f"a 7z archive, {_ARCHIVE}"),
    (b"Rar!\x1a\x07", f"a rar archive, {_ARCHIVE}"),
    (b"\x04\x22\x4d\x18", "lz4 is not supported: run `lz4 -d` on it first"),
    (b"\x02\x21\x4c\x18", "lz4 is not supported: run `lz4 -d` on it first"),
    (b"\x1f\x9d", "compress (.Z) is not supported: run `uncompress` on it first"),
    (b"\x89LZO\x00\r\n\x1a\n", "lzo is not supported: run `lzop -d` on it first"),
    (b"LZIP", "lzip is not supported: run `lzip -d` on it first"),
    (b"\xff\x06\x00\x00sNaPpY", "snappy is not supported: decompress it first"),
)
_LOOK = 16


def expand(read: Callable[[int], bytes], ledger: Ledger) -> Iterator[bytes]:
    """The bytes of an input in steps, decompressed if they are gz, zst, bz2 or xz. One layer is opened.

    Raises InputError for compressions and archives that are not read here, for a second layer, for bombs, and where
    not a single byte could be had.
    """
    source = ByteSource(read)
    head = source.peek(_LOOK)
    _refuse(head)
    name = compression_of(head)
    if name is None:
        while chunk := source.some():
            yield chunk
        return
    yield from _one_layer(bounded(_OPENERS[name](source, ledger), source), name)


def bounded(chunks: Iterator[bytes], source: ByteSource) -> Iterator[bytes]:
    """What a source expands to, as long as it is no bomb; raises InputError where it is one."""
    expanded = 0
    for chunk in chunks:
        expanded += len(chunk)
        if expanded > EXPANDED_LIMIT:
            raise InputError(f"expands beyond {EXPANDED_LIMIT >> 30} GiB, the limit: unpack it by hand")
        if is_bomb(expanded, source.taken):
            raise InputError(BOMB)
        yield chunk


def is_bomb(expanded: int, packed: int) -> bool:
    """Whether so many bytes come from too few."""
    return expanded > RATIO_FROM and expanded > RATIO_LIMIT * packed


def compression_of(head: bytes) -> str | None:
    """What an input with these first bytes is compressed with, if it is read here; else None."""
    for magic, name in _MAGICS.items():
        if head.startswith(magic):
            return name
    # a zstd file may begin with a frame that holds no data: 0x184D2A50 to 5F, little-endian (RFC 8878, 3.1.2)
    return "zst" if len(head) >= 4 and head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5 else None


def _one_layer(chunks: Iterator[bytes], outer: str) -> Iterator[bytes]:
    """The same bytes, if they are not compressed once more."""
    head: bytes | None = b""
    for chunk in chunks:
        if head is None:
            yield chunk
        elif len(head) + len(chunk) >= _LOOK:
            _refuse_inner(head + chunk, outer)
            yield head + chunk
            head = None
        else:
            head += chunk
    if head:
        _refuse_inner(head, outer)
        yield head


def _refuse(head: bytes) -> None:
    for magic, sentence in _SENTENCES:
        if head.startswith(magic):
            raise InputError(sentence)


def _refuse_inner(head: bytes, outer: str) -> None:
    _refuse(head[:_LOOK])
    if (name := compression_of(head)) is not None:
        raise InputError(f"nested compression ({name} in {outer}): unpack the outer one first")


def _gz(source: ByteSource, ledger: Ledger) -> Iterator[bytes]:
    """RFC 1952, member by member; raw deflate, so that a wrong checksum costs no data."""
    given = member = 0
    while True:
        member += 1
        if not _gz_header(source):
            lost(ledger, given, f"compressed stream ends early, in the header of gzip member {member}")
            return
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        check, start = 0, given
        while not inflate.eof:
            data = inflate.unconsumed_tail or source.some()
            try:
                # an empty input at the end still gives what deflate holds back
                chunk = inflate.decompress(data, STEP)
            except zlib.error:
                lost(ledger, given, f"gzip member {member} is damaged before compressed byte {source.taken}")
                return
            if not data and not chunk:
                lost(ledger, given, f"compressed stream ends early, in gzip member {member}")
                return
            check, given = zlib.crc32(chunk, check), given + len(chunk)
            if chunk:
                yield chunk
        source.give_back(inflate.unused_data)
        _gz_trailer(source, ledger, member, check, start, given)
        if source.peek(2) != b"\x1f\x8b":
            _garbage(source, ledger)
            return


def _gz_header(source: ByteSource) -> bool:
    """Take a member's header; False where there is no end to it."""
    fixed = source.take(10)
    if len(fixed) < 10:
        return False
    flags = fixed[3]
    if flags & 4:
        length = int.from_bytes(source.take(2), "little")
        if len(source.take(length)) < length:
            return False
    if not all(source.take_until_nul(_GZ_FIELD_LIMIT) for flag in (8, 16) if flags & flag):
        return False
    return not flags & 2 or len(source.take(2)) == 2


def _gz_trailer(source: ByteSource, ledger: Ledger, member: int, check: int, start: int, given: int) -> None:
    """Take a member's checksum and length and say what does not fit; neither is ever used to allocate."""
    trailer = source.take(8)
    checksum, length = check.to_bytes(4, "little"), (given - start & 0xFFFFFFFF).to_bytes(4, "little")
    if len(trailer) < 8:
        ledger.note(f"compressed stream ends early, in the checksum of gzip member {member}")
    elif trailer != checksum + length:
        what = "checksum" if trailer[:4] != checksum else "length"
        ledger.note(
            f"gzip {what} mismatch in member {member}: decompressed bytes {start} to {given} were read but are unproven"
        )


def _garbage(source: ByteSource, ledger: Ledger) -> None:
    """Padding with zeros is allowed after a stream (tapes), anything else is noted."""
    if count := source.drain():
        ledger.note(f"{count} bytes after the end of the compressed stream were not read")


class _Decompressor(Protocol):
    """What bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def _bz2(source: ByteSource, ledger: Ledger) -> Iterator[bytes]:
    import bz2  # only where such an input is read

    yield from _streams(source, ledger, bz2.BZ2Decompressor, b"BZh", "bzip2", (OSError, ValueError))


def _xz(source: ByteSource, ledger: Ledger) -> Iterator[bytes]:
    import lzma  # only where such an input is read

    def make() -> _Decompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)

    yield from _streams(source, ledger, make, b"\xfd7zXZ\0", "xz", (lzma.LZMAError, ValueError))


def _streams(
    source: ByteSource,
    ledger: Ledger,
    make: Callable[[], _Decompressor],
    magic: bytes,
    name: str,
    faults: tuple[type[Exception], ...],
) -> Iterator[bytes]:
    """Stream after stream, as `bzip2 -dc` and `xz -dc` read them."""
    given = 0
    while source.peek(len(magic)) == magic:
        one = make()
        while not one.eof:
            data = source.some() if one.needs_input else b""
            if one.needs_input and not data:
                lost(ledger, given, f"compressed stream ends early, in the {name} data")
                return
            try:
                chunk = one.decompress(data, STEP)
            except faults:
                lost(ledger, given, f"{name} data is damaged before compressed byte {source.taken}")
                return
            given += len(chunk)
            if chunk:
                yield chunk
        source.give_back(one.unused_data)
        while source.peek(4) == b"\0\0\0\0":  # stream padding of xz
            source.take(4)
    _garbage(source, ledger)


def _zst(source: ByteSource, ledger: Ledger) -> Iterator[bytes]:
    from analyzer.sources.zstframes import zst_frames  # only where such an input is read

    yield from zst_frames(source, ledger)


_MAGICS = {b"\x1f\x8b": "gz", b"\x28\xb5\x2f\xfd": "zst", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz"}
_OPENERS: dict[str, Callable[[ByteSource, Ledger], Iterator[bytes]]] = {"gz": _gz, "zst": _zst, "bz2": _bz2, "xz": _xz}
