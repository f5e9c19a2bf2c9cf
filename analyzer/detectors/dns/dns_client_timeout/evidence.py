"""Figures, records, tables and commands that prove the losses."""

from __future__ import annotations

import shlex

import polars as pl

from analyzer.detectors.dns.dns_client_timeout.measure import Losses
from analyzer.facts.audit_windows import records
from analyzer.facts.dns_witness import Witness
from analyzer.facts.shell import tshark
from analyzer.model import Column, Evidence, EvidenceTable, Figure, Remedy, Saving

ROWS = 20

_OPTION = """spec:
  template:
    spec:
      dnsConfig:
        options:
          - name: single-request-reopen
"""

SINGLE = Remedy(
    text="Let glibc ask one after the other, each from a socket of its own. musl and Go do not know the option.",
    snippet=_OPTION,
)
REMEDIES = (
    SINGLE,
    Remedy(
        text="Run NodeLocal DNSCache: pods then ask on their node, where nothing is translated, and it asks by TCP."
    ),
    Remedy(text="Use a kernel of 5.0 or later on the nodes: the races of conntrack for UDP were mended there."),
)


def impact(losses: Losses, witness: Witness) -> tuple[Figure, ...]:
    figures: list[tuple[str, int | float, str]] = [
        ("pairs with exactly one answer", losses.pairs.height, "lookups"),
        *(
            (f"of them by {name}", count, "lookups")
            for name, count in losses.pairs["resolver"].value_counts().sort("resolver").iter_rows()
        ),
        ("added seconds", round(losses.added, 6), "seconds"),
        ("lookups in all", losses.lookups, "lookups"),
        ("lookups without any answer", losses.both_lost, "lookups"),
    ]
    return (*(Figure(name=name, value=value, unit=unit) for name, value, unit in figures), *witness.figures)


def evidence(losses: Losses) -> Evidence:
    """The lost queries with those that were asked again, and the lookups in a table."""
    pairs = losses.pairs
    again = pairs.select(pl.col("again").alias("time"), "source", pl.col("again_number").alias("number"))
    places = pl.concat([pairs.select("time", "source", "number"), again]).unique().sort("time", "source", "number")
    waited = (pl.col("answered") - pl.col("first")).dt.total_microseconds() / 1e6
    shown = pairs.select(
        pl.col("first").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"), "name", "qtype", "resolver", waited.round(3).alias("s")
    )
    table = EvidenceTable(
        caption="Lookups of which one half was lost",
        columns=(
            *(Column(name="began"), Column(name="name"), Column(name="lost type"), Column(name="resolver")),
            Column(name="waited", unit="seconds"),
        ),
        rows=tuple(shown.head(ROWS).rows()),
    )
    return Evidence(records=records(places), tables=(table,))


def saving(losses: Losses) -> Saving:
    serial = losses.lookups * losses.rtt
    return Saving(
        fix="one query after the other",
        observed=round(losses.added, 6),
        modelled=round(serial, 6),
        unit="seconds",
        assumption=(
            f"every lookup takes one more round trip, the median of this client ({losses.rtt * 1000:.3g} ms), and no "
            "query is lost to a race; for glibc with single-request-reopen"
        ),
        formula="lookups in all x median time from query to answer",
    )


def remedies(losses: Losses) -> tuple[Remedy, ...]:
    """The option of glibc only where glibc asked."""
    return REMEDIES if "glibc" in losses.pairs["resolver"] else REMEDIES[1:]


def verify(losses: Losses) -> tuple[str, ...]:
    """Commands that show the first of them in the capture, and the kernel's own count of the races."""
    first = losses.pairs.row(0, named=True)
    field = "ipv6.addr" if ":" in losses.client else "ip.addr"
    shown = f"dns.qry.name == {first['name']} && {field} == {losses.client}"
    return (
        f"{tshark(first['source'], '-t a')} -Y {shlex.quote(shown)}",
        "conntrack -S | grep -o 'insert_failed=[0-9]*'   # on the node: grows with each race",
    )
