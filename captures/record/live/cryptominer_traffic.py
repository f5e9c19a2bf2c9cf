"""Record the case cryptominer-traffic: two pods mine for a stand-in pool, two others only look as if they did.

    sudo python captures/record/live/cryptominer_traffic.py OUTPUT-DIRECTORY

Needs Linux, root, ip, tcpdump and dnslib. The node is a namespace that forwards between the pods, a name server and two
servers outside; the capture is the node's, on all interfaces. The miners say what XMRig says (src/base/net/stratum/
Client.cpp: login, submit, keepalived), the pool answers as XMRig's proxy does (doc/STRATUM.md): no work is done, shares
are random. The pool counts shares, the miners measure how long they were connected. Wallet and password are invented.
No two recordings are equal.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from socketserver import BaseRequestHandler, StreamRequestHandler, ThreadingTCPServer, ThreadingUDPServer
from typing import Any

from dnslib import RR, A, DNSRecord

NODE, DNS, POOL, CHAIN = "10.0.12.33", "10.96.0.10", "192.0.2.80", "198.51.100.45"
PODS = {"miner": "10.244.33.21", "second": "10.244.33.22", "wallet": "10.244.33.23", "dev": "10.244.33.24"}
HOSTS = {"dns": DNS, "pool": POOL, "chain": CHAIN}
NAME = "pool.supportxmr.com"
LETTERS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
WALLET = "4A" + "".join(random.Random("wallet").choices(LETTERS, k=93))
AGENT = "XMRig/6.21.0 (Linux x86_64) libuv/1.44.2 gcc/9.3.0"
SECONDS, JOB_EVERY, LATER = 120, 10, 15
"""How long the first miner mines, how often the pool has new work, and how much later the second pod begins."""


def _job() -> dict[str, Any]:
    blob = "1010" + os.urandom(74).hex()
    return {"blob": blob, "job_id": os.urandom(8).hex(), "target": "b88d0600", "algo": "rx/0", "height": 3_200_000}


class Pool(StreamRequestHandler):
    """Answers logins, shares and signs of life; announces work unasked."""

    def handle(self) -> None:
        lock, done = threading.Lock(), threading.Event()

        def say(told: dict[str, Any]) -> None:
            with lock:
                self.wfile.write(json.dumps(told, separators=(",", ":")).encode() + b"\n")

        def announce() -> None:
            while not done.wait(JOB_EVERY):
                say({"jsonrpc": "2.0", "method": "job", "params": _job()})

        for line in self.rfile:
            asked = json.loads(line)
            answer: dict[str, Any] = {"id": asked["id"], "jsonrpc": "2.0", "error": None}
            if asked["method"] == "login":
                answer["result"] = {"id": os.urandom(8).hex(), "job": _job(), "extensions": ["algo"], "status": "OK"}
                threading.Thread(target=announce, daemon=True).start()
            elif asked["method"] == "submit":
                print(self.client_address[0], flush=True)
                answer["result"] = {"status": "OK"}
            else:
                answer["result"] = {"status": "KEEPALIVED"}
            say(answer)
        done.set()


class Chain(StreamRequestHandler):
    """A node of a block chain that answers a wallet's questions, and a server of developers at a pool's usual port."""

    def handle(self) -> None:
        for line in self.rfile:
            asked = json.loads(line)
            told = {"id": asked["id"], "jsonrpc": "2.0", "result": hex(random.randrange(1 << 32))}
            self.wfile.write(json.dumps(told).encode() + b"\n")


class Names(BaseRequestHandler):
    """A name server that knows one name."""

    def handle(self) -> None:
        data, back = self.request
        asked = DNSRecord.parse(data)
        reply = asked.reply()
        if str(asked.q.qname) == NAME + "." and asked.q.qtype == 1:
            reply.add_answer(RR(NAME, rdata=A(POOL), ttl=60))
        back.sendto(reply.pack(), self.client_address)


def mine(seconds: float) -> None:
    """Look the pool up, log in, submit a share every few seconds; print how long the connection was open."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asks:
        asks.sendto(DNSRecord.question(NAME).pack(), (DNS, 53))
        asks.recv(512)
    began = time.perf_counter()
    with socket.create_connection((POOL, 3333)) as pool:

        def say(number: int, method: str, **params: Any) -> None:
            told = {"id": number, "jsonrpc": "2.0", "method": method, "params": params}
            pool.sendall(json.dumps(told, separators=(",", ":")).encode() + b"\n")

        def hear() -> None:
            while pool.recv(8192):
                pass

        say(1, "login", login=WALLET, **{"pass": "EXAMPLE-PASSWORD"}, agent=AGENT, algo=["cn/1", "cn/2", "rx/0"])
        threading.Thread(target=hear, daemon=True).start()
        number, end = 1, began + seconds
        while (left := end - time.perf_counter()) > 0:
            time.sleep(min(left, random.uniform(2.0, 6.0)))
            number += 1
            share = {"id": "x", "job_id": "j", "nonce": os.urandom(4).hex(), "result": os.urandom(32).hex()}
            say(number, "submit", **share)
        time.sleep(0.3)
        pool.shutdown(socket.SHUT_RDWR)
    print(time.perf_counter() - began, flush=True)


def talk(server: str, port: int, method: str, seconds: float) -> None:
    """JSON-RPC that is none of a miner's, on one connection."""
    end, number = time.perf_counter() + seconds, 0
    with socket.create_connection((server, port)) as peer:
        while time.perf_counter() < end:
            number += 1
            asked = {"id": number, "jsonrpc": "2.0", "method": method, "params": ["latest", False]}
            peer.sendall(json.dumps(asked).encode() + b"\n")
            peer.recv(4096)
            time.sleep(4)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _namespaces() -> None:
    everybody = {**PODS, **HOSTS}
    for name in ("node", *everybody):
        _run("ip", "netns", "add", name)
        _run("ip", "-n", name, "link", "set", "lo", "up")
    _run("ip", "-n", "node", "address", "add", f"{NODE}/32", "dev", "lo")
    for name, address in everybody.items():
        _run("ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", f"v-{name}", "netns", "node")
        _run("ip", "-n", name, "address", "add", f"{address}/32", "dev", "eth0")
        _run("ip", "-n", name, "link", "set", "eth0", "up")
        _run("ip", "-n", "node", "link", "set", f"v-{name}", "up")
        _run("ip", "-n", name, "route", "add", NODE, "dev", "eth0")
        _run("ip", "-n", name, "route", "add", "default", "via", NODE)
        _run("ip", "-n", "node", "route", "add", address, "dev", f"v-{name}")
    _run("ip", "netns", "exec", "node", "sysctl", "-qw", "net.ipv4.ip_forward=1")


def _start(name: str, *words: str) -> subprocess.Popen[str]:
    command = ["ip", "netns", "exec", name, sys.executable, str(Path(__file__).resolve()), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def record(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    raw = folder / "node.pcap"
    capture = ["ip", "netns", "exec", "node", "tcpdump", "-i", "any", "-s", "0", "-U", "-w", str(raw), "tcp or udp"]
    began = datetime.now(UTC)
    servers: list[subprocess.Popen[str]] = []
    try:
        _namespaces()
        servers = [_start(name, "serve", name) for name in HOSTS]
        with subprocess.Popen(capture) as tcpdump:
            time.sleep(2)
            first = _start("miner", "mine", str(SECONDS))
            others = [
                _start("wallet", "talk", CHAIN, "8545", "eth_getBlockByNumber", str(SECONDS)),
                _start("dev", "talk", CHAIN, "3333", "build", str(SECONDS)),
            ]
            time.sleep(LATER)
            second = _start("second", "mine", str(SECONDS - 2 * LATER))
            held = [float(one.communicate()[0]) for one in (first, second)]
            for one in others:
                one.wait()
            time.sleep(1)
            tcpdump.terminate()
        for server in servers:
            server.terminate()
        shares = len(servers[1].communicate()[0].splitlines())
    finally:
        for server in servers:
            server.terminate()
        for name in ("node", *PODS, *HOSTS):
            subprocess.run(("ip", "netns", "del", name), check=False)
    _finish(folder, raw, held, shares, began)


def _finish(folder: Path, raw: Path, held: list[float], shares: int, began: datetime) -> None:
    (folder / "node.pcap.gz").write_bytes(gzip.compress(raw.read_bytes(), mtime=0))
    raw.unlink()
    figures = {"connections": 2, "pods": 2, "shares submitted": shares, "seconds connected": round(sum(held), 3)}
    document = {
        "findings": {f"cryptominer-traffic:{PODS['miner']}": figures},
        "window": {"start": f"{began:%Y-%m-%dT%H:%M:%SZ}", "end": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"},
        "counts": {"miners": 2, "look-alikes": 2},
    }
    (folder / "truth.json").write_text(json.dumps(document, indent=2) + "\n")


def serve(name: str) -> None:
    if name == "dns":
        ThreadingUDPServer((DNS, 53), Names).serve_forever()
    elif name == "pool":
        ThreadingTCPServer((POOL, 3333), Pool).serve_forever()
    else:
        threading.Thread(target=ThreadingTCPServer((CHAIN, 8545), Chain).serve_forever, daemon=True).start()
        ThreadingTCPServer((CHAIN, 3333), Chain).serve_forever()


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "serve":
        serve(rest[0])
    elif what == "mine":
        mine(float(rest[0]))
    elif what == "talk":
        talk(rest[0], int(rest[1]), rest[2], float(rest[3]))
    else:
        os.umask(0o022)
        record(Path(what))
