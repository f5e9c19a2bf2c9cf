"""Rows of a generated capture equal those of Wireshark."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.sources.capture.make import (
    answer,
    cooked2,
    enhanced,
    ethernet,
    interface,
    ipv4,
    ipv6,
    pcap,
    query,
    read_file,
    record,
    section,
    soa,
    tcp,
    udp,
)
from tests.sources.capture.oracle import dns_rows, fields, needs_capinfos, needs_tshark, our_dns_rows, packet_count

TYPES = (1, 28, 33, 12, 16, 65, 255, 65280)


def _packets(rng: random.Random) -> list[bytes]:
    out = []
    for number in range(400):
        name = ".".join(rng.choice(("API", "db", "x" * 40, "svc", "cluster", "local", "_tcp")) for _ in range(5))
        message = query(name, number, rng.choice(TYPES))
        src, dst, ports = "10.0.0.7", "10.96.0.10", (40000 + number % 100, 53)
        if number % 2:
            negative = number % 3 == 0
            message = answer(
                name,
                number,
                flags=0x8183 if negative else 0x8180,
                records=[] if negative else [record(1, rng.randbytes(4)) for _ in range(number % 5)],
                authority=[record(6, soa(30))] if negative else [],
            )
            src, dst, ports = dst, src, (ports[1], ports[0])
        kind = number % 7
        if kind == 5:
            out.append(ipv6(udp(message, *ports), 17, "fd00::7", "fd00::53"))
        elif kind == 6:
            segment = tcp(len(message).to_bytes(2, "big") + message, *ports, seq=number * 1000)
            out.append(ipv4(segment, 6, src, dst, ident=number + 1))
        elif kind == 4:
            out.append(
                ipv4(tcp(b"x" * number, 40000, 443, seq=number * 1000, ack=number), 6, src, dst, ident=number + 1)
            )
        else:
            out.append(ipv4(udp(message, *ports), 17, src, dst, ident=number + 1))
    return out


def _kind(packet: bytes) -> int:
    return 0x86DD if packet[0] >> 4 == 6 else 0x0800


def _captures(packets: list[bytes]) -> dict[str, bytes]:
    frames = [ethernet(packet, _kind(packet), [0x8100] if n % 5 == 0 else []) for n, packet in enumerate(packets)]
    ng = section(">") + interface(order=">")
    ng += b"".join(enhanced(frame, 1_767_225_600_000_000 + 900 * n, ">") for n, frame in enumerate(frames))
    return {
        "ethernet.pcap": pcap(frames),
        "nano.pcap": pcap(frames, magic=0xA1B23C4D, order=">"),
        "cooked.pcap": pcap([cooked2(packet, 3, _kind(packet)) for packet in packets], link=276),
        "raw.pcap": pcap(packets, link=101),
        "big.pcapng": ng,
    }


@needs_tshark
@pytest.mark.parametrize("name", ["ethernet.pcap", "nano.pcap", "cooked.pcap", "raw.pcap", "big.pcapng"])
def test_dns_rows_equal_those_of_tshark(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(_captures(_packets(random.Random(9)))[name])
    tables, ledger = read_file(path)
    assert our_dns_rows(tables["dns_messages"]) == dns_rows(path)
    assert ledger.used == 400


@needs_tshark
def test_packet_columns_equal_those_of_tshark(tmp_path: Path) -> None:
    path = tmp_path / "t.pcap"
    path.write_bytes(_captures(_packets(random.Random(10)))["ethernet.pcap"])
    names = (
        "ip.src",
        "ipv6.src",
        "ip.dst",
        "ipv6.dst",
        "ip.ttl",
        "ipv6.hlim",
        "frame.len",
        "tcp.seq_raw",
        "tcp.ack_raw",
    )
    theirs = fields(path, *names, "tcp.len", "tcp.srcport", "udp.srcport", "frame.time_epoch", where="ip || ipv6")
    assert theirs is not None
    for row, told in zip(read_file(path)[0]["packets"].to_dicts(), theirs, strict=True):
        src4, src6, dst4, dst6, ttl, hops, length, seq, ack, size, sport, dport, when = told
        assert (row["src"], row["dst"]) == (src4 or src6, dst4 or dst6)
        assert (row["ttl"], row["wire_bytes"]) == (int(ttl or hops), int(length))
        assert row["src_port"] == int(sport or dport)
        if seq:
            assert (row["seq"], row["ack"], row["payload_bytes"]) == (int(seq), int(ack), int(size))
        assert row["time"].timestamp() == pytest.approx(float(when), abs=1e-6)


@needs_capinfos
def test_every_packet_that_capinfos_counts_is_accounted_for(tmp_path: Path) -> None:
    for name, data in _captures(_packets(random.Random(11))).items():
        (tmp_path / name).write_bytes(data)
        assert read_file(tmp_path / name)[1].records == packet_count(tmp_path / name), name
