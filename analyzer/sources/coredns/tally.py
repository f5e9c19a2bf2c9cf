"""What a whole CoreDNS log lacks, to be said once at its end."""

from __future__ import annotations

import polars as pl

from analyzer.frames import NO_REPLY
from analyzer.sources.contract import Ledger
from analyzer.sources.coredns.lines import Parsed

ENOUGH_QUERIES = 100
"""A queries before the lack of successes says something about the class that is logged [an engineering default]."""

FEW_SUCCESSES = 0.01
"""Share of A queries with NOERROR up to which these can be denials: a name that has AAAA alone (NODATA) is NOERROR
too [an engineering default]."""


class Tally:
    """Counts as windows pass."""

    def __init__(self) -> None:
        self._queries = self._errors = self._timeless = self._unknown = 0
        self._asked = self._successes = self._denied = self._silent = 0

    def add(self, parsed: Parsed) -> None:
        queries = parsed.queries
        self._queries += queries.height
        self._errors += parsed.errors.height
        self._timeless += queries["time"].null_count() + parsed.errors["time"].null_count()
        self._unknown += parsed.left.unknown
        address = pl.col("qtype") == "A"
        counts = queries.select(
            asked=address.sum(),
            successes=(address & (pl.col("rcode") == "NOERROR")).sum(),
            denied=(address & (pl.col("rcode") == "NXDOMAIN")).sum(),
            silent=(address & (pl.col("rcode") == NO_REPLY)).sum(),
        ).row(0, named=True)
        self._asked += counts["asked"]
        self._successes += counts["successes"]
        self._denied += counts["denied"]
        self._silent += counts["silent"]

    def tell(self, ledger: Ledger) -> None:
        if self._timeless and self._timeless == self._queries + self._errors:
            ledger.note(
                "no timestamps in this log (CoreDNS 1.6.3 and later write none): counts and order only, no rates; "
                "`kubectl logs --timestamps` or the container runtime's file has them"
            )
        elif self._timeless:
            ledger.note(f"{self._timeless} lines have no timestamp")
        if self._errors and not self._queries:
            ledger.note("errors only, no query lines (the log plugin was off): patterns in queries have no data here")
        if self._asked >= ENOUGH_QUERIES and self._successes <= FEW_SUCCESSES * self._asked and self._denied:
            ledger.note(
                f"{self._successes or 'none'} of {self._asked} A queries succeeded ({self._denied} NXDOMAIN, "
                f"{self._silent} without an answer): the log plugin may write denials and errors only, so shares of "
                "all queries are unknown"
            )
        if self._unknown and not self._queries:
            ledger.note(
                f"{self._unknown} [INFO] lines are in no known format of the log plugin; give it with --coredns-format"
            )
