"""Zstandard (RFC 8878), frame by frame and block by block.

The library's stream reader gives a cut file a clean end, and its other readers give whatever a few bytes expand to at
once. Walking the blocks shows where the input ends, and bounds what one step can give: a block holds 128 KiB at most.
"""

from __future__ import annotations

from collections.abc import Iterator

import zstandard
from msgspec import Struct

from analyzer.errors import InputError
from analyzer.sources.bytesource import ByteSource, lost
from analyzer.sources.contract import Ledger

WINDOW_LIMIT = 128 << 20
"""Largest window of a frame: what `zstd -d` takes without `--long` or `--memory` (ZSTD_WINDOWLOG_LIMIT_DEFAULT, 27)."""

MAGIC = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = range(0x184D2A50, 0x184D2A60)
_BLOCK_LIMIT = 128 << 10
_BLOCKS_AT_ONCE = 8
_RLE, _RESERVED = 1, 3


class _Header(Struct, frozen=True):
    raw: bytes
    window: int
    dictionary: int
    checksum: bool


class _CutError(Exception):
    """The input ends inside a frame."""


class _DamagedError(Exception):
    """These bytes are no zstd frame."""


def is_skippable(head: bytes) -> bool:
    """Whether a frame without data starts here (pzstd and seekable files have them)."""
    return len(head) >= 4 and int.from_bytes(head[:4], "little") in _SKIPPABLE


def zst_frames(source: ByteSource, ledger: Ledger) -> Iterator[bytes]:
    """The content of all frames. What was read before a loss is kept and the loss noted.

    Raises InputError for windows beyond WINDOW_LIMIT, for frames that name a dictionary, and where nothing at all
    could be read.
    """
    given = frame = 0
    while head := source.peek(4):
        if is_skippable(head):
            source.take(4)
            source.skip(int.from_bytes(source.take(4), "little"))
            continue
        if head != MAGIC:
            ledger.note(f"{source.drain()} bytes after the end of the compressed stream were not read")
            return
        frame += 1
        try:
            for chunk in _frame(source, ledger, frame):
                given += len(chunk)
                yield chunk
        except _CutError:
            lost(ledger, given, f"compressed stream ends early, in zstd frame {frame}")
            return
        except (_DamagedError, zstandard.ZstdError):
            lost(ledger, given, f"zstd frame {frame} is corrupt or needs a dictionary, near byte {source.taken}")
            return


def _frame(source: ByteSource, ledger: Ledger, number: int) -> Iterator[bytes]:
    header = _header(source)
    if header.window > WINDOW_LIMIT:
        raise InputError(
            f"zstd window too large ({header.window >> 20} MiB, at most {WINDOW_LIMIT >> 20}): "
            "unpack it with `zstd -d --long=31`"
        )
    if header.dictionary:
        raise InputError(f"made with zstd dictionary {header.dictionary}: unpack it with `zstd -d -D DICTIONARY`")
    inflate = zstandard.ZstdDecompressor(max_window_size=WINDOW_LIMIT).decompressobj(write_size=1 << 20)
    inflate.decompress(header.raw)
    last = False
    while not last:
        group: list[bytes] = []
        cut = False
        while not last and not cut and len(group) < _BLOCKS_AT_ONCE:
            block, last = _block(source)
            cut = block is None
            group.append(block or b"")
        if chunk := inflate.decompress(b"".join(group)):
            yield chunk
        if cut:
            raise _CutError
    if header.checksum:
        proof = source.take(4)
        if len(proof) < 4:
            raise _CutError
        try:
            if chunk := inflate.decompress(proof):
                yield chunk
        except zstandard.ZstdError:
            ledger.note(f"zstd checksum mismatch in frame {number}: what was read from it is unproven")


def _header(source: ByteSource) -> _Header:
    start = source.take(5)
    if len(start) < 5:
        raise _CutError
    flags = start[4]
    single = bool(flags & 32)
    if flags & 8:
        raise _DamagedError
    window_bytes = 0 if single else 1
    dictionary_bytes = (0, 1, 2, 4)[flags & 3]
    size_bytes = (int(single), 2, 4, 8)[flags >> 6]
    rest = source.take(window_bytes + dictionary_bytes + size_bytes)
    if len(rest) < window_bytes + dictionary_bytes + size_bytes:
        raise _CutError
    if single:
        window = int.from_bytes(rest[dictionary_bytes:], "little") + (256 if size_bytes == 2 else 0)
    else:
        base = 1 << (10 + (rest[0] >> 3))
        window = base + (base >> 3) * (rest[0] & 7)
    dictionary = int.from_bytes(rest[window_bytes : window_bytes + dictionary_bytes], "little")
    return _Header(start + rest, window, dictionary, bool(flags & 4))


def _block(source: ByteSource) -> tuple[bytes | None, bool]:
    """One block with its header, None where the input ends inside it; and whether it is the frame's last."""
    head = source.take(3)
    if len(head) < 3:
        return None, True
    fields = int.from_bytes(head, "little")
    last, kind, size = bool(fields & 1), fields >> 1 & 3, fields >> 3
    if kind == _RESERVED or size > _BLOCK_LIMIT:
        raise _DamagedError
    length = 1 if kind == _RLE else size
    body = source.take(length)
    return (head + body, last) if len(body) == length else (None, True)
