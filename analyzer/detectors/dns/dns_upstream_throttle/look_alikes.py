"""What looks like a throttled upstream and is not: CoreDNS in trouble itself, or a few broken domains."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.dns.dns_upstream_throttle.judge import HALF, Verdict
from analyzer.detectors.dns.dns_upstream_throttle.plateau import handed_on
from analyzer.detectors.dns.dns_upstream_throttle.windows import Window

CARRY = 0.9
"""Part of the failures that few domains must carry to be the trouble themselves [an engineering default]."""

CONTRAST = 3
"""Least queries for other domains that must have been answered [an engineering default]."""
CHANCE = 0.01
"""Chance below which so many of them are not answered by luck [an engineering default]."""

SECOND_LEVEL = r"(?:co|com|net|org|ac|gov|edu|or|ne|go)"
"""Under domains of countries, names are registered below one of these; the list of public suffixes is longer."""

LIMITS = ("concurrency-limit", "rate-limit")
"""What few domains cannot be to blame for, though all queries be for them."""


def registered(column: str) -> pl.Expr:
    """The registered domain of a name: its last two labels, or three under a country."""
    name = pl.col(column)
    three = name.str.extract(rf"([^.]+\.{SECOND_LEVEL}\.[a-z]{{2}})$")
    return pl.coalesce(three, name.str.extract(r"([^.]+\.[^.]+)$"), name)


def domains(window: Window) -> pl.DataFrame:
    """`domain`, `failed`, `asked` (null by errors alone), `names`: of clients' queries that CoreDNS's cache did not
    answer, else CoreDNS's own, else of the errors; the worst first."""
    seen = window.seen
    rows = seen.asked.filter(~pl.col("retry"), handed_on()) if window.failed.height else seen.upstream
    if not rows.height or not rows["failed"].any():
        rows = seen.errors.select("name", failed=pl.lit(True), weight="count", known=pl.lit(0))
    else:
        rows = rows.select("name", "failed", weight=pl.lit(1, pl.Int64), known=pl.lit(1))
    named = rows.filter(pl.col("name") != "").with_columns(name=seen.zones.base("name"))
    return (
        named.with_columns(domain=registered("name"))
        .group_by("domain")
        .agg(
            (pl.col("weight") * pl.col("failed")).sum().alias("failed"),
            pl.when(pl.col("known").any()).then(pl.len()).alias("asked"),
            pl.col("name").filter("failed").n_unique().alias("names"),
        )
        .sort(["failed", "domain"], descending=[True, False])
    )


def look_alike(window: Window, verdict: Verdict, share: float, few: int, restarts: int) -> str:
    """What the failures are instead; empty where the upstream is to blame. `few` domains may carry them."""
    count = f"{window.failures:,} queries that CoreDNS hands on failed"
    cluster = window.seen.cluster.filter(~pl.col("retry"))
    broken = cluster.filter("failed").height
    if broken and broken / cluster.height >= max(share, HALF * (window.share or 0)):
        started = f"; it started {restarts} times meanwhile" if restarts else ""
        return (
            f"{count}, and so did {broken:,} of {cluster.height:,} for names of the cluster, which need no upstream: "
            f"CoreDNS itself was in trouble{started}."
        )
    if verdict.variant not in LIMITS and (authority := _authority(window, verdict, share, few)):
        return f"{count}, {authority}"
    seen = window.seen
    own_words = seen.upstream.height or seen.errors.height or (seen.asked["origin"] == "log").any()
    if not own_words and not (cluster["rcode"] == "NOERROR").any():
        return f"{count}; neither CoreDNS's own queries nor its log tell why, and no name of the cluster was answered."
    return ""


def blamable(window: Window, verdict: Verdict, few: int) -> str:
    """The few domains that alone failed where too little else was asked to clear or to blame them; empty without."""
    found = domains(window)
    failed = found.filter(pl.col("failed") > 0)["domain"]
    return " and ".join(failed) if verdict.variant not in LIMITS and 0 < len(failed) <= few else ""


def _authority(window: Window, verdict: Verdict, share: float, few: int) -> str:
    """Whose names fail, where it is those of a few domains and not the others."""
    found = domains(window)
    few = min(few, found.filter(pl.col("failed") > 0).height)
    worst, others = found.head(few), found.slice(few)
    failed, elsewhere, asked = (int(part.sum()) for part in (found["failed"], others["failed"], others["asked"]))
    if not failed or failed - elsewhere < CARRY * failed:
        return ""
    listed = " and ".join(worst["domain"])
    if found["asked"].null_count():
        return f"nearly all for names of {listed}: an authority problem of theirs, as far as errors alone can tell."
    lost = (failed - elsewhere) / max(int(worst["asked"].sum()), 1)
    if verdict.variant == "upstream-errors" and lost == 1 and not elsewhere:
        return f"all for names of {listed}: the upstream answers, and says that their authorities do not."
    if asked < CONTRAST or elsewhere >= share * asked or (1 - lost) ** asked >= CHANCE:
        return ""
    return (
        f"nearly all for names of {listed}, while {asked - elsewhere:,} queries for other domains were answered: an "
        "authority problem of theirs, not one of the upstream."
    )
