"""What the refreshes of one client amount to."""

from __future__ import annotations

from datetime import datetime
from math import ceil

import polars as pl
from msgspec import Struct

from analyzer.facts.metadata import FOLLOWS


class Storm(Struct, frozen=True, kw_only=True):
    """One client: `used` are the refreshes of its storming programs, at least one."""

    client: str
    used: pl.DataFrame
    application: int
    needed: int

    @staticmethod
    def of(client: str, judged: pl.DataFrame, asked: pl.DataFrame | None, session_seconds: float) -> Storm:
        """What the client's refreshes amount to; `session_seconds` is the life that a fixed credential would have."""
        bad = judged.filter((pl.col("certain") | pl.col("by_rate")).fill_null(False))
        span = pl.col("end").max() - pl.col("time").min()
        several = pl.col("overlapping").max()
        needed = 0
        for seconds, window, others in (
            (bad.group_by("user_agent").agg(span.dt.total_microseconds() / 1e6, pl.col("window").first(), several))
            .select("end", "window", "overlapping")
            .iter_rows()
        ):
            needed += (1 + others) * max(1, ceil(seconds / max(session_seconds - window, 1)))
        count = 0
        if asked is not None:
            until = pl.lit(bad["end"].max()) + FOLLOWS
            count = asked.filter(pl.col("time") >= bad["time"].min(), pl.col("time") <= until).height
        return Storm(client=client, used=bad, application=count, needed=needed)

    @property
    def refreshes(self) -> int:
        return self.used.height

    @property
    def requests(self) -> int:
        return int(self.used["requests"].sum())

    @property
    def seconds(self) -> float:
        return float(self.used["seconds"].sum())

    @property
    def per_request(self) -> float | None:
        """Refreshes per request to another server; None where none was seen."""
        return self.refreshes / self.application if self.application else None

    @property
    def share(self) -> float | None:
        """Part of the time of a request that its refresh took, where both were seen; None where they never were."""
        both = self.used.filter(pl.col("application_seconds").is_not_null())
        mine = float(both["seconds"].sum())
        whole = mine + float(both["application_seconds"].sum())
        return mine / whole if whole else None

    @property
    def processes(self) -> int:
        """How many processes asked at once, at least."""
        return 1 + int(self.used["overlapping"].fill_null(0).to_numpy().max())

    @property
    def outlived(self) -> int:
        """Refreshes for a request on a connection older than they: a process that lived before made them."""
        return self.used.filter(pl.col("application_opened") < pl.col("time")).height

    @property
    def certain(self) -> bool:
        return bool(self.used["certain"].all())

    @property
    def known_sdk(self) -> bool:
        return bool(self.used["known"].all())

    @property
    def reason(self) -> str:
        """Why it is held for a storm, and what weakens that."""
        short = self.used.filter(pl.col("remaining_seconds") < pl.col("window"))
        left = short["remaining_seconds"].to_numpy()
        window = self.used["window"].to_numpy().max()
        weak = "" if self.known_sdk else "; the SDK is not known by its User-Agent"
        if self.outlived:
            weak += f"; {self.outlived:,} were for requests on connections older than they, so no new process made them"
        if self.processes > 1:
            weak += f"; at least {self.processes} processes share the address"
        if self.certain and left.size:
            life = f"{left.min():,.0f} to {left.max():,.0f} s"
            return f"credentials had {life} left, less than the SDK's refresh window of {window:g} s{weak}"
        return f"the rate tells, not the life: it is unknown, or the SDK would not need to refresh yet{weak}"

    @property
    def start(self) -> datetime:
        return _first(self.used["time"].sort())

    @property
    def end(self) -> datetime:
        return _first(self.used["end"].sort(descending=True))


def _first(times: pl.Series) -> datetime:
    found: datetime = times.item(0)
    return found


def by_client(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The rows of each client, clients in order."""
    parts = {str(key[0]): part for key, part in rows.partition_by("client", as_dict=True).items()}
    return dict(sorted(parts.items()))
