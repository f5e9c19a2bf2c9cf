"""Record dns-upstream-throttle and dns-broken-authority: real resolvers and a real forwarder in network namespaces.

    sudo python captures/record/live/dns_upstream_throttle.py throttle|authority OUTPUT-DIRECTORY

Needs Linux, root, ip, tcpdump and dnsmasq, and takes about a minute and a half. A pod with glibc asks dnsmasq, which
stands where CoreDNS stands: it answers names of the cluster itself, keeps nothing, and forwards the rest to an upstream
of 40 answers a second, or to one without a limit that never answers for one domain. The bridge between the three is
recorded. The log is written afterwards from the capture, in the form of CoreDNS: answered queries with the time that
they took, the others as its forward plugin gives up (three tries of two seconds). No two recordings are equal; the
truth is what the upstream counted and what the capture holds.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dnslib import QTYPE, DNSRecord
from scapy.utils import RawPcapReader

SERVICE, NODE, UPSTREAM, POD = "10.96.0.10", "10.0.0.33", "10.0.0.2", "10.244.33.21"
INSIDE = ("ledger.payments.svc.cluster.local", "10.96.103.9")
DOMAINS = ("example.com", "example.net", "example.org", "partner.example", "cdn.example")
BROKEN = "legacy.example"
RATE, BURST = 40, 20
CALM, BUSY = 12, 40
"""Lookups a second, two queries each."""
PHASES = ((15, CALM), (15, BUSY), (30, CALM))
AWAY = 0.002
"""Seconds that an upstream outside the node takes at least."""
FOREVER = 6.0
"""Seconds after which CoreDNS gives up with one upstream: tries of 2 s until 5 s are over (plugin/forward)."""


def serve(limited: bool) -> None:
    """Answer what the bucket allows, or all but one domain; print what was dropped at the end."""
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    plain.bind((UPSTREAM, 53))
    plain.settimeout(2)
    tokens, filled, dropped = float(BURST), time.monotonic(), 0
    print("ready", flush=True)
    while not Path("/tmp/dns-upstream-stop").exists():
        try:
            query, client = plain.recvfrom(1500)
        except TimeoutError:
            continue
        now = time.monotonic()
        tokens, filled = min(BURST, tokens + (now - filled) * RATE), now
        name = str(DNSRecord.parse(query).q.qname).rstrip(".")
        if name.endswith(BROKEN) or (limited and tokens < 1):
            dropped += 1
            continue
        tokens -= 1
        question = query[12:]
        record = bytes.fromhex("c00c") + question[-4:]
        body = record + struct.pack("!IH", 30, 4) + bytes([192, 0, 2, 17])
        if question[-4:-2] == b"\x00\x1c":
            body = record + struct.pack("!IH", 30, 16) + bytes.fromhex("20010db8000700000000000000000080")
        time.sleep(AWAY)
        plain.sendto(query[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + question + body, client)
    print(dropped, flush=True)


def ask(broken: bool) -> None:
    """Look names up at the rates of the phases, and one of the cluster each second."""
    rng, threads = random.Random(7), []

    def lookup(name: str) -> None:
        try:
            socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)
        except OSError:
            return

    number, due = 0, time.monotonic()
    for seconds, rate in PHASES:
        rate = CALM if broken else rate
        for _ in range(seconds * rate):
            number += 1
            name = f"host-{number}.{BROKEN if broken and number % 8 == 0 else DOMAINS[rng.randrange(len(DOMAINS))]}"
            names = [name, INSIDE[0]] if number % rate == 0 else [name]
            for one in names:
                threads.append(threading.Thread(target=lookup, args=(one,)))
                threads[-1].start()
            due += rng.uniform(0.4, 1.6) / rate
            time.sleep(max(0.0, due - time.monotonic()))
    for thread in threads:
        thread.join()


def _namespaces() -> None:
    for name in ("dns", "pod", "up"):
        _run("ip", "netns", "add", name)
        _run("ip", "-n", name, "link", "set", "lo", "up")
    _run("ip", "-n", "dns", "link", "add", "br0", "type", "bridge")
    for address in (f"{SERVICE}/32", "10.244.33.1/24", f"{NODE}/24"):
        _run("ip", "-n", "dns", "address", "add", address, "dev", "br0")
    _run("ip", "-n", "dns", "link", "set", "br0", "up")
    for name, address, gateway in (("pod", POD, "10.244.33.1"), ("up", UPSTREAM, NODE)):
        _run("ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", f"v-{name}", "netns", "dns")
        _run("ip", "-n", "dns", "link", "set", f"v-{name}", "master", "br0", "up")
        _run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
        _run("ip", "-n", name, "link", "set", "eth0", "up")
        _run("ip", "-n", name, "route", "add", "default", "via", gateway)
    # `ip netns exec` mounts this over /etc/resolv.conf.
    folder = Path("/etc/netns/pod")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "resolv.conf").write_text(f"nameserver {SERVICE}\noptions ndots:1\n")


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _inside(name: str, *words: str) -> list[str]:
    return ["ip", "netns", "exec", name, sys.executable, str(Path(__file__).resolve()), *words]


def record(case: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    stop, raw = Path("/tmp/dns-upstream-stop"), folder / "node.pcap"
    stop.unlink(missing_ok=True)
    _namespaces()
    forwarder = [
        *("ip", "netns", "exec", "dns", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file="),
        *("--no-resolv", "--no-hosts", f"--server={UPSTREAM}", "--cache-size=0", "--dns-forward-max=5000"),
        *(f"--listen-address={SERVICE}", "--bind-interfaces", "--local=/cluster.local/", "--user=root"),
        f"--host-record={INSIDE[0]},{INSIDE[1]}",
    ]
    capture = ["ip", "netns", "exec", "dns", "tcpdump", "-i", "br0", "-s", "0", "-U", "-w", str(raw), "udp port 53"]
    try:
        with (
            subprocess.Popen(_inside("up", "serve", case), stdout=subprocess.PIPE, text=True) as upstream,
            subprocess.Popen(forwarder) as dnsmasq,
            subprocess.Popen(capture) as tcpdump,
        ):
            time.sleep(3)
            subprocess.run(_inside("pod", "ask", case), check=True)
            time.sleep(7)
            stop.touch()
            told = upstream.communicate()[0]
            for process in (tcpdump, dnsmasq):
                process.terminate()
    finally:
        stop.unlink(missing_ok=True)
        for name in ("dns", "pod", "up"):
            subprocess.run(("ip", "netns", "del", name), check=False)
    _finish(case, folder, raw, int(told.split()[-1]))


@dataclass
class Query:
    """One query of the pod as the bridge saw it; `again`: the socket had asked the same before and got no answer."""

    at: int
    port: int
    message: DNSRecord
    size: int
    again: bool
    answered: int = 0
    rcode: int = 0
    answer_size: int = 0


def _messages(raw: Path) -> Iterator[tuple[int, str, int, int, bytes]]:
    """Time in nanoseconds, sender, its port, the receiver's port, the DNS message of each frame."""
    for frame, meta in RawPcapReader(str(raw)):
        head = 14 + (frame[14] & 15) * 4
        ports = struct.unpack_from("!HH", frame, head)
        yield (meta.sec * 10**6 + meta.usec) * 1000, socket.inet_ntoa(frame[26:30]), *ports, frame[head + 8 :]


def _queries(raw: Path) -> list[Query]:
    found: list[Query] = []
    latest: dict[tuple[object, ...], Query] = {}
    for at, sender, port, other, data in _messages(raw):
        if sender not in (POD, SERVICE):
            continue
        message = DNSRecord.parse(data)
        key = (port if sender == POD else other, message.header.id, str(message.q.qname), message.q.qtype)
        if sender == POD:
            before = latest.get(key)
            latest[key] = Query(at, port, message, len(data), before is not None and not before.answered)
            found.append(latest[key])
        elif not latest[key].answered:
            query = latest[key]
            query.answered, query.rcode, query.answer_size = at, message.header.rcode, len(data)
    return found


def _log(queries: list[Query]) -> str:
    lines = []
    for one in queries:
        name, qtype = str(one.message.q.qname), QTYPE[one.message.q.qtype]
        seconds = (one.answered - one.at) / 1e9 if one.answered else FOREVER + one.at % 900_000 / 1e9
        end = one.at + round(seconds * 1e9)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(end // 10**9)) + f".{end % 10**9:09d}Z stdout F"
        asked = f'[INFO] {POD}:{one.port} - {one.message.header.id} "{qtype} IN {name} udp {one.size} false 512"'
        flags = "qr,aa,rd" if name.rstrip(".") == INSIDE[0] else "qr,rd,ra"
        told = f"NOERROR {flags} {one.answer_size}" if one.answered else "- - 0"
        lines.append((end, f"{stamp} {asked} {told} {seconds:.9f}s\n"))
        if not one.answered:
            via = f"{NODE}:{32768 + one.message.header.id % 28000}->{UPSTREAM}:53"
            lines.append((end + 1, f"{stamp} [ERROR] plugin/errors: 2 {name} {qtype}: read udp {via}: i/o timeout\n"))
    return "".join(line for _, line in sorted(lines))


def _finish(case: str, folder: Path, raw: Path, dropped: int) -> None:
    queries = _queries(raw)
    (folder / "coredns.log").write_text(_log(queries))
    (folder / "node.pcap.gz").write_bytes(gzip.compress(raw.read_bytes(), mtime=0))
    raw.unlink()
    lost = [one for one in queries if not one.answered]
    figures = {
        "failed queries": sum(not one.again for one in lost),
        "queries without reply": sum(not one.again for one in lost),
        "seconds waited": 5 * len(lost),
        "names affected": len({str(one.message.q.qname) for one in lost}),
        "upstream queries unanswered": dropped,
    }
    fired = case == "throttle"
    ends = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(one.at // 10**9)) for one in (queries[0], queries[-1])]
    document = {
        "findings": {f"dns-upstream-throttle:{UPSTREAM}": figures} if fired else {},
        "window": {"start": ends[0], "end": ends[1]},
        "counts": {"queries": len(queries), "queries without an answer": len(lost), "dropped by the upstream": dropped},
    }
    (folder / "truth.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "serve":
        serve(rest[0] == "throttle")
    elif what == "ask":
        ask(rest[0] == "authority")
    else:
        os.umask(0o022)
        record(what, Path(rest[0]))
