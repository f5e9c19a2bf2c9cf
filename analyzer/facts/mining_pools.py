"""Names at which mining pools accept miners: `mining_pools.tsv` beside this module, which names source and licence."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import polars as pl
from msgspec import Struct

FILE = Path(__file__).with_name("mining_pools.tsv")


class Pool(Struct, frozen=True):
    """One line of the list: `host` as written there, the coin that is mined, where the name is published."""

    host: str
    coin: str
    source: str

    @property
    def pattern(self) -> str:
        """A regular expression for the names it stands for."""
        bare = self.host.removeprefix("=")
        below = "" if self.host.startswith("=") else r"(?:[a-z0-9_-]+\.){0,8}"
        return below + re.escape(bare).replace(r"\*", "[a-z0-9-]+")


@cache
def pools() -> tuple[Pool, ...]:
    """The list, in its order."""
    lines = [line for line in FILE.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return tuple(Pool(*line.split("\t")) for line in lines[1:])


@cache
def _any() -> str:
    return "^(?:" + "|".join(pool.pattern for pool in pools()) + ")$"


def names_pool(name: pl.Expr) -> pl.Expr:
    """Whether a name, lower case and without the final dot, is one of a pool."""
    return name.cast(pl.String).str.contains(_any())


def pool_zone(name: pl.Expr) -> pl.Expr:
    """The last two labels of a name: what the hosts of one pool have in common."""
    return name.cast(pl.String).str.extract(r"([^.]+\.[^.]+)$")
