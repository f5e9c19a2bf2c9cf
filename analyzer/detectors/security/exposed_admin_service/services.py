"""Services that open what administers the cluster, and look-alikes at common ports."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

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
    found: dict[tuple[object, object], Exposed] = {}
    common = []
    for row in table.filter(open_.fill_null(value=True)).collect().iter_rows(named=True):
        known = product(row)
        if known is None or (row["reach"] == NODES and not known[2]):
            if known is None and row["reach"] == PUBLIC and row["port"] in COMMON and not ingress(row):
                common.append(f"{row['namespace']}/{row['name']} port {row['port']}")
            continue
        key = (row["namespace"], row["name"])
        if key not in found or (row["reach"] == PUBLIC and found[key].reach == NODES):
            found[key] = _exposed(row, known)
        else:
            found[key] = _more(found[key], row)
    if common:
        names = ", ".join(dict.fromkeys(common[:NAMED])) + (
            f" and {len(common) - NAMED} more" if len(common) > NAMED else ""
        )
        told.append(f"Public load balancers at ports that dashboards use, and many applications too: {names}")
    return list(found.values()), told


def _exposed(row: Row, known: tuple[str, int, bool]) -> Exposed:
    name, port, sure = known
    writes = [(row["time"], row["source"], row["number"])]
    if row["until_source"] is not None:
        writes.append((row["until"], row["until_source"], row["until_number"]))
    schema = {"time": pl.Datetime("us", "UTC"), "source": pl.String(), "number": pl.Int64()}
    return Exposed(
        subject=f"{row['namespace']}/{row['name']}",
        variant="service",
        product=name,
        port=port,
        ports=_ports(row),
        sure=sure,
        reach=str(row["reach"]),
        namespace=str(row["namespace"]),
        actor=str(row["actor"] or ""),
        since=row["time"],  # type: ignore[arg-type]
        until=row["until"],  # type: ignore[arg-type]
        writes=pl.DataFrame(writes, schema=schema, orient="row"),
    )


def _more(one: Exposed, row: Row) -> Exposed:
    """A further port of the same service, or a later time in which it was open."""
    other = _exposed(row, (one.product, one.port or 0, one.sure))
    writes = pl.concat([one.writes, other.writes]).unique(maintain_order=True)
    ports = tuple(dict.fromkeys((*one.ports, *other.ports)))
    until = None if one.until is None or other.until is None else max(one.until, other.until)
    return _replaced(one, writes=writes, ports=ports, until=until)


def _replaced(one: Exposed, **changed: object) -> Exposed:
    return Exposed(**({name: getattr(one, name) for name in one.__struct_fields__} | changed))


def _ports(row: Row) -> tuple[int, ...]:
    target = str(row["target_port"] or "")
    numbers = (row["port"], int(target) if target.isdigit() else None, row["node_port"])
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
