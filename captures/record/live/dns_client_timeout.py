"""Record the case dns-client-timeout: real glibc resolvers in network namespaces, and a name server that loses queries.

    sudo python captures/record/live/dns_client_timeout.py OUTPUT-DIRECTORY

Needs Linux, root, ip and tcpdump. It makes a bridge with the name server's address and two pods beside it, each a
namespace of its own with its own resolv.conf, and records the bridge. A kernel whose connection tracking drops one of
two packets cannot be had on demand: the server here ignores the AAAA query of some lookups instead, which is the same
on the wire and in the log. No two recordings are equal; the truth is what the clients measured.
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
from pathlib import Path

SERVER, POD, OTHER = "10.96.0.10", "10.244.33.18", "10.244.33.19"
HOSTS = ("api.example.com", "rates.example.net", "mail.example.com")
LOOKUPS, LOST = 48, (9, 22, 37)
"""Lookups of the pod, and which of them lose their AAAA query once."""
NEVER = "legacy.example.org"
"""Its server does not answer AAAA at all."""
QTYPES = {1: "A", 28: "AAAA"}


def serve(folder: Path) -> None:
    """Answer on port 53, but for what is to be lost, and write a line as CoreDNS does for each answer."""
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    plain.bind((SERVER, 53))
    asked, met = 0, set[tuple[int, int]]()
    with (folder / "coredns.log").open("w") as log:
        while True:
            query, (client, port) = plain.recvfrom(1500)
            began = time.time_ns()
            name, end = _name(query)
            qtype = struct.unpack_from("!H", query, end)[0]
            key = (port, query[0] << 8 | query[1])
            # A query that is asked again has the socket and the id of the first time.
            again = key in met
            met.add(key)
            asked += client == POD and qtype == 1 and not again
            if qtype == 28 and (name == NEVER or (client == POD and asked in LOST and not again)):
                continue
            body = bytes.fromhex("c00c") + struct.pack("!HHIH", qtype, 1, 30, 4 if qtype == 1 else 16)
            body += bytes([192, 0, 2, 17]) if qtype == 1 else bytes.fromhex("20010db8000700000000000000000080")
            reply = query[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + query[12 : end + 4] + body
            plain.sendto(reply, (client, port))
            done = time.time_ns()
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(done // 10**9)) + f".{done % 10**9:09d}Z"
            log.write(
                f"{stamp} stdout F [INFO] {client}:{port} - {key[1]} "
                f'"{QTYPES[qtype]} IN {name}. udp {len(query)} false 512" NOERROR qr,rd,ra {len(reply)} '
                f"{(done - began) / 1e9:.9f}s\n"
            )
            log.flush()


def _name(query: bytes) -> tuple[str, int]:
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    return ".".join(labels), at + 1


def ask(names: list[str]) -> None:
    """Look the names up one after the other, and print the seconds of each.

    Each in a process of its own, as a shell script does: glibc sends one half after the other once it has lost one.
    """
    for name in names:
        if not os.fork():
            began = time.perf_counter()
            socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)
            print(json.dumps({"name": name, "seconds": time.perf_counter() - began}), flush=True)
            os._exit(0)
        os.wait()
        time.sleep(0.05)


def _namespaces() -> None:
    for name in ("dns", "pod", "other"):
        _run("ip", "netns", "add", name)
        _run("ip", "-n", name, "link", "set", "lo", "up")
    _run("ip", "-n", "dns", "link", "add", "br0", "type", "bridge")
    for address in (f"{SERVER}/32", "10.244.33.1/24"):
        _run("ip", "-n", "dns", "address", "add", address, "dev", "br0")
    _run("ip", "-n", "dns", "link", "set", "br0", "up")
    for name, address in (("pod", POD), ("other", OTHER)):
        _run("ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", f"v-{name}", "netns", "dns")
        _run("ip", "-n", "dns", "link", "set", f"v-{name}", "master", "br0", "up")
        _run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
        _run("ip", "-n", name, "link", "set", "eth0", "up")
        _run("ip", "-n", name, "route", "add", "default", "via", "10.244.33.1")
        # `ip netns exec` mounts this over /etc/resolv.conf.
        folder = Path("/etc/netns") / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "resolv.conf").write_text(f"nameserver {SERVER}\noptions ndots:1\n")


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _inside(name: str, *words: str) -> list[str]:
    return ["ip", "netns", "exec", name, sys.executable, str(Path(__file__).resolve()), *words]


def record(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _namespaces()
    raw = folder / "node.pcap"
    capture = ["ip", "netns", "exec", "dns", "tcpdump", "-i", "br0", "-s", "0", "-U", "-w", str(raw), "udp port 53"]
    try:
        with (
            subprocess.Popen(_inside("dns", "serve", str(folder))) as server,
            subprocess.Popen(capture) as tcpdump,
        ):
            time.sleep(2)
            others = subprocess.Popen(_inside("other", "ask", NEVER, HOSTS[0]), stdout=subprocess.PIPE)
            names = [HOSTS[i % len(HOSTS)] for i in range(LOOKUPS)]
            done = subprocess.run(_inside("pod", "ask", *names), check=True, capture_output=True, text=True)
            others.wait()
            time.sleep(6)
            tcpdump.terminate()
            server.terminate()
    finally:
        for name in ("dns", "pod", "other"):
            subprocess.run(("ip", "netns", "del", name), check=False)
    _finish(folder, raw, [json.loads(line) for line in done.stdout.splitlines()])


def _finish(folder: Path, raw: Path, lookups: list[dict[str, float]]) -> None:
    (folder / "node.pcap.gz").write_bytes(gzip.compress(raw.read_bytes(), mtime=0))
    raw.unlink()
    slow = [one["seconds"] for one in lookups if one["seconds"] > 1]
    figures = {
        "pairs with exactly one answer": len(slow),
        "of them by glibc": len(slow),
        "added seconds": round(sum(slow), 6),
        "lookups in all": len(lookups),
        "lost before CoreDNS": len(slow),
        "lost on the way back": 0,
    }
    lines = (folder / "coredns.log").read_text().splitlines()
    document = {
        "findings": {f"dns-client-timeout:{POD}": figures},
        "window": {"start": lines[0][:19] + "Z", "end": lines[-1][:19] + "Z"},
        "counts": {"lookups": len(lookups) + 2, "log lines": len(lines)},
    }
    (folder / "truth.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "serve":
        serve(Path(rest[0]))
    elif what == "ask":
        ask(rest)
    else:
        record(Path(what))
