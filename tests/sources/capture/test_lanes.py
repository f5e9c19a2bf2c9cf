"""The lockstep walk must be the sequential walk, whatever the bytes."""

from __future__ import annotations

import random

import numpy as np
import pytest

from analyzer.sources.capture.arrays import padded
from analyzer.sources.capture.framing_pcapng import BlockChain
from analyzer.sources.capture.lanes import Chain, walk, walk_plain
from analyzer.sources.capture.pcap_format import PcapFormat
from tests.sources.capture.make import enhanced, pcap


def _frames(rng: random.Random, count: int) -> list[bytes]:
    return [rng.randbytes(rng.randrange(0, 120)) for _ in range(count)]


def _damaged(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data[: rng.randrange(len(data) // 2, len(data) + 1)])
    for _ in range(rng.choice((0, 0, 1, 3, 20))):
        out[rng.randrange(len(out))] = rng.randrange(256)
    if rng.random() < 0.3:
        at = rng.randrange(len(out))
        out[at:at] = bytes(rng.randrange(1, 400))
    if rng.random() < 0.4:
        # A capture inside a payload: its records look real, but the chain does not pass through them.
        piece = bytes(out[: rng.randrange(100, 3000)])
        at = rng.randrange(len(out))
        out[at : at + len(piece)] = piece
    return bytes(out)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("header", [16, 24])
def test_pcap_lanes_equal_the_plain_walk_on_damaged_captures(order: str, header: int) -> None:
    rng = random.Random(header)
    magic = 0xA1B2C3D4 if header == 16 else 0xA1B2CD34
    chain = PcapFormat(order, 1_000_000, header, 1, 262144)
    whole = pcap(_frames(rng, 1500), order=order, magic=magic)[24:]
    for _ in range(75):
        _same(chain, _damaged(rng, whole), rng)


def test_lanes_equal_the_plain_walk_where_the_two_lengths_may_be_swapped() -> None:
    rng = random.Random(7)
    chain = PcapFormat("<", 1_000_000, 16, 1, 262144, swapped=True)
    whole = bytearray(pcap(_frames(rng, 1500), snaplen=60)[24:])
    for at in walk_plain(chain, padded(bytes(whole)).data, 0, len(whole)).offsets[::2].tolist():
        whole[at + 8 : at + 16] = whole[at + 12 : at + 16] + whole[at + 8 : at + 12]
    assert len(walk_plain(chain, padded(bytes(whole)).data, 0, len(whole)).offsets) == 1500
    for _ in range(75):
        _same(chain, _damaged(rng, bytes(whole)), rng)


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_lanes_equal_the_plain_walk_on_damaged_captures(order: str) -> None:
    rng = random.Random(3)
    chain = BlockChain(order)
    whole = b"".join(enhanced(frame, 1_000_000 + n, order) for n, frame in enumerate(_frames(rng, 1500)))
    for _ in range(75):
        _same(chain, _damaged(rng, whole), rng)


def _same(chain: Chain, raw: bytes, rng: random.Random) -> None:
    data = padded(raw)
    plain = walk_plain(chain, data.data, 0, len(raw))
    lanes = walk(chain, data, 0, len(raw), lane_bytes=rng.choice((300, 1000, 4000)))
    assert np.array_equal(plain.offsets, lanes.offsets)
    assert plain.stop == lanes.stop


def test_lanes_are_really_used_on_a_clean_capture() -> None:
    rng = random.Random(1)
    raw = pcap(_frames(rng, 3000))[24:]
    data = padded(raw)
    chain = PcapFormat("<", 1_000_000, 16, 1, 262144)
    bounds = np.linspace(0, len(raw), 65).astype(np.int64)[1:-1]
    found = chain.sync(data, len(raw), bounds)
    real = set(walk_plain(chain, data.data, 0, len(raw)).offsets.tolist())
    assert (found >= 0).sum() > 50
    assert set(found[found >= 0].tolist()) <= real
