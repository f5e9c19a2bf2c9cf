"""What tells of mining in the tables: messages, names that were asked for, connections to pools."""

from __future__ import annotations

import polars as pl
from msgspec import Struct

from analyzer.facts.contract import Frames
from analyzer.facts.dns_queries import DNS_CLIENT_QUERIES
from analyzer.facts.mining_pools import names_pool
from analyzer.facts.tcp_connections import TCP_CONNECTIONS
from analyzer.frames import DNS_ANSWERS, MINING_MESSAGES, TLS_CLIENT_HELLOS, empty

ASKS = (
    *("login", "submit", "keepalived", "getjob", "mining.subscribe", "mining.authorize", "mining.submit"),
    *("mining.configure", "mining.extranonce.subscribe", "mining.suggest_difficulty", "mining.suggest_target"),
    *("mining.hello", "mining.get_transactions", "mining.multi_version", "mining.capabilities"),
    *("eth_submitLogin", "eth_getWork", "eth_submitWork", "eth_submitHashrate"),
)
TELLS = (
    *("job", "mining.notify", "mining.set_difficulty", "mining.set_target", "mining.set_extranonce", "mining.set"),
    "mining.set_version_mask",
)
SHARES = ("submit", "mining.submit", "eth_submitWork")

ENDS = ["source", "client", "client_port", "server", "server_port"]
PLACE = ["time", "source", "number"]


class Signs(Struct, frozen=True, kw_only=True):
    """`spoken`: messages with `client` (the miner), `server`, `asks`. `asked`: queries for pools' names. `hellos`: TLS
    hellos that name a pool. `connections`: to whom any of these point, with `pool`, the name if it is known."""

    spoken: pl.DataFrame
    asked: pl.DataFrame
    hellos: pl.DataFrame
    connections: pl.DataFrame
    left_out: int
    """Signs that point to pools of one's own."""


def signs(frames: Frames, own: frozenset[str]) -> Signs:
    connections = frames.get(TCP_CONNECTIONS)
    spoken, asked, hellos = _spoken(frames, connections), _asked(frames), _hellos(frames)
    answers = _answers(frames)
    mine = pl.col("server").is_in(list(own))
    named = answers.filter(pl.col("pool").is_in(list(own)))["server"]
    mine_too = mine | pl.col("server").is_in(named.implode())
    kept = spoken.filter(~mine_too)
    left = spoken.height - kept.height
    asked, hellos = (_others(frame, name, own) for frame, name in ((asked, "name"), (hellos, "sni")))
    answers = answers.filter(~pl.col("pool").is_in(list(own)), ~mine)
    found = _connections(connections, kept, hellos, answers, _all_hellos(frames))
    return Signs(spoken=kept, asked=asked, hellos=hellos, connections=found, left_out=left)


def _others(frame: pl.DataFrame, name: str, own: frozenset[str]) -> pl.DataFrame:
    return frame.filter(~pl.col(name).cast(pl.String).is_in(list(own)))


def _spoken(frames: Frames, connections: pl.LazyFrame | None) -> pl.DataFrame:
    """Each message once, with who of the two is the miner."""
    table = frames[MINING_MESSAGES] if MINING_MESSAGES in frames else empty(MINING_MESSAGES).lazy()
    asks = pl.col("method").is_in(ASKS) & ~pl.col("response")
    tells = pl.col("method").is_in(TELLS) | pl.col("response")
    ends = {
        "client": pl.when(asks).then("src").otherwise("dst"),
        "client_port": pl.when(asks).then("src_port").otherwise("dst_port"),
        "server": pl.when(asks).then("dst").otherwise("src"),
        "server_port": pl.when(asks).then("dst_port").otherwise("src_port"),
    }
    told = table.filter(asks | tells, ~pl.col("duplicate").fill_null(False)).with_columns(asks=asks, **ends)
    found = told.select(*PLACE, *ENDS[1:], "asks", "method", "agent", "algorithm", "account").collect()
    if connections is not None and found.height:
        covered = connections.filter("covered").select(ENDS).unique().collect()
        found = found.join(covered, on=ENDS, how="anti", maintain_order="left")
    return found.sort("time", "source", "number", nulls_last=True)


def _asked(frames: Frames) -> pl.DataFrame:
    schema = {**{name: DNS_CLIENT_QUERIES.table.schema[name] for name in (*PLACE, "origin", "server", "rcode")}}
    if DNS_CLIENT_QUERIES not in frames:
        return pl.DataFrame(schema={**schema, "rcode": pl.String(), "client": pl.String(), "name": pl.String()})
    queries = frames[DNS_CLIENT_QUERIES]
    names = queries.select(pl.col("name").unique()).filter(names_pool(pl.col("name"))).collect()["name"]
    texts = [pl.col(name).cast(pl.String) for name in ("rcode", "client", "name")]
    found = queries.filter(pl.col("name").is_in(names.implode())) if names.len() else queries.limit(0)
    return found.select(*PLACE, "origin", "server", *texts).filter(pl.col("client").is_not_null()).collect()


def _all_hellos(frames: Frames) -> pl.LazyFrame:
    table = frames[TLS_CLIENT_HELLOS] if TLS_CLIENT_HELLOS in frames else empty(TLS_CLIENT_HELLOS).lazy()
    return table.filter(~pl.col("duplicate").fill_null(False)).select(*PLACE, *ENDS[1:], "sni")


def _hellos(frames: Frames) -> pl.DataFrame:
    return _all_hellos(frames).filter(names_pool(pl.col("sni"))).collect()


def _answers(frames: Frames) -> pl.DataFrame:
    """Addresses that a client was told of a pool's name: `answered`, `client`, `server`, `pool`."""
    table = frames[DNS_ANSWERS] if DNS_ANSWERS in frames else empty(DNS_ANSWERS).lazy()
    pools = table.filter(names_pool(pl.col("name"))).group_by("source", "number").agg(pool=pl.col("name").first())
    told = table.filter(pl.col("rtype").is_in(["A", "AAAA"])).join(pools, on=["source", "number"])
    found = told.select("client", server="value", pool="pool", answered="time").drop_nulls("server").collect()
    return found.group_by("client", "server", "pool").agg(pl.col("answered").min()).sort("client", "server", "pool")


def _connections(
    connections: pl.LazyFrame | None,
    spoken: pl.DataFrame,
    hellos: pl.DataFrame,
    answers: pl.DataFrame,
    every: pl.LazyFrame,
) -> pl.DataFrame:
    """Connections of miners to their pools: spoken over, named in the hello, or to an address that the name stood for,
    unless their hello names somebody else."""
    schema = {**{name: TCP_CONNECTIONS.table.schema[name] for name in (*PLACE, "end", *ENDS[1:])}}
    schema |= {"bytes": pl.Int64(), "pool": pl.String()}
    if connections is None or not (spoken.height or hellos.height or answers.height):
        return pl.DataFrame(schema=schema)
    made = connections.filter(~pl.col("covered"), pl.col("established")).select(
        *(*PLACE, "end", *ENDS[1:]), bytes=pl.col("client_bytes") + pl.col("server_bytes")
    )
    peers = ["client", "server", "server_port"]
    by_speech = made.join(spoken.lazy().select(peers).unique(), on=peers, how="semi").with_columns(
        pool=pl.lit(None, pl.String)
    )
    named = hellos.lazy().select(*ENDS, pool="sni").unique(ENDS, keep="first", maintain_order=True)
    by_hello = made.join(named, on=ENDS)
    told = made.join(answers.lazy(), on=["client", "server"]).filter(
        (pl.col("time") >= pl.col("answered")).fill_null(value=True)
    )
    elsewhere = every.filter(pl.col("sni").is_not_null(), ~names_pool(pl.col("sni"))).select(ENDS).unique()
    by_name = told.drop("answered").join(elsewhere, on=ENDS, how="anti")
    found = pl.concat([one.select(list(schema)) for one in (by_hello, by_name, by_speech)]).collect()
    order = pl.col("pool").is_null()
    found = found.sort(order, "source", "number", "pool").unique(
        ["source", "number"], keep="first", maintain_order=True
    )
    return found.sort("time", "source", "number", nulls_last=True)
