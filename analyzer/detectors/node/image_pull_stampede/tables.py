"""Records, tables and the series of a stampede."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from analyzer.detectors.node.image_pull_stampede.causes import Cause
from analyzer.detectors.node.image_pull_stampede.episodes import Episode
from analyzer.detectors.node.image_pull_stampede.theory import allowed
from analyzer.facts.audit_windows import records, short
from analyzer.model import Column, Evidence, EvidenceSeries, EvidenceTable, Record

ROWS = 15
STEP, STEPS = 60, 240


def evidence(episode: Episode, cause: Cause) -> Evidence:
    tables = [_images(episode, cause), _nodes(episode)]
    if cause.changes.height:
        tables.append(_changes(episode, cause))
    return Evidence(records=_records(episode, cause), tables=tuple(tables), series=_series(episode))


def _records(episode: Episode, cause: Cause) -> tuple[Record, ...]:
    """Attempts of what began it, the first failure of each kind, the first of the innocent, restarts, connections."""
    place = ["time", "source", "number"]
    first = episode.failures.unique(["image", "class"], keep="first", maintain_order=True).head(8)
    parts = [
        episode.tries.filter(pl.col("image") == cause.image).select(place).unique(maintain_order=True).head(3),
        episode.tries.select(place).tail(1),
        first.select(place),
        cause.innocent.select(place).head(3),
        *(rows.select(place).head(2) for rows in (cause.restarting, cause.hellos, cause.changes) if rows.height),
    ]
    return records(pl.concat(parts).unique().sort(place))


def _images(episode: Episode, cause: Cause) -> EvidenceTable:
    failed = episode.failures.group_by("image").agg(
        pl.col("weight").sum().alias("failed"), pl.col("class").unique().sort().str.join(", ")
    )
    rows = (
        episode.tries.group_by("image")
        .agg(
            pl.col("weight").sum().round().cast(pl.Int64).alias("attempts"),
            pl.col("who").n_unique(),
            pl.col("node").drop_nulls().n_unique(),
        )
        .join(failed, on="image", how="left")
        .sort(["attempts", "image"], descending=[True, False])
        .head(ROWS)
    )
    innocent = set(cause.innocent["image"])
    return EvidenceTable(
        caption="Images that were pulled again or in vain",
        columns=(
            Column(name="image"),
            Column(name="part"),
            Column(name="attempts", unit="pulls"),
            Column(name="failed", unit="pulls"),
            Column(name="failed of"),
            Column(name="pods", unit="pods"),
            Column(name="nodes", unit="nodes"),
        ),
        rows=tuple(
            (
                short(image),
                "began it" if image == cause.image else "innocent" if image in innocent else "",
                attempts,
                round(failed or 0),
                why or "",
                pods,
                nodes,
            )
            for image, attempts, pods, nodes, failed, why in rows.rows()
        ),
    )


def _nodes(episode: Episode) -> EvidenceTable:
    """Attempts by node against what the back-off lets its pods try in the same time."""
    pairs = episode.tries.group_by(pl.col("node").fill_null("unknown"), "image", "who").agg(
        pl.col("weight").sum(), (pl.col("at").max() - pl.col("at").min()).dt.total_seconds().alias("seconds")
    )
    rows = (
        pairs.with_columns(allowed(pairs["seconds"]))
        .group_by("node")
        .agg(pl.col("weight").sum().round().cast(pl.Int64), pl.col("allowed").sum(), pl.col("who").n_unique())
        .sort(["weight", "node"], descending=[True, False])
        .head(ROWS)
    )
    return EvidenceTable(
        caption="Nodes; the back-off lets a container try after 10, 20, 40 ... at most 300 s",
        columns=(
            Column(name="node"),
            Column(name="attempts", unit="pulls"),
            Column(name="allowed by back-off", unit="pulls"),
            Column(name="pods", unit="pods"),
        ),
        rows=tuple((short(node), *rest) for node, *rest in rows.rows()),
    )


def _changes(episode: Episode, cause: Cause) -> EvidenceTable:
    rows = cause.changes.select("time", "verb", "resource", "namespace", "name", "actor")
    return EvidenceTable(
        caption="What was written in the half hour before",
        columns=(Column(name="before", unit="seconds"), Column(name="change"), Column(name="by")),
        rows=tuple(
            (
                round((episode.start - time).total_seconds(), 3),
                f"{verb} {resource} {short('/'.join(part for part in (namespace, name) if part))}",
                short(actor),
            )
            for time, verb, resource, namespace, name, actor in rows.rows()
        ),
    )


def _series(episode: Episode) -> tuple[EvidenceSeries, ...]:
    """Attempts, and pulls that the registry's quota turned away, in steps of whole minutes."""
    start = episode.start.replace(second=0, microsecond=0)
    minutes = int((episode.end - start) / timedelta(seconds=STEP)) + 1
    step = STEP * -(-minutes // STEPS)
    bins = -(-minutes * STEP // step)

    def of(caption: str, rows: pl.DataFrame) -> EvidenceSeries:
        at = ((pl.col("at") - start).dt.total_seconds() // step).alias("bin")
        sums = dict(rows.group_by(at).agg(pl.col("weight").sum()).iter_rows())
        values = tuple(round(float(sums.get(one, 0.0)), 3) for one in range(bins))
        return EvidenceSeries(caption=caption, unit="pulls", start=start, step_seconds=step, values=values)

    shown = [of(f"Attempts, per {step} s", episode.tries)]
    if episode.quota.height:
        shown.append(of(f"Turned away by the quota, per {step} s", episode.quota))
    return tuple(shown)
