"""Which programs refresh too often, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
from msgspec import Struct

from analyzer.detector import Remark

BIN = "1m"

PORT_KEPT = pl.duration(seconds=60)
"""A port that is seen again sooner is the same connection: Linux holds a closed one back 60 s (TCP_TIMEWAIT_LEN)."""

COMMAND_LINE = (
    r"(?i)^(aws-cli|aws-internal|curl|wget|gsutil|google-cloud-sdk|gcloud(?:[/ ]|$)|azsdk-cli|azurecli|kubectl"
    r"|terraform|ansible)"
)
"""Programs that end after one call. Google's library for Go calls itself `gcloud-golang/` and is none of them."""

KNOWN = r"(?i)botocore/|^boto3/|aws-sdk-|google|gcloud-golang/|azsdk|azure-sdk|ruby"
"""SDKs whose refresh window is known."""


class Windows(Struct, frozen=True, kw_only=True):
    """Seconds before the end at which each family of SDKs refreshes."""

    botocore: float
    java_v1: float
    google: float
    other: float

    def of_agent(self) -> pl.Expr:
        """The window by User-Agent and provider."""
        agent = pl.col("user_agent").fill_null("")
        return (
            pl.when(agent.str.contains(r"(?i)botocore/|^boto3/"))
            .then(self.botocore)
            .when(agent.str.contains(r"(?i)aws-sdk-java/1\."))
            .then(self.java_v1)
            .when(pl.col("provider") == "gcp")
            .then(self.google)
            .otherwise(self.other)
            .cast(pl.Float64)
        )


def _known() -> pl.Expr:
    return pl.col("user_agent").fill_null("").str.contains(KNOWN)


def judge(
    refreshes: pl.LazyFrame, windows: Windows, min_refreshes: int, per_minute: float, minutes: int
) -> pl.DataFrame:
    """The refreshes with the verdict on their program (client and User-Agent): `certain`, `by_rate`, `short_lived`;
    beside them `window` in seconds, `known` SDK and `good`, where the credential was granted or its answer not seen."""
    who = ["client", "user_agent"]
    granted = (pl.col("status") == 200) | pl.col("status").is_null()
    short = (pl.col("remaining_seconds") < pl.col("window")) & (pl.col("remaining_seconds") > 0)
    within = pl.col("short").shift(1).over(who) & (pl.col("time") <= pl.col("expires_at").shift(1).over(who))
    again = (pl.col("short") & within).fill_null(False)
    made = (
        refreshes.sort("time", "source", "number")
        .with_columns(window=windows.of_agent(), known=_known(), good=granted)
        .collect()
    )
    cli = pl.col("user_agent").fill_null("").str.contains(COMMAND_LINE)
    socket = [*who, "client_port", "server"]
    kept = (pl.col("time") - pl.col("time").shift(1).over(socket) <= PORT_KEPT).fill_null(False)
    same_socket = 2 * kept.sum().over(who) >= pl.len().over(who)
    processes = 1 + pl.col("overlapping").max().over(who)
    fresh = (pl.col("remaining_seconds").median() >= pl.col("window").first()).over(who).fill_null(False)
    good = (
        made.filter("good")
        .with_columns(short=short.fill_null(False))
        .with_columns(certain=(again.sum().over(who) >= min_refreshes * processes - 1) & ~cli)
        .join(_fast(made.filter("good"), per_minute, minutes), on=who, how="left", nulls_equal=True)
        .with_columns(fast=pl.col("fast").fill_null(False))
        .with_columns(short_lived=pl.col("fast") & (cli | (fresh & ~same_socket)) & ~pl.col("certain"))
        .with_columns(by_rate=pl.col("fast") & ~pl.col("certain") & ~pl.col("short_lived"))
    )
    return pl.concat([good, made.filter(~pl.col("good"))], how="diagonal").sort("time", "source", "number")


def _fast(good: pl.DataFrame, per_minute: float, minutes: int) -> pl.DataFrame:
    """Programs with so many minutes on end above the rate."""
    who = ["client", "user_agent"]
    busy = (
        good.with_columns(minute=pl.col("time").dt.truncate(BIN))
        .group_by(*who, "minute")
        .len()
        .filter(pl.col("len") > per_minute)
        .sort("client", "user_agent", "minute", nulls_last=True)
        .with_columns(step=(pl.col("minute") - pl.col("minute").shift(1).over(who) != pl.duration(minutes=1)))
        .with_columns(run=pl.col("step").fill_null(True).cum_sum().over(who))
    )
    return busy.group_by(*who, "run").len().group_by(who).agg(fast=pl.col("len").max() >= minutes)


def short_lived(judged: pl.DataFrame) -> Iterator[Remark]:
    """A word on programs that refresh often because they start often."""
    groups = judged.filter(pl.col("short_lived").fill_null(False)).group_by("client", "user_agent").len()
    for client, agent, count in groups.sort("client", "user_agent").iter_rows():
        yield Remark(
            f"short-lived-clients: {count} refreshes by {client} ({agent or 'no User-Agent'}), each by a process of "
            "its own as far as connections and lives tell; one process that lives would refresh once an hour"
        )
