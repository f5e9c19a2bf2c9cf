"""TCP connections that lose packets: segments and SYNs that are sent again."""

from __future__ import annotations

from dataclasses import dataclass

from tcp import Connection
from wire import ACK, PSH, RST, SECOND, SYN

DOUBLING = (0, 1, 3, 7)
LINEAR = (0, 1, 2, 3, 4, 5, 7)
"""Seconds at which Linux sends a SYN, up to 6.4 and since 6.5 (net.ipv4.tcp_syn_linear_timeouts)."""


@dataclass
class Lossy(Connection):
    """Sent again means: the first transmission is captured, and lost behind the capture."""

    def knock(self, at: int, schedule: tuple[int, ...] = DOUBLING) -> int:
        """SYNs that nobody answers; returns the time of the last."""
        for seconds in schedule:
            self._packet(at + seconds * SECOND, True, SYN)
            self.seq -= 1
        self.seq += 1
        return at + schedule[-1] * SECOND

    def refused(self, at: int) -> int:
        self._packet(at, True, SYN)
        self._packet(at + self.rtt, False, RST | ACK)
        return at + self.rtt

    def late_open(self, at: int, tries: int) -> int:
        """A handshake whose first SYNs are lost."""
        self.knock(at, DOUBLING[:tries])
        self.seq -= 1
        return self.open(at + DOUBLING[tries] * SECOND)

    def again(self, at: int, payload: bytes, out: bool = True, times: int = 1, wait: int = 210_000) -> int:
        """A segment that arrives with its last transmission; the wait doubles. Returns when it is acknowledged."""
        for turn in range(times + 1):
            self._packet(at, out, ACK | PSH, payload)
            if turn < times:
                self._rewind(out, len(payload))
                at += wait << turn
        self._packet(at + (self.rtt if out else 9), not out, ACK)
        return at + self.rtt

    def stuck(self, at: int, payload: bytes, out: bool = True, times: int = 4, wait: int = 210_000) -> int:
        """A segment that never arrives, however often it is sent."""
        for turn in range(times + 1):
            self._packet(at, out, ACK | PSH, payload)
            self._rewind(out, len(payload))
            at += wait << turn
        return at

    def _rewind(self, out: bool, length: int) -> None:
        if out:
            self.seq -= length
        else:
            self.ack -= length
