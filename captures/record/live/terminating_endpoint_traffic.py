"""Record the case terminating-endpoint-traffic: real servers that close their listener on SIGTERM, and who still comes.

    sudo python captures/record/live/terminating_endpoint_traffic.py OUTPUT-DIRECTORY

Needs Linux, root, ip and tcpdump, and takes three quarters of a minute. Each pod is a network namespace on one bridge,
which is recorded. Four servers are replaced one after the other: the new one starts, the old one gets SIGTERM, closes
its listener as most servers do, and its kernel answers new connections with resets. Two clients choose among the
endpoints that they know, and know of a change later than it is made; a third keeps the address that a headless
Service's name gave it; the node probes. The audit log is written afterwards, with the moments at which all this was
done. No two recordings are equal; the truth is what the clients themselves counted.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from dnslib import RR, A, DNSRecord

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from audit import AuditLog, Call, Json, ref
from cluster import Cluster, Pod, node
from controlplane import ControlPlane
from story import Truth
from wire import SECOND, gzipped

NAME = "storefront-pods.shop.svc.cluster.local"
PORT, PODS, EVERY = 8080, 4, 7
CLIENTS = {"gateway": (0.1, 1.5, 3.2), "batch": (0.25, 4.0, 5.5)}
"""Seconds between two connections, and how late it knows of a change, at the least and at the most."""
GRACE = 2
"""Seconds that a server goes on with what it has after SIGTERM."""


def serve(address: str) -> None:
    """Answer each connection; on SIGTERM close the listener, and end when the open requests may be done."""
    listener = socket.create_server((address, PORT), backlog=128)

    def stop(*_: object) -> None:
        listener.close()
        time.sleep(GRACE)
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    while True:
        try:
            taken, _ = listener.accept()
        except OSError:
            continue
        with taken:
            taken.recv(1024)
            taken.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")


def connect(kind: str, server: str) -> None:
    """One request on a connection of its own, and its outcome as a line."""
    began = time.time()
    agent = {"node": "kube-probe/1.36"}.get(kind, f"shop-{kind}/2.3")
    try:
        with socket.create_connection((server, PORT), timeout=2) as made:
            made.sendall(f"GET /ready HTTP/1.1\r\nHost: {server}:{PORT}\r\nUser-Agent: {agent}\r\n\r\n".encode())
            made.recv(1024)
        outcome = "answered"
    except ConnectionRefusedError:
        outcome = "refused"
    except OSError:
        outcome = "cut"
    print(json.dumps({"time": began, "server": server, "outcome": outcome}), flush=True)


def client(kind: str, folder: str, pause: str) -> None:
    """Connect to the endpoints that the file tells, by turns, until it is gone; `headless` to what DNS told once."""
    known = Path(folder) / kind
    turn = 0
    keeps = ask_dns() if kind == "headless" else ""
    while known.exists():
        servers = [keeps] if keeps else json.loads(known.read_text())
        for server in servers if kind == "node" else [servers[turn % len(servers)]]:
            connect(kind, server)
        turn += 1
        time.sleep(float(pause))


def ask_dns() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asks:
        asks.sendto(DNSRecord.question(NAME).pack(), ("10.244.33.1", 53))
        return str(DNSRecord.parse(asks.recv(2048)).rr[1].rdata)


def name_server(addresses: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as answers:
        answers.bind(("10.244.33.1", 53))
        while True:
            asked, who = answers.recvfrom(2048)
            answer = DNSRecord.parse(asked).reply()
            for address in addresses.split(","):
                answer.add_answer(RR(NAME, rdata=A(address), ttl=5))
            answers.sendto(answer.pack(), who)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _namespaces(addresses: dict[str, str]) -> None:
    _run("ip", "netns", "add", "node")
    _run("ip", "-n", "node", "link", "set", "lo", "up")
    _run("ip", "-n", "node", "link", "add", "cni0", "type", "bridge")
    _run("ip", "-n", "node", "address", "add", "10.244.33.1/24", "dev", "cni0")
    _run("ip", "-n", "node", "link", "set", "cni0", "up")
    for name, address in addresses.items():
        _run("ip", "netns", "add", name)
        _run("ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", f"v-{name}", "netns", "node")
        _run("ip", "-n", "node", "link", "set", f"v-{name}", "master", "cni0", "up")
        _run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
        _run("ip", "-n", name, "link", "set", "eth0", "up")


def _inside(name: str, *words: str) -> list[str]:
    return ["ip", "netns", "exec", name, sys.executable, str(Path(__file__).resolve()), *words]


class Rollout:
    """The servers are replaced one after the other; when each thing was done is kept."""

    def __init__(self, folder: Path, old: list[Pod], new: list[Pod], rng: random.Random) -> None:
        self.folder, self.old, self.new, self.rng = folder, old, new, rng
        self.endpoints = [pod.ip for pod in old]
        self.running = {pod.ip: self._start(f"old{at}", pod) for at, pod in enumerate(old)}
        self.started: list[float] = []
        self.deleted: list[float] = []
        self.written: list[float] = []
        for kind in (*CLIENTS, "node", "headless"):
            self._tell(kind)

    def _start(self, name: str, pod: Pod) -> subprocess.Popen[bytes]:
        return subprocess.Popen(_inside(name, "serve", pod.ip))

    def _tell(self, kind: str, endpoints: list[str] | None = None) -> None:
        servers = self.endpoints if endpoints is None else endpoints
        whole = self.folder / f".{kind}"
        whole.write_text(json.dumps([pod.ip for pod in self.old] if kind == "node" else servers))
        whole.rename(self.folder / kind)

    def step(self, at: int) -> None:
        """The new pod serves, the old one is deleted, and one client after the other hears of it."""
        was, will = self.old[at], self.new[at]
        self.running[will.ip] = self._start(f"new{at}", will)
        self.started.append(time.time())
        time.sleep(1)
        self.deleted.append(time.time())
        # ip netns exec becomes the server itself.
        self.running[was.ip].send_signal(signal.SIGTERM)
        time.sleep(0.3 + 0.5 * self.rng.random())
        self.written.append(time.time())
        self.endpoints = [will.ip if one == was.ip else one for one in self.endpoints]
        for kind, (_, least, most) in CLIENTS.items():
            late = least + (most - least) * self.rng.random()
            threading.Timer(late, self._tell, (kind, list(self.endpoints))).start()


def record(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random()
    here, cluster = node(33), Cluster(rng)
    old, new = (cluster.pods(["shop/storefront"] * PODS, here) for _ in range(2))
    others = {name: cluster.pod("shop", name, here) for name in (*CLIENTS, "headless")}
    pods = {f"old{at}": pod for at, pod in enumerate(old)} | {f"new{at}": pod for at, pod in enumerate(new)} | others
    raw, shared = folder / "node.pcap", folder / "endpoints"
    shared.mkdir()
    began, lines = time.time(), {}
    try:
        _namespaces({name: pod.ip for name, pod in pods.items()})
        dns = subprocess.Popen(_inside("node", "dns", ",".join(pod.ip for pod in old)))
        capture = ["ip", "netns", "exec", "node", "tcpdump", "-i", "cni0", "-s", "160", "-U", "-w", str(raw)]
        with subprocess.Popen([*capture, f"tcp port {PORT} or udp port 53"]) as tcpdump:
            rollout = Rollout(shared, old, new, rng)
            time.sleep(2)
            pauses = {name: pause for name, (pause, _, _) in CLIENTS.items()} | {"headless": 1.0, "node": 2.0}
            asking = {
                name: subprocess.Popen(_inside(name, "client", name, str(shared), str(pause)), stdout=subprocess.PIPE)
                for name, pause in pauses.items()
            }
            time.sleep(4)
            for at in range(PODS):
                rollout.step(at)
                time.sleep(EVERY - 1.5)
            time.sleep(3)
            for kind in pauses:
                (shared / kind).unlink()
            lines = {name: one.communicate(timeout=20)[0].decode().splitlines() for name, one in asking.items()}
            time.sleep(1)
            tcpdump.terminate()
    finally:
        for one in [dns, *rollout.running.values()]:
            one.kill()
            one.wait()
        for name in ("node", *pods):
            subprocess.run(("ip", "netns", "del", name), check=False)
    for path in shared.iterdir():
        path.unlink()
    shared.rmdir()
    _finish(folder, raw, rollout, others, lines, began)


def _finish(
    folder: Path, raw: Path, rollout: Rollout, others: dict[str, Pod], lines: dict[str, list[str]], began: float
) -> None:
    (folder / "node.pcap.gz").write_bytes(gzipped(raw.read_bytes()))
    raw.unlink()
    start, end = (int(moment) * SECOND for moment in (began - 60, time.time() + 40))
    log = _audit(rollout, list(others.values()), start, end)
    log.save(folder)
    tried = [json.loads(line) | {"client": name} for name, told in lines.items() for line in told]
    refused = [one for one in tried if one["client"] in CLIENTS and one["outcome"] == "refused"]
    deleted = {pod.ip: when for pod, when in zip(rollout.old, rollout.deleted, strict=True)}
    truth = Truth(start, end)
    truth.findings["terminating-endpoint-traffic:shop/storefront"] = {
        "refused new connections": len(refused),
        "unanswered new connections": 0,
        "pods": len({one["server"] for one in refused}),
        "clients": len({one["client"] for one in refused}),
        "longest delete-to-endpoint gap": max(
            write - delete for write, delete in zip(rollout.written, rollout.deleted, strict=True)
        ),
        "longest time from deletion to a failed connection": max(
            one["time"] - deleted[one["server"]] for one in refused
        ),
    }
    truth.counts = {"connections": len(tried), "refused in all": sum(one["outcome"] == "refused" for one in tried)}
    truth.write(folder)


def _audit(rollout: Rollout, others: list[Pod], start: int, end: int) -> AuditLog:
    """What the API server would have logged of it: statuses, deletions, writes of the EndpointSlice."""
    rng = random.Random("terminating-endpoint-traffic")
    plane = ControlPlane(AuditLog(rng, omit_received=True), [node(33)], rng)
    plane.beat(start, end)
    kubelet = plane.kubelets[node(33).name]

    def runs(at: int, pod: Pod) -> None:
        status: Json = {"phase": "Running", "podIP": pod.ip, "podIPs": [{"ip": pod.ip}], "hostIP": pod.node.ip}
        plane.status(at, kubelet, pod, status)

    for number, pod in enumerate([*rollout.old, *others]):
        runs(start + number * 300_000, pod)
    for pod, moment in zip(rollout.new, rollout.started, strict=True):
        runs(int(moment * SECOND), pod)
    for pod, moment in zip(rollout.old, rollout.deleted, strict=True):
        plane.stop_pod(int(moment * SECOND), pod)
    endpoints = ref("endpointslices", "shop", "storefront-x7k2d", group="discovery.k8s.io")
    for moment in rollout.written:
        call = Call(actor=plane.slices, verb="update", target=endpoints, took=1000)
        plane.log.add(int(moment * SECOND) - 1000, call)
    return plane.log


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "serve":
        serve(rest[0])
    elif what == "client":
        client(*rest)
    elif what == "dns":
        name_server(rest[0])
    else:
        os.umask(0o022)
        record(Path(what))
