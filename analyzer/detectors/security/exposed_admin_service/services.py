"""Services that open what administers the cluster, and look-alikes at common ports."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import polars as pl

from analyzer.detectors.security.exposed_admin_service.catalogue import COMMON, ingress, product
from analyzer.detectors.security.exposed_admin_service.exposed import Exposed
from analyzer.facts.contract import Frames
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.service_exposures import NODES, PUBLIC, SERVICE_EXPOSURES

NAMED = 5
Row = Mapping[str, object]


def services(frames: Frames, least: float) -> tuple[list[Exposed], list[str]]:
    """What is open for at least that many seconds, in the order in which it was opened; what is worth a word."""
    told = []
    if SERVICE_EXPOSURES not in frames:
        return [], _unseen(frames)
    table = frames[SERVICE_EXPOSURES].filter(pl.col("reach").is_in([PUBLIC, NODES]), pl.col("port").is_not_null())
    table = table.filter(pl.col("protocol").is_null() | (pl.col("protocol") == "TCP"))
    open_ = pl.col("until").is_null() | (pl.col("until") - pl.col("time") >= timedelta(seconds=least))
    found: dict[tuple[object, object], list[tuple[Row, tuple[str, int, bool]]]] = {}
    common = []
    for row in table.filter(open_.fill_null(value=True)).collect().iter_rows(named=True):
        known = product(row)
        if known is not None and (row["reach"] == PUBLIC or known[2]):
            found.setdefault((row["namespace"], row["name"]), []).append((row, known))
        elif known is None and row["reach"] == PUBLIC and row["port"] in COMMON and not ingress(row):
            common.append(f"{row['namespace']}/{row['name']} port {row['port']}")
    if common:
        names = ", ".join(dict.fromkeys(common[:NAMED])) + (
            f" and {len(common) - NAMED} more" if len(common) > NAMED else ""
        )
        told.append(f"Public load balancers at ports that dashboards use, and many applications too: {names}")
    return [_exposed(rows) for rows in found.values()], told


def _exposed(rows: list[tuple[Row, tuple[str, int, bool]]]) -> Exposed:
    """One service: the port that is open to most says what it is, all say since when and until when."""
    row, (name, port, sure) = min(rows, key=lambda one: (one[0]["reach"] != PUBLIC, not one[1][2]))
    writes = [(one["time"], one["source"], one["number"]) for one, _ in rows]
    writes += [(one["until"], one["until_source"], one["until_number"]) for one, _ in rows if one["until_source"]]
    schema = {"time": pl.Datetime("us", "UTC"), "source": pl.String(), "number": pl.Int64()}
    times = [one["time"] for one, _ in rows if isinstance(one["time"], datetime)]
    ends = [one["until"] for one, _ in rows]
    closed = [end for end in ends if isinstance(end, datetime)]
    return Exposed(
        subject=f"{row['namespace']}/{row['name']}",
        variant="service",
        product=name,
        port=port,
        ports=tuple(dict.fromkeys(number for one, _ in rows for number in _ports(one))),
        sure=sure,
        reach=str(row["reach"]),
        namespace=str(row["namespace"]),
        actor=str(row["actor"] or ""),
        since=min(times, default=None),
        until=max(closed) if closed and len(closed) == len(ends) else None,
        writes=pl.DataFrame(writes, schema=schema, orient="row").unique(maintain_order=True),
    )


def _ports(row: Row) -> tuple[int, ...]:
    target = str(row["target_port"] or "")
    numbers = (row["port"], int(target) if target.isdecimal() else None, row["node_port"])
    return tuple(dict.fromkeys(int(str(number)) for number in numbers if number is not None))


def _unseen(frames: Frames) -> list[str]:
    """Where services were written and no body of one is logged, nothing can be said of their ports."""
    if AUDIT_REQUESTS not in frames:
        return []
    written = frames[AUDIT_REQUESTS].filter(
        pl.col("resource") == "services",
        pl.col("verb").is_in(["create", "update", "patch"]),
        pl.col("subresource").is_null(),
        pl.col("code").is_between(200, 299),
        pl.col("request_body_bytes") + pl.col("response_body_bytes") == 0,
    )
    count = written.select(pl.len()).collect().item()
    if not count:
        return []
    return [
        f"{count:,} writes of services were logged without bodies: which ports they opened, and to whom, is not told"
    ]
