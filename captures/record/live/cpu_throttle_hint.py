"""Record the case cpu-throttle-hint: a small HTTP server under a CPU quota, and three that look alike.

    sudo python captures/record/live/cpu_throttle_hint.py OUTPUT-DIRECTORY

Needs Linux, root, ip, tcpdump and a writable cgroup v1 hierarchy of the cpu controller. It makes a bridge with four
pods beside it, each a namespace and a cgroup of its own, asks each of them with the same pauses, records the bridge
and saves every cpu.stat each five seconds. The quota, the stalls and the counters are the kernel's; the servers burn as
much CPU time as they are told for each request. No two recordings are equal; the truth is what cpu.stat says at last.
"""

from __future__ import annotations

import gzip
import json
import random
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup/cpu")
CLIENT = "10.244.33.2"
SECONDS, EVERY, PORT = 60, 5, 8080
PERIOD, QUOTA = 100_000, 20_000
"""Microseconds: a limit of 200m, as the kubelet writes it."""
BURN = (0.004, 0.045)
"""CPU time of one request."""


@dataclass(frozen=True)
class Server:
    """`kind`: quota (limited), free (the same without a limit), timer (sleeps 100 ms), batch (answers each 100 ms)."""

    kind: str
    address: str
    uid: str
    container: str

    @property
    def cgroup(self) -> Path:
        return CGROUPS / "kubepods" / "burstable" / f"pod{self.uid}" / self.container


def servers() -> list[Server]:
    rng = random.Random("cpu-throttle-hint")
    kinds = ("quota", "free", "timer", "batch")
    made = []
    for number, kind in enumerate(kinds):
        digits = f"{rng.getrandbits(128):032x}"
        uid = "-".join((digits[:8], digits[8:12], "4" + digits[13:16], "a" + digits[17:20], digits[20:]))
        made.append(Server(kind, f"10.244.33.{18 + number}", uid, f"{rng.getrandbits(256):064x}"))
    return made


def serve(kind: str, address: str) -> None:
    """Answer one request after the other."""
    rng = random.Random(address)
    listener = socket.create_server((address, PORT), backlog=64)
    while True:
        peer, _ = listener.accept()
        peer.recv(4096)
        if kind in ("quota", "free"):
            until = time.thread_time() + rng.uniform(*BURN)
            while time.thread_time() < until:
                pass
        elif kind == "timer":
            time.sleep(0.1)
        else:
            time.sleep(0.1 - time.monotonic() % 0.1)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n")
        peer.close()


def ask(address: str) -> None:
    """Ask with random pauses, a second of them at most, until time is over, and print how often."""
    asked = 0
    rng = random.Random("client" + address)
    end = time.monotonic() + SECONDS
    request = f"GET /price HTTP/1.1\r\nHost: {address}:{PORT}\r\nUser-Agent: shop/1.0\r\n\r\n".encode()
    while time.monotonic() < end:
        with socket.create_connection((address, PORT), timeout=5) as peer:
            peer.sendall(request)
            while peer.recv(4096):
                pass
        asked += 1
        time.sleep(min(1.0, rng.expovariate(6)))
    print(asked, flush=True)


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def network(made: list[Server]) -> None:
    run("ip", "link", "add", "cnt0", "type", "bridge")
    run("ip", "addr", "add", "10.244.33.1/24", "dev", "cnt0")
    run("ip", "link", "set", "cnt0", "up")
    for name, address in [("cntc", CLIENT), *((f"cnt{one.kind}", one.address) for one in made)]:
        run("ip", "netns", "add", name)
        run("ip", "link", "add", f"v{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", f"v{name}", "master", "cnt0", "up")
        for command in (("addr", "add", f"{address}/24", "dev", "eth0"), ("link", "set", "eth0", "up")):
            run("ip", "-n", name, *command)


def cgroups(made: list[Server]) -> None:
    for one in made:
        one.cgroup.mkdir(parents=True)
        if one.kind == "quota":
            (one.cgroup / "cpu.cfs_period_us").write_text(str(PERIOD))
            (one.cgroup / "cpu.cfs_quota_us").write_text(str(QUOTA))


def clean(made: list[Server]) -> None:
    for name in ["cntc", *(f"cnt{one.kind}" for one in made)]:
        subprocess.run(["ip", "netns", "del", name], check=False)
    subprocess.run(["ip", "link", "del", "cnt0"], check=False)
    for one in made:
        for folder in (one.cgroup, one.cgroup.parent):
            with suppress(OSError):
                folder.rmdir()
    for folder in (CGROUPS / "kubepods" / "burstable", CGROUPS / "kubepods"):
        with suppress(OSError):
            folder.rmdir()


def snapshot(made: list[Server]) -> tuple[str, dict[str, int]]:
    """What `date` and `tail -n +1` print of every cpu.stat, and the counters of the limited one."""
    text = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ\n")
    counters = {}
    for one in made:
        values = (one.cgroup / "cpu.stat").read_text()
        text += f"==> {one.cgroup}/cpu.stat <==\n{values}\n"
        if one.kind == "quota":
            counters = {key: int(value) for key, value in (line.split() for line in values.splitlines())}
    return text, counters


def main(folder: Path) -> None:
    made = servers()
    folder.mkdir(parents=True, exist_ok=True)
    started: list[subprocess.Popen[bytes]] = []
    try:
        network(made)
        cgroups(made)
        for one in made:
            inside = ["ip", "netns", "exec", f"cnt{one.kind}", sys.executable, __file__, "serve", one.kind, one.address]
            process = subprocess.Popen(inside)
            (one.cgroup / "cgroup.procs").write_text(str(process.pid))
            started.append(process)
        capture = folder / "node.pcap"
        tcpdump = subprocess.Popen(["tcpdump", "-i", "cnt0", "-U", "-w", str(capture), "tcp", "port", str(PORT)])
        started.append(tcpdump)
        time.sleep(2)
        first, before = snapshot(made)
        texts, after = [first], before
        asking = ["ip", "netns", "exec", "cntc", sys.executable, __file__, "ask"]
        clients = [subprocess.Popen([*asking, one.address], stdout=subprocess.PIPE, text=True) for one in made]
        for _ in range(SECONDS // EVERY):
            time.sleep(EVERY)
            text, after = snapshot(made)
            texts.append(text)
        asked = [int(client.communicate(timeout=10)[0]) for client in clients]
        time.sleep(1)
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()
        clean(made)
    (folder / "cpu.stat.txt").write_text("".join(texts))
    (folder / "node.pcap.gz").write_bytes(gzip.compress(capture.read_bytes(), mtime=0))
    capture.unlink()
    write_truth(folder, made[0], {key: after[key] - before[key] for key in after}, asked)


def write_truth(folder: Path, limited: Server, counted: dict[str, int], asked: list[int]) -> None:
    figures = {
        "periods": counted["nr_periods"],
        "throttled periods": counted["nr_throttled"],
        "share throttled": round(counted["nr_throttled"] / counted["nr_periods"], 6),
        "throttled seconds": round(counted["throttled_time"] / 1e9, 6),
    }
    lines = (folder / "cpu.stat.txt").read_text().splitlines()
    times = [line for line in lines if line.endswith("Z")]
    document = {
        "findings": {
            f"cpu-throttle-hint:pod {limited.uid} {limited.container[:12]}": figures,
            f"cpu-throttle-hint:{limited.address}": {"answers": asked[0]},
        },
        "window": {"start": times[0], "end": times[-1]},
        "counts": {"requests": sum(asked), "snapshots": len(times)},
    }
    (folder / "truth.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], sys.argv[3])
    elif sys.argv[1] == "ask":
        ask(sys.argv[2])
    else:
        main(Path(sys.argv[1]))
