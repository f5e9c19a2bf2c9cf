"""TCP connections, packet by packet, as the sockets of two hosts would exchange them."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field

from wire import ACK, FIN, PSH, RST, SYN, Capture, Ends, Segment, tcp

MSS = 1448


@dataclass
class Ports:
    """Ephemeral ports of each client, none twice within a case (28,232 of them, walked in odd steps)."""

    rng: random.Random
    last: dict[str, int] = field(default_factory=dict)

    def next(self, client: str) -> int:
        at = self.last.get(client)
        at = self.rng.randrange(28232) if at is None else (at + self.rng.randrange(1, 3) * 2 + 7) % 28232
        self.last[client] = at
        return 32768 + at


@dataclass
class Connection:
    """One connection. Each method takes and returns a time in microseconds.

    `rtt` is the time between a packet and its answer at the place of the capture. With `twin` every packet is seen
    again at that interface after it was forwarded, its hop count one less.
    """

    capture: Capture
    ends: Ends
    rtt: int = 250
    twin: int | None = None
    seq: int = 0
    ack: int = 0
    clocks: tuple[int, int] = (0, 0)
    idents: tuple[int, int] = (0, 0)
    """Where the IP identification of each side starts; a socket counts it up."""
    sent: list[int] = field(default_factory=lambda: [0, 0])

    def __post_init__(self) -> None:
        rng = self.capture.rng
        self.seq, self.ack = rng.getrandbits(32), rng.getrandbits(32)
        self.clocks = (rng.getrandbits(30), rng.getrandbits(30))
        self.idents = (rng.getrandbits(16), rng.getrandbits(16))

    def _packet(self, at: int, out: bool, flags: int, payload: bytes = b"") -> None:
        mine, other = (0, 1) if out else (1, 0)
        stamps = [(clock + at // 1000) & 0xFFFFFFFF for clock in self.clocks]
        echo = 0 if flags == SYN else stamps[other]
        if flags & SYN:
            options = struct.pack("!BBHBBBBIIBBBB", 2, 4, 1460, 4, 2, 8, 10, stamps[mine], echo, 1, 3, 3, 7)
        else:
            options = struct.pack("!BBBBII", 1, 1, 8, 10, stamps[mine], echo)
        seq, ack = (self.seq, self.ack) if out else (self.ack, self.seq)
        segment = Segment(
            seq=seq,
            ack=ack if flags & ACK else 0,
            flags=flags,
            window=64240 if flags & SYN else 502,
            options=options,
            payload=payload,
        )
        ends = self.ends if out else self.ends.back()
        ident = (self.idents[mine] + self.sent[mine]) & 0xFFFF
        self.sent[mine] += 1
        self.capture.add(at, ends, tcp(ends, segment, ident, 64 if out else 62))
        if self.twin is not None:
            # A packet that leaves is forwarded after the bridge saw it, one that arrives before.
            shift = self.capture.rng.randrange(8, 13) * (1 if out else -1)
            self.capture.add(at + shift, ends, tcp(ends, segment, ident, 63), self.twin)
        used = len(payload) + (1 if flags & (SYN | FIN) else 0)
        if out:
            self.seq += used
        else:
            self.ack += used

    def open(self, at: int) -> int:
        self._packet(at, True, SYN)
        self._packet(at + self.rtt, False, SYN | ACK)
        self._packet(at + self.rtt + 14, True, ACK)
        return at + self.rtt + 14

    def send(self, at: int, payload: bytes, out: bool = True) -> int:
        """Send bytes and see them acknowledged; returns the time of the last data segment."""
        last = at
        for start in range(0, len(payload), MSS):
            last = at + start // MSS * 12
            piece = payload[start : start + MSS]
            self._packet(last, out, ACK | (PSH if start + MSS >= len(payload) else 0), piece)
        self._packet(last + (self.rtt if out else 9), not out, ACK)
        return last

    def ask(self, at: int, request: bytes, reply: bytes, think: int) -> int:
        """A request and its reply, each acknowledged; returns the time of the reply's last byte."""
        sent = self.send(at, request)
        return self.send(sent + self.rtt + think, reply, out=False)

    def close(self, at: int, by_server: bool = False) -> int:
        first = not by_server
        self._packet(at, first, FIN | ACK)
        self._packet(at + self.rtt, not first, FIN | ACK)
        self._packet(at + self.rtt + 11, first, ACK)
        return at + self.rtt + 11

    def refused(self, at: int) -> int:
        """Nobody listens: the SYN is answered with a reset."""
        self._packet(at, True, SYN)
        self._packet(at + self.rtt, False, RST | ACK)
        return at + self.rtt

    def reset(self, at: int) -> int:
        self._packet(at, False, RST | ACK)
        return at


def client_hello(server_name: str, rng: random.Random) -> bytes:
    """A TLS 1.2 ClientHello with a server name; the randoms are random, nothing is secret."""
    name = server_name.encode()
    sni = struct.pack("!HHHBH", 0, len(name) + 5, len(name) + 3, 0, len(name)) + name
    ciphers = bytes.fromhex("c02bc02fc02cc030cca9cca8c013c014009c009d002f0035")
    extensions = sni + bytes.fromhex("000b00020100000a00080006001d00170018002300000016000000170000")
    body = b"\x03\x03" + rng.randbytes(32) + b"\0" + struct.pack("!H", len(ciphers)) + ciphers + b"\x01\x00"
    body += struct.pack("!H", len(extensions)) + extensions
    handshake = b"\x01" + struct.pack("!I", len(body))[1:] + body
    return b"\x16\x03\x01" + struct.pack("!H", len(handshake)) + handshake


def server_hello(rng: random.Random) -> bytes:
    """A TLS 1.2 ServerHello that settles on ECDHE-RSA-AES128-GCM-SHA256."""
    body = b"\x03\x03" + rng.randbytes(32) + b"\0" + bytes.fromhex("c02f00") + bytes.fromhex("0005ff01000100")
    handshake = b"\x02" + struct.pack("!I", len(body))[1:] + body
    return b"\x16\x03\x03" + struct.pack("!H", len(handshake)) + handshake


KEY_EXCHANGE = bytes.fromhex("1603030046100000424104") + b"\0" * 64
CHANGE_CIPHER = bytes.fromhex("140303000101")


def record(kind: int, length: int) -> bytes:
    """A TLS record whose content does not matter: zeros, so that the file compresses."""
    return struct.pack("!BHH", kind, 0x0303, length) + b"\0" * length


def tls(connection: Connection, at: int, name: str, request: int, reply: int) -> int:
    """A whole TLS 1.2 connection, full handshake and one exchange; returns when it is closed."""
    rng = connection.capture.rng
    at = connection.open(at)
    at = connection.ask(at + 180, client_hello(name, rng), server_hello(rng) + record(22, 1130), 400)
    at = connection.ask(at + 350, KEY_EXCHANGE + CHANGE_CIPHER + record(22, 40), CHANGE_CIPHER + record(22, 40), 150)
    at = connection.ask(at + 90, record(23, request), record(23, reply), 4000 + rng.randrange(9000))
    return connection.close(at + 150)
