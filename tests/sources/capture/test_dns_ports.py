"""DNS beside port 53: multicast DNS, LLMNR, resolvers at other ports; and what only looks like it."""

from __future__ import annotations

import random
import struct

import pytest

from analyzer.sources.capture.dns_ports import OTHER_PORTS
from tests.sources.capture.make import answer, ethernet, ipv4, ipv6, pcap, query, read_all, record, tcp, udp, wire_name

CLIENT, SERVER = "10.0.0.7", "10.0.0.53"


def _frame(message: bytes, sport: int, dport: int, dst: str = SERVER, ident: int = 1) -> bytes:
    if ":" in dst:
        return ethernet(ipv6(udp(message, sport, dport), 17, "fe80::7", dst), 0x86DD)
    return ethernet(ipv4(udp(message, sport, dport), 17, CLIENT, dst, ident=ident))


def _protocols(*frames: bytes) -> list[tuple[str, str]]:
    tables, ledger = read_all(pcap(frames))
    assert (ledger.used, ledger.skipped) == (len(frames), 0)
    return tables["dns_messages"].select("protocol", "name").rows()


@pytest.mark.parametrize(
    ("sport", "dport", "dst", "protocol"),
    [
        (40000, 53, SERVER, "dns"),
        (40000, 53, "169.254.20.10", "dns"),
        (5353, 53, SERVER, "dns"),
        (5353, 5353, "224.0.0.251", "mdns"),
        (40000, 5353, "224.0.0.251", "mdns"),
        (5353, 5353, "ff02::fb", "mdns"),
        (40000, 5353, "ff02::fb", "mdns"),
        (5353, 5353, SERVER, "mdns"),
        (40000, 5353, SERVER, "dns"),
        (40000, 5355, "224.0.0.252", "llmnr"),
        (40000, 5355, "ff02::1:3", "llmnr"),
        *((40000, port, SERVER, "dns") for port in OTHER_PORTS),
    ],
)
def test_ports_and_addresses_tell_the_protocol(sport: int, dport: int, dst: str, protocol: str) -> None:
    assert _protocols(_frame(query("a.local"), sport, dport, dst)) == [(protocol, "a.local")]


@pytest.mark.parametrize("port", OTHER_PORTS)
def test_a_server_at_another_port_is_heard_too(port: int) -> None:
    told = answer("a.b", records=[record(1, bytes(4))])
    segment = struct.pack(">H", len(told)) + told
    over_tcp = ethernet(ipv4(tcp(segment, port, 40000), 6, SERVER, CLIENT, ident=2))
    assert _protocols(_frame(told, port, 40000), over_tcp) == [("dns", "a.b")] * 2


def test_an_ephemeral_port_of_a_client_is_no_server() -> None:
    assert _protocols(_frame(query("a.b"), 5300, 40000), _frame(answer("a.b"), 40000, 5300, ident=2)) == []


@pytest.mark.parametrize(
    "message",
    [
        query("a.b") + b"x",
        query("a.b")[:-1] + b"\x09",
        query("a.b", qtype=0),
        struct.pack(">HHHHHH", 1, 0x0100, 2, 0, 0, 0) + 2 * (wire_name("a.b") + b"\0\1\0\1"),
        struct.pack(">HHHHHH", 1, 0x0100, 0, 0, 0, 0),
        b"\0\1\x28\0" + query("a.b")[4:],
        b"\0\1\x01\x40" + query("a.b")[4:],
        b"\0\1\x01\x03" + query("a.b")[4:],
        answer("a.b", flags=0x0100, records=[record(1, bytes(4))]),
        answer("a.b", records=[record(1, bytes(3))]),
    ],
)
def test_at_another_port_only_what_is_beyond_doubt_is_dns(message: bytes) -> None:
    frames = [_frame(message, 40000, 8053), _frame(message, 8053, 40000, ident=2)]
    assert _protocols(*frames) == []


def test_random_datagrams_are_no_dns() -> None:
    rng = random.Random(4)
    frames = []
    for n in range(3000):
        body = rng.randbytes(rng.randrange(12, 120))
        if n % 3 == 0:
            body = struct.pack(">HHHHHH", n, 0x8180, 1, 0, 0, 0) + body
        ports = rng.sample((rng.choice((*OTHER_PORTS, 5355)), 40000), 2)
        frames.append(_frame(body, ports[0], ports[1], ident=n + 1))
    assert _protocols(*frames) == []


def test_several_questions_and_unique_records_of_multicast_dns_are_read() -> None:
    asked = struct.pack(">HHHHHH", 0, 0, 3, 0, 0, 0) + wire_name("_http._tcp.local") + struct.pack(">HH", 12, 0x8001)
    asked += b"\4_ipp\xc0\x12" + struct.pack(">HH", 12, 1) + b"\3abc\xc0\x17" + struct.pack(">HH", 28, 0x8001)
    told = struct.pack(">HHHHHH", 0, 0x8400, 0, 1, 0, 0)
    told += wire_name("printer.local") + struct.pack(">HHIH", 1, 0x8001, 120, 4) + bytes([10, 0, 0, 9])
    tables, _ = read_all(pcap([_frame(m, 5353, 5353, "224.0.0.251", n + 1) for n, m in enumerate((asked, told))]))
    rows = tables["dns_messages"].select("name", "qtype", "response", "answers").rows()
    assert rows == [("_http._tcp.local", "PTR", False, None), (None, None, True, 1)]
    answers = tables["dns_answers"].select("protocol", "name", "rtype", "ttl", "value").rows()
    assert answers == [("mdns", "printer.local", "A", 120, "10.0.0.9")]


def test_netbios_names_are_not_dns() -> None:
    name = b"\x20" + b"CACACACACACACACACACACACACACACAAA" + b"\0"
    message = struct.pack(">HHHHHH", 1, 0x0110, 1, 0, 0, 0) + name + struct.pack(">HH", 32, 1)
    assert _protocols(_frame(message, 137, 137, "10.0.0.255")) == []
