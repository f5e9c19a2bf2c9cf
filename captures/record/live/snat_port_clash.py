"""Record the cases snat-port-clash and snat-loss-behind: both sides of a node that masquerades its pods.

    sudo python captures/record/live/snat_port_clash.py clash OUTPUT-DIRECTORY
    sudo python captures/record/live/snat_port_clash.py behind OUTPUT-DIRECTORY

Needs Linux, root, two CPUs, ip, nft and tcpdump. Two pods connect from the same source port to the same server at the
same moment, each on a CPU of its own, again and again; and by turns with nobody beside them. `clash`: the node gives
both the same port before either is confirmed, and drops one (`insert_failed` of conntrack). Nothing is held back or
dropped on purpose, so how often it happens is up to the machine. `behind`: ports differ and the node chooses them at
random, and a router behind it drops half of the SYNs that follow another to the same server at once, as a limit does.
The truth is what the kernels counted.
"""

from __future__ import annotations

import gzip
import json
import mmap
import os
import random
import select
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

PODS = {"pod1": "10.244.33.18", "pod2": "10.244.33.19"}
BRIDGE, NODE = "10.244.33.1", "10.0.12.33"
WITHIN = ("10.244.36.8", "10.244.36.9")
OUTSIDE = ("192.0.2.17", "192.0.2.80", "198.51.100.23", "198.51.100.140", "203.0.113.9")
PORT = 8443
TOGETHER, ALONE, INSIDE = 120, 60, 120
"""Connections of each pod: at one moment with the other, with nobody beside, and to pods of another node."""
FIRST_PORT = 40_001
REQUEST, REPLY = 120, 240
MASQUERADE = {"clash": "masquerade", "behind": "masquerade fully-random"}
LIMIT, LOST = "limit rate over 20/second burst 1 packets", 60
"""Which SYNs to one server are too many for the router of `behind`, and how many of a hundred of them it drops."""
APART = {"clash": 0, "behind": 1000}
"""How far apart the source ports of the pods are."""
NAMESPACES = ("node", "within", "outside", *PODS)


def serve(addresses: list[str]) -> None:
    """Answer each request with as many octets as a reply has."""

    def answer(connection: socket.socket) -> None:
        with connection:
            if _whole(connection, REQUEST):
                connection.sendall(b"\0" * REPLY)
                _whole(connection, 1)

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


def _talk(connection: socket.socket) -> None:
    connection.setblocking(True)
    connection.sendall(b"\0" * REQUEST)
    _whole(connection, REPLY)


def call(kind: str, name: str, shared: str) -> None:
    """Connect in all three ways, and print how many SYNs the kernel sent again."""
    me = list(PODS).index(name)
    os.sched_setaffinity(0, {me})
    with Path(shared).open("r+b") as file:
        turns = memoryview(mmap.mmap(file.fileno(), 16)).cast("Q")

    def meet(turn: int, idle: float = 0.0) -> None:
        """Wait for the other pod, without leaving the CPU where the moment matters."""
        turns[me] = turn
        while turns[1 - me] < turn:
            if idle:
                time.sleep(idle)

    before = _syns_again()
    for number in range(TOGETHER):
        with socket.socket() as connection:
            connection.bind((PODS[name], FIRST_PORT + me * APART[kind] + number))
            connection.setblocking(False)
            server = (OUTSIDE[number % len(OUTSIDE)], PORT)
            meet(2 * number + 1)
            connection.connect_ex(server)
            select.select([], [connection], [])
            _talk(connection)
            meet(2 * number + 2, idle=0.005)
        time.sleep(0.02)
    rng = random.Random(name)
    for number in range(INSIDE):
        with socket.create_connection((WITHIN[number % len(WITHIN)], PORT)) as connection:
            _talk(connection)
        time.sleep(rng.uniform(0, 0.02))
    # One pod after the other, and each server left alone for more than a second.
    time.sleep(2 + me * (ALONE * 0.26 + 4))
    for number in range(ALONE):
        began = time.monotonic()
        with socket.create_connection((OUTSIDE[number % len(OUTSIDE)], PORT)) as connection:
            _talk(connection)
        time.sleep(max(0.0, 0.25 - (time.monotonic() - began)))
    print(_syns_again() - before)


def _syns_again() -> int:
    """TCPSynRetrans of /proc/net/netstat."""
    heads, values = (
        line.split() for line in Path("/proc/net/netstat").read_text().splitlines() if line.startswith("TcpExt:")
    )
    return int(dict(zip(heads, values, strict=True))["TCPSynRetrans"])


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _in(name: str, *words: str) -> list[str]:
    return ["ip", "netns", "exec", name, *words]


def _inside(name: str, *words: str) -> list[str]:
    return _in(name, sys.executable, str(Path(__file__).resolve()), *words)


def _namespaces(kind: str) -> None:
    for name in NAMESPACES:
        _run("ip", "netns", "add", name)
        _run("ip", "-n", name, "link", "set", "lo", "up")
    _run("ip", "-n", "node", "link", "add", "cni0", "type", "bridge")
    _run("ip", "-n", "node", "address", "add", f"{BRIDGE}/24", "dev", "cni0")
    _run("ip", "-n", "node", "link", "set", "cni0", "up")
    _run(*_in("node", "sysctl", "-qw", "net.ipv4.ip_forward=1"))
    for name, address in PODS.items():
        _run("ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", f"v-{name}", "netns", "node")
        _run("ip", "-n", "node", "link", "set", f"v-{name}", "master", "cni0", "up")
        _run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
        _run("ip", "-n", name, "link", "set", "eth0", "up")
        _run("ip", "-n", name, "route", "add", "default", "via", BRIDGE)
    for name, addresses, device in (("within", WITHIN, "ens6"), ("outside", OUTSIDE, "ens5")):
        _run("ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", device, "netns", "node")
        _run("ip", "-n", "node", "address", "add", f"{NODE}/32", "dev", device)
        _run("ip", "-n", "node", "link", "set", device, "up")
        _run("ip", "-n", name, "link", "set", "eth0", "up")
        _run("ip", "-n", name, "route", "add", NODE, "dev", "eth0")
        _run("ip", "-n", name, "route", "add", "default", "via", NODE)
        for address in addresses:
            _run("ip", "-n", name, "address", "add", f"{address}/32", "dev", "lo")
    _run("ip", "-n", "node", "route", "add", "10.244.36.0/24", "dev", "ens6")
    _run("ip", "-n", "node", "route", "add", "default", "dev", "ens5")
    _run(*_in("node", "nft", "add table ip nat"))
    _run(*_in("node", "nft", "add chain ip nat postrouting { type nat hook postrouting priority srcnat; }"))
    _run(*_in("node", "nft", f'add rule ip nat postrouting oifname "ens5" {MASQUERADE[kind]}'))
    if kind == "behind":
        _run(*_in("outside", "nft", "add table ip far"))
        _run(*_in("outside", "nft", "add chain ip far input { type filter hook input priority 0; }"))
        _run(*_in("outside", "nft", "add set ip far asked { type ipv4_addr; size 64; flags dynamic; }"))
        many = f"tcp flags & (syn|ack) == syn add @asked {{ ip daddr {LIMIT} }}"
        _run(*_in("outside", "nft", f"add rule ip far input {many} numgen random mod 100 < {LOST} counter drop"))


def _insert_failed() -> int:
    """Of /proc/net/stat/nf_conntrack: a line of hexadecimal numbers for each CPU."""
    told = subprocess.run(_in("node", "cat", "/proc/net/stat/nf_conntrack"), check=True, capture_output=True, text=True)
    head, *lines = told.stdout.splitlines()
    at = head.split().index("insert_failed")
    return sum(int(line.split()[at], 16) for line in lines)


def record(kind: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shared = folder / "turns"
    shared.write_bytes(b"\0" * 16)
    began = datetime.now(UTC)
    running: list[subprocess.Popen[bytes]] = []
    try:
        _namespaces(kind)
        for device, name in (("cni0", "bridge"), ("ens5", "uplink")):
            running.append(
                subprocess.Popen(_in("node", "tcpdump", "-i", device, "-U", "-w", str(folder / name), "tcp"))
            )
        running += [subprocess.Popen(_inside("within", "serve", *WITHIN))]
        running += [subprocess.Popen(_inside("outside", "serve", *OUTSIDE))]
        time.sleep(2)
        each = [_inside(name, "call", kind, name, str(shared)) for name in PODS]
        callers = [subprocess.Popen(one, stdout=subprocess.PIPE) for one in each]
        retries = sum(int(caller.communicate()[0]) for caller in callers)
        failed = _insert_failed()
        time.sleep(2)
    finally:
        for process in running:
            process.terminate()
            process.wait()
        for name in NAMESPACES:
            subprocess.run(("ip", "netns", "del", name), check=False)
        shared.unlink()
    _finish(folder, retries, failed, began)


def _finish(folder: Path, retries: int, failed: int, began: datetime) -> None:
    for name in ("bridge", "uplink"):
        (folder / f"{name}.pcap.gz").write_bytes(gzip.compress((folder / name).read_bytes(), mtime=0))
        (folder / name).unlink()
    figures = {
        "external connections": (TOGETHER + ALONE) * len(PODS),
        "internal connections": INSIDE * len(PODS),
        "SYN retries": retries,
        "internal connections with SYN retries": 0,
        "connections failed": 0,
        "servers affected": len(OUTSIDE),
        "lost SYNs that never left the node": failed,
        "lost SYNs that left the node": retries - failed,
    }
    document = {
        "findings": {"snat-retransmission:10.244.33.0/24": figures},
        "window": {"start": f"{began:%Y-%m-%dT%H:%M:%SZ}", "end": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"},
        "counts": {"insert_failed on the node": failed},
    }
    (folder / "truth.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "serve":
        serve(rest)
    elif what == "call":
        call(*rest)
    else:
        os.umask(0o022)
        record(what, Path(rest[0]))
