"""TCP sequence analysis after the definitions of Wireshark (epan/dissectors/packet-tcp.c,
tcp_analyze_sequence_number, as in version 4.0), for whole arrays of packets.

What Wireshark remembers while it goes from packet to packet is found here for every packet at once: the next expected
sequence number as a running maximum, what the other side said last by the position of its last packet. Not looked at
are window scales and options, so there is no "window full".
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from analyzer.facts.neighbours import last_before
from analyzer.facts.tcp_streams import ACK, FIN, I64, RST, SYN, Flags, Streams

FAST_RETRANSMISSION_WITHIN = 20_000
"""Microseconds after the last duplicate acknowledgement (Wireshark)."""
FAST_RETRANSMISSION_DUPLICATES = 2
"""Duplicate acknowledgements; the capture may have missed one of the three of RFC 5681 (Wireshark)."""
OUT_OF_ORDER_WITHIN = 3_000
"""Microseconds after the segment that was overtaken, where the first round trip is not known (Wireshark)."""
PROBE_ROUNDS = 8
"""Times that zero window probes are sought: whether one is a probe depends on those before it."""

LOST = "lost segment"
KEEP_ALIVE, KEEP_ALIVE_ACK = "keep-alive", "keep-alive ack"
ZERO_WINDOW, PROBE, PROBE_ACK = "zero window", "zero window probe", "zero window probe ack"
DUPLICATE_ACK = "duplicate ack"
RETRANSMISSION, FAST, SPURIOUS = "retransmission", "fast retransmission", "spurious retransmission"
OUT_OF_ORDER = "out of order"
SYN_RETRY, PORT_REUSED, RESET = "syn retry", "port reused", "reset"


def modular(difference: I64) -> I64:
    """A difference of sequence numbers as a signed one: less than 2^31 either way (RFC 9293, section 3.4)."""
    return difference.astype(np.uint32).view(np.int32).astype(np.int64)


class Sides:
    """The packets sorted by connection and side, each side in its order: `at` holds their positions, `first` where a
    side begins."""

    def __init__(self, s: Streams) -> None:
        size = len(s)
        begins = np.append(np.flatnonzero(s.start == np.arange(size)), size)
        total = np.append(0, np.cumsum(s.ahead))
        ahead = np.diff(total[begins])
        nth = total[1:] - total[s.start] - 1
        turn = np.repeat(ahead, np.diff(begins))
        place = np.where(s.ahead, s.start + nth, np.arange(size) + turn - nth - 1)
        self.at = np.empty(size, np.int64)
        self.at[place] = np.arange(size)
        self.first = np.zeros(size, bool)
        self.first[begins[:-1][ahead > 0]] = True
        self.first[(begins[:-1] + ahead)[ahead < np.diff(begins)]] = True

    def before(self, values: I64, first: int) -> I64:
        """Per packet the value of the one that the same side sent before; `first` where there is none."""
        out = np.empty_like(values)
        out[self.at] = self.shifted(values[self.at], first)
        return out

    def shifted(self, ordered: I64, first: int | I64) -> I64:
        """The same for values that are sorted by side."""
        out = np.roll(ordered, 1)
        out[self.first] = first
        return out


class Expected(Struct, frozen=True):
    """Per packet what its side had sent before. `at` is the number of its first octet and `next` the next expected
    one, both counted on over 2^32; `known` where a number is expected at all, `raised` the position of the packet that
    made it so, `after` what is expected after this packet, as on the wire (-1: nothing)."""

    at: I64
    next: I64
    known: Flags
    raised: I64
    after: I64
    probe: Flags


def expected(s: Streams, sides: Sides, window_there: I64) -> Expected:
    """The next expected sequence number of each side at each packet, and the probes, which do not raise it.

    A zero window probe is one octet, the next expected one, while the other side's window is 0.
    """
    seq, length = s.seq[sides.at], s.length[sides.at]
    step = modular(np.diff(seq, prepend=0))
    step[sides.first] = 0
    at = np.cumsum(step)
    begins = np.flatnonzero(sides.first)
    side = np.cumsum(sides.first) - 1
    # Each side gets a range of numbers of its own, so that one running maximum serves all; one below it is nothing.
    low = np.minimum.reduceat(at, begins)
    width = np.maximum.reduceat(at + length, begins) - low + 2
    nothing = np.cumsum(width) - width
    at += (nothing + 1 - low)[side]
    end, nothing = at + length, nothing[side]
    # A reset that answers a SYN carries 0, which says nothing of its side's numbers (RFC 9293, section 3.5.2).
    silent = ((s.flags & RST) != 0)[sides.at] & (seq == 0) & (length == 0)
    maybe = ((s.payload == 1) & (window_there == 0))[sides.at]
    probe = maybe
    for _ in range(PROBE_ROUNDS):
        top = np.maximum.accumulate(np.where(silent | probe, nothing, end))
        following = sides.shifted(top, nothing[sides.first])
        found = maybe & (at == following)
        if (found == probe).all():
            break
        probe = found
    raised = last_before((end > following) & ~silent & ~probe)
    out = Expected(*(np.empty(len(s), kind) for kind in (np.int64, np.int64, bool, np.int64, np.int64, bool)))
    out.at[sides.at] = at
    out.next[sides.at] = following
    out.known[sides.at] = following > nothing
    out.raised[sides.at] = sides.at[raised]
    out.after[sides.at] = np.where(top > nothing, (seq + top - at) & 0xFFFFFFFF, -1)
    out.probe[sides.at] = probe
    return out


def analyse(s: Streams, sides: Sides) -> dict[str, Flags]:
    """For each event the packets that it is said of."""
    there = _other_side(s)
    heard = there >= 0
    ack_there = np.where(heard, s.ack[there], 0)
    exp = expected(s, sides, np.where(heard, s.window[there], -1))
    plain = s.without(SYN, FIN, RST)
    due = exp.known & (exp.at == exp.next)
    out = {PROBE: exp.probe}
    out[ZERO_WINDOW] = (s.window == 0) & plain & ~exp.probe
    out[LOST] = exp.known & (exp.at > exp.next) & s.without(RST) & ~exp.probe
    out[KEEP_ALIVE] = exp.known & (exp.at == exp.next - 1) & (s.payload <= 1) & plain & ~exp.probe
    # An acknowledgement that repeats the one before in everything.
    same = (s.payload == 0) & due & plain & (s.window == sides.before(s.window, -1))
    same &= s.ack == sides.before(s.ack, 0)
    out[KEEP_ALIVE_ACK] = same & (s.window > 0) & heard & out[KEEP_ALIVE][there]
    out[PROBE_ACK] = same & (s.window == 0) & heard & exp.probe[there]
    out[DUPLICATE_ACK] = same & (s.window > 0) & ~out[KEEP_ALIVE_ACK]
    duplicates = _duplicates_there(s, sides, out[DUPLICATE_ACK], _acks_unseen(s, exp, there))
    out |= _sent_again(s, exp, there, ack_there, duplicates, out[KEEP_ALIVE])
    return out


def _other_side(s: Streams) -> I64:
    """Per packet the position of the other side's last packet before it; -1 where there is none."""
    last = np.where(s.ahead, last_before(~s.ahead), last_before(s.ahead))
    return np.where(last >= s.start, last, -1)


def _acks_unseen(s: Streams, exp: Expected, there: I64) -> Flags:
    """Acknowledgements of what the other side was not seen to send."""
    after = np.where(there >= 0, exp.after[there], -1)
    return s.has(ACK) & (after >= 0) & (modular(s.ack - after) > 0)


def _duplicates_there(s: Streams, sides: Sides, duplicate: Flags, unseen: Flags) -> I64:
    """Per packet how often the other side had repeated its last acknowledgement.

    The count begins anew with another acknowledgement, and where this side acknowledges what the capture missed.
    """
    fresh = (s.ack != sides.before(s.ack, 0)) | (s.start == np.arange(len(s)))
    out = np.zeros(len(s), np.int64)
    for mine in (s.ahead, ~s.ahead):
        count = np.cumsum(duplicate & ~mine)
        reset = last_before((fresh & ~mine) | (unseen & mine) | (s.start == np.arange(len(s))), inclusive=True)
        np.copyto(out, count - count[reset], where=mine)
    return out


def _sent_again(
    s: Streams, exp: Expected, there: I64, ack_there: I64, duplicates: I64, keep_alive: Flags
) -> dict[str, Flags]:
    """Segments that do not advance the sequence number, by what they look like."""
    takes = (s.length > 0) & ~keep_alive
    spurious = takes & (s.payload > 0) & (ack_there != 0) & (modular(ack_there - s.seq - s.payload) >= 0)
    rest = takes & ~spurious & exp.known & (exp.at < exp.next)
    # One octet again and new ones behind it: after a window probe.
    rest &= (s.payload <= 1) | (exp.at != exp.next - 1)
    waited = s.time - s.time[there]
    fast = rest & (duplicates >= FAST_RETRANSMISSION_DUPLICATES) & (ack_there == s.seq)
    fast &= (waited >= 0) & (waited < FAST_RETRANSMISSION_WITHIN)
    late = s.time - s.time[exp.raised]
    overtaken = rest & ~fast & (late >= 0) & (late < _round_trip(s)) & (exp.next != exp.at + s.length)
    return {RETRANSMISSION: rest & ~fast & ~overtaken, FAST: fast, SPURIOUS: spurious, OUT_OF_ORDER: overtaken}


def _round_trip(s: Streams) -> I64:
    """Per packet the first round trip of its connection: from the last SYN to the first acknowledgement that is no
    answer to it; OUT_OF_ORDER_WITHIN until that is known."""
    asked = last_before(s.opens)
    acks = np.flatnonzero(s.has(ACK) & s.without(SYN) & (asked >= s.start))
    took = s.time[acks] - s.time[asked[acks]]
    acks, took = acks[took > 0], took[took > 0]
    first = np.ones(len(acks), bool)
    first[1:] = s.start[acks[1:]] != s.start[acks[:-1]]
    known = np.full(len(s), -1)
    known[s.start[acks[first]]] = acks[first]
    seconds = np.full(len(s), OUT_OF_ORDER_WITHIN)
    seconds[s.start[acks[first]]] = took[first]
    since = known[s.start]
    measured = (since >= 0) & (since < np.arange(len(s)))
    return np.where(measured, seconds[s.start], OUT_OF_ORDER_WITHIN)
