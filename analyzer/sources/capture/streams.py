"""Puts the segments of one direction of a TCP connection in order, for the few connections where that is needed."""

from __future__ import annotations

from msgspec import Struct, field

AHEAD_MOST = 64
"""Segments held that came before an earlier one."""
_HALF = 1 << 31
_WHOLE = 1 << 32


class Direction(Struct):
    """Bytes in sequence order, at most `limit` of them not yet taken."""

    limit: int
    data: bytearray = field(default_factory=bytearray)
    _next: int = -1
    _ahead: dict[int, bytes] = field(default_factory=dict)

    def begin(self, seq: int) -> None:
        """Whatever was held is void; the next byte has this sequence number."""
        self.data.clear()
        self._ahead.clear()
        self._next = seq % _WHOLE

    @property
    def waiting(self) -> int:
        """Segments that wait for an earlier one."""
        return len(self._ahead)

    @property
    def held(self) -> int:
        """Bytes that are held, in order or not."""
        return len(self.data) + (sum(map(len, self._ahead.values())) if self._ahead else 0)

    def behind(self, seq: int, size: int) -> bool:
        """Whether these bytes were all taken before: a retransmission."""
        return self._next >= 0 and 0 < (self._next - seq) % _WHOLE < self.limit and (self._next - seq) % _WHOLE >= size

    def distance(self, seq: int) -> int:
        """How far this sequence number lies ahead of the next byte; negative behind it."""
        return (seq - self._next + _HALF) % _WHOLE - _HALF

    @property
    def front(self) -> int:
        """The sequence number of the first byte of `data`."""
        return (self._next - len(self.data)) % _WHOLE

    def take_ahead(self) -> list[tuple[int, bytes]]:
        """Hand back the segments that wait, in order, and forget them."""
        held = sorted(self._ahead.items(), key=lambda item: (item[0] - self._next) % _WHOLE)
        self._ahead.clear()
        return held

    def add(self, seq: int, payload: bytes) -> bool:
        """Take a segment; False where it cannot belong here (a gap that is too wide) or the limit is passed."""
        if self._next < 0:
            self._next = seq
        ahead = (seq - self._next) % _WHOLE
        if ahead >= _HALF:
            # It begins before: only what is new counts; a retransmission has nothing new.
            payload = payload[_WHOLE - ahead :]
            ahead = 0
        if ahead and (ahead > self.limit or len(self._ahead) >= AHEAD_MOST):
            return False
        if ahead:
            if len(payload) > len(self._ahead.get(seq, b"")):
                self._ahead[seq] = payload
            return True
        self._take(payload)
        while reached := [seq for seq in self._ahead if self.distance(seq) <= 0]:
            # What overlaps with an earlier segment is taken from that one.
            seq = min(reached, key=self.distance)
            held = self._ahead.pop(seq)
            self._take(held[-self.distance(seq) :])
        return len(self.data) <= self.limit

    def _take(self, payload: bytes) -> None:
        self.data += payload
        self._next = (self._next + len(payload)) % _WHOLE
