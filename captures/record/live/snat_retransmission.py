"""Record the case snat-retransmission: real TCP of Linux in network namespaces, and a way out that loses packets.

    sudo python captures/record/live/snat_retransmission.py OUTPUT-DIRECTORY

Needs Linux, root, ip, tcpdump and /dev/net/tun. Three pods stand at a node's bridge, which is recorded. Pods of another
node are routed to them directly; the outside is reached through two tunnel devices and a relay between them, which
drops packets by chance, SYNs more often: what a race for ports of the node's address does. No two recordings are equal;
the truth is what the kernels of the pods counted.
"""

from __future__ import annotations

import fcntl
import gzip
import heapq
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

PODS = {"pod1": "10.244.33.18", "pod2": "10.244.33.19", "pod3": "10.244.33.20"}
OLD_KERNEL = "pod3"
"""Doubles the time between SYNs from the first, as Linux did before 6.5."""
BRIDGE, NODE = "10.244.33.1", "10.0.12.33"
WITHIN = ("10.244.36.8", "10.244.36.9")
OUTSIDE = ("192.0.2.17", "192.0.2.80", "198.51.100.23", "198.51.100.140", "203.0.113.9")
PORT = 8443
LOSS, SYN_LOSS = 0.03, 0.12
DELAY = 0.006
"""Seconds that the relay takes one way."""
CONNECTIONS, EXCHANGES = 34, 7
"""Connections of each pod to either side, and requests on each."""
REQUEST, REPLY = 180, 620


def relay(near: int, far: int) -> None:
    """Hand packets from one tunnel device to the other, late, some of them never."""
    rng = random.Random(7)
    waiting: list[tuple[float, int, int, bytes]] = []
    turn = 0
    while True:
        first = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for device in select.select([near, far], [], [], first)[0]:
            try:
                packet = os.read(device, 2048)
            except OSError:  # the device went with its namespace
                return
            if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
                continue
            syn = packet[(packet[0] & 15) * 4 + 13] & 0x02
            if rng.random() >= (SYN_LOSS if syn else LOSS):
                turn += 1
                heapq.heappush(waiting, (time.monotonic() + DELAY, turn, far if device == near else near, packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, device, packet = heapq.heappop(waiting)
            os.write(device, packet)


def serve(addresses: list[str]) -> None:
    """Answer each request with as many octets as a reply has."""

    def answer(connection: socket.socket) -> None:
        with connection:
            while _whole(connection, REQUEST):
                connection.sendall(b"\0" * REPLY)

    def listen(address: str) -> None:
        with socket.create_server((address, PORT), backlog=64) as server:
            while True:
                threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()

    for address in addresses:
        threading.Thread(target=listen, args=(address,), daemon=True).start()
    while True:
        time.sleep(60)


def _whole(connection: socket.socket, size: int) -> bool:
    left = size
    while left:
        got = len(connection.recv(left))
        if not got:
            return False
        left -= got
    return True


def call(seed: str) -> None:
    """Connect to either side by turns, and print how many connections were made and what the kernel sent again."""
    before = _counters()

    def one_side(servers: tuple[str, ...]) -> None:
        rng = random.Random(seed)
        for number in range(CONNECTIONS):
            with socket.create_connection((servers[number % len(servers)], PORT)) as connection:
                for _ in range(EXCHANGES):
                    connection.sendall(b"\0" * REQUEST)
                    _whole(connection, REPLY)
                    time.sleep(rng.uniform(0, 0.03))

    threads = [threading.Thread(target=one_side, args=(servers,)) for servers in (WITHIN, OUTSIDE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({name: value - before[name] for name, value in _counters().items()}))


def _counters() -> dict[str, int]:
    """RetransSegs of /proc/net/snmp and TCPSynRetrans of /proc/net/netstat: segments and SYNs sent again."""
    found = {}
    for path, kind, name in (("snmp", "Tcp:", "RetransSegs"), ("netstat", "TcpExt:", "TCPSynRetrans")):
        heads, values = (
            line.split() for line in Path(f"/proc/net/{path}").read_text().splitlines() if line.startswith(kind)
        )
        found[name] = int(dict(zip(heads, values, strict=True))[name])
    return found


def _device(name: str) -> int:
    """A tunnel device of packets without a header (TUNSETIFF, IFF_TUN | IFF_NO_PI of linux/if_tun.h)."""
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1001))
    return device


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _inside(name: str, *words: str) -> list[str]:
    return ["ip", "netns", "exec", name, sys.executable, str(Path(__file__).resolve()), *words]


NAMESPACES = ("node", "within", "outside", *PODS)


def _namespaces() -> None:
    for name in NAMESPACES:
        _run("ip", "netns", "add", name)
        _run("ip", "-n", name, "link", "set", "lo", "up")
    _run("ip", "-n", "node", "link", "add", "cni0", "type", "bridge")
    for address, device in ((f"{BRIDGE}/24", "cni0"), (f"{NODE}/32", "lo")):
        _run("ip", "-n", "node", "address", "add", address, "dev", device)
    _run("ip", "-n", "node", "link", "set", "cni0", "up")
    _run("ip", "netns", "exec", "node", "sysctl", "-qw", "net.ipv4.ip_forward=1")
    for name, address in PODS.items():
        _run("ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", f"v-{name}", "netns", "node")
        _run("ip", "-n", "node", "link", "set", f"v-{name}", "master", "cni0", "up")
        _run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
        _run("ip", "-n", name, "link", "set", "eth0", "up")
        _run("ip", "-n", name, "route", "add", "default", "via", BRIDGE)
    _run("ip", "netns", "exec", OLD_KERNEL, "sysctl", "-qw", "net.ipv4.tcp_syn_linear_timeouts=0")
    _run("ip", "link", "add", "eth0", "netns", "within", "type", "veth", "peer", "name", "ens5", "netns", "node")
    for name, addresses, device in (("within", WITHIN, "eth0"), ("outside", OUTSIDE, "lo")):
        for address in addresses:
            _run("ip", "-n", name, "address", "add", f"{address}/32", "dev", device)
    _up("node", "ens5", "10.244.36.0/24")
    _up("within", "eth0", NODE)
    _run("ip", "-n", "within", "route", "add", "default", "via", NODE)


def _up(name: str, device: str, route: str) -> None:
    _run("ip", "-n", name, "link", "set", device, "up")
    _run("ip", "-n", name, "route", "add", route, "dev", device)


def record(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    raw = folder / "node.pcap"
    capture = ["ip", "netns", "exec", "node", "tcpdump", "-i", "cni0", "-s", "0", "-U", "-w", str(raw), "tcp"]
    began = datetime.now(UTC)
    running: list[subprocess.Popen[bytes]] = []
    try:
        _namespaces()
        devices = _device("up-near"), _device("up-far")
        _run("ip", "link", "set", "up-near", "netns", "node")
        _run("ip", "link", "set", "up-far", "netns", "outside")
        _up("node", "up-near", "default")
        _up("outside", "up-far", "default")
        threading.Thread(target=relay, args=devices, daemon=True).start()
        running += [subprocess.Popen(_inside("within", "serve", *WITHIN))]
        running += [subprocess.Popen(_inside("outside", "serve", *OUTSIDE)), subprocess.Popen(capture)]
        time.sleep(2)
        callers = [subprocess.Popen(_inside(name, "call", name), stdout=subprocess.PIPE) for name in PODS]
        told = [json.loads(caller.communicate()[0]) for caller in callers]
        time.sleep(2)
    finally:
        for process in running:
            process.terminate()
            process.wait()
        for name in NAMESPACES:
            subprocess.run(("ip", "netns", "del", name), check=False)
    _finish(folder, raw, told, began)


def _finish(folder: Path, raw: Path, told: list[dict[str, int]], began: datetime) -> None:
    (folder / "node.pcap.gz").write_bytes(gzip.compress(raw.read_bytes(), mtime=0))
    raw.unlink()
    every = CONNECTIONS * len(PODS)
    figures = {
        "external connections": every,
        "internal connections": every,
        "SYN retries": sum(one["TCPSynRetrans"] for one in told),
        "internal connections with SYN retries": 0,
        "connections failed": 0,
        "servers affected": len(OUTSIDE),
    }
    document = {
        "findings": {"snat-retransmission:10.244.33.0/24": figures},
        "window": {"start": f"{began:%Y-%m-%dT%H:%M:%SZ}", "end": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"},
        "counts": {"segments sent again by pods": sum(one["RetransSegs"] for one in told)},
    }
    (folder / "truth.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "serve":
        serve(rest)
    elif what == "call":
        call(rest[0])
    else:
        os.umask(0o022)
        record(Path(what))
