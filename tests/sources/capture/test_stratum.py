"""Miners and their pools, known by what they say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.sources.capture.make import ethernet, ipv4, pcap, read_all, tcp

MINER, POOL = "10.244.1.17", "192.0.2.80"
WALLET = "48edfHu7V9Z84YzzMa6fUueoELZ9ZRXq9VetWzYGzKt52XU5xvqgzYnDK9URnRoJMk1j8nLwEVsaSWJ4fhdUyZijBGUicoD"


def says(*objects: Any, seq: int = 1, back: bool = False, end: str = "\n", port: int = 443, ident: int = 1) -> bytes:
    lines = "".join((one if isinstance(one, str) else json.dumps(one)) + end for one in objects).encode()
    return raw(lines, seq=seq, back=back, port=port, ident=ident)


def raw(data: bytes, *, seq: int = 1, back: bool = False, port: int = 443, ident: int = 1) -> bytes:
    ends, ports = (POOL, MINER) if back else (MINER, POOL), (port, 40000) if back else (40000, port)
    return ethernet(ipv4(tcp(data, *ports, seq=seq), 6, *ends, ident=ident))


def rows(*frames: bytes, size: int = 8 << 20) -> list[dict[str, Any]]:
    return read_all(pcap(frames, step=0.01), size=size)[0]["mining_messages"].to_dicts()


LOGIN = {
    "id": 1,
    "jsonrpc": "2.0",
    "method": "login",
    "params": {"login": WALLET, "pass": "CANARY", "agent": "XMRig/6.21.0 (Linux x86_64)", "algo": ["cn/1", "rx/0"]},
}
JOB = {"blob": "0e0e" * 38, "job_id": "b1", "target": "b88d0600", "algo": "rx/0", "height": 1}
LOGGED_IN = {"id": 1, "jsonrpc": "2.0", "error": None, "result": {"id": "x", "job": JOB, "status": "OK"}}
SHARE = {
    "id": 2,
    "jsonrpc": "2.0",
    "method": "submit",
    "params": {"id": "x", "job_id": "b1", "nonce": "d0", "result": ""},
}


def test_xmrig_logs_in_gets_work_and_submits_shares() -> None:
    job = {"jsonrpc": "2.0", "method": "job", "params": JOB}
    alive = {"id": 3, "jsonrpc": "2.0", "method": "keepalived", "params": {"id": "x"}}
    lives = {"id": 3, "jsonrpc": "2.0", "error": None, "result": {"status": "KEEPALIVED"}}
    found = rows(
        says(LOGIN),
        says(LOGGED_IN, back=True),
        says(SHARE, seq=1000),
        says(job, seq=1000, back=True),
        says(alive, seq=2000),
        says(lives, seq=2000, back=True),
    )
    assert [(row["method"], row["response"], row["algorithm"]) for row in found] == [
        ("login", False, "cn/1,rx/0"),
        ("login", True, "rx/0"),
        ("submit", False, None),
        ("job", False, "rx/0"),
        ("keepalived", False, None),
        ("keepalived", True, None),
    ]
    assert (found[0]["agent"], found[0]["account"]) == ("XMRig/6.21.0 (Linux x86_64)", "48edfH...icoD")
    assert [(row["src"], row["dst"], row["number"]) for row in found[:2]] == [(MINER, POOL, 1), (POOL, MINER, 2)]
    assert "CANARY" not in str(found)
    assert WALLET[6:-4] not in str(found)


def test_stratum_in_its_first_version() -> None:
    subscribed = {
        "id": 1,
        "result": [[["mining.set_difficulty", "b4"], ["mining.notify", "ae"]], "08", 4],
        "error": None,
    }
    found = rows(
        says({"id": 1, "method": "mining.subscribe", "params": ["cpuminer/2.5.1"]}),
        says(subscribed, back=True),
        says({"id": 2, "method": "mining.authorize", "params": ["bob.worker1", "CANARY"]}, seq=500),
        says(
            {"id": None, "method": "mining.set_difficulty", "params": [512]},
            {"id": None, "method": "mining.notify", "params": ["bf", "4d", [], True]},
            seq=500,
            back=True,
        ),
        says({"id": 4, "method": "mining.submit", "params": [WALLET, "bf", "00", "50", "b2"]}, seq=900),
    )
    assert [(row["method"], row["response"], row["account"]) for row in found] == [
        ("mining.subscribe", False, None),
        ("mining.subscribe", True, None),
        ("mining.authorize", False, "bo..."),
        ("mining.set_difficulty", False, None),
        ("mining.notify", False, None),
        ("mining.submit", False, "48edfH...icoD"),
    ]
    assert found[0]["agent"] == "cpuminer/2.5.1"
    assert "CANARY" not in str(found)


def test_the_ethereum_forms() -> None:
    account = "0x1111222233334444555566667777888899990000.rig7"
    login = {"worker": "eth1.0", "jsonrpc": "2.0", "params": [account, "x"], "id": 2, "method": "eth_submitLogin"}
    hello = {"id": 1, "method": "mining.subscribe", "params": ["ethminer/0.19", "EthereumStratum/1.0.0"]}
    found = rows(says(login), says(hello, seq=999))
    assert [(row["method"], row["agent"], row["account"]) for row in found] == [
        ("eth_submitLogin", None, "0x1111...rig7"),
        ("mining.subscribe", "ethminer/0.19", None),
    ]


@pytest.mark.parametrize("size", [100, 8 << 20])
@pytest.mark.parametrize("cut", [8, 20, 45, 120, 300])
def test_a_message_over_two_segments_is_put_together(cut: int, size: int) -> None:
    text = (json.dumps(LOGGED_IN) + "\n").encode()
    frames = [raw(text[:cut], back=True), raw(text[cut:], seq=1 + cut, back=True)]
    assert [(row["method"], row["algorithm"], row["number"]) for row in rows(*frames, size=size)] == [
        ("login", "rx/0", 1)
    ]


def test_a_share_sent_again_is_one_share() -> None:
    text = json.dumps(SHARE) + "\n"
    found = rows(says(SHARE), says(SHARE, ident=2), says(SHARE, seq=1 + len(text), ident=3))
    assert [row["number"] for row in found] == [1, 3]


@pytest.mark.parametrize(
    "other",
    [
        {"id": 1, "jsonrpc": "2.0", "method": "login", "params": {"login": "bob"}},
        {"id": 1, "jsonrpc": "2.0", "method": "login", "params": ["bob", "pass"]},
        {"id": 1, "jsonrpc": "2.0", "method": "submit", "params": {"form": 7}},
        {"id": 1, "jsonrpc": "2.0", "method": "job", "params": {"job_id": 7}},
        {"id": 1, "jsonrpc": "2.0", "method": "mining.dig", "params": []},
        {"id": 1, "text": '{"method":"mining.subscribe"}', "mining.subscribe": 1},
        {"id": 1, "result": {"job": {"job_id": 7}}, "login": 1},
        {"id": 1, "result": True, "error": None},
        {"id": 1, "result": [], "job": None},
        {"jsonrpc": "2.0", "method": "eth_getBlockByNumber", "params": ["latest", False], "id": 1},
        '{"id":1,"method":"mining.subscribe","params":[}',
        '{"id":' + "[" * 3000 + '"mining.subscribe"',
        '{"id":1,"method":"mining.notify","params":"\\ud800"}x',
    ],
)
def test_other_json_is_left_alone(other: Any) -> None:
    assert rows(says(other, port=3333)) == []


def test_hostile_texts_are_escaped_and_cut() -> None:
    made = LOGIN | {"params": {"login": "é<b>" * 20, "agent": "\u202e<script>" + "x" * 600, "algo": [1, None, "rx/0"]}}
    [row] = rows(says(made))
    assert row["agent"].startswith("\\xe2\\x80\\xae<script>")
    assert len(row["agent"]) == 255
    assert row["algorithm"] == "rx/0"
    assert row["account"].isascii()
