"""What is common to all archives: members are inputs, links are not followed, names are only names."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from analyzer.errors import InputError
from analyzer.sources import archives, containers, entries
from analyzer.sources.archives import Archive
from analyzer.sources.contract import Item, Ledger
from analyzer.sources.stream import Opener, open_stream
from tests.sources.bundles import klog, reading, reading_of, regular, special, tar, tar_of, zip_of

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "tar.gz": gzip.compress,
    "tar.zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
}
PACKED: dict[str, Callable[[bytes], bytes]] = {name[4:]: pack for name, pack in PACKERS.items() if "." in name}


@pytest.mark.parametrize("kind", PACKERS)
def test_every_member_of_a_tar_is_an_input_of_its_own(kind: str, tmp_path: Path) -> None:
    data = tar_of([("dir/kubelet.log", klog(3)), ("other.log", klog(500)), ("a.log", klog(1))])
    found = reading_of(tmp_path, PACKERS[kind](data), "bundle")
    assert found.used == {"bundle!a.log": 1, "bundle!dir/kubelet.log": 3, "bundle!other.log": 500}
    assert found.errors == {}


def test_every_member_of_a_zip_is_an_input_of_its_own(tmp_path: Path) -> None:
    found = reading_of(tmp_path, zip_of([("dir/kubelet.log", klog(3)), ("a.log", klog(1))]))
    assert found.used == {"b.tar!a.log": 1, "b.tar!dir/kubelet.log": 3}


@pytest.mark.parametrize("make", [tar_of, zip_of])
@pytest.mark.parametrize("kind", PACKED)
def test_a_member_may_be_compressed_once(make: Callable[..., bytes], kind: str, tmp_path: Path) -> None:
    packed = PACKED[kind](klog(7))
    found = reading_of(tmp_path, make([("k.log", packed)]))
    report = found.reports["b.tar!k.log"]
    assert (report.used, report.bytes, report.sha256) == (7, len(packed), hashlib.sha256(packed).hexdigest())


def test_a_compressed_member_of_a_compressed_tar_is_read(tmp_path: Path) -> None:
    assert reading_of(tmp_path, gzip.compress(tar_of([("k.gz", gzip.compress(klog(7)))]))).used == {"b.tar!k.gz": 7}


def test_gz_in_gz_in_an_archive_is_refused(tmp_path: Path) -> None:
    found = reading_of(tmp_path, tar_of([("k.gz.gz", gzip.compress(gzip.compress(klog()))), ("k.log", klog())]))
    assert found.used == {"b.tar!k.log": 10}
    assert "nested compression (gz in gz)" in found.errors["b.tar!k.gz.gz"]


@pytest.mark.parametrize(
    "inner",
    [tar_of([("k.log", klog())]), gzip.compress(tar_of([]), mtime=0), zip_of([("k.log", klog())])],
    ids=["tar", "gz", "zip"],
)
def test_an_archive_in_an_archive_is_refused(inner: bytes, tmp_path: Path) -> None:
    found = reading_of(tmp_path, tar_of([("inner", inner), ("k.log", klog())]))
    assert found.used == {"b.tar!k.log": 10}
    assert "b.tar!inner" in found.errors


def test_a_zip_inside_a_compression_is_refused_with_what_to_do(tmp_path: Path) -> None:
    found = reading_of(tmp_path, gzip.compress(zip_of([("k.log", klog())])))
    assert found.errors == {"b.tar": "a zip archive inside gz: decompress it first"}


def test_what_is_no_file_is_refused_with_a_sentence_each(tmp_path: Path) -> None:
    found = reading_of(
        tmp_path,
        tar(
            special("dir", tarfile.DIRTYPE),
            special("hard", tarfile.LNKTYPE, "/etc/passwd"),
            special("soft", tarfile.SYMTYPE, "/etc/passwd"),
            special("fifo", tarfile.FIFOTYPE),
            special("zero", tarfile.CHRTYPE),
            special("disk", tarfile.BLKTYPE),
            regular("k.log", klog()),
        ),
    )
    assert found.used == {"b.tar!k.log": 10}
    assert {name.split("!")[1]: why.split(",")[0] for name, why in found.errors.items()} == {
        "hard": "a hard link",
        "soft": "a symbolic link",
        "fifo": "a named pipe",
        "zero": "a device",
        "disk": "a device",
    }


def test_many_refused_members_are_counted(tmp_path: Path) -> None:
    links = [special(f"link{number}", tarfile.SYMTYPE, "x") for number in range(50)]
    found = reading_of(tmp_path, tar(*links, regular("k.log", klog())))
    assert found.errors["b.tar"] == "30 further members were not read: a symbolic link, not followed"
    assert len(found.errors) == 21


def test_hidden_members_are_passed_over_as_in_directories(tmp_path: Path) -> None:
    found = reading_of(tmp_path, tar_of([("./._k.log", b"x"), (".git/config", b"x"), ("./k.log", klog())]))
    assert list(found.reports) == ["b.tar!k.log"]


def test_an_archive_without_a_file_says_so(tmp_path: Path) -> None:
    found = reading_of(tmp_path, tar(special("dir", tarfile.DIRTYPE)))
    assert found.errors == {"b.tar": "the archive holds no file that could be read"}


def test_paths_that_lead_out_of_the_archive_are_only_names(tmp_path: Path) -> None:
    (tmp_path / "outside.log").write_bytes(klog(99))
    work = tmp_path / "work"
    work.mkdir()
    names = ["../outside.log", "/etc/outside.log", "a/../../outside.log"]
    found = reading_of(work, tar_of([(name, klog(2)) for name in names]))
    assert found.used == {f"b.tar!{name}": 2 for name in names}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["b.tar", "outside.log", "work"]


@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_names_that_could_drive_a_terminal_are_escaped_in_ids(make: Callable[..., bytes], tmp_path: Path) -> None:
    found = reading_of(tmp_path, make([("\x1b[2J\n\u202e.log", klog(2)), ("odd\u2028", b"nothing")]))
    assert list(found.reports) == ["b.tar!\\x1b[2J\\n\\u202e.log", "b.tar!odd\\u2028"]


def test_a_name_that_is_not_utf8_is_shown_by_its_bytes(tmp_path: Path) -> None:
    info, data = regular("k\udcff.log", klog(2))
    assert list(reading_of(tmp_path, tar((info, data), format=tarfile.GNU_FORMAT)).used) == ["b.tar!k\\xff.log"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_members_of_the_same_name_are_told_apart(make: Callable[..., bytes], tmp_path: Path) -> None:
    found = reading_of(
        tmp_path, make([("k.log", klog(1)), ("k.log#2", klog(2)), ("k.log", klog(3)), ("k.log", klog(4))])
    )
    assert sorted(found.used.values()) == [1, 2, 3, 4]
    assert found.used["b.tar!k.log"] == 1
    assert any("have this name" in note for note in found.reports["b.tar!k.log#3"].notes)


def test_an_id_of_a_member_is_not_that_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "b.tar!k.log").write_bytes(klog(1))
    (tmp_path / "b.tar").write_bytes(tar_of([("k.log", klog(2))]))
    assert reading(tmp_path).used == {"b.tar!k.log": 1, "b.tar!k.log#2": 2}


def test_very_long_names_are_cut(tmp_path: Path) -> None:
    [name] = reading_of(tmp_path, tar_of([("d/" * 5000 + "k.log", klog(2))])).used
    assert len(name) < 600


def test_the_number_of_members_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "MEMBERS_LIMIT", 3)
    files = [(f"{number}.log", klog(1)) for number in range(5)]
    for data in (tar_of(files), zip_of(files)):
        found = reading_of(tmp_path, data)
        assert list(found.used) == ["b.tar!0.log", "b.tar!1.log", "b.tar!2.log"]
        assert "more than 3 headers, the limit" in found.errors["b.tar"]


def test_a_bomb_among_the_members_costs_that_member(tmp_path: Path) -> None:
    bomb = zstandard.compress(bytes(200 << 20))
    found = reading_of(tmp_path, tar_of([("a.log", klog(1)), ("b.log", bomb), ("c.log", klog(2))]))
    assert found.used == {"b.tar!a.log": 1, "b.tar!c.log": 2}
    assert "bomb" in found.errors["b.tar!b.log"]


def test_a_bomb_around_the_members_ends_the_archive(tmp_path: Path) -> None:
    data = tar_of([("a.log", klog(1)), ("b.log", bytes(200 << 20)), ("c.log", klog(2))])
    found = reading_of(tmp_path, zstandard.compress(data))
    assert found.used == {"b.tar!a.log": 1}
    assert "bomb" in found.errors["b.tar"]


def test_many_small_bombs_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "RATIO_FROM", 1 << 20)
    packed = gzip.compress(klog(40) + b"#\n" * 400_000)
    monkeypatch.setattr(containers, "RATIO_LIMIT", 200)
    found = reading_of(tmp_path, gzip.compress(tar_of([(f"{number}.gz", packed) for number in range(40)])))
    assert any("all members of the archive together" in why for why in found.errors.values())


def test_a_compressed_tar_is_decompressed_once_for_each_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    start = archives._Expanded._start

    def counted(self: archives._Expanded, ledger: Ledger) -> None:
        passes.append(1)
        start(self, ledger)

    monkeypatch.setattr(archives._Expanded, "_start", counted)
    audit = b'{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"1","verb":"get","requestURI":"/a"}\n'
    files = [(f"{99 - number:02}.log", klog(3000) if number % 2 else audit) for number in range(40)]
    assert len(reading_of(tmp_path, gzip.compress(tar_of(files))).used) == 40
    assert len(passes) == 3  # to list, for those with dates, for those without


def test_a_bad_checksum_around_the_tar_is_told_of_every_member(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(tar_of([("k.log", klog(3))])))
    packed[-8] ^= 1
    found = reading_of(tmp_path, bytes(packed))
    assert found.used == {"b.tar!k.log": 3}
    assert "checksum mismatch" in found.errors["b.tar"]
    assert any("checksum mismatch" in note for note in found.reports["b.tar!k.log"].notes)


def test_an_archive_that_changed_since_it_was_listed_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "b.tar"
    path.write_bytes(tar_of([("k.log", klog(3))]))
    item = Item(id="b.tar", path=path)
    with Opener() as opener:
        [member] = archives.Listing(opener.archive(item), item, set())
    path.write_bytes(tar_of([("k.log", klog(3000))]))
    with pytest.raises(InputError, match="has changed"), open_stream(member, Ledger()):
        pass


def test_a_compressed_archive_can_be_read_from_anywhere(tmp_path: Path) -> None:
    data = bytes(range(256)) * 20_000
    path = tmp_path / "b"
    path.write_bytes(gzip.compress(data))
    archive = Archive(Item(id="b", path=path))
    whole = archive._bytes
    for offset, size in [(0, 10), (3_000_000, 2_500_000), (5, 7), (5_119_990, 100), (6_000_000, 1), (255, 2)]:
        assert whole.read_at(offset, size) == data[offset : offset + size]
    archive.file.close()


def test_a_kind_that_is_forced_holds_for_members(tmp_path: Path) -> None:
    path = tmp_path / "b.tar"
    path.write_bytes(tar_of([("odd.log", b"no header at all\n"), ("k.log", klog(3))]))
    assert {report.kind for report in reading(path, kind="kubelet").case.reports} == {"kubelet"}


def test_a_log_and_a_capture_with_the_magic_of_tar_inside_are_no_archives(tmp_path: Path) -> None:
    for name, data in {
        "k.log": b'I0314 09:00:00.000000    1000 a.go:1] "' + b"x" * 218 + b"ustar" + b'"\n' + klog(9),
        "c.pcap": b"\xd4\xc3\xb2\xa1\x02\0\4\0" + bytes(12) + b"\1\0\0\0" + bytes(229) + b"ustar" + bytes(300),
    }.items():
        (tmp_path / name).write_bytes(data)
        [report] = reading(tmp_path / name).case.reports
        assert report.kind in ("kubelet", "pcap")
