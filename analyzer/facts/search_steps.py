"""Put queries into walks: which query follows which, where lookups of one name repeat, overlap or lose packets."""

from __future__ import annotations

import numpy as np
import polars as pl

from analyzer.facts.codes import pair
from analyzer.facts.neighbours import by_digits, latest, nth
from analyzer.frames import NO_REPLY

ABSOLUTE = 1 << 20
"""Position of the name as it stands: after every search domain."""

STEP_GAP = 0.25
"""Seconds from an answer to the next step of the walk, or three times what the answer took, if that is more. An
engineering default: a resolver goes on at once, a loaded node may take some scheduling periods."""

UNANSWERED_GAP = 10.25
"""The same after a query without an answer: two tries of 5 s (RES_DFLRETRY and RES_TIMEOUT, glibc resolv.h)."""


def chained(tries: pl.DataFrame, candidates: pl.DataFrame) -> pl.DataFrame:
    """The queries that belong to a walk, walk by walk: `row`, `walk` (client and base), `position`, `inside`, `chain`
    (one walk) and `last` (true for its last query).

    `tries` are queries with `row` and text as CODE, `candidates` say what each name may mean to its client (key, walk,
    position, inside).
    A name may be read in several ways: `payments.shop.svc.cluster.local` is where `payments`, `payments.shop` and
    `payments.shop.svc` end. The reading in the longest walk wins, then the one with the most labels in its suffix.
    """
    read = _ordered(tries).join(candidates, on="key", maintain_order="left").drop("key")
    steps = _numbered(read)
    if read["row"].n_unique() < read.height:
        size = pl.len().over("chain")
        best = (
            steps.with_columns(size=size)
            .sort("row", "size", "position", "walk", descending=[False, True, False, False])
            .unique("row", keep="first", maintain_order=True)
        )
        reading = ["row", "walk", "position"]
        steps = _numbered(read.join(best.select(reading), on=reading, how="semi", maintain_order="left"))
    return steps


def _ordered(tries: pl.DataFrame) -> pl.DataFrame:
    """The queries in order, with what their place in a walk depends on: sorting wide rows would take most of the time.

    By the answer, not by the query: a log line is written with the answer, and its number is the finer clock.
    `key` stands for client and name, `lane` for the input of a query without a time, `kind` for its type; from `until`
    on a next query is another walk's.
    """
    rcode = pl.col("rcode")
    lasted = pl.col("duration_seconds").fill_null(0)
    silent = (rcode == NO_REPLY).fill_null(True)
    patience = pl.when(silent).then(UNANSWERED_GAP).otherwise(pl.max_horizontal(STEP_GAP, 3 * lasted))
    clock = pl.coalesce("answered", "asked")
    source = pl.col("source").to_physical().cast(pl.UInt64)
    untimed = pl.lit(np.iinfo(np.int64).max)
    place = tries.select(clock=clock.to_physical().fill_null(untimed), source=source, number="number")
    # Nearly in order already, which this way of sorting makes use of.
    order = np.lexsort([place[name].to_numpy() for name in ("number", "source", "clock")])
    return tries.select(
        *("row", "time"),
        key=pair("client", "name"),
        lane=pl.when(pl.col("time").is_not_null()).then(0).otherwise(source + 1),
        kind=pl.col("qtype").to_physical(),
        noerror=(rcode == "NOERROR").fill_null(False),
        vain=((rcode == "NXDOMAIN") | ((rcode == "NOERROR") & (pl.col("answers") == 0))).fill_null(False),
        until=clock + pl.duration(microseconds=(patience * 1e6).cast(pl.Int64)),
    )[order]


def _numbered(steps: pl.DataFrame) -> pl.DataFrame:
    """Tell the walks apart, and put their queries in order, walk by walk.

    Within one group (client, base and type) a pause ends all walks. A resolver takes the next step when it has the
    answers for all types, so whoever waits for a lost one pauses for none. Between pauses, the n-th query of each
    position belongs to the n-th walk, which holds for lookups one after another and for lookups that overlap; where all
    open walks have ended and a new one begins, counting starts again, so that a lost packet spoils no more than its
    neighbours.
    """
    # Rows of a group stand together, so that a neighbour of the same group is a shift: windows would cost far more.
    follows = pl.col("group") == pl.col("group").shift(1)
    pause = follows & (pl.col("time") > pl.col("wait")).fill_null(False)
    net = pl.col("opens").cast(pl.Int64) - pl.col("closes").cast(pl.Int64)
    begun = pl.when("starts").then(net.cum_sum() - net).forward_fill()
    place = pl.col("round").cast(pl.UInt64) * (ABSOLUTE * 2) + pl.col("position").cast(pl.UInt64)
    ordered = (
        _grouped(steps)
        .with_columns(burst=(~follows.fill_null(False) | pause).cum_sum().cast(pl.Int64))
        .with_columns(starts=(pl.col("burst") != pl.col("burst").shift(1)).fill_null(True))
        .pipe(_with_ends)
        .with_columns(after=net.cum_sum() - begun)
        .with_columns(
            depth=pl.when("starts").then(0).otherwise(pl.col("after").shift(1)),
            fresh=pl.col("opens") & pl.col("closes").shift(1) & ~pl.col("starts"),
        )
        .with_columns(round=(_begins() | pl.col("starts")).cum_sum())
        .select("row", "walk", "position", "inside", chain=pl.col("round").cast(pl.UInt64) * (1 << 32), place=place)
    )
    places = ordered["place"].to_numpy()
    order = np.argsort(places, kind="stable")  # mostly in that order already, which this way of sorting makes use of
    turn = np.empty(len(order), np.uint64)
    turn[order] = pl.DataFrame({"place": places[order]}).select(nth("place")).to_series()
    return (
        ordered.with_columns(chain=pl.col("chain") + pl.Series(turn))
        .pipe(_by_chain)
        .select(
            *("row", "walk", "position", "inside"),
            chain=pl.col("chain").rle_id(),
            last=(pl.col("chain") != pl.col("chain").shift(-1)).fill_null(True),
        )
    )


def _with_ends(steps: pl.DataFrame) -> pl.DataFrame:
    """With `opens` and `closes`: the first and the last query of a walk.

    A name of at least ndots dots is asked as it stands first, and searched where that gave no record: glibc's
    `__res_context_search` (resolv/res_query.c) and Go's `nameList` do so, musl does not (`name_from_dns_search`). So
    is read what begins with a name as it stands, in vain and at once searched, and ends under a domain: between two
    pauses all walks of one name go the same way round.
    """
    absolute, starts = pl.col("position") == ABSOLUTE, pl.col("starts")
    first, ends = pl.col("position") == 0, starts.shift(-1).fill_null(True)
    plain = steps.with_columns(opens=first, closes=absolute | pl.col("noerror"))
    searched = starts & absolute & pl.col("vain") & ~ends & first.shift(-1)
    if not plain.select(searched.any()).item():
        return plain.drop("noerror", "vain")
    last = pl.when(~absolute).then("position").max().over("group")
    found = pl.col("noerror") & ~pl.col("vain")
    turned = pl.when(starts).then(searched).forward_fill() & ~pl.when(ends).then(absolute).backward_fill()
    return plain.with_columns(
        opens=pl.when(turned).then(absolute).otherwise("opens"),
        closes=pl.when(turned).then(found | (pl.col("position") == last)).otherwise("closes"),
    ).drop("noerror", "vain")


def _grouped(steps: pl.DataFrame) -> pl.DataFrame:
    """The steps in the order of their groups (`group`: client, base, input of those without a time, and type), each in
    its order; `wait` is how long a resolver may have waited for the answers of all types so far.

    Wide rows are put in order once; what decides the order is sorted before.
    """
    lanes = steps.select("until", "kind", group=pl.col("walk").cast(pl.UInt64) * (1 << 32) + pl.col("lane"))
    by_lane = by_digits(lanes["group"].to_numpy())
    waits = (
        lanes[by_lane]
        .with_columns(group=pl.col("group").rle_id())
        .select(
            group=pl.col("group").cast(pl.UInt64) * (1 << 32) + pl.col("kind"), wait=latest("until", "group").shift(1)
        )
    )
    by_kind = by_digits(waits["group"].to_numpy())
    return steps.drop("lane", "kind", "until")[by_lane[by_kind]].hstack(waits[by_kind])


def _by_chain(steps: pl.DataFrame) -> pl.DataFrame:
    """In the order of `chain`, equal ones in their order. Lookups that do not overlap stand so already."""
    chain = steps["chain"].to_numpy()
    return steps if (chain[1:] >= chain[:-1]).all() else steps[np.argsort(chain, kind="stable")]


def _begins() -> pl.Expr:
    """True where a first step comes after a last one while no walk is open.

    `depth` is walks opened less walks closed. Losses shift it for good, so no walk is open where it is at its least
    so far or from here on. Where it dips below its neighbours for this one step alone, the step is no beginning but
    came late: CoreDNS writes lines of queries that it serves at once in no fixed order.
    """
    depth = pl.col("depth")
    # A floor that falls (or, read backwards, rises) from burst to burst makes one pass start anew in each of them.
    floor = pl.col("burst") * (pl.len().cast(pl.Int64) + 1)
    least = ((depth - floor).cum_min() == depth - floor) | ((depth + floor).cum_min(reverse=True) == depth + floor)
    level = pl.when("fresh").then(depth)
    ends = pl.col("starts").shift(-1).fill_null(True)
    before = pl.when("starts").then(0).otherwise(level.shift(1)).forward_fill()
    later = pl.when(ends).then("after").otherwise(level.shift(-1)).backward_fill()
    return pl.col("fresh") & least & ~((depth < before) & (depth < later))
