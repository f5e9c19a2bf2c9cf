"""Connection attempts from SYN and SYN-ACK packets (RFC 9293). The rest of a connection is not followed."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from analyzer.frames import TCP_CONNECTIONS, concat
from analyzer.sources.capture.arrays import I64
from analyzer.sources.capture.layers import TCP
from analyzer.sources.capture.packets import Packets

SYN, SYN_ACK, BOTH = 0x02, 0x12, 0x12
HELD_MOST = 1 << 19
"""SYN and SYN-ACK packets held before the old ones are resolved."""
YOUNG_MOST = 8 * HELD_MOST
"""More that are too young to be resolved are resolved all the same: only a flood gets there."""
RETRIES_OVER_SECONDS = 300
"""No retry comes after this: with tcp_syn_retries at 6 the last SYN follows the first by 63 s and is given up at 127 s;
admins raise it to 7 at most in practice (255 s). https://docs.kernel.org/networking/ip-sysctl.html"""

_CLIENT = ["client", "client_port", "server", "server_port", "isn"]


@dataclass(slots=True)
class Connections:
    """Collects handshake packets and turns them into attempts once no retry can follow any more."""

    source: str
    _held: list[pl.DataFrame] = field(default_factory=list)
    _limit: int = HELD_MOST
    _count: int = 0

    def add(self, packets: Packets) -> pl.DataFrame | None:
        """Take the handshake packets of a window; rows of the table when many are held."""
        head = packets.headers
        at = packets.rows
        shake = (head.protocol[at] == TCP) & (head.flags[at] >= 0) & ((head.flags[at] & SYN) != 0)
        shake &= ((head.flags[at] & 0x05) == 0) & ~packets.duplicate[at]
        if not shake.any():
            return None
        self._held.append(_handshakes(packets, at[shake], self.source))
        self._count += int(shake.sum())
        return self._resolve(final=False) if self._count > self._limit else None

    def close(self) -> pl.DataFrame:
        """The remaining attempts."""
        return self._resolve(final=True)

    def _resolve(self, *, final: bool) -> pl.DataFrame:
        if not self._held:
            return concat(TCP_CONNECTIONS, [])
        rows = pl.concat(self._held)
        old = pl.lit(True)
        if not final:
            latest = rows["time"].max()
            over = pl.duration(seconds=RETRIES_OVER_SECONDS)
            old = (pl.col("time").max().over(_CLIENT) < pl.lit(latest) - over).fill_null(True)
        marked = rows.with_columns(old.alias("old"))
        rest = marked.filter(~pl.col("old")).drop("old")
        if rest.height > YOUNG_MOST:
            marked, rest = rows.with_columns(old=pl.lit(True)), rest.clear()
        self._held, self._count = ([rest] if rest.height else []), rest.height
        self._limit = max(HELD_MOST, 2 * rest.height)
        return attempts(marked.filter("old").drop("old"))


def _handshakes(packets: Packets, frames: I64, source: str) -> pl.DataFrame:
    head = packets.headers
    columns = packets.where(frames, source) | packets.ends(frames)
    columns |= {
        "answer": pl.Series((head.flags[frames] & BOTH) == SYN_ACK),
        "isn": pl.Series(head.seq[frames]),
        "ack": pl.Series(head.ack[frames]),
    }
    ends = [("src", "dst", "client"), ("src_port", "dst_port", "client_port")]
    ends += [("dst", "src", "server"), ("dst_port", "src_port", "server_port")]
    answer = pl.col("answer")
    return pl.DataFrame(columns).select(
        *("time", "source", "number", "answer"),
        *(pl.when(answer).then(back).otherwise(there).alias(name) for there, back, name in ends),
        pl.when(answer).then((pl.col("ack") - 1) % (1 << 32)).otherwise("isn").alias("isn"),
    )


def attempts(rows: pl.DataFrame) -> pl.DataFrame:
    """Attempts of the table: SYNs of one socket with one initial sequence number, and their first answer.

    An answer belongs to the SYN whose sequence number it acknowledges, so a port used again is a new attempt.
    """
    order = rows.sort("number")
    syns = (
        order.filter(~pl.col("answer"))
        .group_by(_CLIENT, maintain_order=True)
        .agg(pl.col("time", "source", "number").first(), pl.len().cast(pl.Int32).alias("syns"))
    )
    answers = (
        order.filter("answer")
        .group_by(_CLIENT, maintain_order=True)
        .agg(pl.col("time").first().alias("answer_time"), pl.lit(True).alias("answered"))
    )
    took = (pl.col("answer_time") - pl.col("time")).dt.total_microseconds() / 1e6
    out = (
        syns.join(answers, on=_CLIENT, how="left", maintain_order="left")
        .with_columns(
            pl.col("answered").fill_null(False),
            # A clock that stepped back between the two says nothing about the handshake.
            pl.when(took >= 0).then(took).alias("handshake_seconds"),
        )
        .sort("number")
    )
    return TCP_CONNECTIONS.check(out.select(list(TCP_CONNECTIONS.schema)).lazy()).collect()
