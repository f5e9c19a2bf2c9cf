"""Which of the evidence belongs to which upstream."""

from __future__ import annotations

import polars as pl
from msgspec.structs import replace

from analyzer.detectors.dns.dns_upstream_throttle.seen import Seen

MOST_UPSTREAMS = 15
"""As many as one `forward` may have (plugin/forward/setup.go); what fails at others counts with the first."""


def parted(seen: Seen) -> list[tuple[tuple[str, ...], Seen]]:
    """What belongs to each upstream; what names none belongs to where the same name failed, else to the first."""
    vain = seen.upstream.filter("failed").select(address="server", name="name", weight=pl.lit(1, pl.Int64))
    told = seen.errors.select(address="upstream", name="name", weight="count")
    pairs = pl.concat([vain, told]).filter(pl.col("address").is_not_null())
    order = pairs.group_by("address").agg(pl.col("weight").sum()).sort(["weight", "address"], descending=[True, False])
    groups: list[tuple[list[str], set[str]]] = []
    for address in order["address"].head(MOST_UPSTREAMS):
        names = set(pairs.filter(pl.col("address") == address)["name"].drop_nulls())
        for members, common in groups:
            if 2 * len(names & common) >= min(len(names), len(common)):
                members.append(address)
                common |= names
                break
        else:
            groups.append(([address], names))
    if not groups:
        # Nothing names where it failed: what CoreDNS holds back was for those that it asks.
        return [(tuple(seen.upstream["server"].drop_nulls().unique().sort().head(MOST_UPSTREAMS)), seen)]
    if len(groups) < 2:
        return [(tuple(sorted(groups[0][0])), seen)]
    by_address = {address: place for place, (members, _) in enumerate(groups) for address in members}
    by_name = {name: place for place, (_, names) in reversed(list(enumerate(groups))) for name in names}
    return [
        (tuple(sorted(members)), _of(seen, place, by_address, by_name)) for place, (members, _) in enumerate(groups)
    ]


def _of(seen: Seen, place: int, by_address: dict[str, int], by_name: dict[str, int]) -> Seen:
    def mine(frame: pl.DataFrame, address: str = "") -> pl.DataFrame:
        group = pl.col("name").replace_strict(by_name, default=0, return_dtype=pl.Int64).fill_null(0)
        if address:
            known = pl.col(address).replace_strict(by_address, default=None, return_dtype=pl.Int64)
            group = pl.coalesce(known, group)
        return frame.filter(group == place)

    return replace(
        seen,
        asked=mine(seen.asked),
        upstream=mine(seen.upstream, "server"),
        errors=mine(seen.errors, "upstream"),
        captured=mine(seen.captured),
    )
