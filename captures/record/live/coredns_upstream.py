"""Record dns-upstream-concurrency, -unhealthy and -autopath: CoreDNS between glibc and an upstream in trouble.

    sudo python captures/record/live/coredns_upstream.py concurrency|unhealthy|autopath COREDNS OUTPUT-DIRECTORY

Needs Linux, root, ip, tcpdump and a CoreDNS, and takes about half a minute. COREDNS is the program of
coredns/main.go, built with the sources of CoreDNS 1.10.1. Pod, CoreDNS and upstream have namespaces of their own; the
bridge between them is recorded, and CoreDNS's output is stamped line by line as a container runtime does.
`concurrency`: the upstream is slow, and more queries wait than max_concurrent allows. `unhealthy`: the upstream's
process is gone for a while. `autopath`: CoreDNS searches for its clients, and the upstream answers 40 queries a
second. No two recordings are equal; the truth is what the upstream counted and CoreDNS logged.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

SERVICE, NODE, UPSTREAM, POD = "10.96.0.10", "10.0.0.33", "10.0.0.2", "10.244.33.21"
INSIDE = "ledger.payments.svc.cluster.local"
SEARCH = ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local")
DOMAINS = ("example.com", "example.net", "example.org", "partner.example", "cdn.example")
WORK = Path("/tmp/coredns-upstream")
ZONE = """$ORIGIN cluster.local.
@ 30 IN SOA ns.dns hostmaster 1 7200 1800 86400 5
@ 30 IN NS ns.dns
ns.dns 30 IN A 10.96.0.10
ledger.payments.svc 30 IN A 10.96.103.9
"""
PHASES = {
    "concurrency": ((8, 10), (6, 60), (8, 10)),
    "unhealthy": ((8, 10), (8, 10), (8, 10)),
    "autopath": ((8, 12), (9, 34), (10, 12)),
}
"""Seconds, and lookups a second, two queries each."""
DELAY = {"concurrency": 0.4, "unhealthy": 0.003, "autopath": 0.003}
MOST, RATE, BURST = 24, 40, 10
READ_TIMEOUT = 2.0
"""CoreDNS logs the same for what its upstream left unanswered, what cannot reach it, and what it refuses itself."""
LINE = re.compile(
    r'\[INFO\] \S+:(\d+) - (\d+) "(\S+) IN (\S+) \S+ \d+ \S+ \d+" (\S+) (\S+) \d+ ([\d.]+)s$', re.MULTILINE
)


def serve(case: str) -> None:
    """Answer as the case says; print at the end how many queries were dropped."""
    plain, dropped = _bound(), 0
    tokens, filled = float(BURST), time.monotonic()
    away = PHASES[case][0][0] + 3.0, PHASES[case][0][0] + PHASES[case][1][0] + 3.0
    began = time.monotonic()
    print("ready", flush=True)
    while not (WORK / "stop").exists():
        if case == "unhealthy" and away[0] < time.monotonic() - began < away[1]:
            time.sleep(2 * DELAY[case])
            plain.close()
            time.sleep(away[1] - (time.monotonic() - began))
            plain = _bound()
        try:
            query, client = plain.recvfrom(1500)
        except TimeoutError:
            continue
        now = time.monotonic()
        tokens, filled = min(BURST, tokens + (now - filled) * RATE), now
        if case == "autopath" and tokens < 1:
            dropped += query[12] != 0  # the health check of the forward plugin asks for the root
            continue
        tokens -= 1
        threading.Timer(DELAY[case], plain.sendto, (_answer(query), client)).start()
    print(dropped, flush=True)


def _bound() -> socket.socket:
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    plain.bind((UPSTREAM, 53))
    plain.settimeout(0.1)
    return plain


def _answer(query: bytes) -> bytes:
    end = query.index(0, 12) + 5
    question = query[12:end]
    if question[-4:-2] not in (b"\x00\x01", b"\x00\x1c"):
        # The health check of CoreDNS's forward plugin asks for the name servers of the root.
        return query[:2] + struct.pack("!HHHHH", 0x8180, 1, 0, 0, 0) + question
    record = bytes.fromhex("c00c") + question[-4:]
    body = record + struct.pack("!IH", 30, 4) + bytes([192, 0, 2, 17])
    if question[-4:-2] == b"\x00\x1c":
        body = record + struct.pack("!IH", 30, 16) + bytes.fromhex("20010db8000700000000000000000080")
    return query[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + question + body


def ask(case: str) -> None:
    """Look names up at the rates of the phases, and one of the cluster each second."""
    rng, threads, number, due = random.Random(7), [], 0, time.monotonic()
    for seconds, rate in PHASES[case]:
        for _ in range(seconds * rate):
            number += 1
            names = [f"host-{number}.{DOMAINS[rng.randrange(len(DOMAINS))]}"]
            for one in [*names, INSIDE] if number % rate == 0 else names:
                threads.append(threading.Thread(target=_lookup, args=(one,)))
                threads[-1].start()
            due += rng.uniform(0.4, 1.6) / rate
            time.sleep(max(0.0, due - time.monotonic()))
    for thread in threads:
        thread.join()
    # CoreDNS tries on for a while, and the capture goes on where answers might have come.
    time.sleep(12)
    _lookup(INSIDE)


def _lookup(name: str) -> None:
    try:
        socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)
    except OSError:
        return


def _corefile(case: str) -> str:
    most = f" {{\n        max_concurrent {MOST}\n    }}" if case == "concurrency" else ""
    path = "    pods\n    autopath @pods\n    cache 30\n" if case == "autopath" else ""
    return (
        f".:53 {{\n    bind {SERVICE}\n    errors\n    log\n{path}    file {WORK}/cluster.zone cluster.local\n"
        f"    forward . {UPSTREAM}{most}\n}}\n"
    )


def _namespaces(case: str) -> None:
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
    options = f"search {' '.join(SEARCH)}\noptions ndots:5\n" if case == "autopath" else "options ndots:1\n"
    folder = Path("/etc/netns/pod")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "resolv.conf").write_text(f"nameserver {SERVICE}\n{options}")


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _inside(name: str, *command: str) -> list[str]:
    return ["ip", "netns", "exec", name, *command]


def _stamp(output: subprocess.Popen[str], path: Path) -> None:
    """Write the lines as a container runtime does, each with the time at which it came."""
    assert output.stdout is not None
    with path.open("w") as log:
        for line in output.stdout:
            now = time.time_ns()
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9)) + f".{now % 10**9:09d}Z"
            log.write(f"{stamp} stdout F {line}")


def record(case: str, coredns: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    WORK.mkdir(exist_ok=True)
    (WORK / "stop").unlink(missing_ok=True)
    (WORK / "cluster.zone").write_text(ZONE)
    (WORK / "Corefile").write_text(_corefile(case))
    here, raw = str(Path(__file__).resolve()), folder / "node.pcap"
    capture = _inside("dns", "tcpdump", "-i", "br0", "-s", "0", "-U", "-w", str(raw), "udp port 53 or icmp")
    try:
        _namespaces(case)
        with (
            subprocess.Popen(capture) as tcpdump,
            subprocess.Popen(
                _inside("dns", coredns, "-conf", str(WORK / "Corefile")), stdout=subprocess.PIPE, text=True
            ) as server,
            subprocess.Popen(
                _inside("up", sys.executable, here, "serve", case), stdout=subprocess.PIPE, text=True
            ) as up,
        ):
            stamping = threading.Thread(target=_stamp, args=(server, folder / "coredns.log"))
            stamping.start()
            time.sleep(3)
            subprocess.run(_inside("pod", sys.executable, here, "ask", case), check=True)
            (WORK / "stop").touch()
            told = up.communicate()[0]
            for process in (server, tcpdump):
                process.terminate()
            stamping.join()
    finally:
        (WORK / "stop").unlink(missing_ok=True)
        for name in ("dns", "pod", "up"):
            subprocess.run(("ip", "netns", "del", name), check=False)
    _finish(case, folder, raw, int(told.split()[-1]))


def _finish(case: str, folder: Path, raw: Path, dropped: int) -> None:
    (folder / "node.pcap.gz").write_bytes(gzip.compress(raw.read_bytes(), mtime=0))
    raw.unlink()
    text = (folder / "coredns.log").read_text()
    lines = [line for line in LINE.findall(text) if not line[3].startswith(INSIDE)]
    failed = [line for line in lines if line[4] in ("-", "REFUSED", "SERVFAIL")]
    bases = {line[3].rstrip(".").removesuffix(f".{SEARCH[0]}") for line in failed}
    figures: dict[str, int | float] = {
        "failed queries": len({line[:4] for line in failed}),
        "queries without reply": len({line[:4] for line in failed if float(line[6]) >= READ_TIMEOUT}),
        "seconds waited": round(sum(min(5.0, float(line[6])) for line in failed), 6),
        "names affected": len(bases),
        "errors logged": text.count("plugin/errors"),
    }
    if case == "autopath":
        figures["upstream queries unanswered"] = dropped
    findings = {f"dns-upstream-throttle:{UPSTREAM}": figures}
    if case == "autopath":
        # A search that the upstream fails is denied, so the client walks its list itself; nobody counted the walks.
        findings[f"dns-search-chain:{POD}"] = {}
    stamps = [line[:19] + "Z" for line in text.splitlines() if '" ' in line]
    document = {
        "findings": findings,
        "window": {"start": stamps[0], "end": stamps[-1]},
        "counts": {"log lines": len(text.splitlines()), "forwarded queries": len(lines), "failed": len(failed)},
    }
    (folder / "truth.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "serve":
        serve(rest[0])
    elif what == "ask":
        ask(rest[0])
    else:
        os.umask(0o022)
        record(what, rest[0], Path(rest[1]))
