"""What is said of TCP segments equals what Wireshark says of them."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest

from analyzer.errors import InputError
from tests.oracle_tcp import by_facts, by_tshark, packets
from tests.sources.capture.make import ethernet, ipv4, pcap, tcp
from tests.sources.capture.oracle import needs_tshark

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
FILES = 40
WORD = 1 << 32

Segment = tuple[float, bool, int, int, int, int, int]
"""Time, whether by the client, sequence number, acknowledgement, flags, window, length."""


def _download(rng: random.Random) -> list[Segment]:
    """A server sends and a client acknowledges; the capture misses some, some come late, twice or too often."""
    client, seq = 50, rng.choice((1000, WORD - 905, WORD - 7))
    round_trip = rng.choice((0.0008, 0.004, 0.03))
    out: list[Segment] = []
    if rng.random() < 0.8:
        out += [(0, True, client, 0, 0x02, 500, 0), (round_trip * 0.9, False, seq, client + 1, 0x12, 500, 0)]
        out += [(round_trip, True, client + 1, seq + 1, 0x10, 500, 0)]
        client, seq = client + 1, seq + 1
    now, begin, acked, missing = round_trip, seq, seq, list[tuple[int, int]]()
    for _ in range(120):
        now += rng.choice((0, 0.0002, 0.001, 0.0025, 0.006, 0.025, 0.21))
        kind = rng.choices(("data", "late", "again", "ahead", "ack", "fin", "alive"), (50, 10, 3, 4, 20, 2, 4))[0]
        if kind == "data":
            size = rng.choice((100, 100, 1, 50))
            if rng.random() < 0.75:
                out.append((now, False, seq, client, 0x18, 500, size))
            else:
                missing.append((seq, size))
            seq += size
        elif kind == "late" and missing:
            at, size = missing.pop(rng.randrange(len(missing))) if rng.random() < 0.8 else rng.choice(missing)
            out.append((now, False, at, client, 0x18, 500, size))
        elif kind == "again":
            out.append((now, False, max(begin, seq - rng.choice((50, 100, 150))), client, 0x18, 500, 100))
        elif kind == "ahead":
            out.append((now, False, seq + rng.choice((0, 100)), client, 0x10, 500, 0))
        elif kind == "ack":
            acked = max(acked, missing[0][0] if missing and rng.random() < 0.7 else seq)
            window = rng.choice((500, 500, 500, 0))
            for _ in range(rng.choice((1, 1, 3, 4))):
                out.append((now, True, client, acked, 0x10, window, 0))
                now += 0.001
            if missing and rng.random() < 0.5:
                at, size = missing.pop(0)
                out.append((now + rng.choice((0.001, 0.018, 0.02)), False, at, client, 0x18, 500, size))
        elif kind == "fin":
            out.append((now, False, seq, client, 0x11, 500, rng.choice((0, 10))))
        elif kind == "alive":
            out += [(now, False, seq - 1, client, 0x10, 500, 0), (now + 0.001, True, client, acked, 0x10, 500, 0)]
    return out


def _frame(segment: Segment, port: int, ident: int) -> tuple[float, bytes]:
    when, mine, seq, ack, flags, window, size = segment
    ports, ends = (port, 5555), ("10.0.0.7", "192.0.2.80")
    if not mine:
        ports, ends = ports[::-1], ends[::-1]
    body = tcp(bytes(size), *ports, seq=seq % WORD, ack=ack % WORD, flags=flags, window=window)
    return round(when, 6), ethernet(ipv4(body, 6, *ends, ident=ident))


@needs_tshark
@pytest.mark.parametrize("seed", range(4))
def test_downloads_with_losses_are_analysed_as_by_tshark(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    talks = [(segment, 40000 + port) for port in range(8) for segment in _download(rng)]
    path = tmp_path / "made.pcap"
    path.write_bytes(pcap(_frame(*one, ident=i) for i, one in enumerate(sorted(talks, key=lambda talk: talk[0][0]))))
    ours, theirs = by_facts(packets(path)), by_tshark(path).events
    assert ours == theirs
    assert len({event for _, event in theirs}) >= 7


def _captures() -> list[Path]:
    """Public captures: those with retransmissions, and others by chance."""
    if not DATA.is_dir():
        return []
    with (DATA / "MANIFEST.tsv").open(newline="") as manifest:
        rows = [
            row for row in csv.DictReader(manifest, delimiter="\t", quoting=csv.QUOTE_NONE) if row["kind"] == "pcap"
        ]
    lossy = [row["path"] for row in rows if (row["retrans_tshark"] or "0") != "0"]
    others = sorted(row["path"] for row in rows if row["path"] not in lossy)
    return [DATA / name for name in [*lossy, *random.Random(20261126).sample(others, FILES)][:FILES]]


@needs_tshark
@pytest.mark.skipif(not DATA.is_dir(), reason="no public captures beside the checkout")
def test_public_captures_are_analysed_as_by_tshark() -> None:
    events, differing, compared = 0, dict[str, int](), 0
    for path in _captures():
        try:
            frame = packets(path)
        except InputError:
            continue
        tshark = by_tshark(path)
        if not tshark.saw(frame):
            continue
        ours, theirs = by_facts(frame), tshark.events
        compared += 1
        events += len(theirs)
        if ours != theirs:
            differing[path.name] = len(ours ^ theirs)
    assert compared >= FILES // 2
    assert events > 500
    assert sum(differing.values()) <= 0.01 * events, differing
