from __future__ import annotations

import bz2
import gzip
import lzma
import random
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from analyzer.errors import InputError
from analyzer.sources import containers
from analyzer.sources.containers import expand
from analyzer.sources.contract import Ledger

TEXT = "".join(f"line {number} {random.Random(number).random()}\n" for number in range(20_000)).encode()


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "zst": zst,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def unpack(raw: bytes, ledger: Ledger | None = None, drip: int = 1 << 20) -> bytes:
    file = BytesIO(raw)
    return b"".join(expand(lambda size: file.read(min(size, drip)), ledger or Ledger()))


def kept(raw: bytes) -> tuple[bytes, list[str]]:
    """What was read, as far as it could be, and the notes."""
    ledger = Ledger()
    return unpack(raw, ledger), ledger.notes


def test_what_is_not_compressed_comes_as_it_is() -> None:
    assert kept(TEXT) == (TEXT, [])
    assert unpack(b"") == b""


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("drip", [1, 1000, 1 << 20])
def test_every_compression_is_opened_by_its_magic(kind: str, drip: int) -> None:
    text = TEXT[:5000] if drip == 1 else TEXT
    ledger = Ledger()
    assert unpack(PACKERS[kind](text), ledger, drip) == text
    assert ledger.notes == []


@pytest.mark.parametrize("kind", PACKERS)
def test_all_members_are_read(kind: str) -> None:
    pack = PACKERS[kind]
    assert kept(pack(TEXT) + pack(b"") + pack(b"more\n")) == (TEXT + b"more\n", [])


@pytest.mark.parametrize("kind", PACKERS)
def test_a_cut_stream_gives_what_there_is_and_says_so(kind: str) -> None:
    raw = PACKERS[kind](TEXT)
    # a bz2 file of this size is a single block, which is whole or nothing
    whole = PACKERS[kind](b"a whole member\n")
    text, notes = kept(whole + raw[: len(raw) // 2])
    assert (b"a whole member\n" + TEXT).startswith(text)
    assert text.startswith(b"a whole member\n")
    assert "compressed stream ends early" in notes[0]


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_the_half_of_a_cut_member_is_kept(kind: str) -> None:
    raw = PACKERS[kind](TEXT)
    text, _ = kept(raw[: len(raw) // 2])
    assert len(text) > len(TEXT) // 4


@pytest.mark.parametrize("kind", PACKERS)
def test_a_stream_cut_before_its_first_byte_is_refused(kind: str) -> None:
    with pytest.raises(InputError, match="compressed stream ends early"):
        unpack(PACKERS[kind](TEXT)[:14])


@pytest.mark.parametrize("kind", PACKERS)
def test_bytes_after_the_end_are_noted_and_padding_is_not(kind: str) -> None:
    raw = PACKERS[kind](TEXT)
    assert kept(raw + b"garbage") == (TEXT, ["7 bytes after the end of the compressed stream were not read"])
    if kind in {"gz", "xz"}:
        assert kept(raw + bytes(512)) == (TEXT, [])


def test_a_wrong_gzip_checksum_costs_no_data_and_names_the_member() -> None:
    raw = bytearray(gzip.compress(b"one\n"))
    raw[-8] ^= 1
    text, notes = kept(gzip.compress(b"zero\n") + bytes(raw) + gzip.compress(b"two\n"))
    assert text == b"zero\none\ntwo\n"
    assert notes == [
        "gzip checksum mismatch in member 2: decompressed bytes 5 to 9 were read but are unproven",
    ]


def test_a_wrong_zstd_checksum_costs_no_data() -> None:
    raw = bytearray(zst(TEXT))
    raw[-1] ^= 1
    text, notes = kept(bytes(raw) + zst(b"more\n"))
    assert text == TEXT + b"more\n"
    assert notes == ["zstd checksum mismatch in frame 1: what was read from it is unproven"]


def test_a_gzip_header_with_every_field_is_read() -> None:
    body = zlib.compressobj(wbits=-15)
    raw = b"\x1f\x8b\x08\x1e" + bytes(6) + b"\x03\x00abc" + b"name\0" + b"comment\0" + b"\0\0"
    raw += body.compress(b"text\n") + body.flush()
    raw += zlib.crc32(b"text\n").to_bytes(4, "little") + (5).to_bytes(4, "little")
    assert kept(raw) == (b"text\n", [])


def test_zstd_frames_without_data_are_passed_over() -> None:
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"12345"
    assert kept(skippable + zst(b"a\n") + skippable + zst(b"b\n")) == (b"a\nb\n", [])


@pytest.mark.parametrize("outer", PACKERS)
@pytest.mark.parametrize("inner", PACKERS)
def test_a_second_layer_is_refused(outer: str, inner: str) -> None:
    with pytest.raises(InputError, match=f"nested compression \\({inner} in {outer}\\)"):
        unpack(PACKERS[outer](PACKERS[inner](TEXT)))


def test_a_bomb_is_stopped_before_it_fills_anything() -> None:
    bomb = BytesIO(zst(bytes(200 << 20)))
    sizes: list[int] = []
    with pytest.raises(InputError, match=r"bomb.* 1000-fold.* 64 MiB"):
        sizes.extend(len(chunk) for chunk in expand(bomb.read, Ledger()))
    assert max(sizes) <= 2 << 20
    assert sum(sizes) <= 65 << 20


def test_the_limit_of_all_bytes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "EXPANDED_LIMIT", 1 << 20)
    with pytest.raises(InputError, match="expands beyond 0 GiB"):
        unpack(gzip.compress(TEXT * 3))


def test_a_window_beyond_the_limit_is_refused_before_it_is_allocated() -> None:
    frame = bytearray(zstandard.ZstdCompressor(write_content_size=False).compress(b"a" * 100))
    frame[5] = 21 << 3  # 2 GiB
    with pytest.raises(InputError, match="window too large"):
        unpack(bytes(frame))


def test_a_named_dictionary_is_asked_for() -> None:
    samples: list[bytes | bytearray | memoryview[int]] = [
        f"sample {number} of a log line with words".encode() * 3 for number in range(500)
    ]
    trained = zstandard.train_dictionary(1000, samples)
    raw = zstandard.ZstdCompressor(dict_data=trained).compress(TEXT)
    with pytest.raises(InputError, match=f"zstd dictionary {trained.dict_id()}"):
        unpack(raw)


@pytest.mark.parametrize(
    ("magic", "sentence"),
    [
        (b"\x04\x22\x4d\x18", "lz4 is not supported: run `lz4 -d`"),
        (b"7z\xbc\xaf\x27\x1c", "7z archive"),
        (b"Rar!\x1a\x07", "rar archive, not opened: unpack it"),
    ],
)
def test_what_is_not_opened_is_named_with_what_to_do(magic: bytes, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        unpack(magic + bytes(300))
    with pytest.raises(InputError, match=sentence):
        unpack(gzip.compress(magic + bytes(300)))


@given(st.sampled_from(sorted(PACKERS)), st.data())
def test_no_damage_makes_more_of_a_file_than_a_prefix_a_note_or_a_refusal(kind: str, data: st.DataObject) -> None:
    raw = bytearray(PACKERS[kind](TEXT[:3000]))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    ledger = Ledger()
    try:
        text = unpack(bytes(raw), ledger)
    except InputError:
        return
    assert text == TEXT[:3000] or ledger.notes or text == bytes(raw)


def test_gzip_finds_what_gunzip_finds(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(TEXT)
    assert unpack(path.read_bytes()) == TEXT
