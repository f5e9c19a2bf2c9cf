"""Record dns-client-timeout-resolvers and dns-search-resolvers: real resolvers of musl, Go and glibc in namespaces.

    sudo python captures/record/live/dns_resolvers.py lost|search OUTPUT-DIRECTORY

Needs Linux, root, ip, tcpdump, musl-gcc and go, and takes half a minute. Each pod is a network namespace with a program
of its own: lookup.c linked with musl, lookup.go with Go's own resolver, and this Python with glibc. They ask a stand-in
that writes the lines of CoreDNS. `lost`: of some lookups it never takes one half, of one it logs the answer and loses
it on the way back. `search`: names outside the cluster under four search domains, each of which is denied. The bridge
between them is recorded. No two recordings are equal; the truth is what the clients measured and the server counted.
"""

from __future__ import annotations

import gzip
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

SERVER = "10.96.0.10"
PODS = {"glibc": "10.244.33.18", "musl": "10.244.33.20", "go": "10.244.33.21"}
SEARCH = ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "ec2.internal")
LOOKUPS = 40
LOST = {"host-7": 28, "host-16": 1, "host-25": 28}
"""Lookups and the type of their query that never arrives, the first time that a pod asks."""
BACK = {"host-33": 28}
"""Lookups and the type of their answer that is lost on its way back, the first time that a pod asks."""
WALKS = 15
DOMAINS = ("example.com", "example.net", "example.org")
QTYPES = {1: "A", 28: "AAAA"}
TOOLS = Path("/tmp/dns-resolvers")


def serve(lossy: bool, folder: Path) -> None:
    """Answer on port 53, but for what is to be lost, write CoreDNS's line for each answer, and count."""
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    plain.bind((SERVER, 53))
    plain.settimeout(1)
    counted, met = Counter[str](), set[tuple[str, str, int]]()
    with (folder / "coredns.log").open("w") as log:
        print("ready", flush=True)
        while not (TOOLS / "stop").exists():
            try:
                query, (client, port) = plain.recvfrom(1500)
            except TimeoutError:
                continue
            began = time.time_ns()
            name, end = _name(query)
            qtype = struct.unpack_from("!H", query, end)[0]
            first = lossy and (client, name, qtype) not in met
            met.add((client, name, qtype))
            host = name.split(".")[0]
            counted[f"{client} queries"] += 1
            if first and LOST.get(host) == qtype:
                counted[f"{client} lost"] += 1
                continue
            denied = name.endswith(SEARCH)
            counted[f"{client} denied"] += denied
            reply = _answer(query, end, qtype, denied)
            if first and BACK.get(host) == qtype:
                counted[f"{client} lost on the way back"] += 1
            else:
                plain.sendto(reply, (client, port))
            done = time.time_ns()
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(done // 10**9)) + f".{done % 10**9:09d}Z"
            told = "NXDOMAIN qr,aa,rd" if denied else "NOERROR qr,rd,ra"
            log.write(
                f"{stamp} stdout F [INFO] {client}:{port} - {query[0] << 8 | query[1]} "
                f'"{QTYPES[qtype]} IN {name}. udp {len(query)} false 512" {told} {len(reply)} '
                f"{(done - began) / 1e9:.9f}s\n"
            )
            log.flush()
    print(json.dumps(counted), flush=True)


def _answer(query: bytes, end: int, qtype: int, denied: bool) -> bytes:
    question = query[12 : end + 4]
    if denied:
        return query[:2] + struct.pack("!HHHHH", 0x8583, 1, 0, 0, 0) + question
    body = bytes.fromhex("c00c") + struct.pack("!HHIH", qtype, 1, 30, 4 if qtype == 1 else 16)
    body += bytes([192, 0, 2, 17]) if qtype == 1 else bytes.fromhex("20010db8000700000000000000000080")
    return query[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + question + body


def _name(query: bytes) -> tuple[str, int]:
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode().lower())
        at += 1 + query[at]
    return ".".join(labels), at + 1


def ask(names: list[str]) -> None:
    """Look the names up with glibc, each in a process of its own: a lookup after a loss is another one's."""
    for name in names:
        if not os.fork():
            began, failed = time.perf_counter(), 0
            try:
                socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)
            except OSError:
                failed = 1
            told = {"name": name, "seconds": round(time.perf_counter() - began, 6), "failed": failed}
            print(json.dumps(told), flush=True)
            os._exit(0)
        os.wait()
        time.sleep(0.05)


def _namespaces(pods: list[str], options: str) -> None:
    for name in ("dns", *pods):
        _run("ip", "netns", "add", name)
        _run("ip", "-n", name, "link", "set", "lo", "up")
    _run("ip", "-n", "dns", "link", "add", "br0", "type", "bridge")
    for address in (f"{SERVER}/32", "10.244.33.1/24"):
        _run("ip", "-n", "dns", "address", "add", address, "dev", "br0")
    _run("ip", "-n", "dns", "link", "set", "br0", "up")
    for name in pods:
        _run("ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", f"v-{name}", "netns", "dns")
        _run("ip", "-n", "dns", "link", "set", f"v-{name}", "master", "br0", "up")
        _run("ip", "-n", name, "address", "add", f"{PODS[name]}/24", "dev", "eth0")
        _run("ip", "-n", name, "link", "set", "eth0", "up")
        _run("ip", "-n", name, "route", "add", "default", "via", "10.244.33.1")
        # `ip netns exec` mounts this over /etc/resolv.conf.
        folder = Path("/etc/netns") / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "resolv.conf").write_text(f"nameserver {SERVER}\n{options}")


def _run(*command: str, **more: str) -> None:
    subprocess.run(command, check=True, env=os.environ | more)


def _programs() -> dict[str, list[str]]:
    here = Path(__file__).resolve()
    _run("musl-gcc", "-static", "-O1", "-o", str(TOOLS / "musl"), str(here.with_name("lookup.c")))
    _run("go", "build", "-o", str(TOOLS / "go"), str(here.with_name("lookup.go")), CGO_ENABLED="0", GO111MODULE="off")
    return {
        "glibc": [sys.executable, str(here), "ask"],
        "musl": [str(TOOLS / "musl")],
        "go": [str(TOOLS / "go")],
    }


def record(case: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    TOOLS.mkdir(exist_ok=True)
    (TOOLS / "stop").unlink(missing_ok=True)
    programs, raw = _programs(), folder / "node.pcap"
    lost = case == "lost"
    pods = ["musl", "go"] if lost else list(PODS)
    count, options = (
        (LOOKUPS, "options ndots:1\n") if lost else (WALKS, f"search {' '.join(SEARCH)}\noptions ndots:5\n")
    )
    names = [f"host-{number}.{DOMAINS[number % 3]}" for number in range(1, count + 1)]
    capture = ["ip", "netns", "exec", "dns", "tcpdump", "-i", "br0", "-s", "0", "-U", "-w", str(raw), "udp port 53"]
    server = ["ip", "netns", "exec", "dns", sys.executable, str(Path(__file__).resolve()), "serve", case]
    server.append(str(folder))
    try:
        _namespaces(pods, options)
        with (
            subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as serving,
            subprocess.Popen(capture) as tcpdump,
        ):
            time.sleep(2)
            told = {
                pod: subprocess.Popen(
                    ["ip", "netns", "exec", pod, *programs[pod], *names], stdout=subprocess.PIPE, text=True
                )
                for pod in pods
            }
            lines = {pod: asking.communicate()[0].splitlines() for pod, asking in told.items()}
            time.sleep(1)
            (TOOLS / "stop").touch()
            counted = json.loads(serving.communicate()[0].splitlines()[-1])
            tcpdump.terminate()
    finally:
        (TOOLS / "stop").unlink(missing_ok=True)
        for name in ("dns", *pods):
            subprocess.run(("ip", "netns", "del", name), check=False)
    lookups = {pod: [json.loads(line) for line in lines[pod]] for pod in pods}
    figures = _lost if lost else _searched
    findings = dict(figures(pod, lookups[pod], counted) for pod in pods)
    _finish(folder, raw, findings, sum(len(one) for one in lookups.values()))


def _lost(pod: str, lookups: list[dict[str, float]], counted: dict[str, int]) -> tuple[str, dict[str, int | float]]:
    slow, address = [one["seconds"] for one in lookups if one["seconds"] > 1], PODS[pod]
    return f"dns-client-timeout:{address}", {
        "pairs with exactly one answer": len(slow),
        f"of them by {'Go' if pod == 'go' else pod}": len(slow),
        "added seconds": round(sum(slow), 6),
        "lookups in all": len(lookups),
        "lost before CoreDNS": counted[f"{address} lost"],
        "lost on the way back": counted[f"{address} lost on the way back"],
    }


def _searched(pod: str, lookups: list[dict[str, float]], counted: dict[str, int]) -> tuple[str, dict[str, int | float]]:
    address = PODS[pod]
    return f"dns-search-chain:{address}", {
        "lookups walked": len(lookups),
        "wasted queries": counted[f"{address} denied"],
        "queries of the client": counted[f"{address} queries"],
    }


def _finish(folder: Path, raw: Path, findings: dict[str, dict[str, int | float]], lookups: int) -> None:
    (folder / "node.pcap.gz").write_bytes(gzip.compress(raw.read_bytes(), mtime=0))
    raw.unlink()
    lines = (folder / "coredns.log").read_text().splitlines()
    document = {
        "findings": findings,
        "window": {"start": lines[0][:19] + "Z", "end": lines[-1][:19] + "Z"},
        "counts": {"lookups": lookups, "log lines": len(lines)},
    }
    (folder / "truth.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "serve":
        serve(rest[0] == "lost", Path(rest[1]))
    elif what == "ask":
        ask(rest)
    else:
        os.umask(0o022)
        record(what, Path(rest[0]))
