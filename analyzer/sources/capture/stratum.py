"""Messages between miners and pools: Stratum (mining.*), its Ethereum forms (eth_*) and the dialect of XMRig.

All are JSON-RPC objects, one a line, over plain TCP. A message is known by its method and the parameters that go with
it, never by a port. Accounts are masked; work, results and passwords are not kept.
Stratum: https://en.bitcoin.it/wiki/Stratum_mining_protocol; XMRig: doc/STRATUM.md of its proxy, Client.cpp.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import numpy as np
import polars as pl
from msgspec import Struct

from analyzer.sources.capture.arrays import I64, U8, Flags, gather
from analyzer.sources.capture.http_head import printable
from analyzer.sources.secrets import scrub

LINE_MOST = 4096
"""Bytes of one message; the job of a pool with a long list of algorithms has about 2 KiB."""
LINES_MOST = 64
"""Messages taken from one segment."""
TEXT_MOST = 255
WORD = 8
KEPT_FRONT, KEPT_BACK = 6, 4
"""Characters of an account that are shown: enough to tell two wallets apart."""
SHORT_ACCOUNT = 2 * (KEPT_FRONT + KEPT_BACK)
"""An account no longer than this is a name, not a wallet; half of it would be told."""

_STARTS = tuple(
    brace + key
    for brace in (b"{", b"{ ")
    for key in (b'"id"', b'"jsonrpc', b'"method', b'"params', b'"worker', b'"result', b'"error"')
)
_MARKS = re.compile(rb'"(?:mining\.[a-z_.]{2,30}|eth_(?:submit|getWork)[A-Za-z]*|login|job|submit|keepalived|getjob)"')
_STATUS = re.compile(rb'"KEEPALIVED"')
STRATUM = frozenset(
    f"mining.{verb}"
    for verb in (
        *("subscribe", "authorize", "submit", "notify", "set_difficulty", "set_target", "set_extranonce", "configure"),
        *("extranonce.subscribe", "suggest_difficulty", "suggest_target", "multi_version", "get_transactions"),
        *("capabilities", "hello", "set", "noop", "bye", "ping", "pong", "set_version_mask", "get_hashrate"),
    )
)
ETHEREUM = frozenset({"eth_submitLogin", "eth_getWork", "eth_submitWork", "eth_submitHashrate"})
_ACCOUNT_FIRST = frozenset({"mining.authorize", "mining.submit", "eth_submitLogin"})


class Messages(Struct, frozen=True):
    """One entry per message; `row` is the segment, `offset` where in it the message begins. `open` lists the segments
    that end inside their first message."""

    row: I64
    offset: I64
    content: pl.DataFrame
    open: I64


class _Told(Struct, frozen=True):
    response: bool
    method: str | None
    agent: str | None = None
    algorithm: str | None = None
    account: str | None = None


SCHEMA = pl.Schema(
    {
        "response": pl.Boolean(),
        "method": pl.String(),
        "agent": pl.String(),
        "algorithm": pl.String(),
        "account": pl.String(),
    }
)


def begins(data: U8, at: I64) -> Flags:
    """Whether a JSON-RPC object may begin at each place."""
    words = gather(data, at, WORD)
    out = np.zeros(len(at), bool)
    for start in _STARTS:
        front = np.frombuffer(start[:WORD], np.uint8)
        out |= (words[:, : len(front)] == front).all(axis=1)
    return out


def read(data: U8, start: I64, end: I64, final: Flags) -> Messages:
    """The messages of segments that begin like JSON-RPC. Of a `final` segment nothing more will come."""
    rows: list[int] = []
    offsets: list[int] = []
    told: list[_Told] = []
    unfinished: list[int] = []
    for row, (begin, stop) in enumerate(zip(start.tolist(), end.tolist(), strict=True)):
        text = data[begin : min(stop, begin + LINE_MOST)].tobytes()
        if _MARKS.search(text) is None and _STATUS.search(text) is None:
            if b"\n" not in text and len(text) < 64 and not final[row]:
                unfinished.append(row)
            continue
        lines, at, found = text.split(b"\n")[:LINES_MOST], 0, len(told)
        for line in lines:
            if (one := _message(line)) is not None:
                told.append(one)
                rows.append(row)
                offsets.append(at)
            at += len(line) + 1
        if found == len(told) and len(lines) == 1 and not final[row] and len(text) < LINE_MOST:
            unfinished.append(row)
    content = pl.DataFrame([[getattr(one, name) for name in SCHEMA] for one in told], schema=SCHEMA, orient="row")
    return Messages(np.array(rows, np.int64), np.array(offsets, np.int64), content, np.array(unfinished, np.int64))


def masked(account: str) -> str:
    """The account with its middle taken out."""
    text = printable(account.encode("utf-8", "replace"))
    if len(text) <= SHORT_ACCOUNT:
        return f"{text[:2]}..."
    return f"{text[:KEPT_FRONT]}...{text[-KEPT_BACK:]}"


def _message(line: bytes) -> _Told | None:
    """What a line tells if it is a message of miner or pool."""
    try:
        found: Any = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    if not isinstance(found, dict):
        return None
    method, params = found.get("method"), found.get("params")
    if isinstance(method, str):
        return _request(method, params)
    return _answer(found.get("result"))


def _request(method: str, params: Any) -> _Told | None:
    if method in STRATUM or method in ETHEREUM:
        first = params[0] if isinstance(params, list) and params and isinstance(params[0], str) else None
        return _Told(
            response=False,
            method=method,
            agent=_short(first) if method == "mining.subscribe" else None,
            account=masked(first) if first and method in _ACCOUNT_FIRST else None,
        )
    if not isinstance(params, dict):
        return None
    if method == "login" and isinstance(login := params.get("login"), str) and params.keys() & {"pass", "agent"}:
        return _Told(
            response=False,
            method=method,
            agent=_short(params.get("agent")),
            algorithm=_algorithm(params.get("algo")),
            account=masked(login),
        )
    known = {"job": {"blob", "job_id"}, "submit": {"job_id", "nonce"}, "keepalived": {"id"}, "getjob": {"id"}}
    if method in known and known[method] <= params.keys():
        return _Told(response=False, method=method, algorithm=_algorithm(params.get("algo")))
    return None


def _answer(result: Any) -> _Told | None:
    """Answers that are a pool's by themselves: to a login, to a subscription, to a sign of life."""
    if isinstance(result, dict):
        job = result.get("job")
        if isinstance(job, dict) and {"blob", "job_id"} <= job.keys():
            return _Told(response=True, method="login", algorithm=_algorithm(job.get("algo")))
        if result.get("status") == "KEEPALIVED":
            return _Told(response=True, method="keepalived")
        return None
    pairs = result[0] if isinstance(result, list) and result else None
    if not isinstance(pairs, list):
        return None
    topics = [pair[0] if isinstance(pair, list) and pair else pair for pair in pairs[:4]]
    if any(topic in ("mining.notify", "mining.set_difficulty") for topic in topics if isinstance(topic, str)):
        return _Told(response=True, method="mining.subscribe")
    return None


def _short(value: Any) -> str | None:
    return scrub(printable(value.encode("utf-8", "replace")))[:TEXT_MOST] if isinstance(value, str) else None


def _algorithm(value: Any) -> str | None:
    """One algorithm, or those that a miner knows."""
    if isinstance(value, list):
        value = ",".join(one for one in value[:LINES_MOST] if isinstance(one, str)) or None
    return _short(value)
