"""What the evidence holds of queries that CoreDNS hands on: those of clients, its own to its upstream, its errors."""

from __future__ import annotations

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from analyzer.detectors.dns.dns_upstream_throttle.errors import errors_seen, named_upstreams
from analyzer.detectors.dns.dns_upstream_throttle.zones import Zones, zones
from analyzer.facts.contract import Frames
from analyzer.facts.copies import copies
from analyzer.facts.dns import DNS_TRANSACTIONS, LOOP_PROBE, TRANSACTIONS
from analyzer.facts.dns_log_classes import DNS_LOG_CLASSES
from analyzer.facts.neighbours import in_order
from analyzer.frames import COREDNS_QUERIES, NO_REPLY

FAILED = (NO_REPLY, "SERVFAIL", "REFUSED")
"""What a client gets when the upstream did not help: forward.go returns SERVFAIL, and REFUSED above max_concurrent."""

READ_TIMEOUT = 2.0
"""Seconds that forward waits for an answer (plugin/forward, plugin/pkg/proxy: readTimeout). Since 1.14.5 CoreDNS logs
SERVFAIL for what it gave up on, so long after."""

BIN_SECONDS = 10

NEAR = pl.duration(seconds=6)
"""A query of CoreDNS to its upstream this close after a client's belongs to it: forward tries for 5 s, and the last try
may take 2 s more (plugin/forward: defaultTimeout, readTimeout)."""

_COLUMNS = (
    *("time", "source", "number", "answer_number", "answered", "origin", "client", "client_port", "server", "dns_id"),
    *("name", "qtype", "rcode", "duration_seconds", "negative_ttl", "retry"),
)

# Most queries are for names of the cluster: no more of them is copied than is counted.
_COUNTED = ("time", "source", "number", "rcode", "retry", "failed", "silent", "inside")

_RCODE = pl.col("rcode")
_SILENT = (_RCODE == NO_REPLY) | ((_RCODE == "SERVFAIL") & (pl.col("duration_seconds") >= READ_TIMEOUT))

_VAIN = _RCODE.is_in(FAILED) & ((_RCODE == NO_REPLY) | ~pl.col("reverse"))
"""Names of addresses are often broken at their authority; what is dropped is dropped, whatever its name."""


class Seen(Struct, frozen=True):
    """All frames have time (null in a log without times), source, number and `bin` (of ten seconds, -1 without time).

    `asked`: forwarded queries of clients, `failed` or not, `silent` where no answer came. `cluster`: those for names of
    the cluster, in fewer columns. `upstream`: CoreDNS's own in captures, with retries. `errors`: see `errors_seen`;
    `alone` where no query lines stand beside them. `captured`: forwarded queries of clients as captures show them.
    `complete`: whether answers are logged too, so that a share can be told.
    """

    asked: pl.DataFrame
    cluster: pl.DataFrame
    upstream: pl.DataFrame
    errors: pl.DataFrame
    captured: pl.DataFrame
    complete: bool
    zones: Zones

    def within(self, first: int, last: int) -> Seen:
        """Only what lies in these bins, and the errors of the one after them: CoreDNS tries for a while."""
        parts = ("asked", "cluster", "upstream", "captured")
        inside = pl.col("bin").is_between(first, last)
        errors = self.errors.filter(inside | (~pl.col("alone") & (pl.col("bin") == last + 1)))
        return replace(self, errors=errors, **{name: getattr(self, name).filter(inside) for name in parts})


def see(frames: Frames) -> Seen | None:
    """Everything that tells of the upstream, each query once; None where nothing failed."""
    errors = binned(errors_seen(frames))
    queries = _queries(frames)
    if not errors.height and not queries["rcode"].is_in(FAILED).any():
        return None
    known = zones(frames, errors)
    named = named_upstreams(errors)
    # Behind an address translation, CoreDNS's own queries look like those of a client that asks the upstream itself.
    onwards = (pl.col("origin") == "capture") & pl.col("server").is_in(named)
    upstream = queries.filter((pl.col("hop") == "upstream") | onwards.fill_null(False))
    own = queries.filter(pl.col("hop") == "client", ~onwards.fill_null(False), ~pl.col("reverse"))
    own = own.with_columns(inside=known.inside("name"))
    first, last = own.filter(pl.col("origin") == "log").select(a=pl.col("time").min(), b=pl.col("time").max()).row(0)
    # Where a log covers the time, it tells what reached CoreDNS, and a capture only what clients saw of it.
    apart = pl.col("time").is_not_null() if first is None else ~pl.col("time").is_between(first, last)
    captured, logged = own.filter(pl.col("origin") == "capture"), _once(own.filter(pl.col("origin") == "log"))
    counted = pl.concat([logged, captured.filter(apart)]).with_columns(failed=_RCODE.is_in(FAILED), silent=_SILENT)
    # What nobody answered may never have reached CoreDNS: it counts where CoreDNS was seen to ask for it in vain.
    silent = (pl.col("origin") == "capture") & (_RCODE == NO_REPLY) & ~pl.col("inside")
    vain = _in_vain(counted.filter(silent), upstream)
    told = in_order(pl.concat([counted.filter(~silent), vain]))
    return Seen(
        asked=binned(told.filter(~pl.col("inside"))),
        cluster=binned(told.select(_COUNTED).filter("inside")),
        upstream=binned(upstream.with_columns(failed=_VAIN, silent=_SILENT)),
        errors=errors,
        captured=binned(captured.filter(~pl.col("inside"))),
        complete=_complete(frames, told),
        zones=known,
    )


def binned(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(bin=(pl.col("time").to_physical() // (BIN_SECONDS * 1_000_000)).fill_null(-1))


def _queries(frames: Frames) -> pl.DataFrame:
    """Queries whose fate is known, with `reverse`: names of addresses, whose zones outside are often broken."""
    if DNS_TRANSACTIONS not in frames:
        columns = [*_COLUMNS, "hop", "reverse"]
        return pl.DataFrame(schema={n: TRANSACTIONS.schema.get(n, pl.Boolean()) for n in columns})
    # The forward plugin asks an upstream that failed for the name servers of the root (plugin/forward/health.go).
    # A log line counts though a capture covers it: it tells what became of the query behind CoreDNS.
    known = pl.col("rcode").is_not_null() & (~pl.col("covered") | (pl.col("origin") == "log"))
    known &= ~((pl.col("qtype") == "NS") & (pl.col("name") == "")).fill_null(False)
    known &= ~((pl.col("qtype") == "HINFO") & pl.col("name").str.contains(LOOP_PROBE)).fill_null(False)
    reverse = pl.col("name").str.contains(r"\.(?:in-addr|ip6)\.arpa$").fill_null(False)
    return frames[DNS_TRANSACTIONS].filter(known).select(*_COLUMNS, "hop", reverse=reverse).collect()


def _once(logged: pl.DataFrame) -> pl.DataFrame:
    """The lines without those that another log holds as well."""
    if logged["source"].n_unique() < 2:
        return logged
    return logged.filter(~copies(logged.with_columns(interface=pl.lit(None, pl.Int32))))


def _in_vain(silent: pl.DataFrame, upstream: pl.DataFrame) -> pl.DataFrame:
    """The unanswered queries of clients for which CoreDNS asked its upstream in vain."""
    failed = upstream.filter(_VAIN, pl.col("time").is_not_null())
    if not silent.height or not failed.height:
        return silent.clear()
    tries = failed.select("name", "qtype", "time", asked_at="time").sort("time")
    met = silent.sort("time").join_asof(
        tries,
        on="time",
        by=["name", "qtype"],
        strategy="forward",
        tolerance=pl.select(NEAR).item(),
        check_sortedness=False,
    )
    return met.filter(pl.col("asked_at").is_not_null()).drop("asked_at")


def _complete(frames: Frames, told: pl.DataFrame) -> bool:
    logged = COREDNS_QUERIES in frames and DNS_LOG_CLASSES in frames
    if logged and frames[DNS_LOG_CLASSES].select(pl.col("filtered").any()).collect().item():
        return False
    return bool((told["rcode"] == "NOERROR").any())
