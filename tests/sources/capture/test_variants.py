"""What other writers of captures put into their files, and what Wireshark and libpcap make of it."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from analyzer.errors import InputError
from tests.sources.capture.make import EPOCH, dns_frame, query, read_all
from tests.sources.capture.oracle import fields, needs_tshark

FRAMES = [dns_frame(query(f"svc{n}.example.com", n), ident=n + 1) for n in range(10)]
KEPT = 70
"""Octets captured of each frame, so that the two lengths of a record differ."""


def _file(
    *,
    magic: int = 0xA1B2C3D4,
    version: tuple[int, int] = (2, 4),
    link: int = 1,
    order: str = "<",
    more: bytes = b"",
    wire_first: str = "never",
) -> bytes:
    """A capture whose record headers end in `more`; in `wire_first` records the original length stands first."""
    out = [struct.pack(f"{order}IHHiIII", magic, *version, 0, 0, 262144, link)]
    if magic in (0x1C0001AC, 0x1C0001AB):
        out.append(struct.pack(f"{order}I", 4711))
    for number, frame in enumerate(FRAMES):
        lengths = [KEPT, len(frame)]
        if wire_first == "always" or (wire_first == "sometimes" and number % 2):
            lengths.reverse()
        out.append(struct.pack(f"{order}IIII", EPOCH + number, 5000, *lengths) + more + frame[:KEPT])
    return b"".join(out)


VARIANTS = {
    "version 2.2": _file(version=(2, 2), wire_first="always"),
    "version 2.0, big-endian": _file(version=(2, 0), wire_first="always", order=">"),
    "version 2.3, not yet changed": _file(version=(2, 3), wire_first="sometimes"),
    "version 2.3": _file(version=(2, 3)),
    "DG/UX": _file(version=(543, 0), wire_first="always"),
    "AIX": _file(version=(2, 2), link=6, wire_first="always"),
    "Ixia hardware": _file(magic=0x1C0001AC),
    "Ixia software": _file(magic=0x1C0001AB, order=">"),
    "frame check sequence of 4 octets": _file(link=0x24000001),
    "Red Hat 6.1": _file(more=bytes(4) + b"\2\0\1\0"),
    "Nokia": _file(more=b"\0\0\2\0"),
    "Kuznetsov": _file(magic=0xA1B2CD34, more=bytes(8)),
    "SuSE 6.3": _file(magic=0xA1B2CD34, more=bytes(12), order=">"),
}


@needs_tshark
@pytest.mark.parametrize("name", VARIANTS)
def test_other_writers_are_read_as_wireshark_reads_them(name: str, tmp_path: Path) -> None:
    path = tmp_path / "t.pcap"
    path.write_bytes(VARIANTS[name])
    tables, ledger = read_all(VARIANTS[name])
    told = fields(path, "frame.number", "frame.time_epoch", "frame.len", "ip.src")
    assert told is not None
    assert ledger.records == len(told) == 10
    ours = tables["packets"].select("number", "time", "wire_bytes", "src").rows()
    for (number, time, wire, src), theirs in zip(ours, told, strict=True):
        assert [str(number), str(wire), src] == [theirs[0], theirs[2], theirs[3]]
        assert time.timestamp() == pytest.approx(float(theirs[1]), abs=1e-6)


def test_nanoseconds_of_aix_are_no_microseconds() -> None:
    times = read_all(VARIANTS["AIX"])[0]["packets"]["time"]
    assert times[0].microsecond == 5


@pytest.mark.parametrize("name", ["Red Hat 6.1", "Nokia", "SuSE 6.3"])
def test_a_header_length_that_the_magic_does_not_tell_is_noted(name: str) -> None:
    assert f"records have longer headers, as the tcpdump of {name} wrote them" in read_all(VARIANTS[name])[1].notes


def test_an_archaic_version_is_refused_by_number() -> None:
    with pytest.raises(InputError, match=r"unsupported pcap version 1\.1"):
        read_all(_file(version=(1, 1)))


def test_reserved_bits_make_the_link_type_unknown() -> None:
    with pytest.raises(InputError, match="unsupported link type 65537"):
        read_all(_file(link=0x00010001))
